/* SPDX-License-Identifier: MIT
 * The answers of a fake Redis and of a real one as texts, to be compared. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "fakeredis.h"

/* Of another version than the fake one plays, only the first words of errors are compared. */
static void answer_render_error(bool exact, struct buf *out, const redisReply *r)
{
    const char *rest = strchr(r->str, ' ');

    buf_printf(out, "error %.*s\n", exact || !rest ? (int)r->len : (int)(rest - r->str), r->str);
}

static void answer_render(bool exact, struct buf *out, const redisReply *r, size_t depth)
{
    for (size_t i = 0; i < depth; i++)
        buf_putc(out, ' ');
    switch (r->type) {
    case REDIS_REPLY_INTEGER:
        buf_printf(out, ":%lld\n", r->integer);
        break;
    case REDIS_REPLY_ERROR:
        answer_render_error(exact, out, r);
        break;
    case REDIS_REPLY_NIL:
        buf_printf(out, "nil\n");
        break;
    case REDIS_REPLY_ARRAY:
        buf_printf(out, "*%zu\n", r->elements);
        for (size_t i = 0; i < r->elements; i++)
            answer_render(exact, out, r->element[i], depth + 1);
        break;
    default:
        buf_printf(out, "%d ", r->type);
        for (size_t i = 0; i < (size_t)r->len; i++)
            buf_printf(out,
                       (unsigned char)r->str[i] < 32 || (unsigned char)r->str[i] > 126 ? "\\%02x"
                                                                                       : "%c",
                       (unsigned char)r->str[i]);
        buf_putc(out, '\n');
    }
}

/* For the caller to free. */
static redisReply *fakeredis_answer(struct fakeredis_session *s, size_t argc,
                                    const struct span *argv)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    struct buf out;

    buf_init(&out, (size_t)1 << 30);
    fakeredis_run(s, argc, argv, &out);
    assert_int_equal(redisReaderFeed(reader, out.p, out.n), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    redisReaderFree(reader);
    buf_deinit(&out);
    return reply;
}
