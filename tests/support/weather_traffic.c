/* SPDX-License-Identifier: MIT */
#include "weather_traffic.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "requests.h"

#define P "purgeline:{main}:"
#define KEYS 3000u
#define URLS 200u
#define URL_BEGIN "https://www.example.com/page/"
#define TICK_MS 20u
#define TRY_EVERY_MS 50u
#define HARVEST 500u
#define SHOWN 5u

/* nginx and Redis read the clock once per turn of their loops, so their times may be early by this
 * much. */
#define CLOCK_SLACK_MS 5u

static const char *const lanes[] = {"urgent", "normal", "bulk"};

void traffic_open(struct traffic *t, const char *unix_url, unsigned per_s, uint64_t seed)
{
    *t =
        (struct traffic){.socket = unix_url + strlen("unix://"), .per_s = per_s, .rng.state = seed};
}

static void hang_up(struct traffic *t)
{
    if (t->c)
        redisFree(t->c);
    t->c = NULL;
    t->answered = t->count; /* unanswered pushes will not be answered any more */
}

void traffic_close(struct traffic *t)
{
    hang_up(t);
    free(t->jobs);
    free(t->open);
    free(t->targets);
}

static bool reach(struct traffic *t, uint64_t now_ms)
{
    struct timeval patience = {.tv_sec = 2};

    if (t->c || now_ms < t->try_ms)
        return t->c != NULL;
    t->try_ms = now_ms + TRY_EVERY_MS;
    t->c = redisConnectUnixWithTimeout(t->socket, patience);
    must(t->c);
    if (t->c->err || redisSetTimeout(t->c, patience) != REDIS_OK)
        hang_up(t);
    return t->c != NULL;
}

/* -- the number of a target says what it is: keys, then URLs, then keys of only one job ------- */

static char *target_name(uint32_t number)
{
    if (number < KEYS)
        return alloc_printf("k%u", number);
    if (number < KEYS + URLS)
        return alloc_printf(URL_BEGIN "%u", number - KEYS);
    return alloc_printf("own%u", number - KEYS - URLS);
}

static uint32_t target_number(const char *name)
{
    if (strncmp(name, "own", 3) == 0)
        return KEYS + URLS + (uint32_t)atoi(name + 3);
    if (strncmp(name, URL_BEGIN, strlen(URL_BEGIN)) == 0)
        return KEYS + (uint32_t)atoi(name + strlen(URL_BEGIN));
    must(*name == 'k');
    return (uint32_t)atoi(name + 1);
}

static struct push_target *target(struct traffic *t, uint32_t number)
{
    if (number >= t->targets_room) {
        uint32_t room = number + 4096;

        t->targets = alloc_grow(t->targets, room, sizeof(*t->targets));
        memset(t->targets + t->targets_room, 0, (room - t->targets_room) * sizeof(*t->targets));
        t->targets_room = room;
    }
    return &t->targets[number];
}

/* -- pushing --------------------------------------------------------------------------------- */

/* Most jobs are ordinary. Each of the others has a key of its own, so that the purge of another job
 * does not count for it. */
static void invent(struct traffic *t, struct push_job *j, uint32_t number)
{
    uint64_t dice = rng_below(&t->rng, 100), now_ms = clock_wall_ms();

    *j = (struct push_job){.lane = (uint8_t)(rng_below(&t->rng, 10) < 2   ? 0
                                             : rng_below(&t->rng, 10) < 6 ? 1
                                                                          : 2),
                           .count = 1,
                           .targets = {KEYS + URLS + number}};
    if (dice < 86) {
        j->habit = HABIT_PLAIN;
        j->count = (uint8_t)(rng_below(&t->rng, 10) ? 1 : 3);
        for (int i = 0; i < j->count; i++)
            j->targets[i] = (uint32_t)rng_below(&t->rng, KEYS);
    } else if (dice < 90) {
        j->habit = HABIT_URL;
        j->targets[0] = KEYS + (uint32_t)rng_below(&t->rng, URLS);
    } else if (dice < 94) {
        j->habit = HABIT_LATER;
        j->when_ms = now_ms + rng_below(&t->rng, 10000);
    } else if (dice < 96) {
        j->habit = HABIT_REPEAT;
        j->when_ms = 500 + rng_below(&t->rng, 5000);
    } else {
        j->habit = HABIT_EXPIRES;
        j->when_ms = now_ms + 200 + rng_below(&t->rng, 15000);
    }
}

