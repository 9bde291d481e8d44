/* SPDX-License-Identifier: MIT
 * The machine that runs Redis, and the network to it. The data and the commands are those of
 * tests/fakeredis; here is what goes wrong: it is away, slow, full, refuses a command. Connections
 * are in fake_link.c. */
#pragma once

#include "base.h"
#include "ends.h"
#include "fakeredis.h"

struct redisReply;

void fake_redis_begin(void);
void fake_redis_end(void);
struct fakeredis *fake_redis(void);

/* -- the network to it -- */
struct fake_redis_weather {
    bool away;
    uint64_t latency_min_ns, latency_max_ns; /* one way */
};
extern struct fake_redis_weather fake_redis_weather;
uint64_t fake_redis_delay(void); /* of one message */
void fake_redis_leave(void);     /* all connections break, none can be made */
void fake_redis_return(void);

/* -- failures that lose the last writes -- */
/* From the beginning: it has a replica, and its file is written every second. */
void fake_redis_may_fail(void);
/* It is away, and who comes back lacks what was written in the last time, but has what its replica
 * has confirmed. Returns how many commands (journal.h) that is. */
uint64_t fake_redis_fail(uint64_t loses_ns);
void fake_redis_set_replica_away(bool away);
bool fake_redis_replica_follows(void);
void fake_redis_confirm(uint64_t commands);     /* the replica has them */
bool fake_redis_replica_has(uint64_t commands); /* it has been confirmed */

/* -- two masters -- */
/* The endpoint is ENGINE_NOBODY's, as its connection is. */
#define FAKE_REDIS_WITH(instance) (UINT32_C(1) << ((instance) + 1))
/* The master is cut off from its replicas, but not from the clients in `with`, which it goes on
 * answering. For all others it is away, and who comes back is a replica, as after a failure.
 * Returns how many commands that replica has. */
uint64_t fake_redis_split(uint64_t loses_ns, uint32_t with);
/* The network is whole again: what has been written on the master that was cut off is gone. */
void fake_redis_join(void);
bool fake_redis_cut_off(int instance);         /* it is a client of that master */
struct fakeredis *fake_redis_of(int instance); /* the master that it can reach */
struct redisReply *fake_redis_ask_cut_off(size_t argc, const struct span *argv); /* that master */

/* -- what it refuses -- */
enum redis_state { REDIS_WELL, REDIS_FULL };
void fake_redis_set_memory(enum redis_state s); /* full: takes nothing more, gives and deletes */
void fake_redis_set_disk(enum redis_state s);   /* full: refuses every write */
bool fake_redis_memory_full(void);
void fake_redis_set_policy(const char *maxmemory_policy);
void fake_redis_set_fsync(const char *appendfsync);
/* A question by the names of stories ("spend"): the scripts and commands it consists of are refused
 * from now on, and an examination of the keys finds `key` broken (NULL: it finds nothing). False:
 * there is no such question. */
must_use bool fake_redis_refuse(const char *question, const char *account, const char *key);
void fake_redis_refuse_only(const char *account); /* its questions, and no others */
must_use bool fake_redis_accept(const char *question);
void fake_redis_heal(void); /* all of the above is over */

/* -- a session for those who look, and for producers: nothing goes wrong with it by itself -- */
/* The answer is lent until the next question. */
struct redisReply *fake_redis_ask(size_t argc, const struct span *argv);
/* In words, separated by blanks. */
struct redisReply *fake_redis_say(const char *fmt, ...) print_like(1, 2);

/* -- for fake_link.c -- */
#define FAKE_REDIS_NAME 24
/* The name of the script that a command runs, or of the command itself. */
void fake_redis_name(size_t argc, const struct span *argv, char out[FAKE_REDIS_NAME]);
/* What a connection's command is answered. */
void fake_redis_run(struct fakeredis_session *s, const char *name, enum ends_asker asker,
                    size_t argc, const struct span *argv, struct buf *out);
