/* SPDX-License-Identifier: MIT */
#include "jobplace.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "client.h"
#include "job.h"
#include "queue_scripts.h"
#include "rediskey.h"

/* -- ids -- */

static char *receipt_key(const char *account, const char *job)
{
    char what[JOB_ID_ROOM + 16];
    int n = snprintf(what, sizeof(what), "receipt:%s", job);

    must(n > 0 && (size_t)n < sizeof(what));
    return rediskey(account, what);
}

static void free_all(char **keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(keys[i]);
}

/* -- finding -- */

/* KEYS receipt postponed places later urgent normal bulk. ARGV job, home (1 to 3; 0 for a repeat,
 * which never was in a lane under its own id), entry id. Answers what it is: ended and its receipt,
 * postponed, lane with its number and the entry id, unsure, unknown. */
static const char find[] = QUEUE_LUA_THERE
    "local call, job, home = redis.call, ARGV[1], tonumber(ARGV[2])\n"
    "local receipt = call('GET', KEYS[1])\n"
    "if receipt then return {'ended', receipt} end\n"
    "if call('ZSCORE', KEYS[2], job) then return {'postponed'} end\n"
    "local place = call('HGET', KEYS[3], job)\n"
    "if place then\n"
    "  local lane, id = place:match('^(%a+)-(%d+%-%d+)$')\n"
    "  local k = ({urgent = 1, normal = 2, bulk = 3})[lane]\n"
    "  if k and there(KEYS[4 + k], id) then return {'lane', k, id} end\n"
    "  call('HDEL', KEYS[3], job)\n"
    "end\n"
    "if home > 0 and there(KEYS[4 + home], ARGV[3]) then return {'lane', home, ARGV[3]} end\n"
    "return {call('EXISTS', KEYS[4]) == 1 and 'unsure' or 'unknown'}\n";

struct finding {
    jobplace_cb *cb;
    void *ctx;
};

static enum job_state state_of(const struct redisReply *reply, struct jobplace *place)
{
    struct span what = reply_text(reply_at(reply, 0)), id = reply_text(reply_at(reply, 2));
    int64_t lane = reply_number(reply_at(reply, 1));

    if (!reply || reply_refused(reply))
        return JOB_ASKED_IN_VAIN;
    if (span_is(what, "ended"))
        return JOB_ENDED;
    if (span_is(what, "unsure"))
        return JOB_UNSURE;
    place->postponed = span_is(what, "postponed");
    if (place->postponed)
        return JOB_WAITING;
    if (!span_is(what, "lane") || lane < 1 || lane > LANE_N)
        return JOB_UNKNOWN;
    place->lane = (enum lane)(lane - 1);
    snprintf(place->entry, sizeof(place->entry), "%.*s", (int)id.n, id.p);
    return JOB_WAITING;
}

static void on_found(void *ctx, struct redisReply *reply)
{
    struct finding f = *(struct finding *)ctx;
    struct jobplace place = {0};
    enum job_state state = state_of(reply, &place);

    free(ctx);
    f.cb(f.ctx, state, state == JOB_ENDED ? reply_text(reply_at(reply, 1)) : SPAN(""), &place);
}

void jobplace_find(struct redis *r, const char *account, const char *job, jobplace_cb *cb,
                   void *ctx)
{
    static const char *const rest[] = {"postponed", "places", "later"};
    struct finding *f = alloc_zeroed(1, sizeof(*f));
    char *keys[4 + LANE_N] = {receipt_key(account, job)}, home[12] = "0";
    struct span argv[3 + array_len(keys) + 3] = {SPAN("EVAL"), span_str(find), SPAN("7")};
    enum lane lane = LANE_NORMAL;

    must(job_id_ok(span_str(job), &lane));
    *f = (struct finding){cb, ctx};
    for (size_t i = 0; i < array_len(rest); i++)
        keys[1 + i] = rediskey(account, rest[i]);
    for (int i = 0; i < LANE_N; i++)
        keys[4 + i] = rediskey_lane(account, (enum lane)i);
    for (size_t i = 0; i < array_len(keys); i++)
        argv[3 + i] = span_str(keys[i]);
    if (!strchr(job, '+'))
        snprintf(home, sizeof(home), "%d", (int)lane + 1);
    argv[3 + array_len(keys)] = span_str(job);
    argv[4 + array_len(keys)] = span_str(home);
    argv[5 + array_len(keys)] = span_str(job + strlen(lane_names[lane]) + 1);
    redis_command(r, array_len(argv), argv, on_found, f);
    free_all(keys, array_len(keys));
}