static void append(struct traffic *t, const struct push_job *j, uint32_t number)
{
    static const char *const field[] = {
        [HABIT_LATER] = "not_before", [HABIT_REPEAT] = "repeat_after", [HABIT_EXPIRES] = "expires"};
    char *names[3] = {NULL, NULL, NULL};
    char when[24], ref[16];
    const char *argv[13] = {"XADD", NULL, "*", "ref", ref};
    char *stream = alloc_printf(P "jobs:%s", lanes[j->lane]);
    int argc = 5;

    argv[1] = stream;
    snprintf(ref, sizeof(ref), "%u", number);
    snprintf(when, sizeof(when), "%" PRIu64, j->when_ms);
    for (int i = 0; i < j->count; i++) {
        argv[argc++] = j->habit == HABIT_URL ? "url" : "keys";
        argv[argc++] = names[i] = target_name(j->targets[i]);
    }
    if (j->habit >= HABIT_LATER) {
        argv[argc++] = field[j->habit];
        argv[argc++] = when;
    }
    must(redisAppendCommandArgv(t->c, argc, argv, NULL) == REDIS_OK);
    for (int i = 0; i < j->count; i++)
        free(names[i]);
    free(stream);
}

static void write_out(struct traffic *t)
{
    int done = 0;

    while (!done)
        if (redisBufferWrite(t->c, &done) != REDIS_OK) {
            hang_up(t);
            return;
        }
}

void traffic_push(struct traffic *t, uint64_t now_ms)
{
    traffic_answers(t);
    if (now_ms < t->next_ms)
        return;
    t->next_ms = now_ms + TICK_MS;
    if (!reach(t, now_ms))
        return;
    for (unsigned i = 0; i < t->per_s * TICK_MS / 1000; i++) {
        if (t->count == t->room) {
            t->room = t->room ? t->room * 2 : 4096;
            t->jobs = alloc_grow(t->jobs, t->room, sizeof(*t->jobs));
        }
        invent(t, &t->jobs[t->count], t->count);
        append(t, &t->jobs[t->count], t->count);
        t->count++;
        t->maybe++;
    }
    write_out(t);
}

/* -- replies of Redis ------------------------------------------------------------------------- */

static void accept_job(struct traffic *t, uint32_t number, const char *id)
{
    struct push_job *j = &t->jobs[number];

    must(sscanf(id, "%" SCNu64 "-%" SCNu64, &j->ms, &j->seq) == 2);
    j->push = PUSH_ACCEPTED;
    t->accepted++;
    t->maybe--;
    if (t->open_count == t->open_room) {
        t->open_room = t->open_room ? t->open_room * 2 : 4096;
        t->open = alloc_grow(t->open, t->open_room, sizeof(*t->open));
    }
    t->open[t->open_count++] = number;
}

static void refuse_job(struct traffic *t, uint32_t number, const char *why)
{
    t->jobs[number].push = PUSH_REFUSED;
    t->refused++;
    t->maybe--;
    if (strncmp(why, "MISCONF", 7) != 0 && strncmp(why, "LOADING", 7) != 0)
        snprintf(t->refusal, sizeof(t->refusal), "%s", why);
}

void traffic_answers(struct traffic *t)
{
    while (t->answered < t->count) {
        redisReply *reply;

        if (redisGetReply(t->c, (void **)&reply) != REDIS_OK) {
            hang_up(t);
            return;
        }
        if (reply->type == REDIS_REPLY_STRING)
            accept_job(t, t->answered, reply->str);
        else
            refuse_job(t, t->answered, reply->str ? reply->str : "no error, no id");
        t->answered++;
        freeReplyObject(reply);
    }
}

struct redisContext *traffic_redis(struct traffic *t)
{
    traffic_answers(t);
    return reach(t, clock_mono_ns() / NS_PER_MS) ? t->c : NULL;
}

/* -- receipts -------------------------------------------------------------------------------- */

static enum fate fate_named(const char *state)
{
    return strcmp(state, "purged") == 0    ? FATE_PURGED
           : strcmp(state, "expired") == 0 ? FATE_EXPIRED
           : strcmp(state, "dead") == 0    ? FATE_DEAD
                                           : FATE_OTHER;
}

static enum fate job_end_of(const redisReply *reply)
{
    json_t *receipt = json_loadb(reply->str, reply->len, 0, NULL);
    const char *state = json_string_value(json_object_get(receipt, "state"));
    enum fate fate = state ? fate_named(state) : FATE_OTHER;

