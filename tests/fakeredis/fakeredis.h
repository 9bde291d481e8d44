/* SPDX-License-Identifier: MIT
 * A Redis in memory, for tests: it knows the commands that purgeline sends, and runs its scripts in
 * Lua 5.1, on data of its own. Its answers are the bytes that Redis 7.0 would send (RESP2); the
 * test live/test_fakeredis compares them. Nothing here reads a clock: the time is handed in. */
#pragma once

#include "buf.h"
#include "span.h"

struct fakeredis;
struct fakeredis_session; /* what Redis knows of one connection */

typedef uint64_t fakeredis_clock(void *ctx); /* Unix time in microseconds */

struct fakeredis *fakeredis_new(fakeredis_clock *now_us, void *ctx);
void fakeredis_free(struct fakeredis *f); /* its sessions must be closed; NULL is fine */

/* The words with which commands that may need memory, or all writes, are refused ("OOM command not
 * ..."), or NULL. Kept, not copied. As in Redis a script that has written something goes on without
 * memory. */
void fakeredis_set_full(struct fakeredis *f, const char *words);
void fakeredis_set_refusing(struct fakeredis *f, const char *words);
/* What CONFIG GET and INFO say of these. */
void fakeredis_set_policy(struct fakeredis *f, const char *maxmemory_policy);
void fakeredis_set_fsync(struct fakeredis *f, const char *appendfsync);

/* What WAIT answers: how many replicas have all that was written; and INFO, how many there are. */
void fakeredis_set_replicas(struct fakeredis *f, unsigned have, unsigned connected);
/* Its master_replid, of 40 characters; another one after a failover or a restart. Kept, not copied.
 */
void fakeredis_set_history(struct fakeredis *f, const char *replid);

/* An entry of a stream. */
struct fakeredis_entry {
    uint64_t ms, seq;
    const struct span *fields; /* name, value, name, value ... */
    size_t count;
};
/* For those who check what is done to the data. Called from within the command that does it, also
 * when a script calls that. Everything is lent. Any of them may be NULL; so may `w`. */
struct fakeredis_watch {
    void (*added)(void *ctx, struct span key, const struct fakeredis_entry *e);   /* XADD */
    void (*removed)(void *ctx, struct span key, const struct fakeredis_entry *e); /* XDEL, XTRIM */
    void (*written)(void *ctx, struct span key, struct span text);                /* SET, SETEX */
};
void fakeredis_watch(struct fakeredis *f, const struct fakeredis_watch *w, void *ctx);

/* Puts a stream there with so many entries, all of the present millisecond, which are only made
 * when they are read: a million of them costs nothing. Until then nothing can be added behind them.
 */
typedef void fakeredis_make_cb(void *ctx, struct span *fields, size_t count); /* lent */
void fakeredis_backlog(struct fakeredis *f, struct span key, uint64_t entries, size_t fields,
                       fakeredis_make_cb *make, void *ctx);

/* A message of a channel that the session has subscribed to. */
typedef void fakeredis_message_cb(void *ctx, struct span channel, struct span text);
/* `changed` comes after each command of any session that changed something; both may be NULL. */
struct fakeredis_session *fakeredis_open(struct fakeredis *f, fakeredis_message_cb *message,
                                         void (*changed)(void *ctx), void *ctx);
void fakeredis_close(struct fakeredis_session *s);
uint64_t fakeredis_number(const struct fakeredis_session *s); /* 1, 2, ... of those of a Redis */
/* Carries a command out and appends its answer. XREAD never waits here: it answers nil. */
void fakeredis_run(struct fakeredis_session *s, size_t argc, const struct span *argv,
                   struct buf *out);
