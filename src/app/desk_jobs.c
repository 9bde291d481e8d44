/* SPDX-License-Identifier: MIT
 * GET and DELETE /v1/jobs/{job}: what became of a job, and taking it back. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "client.h"
#include "clock.h"
#include "desk.h"
#include "rediskey.h"
#include "waiters.h"

struct subject {
    const struct config_account *account;
    enum lane lane;
    char job[80];
    uint32_t targets;
    char *ref;
};

static void end_subject(struct errand *e)
{
    struct subject *s = e->state;

    free(s->ref);
    free(s);
}

/* "normal-1700000000000-0", and "+r" for each repeat. */
static bool job_ok(struct span job, enum lane *lane)
{
    struct span rest = job, part;
    uint64_t n;

    if (job.n >= sizeof(((struct subject *)NULL)->job) || !span_next_word(&rest, '-', &part) ||
        lane_parse(part, lane) < 0)
        return false;
    for (int i = 0; i < 2; i++) {
        if (!span_next_word(&rest, '-', &part))
            return false;
        while (i == 1 && part.n > 2 && memcmp(part.p + part.n - 2, "+r", 2) == 0)
            part.n -= 2;
        if (span_to_u64(part, &n) < 0)
            return false;
    }
    return rest.n == 0;
}

static struct subject *subject_of(struct errand *e)
{
    const struct config_account *a = errand_account(e, errand_query(e, "account"));
    struct subject *s;
    enum lane lane;

    if (!a)
        return NULL;
    if (!job_ok(e->parts[0], &lane)) {
        errand_refuse(e, 400, "job: expected an id as normal-1700000000000-0");
        return NULL;
    }
    s = alloc_zeroed(1, sizeof(*s));
    s->account = a;
    s->lane = lane;
    snprintf(s->job, sizeof(s->job), "%.*s", (int)e->parts[0].n, e->parts[0].p);
    e->state = s;
    e->end = end_subject;
    return s;
}

/* -- looking -- */

static void say_receipt(struct errand *e, int status, struct span receipt)
{
    json_t *j = json_loadb(receipt.p, receipt.n, 0, NULL);

    errand_say_json(e, status, j ? j : json_object());
}

static void on_look(void *ctx, enum job_state state, struct span receipt)
{
    struct errand *e = ctx;
    const struct subject *s = e->state;

    if (state == JOB_ENDED)
        say_receipt(e, 200, receipt);
    else if (state == JOB_WAITING)
        errand_say(e, 200, "{\"job\":\"%s\",\"state\":\"waiting\"}", s->job);
    else if (state == JOB_UNKNOWN)
        errand_refuse(e, 404, "job: not there; it never was, or its receipt has expired");
    else
        errand_refuse(e, 503, "Redis is away");
    errand_drop(e);
}

static void late_look(struct errand *e)
{
    errand_refuse(e, 503, "Redis does not answer; ask again");
}

void desk_job_get(struct errand *e)
{
    const struct subject *s = subject_of(e);

    if (!s)
        return;
    e->late = late_look;
    waiters_look(e->in->waiters, s->account->name, s->job, on_look, errand_hold(e));
}

/* -- cancelling -- */

/* KEYS stream receipt later settled-channel cancelled. ARGV entry-id job receipt ttl_s. Answers {1}
 * when it was taken back, {0, receipt} when it has ended, {0} when it is not there. The receipt is
 * written before the job is removed: a script that fails in the middle is not rolled back. */
static const char cancel[] = "local ended = redis.call('GET', KEYS[2])\n"
                             "if ended then return {0, ended} end\n"
                             "local there = #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) > 0\n"
                             "local put_off\n"
                             "if not there then\n"
                             "  for _, m in ipairs(redis.call('ZRANGE', KEYS[3], 0, 9999)) do\n"
                             "    if m:find(ARGV[1], 1, true) then put_off = m break end\n"
                             "  end\n"
                             "end\n"
                             "if not there and not put_off then return {0} end\n"
                             "redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4])\n"
                             "if there then\n"
                             "  redis.call('XDEL', KEYS[1], ARGV[1])\n"
                             "else\n"
                             "  redis.call('ZREM', KEYS[3], put_off)\n"
                             "end\n"
                             "redis.call('PUBLISH', KEYS[4], ARGV[2])\n"
                             "redis.call('RPUSH', KEYS[5], ARGV[2])\n"
                             "redis.call('LTRIM', KEYS[5], -10000, -1)\n"
                             "redis.call('EXPIRE', KEYS[5], 60)\n"
                             "return {1}\n";

static char *cancelled_receipt(const struct subject *s)
{
    json_t *j = json_pack("{sssssIsi}", "job", s->job, "state", "cancelled", "at",
                          (json_int_t)clock_wall_ms(), "targets", (int)s->targets);
    json_t *ref = s->ref ? json_string(s->ref) : NULL;
    char *text;

    if (ref)
        json_object_set_new(j, "ref", ref);
    text = json_dumps(j, JSON_COMPACT);
    must(text != NULL);
    json_decref(j);
    return text;
}

static void late_cancel(struct errand *e)
{
    errand_refuse(e, 503,
                  "Redis does not answer: whether the job is cancelled is not known; cancel it "
                  "again");
}