    json_decref(receipt);
    return fate;
}

static void ask_for(struct traffic *t, const char *verb, const struct push_job *j)
{
    must(redisAppendCommand(t->c, "%s " P "receipt:%s-%" PRIu64 "-%" PRIu64 "%s", verb,
                            lanes[j->lane], j->ms, j->seq, j->again ? "+r" : "") == REDIS_OK);
}

/* Returns true when the job has ended and its receipt is removed. The receipt is read and then
 * removed; both may fail. */
static bool harvest_one(struct traffic *t, struct push_job *j, bool *lost)
{
    redisReply *reply = NULL;
    bool gone = false;

    ask_for(t, "GET", j);
    if (redisGetReply(t->c, (void **)&reply) == REDIS_OK && reply->type == REDIS_REPLY_STRING) {
        j->seen = true;
        j->fate = (uint8_t)job_end_of(reply);
    }
    *lost = reply == NULL;
    if (reply)
        freeReplyObject(reply);
    if (*lost || !j->seen)
        return false;
    reply = NULL;
    ask_for(t, "DEL", j);
    if (redisGetReply(t->c, (void **)&reply) == REDIS_OK)
        gone = reply->type == REDIS_REPLY_INTEGER;
    *lost = reply == NULL;
    if (reply)
        freeReplyObject(reply);
    return gone;
}

static void expect_repetition(struct push_job *j)
{
    j->again = true;
    j->seen = false;
}

void traffic_harvest(struct traffic *t)
{
    uint32_t looked = t->open_count < HARVEST ? t->open_count : HARVEST;
    bool lost = false;

    for (; looked > 0 && !lost && t->open_count && traffic_redis(t); looked--) {
        struct push_job *j;

        if (t->open_at >= t->open_count)
            t->open_at = 0;
        j = &t->jobs[t->open[t->open_at]];
        if (!harvest_one(t, j, &lost))
            t->open_at++;
        else if (j->habit == HABIT_REPEAT && j->fate == FATE_PURGED && !j->again)
            expect_repetition(j);
        else
            t->open[t->open_at] = t->open[--t->open_count];
    }
    if (lost)
        hang_up(t);
}

/* -- requests at the sandbox ------------------------------------------------------------------ */

static void note_target(struct traffic *t, const char *name, const struct request *q, bool purged)
{
    struct push_target *to = target(t, target_number(name));

    to->asked_ms = to->asked_ms ? min_u64(to->asked_ms, q->begin_ms) : q->begin_ms;
    if (!purged)
        return;
    to->first_ms = to->first_ms ? min_u64(to->first_ms, q->begin_ms) : q->begin_ms;
    to->last_ms = max_u64(to->last_ms, q->begin_ms);
}

void traffic_note(struct traffic *t, const struct request *q, unsigned omitted)
{
    for (unsigned i = 0; i < q->n; i++)
        note_target(t, q->keys[i], q, q->purged && i + omitted < q->n);
    if (q->n == 0 && q->url && strcmp(q->kind, "url") == 0)
        note_target(t, q->url, q, q->purged);
}

/* -- checks ----------------------------------------------------------------------------------- */

static bool shown(unsigned *wrong)
{
    return (*wrong)++ < SHOWN;
}

static void show_job(const struct traffic *t, uint32_t number, const char *what)
{
    const struct push_job *j = &t->jobs[number];
    const struct push_target *to = &t->targets[j->targets[0]];
    char *name = target_name(j->targets[0]);

    printf("     job %u (%s-%" PRIu64 "-%" PRIu64 ", %s%s, when %" PRIu64 "): %s; "
           "asked for %" PRIu64 ", purged %" PRIu64 " to %" PRIu64 "\n",
           number, lanes[j->lane], j->ms, j->seq, name, j->count > 1 ? ", ..." : "", j->when_ms,
           what, to->asked_ms, to->first_ms, to->last_ms);
    free(name);
}

unsigned traffic_without_end(struct traffic *t)
{
    unsigned wrong = 0;

    for (uint32_t i = 0; i < t->open_count; i++)
        if (shown(&wrong))
            show_job(t, t->open[i],
                     t->jobs[t->open[i]].again ? "no receipt of its repetition" : "no receipt");
    return wrong;
}

