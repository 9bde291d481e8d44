/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "unit.h"

#include "diagnosis.h"

#define POP "cache-ams21039-AMS"
#define SHIELD "cache-bwi5133-BWI"
#define BEHIND_SHIELD(cache) "X-Served-By: " SHIELD ", " POP "\r\nX-Cache: " cache "\r\n"
#define ALONE(cache) "X-Served-By: " POP "\r\nX-Cache: " cache "\r\n"
#define DEBUG "Fastly-Debug-Path: (D " POP " 1557427742)\r\n"

static char said[16][1400]; /* "grade subject: sentence -> advice" */
static size_t said_count;

static void take(void *ctx, const struct diagnosis_finding *f)
{
    (void)ctx;
    assert_true(said_count < array_len(said));
    assert_true((size_t)snprintf(said[said_count], sizeof(said[0]), "%s %s: %s -> %s",
                                 diagnosis_grade_names[f->grade], f->subject, f->what,
                                 f->advice) < sizeof(said[0]));
    said_count++;
}

static int status = 200; /* of the replies */

static struct sighting seen(const char *headers)
{
    static char heads[2][40000];
    static size_t used;
    char *head = heads[used++ % 2];
    struct sighting s;

    assert_true((size_t)snprintf(head, sizeof(heads[0]), "HTTP/2 %d\r\n%s", status, headers) <
                sizeof(heads[0]));
    sighting_read(&s, span_str(head));
    return s;
}

static void explain(const char *first, const char *second)
{
    struct sighting a = seen(first), b = seen(second);

    said_count = 0;
    diagnosis_page(&a, &b, take, NULL);
}

/* The finding with this grade and subject; the test fails if there is none. */
static const char *finding(const char *head)
{
    for (size_t i = 0; i < said_count; i++)
        if (strncmp(said[i], head, strlen(head)) == 0)
            return said[i];
    for (size_t i = 0; i < said_count; i++)
        fprintf(stderr, "said: %s\n", said[i]);
    fail_msg("nothing begins with: %s", head);
    return "";
}

static void assert_says(const char *head, const char *part)
{
    const char *text = finding(head);

    if (!strstr(text, part))
        fail_msg("%s\n does not say: %s", text, part);
}

static void assert_silent_on(const char *subject)
{
    for (size_t i = 0; i < said_count; i++) {
        const char *rest = strchr(said[i], ' ') + 1;

        if (strncmp(rest, subject, strlen(subject)) == 0)
            fail_msg("said: %s", said[i]);
    }
}

/* -- a page -- */

static void a_page_behind_a_shield(void **state)
{
    const char *page = BEHIND_SHIELD("MISS, HIT") DEBUG
        "Age: 142\r\nSurrogate-Key: a b\r\nETag: \"1\"\r\n"
        "Fastly-Debug-TTL: (H " POP " 10.1 0.0 142) (H " SHIELD " 99.0 0.0 100)\r\n";

    (void)state;
    explain(page, page);
    assert_says("ok route:", "the POP AMS (" POP "), which fetches from the shield BWI (" SHIELD);
    assert_says("ok cache:", "HIT: the second reply came from the POP's own copy");
    assert_says("ok age:", "left the origin 142 s ago: it was 100 s old in the shield when the POP "
                           "fetched it, and is in the POP for 42 s");
    assert_says("ok keys:", "has 2 keys and 3 bytes; Fastly reads up to 16384");
    assert_says("note race:", "before the shield BWI (" SHIELD ") fetches the old page");
    assert_says("note race:", "repeat_after");
    assert_says("ok soft purge:", "asks the origin first");
}

static void a_page_without_a_shield(void **state)
{
    const char *page = ALONE("HIT") DEBUG "Age: 5\r\nSurrogate-Key: a\r\n";

    (void)state;
    explain(page, page);
    assert_says("ok route:", "one cache answered, that of the POP AMS (" POP ")");
    assert_says("ok age:", "the page left the origin 5 s ago");
    assert_says("note soft purge:", "does the same as a hard one");
    assert_silent_on("race");
}

static void a_pop_that_is_its_own_shield_races_with_nobody(void **state)
{
    const char *page = "X-Served-By: cache-ams1-AMS, cache-ams2-AMS\r\nX-Cache: MISS, HIT\r\n"
                       "Cache-Control: stale-while-revalidate=60\r\n";

    (void)state;
    explain(page, page);
    assert_says("note route:", "names 2 caches, the last of which, AMS (cache-ams2-AMS), answered");
    assert_says("note soft purge:", "visitors get the old page until");
    assert_silent_on("race");
}

