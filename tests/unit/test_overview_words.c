/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "overview_words.h"

static char words[OVERVIEW_WORDS_MAX];

static enum overview_mood mood_of(const struct overview *o)
{
    return overview_words(o, words, sizeof(words));
}

static struct overview led(const char *status)
{
    return (struct overview){.leader = (char *)"host/1", .status = (char *)status};
}

static void the_sentence_says_what_matters_most(void **state)
{
    static const struct {
        const char *status;
        enum overview_mood mood;
        const char *words;
    } cases[] = {
        {"{\"state\":\"leading\",\"brake\":\"free\"}", OVERVIEW_GOOD, "healthy, nothing waits"},
        {"{\"state\":\"leading\",\"brake\":\"held\",\"brake_cause\":\"token refused\"}",
         OVERVIEW_TROUBLE,
         "NOT SENDING: Fastly refuses the token; give it a valid one and reload purgeline"},
        {"{\"state\":\"leading\",\"brake\":\"probing\",\"brake_cause\":\"token refused\","
         "\"brake_status\":401,\"brake_for_ms\":3600,\"brake_remedy\":\"put a valid one into /t\"}",
         OVERVIEW_TROUBLE,
         "NOT SENDING: Fastly refuses the token (401) for 3.6 s; put a valid one into /t"},
        {"{\"state\":\"leading\",\"brake\":\"probing\",\"brake_cause\":\"outage\"}",
         OVERVIEW_TROUBLE,
         "Fastly cannot be reached or answers with errors; tried until it is back"},
        {"{\"state\":\"leading\",\"brake\":\"held\",\"brake_cause\":\"throttled\"}",
         OVERVIEW_SLOWED, "held by Fastly (429); it goes on by itself"},
        {"{\"state\":\"leading\",\"brake\":\"held\",\"brake_cause\":\"throttled\","
         "\"brake_until\":1799999000123}",
         OVERVIEW_SLOWED, "held by Fastly until 07:43:20 (429); then it goes on by itself"},
        {"{\"state\":\"leading\",\"brake\":\"probing\",\"brake_cause\":\"throttled\"}",
         OVERVIEW_SLOWED, "held by Fastly (429): one request at a time is tried"},
        {"{\"state\":\"leading\",\"brake\":\"growing\",\"brake_cause\":\"outage\"}",
         OVERVIEW_SLOWED, "coming back to its full pace"},
        {"{\"state\":\"draining\",\"brake\":\"free\"}", OVERVIEW_SLOWED,
         "its leader is taking over or leaving"},
        /* a leader of a newer version sends more members, and has other reasons */
        {"{\"version\":\"99.1\",\"state\":\"leading\",\"brake\":\"free\",\"new\":{\"a\":[1]}}",
         OVERVIEW_GOOD, "healthy, nothing waits"},
        {"{\"version\":7,\"state\":\"leading\",\"brake\":\"growing\",\"brake_cause\":\"a new "
         "reason\"}",
         OVERVIEW_SLOWED, "coming back to its full pace"},
        {"{\"state\":\"leading\",\"brake\":\"held\",\"brake_cause\":\"another\"}", OVERVIEW_SLOWED,
         "its leader waits (another); this purgeline is older than its leader: upgrade it"},
        {NULL, OVERVIEW_SLOWED, "somebody leads it and says nothing of itself: look at its log"},
        {"no json", OVERVIEW_SLOWED, "its leader is taking over or leaving"},
    };
    struct overview o;

    (void)state;
    setenv("TZ", "UTC0", 1);
    tzset();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        o = led(cases[i].status);
        assert_int_equal(mood_of(&o), cases[i].mood);
        assert_string_equal(words, cases[i].words);
    }
    o = led(cases[0].status);
    o.lanes[LANE_BULK].jobs = 3;
    assert_int_equal(mood_of(&o), OVERVIEW_GOOD);
    assert_string_equal(words, "healthy, purging");
    o.budget[LEDGER_PURGE] = (struct overview_budget){.counted = true, .known = true};
    assert_int_equal(mood_of(&o), OVERVIEW_SLOWED);
    assert_string_equal(words, "the budget is spent; what waits is sent as it comes back");
    o.leader = NULL;
    assert_int_equal(mood_of(&o), OVERVIEW_TROUBLE);
    assert_string_equal(words, "nobody leads it: start 'purgeline run', or look at its log");
}

static void an_account_that_redis_refuses_to_read_is_not_said_to_be_anything_else(void **state)
{
    struct overview o = {.unreadable = (char *)"WRONGTYPE Operation\x1b against a key"};

    (void)state;
    assert_int_equal(mood_of(&o), OVERVIEW_TROUBLE);
    assert_string_equal(words,
                        "unknown: Redis refuses to read it: WRONGTYPE Operation\\x1b against a "
                        "key; purgeline check names the key, and purgeline check --repair "
                        "repairs it");
}

