/* SPDX-License-Identifier: MIT
 * Every command that Redis has carried out, in order and with its time, so that a Redis can be made
 * that lacks the last of them: what a replica has, or a disk. */
#pragma once

#include "fakeredis.h"

void journal_begin(void);
void journal_end(void);

struct journal_at {
    uint64_t now_ns, redis_us;   /* two clocks: virtual time, and the one of the machine of Redis */
    const char *full, *refusing; /* fakeredis_set_full, fakeredis_set_refusing */
    uint64_t session;
};
/* Everything else is copied. */
void journal_note(const struct journal_at *when, size_t argc, const struct span *argv);
/* That one was not carried out, but this, which has no arguments. */
void journal_replace_last(struct span command);
uint64_t journal_count(void); /* commands so far */
uint64_t journal_count_by(uint64_t now_ns);
/* Carries out the first `count` commands, sets *redis_us before each, and forgets all others. */
void journal_replay(struct fakeredis *into, uint64_t count, uint64_t *redis_us);
