/* SPDX-License-Identifier: MIT
 * Replies after a purge, one by one; then ten thousand checks of caches that refill while they are
 * purged. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

#include "rng.h"
#include "verify.h"

#define AT(s) ((uint64_t)(1000 + (s)) * NS_PER_S)
#define HIT(age) "HTTP/2 200 \r\nage: " age "\r\nx-served-by: cache-a-AMS\r\nx-cache: HIT\r\n\r\n"

static struct verify_finding found;

/* Ten seconds after a purge that took 100 ms. */
static enum verify_result judge(const char *head, bool soft, bool seen_stale)
{
    const struct verify_look l = {.head = span_str(head),
                                  .began_ns = AT(0),
                                  .purged_ns = AT(0) + 100 * NS_PER_MS,
                                  .asked_ns = AT(10),
                                  .answered_ns = AT(10) + 50 * NS_PER_MS,
                                  .soft = soft,
                                  .seen_stale = seen_stale};

    return verify_judge(&l, &found);
}

static enum verify_result of(const char *head)
{
    return judge(head, false, false);
}

static void a_copy_older_than_the_purge_is_stale(void **state)
{
    (void)state;
    assert_int_equal(of(HIT("11")), VERIFY_STALE);
    assert_string_equal(found.pop, "AMS");
    assert_int_equal(found.older_ms, 11000 - 10051);
    assert_int_equal(of(HIT("3600")), VERIFY_STALE);
}

static void a_copy_younger_than_the_purge_is_fresh(void **state)
{
    (void)state;
    assert_int_equal(of(HIT("0")), VERIFY_FRESH);
    assert_int_equal(of(HIT("8")), VERIFY_FRESH);
    assert_string_equal(found.why, "");
}

/* The purge was 9.9 s ago. A copy of 9.0 to 9.99 s has Age 9, one of 10.0 s has Age 10. */
static void a_copy_from_the_second_of_the_purge_is_neither(void **state)
{
    (void)state;
    assert_int_equal(of(HIT("9")), VERIFY_UNSURE);
    assert_int_equal(of(HIT("10")), VERIFY_UNSURE);
    assert_string_equal(found.why, "the copy may be from the second of the purge");
}

/* The purge was sent at 0, and answered at 0.1 s. */
static void a_copy_from_that_second_is_looked_at_at_another_moment(void **state)
{
    struct verify_look l = {.head = SPAN(HIT("10")),
                            .began_ns = AT(0),
                            .purged_ns = AT(0) + 100 * NS_PER_MS,
                            .asked_ns = AT(10) + 120 * NS_PER_MS,
                            .answered_ns = AT(10) + 140 * NS_PER_MS};

    (void)state;
    assert_int_equal(verify_judge(&l, &found),
                     VERIFY_UNSURE); /* just after 10 s: next, before 11 s */
    assert_int_equal(found.again_ns, AT(11) - 90 * NS_PER_MS);
    l.asked_ns = found.again_ns;
    l.answered_ns = l.asked_ns + 20 * NS_PER_MS;
    assert_int_equal(verify_judge(&l, &found),
                     VERIFY_UNSURE); /* it is from the moment of the purge */
    assert_int_equal(found.again_ns, AT(12) + 100 * NS_PER_MS);
    l.head = SPAN(HIT("11"));
    assert_int_equal(verify_judge(&l, &found), VERIFY_STALE);
    assert_int_equal(found.again_ns, 0);
    l.head = SPAN(HIT("9"));
    assert_int_equal(verify_judge(&l, &found), VERIFY_FRESH);
    assert_int_equal(found.again_ns, 0);
}

/* A reply that takes so long does not come before the whole second, whenever it is asked for. */
static void a_slow_page_is_only_looked_at_after_whole_seconds(void **state)
{
    struct verify_look l = {.head = SPAN(HIT("10")),
                            .began_ns = AT(0),
                            .purged_ns = AT(0),
                            .asked_ns = AT(10) + 10 * NS_PER_MS,
                            .answered_ns = AT(10) + 510 * NS_PER_MS};

    (void)state;
    assert_int_equal(verify_judge(&l, &found), VERIFY_UNSURE);
    assert_int_equal(found.again_ns, AT(12));
}

static void a_page_from_the_origin_is_fresh(void **state)
{
    (void)state;
    assert_int_equal(of("HTTP/2 200 \r\nx-served-by: cache-a-BWI, cache-b-AMS\r\n"
                        "x-cache: MISS, MISS\r\n\r\n"),
                     VERIFY_FRESH);
    assert_int_equal(of("HTTP/2 404 \r\nage: 1\r\n\r\n"), VERIFY_FRESH);
    assert_int_equal(of("HTTP/2 410 \r\nage: 900\r\n\r\n"), VERIFY_STALE);
}

