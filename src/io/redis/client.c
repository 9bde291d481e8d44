/* SPDX-License-Identifier: MIT */
#include "client_internal.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "alloc.h"
#include "clock.h"
#include "redis_error.h"
#include "redis_reads.h"
#include "replicas.h"

#define CONNECT_MS 3000
/* An answer that keeps coming may take longer than one that does not come, but not forever. */
#define TRICKLE_FACTOR 4
/* A reply that took longer may come from a master that was frozen or cut off, and that has another
 * one in its place by now. */
#define DOUBT_NS NS_PER_S
#define WORDS_MAX 32
#define READ_BYTES 16384 /* a TLS record */

static int fail(struct client *c, int code, const char *what)
{
    return error_set(&c->error, code, "%s", what);
}

/* Every later call fails with the same reason. */
static int lost(struct client *c)
{
    return fail(c, c->lost, c->why.text);
}

int client_lose(struct client *c, const char *why)
{
    if (!c->lost)
        c->lost = error_set(&c->why, -ENOTCONN, "%s", why);
    return lost(c);
}

int client_distrust(struct client *c)
{
    return fail(c, -EIO, "the answer has not the form that Redis gives it: is it Redis?");
}

/* -- moving bytes -- */

/* Waits until the socket allows one of `wants`. 1; or 0: the deadline has passed. */
static int await(struct redis_transport *t, unsigned wants, uint64_t deadline_ns)
{
    struct pollfd p = {.fd = redis_transport_fd(t)};
    uint64_t left_ms;
    int rc;

    p.events = (short)((wants & REDIS_WANTS_READABLE ? POLLIN : 0) |
                       (wants & REDIS_WANTS_WRITABLE ? POLLOUT : 0));
    do {
        left_ms = (minus_u64(deadline_ns, clock_mono_ns()) + NS_PER_MS - 1) / NS_PER_MS;
        rc = poll(&p, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
    } while (rc < 0 && errno == EINTR);
    return rc > 0;
}

/* Reads what has arrived, if anything. 1; or 0: nothing; or -ENOTCONN. */
static int read_some(struct client *c)
{
    char bytes[READ_BYTES];
    struct error why;
    ssize_t n = redis_transport_read(c->transport, bytes, sizeof(bytes), &why);

    if (n == -EAGAIN)
        return 0;
    if (n <= 0)
        return client_lose(c, n < 0 ? why.text : "Server closed the connection");
    redis_reader_feed(c->reader, bytes, (size_t)n);
    return 1;
}

/* Sends what the kernel accepts. 1; or 0: nothing; or -ENOTCONN. */
static int write_some(struct client *c)
{
    struct error why;
    ssize_t n;

    if (c->out.from == c->out.to)
        return 0;
    n = redis_transport_write(c->transport, c->out.p + c->out.from, c->out.to - c->out.from, &why);
    if (n == -EAGAIN)
        return 0;
    if (n < 0)
        return client_lose(c, why.text);
    redis_text_sent(&c->out, (size_t)n);
    return 1;
}

static unsigned wants(const struct client *c)
{
    unsigned writing = redis_transport_writing_wants(c->transport);

    return redis_transport_reading_wants(c->transport) | (c->out.from < c->out.to ? writing : 0);
}

/* Moves bytes in both directions, so that neither side waits for the other to read. Waits for the
 * first; -ENOTCONN if none can be moved until the deadline. */
static int move_some(struct client *c, uint64_t deadline_ns)
{
    struct error why;
    int wrote, got;

    do {
        wrote = write_some(c);
        if (wrote > 0 && c->out.from == c->out.to && !redis_transport_pending(c->transport))
            continue; /* the answer cannot be there yet */
        got = wrote < 0 ? wrote : read_some(c);
        if (got < 0)
            return got;
        if (wrote + got > 0)
            return 0;
    } while (await(c->transport, wants(c), deadline_ns));
    c->timed_out = !c->lost;
    error_set(&why, -ENOTCONN, "no answer within %g s", c->answer_ms / 1000.0);
    return client_lose(c, why.text);
}

static uint64_t from_now(uint64_t ms)
{
    return clock_mono_ns() + ms * NS_PER_MS;
}

/* -- commands and replies -- */

void client_send(struct client *c, size_t argc, const struct span *argv)
{
    redis_format(&c->out, argc, argv);
    if (c->cluster)
        client_cluster_sends(c->cluster, argc, argv);
    if (c->pending++ == 0)
        c->asked_ns = clock_mono_ns();
}

int client_next_reply(struct client *c, struct redisReply **out)
{
    const char *why;
    int rc = redis_reader_next(c->reader, out, &why);

    return rc < 0 ? client_lose(c, why) : rc;
}

/* 1: there is a reply; 0: not yet; or -ENOTCONN. */
static int next_reply(struct client *c, struct redisReply **out)
{
    return c->cluster ? client_cluster_next(c, out) : client_next_reply(c, out);
}

/* How many sentinels still name this server, and how many another one. */
struct opinions {
    const struct redis_address *a;
    uint32_t same, other;
};

static void on_opinion(void *ctx, const struct redis_place *master, const char *why)
{
    struct opinions *o = ctx;

    (void)why;
    if (!master)
        return;
    if (redis_place_is(master, o->a->host, o->a->port))
        o->same++;
    else
        o->other++;
}

static bool is_replaced(struct client *c)
{
    struct opinions o = {.a = c->named};

    if (!c->named || clock_mono_ns() - c->asked_ns < DOUBT_NS)
        return false;
    client_ask_sentinels(c->named, on_opinion, &o);
    return o.other > o.same;
}

/* Notes what a reply shows about the server. 0, or -ENOTCONN: the reply does not count. */
static int note(struct client *c, const struct redisReply *reply)
{
    if (c->pending && is_replaced(c))
        return client_lose(c,
                           "this Redis took so long to answer that another one is the master now");
    if (c->pending)
        c->pending--;
    c->asked_ns = clock_mono_ns();
    if (!reply_refused(reply))
        return 0;
    (void)fail(c, -EIO, reply_text(reply).p);
    if (redis_error_of(reply_text(reply).p) == REDIS_ERROR_READONLY)
        c->replica = true;
    return 0;
}

/* Whether nothing more can come from this connection. */
static bool is_over(struct client *c)
{
    if (c->replica && c->pending == 0)
        (void)client_lose(c, redis_became_replica);
    return c->lost;
}

int client_receive(struct client *c, struct redisReply **out)
{
    uint64_t over_ns = from_now((uint64_t)c->answer_ms * TRICKLE_FACTOR);
    int rc;

    if (is_over(c))
        return lost(c);
    while ((rc = next_reply(c, out)) == 0) {
        if (clock_mono_ns() >= over_ns)
            return client_lose(c, "the answer does not end");
        rc = move_some(c, from_now(c->answer_ms));
        if (rc < 0)
            return rc;
    }
    if (rc < 0)
        return rc;
    return note(c, *out);
}

int client_flush(struct client *c)
{
    int rc = c->lost ? lost(c) : 0;

    while (rc == 0 && c->out.from < c->out.to) {
        rc = write_some(c);
        if (rc == 0)
            rc = move_some(c, from_now(c->answer_ms));
        else if (rc > 0)
            rc = 0;
    }
    return rc;
}

int client_fd(const struct client *c)
{
    return redis_transport_fd(c->transport);
}

int client_wait(struct client *c, int timeout_ms, struct redisReply **out)
{
    uint64_t deadline = from_now((uint64_t)timeout_ms);
    int rc;

    if (is_over(c))
        return lost(c);
    while ((rc = next_reply(c, out)) == 0) {
        rc = read_some(c);
        if (rc < 0)
            return rc;
        if (rc == 0 && !await(c->transport, redis_transport_reading_wants(c->transport), deadline))
            return -ETIMEDOUT;
    }
    if (rc < 0)
        return rc;
    return note(c, *out);
}

int client_ask(struct client *c, size_t argc, const struct span *argv, struct redisReply **out)
{
    struct redisReply *reply;
    int rc;

    client_send(c, argc, argv);
    rc = client_receive(c, &reply);
    if (rc < 0)
        return rc;
    if (reply_refused(reply))
        return c->replica && is_over(c) ? lost(c) : -EIO;
    if (c->replicas && !redis_only_reads(argc, argv)) {
        reply_free_duplicate(c->kept);
        c->kept = reply = reply_duplicate(reply);
        rc = client_confirm(c);
    }
    if (rc == 0)
        *out = reply;
    return rc;
}

int client_confirm(struct client *c)
{
    char why[REPLICAS_FEW_ROOM];
    struct redisReply *reply;
    struct replicas_wait w;
    struct replicas_few few;
    int rc;

    if (c->replicas == 0)
        return 0;
    replicas_wait(&w, c->replicas);
    client_send(c, REPLICAS_ARGC, w.argv);
    rc = client_receive(c, &reply);
    if (rc < 0 || replicas_have(reply, c->replicas, &few))
        return rc;
    replicas_few_explain(&few, why);
    return fail(c, CLIENT_FEW, why);
}

bool client_waits(const struct client *c)
{
    return c->replicas > 0;
}

int client_ask_words(struct client *c, const char *const *words, struct redisReply **out)
{
    struct span argv[WORDS_MAX];
    size_t argc = 0;

    for (; words[argc]; argc++) {
        must(argc < WORDS_MAX);
        argv[argc] = span_str(words[argc]);
    }
    return client_ask(c, argc, argv, out);
}

const char *client_error(const struct client *c)
{
    return c->error.text;
}

/* -- opening -- */

/* Connects to one address. 0 or negative errno. */
static int connect_to(struct client *c, const struct redis_address *a, const struct addrinfo *to)
{
    uint64_t ms = min_u64(CONNECT_MS, c->answer_ms), deadline = from_now(ms);
    int rc;

    redis_transport_free(c->transport);
    c->transport = NULL;
    rc = redis_transport_open(a, to, &c->transport, &c->error);
    if (rc < 0)
        return rc;
    while ((rc = redis_transport_connect(c->transport, &c->error)) == -EAGAIN)
        if (!await(c->transport, redis_transport_reading_wants(c->transport), deadline))
            return error_set(&c->error, -ETIMEDOUT, "no connection within %g s%s",
                             (double)ms / 1000, redis_transport_delay(c->transport));
    return rc;
}

static int connect_to_host(struct client *c, const struct redis_address *a)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *all = NULL;
    int rc = getaddrinfo(a->host, NULL, &hints, &all);

    if (rc != 0)
        return error_set(&c->error, -ENOTCONN, "cannot resolve %s: %s", a->host, gai_strerror(rc));
    rc = -ENOTCONN;
    for (const struct addrinfo *at = all; at && rc < 0; at = at->ai_next)
        rc = connect_to(c, a, at);
    freeaddrinfo(all);
    return rc;
}

