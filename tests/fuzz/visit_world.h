/* SPDX-License-Identifier: MIT
 * The whole HTTP endpoint in one thread, from the bytes on a socket to the response, with a Redis
 * that accepts everything. The fuzzers of the endpoint use it. The linker uses the functions in
 * this file instead of io's Redis and threads. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "alloc.h"
#include "config_file.h"
#include "fuzz.h"
#include "http_internal.h"
#include "job_watch.h"
#include "log.h"
#include "redis.h"
#include "thread.h"

#define SERVICE "SU1Z0isxPaozGVKXdv0eY"
#define QUIET_TURNS 4      /* after so many turns without a byte, the response is complete */
#define TURNS_MAX 100000   /* after so many turns, something hangs */
#define ANSWERS_MAX 262144 /* bytes */

/* -- a Redis that accepts everything -- */

struct redis {
    struct list asked;
    struct timer *soon;
    redis_up_cb *up; /* NULL: it was called */
    void *ctx;
};

struct ask {
    struct list link;
    redis_reply_cb *cb;
    void *ctx;
    bool adds;
};

/* The fields of the job that was pushed last, after the first three words of its XADD. */
static struct buf last_job;
static size_t jobs_put;
static bool is_connected; /* to Redis */

static char id_text[] = "1-1", made_text[] = "new", job_text[] = "normal-1-1";
static struct redisReply id = {.type = REDIS_REPLY_STRING, .str = id_text, .len = 3};
static struct redisReply made = {.type = REDIS_REPLY_STRING, .str = made_text, .len = 3};
static struct redisReply job = {.type = REDIS_REPLY_STRING, .str = job_text, .len = 10};
static struct redisReply *made_and_job[] = {&made, &job};
static struct redisReply once = {.type = REDIS_REPLY_ARRAY, .element = made_and_job, .elements = 2};

static inline void answer_asks(void *ctx)
{
    struct redis *r = ctx;
    redis_up_cb *up = r->up;
    struct list now, *node;

    r->up = NULL;
    if (up)
        up(r->ctx);
    is_connected = true;
    list_init(&now);
    list_splice_back(&now, &r->asked);
    while ((node = list_pop_front(&now))) {
        struct ask *a = list_entry(node, struct ask, link);

        a->cb(a->ctx, a->adds ? &id : &once);
        free(a);
    }
}

struct redis *redis_new(struct loop *l, const struct redis_address *a, redis_up_cb *up,
                        redis_down_cb *down, void *ctx)
{
    struct redis *r = alloc_zeroed(1, sizeof(*r));

    (void)a;
    (void)down;
    r->up = up;
    r->ctx = ctx;
    list_init(&r->asked);
    r->soon = timer_new(l, answer_asks, r);
    timer_start_at(r->soon, 0);
    return r;
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

    *a = (struct ask){.cb = cb, .ctx = ctx, .adds = span_is(argv[0], "XADD")};
    if (a->adds) {
        jobs_put++;
        buf_clear(&last_job);
        for (size_t i = 3; i < argc; i++) {
            buf_put(&last_job, argv[i]);
            buf_putc(&last_job, '\n');
        }
    }
    list_push_back(&r->asked, &a->link);
    timer_start_at(r->soon, 0);
}

/* Every command is answered at once. */
uint64_t redis_silent_ns(const struct redis *r)
{
    (void)r;
    return 0;
}

void redis_set_patience(struct redis *r, uint32_t ms)
{
    (void)r;
    (void)ms;
}

void redis_stream(struct redis *r, uint32_t block_ms, size_t argc, const struct span *argv,
                  const struct redis_sink *sink, void *ctx)
{
    (void)r, (void)block_ms, (void)argc, (void)argv, (void)sink, (void)ctx;
    must(!"only the dispatcher reads");
}

void redis_subscribe(struct redis *r, struct span channel, redis_message_cb *cb, void *ctx)
{
    (void)r;
    (void)channel;
    (void)cb;
    (void)ctx;
}

void redis_close(struct redis *r, loop_cb *closed, void *ctx)
{
    (void)r;
    (void)closed;
    (void)ctx;
    must(!"a fuzzer ends as it is");
}

/* -- no threads -- */

struct thread *thread_start(thread_cb *run, void *ctx)
{
    (void)run;
    (void)ctx;
    return NULL;
}

void thread_join(struct thread *t)
{
    (void)t;
}