#define OLD(number) "HTTP/2 200 \r\nage: 3600\r\nx-cache: HIT\r\nX-Version:" number "\r\n\r\n"

static enum verify_result numbered(const char *head, bool soft, bool seen_stale)
{
    const struct verify_look l = {.head = span_str(head),
                                  .began_ns = AT(0),
                                  .purged_ns = AT(1),
                                  .asked_ns = AT(10),
                                  .answered_ns = AT(11),
                                  .soft = soft,
                                  .seen_stale = seen_stale,
                                  .header = SPAN("x-version"),
                                  .at_least = 17};

    return verify_judge(&l, &found);
}

static void a_number_decides_and_not_the_age(void **state)
{
    (void)state;
    assert_int_equal(numbered(OLD(" 17"), false, false), VERIFY_FRESH);
    assert_int_equal(numbered(OLD("18"), false, false), VERIFY_FRESH);
    assert_int_equal(numbered(OLD("99999999999999999999"), false, false), VERIFY_FRESH);
    assert_int_equal(numbered(OLD("16 "), false, false), VERIFY_STALE);
    assert_int_equal(numbered("HTTP/2 200 \r\nx-cache: MISS\r\nx-version: 9\r\n\r\n", false, false),
                     VERIFY_STALE);
    assert_string_equal(found.why, "the header's number is lower than at_least");
    assert_int_equal(numbered(OLD("16"), true, false), VERIFY_UNSURE);
    assert_true(found.excused);
    assert_int_equal(numbered(OLD("16"), true, true), VERIFY_STALE);
    assert_int_equal(numbered("HTTP/2 503 \r\nx-version: 17\r\n\r\n", false, false), VERIFY_UNSURE);
}

static void without_a_number_it_cannot_be_told(void **state)
{
    (void)state;
    assert_int_equal(numbered(HIT("0"), false, false), VERIFY_UNKNOWN);
    assert_string_equal(found.why, "the reply does not have the header with the number");
    assert_int_equal(numbered("HTTP/2 200 \r\nx-version2: 17\r\nx-version", false, false),
                     VERIFY_UNKNOWN);
    assert_string_equal(found.why, "the reply does not have the header with the number");
    assert_int_equal(numbered(OLD(""), false, false), VERIFY_UNKNOWN);
    assert_string_equal(found.why, "the header is not a whole number");
    assert_int_equal(numbered(OLD("v17"), false, false), VERIFY_UNKNOWN);
}

static void a_soft_purge_excuses_one_stale_copy(void **state)
{
    (void)state;
    assert_int_equal(judge(HIT("3600"), true, false), VERIFY_UNSURE);
    assert_true(found.excused);
    assert_int_equal(judge(HIT("3600"), true, true), VERIFY_STALE);
    assert_false(found.excused);
    assert_int_equal(judge(HIT("1"), true, false), VERIFY_FRESH);
    assert_int_equal(judge(HIT("10"), true, false), VERIFY_UNSURE);
    assert_false(found.excused);
}

