/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "buf.h"
#include "redis_codec.h"

static void a_command_is_written_byte_for_byte(void **state)
{
    static const char expected[] = "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\na\0b\r\n$1\r\nxyz\r\n";
    const struct span argv[] = {SPAN("SET"), {"", 0}, {"a\0b\r\n$1\r\nxyz", 12}};
    struct redis_text t = {0};

    (void)state;
    redis_format(&t, array_len(argv), argv);
    assert_int_equal(t.to - t.from, sizeof(expected) - 1);
    assert_memory_equal(t.p + t.from, expected, sizeof(expected) - 1);
    free(t.p);
}

/* Commands are appended while others are sent in pieces of any size. */
static void commands_are_sent_in_order_and_without_gaps(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 5000, 300000, 3, 70000};
    struct redis_text t = {0}, expected = {0};
    char *long_text = alloc_bytes(300000);
    size_t sent = 0;

    (void)state;
    memset(long_text, 'x', 300000);
    for (size_t i = 0; i < 50; i++) {
        struct span argv[] = {SPAN("SET"), span_of(long_text, sizes[i % array_len(sizes)])};
        size_t n;

        long_text[0] = (char)('a' + i % 26);
        redis_format(&t, 2, argv);
        redis_format(&expected, 2, argv);
        n = (t.to - t.from) / (1 + i % 3);
        assert_memory_equal(t.p + t.from, expected.p + sent, n);
        redis_text_sent(&t, n);
        sent += n;
    }
    redis_text_sent(&t, t.to - t.from);
    assert_true(t.room <= REDIS_KEPT_BYTES);
    free(t.p);
    free(expected.p);
    free(long_text);
}

static void send(struct redis_text *t, size_t n)
{
    char *bytes = alloc_zeroed(1, n);

    redis_text_add(t, span_of(bytes, n));
    redis_text_sent(t, n);
    free(bytes);
}

static void an_idle_connection_keeps_no_large_buffer(void **state)
{
    struct redis_text t = {0};

    (void)state;
    send(&t, 30000);
    send(&t, 100);
    assert_true(t.room >= 30000); /* it may be needed again soon */
    for (int i = 0; i < 8; i++)
        send(&t, 100);
    assert_true(t.room < 4096);
    for (int i = 0; i < 100; i++)
        send(&t, i % 8 ? 100 : 30000);
    assert_true(t.room >= 30000);
    free(t.p);
}

/* -- replies -- */

static redisReply *read_reply(struct redis_reader *r)
{
    struct redisReply *reply;
    const char *why;

    assert_in_range(redis_reader_next(r, &reply, &why), 0, 1);
    return reply;
}

static void feed(struct redis_reader *r, const char *bytes)
{
    redis_reader_feed(r, bytes, strlen(bytes));
}

static void assert_unreadable(const char *bytes)
{
    struct redis_reader *r = redis_reader_new(NULL, NULL);
    struct redisReply *reply;
    const char *why = "";

    feed(r, bytes);
    assert_int_equal(redis_reader_next(r, &reply, &why), -EPROTO);
    assert_true(why[0]);
    assert_int_equal(redis_reader_next(r, &reply, &why), -EPROTO); /* and it remains so */
    redis_reader_free(r);
}

static void a_reply_of_every_kind_is_read(void **state)
{
    struct redis_reader *r = redis_reader_new(NULL, NULL);
    redisReply *reply;

    (void)state;
    feed(r, "*7\r\n:-7\r\n$3\r\nabc\r\n$-1\r\n+OK\r\n*2\r\n$0\r\n\r\n*0\r\n-ERR no\r\n*-1\r\n");
    reply = read_reply(r);
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    assert_int_equal(reply->elements, 7);
    assert_int_equal(reply->element[0]->integer, -7);
    assert_string_equal(reply->element[1]->str, "abc");
    assert_int_equal(reply->element[1]->len, 3);
    assert_int_equal(reply->element[2]->type, REDIS_REPLY_NIL);
    assert_int_equal(reply->element[3]->type, REDIS_REPLY_STATUS);
    assert_int_equal(reply->element[4]->elements, 2);
    assert_int_equal(reply->element[4]->element[0]->len, 0);
    assert_int_equal(reply->element[4]->element[1]->elements, 0);
    assert_int_equal(reply->element[5]->type, REDIS_REPLY_ERROR);
    assert_string_equal(reply->element[5]->str, "ERR no");
    assert_int_equal(reply->element[6]->type, REDIS_REPLY_NIL);
    redis_reader_free(r);
}

/* Tests sizes around that of a chunk and much larger ones, one after another in the same memory. */
static void a_reply_may_be_of_any_size(void **state)
{
    static const size_t sizes[] = {1, 65400, 65471, 65472, 65535, 65536, 65537, 1000000, 3};
    struct redis_reader *r = redis_reader_new(NULL, NULL);

    (void)state;
    for (size_t i = 0; i < array_len(sizes); i++) {
        char *text = alloc_bytes(sizes[i]), *head = alloc_printf("*2\r\n$%zu\r\n", sizes[i]);
        redisReply *reply;

        memset(text, 'a' + (int)i, sizes[i]);
        feed(r, head);
        redis_reader_feed(r, text, sizes[i]);
        assert_null(read_reply(r));
        feed(r, "\r\n:5\r\n");
        reply = read_reply(r);
        assert_int_equal(reply->element[0]->len, sizes[i]);
        assert_memory_equal(reply->element[0]->str, text, sizes[i]);
        assert_int_equal(reply->element[1]->integer, 5);
        free(text);
        free(head);
    }
    redis_reader_free(r);
}