static int connect_client(struct client *c, const struct redis_address *a)
{
    int rc = a->unix_path ? connect_to(c, a, NULL) : connect_to_host(c, a);

    return rc == 0 || rc == -ENOENT || rc == -ECONNREFUSED || rc == -EACCES ? rc : -ENOTCONN;
}

static int log_in(struct client *c, const struct redis_address *a)
{
    const char *const pair[] = {"AUTH", a->user, a->password, NULL};
    const char *const single[] = {"AUTH", a->password, NULL};
    struct redisReply *reply;
    int rc = 0;

    if (a->password)
        rc = client_ask_words(c, a->user ? pair : single, &reply);
    return rc == -EIO ? -EACCES : rc;
}

static int select_db(struct client *c, const struct redis_address *a)
{
    char db[16];
    struct redisReply *reply;

    snprintf(db, sizeof(db), "%u", a->db);
    return client_ask_words(c, (const char *const[]){"SELECT", db, NULL}, &reply);
}

/* A sentinel does not know SELECT. Otherwise the last error stays as it is. */
static void note_sentinel(struct client *c)
{
    struct error before = c->error;
    struct redisReply *reply;
    int rc = client_ask_words(c, (const char *const[]){"ROLE", NULL}, &reply);

    c->error = before;
    if (rc == 0 && span_is(reply_text(reply_at(reply, 0)), "sentinel"))
        (void)fail(c, -EIO, redis_is_sentinel);
}

