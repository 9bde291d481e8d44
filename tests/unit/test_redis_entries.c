/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "buf.h"
#include "redis_entries.h"

#define NO_CEILING ((uint64_t)1 << 40)

struct world {
    struct redis_entries *entries;
    struct buf told; /* the calls of the sink, as text */
    uint64_t room_bytes;
    size_t entries_most; /* after this many entries, the sink accepts no more */
    size_t held_most;
    const char *unwanted; /* the name of a stream that the sink refuses */
};

static bool on_stream(void *ctx, struct span key, uint64_t entries)
{
    struct world *w = ctx;

    buf_printf(&w->told, "[%.*s %llu]", (int)key.n, key.p, (unsigned long long)entries);
    return !w->unwanted || !span_is(key, w->unwanted);
}

static bool on_room(void *ctx, uint64_t bytes)
{
    struct world *w = ctx;

    return bytes <= w->room_bytes;
}

static bool on_entry(void *ctx, struct span id, const struct span *fields, size_t fields_count,
                     uint64_t bytes, bool oversized)
{
    struct world *w = ctx;

    if (w->entries_most == 0)
        return false;
    w->entries_most--;
    buf_printf(&w->told, "%.*s%s(", (int)id.n, id.p, oversized ? "!" : "");
    for (size_t i = 0; i < fields_count; i++)
        if (fields[i].n < 100)
            buf_printf(&w->told, "%s%.*s", i ? " " : "", (int)fields[i].n, fields[i].p);
        else
            buf_printf(&w->told, "%s%c*%zu", i ? " " : "", fields[i].p[fields[i].n - 1],
                       fields[i].n);
    buf_printf(&w->told, ")%llu", (unsigned long long)bytes);
    return true;
}

static int setup(void **state)
{
    static const struct redis_entries_sink sink = {on_stream, on_room, on_entry};
    struct world *w = alloc_zeroed(1, sizeof(*w));

    w->entries = redis_entries_new(&sink, w);
    w->room_bytes = NO_CEILING;
    w->entries_most = SIZE_MAX;
    buf_init(&w->told, 1 << 20);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    redis_entries_free(w->entries);
    buf_deinit(&w->told);
    free(w);
    return 0;
}

/* Feeds the whole reply, `step` bytes at a time. Returns the last result. */
static int feed(struct world *w, struct span reply, size_t step, uint64_t max_bytes)
{
    int rc = 0;

    redis_entries_begin(w->entries, max_bytes);
    while (rc == 0 && reply.n) {
        size_t room, n = step < reply.n ? step : reply.n;
        char *at = redis_entries_room(w->entries, &room);

        assert_in_range(room, 1, SIZE_MAX);
        n = n < room ? n : room;
        memcpy(at, reply.p, n);
        reply = span_of(reply.p + n, reply.n - n);
        rc = redis_entries_took(w->entries, n);
        if (redis_entries_bytes(w->entries) > w->held_most)
            w->held_most = redis_entries_bytes(w->entries);
    }
    assert_true(rc <= 0 || reply.n == 0);
    redis_entries_end(w->entries);
    return rc;
}

/* Checks that the result is the same wherever the reply is split. */
static void expect(struct world *w, const char *reply, const char *told)
{
    for (size_t step = 1; step <= strlen(reply); step++) {
        buf_clear(&w->told);
        assert_int_equal(feed(w, span_str(reply), step, NO_CEILING), 1);
        assert_string_equal(w->told.p ? w->told.p : "", told);
    }
}

static void an_entry_comes_as_it_is_however_its_bytes_are_cut(void **state)
{
    expect(*state,
           "*2\r\n*2\r\n$1\r\nu\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$4\r\nkeys\r\n$3\r\na b\r\n"
           "*2\r\n$1\r\nn\r\n*2\r\n*2\r\n$3\r\n2-0\r\n*0\r\n"
           "*2\r\n$3\r\n2-1\r\n*4\r\n$0\r\n\r\n$2\r\n\r\n\r\n$1\r\nx\r\n$0\r\n\r\n",
           "[u 1]1-0(keys a b)39[n 2]2-0()02-1( \r\n x )67");
    expect(*state, "*-1\r\n", "");
    expect(*state, "*0\r\n", "");
    expect(*state, "*1\r\n*2\r\n$1\r\nu\r\n*0\r\n", "[u 0]");
}

static void a_refusal_is_told_in_its_words(void **state)
{
    struct world *w = *state;

    expect(w, "-LOADING Redis is loading\r\n", "");
    assert_string_equal(redis_entries_error(w->entries), "LOADING Redis is loading");
    expect(w, "*-1\r\n", "");
    assert_null(redis_entries_error(w->entries));
}

