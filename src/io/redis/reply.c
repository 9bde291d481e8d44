/* SPDX-License-Identifier: MIT */
#include "reply.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"

bool reply_refused(const struct redisReply *r)
{
    return r && r->type == REDIS_REPLY_ERROR;
}

bool reply_nil(const struct redisReply *r)
{
    return !r || r->type == REDIS_REPLY_NIL;
}

struct span reply_text(const struct redisReply *r)
{
    bool text = r && (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS ||
                      r->type == REDIS_REPLY_ERROR);

    return text ? span_of(r->str, r->len) : SPAN("");
}

int64_t reply_number(const struct redisReply *r)
{
    if (r && r->type == REDIS_REPLY_INTEGER)
        return r->integer;
    return strtoll(reply_text(r).p, NULL, 10); /* hiredis' strings end with a NUL */
}

bool reply_is_array(const struct redisReply *r)
{
    return r && r->type == REDIS_REPLY_ARRAY;
}

bool reply_is_integer(const struct redisReply *r)
{
    return r && r->type == REDIS_REPLY_INTEGER;
}

bool reply_is_string(const struct redisReply *r)
{
    return r && r->type == REDIS_REPLY_STRING;
}

size_t reply_count(const struct redisReply *r)
{
    return r && r->type == REDIS_REPLY_ARRAY ? r->elements : 0;
}

const struct redisReply *reply_at(const struct redisReply *r, size_t i)
{
    return i < reply_count(r) ? r->element[i] : NULL;
}

uint64_t reply_u64(const struct redisReply *r)
{
    uint64_t n;

    if (r && r->type == REDIS_REPLY_INTEGER)
        return r->integer > 0 ? (uint64_t)r->integer : 0;
    return span_to_u64(reply_text(r), &n) == 0 ? n : 0;
}

void reply_copy(const struct redisReply *r, char *out, size_t room)
{
    struct span s = reply_text(r);

    snprintf(out, room, "%.*s", (int)min_u64(s.n, room), s.p);
}

uint64_t reply_id_ms(const struct redisReply *r)
{
    struct span rest = reply_text(r), ms;
    uint64_t v;

    return span_next_word(&rest, '-', &ms) && span_to_u64(ms, &v) == 0 ? v : 0;
}

uint64_t reply_time_ms(const struct redisReply *r)
{
    return reply_u64(reply_at(r, 0)) * 1000 + reply_u64(reply_at(r, 1)) / 1000;
}

struct redisReply *reply_duplicate(const struct redisReply *r)
{
    redisReply *copy = alloc_zeroed(1, sizeof(*copy));

    copy->type = r->type;
    copy->integer = r->integer;
    copy->len = r->len;
    copy->str = r->str ? alloc_copy(r->str, r->len) : NULL;
    copy->elements = reply_count(r);
    copy->element = alloc_zeroed(copy->elements + 1, sizeof(redisReply *));
    for (size_t i = 0; i < copy->elements; i++)
        copy->element[i] = reply_duplicate(r->element[i]);
    return copy;
}

void reply_free_duplicate(struct redisReply *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->elements; i++)
        reply_free_duplicate(r->element[i]);
    free(r->element);
    free(r->str);
    free(r);
}
