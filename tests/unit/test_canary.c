/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#include "canary.h"
#include "clock.h"

#define PERIOD_NS (60 * NS_PER_S)
#define START_NS (1000 * NS_PER_S)

/* A page that the canary sees, and how it and Fastly react to purges. */
static struct world {
    struct canary canary;
    uint64_t now_ns;
    uint64_t made_ns; /* when the copy was fetched from the origin */
    bool works[CANARY_KIND_N];
    uint32_t works_from;                /* the number of the purge of a try that works, from 1 */
    const char *refusal[CANARY_KIND_N]; /* "404: no" */
    enum verdict verdict;
    bool keyed, debug, ages, kept, up;
    int status;
    uint32_t looks, purges;
} w;

static struct canary_subject subject = {"news", "https://h/", "k"};
static struct canary_words words;

static int set_up(void **state)
{
    (void)state;
    w = (struct world){.now_ns = START_NS,
                       .made_ns = START_NS - 100 * NS_PER_S,
                       .works = {true, true},
                       .works_from = 1,
                       .verdict = VERDICT_NO_SERVICE,
                       .keyed = true,
                       .debug = true,
                       .ages = true,
                       .kept = true,
                       .up = true,
                       .status = 200};
    canary_init(&w.canary, PERIOD_NS, w.now_ns);
    return 0;
}

static void fetch(void)
{
    char head[512];
    bool miss = !w.made_ns || !w.kept;
    uint64_t age_s;
    struct sighting seen;

    if (miss)
        w.made_ns = w.now_ns;
    age_s = (w.now_ns - w.made_ns) / NS_PER_S;
    snprintf(head, sizeof(head), "HTTP/2 %d\r\nX-Served-By: cache-ams1-AMS\r\nX-Cache: %s\r\n%s%s",
             w.status, miss ? "MISS" : "HIT", w.debug ? "Fastly-Debug-Path: x\r\n" : "",
             w.keyed && w.debug ? "Surrogate-Key: a k\r\n" : "");
    if (w.ages)
        snprintf(head + strlen(head), sizeof(head) - strlen(head), "Age: %llu\r\n",
                 (unsigned long long)age_s);
    sighting_read(&seen, span_str(head));
    w.looks++;
    canary_looked(&w.canary,
                  &(struct canary_look){.seen = w.up ? &seen : NULL,
                                        .has_key = sighting_has_key(span_str(head), span_str("k")),
                                        .why = "no route",
                                        .began_ns = w.now_ns,
                                        .ended_ns = w.now_ns + 10 * NS_PER_MS});
    w.now_ns += 10 * NS_PER_MS;
}

static void purge(void)
{
    enum canary_kind kind = w.canary.kind;
    const char *refusal = w.refusal[kind];
    struct fastly_judgement j = {.verdict = refusal ? w.verdict : VERDICT_PURGED};

    w.purges++;
    if (refusal)
        snprintf(j.reason, sizeof(j.reason), "%s", refusal);
    else if (w.works[kind] && (w.purges - 1) % 2 + 1 >= w.works_from)
        w.made_ns = 0;
    canary_purged(&w.canary, &(struct canary_purge){.judgement = &j,
                                                    .status = refusal ? atoi(refusal) : 200,
                                                    .began_ns = w.now_ns,
                                                    .ended_ns = w.now_ns + 20 * NS_PER_MS});
    w.now_ns += 20 * NS_PER_MS;
}

/* Runs tries until so many have ended. */
static void tries(uint64_t count)
{
    uint64_t end = w.canary.tries[0] + w.canary.tries[1] + count, when_ns;

    while (w.canary.tries[0] + w.canary.tries[1] < end) {
        enum canary_act act = canary_next(&w.canary, w.now_ns, &when_ns);

        if (act == CANARY_WAIT) {
            assert_true(when_ns > w.now_ns && when_ns < NEVER);
            w.now_ns = when_ns;
            continue;
        }
        canary_begin(&w.canary, w.now_ns);
        assert_int_equal(canary_next(&w.canary, w.now_ns, &when_ns), CANARY_WAIT);
        assert_true(when_ns == NEVER);
        if (act == CANARY_LOOK)
            fetch();
        else
            purge();
    }
}

static void shows(enum canary_state state)
{
    assert_string_equal(canary_state_names[w.canary.state], canary_state_names[state]);
}

static void says(const char *what, const char *advice)
{
    canary_explain(&w.canary, &subject, &words);
    if (!strstr(words.what, what) || !strstr(words.advice, advice))
        fail_msg("%s -> %s\n does not say: %s -> %s", words.what, words.advice, what, advice);
}

static void both_kinds_are_needed_to_be_ok(void **state)
{
    (void)state;
    shows(CANARY_UNKNOWN);
    tries(1);
    shows(CANARY_UNKNOWN);
    assert_false(w.canary.changed);
    tries(1);
    shows(CANARY_OK);
    assert_true(w.canary.changed);
    assert_int_equal(w.canary.tries[CANARY_BY_KEY], 1);
    assert_int_equal(w.canary.tries[CANARY_BY_URL], 1);
    says("service news: purges by key and by URL refresh the canary page https://h/", "");
}