static void replies_that_do_not_show_the_page_prove_nothing(void **state)
{
    static const struct {
        const char *head, *why;
        enum verify_result result;
    } cases[] = {
        {"HTTP/2 503 \r\nage: 3600\r\n\r\n", "the page was answered with an error", VERIFY_UNSURE},
        {"HTTP/2 429 \r\n\r\n", "the page was answered with an error", VERIFY_UNSURE},
        {"HTTP/2 301 \r\nage: 3600\r\n\r\n", "the page is a redirect", VERIFY_UNKNOWN},
        {"HTTP/2 401 \r\nage: 3600\r\n\r\n", "the page is not public", VERIFY_UNKNOWN},
        {"HTTP/2 400 \r\nage: 3600\r\n\r\n", "the reply does not show the page", VERIFY_UNKNOWN},
        {"", "the reply does not show the page", VERIFY_UNKNOWN},
        {"HTTP/2 200 \r\n\r\n", "the reply has no Age header", VERIFY_UNKNOWN},
        {"HTTP/2 200 \r\nage: soon\r\n\r\n", "the reply has no Age header", VERIFY_UNKNOWN},
        {"HTTP/2 200 \r\ncache-control: private\r\nx-served-by: cache-a-AMS\r\nx-cache: "
         "MISS\r\n\r\n",
         "Fastly does not cache the page", VERIFY_UNKNOWN},
        {"HTTP/2 200 \r\ncache-control: no-store\r\nage: 0\r\n\r\n",
         "Fastly does not cache the page", VERIFY_UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        assert_int_equal(of(cases[i].head), cases[i].result);
        assert_string_equal(found.why, cases[i].why);
    }
}

/* Visitors must not cache the page, and Fastly does. */
static void max_age_0_does_not_keep_a_page_out_of_the_cache(void **state)
{
    (void)state;
    assert_int_equal(of("HTTP/2 200 \r\ncache-control: max-age=0\r\nage: 3600\r\n\r\n"),
                     VERIFY_STALE);
    assert_int_equal(of("HTTP/2 200 \r\ncache-control: private\r\nage: 3600\r\n"
                        "x-served-by: cache-a-AMS\r\nx-cache: HIT\r\n\r\n"),
                     VERIFY_STALE);
}

static void the_name_of_a_pop_is_not_believed_if_it_is_no_name(void **state)
{
    (void)state;
    of("HTTP/2 200 \r\nage: 3600\r\nx-served-by: cache-a-A\"B\r\nx-cache: HIT\r\n\r\n");
    assert_string_equal(found.pop, "");
    of("HTTP/2 200 \r\nage: 3600\r\nx-served-by: cache-a-ABCDEFGHIJKLMNOP\r\nx-cache: HIT\r\n\r\n");
    assert_string_equal(found.pop, "");
    of("HTTP/2 200 \r\nage: 3600\r\nx-served-by: cache-a-ABCDEFGHIJKLMNO\r\nx-cache: HIT\r\n\r\n");
    assert_string_equal(found.pop, "ABCDEFGHIJKLMNO");
}

/* -- a model: a POP and its shield ----------------------------------------------------------- */

/* Nanoseconds are too fine for it: times are in microseconds, from the beginning of the world. */
struct cache {
    uint64_t born_us;    /* when its copy left the origin */
    uint64_t fetched_us; /* when it got the copy */
    uint64_t base_age_s; /* the Age that the copy had then */
    double rate;         /* of its clock */
    bool empty;
};

struct model {
    struct rng rng;
    struct cache shield, pop;
    uint64_t purge_us, purged_us;           /* the request, its answer */
    uint64_t shield_hears_us, pop_hears_us; /* NEVER: deaf */
};

static uint64_t chance(struct model *m, uint64_t us)
{
    return rng_below(&m->rng, us + 1);
}

static uint64_t age_s(const struct cache *c, uint64_t at_us)
{
    return c->base_age_s + (uint64_t)((double)(at_us - c->fetched_us) * c->rate) / 1000000;
}

static void visit_shield(struct model *m, uint64_t at_us)
{
    if (!m->shield.empty)
        return;
    m->shield.born_us = m->shield.fetched_us = at_us;
    m->shield.base_age_s = 0;
    m->shield.empty = false;
}

/* Returns whether the POP had it. */
static bool visit(struct model *m, uint64_t at_us)
{
    if (!m->pop.empty)
        return true;
    visit_shield(m, at_us);
    m->pop.born_us = m->shield.born_us;
    m->pop.base_age_s = age_s(&m->shield, at_us);
    m->pop.fetched_us = at_us;
    m->pop.empty = false;
    return false;
}

static double some_rate(struct model *m)
{
    return 1.0 + ((double)chance(m, 100) - 50.0) / 1e6; /* 50 ppm, as NTP keeps it */
}

static void begin(struct model *m)
{
    uint64_t now_us = 5000000000, old_us = chance(m, 7200000000 / 2);

    m->shield = (struct cache){.born_us = now_us - old_us, .rate = some_rate(m)};
    m->shield.fetched_us = m->shield.born_us;
    m->pop = (struct cache){.rate = some_rate(m), .empty = true};
    visit(m, now_us - chance(m, old_us));
    m->purge_us = now_us;
    m->purged_us = now_us + 10000 + chance(m, 400000);
    m->shield_hears_us = m->purge_us + chance(m, m->purged_us - m->purge_us);
    m->pop_hears_us = m->purge_us + chance(m, m->purged_us - m->purge_us);
    if (chance(m, 9) == 0)
        m->shield_hears_us += chance(m, 3000000); /* late: after the answer */
    if (chance(m, 9) == 0)
        m->pop_hears_us += chance(m, 3000000);
    if (chance(m, 9) == 0)
        m->pop_hears_us = NEVER;
    if (chance(m, 19) == 0)
        m->shield_hears_us = NEVER;
}

/* Lets time pass until at_us: purges are heard, and visitors come all the while. */
static void live(struct model *m, uint64_t from_us, uint64_t at_us, uint64_t every_us)
{
    for (uint64_t t = from_us; t < at_us; t += 1 + chance(m, every_us)) {
        if (m->shield_hears_us <= t) {
            m->shield.empty = true;
            m->shield_hears_us = NEVER;
        }
        if (m->pop_hears_us <= t) {
            m->pop.empty = true;
            m->pop_hears_us = NEVER;
        }
        if (chance(m, 2) == 0)
            visit_shield(m, t);
        if (chance(m, 1) == 0)
            visit(m, t);
    }
}

struct seen {
    enum verify_result result;
    uint64_t born_us;
    uint64_t took_us;
};

static struct seen look(struct model *m, uint64_t at_us)
{
    uint64_t served_us = at_us + 1000 + chance(m, 100000),
             back_us = served_us + 1000 + chance(m, 100000);
    struct verify_look l = {.began_ns = m->purge_us * 1000,
                            .purged_ns = m->purged_us * 1000,
                            .asked_ns = at_us * 1000,
                            .answered_ns = back_us * 1000};
    bool hit = visit(m, served_us);
    char head[300];

    snprintf(head, sizeof(head),
             "HTTP/2 200 \r\nAge: %" PRIu64 "\r\nX-Served-By: cache-a-BWI, cache-b-AMS\r\n"
             "X-Cache: %s, %s\r\n\r\n",
             age_s(&m->pop, served_us), m->pop.base_age_s ? "HIT" : "MISS", hit ? "HIT" : "MISS");
    l.head = span_str(head);
    return (struct seen){verify_judge(&l, &found), m->pop.born_us, back_us - at_us};
}

/* Two caches cut a second each, and the look itself takes time. */
#define BLIND_US 2100000

static void ten_thousand_checks_have_no_false_alarm_and_find_every_stale_copy_S48(void **state)
{
    struct model m = {.rng = {48}};
    uint32_t stale = 0, fresh = 0, unsure = 0;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        uint64_t at_us;
        struct seen s;

        begin(&m);
        at_us = m.purged_us + 1000000 * (1 + chance(&m, 20)) + chance(&m, 30000);
        live(&m, m.purge_us, at_us, 1 + chance(&m, 2000000));
        s = look(&m, at_us);
        if (s.born_us >= m.purge_us)
            assert_int_not_equal(s.result, VERIFY_STALE); /* a newer write is no alarm */
        if (s.born_us + BLIND_US + s.took_us < m.purge_us)
            assert_int_equal(s.result, VERIFY_STALE);
        if (s.born_us < m.purge_us)
            assert_int_not_equal(s.result, VERIFY_FRESH);
        stale += s.result == VERIFY_STALE;
        fresh += s.result == VERIFY_FRESH;
        unsure += s.result == VERIFY_UNSURE;
    }
    assert_true(stale > 1000); /* all three happen, so all three were tested */
    assert_true(fresh > 4000);
    assert_true(unsure > 1000);
}