static void an_unexpected_reply_is_invalid(void **state)
{
    static const char *const bad[] = {
        "+OK\r\n",
        ":1\r\n",
        "$3\r\nabc\r\n",
        "*x\r\n",
        "*\r\n",
        "*1 \r\n",
        "*-2\r\n",
        "*1\n",
        "*99999999999999999999999\r\n",
        "*1\r\n*3\r\n",
        "*1\r\n*2\r\n$-1\r\n",
        "*1\r\n*2\r\n$2000\r\n",
        "*1\r\n*2\r\n$1\r\nuXX",
        "*-1\r\nX",
        "*1\r\n*2\r\n$1\r\nu\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n:1\r\n",
        "*1\r\n*2\r\n$1\r\nu\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$-1\r\n",
        "-no end of line",
    };
    struct world *w = *state;

    for (size_t i = 0; i < array_len(bad) - 1; i++)
        if (feed(w, span_str(bad[i]), strlen(bad[i]), NO_CEILING) != -EPROTO)
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(feed(w, span_str(bad[array_len(bad) - 1]), 4, NO_CEILING), 0);
}

/* -- large entries -- */

static void put_string(struct buf *b, const char *text, size_t n)
{
    buf_printf(b, "$%zu\r\n", n);
    for (size_t i = 0; i < n; i += strlen(text))
        buf_put(b, span_of(text, min_u64(strlen(text), n - i)));
    buf_printf(b, "\r\n");
}

/* The reply has entry 1-0 (ref, a large value, service, a small value), entry 2-0 (one key), and
 * another stream. */
static struct span large_reply(struct buf *b, const char *name, size_t bytes)
{
    buf_printf(b, "*2\r\n*2\r\n$1\r\nn\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*6\r\n");
    put_string(b, "ref", 3);
    put_string(b, "r7", 2);
    put_string(b, name, strlen(name));
    put_string(b, "0123456789", bytes);
    put_string(b, "service", 7);
    put_string(b, "news", 4);
    buf_printf(b, "*2\r\n$3\r\n2-0\r\n*2\r\n$4\r\nkeys\r\n$1\r\na\r\n");
    buf_printf(b, "*2\r\n$1\r\nb\r\n*1\r\n*2\r\n$3\r\n3-0\r\n*2\r\n$4\r\nkeys\r\n$1\r\nb\r\n");
    return buf_span(b);
}

#define OTHERS "2-0(keys a)37[b 1]3-0(keys b)37"

static void
an_entry_up_to_the_ceiling_is_whole_and_beyond_it_only_its_small_fields_are_there(void **state)
{
    static const size_t steps[] = {17, 1000, 65536, SIZE_MAX};
    struct world *w = *state;
    const size_t most = 100000, rest = 3 + 2 + 4 + 7 + 4 + 6 * JOB_STRING_BYTES;

    for (size_t i = 0; i < array_len(steps); i++) {
        for (int over = -1; over <= 1; over++) {
            char told[200];
            struct buf b;
            struct span reply;

            buf_init(&b, 1 << 20);
            reply = large_reply(&b, "keys", most - rest + (size_t)over);
            buf_clear(&w->told);
            assert_int_equal(feed(w, reply, steps[i], most), 1);
            if (over <= 0)
                snprintf(told, sizeof(told), "[n 2]1-0(ref r7 keys %c*%zu service news)%zu" OTHERS,
                         "0123456789"[(most - rest + (size_t)over - 1) % 10],
                         most - rest + (size_t)over, most + (size_t)over);
            else
                snprintf(told, sizeof(told), "[n 2]1-0!(ref r7 service news)%zu" OTHERS, most + 1);
            assert_string_equal(w->told.p, told);
            buf_deinit(&b);
        }
    }
}

static void an_oversized_entry_is_never_held(void **state)
{
    struct world *w = *state;
    struct buf b;

    buf_init(&b, 64 << 20);
    assert_int_equal(feed(w, large_reply(&b, "url", 8 << 20), 65536, 1 << 20), 1);
    assert_string_equal(w->told.p, "[n 2]1-0!(ref r7 service news)8388723" OTHERS);
    assert_in_range(w->held_most, 0, 4 * ENTRIES_READ_BYTES);
    buf_deinit(&b);
}

static void many_small_fields_are_oversized_too(void **state)
{
    struct world *w = *state;
    struct buf b;
    const size_t count = 50000;

    buf_init(&b, 64 << 20);
    buf_printf(&b, "*1\r\n*2\r\n$1\r\nn\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*%zu\r\n", 2 * count + 2);
    for (size_t i = 0; i < count; i++)
        buf_printf(&b, "$3\r\nurl\r\n$0\r\n\r\n");
    buf_printf(&b, "$3\r\nref\r\n$1\r\nx\r\n");
    assert_int_equal(feed(w, buf_span(&b), 4096, 1 << 20), 1);
    assert_string_equal(w->told.p, "[n 1]1-0!(ref x)1750036");
    assert_in_range(w->held_most, 0, 2 << 20);
    buf_deinit(&b);
}

