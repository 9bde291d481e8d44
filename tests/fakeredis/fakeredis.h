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

/* How many replicas there are, as INFO says, and how many of them go on receiving what is written.
 * WAIT counts the replicas that have the last write of its own connection, as since Redis 8: the
 * others have what was written before they stopped receiving. */
void fakeredis_set_replicas(struct fakeredis *f, unsigned have, unsigned connected);
/* Its master_replid, of 40 characters; another one after a failover or a restart. Kept, not copied.
 */
void fakeredis_set_history(struct fakeredis *f, const char *replid);

/* -- a Cluster -- */
#define FAKEREDIS_SLOTS 16384
#define FAKEREDIS_NODES_MAX 8
#define FAKEREDIS_NO_NODE (-1)
struct fakeredis_cluster;
struct fakeredis_node { /* what its nodes say of it; kept, not copied */
    const char *host;
    unsigned port;
    const char *id;                        /* of 40 characters */
    const char *history;                   /* master_replid, the same */
    const char *replica_host, *replica_id; /* NULL: it has none. Its port is the same */
};
/* Each node has the same share of the slots. A replica redirects all
 * commands with keys. */
struct fakeredis_cluster *fakeredis_cluster_new(const struct fakeredis_node *nodes, int count);
void fakeredis_cluster_free(struct fakeredis_cluster *c); /* NULL is fine */
/* The keys are those of this Cluster. Those that `from` (or NULL) has, too, are where they are
 * there. Sessions of fakeredis_open are of no node: they are served with all keys. */
void fakeredis_set_cluster(struct fakeredis *f, struct fakeredis_cluster *c,
                           const struct fakeredis *from);
enum fakeredis_role { FAKEREDIS_MASTER, FAKEREDIS_REPLICA };
struct fakeredis_session *fakeredis_open_at(struct fakeredis *f, int node,
                                            enum fakeredis_role role);
/* It was started again, or its replica has its place: it knows no scripts. */
void fakeredis_node_starts(struct fakeredis_cluster *c, int node, const struct fakeredis_node *at);
void fakeredis_cluster_set_down(struct fakeredis_cluster *c, bool down); /* no quorum */
int fakeredis_owner(const struct fakeredis_cluster *c, struct span key);
/* Moves the slot of a key. CLUSTER SETSLOT IMPORTING and MIGRATING; false: it is there already, or
 * is being moved. Then MIGRATE for some of its keys, and SETSLOT NODE for all nodes. */
must_use bool fakeredis_move_begin(struct fakeredis_cluster *c, struct span key, int to);
void fakeredis_move_key(struct fakeredis *f, struct span key); /* only this one */
/* So many of its slot; returns how many are left. */
size_t fakeredis_move_keys(struct fakeredis *f, struct span key, size_t count);
void fakeredis_move_end(struct fakeredis *f, struct span key); /* those that are left, too */

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
/* Another number after each of its commands that has changed something; 0 before the first one. */
uint64_t fakeredis_written(const struct fakeredis_session *s);
/* Carries a command out and appends its answer. XREAD never waits here: it answers nil. */
void fakeredis_run(struct fakeredis_session *s, size_t argc, const struct span *argv,
                   struct buf *out);