/* -- cancelling -- */

/* KEYS receipt postponed postponed:jobs places settled cancelled stream. ARGV job, receipt, ttl_s,
 * lane ('' when it is postponed), entry id. Answers {1} when it was taken back, {0, receipt} when
 * it has ended, {2} when it is not there. The receipt is written before the job is removed: a
 * script that fails in the middle is not rolled back. The leader knows jobs by their entries. */
static const char cancel[] =
    QUEUE_LUA_THERE "local call, job, lane, id = redis.call, ARGV[1], ARGV[4], ARGV[5]\n"
                    "local ended = call('GET', KEYS[1])\n"
                    "if ended then return {0, ended} end\n"
                    "if lane == '' and not call('ZSCORE', KEYS[2], job) then return {2} end\n"
                    "if lane ~= '' and not there(KEYS[7], id) then return {2} end\n"
                    "call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])\n"
                    "if lane == '' then\n"
                    "  call('ZREM', KEYS[2], job)\n"
                    "  call('HDEL', KEYS[3], job)\n"
                    "else\n"
                    "  local place = lane .. '-' .. id\n"
                    "  call('XDEL', KEYS[7], id)\n"
                    "  if call('HGET', KEYS[4], job) == place then call('HDEL', KEYS[4], job) end\n"
                    "  call('RPUSH', KEYS[6], place)\n"
                    "  call('LTRIM', KEYS[6], -10000, -1)\n"
                    "  call('EXPIRE', KEYS[6], 60)\n"
                    "end\n"
                    "call('PUBLISH', KEYS[5], job)\n"
                    "return {1}\n";

struct cancelling {
    jobplace_cancel_cb *cb;
    void *ctx;
};

static void on_cancelled(void *ctx, struct redisReply *reply)
{
    static const enum jobplace_cancelled answers[] = {JOBPLACE_ENDED, JOBPLACE_CANCELLED,
                                                      JOBPLACE_MOVED};
    struct cancelling c = *(struct cancelling *)ctx;
    int64_t n = reply_number(reply_at(reply, 0));

    free(ctx);
    if (!reply || reply_refused(reply) || n < 0 || n >= (int64_t)array_len(answers))
        c.cb(c.ctx, JOBPLACE_FAILED, reply ? reply_text(reply) : SPAN("Redis is away"));
    else
        c.cb(c.ctx, answers[n], reply_text(reply_at(reply, 1)));
}

void jobplace_cancel(struct redis *r, const struct config_account *a, const char *job,
                     const struct jobplace *place, struct span receipt, jobplace_cancel_cb *cb,
                     void *ctx)
{
    struct cancelling *c = alloc_zeroed(1, sizeof(*c));
    char *keys[] = {receipt_key(a->name, job),           rediskey(a->name, "postponed"),
                    rediskey(a->name, "postponed:jobs"), rediskey(a->name, "places"),
                    rediskey(a->name, "settled"),        rediskey(a->name, "cancelled"),
                    rediskey_lane(a->name, place->lane)};
    struct span argv[3 + array_len(keys) + 5] = {SPAN("EVAL"), span_str(cancel), SPAN("7")};
    char ttl[16];
    size_t n = 3;

    *c = (struct cancelling){cb, ctx};
    snprintf(ttl, sizeof(ttl), "%u", a->receipt_ttl_s);
    for (size_t i = 0; i < array_len(keys); i++)
        argv[n++] = span_str(keys[i]);
    argv[n++] = span_str(job);
    argv[n++] = receipt;
    argv[n++] = span_str(ttl);
    argv[n++] = place->postponed ? SPAN("") : span_str(lane_names[place->lane]);
    argv[n++] = span_str(place->entry);
    redis_command(r, n, argv, on_cancelled, c);
    free_all(keys, array_len(keys));
}
