/* SPDX-License-Identifier: MIT
 * A producer whose list is kept apart from what it is judged by: it pushes jobs of every kind at a
 * steady pace, notes which were accepted, and later asks for the receipt of each. */
#pragma once

#include "base.h"
#include "rng.h"

struct redisContext;
struct requests;

enum push { PUSH_MAYBE, PUSH_REFUSED, PUSH_ACCEPTED }; /* MAYBE: the reply never came */
enum habit { HABIT_PLAIN, HABIT_URL, HABIT_LATER, HABIT_REPEAT, HABIT_EXPIRES };
enum fate { FATE_NONE, FATE_PURGED, FATE_EXPIRED, FATE_DEAD, FATE_OTHER };

struct push_job {
    uint64_t ms, seq; /* as Redis took it */
    uint64_t when_ms; /* not_before, expires: Unix; repeat_after: an interval */
    uint32_t targets[3];
    uint8_t count;
    uint8_t lane, push, habit, fate;
    bool seen;  /* its receipt was, and may still have to be taken away */
    bool again; /* the first purge of a repeat ended, its repetition is waited for */
};

struct push_target {
    uint64_t asked_ms; /* begin of the first request that names it */
    uint64_t first_ms; /* begin of the first that purged it */
    uint64_t last_ms;  /* and of the latest */
};

struct traffic {
    const char *socket;
    unsigned per_s;
    struct rng rng;
    struct redisContext *c; /* NULL while Redis is away */
    uint64_t next_ms, try_ms;
    struct push_job *jobs; /* the number of a job is its `ref` */
    uint32_t count, room, answered;
    uint32_t *open; /* accepted jobs whose receipt was not yet seen and taken away */
    uint32_t open_count, open_room, open_at;
    struct push_target *targets;
    uint32_t targets_room;
    uint32_t accepted, refused, maybe;
    char refusal[120]; /* the last that was neither a full disk nor a loading Redis; "" */
};

void traffic_open(struct traffic *t, const char *unix_url, unsigned per_s, uint64_t seed);
void traffic_close(struct traffic *t);
/* Reads the answers to what it pushed before, pushes what is due. What dies between the one and the
 * other leaves pushes whose fate nobody knows. */
void traffic_push(struct traffic *t, uint64_t now_ms);
/* The answers alone. */
void traffic_answers(struct traffic *t);
/* Looks for the receipts of some thousand open jobs, and takes those away that it found, so that
 * a second receipt of the same job would be left over. */
void traffic_harvest(struct traffic *t);
/* The connection, with no answer outstanding; NULL while Redis is away. */
struct redisContext *traffic_redis(struct traffic *t);

/* Notes what a request did; the last `omitted` of its keys were left out. */
struct request;
void traffic_note(struct traffic *t, const struct request *q, unsigned omitted);

/* -- the judgement: how many are wrong; the first few are printed -- */
unsigned traffic_without_end(struct traffic *t);
unsigned traffic_ended_badly(struct traffic *t);
/* Receipts that belong to nobody: a job ended twice, or was never pushed. Takes maybe-jobs in. */
unsigned traffic_stray_receipts(struct traffic *t);
unsigned traffic_purged_too_early(struct traffic *t); /* or never, after the last push */
unsigned traffic_sent_before_its_time(struct traffic *t);
unsigned traffic_not_repeated(struct traffic *t);
uint32_t traffic_with_fate(const struct traffic *t, enum fate fate);