static void each_kind_is_tried_once_in_a_period(void **state)
{
    (void)state;
    tries(2);
    tries(20);
    assert_int_equal(w.canary.tries[CANARY_BY_KEY], 11);
    assert_int_equal(w.canary.tries[CANARY_BY_URL], 11);
    assert_true(w.now_ns - START_NS < 11 * PERIOD_NS && w.now_ns - START_NS > 10 * PERIOD_NS);
    assert_int_equal(w.purges, 22);
    assert_int_equal(w.canary.failures[CANARY_BY_KEY], 0);
}

static void a_state_is_told_once(void **state)
{
    (void)state;
    tries(2);
    w.canary.changed = false;
    tries(6);
    assert_false(w.canary.changed);
    w.works[CANARY_BY_KEY] = w.works[CANARY_BY_URL] = false;
    tries(2);
    assert_true(w.canary.changed);
    shows(CANARY_STALE);
}

static void a_dead_token_is_seen_at_the_next_try(void **state)
{
    (void)state;
    tries(2);
    w.verdict = VERDICT_AUTH;
    w.refusal[CANARY_BY_KEY] = w.refusal[CANARY_BY_URL] = "401: Provided credentials are missing";
    tries(1);
    shows(CANARY_TOKEN);
    says("service news: Fastly refuses the token (401: Provided", "put a valid token");
    w.refusal[CANARY_BY_KEY] = w.refusal[CANARY_BY_URL] = NULL;
    tries(1);
    shows(CANARY_TOKEN); /* the other kind may still be refused */
    tries(1);
    shows(CANARY_OK);
}

static void a_service_that_is_not_known_is_told_from_the_token(void **state)
{
    (void)state;
    w.refusal[CANARY_BY_KEY] = "404: Record not found";
    tries(2);
    shows(CANARY_SERVICE);
    says("Fastly refuses its purges by key (404: Record not found)", "correct the id");
    w.verdict = VERDICT_AUTH;
    w.refusal[CANARY_BY_KEY] = "403: You are not authorized";
    tries(2);
    shows(CANARY_SERVICE);
}

static void a_refusal_by_vcl_leaves_keys_alone(void **state)
{
    (void)state;
    w.verdict = VERDICT_DENIED;
    w.refusal[CANARY_BY_URL] = "403: Forbidden";
    tries(2);
    shows(CANARY_VCL);
    says("the purge of the URL https://h/ is refused (403: Forbidden)", "FASTLYPURGE");
    tries(1);
    shows(CANARY_VCL);
    says("(403: Forbidden)", "");
}

static void a_key_that_is_not_on_the_page_is_told(void **state)
{
    (void)state;
    w.keyed = false; /* and yet the page is new after each purge, because others purge it */
    tries(2);
    shows(CANARY_KEY);
    says("the page https://h/ does not carry the surrogate key k", "Surrogate-Key");
}

static void a_key_of_another_service_is_told_from_one_that_is_missing(void **state)
{
    (void)state;
    w.works[CANARY_BY_KEY] = false;
    tries(2);
    shows(CANARY_OTHER_SERVICE);
    says("purges of the key k are accepted, but only a purge of its URL refreshes https://h/",
         "Correct the id");
    w.debug = false; /* VCL hides the keys */
    tries(2);
    shows(CANARY_OTHER_SERVICE);
}

static void dead_purges_by_url_are_told(void **state)
{
    (void)state;
    w.works[CANARY_BY_URL] = false;
    tries(2);
    shows(CANARY_UNKNOWN); /* the key may have ceased to work, too: it is tried at once */
    tries(1);
    assert_true(w.now_ns - START_NS < PERIOD_NS);
    shows(CANARY_URL);
    says("purges by URL are accepted, but only a purge of its key refreshes https://h/", "Compute");
}

static void a_pop_that_ignores_all_purges_is_named(void **state)
{
    (void)state;
    w.works[CANARY_BY_KEY] = w.works[CANARY_BY_URL] = false;
    w.keyed = false;
    tries(1);
    shows(CANARY_KEY);
    tries(1);
    shows(CANARY_STALE);
    says("neither purges by key nor by URL refresh https://h/: the POP AMS still serves a copy "
         "that is ",
         "--all-pops");
}

static void a_pop_that_goes_deaf_is_not_mistaken_for_dead_purges_of_one_kind(void **state)
{
    (void)state;
    tries(2);
    w.works[CANARY_BY_KEY] = w.works[CANARY_BY_URL] = false;
    tries(1);
    shows(CANARY_OK);
    tries(1);
    shows(CANARY_STALE);
    w.works[CANARY_BY_KEY] = w.works[CANARY_BY_URL] = true;
    tries(1);
    shows(CANARY_STALE);
    tries(1);
    shows(CANARY_OK);
}