unsigned traffic_ended_badly(struct traffic *t)
{
    unsigned wrong = 0;

    for (uint32_t i = 0; i < t->count; i++) {
        const struct push_job *j = &t->jobs[i];
        bool expired_rightly = j->fate == FATE_EXPIRED && j->habit == HABIT_EXPIRES;

        if (j->push == PUSH_ACCEPTED && j->fate != FATE_NONE && j->fate != FATE_PURGED &&
            !expired_rightly && shown(&wrong))
            show_job(t, i, "ended neither as purged nor as rightly expired");
    }
    return wrong;
}

/* A push that arrived although its answer was lost: from now on it is treated like any other job.
 */
static bool take_in(struct traffic *t, const char *id, const char *ref, enum fate fate)
{
    uint32_t number = (uint32_t)strtoul(ref, NULL, 10);
    size_t lane = strcspn(id, "-");
    struct push_job *j;

    if (number >= t->count || id[lane] != '-')
        return false;
    j = &t->jobs[number];
    if (j->push == PUSH_REFUSED || strncmp(id, lanes[j->lane], lane) != 0)
        return false;
    if (j->habit == HABIT_REPEAT && strstr(id, "+r"))
        return j->push == PUSH_MAYBE || !j->again;
    if (j->push == PUSH_ACCEPTED)
        return false;
    accept_job(t, number, id + lane + 1);
    t->open_count--;
    j->fate = (uint8_t)fate;
    return true;
}

static bool belongs(struct traffic *t, const redisReply *reply)
{
    json_t *receipt = json_loadb(reply->str, reply->len, 0, NULL);
    const char *id = json_string_value(json_object_get(receipt, "job"));
    const char *ref = json_string_value(json_object_get(receipt, "ref"));
    bool ok = id && ref && take_in(t, id, ref, job_end_of(reply));

    json_decref(receipt);
    return ok;
}

static void judge_receipt(struct traffic *t, const redisReply *key, unsigned *wrong)
{
    redisReply *reply = redisCommand(t->c, "GET %b", key->str, (size_t)key->len);

    must(reply && reply->type == REDIS_REPLY_STRING);
    if (!belongs(t, reply) && shown(wrong))
        printf("     %s: %s\n", key->str, reply->str);
    freeReplyObject(reply);
}

unsigned traffic_stray_receipts(struct traffic *t)
{
    unsigned wrong = 0;
    redisReply *keys;

    must(traffic_redis(t));
    keys = redisCommand(t->c, "KEYS " P "receipt:[a-z]*");
    must(keys && keys->type == REDIS_REPLY_ARRAY);
    for (size_t i = 0; i < keys->elements; i++)
        judge_receipt(t, keys->element[i], &wrong);
    freeReplyObject(keys);
    return wrong;
}

unsigned traffic_purged_too_early(struct traffic *t)
{
    unsigned wrong = 0;

    for (uint32_t i = 0; i < t->count; i++) {
        const struct push_job *j = &t->jobs[i];

        for (int k = 0; k < j->count; k++)
            if (j->push == PUSH_ACCEPTED && j->fate == FATE_PURGED &&
                target(t, j->targets[k])->last_ms + CLOCK_SLACK_MS < j->ms && shown(&wrong))
                show_job(t, i, "not purged after it was accepted");
    }
    return wrong;
}

unsigned traffic_sent_before_its_time(struct traffic *t)
{
    unsigned wrong = 0;

    for (uint32_t i = 0; i < t->count; i++) {
        const struct push_job *j = &t->jobs[i];

        if (j->push == PUSH_ACCEPTED && j->habit == HABIT_LATER &&
            target(t, j->targets[0])->asked_ms + CLOCK_SLACK_MS < j->when_ms && shown(&wrong))
            show_job(t, i, "sent before its time");
    }
    return wrong;
}

unsigned traffic_not_repeated(struct traffic *t)
{
    unsigned wrong = 0;

    for (uint32_t i = 0; i < t->count; i++) {
        const struct push_job *j = &t->jobs[i];
        const struct push_target *to = target(t, j->targets[0]);

        if (j->push == PUSH_ACCEPTED && j->habit == HABIT_REPEAT && j->fate == FATE_PURGED &&
            to->last_ms + CLOCK_SLACK_MS < to->first_ms + j->when_ms && shown(&wrong))
            show_job(t, i, "not purged again");
    }
    return wrong;
}

uint32_t traffic_with_fate(const struct traffic *t, enum fate fate)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < t->count; i++)
        n += t->jobs[i].push == PUSH_ACCEPTED && t->jobs[i].fate == fate;
    return n;
}
