/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "reads.h"

#define AT UINT64_C(1764403200000) /* 2025-11-29 08:00:00 UTC */

static const struct config_account account = {.reads = {.per_minute = 600, .edge_checks = 20}};

static const char *words(enum read_kind kind, bool by_fastly, uint64_t wait_ms)
{
    static char out[200];

    read_refusal_words(
        &account, &(struct read_refusal){.kind = kind, .by_fastly = by_fastly, .wait_ms = wait_ms},
        AT, out, sizeof(out));
    return out;
}

static void a_refusal_is_told_in_words(void **state)
{
    (void)state;
    assert_string_equal(words(READ_API, false, 11001),
                        "the 600 requests a minute to Fastly's API that reads.per_minute allows "
                        "are used up until 08:00:12 UTC, in 12 s");
    assert_string_equal(words(READ_EDGE_CHECK, false, 3540001),
                        "the 20 requests for edge_check an hour that reads.edge_checks allows are "
                        "used up until 08:59:01 UTC, in 60 min");
    assert_string_equal(words(READ_API, true, 119999),
                        "Fastly answered 429: requests to its API are used up until 08:02:00 UTC, "
                        "in 120 s");
    assert_string_equal(words(READ_EDGE_CHECK, true, 120000),
                        "Fastly answered 429: requests for edge_check are used up until 08:02:00 "
                        "UTC, in 2 min");
}

/* However often the log is asked for, that alone never uses up its limit. */
static void the_event_log_has_room_for_its_setting(void **state)
{
    static const uint32_t every_s[] = {1, 7, 300, 86400};
    struct config_account a = {.reads = {.per_minute = 600}};
    enum read_kind kinds[READ_N];

    (void)state;
    for (size_t i = 0; i < array_len(every_s); i++) {
        a.reads.purge_alls_every_s = every_s[i];
        assert_true(read_limit(&a, READ_EVENTS) >= 3600 / every_s[i] + 60);
    }
    assert_int_equal(read_kinds_of(READ_EVENTS, kinds), 2);
    assert_int_equal(kinds[0], READ_API);
    assert_int_equal(kinds[1], READ_EVENTS);
    assert_int_equal(read_kinds_of(READ_API, kinds), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_refusal_is_told_in_words),
                                       cmocka_unit_test(the_event_log_has_room_for_its_setting)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