int client_open_at(const struct redis_address *a, uint32_t answer_ms, struct client **out,
                   struct error *err)
{
    struct client *c = alloc_zeroed(1, sizeof(*c));
    enum redis_error refusal;
    int rc;

    c->reader = redis_reader_new(NULL, NULL);
    c->answer_ms = answer_ms;
    rc = connect_client(c, a);
    if (rc == 0)
        rc = log_in(c, a);
    if (rc == 0 && !a->is_sentinel)
        rc = select_db(c, a);
    if (rc == -EIO)
        note_sentinel(c);
    if (rc == 0) {
        *out = c;
        return 0;
    }
    refusal = redis_error_of(c->error.text);
    if (rc == -EIO)
        rc = refusal == REDIS_ERROR_NOAUTH ? -EACCES : -ENOTCONN;
    else if (client_timed_out(c))
        rc = -ETIMEDOUT;
    error_set(err, rc, "%s", redis_error_shown(c->error.text));
    client_close(c);
    return rc;
}

void client_set_named(struct client *c, const struct redis_address *a)
{
    c->named = alloc_zeroed(1, sizeof(*c->named));
    redis_address_copy(a, c->named);
}

bool client_timed_out(const struct client *c)
{
    return c->timed_out;
}

void client_set_patience(struct client *c, uint32_t answer_s)
{
    c->answer_ms = answer_s * 1000;
}

void client_close(struct client *c)
{
    if (!c)
        return;
    client_cluster_free(c->cluster);
    redis_transport_free(c->transport);
    redis_reader_free(c->reader);
    if (c->named)
        redis_address_deinit(c->named);
    free(c->named);
    reply_free_duplicate(c->kept);
    free(c->out.p);
    free(c);
}
