/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "redis_codec.h"

static void a_command_is_written_byte_for_byte(void **state)
{
    static const char expected[] = "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\na\0b\r\n$1\r\nxyz\r\n";
    const struct span argv[] = {SPAN("SET"), {"", 0}, {"a\0b\r\n$1\r\nxyz", 12}};
    struct redis_text t = {0};

    (void)state;
    assert_int_equal(redis_format(&t, array_len(argv), argv), sizeof(expected) - 1);
    assert_memory_equal(t.p, expected, sizeof(expected) - 1);
    free(t.p);
}

/* Remains of a longer command would be taken for channel names. */
static void after_a_command_nothing_is_left_of_a_longer_one(void **state)
{
    const struct span longer[] = {SPAN("EVAL"), SPAN("a"), SPAN("b"), SPAN("c"), SPAN("d")};
    const struct span shorter[] = {SPAN("SUBSCRIBE"), SPAN("channel")};
    struct redis_text t = {0};
    size_t n;

    (void)state;
    redis_format(&t, array_len(longer), longer);
    n = redis_format(&t, array_len(shorter), shorter);
    assert_int_equal(strlen(t.p), n);
    free(t.p);
}

struct reading {
    struct redis_replies *replies;
    redisReader *reader;
};

static struct reading begin(void)
{
    struct reading r = {redis_replies_new(), redisReaderCreate()};

    redis_replies_serve(r.replies, r.reader);
    return r;
}

static void end(struct reading *r)
{
    redisReaderFree(r->reader);
    redis_replies_free(r->replies);
}

static redisReply *read_reply(struct reading *r)
{
    void *reply;

    assert_int_equal(redisReaderGetReply(r->reader, &reply), REDIS_OK);
    return reply;
}

static void feed(struct reading *r, const char *bytes)
{
    assert_int_equal(redisReaderFeed(r->reader, bytes, strlen(bytes)), REDIS_OK);
}

static void a_reply_of_every_kind_is_read(void **state)
{
    struct reading r = begin();
    redisReply *reply;

    (void)state;
    feed(&r, "*7\r\n:-7\r\n$3\r\nabc\r\n$-1\r\n+OK\r\n*2\r\n$0\r\n\r\n*0\r\n-ERR no\r\n*-1\r\n");
    reply = read_reply(&r);
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
    r.reader->fn->freeObject(reply);
    end(&r);
}

/* Tests sizes around that of a chunk and much larger ones, one after another in the same memory. */
static void a_reply_may_be_of_any_size(void **state)
{
    static const size_t sizes[] = {1, 65400, 65471, 65472, 65535, 65536, 65537, 1000000, 3};
    struct reading r = begin();

    (void)state;
    for (size_t i = 0; i < array_len(sizes); i++) {
        char *text = alloc_bytes(sizes[i]), *head = alloc_printf("*2\r\n$%zu\r\n", sizes[i]);
        redisReply *reply;

        memset(text, 'a' + (int)i, sizes[i]);
        feed(&r, head);
        redisReaderFeed(r.reader, text, sizes[i]);
        assert_null(read_reply(&r));
        feed(&r, "\r\n:5\r\n");
        reply = read_reply(&r);
        assert_int_equal(reply->element[0]->len, sizes[i]);
        assert_memory_equal(reply->element[0]->str, text, sizes[i]);
        assert_int_equal(reply->element[1]->integer, 5);
        r.reader->fn->freeObject(reply);
        free(text);
        free(head);
    }
    end(&r);
}

/* The connection is lost in the middle of a reply. */
static void half_a_reply_is_given_back_with_its_reader(void **state)
{
    struct reading r = begin();

    (void)state;
    feed(&r, "*3\r\n$3\r\nabc\r\n*2\r\n");
    assert_null(read_reply(&r));
    end(&r);
}

static void a_few_bytes_do_not_get_room_for_a_billion_elements(void **state)
{
    struct reading r = begin();
    void *reply = NULL;

    (void)state;
    feed(&r, "*1000000000\r\n");
    assert_int_equal(redisReaderGetReply(r.reader, &reply), REDIS_ERR);
    assert_null(reply);
    end(&r);
}

/* Nine nested levels, each with the maximum size of one, would need more than a gigabyte. */
static void arrays_within_arrays_share_the_room_of_one(void **state)
{
    struct reading r = begin();
    void *reply = NULL;

    (void)state;
    feed(&r, "*1\r\n*10000000\r\n*10000000\r\n");
    assert_int_equal(redisReaderGetReply(r.reader, &reply), REDIS_ERR);
    assert_null(reply);
    end(&r);
}

static void each_reply_may_have_that_size(void **state)
{
    struct reading r = begin();
    char *text = alloc_bytes(5 * 1000000);
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 1000000; i++, n += 5)
        memcpy(text + n, "$-1\r\n", 5);
    for (int i = 0; i < 20; i++) {
        redisReply *reply;

        feed(&r, "*1000000\r\n");
        redisReaderFeed(r.reader, text, n);
        reply = read_reply(&r);
        assert_int_equal(reply->elements, 1000000);
        r.reader->fn->freeObject(reply);
    }
    free(text);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_written_byte_for_byte),
        cmocka_unit_test(after_a_command_nothing_is_left_of_a_longer_one),
        cmocka_unit_test(a_reply_of_every_kind_is_read),
        cmocka_unit_test(a_reply_may_be_of_any_size),
        cmocka_unit_test(half_a_reply_is_given_back_with_its_reader),
        cmocka_unit_test(a_few_bytes_do_not_get_room_for_a_billion_elements),
        cmocka_unit_test(arrays_within_arrays_share_the_room_of_one),
        cmocka_unit_test(each_reply_may_have_that_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
