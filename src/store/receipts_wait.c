/* SPDX-License-Identifier: MIT */
#include "receipts_wait.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "alloc.h"
#include "client.h"
#include "clock.h"
#include "job.h"
#include "keys.h"
#include "redis_error.h"
#include "scripts.h"

/* This order makes certain that no end is missed: first subscribe, then look up the receipts of all
 * jobs, then follow the messages. After a lost connection it starts again with the first step. If
 * Redis does not permit SUBSCRIBE, or a proxy in front of it closes the connection because of it,
 * receipts are looked up again and again instead; a job that ends without a receipt is then not
 * seen to end. */

#define LOOKUP_MAX 256        /* receipts in one command */
#define HISTORY_LOOKUP_MAX 32 /* the same in the history, where each takes Redis 10 to 100 us */
#define AWAY_MAX_NS (60 * NS_PER_S)
#define DEAF_MAX_NS (600 * NS_PER_S) /* a limit, because ends may be missed without messages */
#define AGAIN_NS (NS_PER_S / 2)
#define HANG_UPS_MAX 3 /* in a row: a restarted Redis, for example, closes the connection once */

struct awaited {
    enum lane lane;
    uint64_t ms, seq;
    bool ended;
};

struct receipts_wait {
    char *account;
    enum receipts_in where;
    bool forbidden; /* scripts, or the history */
    struct awaited *jobs;
    size_t count, room;
    uint64_t open;
};

/* One call of receipts_wait_await. */
struct waiting {
    struct receipts_wait *r;
    struct client *listener, *asker;
    uint64_t deadline_ns;
    bool deaf;    /* SUBSCRIBE is refused */
    int hang_ups; /* how often it has ended its connection while the other one went on */
    receipts_wait_deaf_cb *told;
    receipts_wait_cb *cb;
    void *ctx;
};

struct receipts_wait *receipts_wait_new(const struct config_account *a)
{
    struct receipts_wait *r = alloc_zeroed(1, sizeof(*r));

    r->account = alloc_str(a->name);
    r->where = a->receipts_in;
    return r;
}

void receipts_wait_free(struct receipts_wait *r)
{
    if (!r)
        return;
    free(r->account);
    free(r->jobs);
    free(r);
}

uint64_t receipts_wait_open(const struct receipts_wait *r)
{
    return r->open;
}

/* A job with "+r" is a repeat. Nobody waits for repeats. */
static int parse_job(struct span job, struct awaited *out)
{
    struct span lane, ms, seq;

    *out = (struct awaited){0};
    if (!job_id_ok(job, &out->lane) || !span_next_word(&job, '-', &lane) ||
        !span_next_word(&job, '-', &ms) || !span_next_word(&job, '-', &seq) ||
        span_to_plain_u64(ms, &out->ms) < 0)
        return -EINVAL;
    return span_to_plain_u64(seq, &out->seq);
}

int receipts_wait_expect(struct receipts_wait *r, const char *job)
{
    struct awaited a;

    if (parse_job(span_str(job), &a) < 0)
        return -EINVAL;
    if (r->count == r->room) {
        r->room = r->room ? r->room * 2 : 64;
        r->jobs = alloc_grow(r->jobs, r->room, sizeof(*r->jobs));
    }
    r->jobs[r->count++] = a;
    r->open++;
    return 0;
}

static int compare(const void *pa, const void *pb)
{
    const struct awaited *a = pa, *b = pb;

    if (a->ms != b->ms)
        return a->ms < b->ms ? -1 : 1;
    if (a->seq != b->seq)
        return a->seq < b->seq ? -1 : 1;
    return (int)a->lane - (int)b->lane;
}

static struct awaited *find(struct receipts_wait *r, struct span job)
{
    struct awaited wanted;

    if (parse_job(job, &wanted) < 0)
        return NULL;
    return bsearch(&wanted, r->jobs, r->count, sizeof(*r->jobs), compare);
}

/* -- asking for receipts -- */

enum without {
    WITHOUT_IS_OPEN, /* no receipt: it has not ended yet */
    WITHOUT_IS_OVER, /* it has ended, receipt or not */
};

static void write_id(const struct awaited *a, char job[JOB_ID_ROOM])
{
    snprintf(job, JOB_ID_ROOM, "%s-%" PRIu64 "-%" PRIu64, lane_names[a->lane], a->ms, a->seq);
}

static void end(struct waiting *w, struct awaited *a, struct span receipt)
{
    char job[JOB_ID_ROOM];

    a->ended = true;
    w->r->open--;
    write_id(a, job);
    w->cb(w->ctx, job, receipt);
}

struct looked_for {
    struct awaited *job;
    char what[JOB_ID_ROOM + 32]; /* its id, and the score from which to go on */
};