static void of_unknown_small_fields_only_so_many_are_kept(void **state)
{
    struct world *w = *state;
    struct buf b;

    buf_init(&b, 1 << 20);
    buf_printf(&b, "*1\r\n*2\r\n$1\r\nn\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*41\r\n");
    put_string(&b, "x", 1);
    put_string(&b, "0", 5000);
    for (int i = 0; i < 19; i++)
        buf_printf(&b, "$1\r\na\r\n$1\r\nb\r\n");
    buf_printf(&b, "$1\r\na\r\n");
    assert_int_equal(feed(w, buf_span(&b), 13, 1000), 1);
    assert_string_equal(w->told.p,
                        "[n 1]1-0!(a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b)"
                        "5696");
    buf_deinit(&b);
}

/* -- no room -- */

static void
behind_an_entry_without_room_its_stream_is_passed_over_and_the_next_is_read(void **state)
{
    struct world *w = *state;
    struct buf b;

    buf_init(&b, 1 << 20);
    w->room_bytes = 200000;
    assert_int_equal(feed(w, large_reply(&b, "keys", 200000), 1000, NO_CEILING), 1);
    assert_string_equal(w->told.p, "[n 2][b 1]3-0(keys b)37");
    assert_in_range(w->held_most, 0, 300000);
    buf_deinit(&b);
}

static void what_is_not_taken_ends_its_stream(void **state)
{
    struct world *w = *state;
    struct buf b;

    buf_init(&b, 1 << 20);
    w->entries_most = 1;
    assert_int_equal(feed(w, large_reply(&b, "keys", 10), 1000, NO_CEILING), 1);
    assert_string_equal(w->told.p, "[n 2]1-0(ref r7 keys 0123456789 service news)126[b 1]");
    buf_deinit(&b);
}

static void a_stream_that_is_not_wanted_is_passed_over(void **state)
{
    struct world *w = *state;
    struct buf b;

    buf_init(&b, 1 << 20);
    w->unwanted = "n";
    assert_int_equal(feed(w, large_reply(&b, "keys", 200000), 100, NO_CEILING), 1);
    assert_string_equal(w->told.p, "[n 2][b 1]3-0(keys b)37");
    buf_deinit(&b);
}

static void after_a_large_one_the_memory_is_given_back(void **state)
{
    struct world *w = *state;
    struct buf b;

    buf_init(&b, 64 << 20);
    assert_int_equal(feed(w, large_reply(&b, "keys", 4 << 20), 65536, NO_CEILING), 1);
    assert_in_range(w->held_most, 4 << 20, 5 << 20);
    assert_in_range(redis_entries_bytes(w->entries), 0, 3 * ENTRIES_READ_BYTES);
    buf_deinit(&b);
}

static void while_nothing_comes_little_memory_is_held(void **state)
{
    struct world *w = *state;
    struct buf b;

    assert_int_equal(feed(w, SPAN("*-1\r\n"), 5, NO_CEILING), 1);
    assert_in_range(redis_entries_bytes(w->entries), 0, 5000);
    buf_init(&b, 1 << 20);
    assert_int_equal(feed(w, large_reply(&b, "keys", 200000), 65536, NO_CEILING), 1);
    assert_int_equal(feed(w, SPAN("*-1\r\n"), 5, NO_CEILING), 1);
    assert_int_equal(feed(w, SPAN("*-1\r\n"), 5, NO_CEILING), 1);
    assert_in_range(redis_entries_bytes(w->entries), 0, 5000);
    buf_deinit(&b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_entry_comes_as_it_is_however_its_bytes_are_cut),
        T(a_refusal_is_told_in_its_words),
        T(an_unexpected_reply_is_invalid),
        T(an_entry_up_to_the_ceiling_is_whole_and_beyond_it_only_its_small_fields_are_there),
        T(an_oversized_entry_is_never_held),
        T(many_small_fields_are_oversized_too),
        T(of_unknown_small_fields_only_so_many_are_kept),
        T(behind_an_entry_without_room_its_stream_is_passed_over_and_the_next_is_read),
        T(what_is_not_taken_ends_its_stream),
        T(a_stream_that_is_not_wanted_is_passed_over),
        T(after_a_large_one_the_memory_is_given_back),
        T(while_nothing_comes_little_memory_is_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