static void a_reply_that_is_not_fastlys(void **state)
{
    (void)state;
    explain("Server: nginx\r\n", "Server: nginx\r\n");
    assert_says("fail route:", "nothing in the reply says that Fastly answered");
    assert_silent_on("keys");
    explain("Server: nginx\r\n" DEBUG, "Server: nginx\r\n" DEBUG);
    assert_says("note route:", "its VCL removes X-Served-By");
    assert_says("warn keys:", "there is no Surrogate-Key");
}

static void a_page_that_is_not_kept(void **state)
{
    (void)state;
    explain(ALONE("MISS"), ALONE("MISS") "Cache-Control: private\r\nSet-Cookie: a=b\r\n");
    assert_says("warn cache:", "does not keep this page (Cache-Control: private)");
    explain(ALONE("MISS"), ALONE("MISS") "Set-Cookie: a=b\r\n");
    assert_says("warn cache:", "it sets a cookie");
    explain(ALONE("MISS"), ALONE("MISS"));
    assert_says("warn cache:", "VCL passes it, or its TTL is 0");
    explain("X-Served-By: cache-ams1-AMS\r\nX-Cache: MISS\r\n", ALONE("MISS"));
    assert_says("note cache:", "from two different servers: AMS (cache-ams1-AMS) and AMS (" POP);
    explain("X-Served-By: " POP "\r\n", "X-Served-By: " POP "\r\n");
    assert_says("note cache:", "there is no X-Cache");
}

static void an_error_and_a_redirect_are_not_the_page(void **state)
{
    (void)state;
    explain(ALONE("HIT"), ALONE("HIT"));
    assert_silent_on("reply");
    status = 404;
    explain(ALONE("HIT"), ALONE("HIT"));
    assert_says("warn reply:", "an error, 404");
    status = 301;
    explain(ALONE("HIT"), ALONE("HIT"));
    assert_says("note reply:", "a redirect, 301");
    status = 200;
}

static void stale_while_revalidate_behind_a_shield_is_a_trap(void **state)
{
    const char *page = BEHIND_SHIELD("MISS, HIT") "Cache-Control: stale-while-revalidate=60\r\n";

    (void)state;
    explain(page, page);
    assert_says("warn soft purge:",
                "stale-while-revalidate=60: after a soft purge not only the POP");
    assert_says("warn soft purge:", "req.max_stale_while_revalidate = 0s");
}

static void explain_keys(size_t bytes)
{
    static char page[40000];
    size_t n = (size_t)snprintf(page, sizeof(page), ALONE("HIT") DEBUG "Surrogate-Key: ");

    for (size_t i = 0; i < bytes; i++)
        page[n++] = i % 8 == 7 && i + 1 < bytes ? ' ' : 'k';
    page[n] = '\0';
    explain(ALONE("HIT"), page);
}

static void keys_near_and_above_the_limit(void **state)
{
    (void)state;
    explain_keys(14745);
    finding("ok keys:");
    explain_keys(14746);
    assert_says("warn keys:", "14746 bytes; Fastly reads up to 16384");
    explain_keys(16384);
    finding("warn keys:");
    explain_keys(16392);
    assert_says("fail keys:", "has 16392 bytes, and Fastly reads 16384: it ignores the last 1 of "
                              "2049 keys, from kkkkkkkk on");
}

static void keys_that_are_odd_or_hidden(void **state)
{
    char page[2000] = ALONE("HIT") DEBUG "Surrogate-Key: a,b ";
    size_t n = strlen(page);

    (void)state;
    memset(page + n, 'k', 1025);
    explain(ALONE("HIT"), page);
    assert_says("warn keys:", "the key a,b has a comma");
    assert_says("warn keys: the key that begins", "has 1025 bytes: no purge can name");
    explain(ALONE("HIT") DEBUG, ALONE("HIT") DEBUG);
    assert_says("warn keys:", "no purge by key can reach this page");
    explain(ALONE("HIT"), ALONE("HIT"));
    assert_says("note keys:", "VCL may hide the keys");
}

/* -- a purge -- */

static void after(struct diagnosis_purge p, const char *headers, enum sighting_state state)
{
    struct sighting s = seen(headers);

    said_count = 0;
    diagnosis_after(&p, &s, state, take, NULL);
    assert_int_equal(said_count, 1);
}

