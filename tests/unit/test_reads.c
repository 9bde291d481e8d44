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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_refusal_is_told_in_words)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