static void what_repeat_after_auto_means_is_told_per_service(void **state)
{
    struct overview o = led("{\"repeats\":[{\"service\":\"ne\\u001bws\",\"after_ms\":4200},"
                            "{\"service\":7},5]}");
    struct overview_repeat r;

    (void)state;
    assert_true(overview_repeat(&o, 0, &r));
    assert_string_equal(r.service, "ne\\x1bws");
    assert_int_equal(r.after_ms, 4200);
    assert_true(overview_repeat(&o, 1, &r));
    assert_string_equal(r.service, "");
    assert_false(overview_repeat(&o, 2, &r));
    o = led("{}");
    assert_false(overview_repeat(&o, 0, &r));
    o = led(NULL);
    assert_false(overview_repeat(&o, 0, &r));
}

/* Text that others wrote into Redis must not control the terminal. */
static void what_others_wrote_is_shown_as_text(void **state)
{
    struct overview o = led("{\"last_error\":\"a\\u001b[2Jb\",\"last_error_age_ms\":5,"
                            "\"needs_restart\":\"x\\u0007\"}");
    uint64_t age_ms;

    (void)state;
    o.paused = true;
    o.paused_by = (char *)"ops\x1b[31m";
    o.paused_why = (char *)"because\nof this, f\xc3\xbcr uns";
    assert_int_equal(mood_of(&o), OVERVIEW_TROUBLE);
    assert_null(strpbrk(words, "\x1b\n"));
    assert_string_equal(words, "paused: because\\x0aof this, f\xc3\xbcr uns");
    assert_true(overview_last_error(&o, words, sizeof(words), &age_ms));
    assert_int_equal(age_ms, 5);
    assert_null(strchr(words, '\x1b'));
    assert_true(overview_needs_restart(&o, words, sizeof(words)));
    assert_null(strchr(words, '\x07'));
    o = led("{}");
    assert_false(overview_last_error(&o, words, sizeof(words), &age_ms));
    assert_false(overview_needs_restart(&o, words, sizeof(words)));
}

static void a_429_that_came_too_early_is_told_for_its_ledger(void **state)
{
    static const char halved[] =
        "{\"at\":1500,\"refused_early\":{\"url\":{\"at\":1000,\"halved_until\":2000,"
        "\"less_until\":3000,\"spent\":31000,\"units\":100000,\"burst\":25000}}}";
    static const char growing[] =
        "{\"at\":2000,\"refused_early\":{\"url\":{\"at\":1000,\"halved_until\":2000}}}";
    struct overview o = led(halved);
    struct overview_early e;

    (void)state;
    assert_false(overview_refused_early(&o, LEDGER_PURGE, &e));
    assert_true(overview_refused_early(&o, LEDGER_URL, &e));
    assert_int_equal(e.at_ms, 1000);
    assert_int_equal(e.halved_until_ms, 2000);
    assert_int_equal(e.less_until_ms, 3000);
    assert_int_equal(e.spent, 31000);
    assert_int_equal(e.units, 100000);
    assert_int_equal(e.burst, 25000);
    assert_false(e.growing);
    o = led(growing);
    assert_true(overview_refused_early(&o, LEDGER_URL, &e));
    assert_true(e.growing);
    o = led("{\"refused_early\":{\"purge\":{\"at\":-5}}}");
    assert_false(overview_refused_early(&o, LEDGER_PURGE, &e));
    o = led("{\"refused_early\":7}");
    assert_false(overview_refused_early(&o, LEDGER_PURGE, &e));
}

static void looks_at_pages_are_told_if_there_were_any(void **state)
{
    struct overview o = led("{\"verified_fresh\":7,\"verified_stale\":1,\"verify_repairs\":6}");
    struct overview_verified v;

    (void)state;
    assert_true(overview_verified(&o, &v));
    assert_int_equal(v.fresh, 7);
    assert_int_equal(v.stale, 1);
    assert_int_equal(v.unknown, 0);
    assert_int_equal(v.repairs, 6);
    o = led("{\"verified_fresh\":0,\"verified_stale\":-1}");
    assert_false(overview_verified(&o, &v));
    o = led("{\"verify_pending\":1}");
    assert_true(overview_verified(&o, &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sentence_says_what_matters_most),
        cmocka_unit_test(an_account_that_redis_refuses_to_read_is_not_said_to_be_anything_else),
        cmocka_unit_test(what_repeat_after_auto_means_is_told_per_service),
        cmocka_unit_test(what_others_wrote_is_shown_as_text),
        cmocka_unit_test(a_429_that_came_too_early_is_told_for_its_ledger),
        cmocka_unit_test(looks_at_pages_are_told_if_there_were_any),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