/* Blocking work is done in a separate turn. It gets no connection to Redis. */
struct turn {
    struct timer *timer;
    thread_cb *work, *done;
    void *ctx;
};

static inline void on_work_turn(void *ctx)
{
    struct turn *t = ctx;

    t->work(t->ctx);
    t->done(t->ctx);
    timer_close(t->timer);
    free(t);
}

int threads_possible(uint32_t count)
{
    (void)count;
    return 0;
}

void thread_work(struct loop *l, thread_cb *work, thread_cb *done, void *ctx)
{
    struct turn *t = alloc_zeroed(1, sizeof(*t));

    *t = (struct turn){timer_new(l, on_work_turn, t), work, done, ctx};
    timer_start_at(t->timer, 0);
}

/* -- the endpoint -- */

static struct http_server *endpoint;
static struct loop *dispatch_loop;
static struct sockaddr_in endpoint_address;

static inline void on_vitals(void *ctx, struct vitals *v, enum vitals_wanted wanted)
{
    (void)ctx;
    if (wanted)
        buf_put(&v->metrics, SPAN("purgeline_up 1\n"));
}

static inline void turn(void)
{
    uv_run(loop_uv(endpoint->loop), UV_RUN_NOWAIT);
    uv_run(loop_uv(dispatch_loop), UV_RUN_NOWAIT);
}

static inline void open_endpoint(void)
{
    static const char text[] =
        "listen: 127.0.0.1:0\n"
        "http: {body_max_bytes: 65536}\n"
        "accounts:\n"
        "  - {name: main, services: [{id: " SERVICE ", name: news}], allow_purge_all: true}\n";
    static struct config config;
    static char no_socket[] = "/nonexistent/redis.sock";
    static struct redis_address nowhere = {.unix_path = no_socket};
    struct http_server_options o = {
        .redis = &nowhere, .routes = &http_routes, .files = 1000, .vitals = on_vitals};
    char path[] = "/tmp/purgeline-fuzz-XXXXXX";
    struct error err;
    int fd = mkstemp(path);

    must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    if (config_load(path, NULL, &config, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    unlink(path);
    log_set_level(LOG_ERROR); /* hides the audit line of each purge-all */
    buf_init(&last_job, SIZE_MAX);
    dispatch_loop = loop_new();
    o.config = config_share(&config);
    o.loop = dispatch_loop;
    endpoint = http_server_new(&o, &err);
    must(endpoint);
    while (!is_connected) /* only then it accepts connections */
        turn();
    endpoint_address = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(strrchr(http_server_address(endpoint), ':') + 1)),
        .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

/* libFuzzer's timer interrupts connect(), which then continues in the background. */
static inline void connect_to_endpoint(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    if (connect(fd, (struct sockaddr *)&endpoint_address, sizeof(endpoint_address)) == 0)
        return;
    must(errno == EINTR);
    while (poll(&p, 1, 1000) < 0)
        must(errno == EINTR);
}

static char answers[ANSWERS_MAX + 1];

/* Sends the bytes, `piece` of them per turn. Returns the response, which is stored in `answers`. */
static inline struct span visit_endpoint(struct span bytes, size_t piece)
{
    const struct linger hard = {1, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0), quiet = 0;
    size_t got = 0, sent = 0;

    if (!endpoint)
        open_endpoint();
    connect_to_endpoint(fd);
    for (int turns = 0; quiet < QUIET_TURNS; turns++) {
        size_t n = bytes.n - sent < piece ? bytes.n - sent : piece;
        ssize_t out = n ? send(fd, bytes.p + sent, n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0, in;

        must(turns < TURNS_MAX);
        sent += out > 0 ? (size_t)out : 0;
        turn();
        in = recv(fd, answers + got, ANSWERS_MAX - got, MSG_DONTWAIT);
        got += in > 0 ? (size_t)in : 0;
        quiet = in > 0 || out > 0 ? 0 : quiet + 1;
    }
    must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)) == 0);
    close(fd);
    job_watch_give_up(endpoint->waiters);
    for (int turns = 0; httpd_counts(endpoint->httpd)->connections || endpoint->requests; turns++) {
        must(turns < TURNS_MAX);
        turn();
    }
    answers[got] = '\0';
    return span_of(answers, got);
}

/* The status of the first response; 0 if there is none. */
static inline int first_status(struct span got)
{
    if (got.n == 0)
        return 0;
    must(got.n > 12 && memcmp(got.p, "HTTP/1.", 7) == 0);
    return atoi(got.p + 9);
}
