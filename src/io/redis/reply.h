/* SPDX-License-Identifier: MIT
 * Reads replies of Redis. A reply may have any form, because the server may not be a Redis at all:
 * a value of the wrong type reads as empty. Use these functions instead of the structure of
 * hiredis. */
#pragma once

#include <stdint.h>

#include "span.h"

struct redisReply; /* from hiredis; NULL reads as an empty reply */

bool reply_refused(const struct redisReply *r); /* an error */
bool reply_nil(const struct redisReply *r);     /* it is nil */
bool reply_is_array(const struct redisReply *r);
bool reply_is_integer(const struct redisReply *r);
bool reply_is_string(const struct redisReply *r);   /* a bulk string: not a status, not an error */
struct span reply_text(const struct redisReply *r); /* also of an error; "" if it has no text */
int64_t reply_number(const struct redisReply *r);   /* also of decimal text; otherwise 0 */
uint64_t reply_u64(const struct redisReply *r);     /* the same; 0 if negative */
size_t reply_count(const struct redisReply *r);     /* length of an array; otherwise 0 */
/* An element of an array, valid as long as the array; NULL past its end. */
const struct redisReply *reply_at(const struct redisReply *r, size_t i);
uint64_t reply_id_ms(const struct redisReply *r);   /* of an entry id, "<ms>-<seq>"; otherwise 0 */
uint64_t reply_time_ms(const struct redisReply *r); /* of a reply to TIME, in Unix milliseconds */
/* Copies the text with a NUL, and cuts it if it does not fit. */
void reply_copy(const struct redisReply *r, char *out, size_t room);

/* A copy that outlives the reply, to be freed with reply_free_duplicate. */
struct redisReply *reply_duplicate(const struct redisReply *r);
void reply_free_duplicate(struct redisReply *r); /* NULL is fine */
