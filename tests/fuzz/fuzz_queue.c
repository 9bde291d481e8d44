/* SPDX-License-Identifier: MIT
 * Any answers of a Redis, or of a server that claims to be one, to the queue. Input: a digit that
 * chooses the command, then RESP: one answer for each Redis command; after the last one the
 * connection is lost. The linker uses the functions in this file instead of io's connection. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "alloc.h"
#include "client.h"
#include "fuzz.h"
#include "job.h"
#include "job_watch.h"
#include "jobplace.h"
#include "list.h"
#include "queue.h"
#include "redis_codec.h"
#include "submit.h"

#define COMMANDS_MAX 3000 /* per input; more would be an endless loop */

/* -- a connection that gets its answers from the input -- */

struct redis {
    struct list asked;
    const struct redis_sink *sink; /* of the reader; NULL: there is no read in progress */
    void *sink_ctx;
};

struct ask {
    struct list link;
    redis_reply_cb *cb;
    void *ctx;
};

static struct redis the_connection;
static size_t commands;

struct redis *redis_new(struct loop *l, const struct redis_address *a, redis_up_cb *up,
                        redis_down_cb *down, void *ctx)
{
    (void)l, (void)a, (void)up, (void)down, (void)ctx;
    return &the_connection;
}

void redis_set_patience(struct redis *r, uint32_t ms)
{
    (void)r, (void)ms;
}

bool redis_is_up(const struct redis *r)
{
    (void)r;
    return true;
}

void redis_command(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb,
                   void *ctx)
{
    struct ask *a = alloc_zeroed(1, sizeof(*a));

    must(argc > 0 && argv[0].n > 0 && ++commands < COMMANDS_MAX);
    *a = (struct ask){.cb = cb, .ctx = ctx};
    list_push_back(&r->asked, &a->link);
}

void redis_stream(struct redis *r, uint32_t block_ms, size_t argc, const struct span *argv,
                  const struct redis_sink *sink, void *ctx)
{
    (void)block_ms, (void)argc, (void)argv;
    r->sink = sink;
    r->sink_ctx = ctx;
}

void redis_subscribe(struct redis *r, struct span channel, redis_message_cb *cb, void *ctx)
{
    (void)r, (void)channel, (void)cb, (void)ctx;
}

void redis_close(struct redis *r, loop_cb *closed, void *ctx)
{
    (void)r, (void)closed, (void)ctx;
    must(!"a fuzzer ends as it is");
}

static void answer_reader(struct span resp)
{
    const struct redis_sink *sink = the_connection.sink;
    void *ctx = the_connection.sink_ctx;
    int rc = 0;

    the_connection.sink = NULL;
    while (rc == 0 && resp.n) {
        size_t n;
        char *at = sink->room(ctx, &n);

        must(n > 0);
        if (n > resp.n)
            n = resp.n;
        memcpy(at, resp.p, n);
        resp = span_of(resp.p + n, resp.n - n);
        rc = sink->took(ctx, n);
    }
    sink->done(ctx, rc > 0 ? 0 : -ENOTCONN);
}

static void answer_all(struct span resp)
{
    struct redis_reader *reader = redis_reader_new(NULL, NULL);
    struct list *node;

    if (the_connection.sink)
        answer_reader(resp);
    redis_reader_feed(reader, resp.p, resp.n);
    while ((node = list_pop_front(&the_connection.asked))) {
        struct ask *a = list_entry(node, struct ask, link);
        struct redisReply *reply = NULL;
        const char *why;

        if (redis_reader_next(reader, &reply, &why) < 0)
            reply = NULL;
        a->cb(a->ctx, reply);
        free(a);
    }
    redis_reader_free(reader);
}

/* -- the commands, and checks of their results -- */

static struct queue *queue;
static struct submit *submit;
static struct job_watch *waiters;
static unsigned called;

static void check_err(int err)
{
    called++;
    must(err == 0 || err == -ENOTCONN || err == -EPERM || err == -ENOMEM || err == -EIO);
}

static bool on_room(void *ctx, enum lane lane, uint64_t bytes)
{
    (void)ctx, (void)lane;
    return bytes < 100000;
}

static bool on_entry(void *ctx, const struct queue_entry *e)
{
    (void)ctx;
    must(e->fields_count % 2 == 0);
    for (size_t k = 0; k < e->fields_count; k++)
        must(e->fields[k].p || e->fields[k].n == 0);
    return e->id.seq % 16 != 15;
}

static void on_read(void *ctx, int err, bool all)
{
    (void)ctx;
    check_err(err);
    must(!err || !all);
}

static void on_lease(void *ctx, int err, const struct queue_lease *lead)
{
    (void)ctx;
    check_err(err);
    must(err || lead->cancelled_count <= QUEUE_CANCELLED_MAX);
    for (size_t i = 0; err == 0 && i < lead->cancelled_count; i++)
        must(lead->cancelled[i].lane < LANE_N);
}

