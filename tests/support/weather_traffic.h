/* SPDX-License-Identifier: MIT
 * A producer that pushes jobs of every kind at a steady rate, notes which were accepted, and later
 * asks for the receipt of each. Its own list of jobs is independent of the program under test. */
#pragma once

#include "base.h"
#include "rng.h"

struct redisContext;
struct requests;

enum push { PUSH_MAYBE, PUSH_REFUSED, PUSH_ACCEPTED }; /* MAYBE: the reply was lost */
enum habit { HABIT_PLAIN, HABIT_URL, HABIT_LATER, HABIT_REPEAT, HABIT_EXPIRES };
enum fate { FATE_NONE, FATE_PURGED, FATE_EXPIRED, FATE_DEAD, FATE_OTHER };

struct push_job {
    uint64_t ms, seq; /* its id from Redis */
    uint64_t when_ms; /* not_before and expires: Unix time; repeat_after: an interval */
    uint32_t targets[3];
    uint8_t count;
    uint8_t lane, push, habit, fate;
    bool seen;  /* its receipt was seen, and may still have to be removed */
    bool again; /* the first purge of a repeated job has ended, the second has not */
};

struct push_target {
    uint64_t asked_ms; /* time of the first request that names it */
    uint64_t first_ms; /* time of the first request that purged it */
    uint64_t last_ms;  /* time of the latest */
};

struct traffic {
    const char *socket;
    unsigned per_s;
    struct rng rng;
    struct redisContext *c; /* NULL while Redis is down */
    uint64_t next_ms, try_ms;
    struct push_job *jobs; /* the `ref` of a job is its number */
    uint32_t count, room, answered;
    uint32_t *open; /* accepted jobs whose receipts have not been seen and removed */
    uint32_t open_count, open_room, open_at;
    struct push_target *targets;
    uint32_t targets_room;
    uint32_t accepted, refused, maybe;
    char refusal[120]; /* the last error that was neither a full disk nor a loading Redis, or "" */
};

void traffic_open(struct traffic *t, const char *unix_url, unsigned per_s, uint64_t seed);
void traffic_close(struct traffic *t);
/* Reads the answers to earlier pushes, and pushes the jobs that are due. If Redis dies in between,
 * it is unknown whether these pushes arrived. */
void traffic_push(struct traffic *t, uint64_t now_ms);
/* Only reads the answers. */
void traffic_answers(struct traffic *t);
/* Looks for the receipts of some thousand open jobs and removes those that it finds, so that a
 * second receipt of the same job would be left over. */
void traffic_harvest(struct traffic *t);
/* The connection, without outstanding answers; NULL while Redis is down. */
struct redisContext *traffic_redis(struct traffic *t);

/* Records a request. The last `omitted` of its keys were left out of the reply. */
struct request;
void traffic_note(struct traffic *t, const struct request *q, unsigned omitted);

/* -- checks: each returns the number of wrong jobs, and prints the first few -- */
unsigned traffic_without_end(struct traffic *t);
unsigned traffic_ended_badly(struct traffic *t);
/* Receipts without an open job: a job ended twice, or was never pushed. Pushes without an answer
 * whose receipts are found become accepted jobs. */
unsigned traffic_stray_receipts(struct traffic *t);
unsigned traffic_purged_too_early(struct traffic *t); /* or never after the last push */
unsigned traffic_sent_before_its_time(struct traffic *t);
unsigned traffic_not_repeated(struct traffic *t);
uint32_t traffic_with_fate(const struct traffic *t, enum fate fate);