static void look_for(struct looked_for *out, struct awaited *job, struct span from)
{
    char id[JOB_ID_ROOM];

    write_id(job, id);
    out->job = job;
    snprintf(out->what, sizeof(out->what), "%s %.*s", id, (int)from.n, from.p);
}

/* Redis looks at a few entries of the history for each job. Leaves those that it has to go on with.
 */
static int look_further(struct waiting *w, struct looked_for *jobs, size_t *count)
{
    struct span argv[4 + HISTORY_LOOKUP_MAX] = {SPAN("EVAL"),
                                                span_str(scripts[SCRIPT_RECEIPTS].text), SPAN("1")};
    char *key = redis_key(w->r->account, "history");
    struct redisReply *reply;
    size_t more = 0;
    int rc;

    argv[3] = span_str(key);
    for (size_t i = 0; i < *count; i++)
        argv[4 + i] = span_str(jobs[i].what);
    rc = client_ask(w->asker, 4 + *count, argv, &reply);
    free(key);
    for (size_t i = 0; rc == 0 && i < *count; i++) {
        const struct redisReply *told = reply_at(reply, i);
        struct awaited *job = jobs[i].job;

        if (reply_count(told))
            look_for(&jobs[more++], job, reply_text(reply_at(told, 0)));
        else if (!job->ended && reply_text(told).n)
            end(w, job, reply_text(told));
    }
    *count = more;
    return rc;
}

/* Looks for receipts that are no keys among the lines of the history. Who may only push is not
 * permitted to see these, and is told that the jobs have ended, but not how. */
static int look_in_history(struct waiting *w, struct awaited *const *jobs, size_t count)
{
    struct looked_for now[HISTORY_LOOKUP_MAX];
    int rc = 0;

    for (size_t i = 0; i < count; i++)
        look_for(&now[i], jobs[i], SPAN(""));
    while (rc == 0 && count)
        rc = look_further(w, now, &count);
    if (rc != -EIO)
        return rc;
    w->r->forbidden = redis_error_of(client_error(w->asker)) == REDIS_ERROR_NOPERM;
    return w->r->forbidden ? 0 : rc;
}

static int look_up_keys(struct waiting *w, struct awaited *const *jobs, size_t count)
{
    struct span argv[LOOKUP_MAX + 1] = {SPAN("MGET")};
    char *keys[LOOKUP_MAX], job[JOB_ID_ROOM], what[JOB_ID_ROOM + 16];
    struct redisReply *reply;
    int rc;

    for (size_t i = 0; i < count; i++) {
        write_id(jobs[i], job);
        snprintf(what, sizeof(what), "receipt:%s", job);
        keys[i] = redis_key(w->r->account, what);
        argv[i + 1] = span_str(keys[i]);
    }
    rc = client_ask(w->asker, count + 1, argv, &reply);
    for (size_t i = 0; i < count; i++) {
        free(keys[i]);
        if (rc == 0 && !jobs[i]->ended && !reply_nil(reply_at(reply, i)))
            end(w, jobs[i], reply_text(reply_at(reply, i)));
    }
    return rc;
}

static int look_up_receipts(struct waiting *w, struct awaited *const *jobs, size_t count,
                            enum without without)
{
    struct awaited *open[LOOKUP_MAX];
    size_t n = 0;
    int rc = look_up_keys(w, jobs, count);

    for (size_t i = 0; i < count; i++)
        if (!jobs[i]->ended)
            open[n++] = jobs[i];
    if (without == WITHOUT_IS_OPEN && w->r->where == RECEIPTS_IN_KEYS)
        return rc;
    for (size_t i = 0; rc == 0 && i < n && !w->r->forbidden; i += HISTORY_LOOKUP_MAX)
        rc = look_in_history(w, open + i, min_u64(n - i, HISTORY_LOOKUP_MAX));
    for (size_t i = 0; rc == 0 && i < n && without == WITHOUT_IS_OVER; i++)
        if (!open[i]->ended)
            end(w, open[i], SPAN(""));
    return rc;
}

/* Looks up all jobs that have not ended, once. */
static int sweep(struct waiting *w)
{
    struct awaited *batch[LOOKUP_MAX];
    size_t n = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < w->r->count; i++) {
        if (!w->r->jobs[i].ended)
            batch[n++] = &w->r->jobs[i];
        if (n == LOOKUP_MAX) {
            rc = look_up_receipts(w, batch, n, WITHOUT_IS_OPEN);
            n = 0;
        }
    }
    return rc == 0 && n ? look_up_receipts(w, batch, n, WITHOUT_IS_OPEN) : rc;
}