static void on_depth(void *ctx, int err, const struct queue_depth depth[LANE_N])
{
    (void)ctx, (void)depth;
    check_err(err);
}

static void on_server(void *ctx, int err, const struct queue_server *s)
{
    (void)ctx;
    check_err(err);
    must(err || strlen(s->version) < sizeof(s->version));
}

static void on_done(void *ctx, int err)
{
    (void)ctx;
    check_err(err);
}

static void on_budget(void *ctx, int err, const struct queue_budget *b)
{
    (void)ctx;
    check_err(err);
    must(err || b->spent_count == 0 || b->spent);
}

static void on_due(void *ctx, int err, uint32_t moved, uint64_t next_ms)
{
    (void)ctx, (void)moved, (void)next_ms;
    check_err(err);
}

static void on_put(void *ctx, const struct submit_result *r)
{
    enum lane lane;

    (void)ctx;
    called++;
    if (r->outcome <= SUBMIT_REPEATED)
        must(job_id_ok(span_str(r->job), &lane));
    else
        must(r->outcome == SUBMIT_CONFLICT || r->why);
}

static void on_look(void *ctx, enum job_state state, struct span receipt,
                    const struct jobplace *place)
{
    (void)ctx, (void)place;
    called++;
    must(state == JOB_ENDED || state == JOB_ASKED_IN_VAIN || receipt.n == 0);
}

static void on_fields(void *ctx, enum jobplace_read what, const struct span *fields, size_t count,
                      struct span why)
{
    (void)ctx;
    called++;
    must(what == JOBPLACE_READ || count == 0);
    must(what != JOBPLACE_UNREADABLE || why.p);
    for (size_t i = 0; i < count; i++)
        must(fields[i].p);
}

static void ask(unsigned what)
{
    static char name[] = "main";
    static const struct config_account account = {.name = name};
    static const struct queue_read read = {.lanes = {true, true, true},
                                           .count = 1000,
                                           .entry_max_bytes = 1 << 20,
                                           .room = on_room,
                                           .entry = on_entry,
                                           .done = on_read};
    static const struct submit_once once = {{"k", 1}, {"s", 1}};
    const struct span fields[] = {SPAN("keys"), SPAN("a")};
    const struct queue_clock clock = {1, 1};
    const struct queue_settle dead = {.outcome = OUTCOME_DEAD, .receipt = true, .targets = 1};
    const struct queue_spend spend = {.ledger = LEDGER_PURGE, .open = 1, .clock = clock};
    const struct jobplace places[] = {{.postponed = true}, {.lane = LANE_BULK, .entry = "1-2"}};
    const struct queue_restore restore = {
        .ledger = LEDGER_PURGE, .window_ms = 3600000, .ahead = 5, .late_ms = 1000, .clock = clock};

    switch (what % 10) {
    case 0:
        queue_read(queue, &read, NULL);
        break;
    case 1:
        queue_lease(queue, 5000, NULL, SPAN("{}"), &clock, NULL, on_lease, NULL);
        break;
    case 2:
        queue_depth(queue, on_depth, NULL);
        break;
    case 3:
        queue_server(queue, on_server, NULL);
        break;
    case 4:
        queue_settle(queue, &dead, 1, &(struct queue_keep){.receipt_ttl_s = 60}, on_done, NULL);
        break;
    case 5:
        queue_due(queue, 1, 100, on_due, NULL);
        break;
    case 6:
        queue_spend(queue, &spend, on_done, NULL);
        break;
    case 7:
        queue_budget_restore(queue, &restore, on_budget, NULL);
        break;
    case 8:
        submit_put(submit, &account, LANE_NORMAL, fields, 2, &once, on_put, NULL);
        break;
    default:
        submit_put(submit, &account, LANE_NORMAL, fields, 2, NULL, on_put, NULL);
        break;
    }
    jobplace_find(submit_redis(submit, account.name), account.name, "normal-1-2", on_look, NULL);
    for (size_t i = 0; i < array_len(places); i++)
        jobplace_read(submit_redis(submit, account.name), account.name, "normal-1-2", &places[i],
                      on_fields, NULL);
}

static void begin(void)
{
    static const struct queue_callbacks none;
    static const struct redis_address nowhere;
    static const struct config config;
    struct loop *loop = loop_new();

    list_init(&the_connection.asked);
    queue = queue_new(loop, &nowhere, "main", "me", &none, NULL);
    submit = submit_new(loop, &nowhere, NULL, NULL, NULL);
    waiters = job_watch_new(loop, &nowhere, &config, submit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (!queue)
        begin();
    called = 0;
    commands = 0;
    ask(data[0]);
    answer_all(span_of((const char *)data + 1, size - 1));
    must(called == 4); /* each exactly once */
    return 0;
}