static void a_kind_that_works_again_while_the_other_does_not_is_told(void **state)
{
    (void)state;
    w.works[CANARY_BY_KEY] = w.works[CANARY_BY_URL] = false;
    tries(2);
    shows(CANARY_STALE);
    w.works[CANARY_BY_URL] = true;
    tries(4);
    shows(CANARY_OTHER_SERVICE);
    w.works[CANARY_BY_KEY] = true;
    tries(2);
    shows(CANARY_OK);
}

static void a_second_purge_covers_the_race_with_the_shield(void **state)
{
    (void)state;
    w.works_from = 2;
    tries(2);
    shows(CANARY_OK);
    assert_int_equal(w.purges, 4);
}

static void an_error_of_the_origin_is_told(void **state)
{
    (void)state;
    w.status = 503;
    tries(1);
    shows(CANARY_ORIGIN);
    says("the canary page https://h/ is an error of the origin (status 503)", "origin");
    assert_int_equal(w.purges, 0);
}

static void a_page_that_cannot_be_fetched_is_told(void **state)
{
    (void)state;
    w.up = false;
    tries(1);
    shows(CANARY_PAGE);
    says("the canary page https://h/ cannot be fetched: no route", "correct its URL");
}

static void a_page_that_shows_nothing_is_told(void **state)
{
    (void)state;
    w.ages = false;
    tries(1);
    shows(CANARY_BLIND);
    says("does not show whether purges work: the reply has no Age", "choose a page");
    set_up(NULL);
    w.kept = false;
    tries(1);
    shows(CANARY_BLIND);
    says("no cache keeps the page", "choose a page");
    assert_int_equal(w.purges, 0);
}

static void a_new_copy_is_purged_only_when_its_age_tells(void **state)
{
    (void)state;
    w.made_ns = START_NS;
    tries(1);
    assert_true(w.now_ns - START_NS >= 3 * NS_PER_S);
    assert_int_equal(w.canary.failures[CANARY_BY_KEY], 0);
}

static void a_failure_that_passes_is_called_one(void **state)
{
    (void)state;
    w.verdict = VERDICT_RETRY;
    w.refusal[CANARY_BY_KEY] = "503: busy";
    tries(1);
    shows(CANARY_API);
    says("the purge of the canary page https://h/ failed (503: busy)", "purgeline status");
}

static void a_try_without_a_result_is_forgotten(void **state)
{
    uint64_t when_ns;

    (void)state;
    canary_begin(&w.canary, w.now_ns);
    canary_abandon(&w.canary, w.now_ns);
    assert_int_equal(w.canary.tries[CANARY_BY_KEY], 0);
    assert_int_equal(canary_next(&w.canary, w.now_ns, &when_ns), CANARY_WAIT);
    assert_true(when_ns == w.now_ns + PERIOD_NS / 2);
    canary_token_refused(&w.canary, "401: no", w.now_ns);
    shows(CANARY_TOKEN);
    w.now_ns += PERIOD_NS;
    tries(2);
    shows(CANARY_OK);
}

static void a_key_is_found_in_any_line_of_surrogate_key(void **state)
{
    struct span head =
        SPAN("HTTP/1.1 200 OK\r\nX: k\r\nsurrogate-key: a bk  c\r\nSurrogate-Key: k d\r\n");

    (void)state;
    assert_true(sighting_has_key(head, SPAN("c")));
    assert_true(sighting_has_key(head, SPAN("k")));
    assert_true(sighting_has_key(head, SPAN("d")));
    assert_false(sighting_has_key(head, SPAN("b")));
    assert_false(sighting_has_key(SPAN(""), SPAN("b")));
    assert_false(sighting_has_key(SPAN("Surrogate-Key:"), SPAN("")));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(both_kinds_are_needed_to_be_ok),
        TEST(each_kind_is_tried_once_in_a_period),
        TEST(a_state_is_told_once),
        TEST(a_dead_token_is_seen_at_the_next_try),
        TEST(a_service_that_is_not_known_is_told_from_the_token),
        TEST(a_refusal_by_vcl_leaves_keys_alone),
        TEST(a_key_that_is_not_on_the_page_is_told),
        TEST(a_key_of_another_service_is_told_from_one_that_is_missing),
        TEST(dead_purges_by_url_are_told),
        TEST(a_pop_that_ignores_all_purges_is_named),
        TEST(a_pop_that_goes_deaf_is_not_mistaken_for_dead_purges_of_one_kind),
        TEST(a_kind_that_works_again_while_the_other_does_not_is_told),
        TEST(a_second_purge_covers_the_race_with_the_shield),
        TEST(an_error_of_the_origin_is_told),
        TEST(a_page_that_cannot_be_fetched_is_told),
        TEST(a_page_that_shows_nothing_is_told),
        TEST(a_new_copy_is_purged_only_when_its_age_tells),
        TEST(a_failure_that_passes_is_called_one),
        TEST(a_try_without_a_result_is_forgotten),
        TEST(a_key_is_found_in_any_line_of_surrogate_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