/* A reply of many parts, and a short one behind it. */
static void put_replies(struct buf *b)
{
    buf_printf(b, "*300\r\n");
    for (int i = 0; i < 300; i++)
        buf_printf(b, "*2\r\n$5\r\n%d-%03d\r\n*3\r\n$3\r\nurl\r\n$%d\r\n%0*d\r\n:%d\r\n", i % 10, i,
                   i + 1, i + 1, i, i);
    buf_printf(b, "+OK\r\n");
}

static void assert_read(const redisReply *reply)
{
    char text[400];

    assert_int_equal(reply->elements, 300);
    for (int i = 0; i < 300; i++) {
        const redisReply *entry = reply->element[i], *fields = entry->element[1];

        snprintf(text, sizeof(text), "%d-%03d", i % 10, i);
        assert_string_equal(entry->element[0]->str, text);
        assert_int_equal(fields->elements, 3);
        snprintf(text, sizeof(text), "%0*d", i + 1, i);
        assert_string_equal(fields->element[1]->str, text);
        assert_int_equal(fields->element[2]->integer, i);
    }
}

/* A network delivers pieces of any size. They must not be taken for the whole, and nothing may be
 * lost where they are joined. */
static void a_reply_may_come_in_pieces_of_any_size(void **state)
{
    static const size_t steps[] = {1, 2, 3, 7, 100, 4095, 4096, 4097, 1 << 20};
    struct redis_reader *r = redis_reader_new(NULL, NULL);
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    put_replies(&b);
    for (size_t s = 0; s < array_len(steps); s++) {
        unsigned replies = 0;

        for (size_t at = 0; at < b.n; at += steps[s]) {
            redisReply *reply;

            redis_reader_feed(r, b.p + at, b.n - at < steps[s] ? b.n - at : steps[s]);
            while ((reply = read_reply(r)) && replies++ == 0)
                assert_read(reply);
        }
        assert_int_equal(replies, 2);
    }
    buf_deinit(&b);
    redis_reader_free(r);
}

/* The connection is lost in the middle of a reply. */
static void half_a_reply_is_given_back_with_its_reader(void **state)
{
    struct redis_reader *r = redis_reader_new(NULL, NULL);

    (void)state;
    feed(r, "*3\r\n$3\r\nabc\r\n*2\r\n");
    assert_null(read_reply(r));
    redis_reader_free(r);
}

static void a_few_bytes_do_not_get_room_for_a_billion_elements(void **state)
{
    (void)state;
    assert_unreadable("*1000000000\r\n");
}

/* Nine nested levels, each with the maximum size of one, would need more than a gigabyte. */
static void arrays_within_arrays_share_the_room_of_one(void **state)
{
    (void)state;
    assert_unreadable("*1\r\n*10000000\r\n*10000000\r\n");
}

static void what_is_no_reply_is_refused(void **state)
{
    (void)state;
    assert_unreadable("HTTP/1.1 400 Bad Request\r\n");
}

static bool only_strings(void *ctx, const struct redis_part *p)
{
    int *parts = ctx;

    ++*parts;
    return p->kind != REDIS_PART_OTHER || p->level == 0;
}

static void a_part_that_is_refused_ends_reading(void **state)
{
    int parts = 0;
    struct redis_reader *r = redis_reader_new(only_strings, &parts);
    struct redisReply *reply;
    const char *why;

    (void)state;
    feed(r, "*3\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n");
    assert_int_equal(redis_reader_next(r, &reply, &why), -EPROTO);
    assert_int_equal(parts, 3);
    redis_reader_free(r);
}

static void each_reply_may_have_that_size(void **state)
{
    struct redis_reader *r = redis_reader_new(NULL, NULL);
    char *text = alloc_bytes(5 * 1000000);
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 1000000; i++, n += 5)
        memcpy(text + n, "$-1\r\n", 5);
    for (int i = 0; i < 20; i++) {
        redisReply *reply;

        feed(r, "*1000000\r\n");
        redis_reader_feed(r, text, n);
        reply = read_reply(r);
        assert_int_equal(reply->elements, 1000000);
    }
    free(text);
    redis_reader_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_written_byte_for_byte),
        cmocka_unit_test(commands_are_sent_in_order_and_without_gaps),
        cmocka_unit_test(an_idle_connection_keeps_no_large_buffer),
        cmocka_unit_test(a_reply_of_every_kind_is_read),
        cmocka_unit_test(a_reply_may_be_of_any_size),
        cmocka_unit_test(a_reply_may_come_in_pieces_of_any_size),
        cmocka_unit_test(half_a_reply_is_given_back_with_its_reader),
        cmocka_unit_test(a_few_bytes_do_not_get_room_for_a_billion_elements),
        cmocka_unit_test(arrays_within_arrays_share_the_room_of_one),
        cmocka_unit_test(what_is_no_reply_is_refused),
        cmocka_unit_test(a_part_that_is_refused_ends_reading),
        cmocka_unit_test(each_reply_may_have_that_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