static void on_cancelled(void *ctx, struct redisReply *reply)
{
    struct errand *e = ctx;
    const struct subject *s = e->state;
    struct span receipt = reply_text(reply_at(reply, 1));

    if (!reply) {
        late_cancel(e);
    } else if (reply_refused(reply)) {
        errand_refuse(e, 503, reply_text(reply).p);
    } else if (reply_number(reply_at(reply, 0)) == 1) {
        char *text = cancelled_receipt(s);

        say_receipt(e, 200, span_str(text));
        free(text);
    } else if (receipt.n) {
        say_receipt(e, 409, receipt);
    } else {
        errand_refuse(e, 404, "job: not there; it never was, or its receipt has expired");
    }
    errand_drop(e);
}

static void take_back(struct errand *e)
{
    const struct subject *s = e->state;
    char what[100], ttl[16], *receipt = cancelled_receipt(s);
    char *keys[5];

    snprintf(what, sizeof(what), "receipt:%s", s->job);
    snprintf(ttl, sizeof(ttl), "%u", s->account->receipt_ttl_s);
    keys[0] = rediskey_lane(s->account->name, s->lane);
    keys[1] = rediskey(s->account->name, what);
    keys[2] = rediskey(s->account->name, "later");
    keys[3] = rediskey(s->account->name, "settled");
    keys[4] = rediskey(s->account->name, "cancelled");
    redis_command(intray_redis(e->in->intray), 12,
                  (const struct span[]){SPAN("EVAL"), span_str(cancel), SPAN("5"),
                                        span_str(keys[0]), span_str(keys[1]), span_str(keys[2]),
                                        span_str(keys[3]), span_str(keys[4]),
                                        span_str(s->job + strlen(lane_names[s->lane]) + 1),
                                        span_str(s->job), span_str(receipt), span_str(ttl)},
                  on_cancelled, errand_hold(e));
    for (size_t i = 0; i < array_len(keys); i++)
        free(keys[i]);
    free(receipt);
}

/* Whoever may push such a job may take it back. 0, or refused. */
static int check_entry(struct errand *e, const struct redisReply *fields)
{
    struct subject *s = e->state;
    size_t count = reply_count(fields) / 2 * 2;
    struct span *at = alloc_zeroed(count + 1, sizeof(*at));
    struct job_spec spec;
    char err[300];
    int rc;

    for (size_t i = 0; i < count; i++)
        at[i] = reply_text(reply_at(fields, i));
    rc = job_decode(&e->in->decoder, s->account, at, count, &spec, err, sizeof(err));
    if (rc == 0) {
        s->targets = spec.targets_count;
        s->ref = spec.ref.n ? alloc_copy(spec.ref.p, spec.ref.n) : NULL;
        spec.original = span_of(NULL, 0);
        rc = gate_may_push(e->who, s->account, s->lane, &spec, err, sizeof(err));
    } else if (e->who->admin) {
        rc = 0; /* what is no job may go */
    }
    free(at);
    if (rc < 0)
        errand_refuse(e, 403, err);
    return rc;
}

/* It is not in its lane, and what is put off is packed: whose it is cannot be told from here. */
static void on_absent(void *ctx, enum job_state state, struct span receipt)
{
    struct errand *e = ctx;

    if (state == JOB_WAITING)
        errand_refuse(e, 403, "job: it is put off; only a producer with admin: true may cancel it");
    else if (state == JOB_ENDED)
        say_receipt(e, 409, receipt);
    else if (state == JOB_UNKNOWN)
        errand_refuse(e, 404, "job: not there; it never was, or its receipt has expired");
    else
        errand_refuse(e, 503, "Redis is away");
    errand_drop(e);
}

static void on_entry(void *ctx, struct redisReply *reply)
{
    struct errand *e = ctx;
    const struct subject *s = e->state;
    const struct redisReply *entry = reply_at(reply, 0);

    if (!reply || reply_refused(reply))
        errand_refuse(e, 503, reply ? reply_text(reply).p : "Redis is away");
    else if (!entry && !e->who->admin)
        waiters_look(e->in->waiters, s->account->name, s->job, on_absent, errand_hold(e));
    else if (!entry || check_entry(e, reply_at(entry, 1)) == 0)
        take_back(e);
    errand_drop(e);
}

/* The dispatcher hears of it within a second and lets go of what waits. What is on its way to
 * Fastly by then cannot be called back; it is purged, and its receipt stays "cancelled". */
void desk_job_cancel(struct errand *e)
{
    const struct subject *s = subject_of(e);
    char *stream;
    struct span id;

    if (!s)
        return;
    if (strchr(s->job, '+')) {
        errand_refuse(e, 400, "job: a repeat is cancelled by cancelling what it repeats");
        return;
    }
    e->late = late_cancel;
    stream = rediskey_lane(s->account->name, s->lane);
    id = span_str(s->job + strlen(lane_names[s->lane]) + 1);
    redis_command(intray_redis(e->in->intray), 4,
                  (const struct span[]){SPAN("XRANGE"), span_str(stream), id, id}, on_entry,
                  errand_hold(e));
    free(stream);
}