static void a_refusal_by_vcl_is_told_from_others(void **state)
{
    (void)state;
    said_count = 0;
    diagnosis_refusal("403: Forbidden", take, NULL);
    assert_says("fail purge:", "was not purged: 403: Forbidden -> the VCL of the service may");
    said_count = 0;
    diagnosis_refusal("no answer", take, NULL);
    assert_says("fail purge:", "no answer -> see purgeline status");
}

static void a_fresh_page(void **state)
{
    (void)state;
    after((struct diagnosis_purge){0}, BEHIND_SHIELD("MISS, MISS"), SIGHTING_FRESH);
    assert_says("ok after:", "fetched anew from the origin");
    after((struct diagnosis_purge){.second = true, .after = "2.0 s"}, BEHIND_SHIELD("MISS, MISS"),
          SIGHTING_FRESH);
    assert_says("ok after:", "a second purge 2.0 s after the first covers the race");
    status = 503;
    after((struct diagnosis_purge){0}, BEHIND_SHIELD("MISS, MISS"), SIGHTING_FRESH);
    assert_says("warn after:", "there is no new page: the reply is an error, 503");
    status = 200;
}

static void an_old_page(void **state)
{
    (void)state;
    after((struct diagnosis_purge){0}, BEHIND_SHIELD("HIT, MISS") "Age: 9\r\n", SIGHTING_STALE);
    assert_says("fail after:", "the race: the POP AMS (" POP ") was purged, and then fetched the "
                               "old page, 9 s old, from the shield BWI");
    after((struct diagnosis_purge){.repeats = true}, BEHIND_SHIELD("HIT, MISS") "Age: 9\r\n",
          SIGHTING_STALE);
    assert_says("warn after:", "the race");
    after((struct diagnosis_purge){0}, BEHIND_SHIELD("HIT, HIT") "Age: 9\r\n", SIGHTING_STALE);
    assert_says("fail after:", "too early, or ignores the purge");
    after((struct diagnosis_purge){0}, ALONE("HIT") "Age: 9\r\n", SIGHTING_STALE);
    assert_says("fail after:", "does the account purge this service");
    after((struct diagnosis_purge){0}, "Age: 9\r\n", SIGHTING_STALE);
    assert_says("fail after:", "the POP that answered still serves");
    after((struct diagnosis_purge){.second = true, .after = "2.0 s"},
          BEHIND_SHIELD("HIT, HIT") "Age: 9\r\n", SIGHTING_STALE);
    assert_says("fail after:", "still 9 s old after a second purge 2.0 s later");
}

static void an_old_page_after_a_soft_purge(void **state)
{
    struct diagnosis_purge p = {.soft = true, .swr_s = 60};

    (void)state;
    after(p, BEHIND_SHIELD("MISS, HIT") "Age: 9\r\n", SIGHTING_STALE);
    assert_says("note after:", "fetches the new one meanwhile");
    p.looked_before = true;
    after(p, BEHIND_SHIELD("HIT, HIT") "Age: 9\r\n", SIGHTING_STALE);
    assert_says("fail after:", "from a shield that served it stale, and keeps it");
    p = (struct diagnosis_purge){.soft = true};
    after(p, ALONE("HIT") "Age: 9\r\n", SIGHTING_STALE);
    finding("fail after:");
}

static void a_page_of_which_nothing_can_be_said(void **state)
{
    (void)state;
    after((struct diagnosis_purge){0}, ALONE("HIT") "Age: 0\r\n", SIGHTING_OPEN);
    assert_says("note after:", "another visitor may just have fetched it");
    after((struct diagnosis_purge){0}, ALONE("HIT"), SIGHTING_OPEN);
    assert_says("note after:", "there is no Age");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_behind_a_shield),
        cmocka_unit_test(a_page_without_a_shield),
        cmocka_unit_test(a_pop_that_is_its_own_shield_races_with_nobody),
        cmocka_unit_test(a_reply_that_is_not_fastlys),
        cmocka_unit_test(a_page_that_is_not_kept),
        cmocka_unit_test(an_error_and_a_redirect_are_not_the_page),
        cmocka_unit_test(stale_while_revalidate_behind_a_shield_is_a_trap),
        cmocka_unit_test(keys_near_and_above_the_limit),
        cmocka_unit_test(keys_that_are_odd_or_hidden),
        cmocka_unit_test(a_refusal_by_vcl_is_told_from_others),
        cmocka_unit_test(a_fresh_page),
        cmocka_unit_test(an_old_page),
        cmocka_unit_test(an_old_page_after_a_soft_purge),
        cmocka_unit_test(a_page_of_which_nothing_can_be_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
