/* SPDX-License-Identifier: MIT
 * Every command that Redis has carried out, in order and with its time, so that a Redis can be made
 * that lacks the last of them: what a replica has, or a disk. */
#pragma once

#include "fakeredis.h"

#define JOURNAL_HISTORY_ROOM 41

/* The name of the replication history (master_replid) after so many failures. */
void journal_history(uint64_t failures, char out[JOURNAL_HISTORY_ROOM]);

void journal_begin(void);
void journal_end(void);

struct journal_at {
    uint64_t now_ns, redis_us;   /* two clocks: virtual time, and the one of the machine of Redis */
    const char *full, *refusing; /* fakeredis_set_full, fakeredis_set_refusing */
    uint64_t session;
    uint64_t failures; /* before it: so its replication history had another name */
};
/* Everything else is copied. */
void journal_note(const struct journal_at *when, size_t argc, const struct span *argv);
/* That one was not carried out, but this, which has no arguments. */
void journal_replace_last(struct span command);
uint64_t journal_count(void); /* commands so far */
uint64_t journal_count_by(uint64_t now_ns);
/* Carries out the first `count` commands, sets *redis_us before each, and forgets all others. The
 * caller must name the history afterwards. */
void journal_replay(struct fakeredis *into, uint64_t count, uint64_t *redis_us);
