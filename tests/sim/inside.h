/* SPDX-License-Identifier: MIT
 * What is in Redis, for those who check it: an account's keys as src/store writes them. */
#pragma once

#include "fields.h"
#include "queue.h"

struct redisReply;

/* -- names of keys -- */
/* Whether it is a lane of an account, and of which. */
bool inside_is_lane(struct span key, char *account, size_t room, enum lane *lane);
bool inside_is_history(struct span key, char *account, size_t room);
bool inside_is_receipt(struct span key, char *account, size_t room, struct span *job);
bool inside_is_status(struct span key, char *account, size_t room);

/* -- jobs -- */
uint64_t inside_waiting(const char *account);   /* entries in the lanes, and postponed jobs */
uint64_t inside_postponed(const char *account); /* jobs */
uint64_t inside_left_over(const char *account); /* what leads to waiting jobs */
bool inside_is_postponed(const char *account, const char *job, const char *suffix);

typedef void inside_letter_cb(void *ctx, const struct fields *letter);
/* The dead letters but for the first `skip`, the oldest first; returns how many there are in all.
 */
uint64_t inside_letters(const char *account, uint64_t skip, inside_letter_cb *cb, void *ctx);
/* JSON; the callback returns true to end it. True: it was ended so. */
typedef bool inside_receipt_cb(void *ctx, struct span json);
/* Also lines of the history. */
bool inside_any_receipt(const char *account, inside_receipt_cb *cb, void *ctx);

/* -- who leads -- */
const char *inside_leader(const char *account); /* its name; NULL: nobody. Lent for a moment */
const char *inside_leader_cut_off(const char *account); /* on a master that is cut off */
