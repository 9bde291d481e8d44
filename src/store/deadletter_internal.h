/* SPDX-License-Identifier: MIT
 * The internals of dead letters, shared by their files: deadletter.c lists them and handles some by
 * their ids, deadletter_all.c handles all that pass a filter. */
#pragma once

#include "deadletter_filter.h"

#define DEADLETTER_AT_ONCE 64 /* letters in one command */
#define DEADLETTER_PAGE_FIRST 8

struct letter_id {
    char *id;
    bool large;
};

/* The spans point into the entry. Release the letter with deadletter_forget. */
void deadletter_read(const struct redisReply *entry, struct deadletter *out);
void deadletter_forget(struct deadletter *letter);
/* Sends XREVRANGE dead <from> - COUNT <n>. */
must_use int deadletter_read_back(struct client *c, const char *account, const char *from,
                                  uint64_t n, struct redisReply **out);
size_t deadletter_bytes_of(const struct redisReply *entries);
/* Size of the page after a page of n letters, in letters. */
uint64_t deadletter_page(uint64_t n, size_t bytes);
struct letter_id deadletter_id_of(const struct redisReply *entry); /* free its id */
/* Notes in the history how many letters were retried or dropped, if any. `meant` may be NULL:
 * they were named by their ids; no filter at all: all. rc: of the last command. */
void deadletter_note(struct client *c, const struct actor *who, enum deadletter_act act,
                     const struct deadletter_filter *meant, uint64_t done, int rc);
void deadletter_free_ids(const struct letter_id *ids, size_t count);
/* Handles at most DEADLETTER_AT_ONCE letters. */
must_use int deadletter_act_some(struct client *c, const char *account, enum deadletter_act act,
                                 const struct letter_id *ids, size_t count, uint64_t *done);