/* Handles a message of the channel: ids of jobs that have ended, perhaps some of ours. */
static int take_message(struct waiting *w, struct span ids)
{
    struct awaited *batch[LOOKUP_MAX];
    struct span id;
    size_t n = 0;
    int rc = 0;

    while (rc == 0 && span_next_word(&ids, ' ', &id)) {
        struct awaited *a = find(w->r, id);

        if (a && !a->ended)
            batch[n++] = a;
        if (n == LOOKUP_MAX) {
            rc = look_up_receipts(w, batch, n, WITHOUT_IS_OVER);
            n = 0;
        }
    }
    return rc == 0 && n ? look_up_receipts(w, batch, n, WITHOUT_IS_OVER) : rc;
}

/* -- listening -- */

static int subscribe(struct waiting *w)
{
    char *channel = redis_key(w->r->account, "settled");
    struct redisReply *reply;
    int rc =
        client_ask_words(w->listener, (const char *const[]){"SUBSCRIBE", channel, NULL}, &reply);

    free(channel);
    return rc;
}

static int listen_once(struct waiting *w)
{
    uint64_t now = clock_mono_ns(), left_ms;
    struct redisReply *reply;
    int rc;

    if (now >= w->deadline_ns)
        return -ETIMEDOUT;
    left_ms = w->deadline_ns == NEVER ? INT_MAX : (w->deadline_ns - now) / NS_PER_MS + 1;
    rc = client_wait(w->listener, left_ms > INT_MAX ? INT_MAX : (int)left_ms, &reply);
    if (rc == 0 && span_is(reply_text(reply_at(reply, 0)), "message"))
        rc = take_message(w, reply_text(reply_at(reply, 2)));
    return rc;
}

static void pause_ns(uint64_t ns)
{
    struct timespec ts = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};

    nanosleep(&ts, NULL);
}

/* Waits by polling, without messages. */
static int poll_receipts(struct waiting *w)
{
    int rc = sweep(w);

    while (rc == 0 && w->r->open) {
        uint64_t now = clock_mono_ns();

        if (now >= w->deadline_ns)
            return -ETIMEDOUT;
        pause_ns(min_u64(AGAIN_NS, w->deadline_ns - now));
        rc = sweep(w);
    }
    return rc;
}

/* -EIO if SUBSCRIBE has been refused, in words or by the end of the connection. */
static int begin_listening(struct waiting *w)
{
    int rc = subscribe(w);

    if (rc == 0)
        w->hang_ups = 0;
    if (rc != -ENOTCONN || sweep(w) < 0)
        return rc;
    if (!w->r->open)
        return 0;
    return ++w->hang_ups < HANG_UPS_MAX ? -ENOTCONN : -EIO;
}

static int follow(struct waiting *w)
{
    int rc = begin_listening(w);

    if (rc == -EIO) { /* a refusal does not go away */
        if (!w->deaf && w->told)
            w->told(w->ctx, client_error(w->listener));
        w->deaf = true;
        if (w->deadline_ns == NEVER)
            w->deadline_ns = clock_mono_ns() + DEAF_MAX_NS;
        return poll_receipts(w);
    }
    if (rc == 0)
        rc = sweep(w);
    while (rc == 0 && w->r->open)
        rc = listen_once(w);
    return rc;
}

static int connect_both(struct waiting *w, const struct redis_address *a, struct error *err)
{
    int rc = client_open(a, &w->listener, err);

    if (rc < 0)
        return rc;
    rc = client_open(a, &w->asker, err);
    if (rc < 0) {
        client_close(w->listener);
        w->listener = NULL;
    }
    return rc;
}

int receipts_wait_await(struct receipts_wait *r, const struct redis_address *a,
                        uint64_t deadline_ns, receipts_wait_cb *cb, receipts_wait_deaf_cb *deaf,
                        void *ctx, struct error *err)
{
    struct waiting w = {.r = r, .deadline_ns = deadline_ns, .cb = cb, .told = deaf, .ctx = ctx};
    uint64_t away_since = clock_mono_ns(), now;
    int rc = 0;

    if (r->count) /* if Redis has refused all jobs, there is not even a list */
        qsort(r->jobs, r->count, sizeof(*r->jobs), compare);
    while (r->open) {
        rc = connect_both(&w, a, err);
        if (rc == 0) {
            rc = follow(&w);
            /* Receipts are looked up on the second connection. */
            if (rc < 0)
                error_set(err, rc, "%s",
                          rc == -EIO ? client_error(w.asker) : client_error(w.listener));
            client_close(w.listener);
            client_close(w.asker);
            away_since = clock_mono_ns();
        }
        now = clock_mono_ns();
        if (rc == 0 || rc == -ETIMEDOUT || rc == -EIO)
            break; /* a refusal is the same at each try */
        if (now >= deadline_ns)
            return -ETIMEDOUT;
        if (now - away_since > AWAY_MAX_NS)
            return -ENOTCONN;
        pause_ns(AGAIN_NS); /* Redis is probably restarting */
    }
    return rc;
}
