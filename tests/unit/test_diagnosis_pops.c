/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "unit.h"

#include "buf.h"
#include "diagnosis_pops.h"

static char said[4096]; /* "grade: sentence -> advice", one line each */

static void take(void *ctx, const struct diagnosis_finding *f)
{
    (void)ctx;
    assert_string_equal(f->subject, "pops");
    snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s: %s -> %s\n",
             diagnosis_grade_names[f->grade], f->what, f->advice);
}

/* One POP for each word "name:hash:age:status:cache". */
static void explain(const char *pops, const struct diagnosis_pops_purge *purge)
{
    char name[64], hash[64], age[16], cache[16];
    struct buf body;
    struct edge_check e;
    struct error err;
    struct span rest = span_str(pops), word;
    int status;

    buf_init(&body, 1 << 20);
    buf_printf(&body, "[");
    while (span_next_word(&rest, ' ', &word)) {
        char one[200];

        snprintf(one, sizeof(one), "%.*s", (int)word.n, word.p);
        assert_int_equal(
            sscanf(one, "%63[^:]:%63[^:]:%15[^:]:%d:%15s", name, hash, age, &status, cache), 5);
        buf_printf(&body,
                   "%s{\"pop\":\"%s\",\"hash\":\"%s\",\"response\":{\"status\":%d,\"headers\":"
                   "{\"Age\":\"%s\",\"X-Served-By\":\"cache-x-X\",\"X-Cache\":\"%s\"}}}",
                   body.n > 1 ? "," : "", name, hash, status, age, cache);
    }
    buf_printf(&body, "]");
    assert_int_equal(edge_check_read(&e, buf_span(&body), &err), 0);
    *said = '\0';
    diagnosis_pops(&e, purge, take, NULL);
    edge_check_deinit(&e);
    buf_deinit(&body);
}

static void assert_said(const char *part)
{
    if (!strstr(said, part))
        fail_msg("%s\n does not say: %s", said, part);
}

static void pops_with_the_same_content_are_well(void **state)
{
    (void)state;
    explain("ams:x:5:200:HIT bos:x:900:200:HIT", NULL);
    assert_string_equal(said, "ok: 2 of 2 POPs have the same content -> \n");
}

static void a_pop_that_differs_is_named_with_its_age(void **state)
{
    (void)state;
    explain("ams:x:5:200:HIT bos:x:6:200:HIT bom:y:900:200:HIT", NULL);
    assert_said("warn: 1 of 3 POPs have other content than the rest: bom (900 s old) -> a copy "
                "that is older");
}

static void a_pop_that_did_not_answer_is_not_called_different(void **state)
{
    (void)state;
    explain("ams:x:5:200:HIT tyo:error-timeout-tyo:-:0:?", NULL);
    assert_string_equal(said,
                        "warn: 1 of 2 POPs did not answer in time: tyo -> ask once more; what they "
                        "hold is not known\nok: 1 of 2 POPs have the same content -> \n");
}

static void a_page_that_is_too_large_is_told(void **state)
{
    (void)state;
    explain("ams:warning-too-large-ams:5:200:HIT", NULL);
    assert_string_equal(said, "note: the page is too large for edge_check to compare its content "
                              "in 1 of 1 POPs: ams (5 s old) -> compare their ages\n");
}

static void an_error_of_the_origin_is_told(void **state)
{
    (void)state;
    explain("ams:x:0:503:MISS bos:x:0:499:MISS", NULL);
    assert_said("warn: 1 of 2 POPs answer with an error of the server: ams (0 s old) -> look at "
                "the origin");
}

static void no_pop_at_all_is_told(void **state)
{
    (void)state;
    explain("", NULL);
    assert_said("warn: edge_check names no POP");
}

static void of_many_pops_only_some_are_named(void **state)
{
    (void)state;
    explain("m1:x:5:200:HIT m2:x:5:200:HIT a:y:1:200:HIT b:z:1:200:HIT c:3:1:200:HIT "
            "d:4:1:200:HIT e:5:1:200:HIT f:6:1:200:HIT g:7:1:200:HIT h:8:1:200:HIT",
            NULL);
    assert_false(strstr(said, " more") != NULL);
    assert_said("8 of 10 POPs have other content");
    explain("m1:x:5:200:HIT m2:x:5:200:HIT a:y:1:200:HIT b:z:1:200:HIT c:3:1:200:HIT "
            "d:4:1:200:HIT e:5:1:200:HIT f:6:1:200:HIT g:7:1:200:HIT h:8:1:200:HIT i:9:1:200:HIT",
            NULL);
    assert_said("9 of 11 POPs have other content");
    assert_said("(1 s old) and 1 more ->");
}

static void a_copy_older_than_the_purge_is_a_failure(void **state)
{
    const struct diagnosis_pops_purge purge = {.least_ms = 3000, .most_ms = 4000};

    (void)state;
    explain("ams:x:4:200:HIT bos:x:5:200:HIT lon:x:9:200:MISS", &purge);
    assert_said("fail: 1 of 3 POPs still serve a copy that is older than the purge: bos (5 s old)");
    assert_false(strstr(said, "fetched the page") != NULL);
}

static void pops_that_fetched_the_page_anew_are_counted(void **state)
{
    const struct diagnosis_pops_purge purge = {.least_ms = 3000, .most_ms = 4000};

    (void)state;
    explain("ams:x:2:200:HIT lon:x:9:200:MISS tyo:error-timeout-tyo:-:0:?", &purge);
    assert_said("ok: 2 of 3 POPs have fetched the page after the purge, or at most 2 s before it");
    explain("tyo:error-timeout-tyo:-:0:?", &purge);
    assert_false(strstr(said, "fetched the page") != NULL);
}

static void a_pop_without_an_age_is_unclear(void **state)
{
    const struct diagnosis_pops_purge purge = {.least_ms = 3000, .most_ms = 3500};

    (void)state;
    explain("ams:x:-:200:HIT lon:x:1:200:HIT", &purge);
    assert_said("note: 1 of 2 POPs tell no Age, so whether their copy is older than the purge "
                "cannot be said: ams");
    assert_said("ok: 1 of 2 POPs have fetched the page after the purge, or at most 1 s before it");
}

static void a_page_that_may_be_stale_once_is_no_failure(void **state)
{
    const struct diagnosis_pops_purge purge = {3000, 4000, .stale_once = true};

    (void)state;
    explain("ams:x:9:200:HIT", &purge);
    assert_said("note: 1 of 1 POPs served the old page, as stale-while-revalidate allows: ams");
    assert_false(strstr(said, "fail") != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pops_with_the_same_content_are_well),
        cmocka_unit_test(a_pop_that_differs_is_named_with_its_age),
        cmocka_unit_test(a_pop_that_did_not_answer_is_not_called_different),
        cmocka_unit_test(a_page_that_is_too_large_is_told),
        cmocka_unit_test(an_error_of_the_origin_is_told),
        cmocka_unit_test(no_pop_at_all_is_told),
        cmocka_unit_test(of_many_pops_only_some_are_named),
        cmocka_unit_test(a_copy_older_than_the_purge_is_a_failure),
        cmocka_unit_test(pops_that_fetched_the_page_anew_are_counted),
        cmocka_unit_test(a_pop_without_an_age_is_unclear),
        cmocka_unit_test(a_page_that_may_be_stale_once_is_no_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
