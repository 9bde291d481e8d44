/* SPDX-License-Identifier: MIT
 * Tests the format of postponed jobs in Redis. Values that are not valid jobs must be recognised.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "queue_pack.h"
#include "rng.h"

static char *of_length(size_t n)
{
    char *s = alloc_zeroed(n + 1, 1);

    memset(s, 'x', n);
    return s;
}

static void pack_fields(struct buf *out, struct span *fields, size_t count)
{
    struct packed_job job = {LANE_BULK, SPAN("bulk-1-0+r"), SPAN("1-0"), fields, count};

    buf_init(out, SIZE_MAX / 2);
    queue_pack(&job, out);
}

static void strings_of_every_length_come_back(void **state)
{
    static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 100000};

    (void)state;
    for (size_t i = 0; i < array_len(lengths); i++) {
        char *value = of_length(lengths[i]);
        struct span fields[] = {SPAN("keys"), span_of(value, lengths[i])};
        struct packed_job job;
        struct buf b;

        pack_fields(&b, fields, 2);
        assert_int_equal(queue_unpack(buf_span(&b), &job), 0);
        assert_int_equal(job.lane, LANE_BULK);
        assert_true(span_is(job.job, "bulk-1-0+r"));
        assert_true(span_is(job.entry, "1-0"));
        assert_int_equal(job.fields_count, 2);
        assert_true(span_eq(job.fields[1], fields[1]));
        free(job.fields);
        buf_deinit(&b);
        free(value);
    }
}

static void any_number_of_fields_comes_back(void **state)
{
    static const size_t counts[] = {0, 14, 16, 65534, 65536, 70000};

    (void)state;
    for (size_t i = 0; i < array_len(counts); i++) {
        struct span *fields = alloc_zeroed(counts[i] + 1, sizeof(*fields));
        struct packed_job job;
        struct buf b;

        for (size_t f = 0; f < counts[i]; f++)
            fields[f] = SPAN("k");
        pack_fields(&b, fields, counts[i]);
        assert_int_equal(queue_unpack(buf_span(&b), &job), 0);
        assert_int_equal(job.fields_count, counts[i]);
        free(job.fields);
        buf_deinit(&b);
        free(fields);
    }
}

static void a_truncated_or_longer_value_is_invalid(void **state)
{
    struct span fields[] = {SPAN("keys"), SPAN("a")};
    struct packed_job job;
    struct buf b;

    (void)state;
    pack_fields(&b, fields, 2);
    for (size_t n = 0; n < b.n; n++) {
        char *cut = alloc_copy(b.p, n);

        assert_int_equal(queue_unpack(span_of(cut, n), &job), -EINVAL);
        free(cut);
    }
    buf_putc(&b, 'x');
    assert_int_equal(queue_unpack(buf_span(&b), &job), -EINVAL);
    buf_deinit(&b);
}

/* An array that claims to have four billion fields must not cause an allocation of that size. */
static void an_invalid_job_is_recognised(void **state)
{
    static const struct span cases[] = {
        SPAN("garbage"),
        SPAN("\x94\xa4"
             "slow\xa1j\xa1i\x90"),
        SPAN("\x94\xa4"
             "bulk\xa1j\xa1i\x92\x01\x02"),
        SPAN("\x94\xa4"
             "bulk\xa1j\xa1i\x91\xa1k"),
        SPAN("\x94\xa4"
             "bulk\xa1j\xa1i\xdd\xff\xff\xff\xfe"),
        SPAN("\x94\xa4"
             "bulk\xdb\xff\xff\xff\xff"),
        SPAN("\x95\xa4"
             "bulk\xa1j\xa1i\x90\x90"),
    };
    struct packed_job job;

    (void)state;
    for (size_t i = 0; i < array_len(cases); i++)
        assert_int_equal(queue_unpack(cases[i], &job), -EINVAL);
}

static void random_damage_does_no_harm(void **state)
{
    struct span fields[] = {SPAN("keys"), SPAN("a b c"), SPAN("service"), SPAN("news")};
    struct rng rng = {.state = 7};
    struct buf b;

    (void)state;
    pack_fields(&b, fields, 4);
    for (int i = 0; i < 100000; i++) {
        char *copy = alloc_copy(b.p, b.n);
        struct packed_job job;

        for (int k = 0; k < 3; k++)
            copy[rng_below(&rng, b.n)] = (char)rng_below(&rng, 256);
        if (queue_unpack(span_of(copy, b.n), &job) == 0)
            free(job.fields);
        free(copy);
    }
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_of_every_length_come_back),
        cmocka_unit_test(any_number_of_fields_comes_back),
        cmocka_unit_test(a_truncated_or_longer_value_is_invalid),
        cmocka_unit_test(an_invalid_job_is_recognised),
        cmocka_unit_test(random_damage_does_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