/* One cache, whose copy was born up to a second before or after the purge. At most two further
 * looks, as verification takes them, leave only those in doubt that are from the moment of the
 * purge. */
static void two_more_looks_decide_about_nearly_every_copy(void **state)
{
    struct model m = {.rng = {5}};
    uint32_t decided = 0, wrong = 0;

    (void)state;
    for (int i = 0; i < 4000; i++) {
        uint64_t asked_us, born_us;
        struct seen s;

        m.purge_us = 5000000000;
        m.purged_us = m.purge_us + 10000 + chance(&m, 50000);
        born_us = m.purge_us - 1000000 + chance(&m, 2000000);
        m.pop = (struct cache){.born_us = born_us, .fetched_us = born_us, .rate = some_rate(&m)};
        asked_us = m.purged_us + (i % 2 ? 2000000 : 1200000) + chance(&m, 10000);
        s = look(&m, asked_us);
        for (int again = 0; s.result == VERIFY_UNSURE && again < 2; again++)
            s = look(&m, found.again_ns / 1000 + chance(&m, 10000));
        decided += s.result != VERIFY_UNSURE;
        wrong += s.result == VERIFY_STALE && born_us >= m.purge_us;
        wrong += s.result == VERIFY_FRESH && born_us < m.purge_us;
    }
    assert_int_equal(wrong, 0);
    assert_in_range(decided, 3200, 3999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_older_than_the_purge_is_stale),
        cmocka_unit_test(a_copy_younger_than_the_purge_is_fresh),
        cmocka_unit_test(a_copy_from_the_second_of_the_purge_is_neither),
        cmocka_unit_test(a_copy_from_that_second_is_looked_at_at_another_moment),
        cmocka_unit_test(a_slow_page_is_only_looked_at_after_whole_seconds),
        cmocka_unit_test(a_page_from_the_origin_is_fresh),
        cmocka_unit_test(a_number_decides_and_not_the_age),
        cmocka_unit_test(without_a_number_it_cannot_be_told),
        cmocka_unit_test(a_soft_purge_excuses_one_stale_copy),
        cmocka_unit_test(replies_that_do_not_show_the_page_prove_nothing),
        cmocka_unit_test(max_age_0_does_not_keep_a_page_out_of_the_cache),
        cmocka_unit_test(the_name_of_a_pop_is_not_believed_if_it_is_no_name),
        cmocka_unit_test(two_more_looks_decide_about_nearly_every_copy),
        cmocka_unit_test(ten_thousand_checks_have_no_false_alarm_and_find_every_stale_copy_S48),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
