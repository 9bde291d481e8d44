/* SPDX-License-Identifier: MIT */
#include "client_internal.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "redis_codec.h"
#include "redis_error.h"
#include "redis_socket.h"

#define CONNECT_S 3
#define ANSWER_S 30 /* long enough for a slow script or a disk sync */
#define WORDS_MAX 32

struct client {
    redisContext *hiredis;
    struct redis_replies *replies;
    redisReply *reply; /* the reply returned last */
    uint64_t pending;  /* commands without a reply */
    bool replica;      /* it has refused a command because it is a replica */
    struct error error;
};

static int fail(struct client *c, int code, const char *what)
{
    return error_set(&c->error, code, "%s", what);
}

static int lost(struct client *c)
{
    return fail(c, -ENOTCONN,
                c->replica        ? "this Redis has become a replica"
                : c->hiredis->err ? c->hiredis->errstr
                                  : "connection lost");
}

int client_distrust(struct client *c)
{
    return fail(c, -EIO, "the answer has not the form that Redis gives it: is it Redis?");
}

static void take_back(struct client *c)
{
    if (c->reply)
        c->hiredis->reader->fn->freeObject(c->reply);
    c->reply = NULL;
}

void client_send(struct client *c, size_t argc, const struct span *argv)
{
    const char **p = alloc_zeroed(argc, sizeof(*p));
    size_t *n = alloc_zeroed(argc, sizeof(*n));

    for (size_t i = 0; i < argc; i++) {
        p[i] = argv[i].p;
        n[i] = argv[i].n;
    }
    /* This fails if the context has an error; the next receive reports it. */
    (void)redisAppendCommandArgv(c->hiredis, (int)argc, p, n);
    free(p);
    free(n);
    c->pending++;
}

/* Notes what a reply shows about the server. */
static void note(struct client *c)
{
    struct span text = reply_text(c->reply);

    if (c->pending)
        c->pending--;
    if (!reply_refused(c->reply))
        return;
    (void)fail(c, -EIO, text.p);
    if (redis_error_of(text.p) == REDIS_ERROR_READONLY)
        c->replica = true;
}

/* Whether nothing more can come from this connection. */
static bool is_over(const struct client *c)
{
    return c->hiredis->err || (c->replica && c->pending == 0);
}

int client_receive(struct client *c, struct redisReply **out)
{
    void *reply = NULL;

    take_back(c);
    if (is_over(c) || redisGetReply(c->hiredis, &reply) != REDIS_OK || !reply)
        return lost(c);
    c->reply = reply;
    note(c);
    *out = c->reply;
    return 0;
}

int client_flush(struct client *c)
{
    int done = 0;

    while (!done)
        if (c->hiredis->err || redisBufferWrite(c->hiredis, &done) != REDIS_OK)
            return lost(c);
    return 0;
}

int client_fd(const struct client *c)
{
    return c->hiredis->fd;
}

/* Waits for input. 1: there is something to read; 0: the deadline has passed; or -ENOTCONN. */
static int wait_readable(struct client *c, uint64_t deadline_ns)
{
    struct pollfd p = {.fd = c->hiredis->fd, .events = POLLIN};
    uint64_t now, left_ms;
    int rc;

    do {
        now = clock_mono_ns();
        left_ms = deadline_ns > now ? (deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS : 0;
        rc = poll(&p, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? fail(c, -ENOTCONN, strerror(errno)) : rc > 0;
}

int client_wait(struct client *c, int timeout_ms, struct redisReply **out)
{
    uint64_t deadline = clock_mono_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    void *reply = NULL;
    int rc;

    take_back(c);
    if (is_over(c))
        return lost(c);
    while (redisGetReplyFromReader(c->hiredis, &reply) == REDIS_OK) {
        if (reply) {
            c->reply = reply;
            note(c);
            *out = c->reply;
            return 0;
        }
        rc = wait_readable(c, deadline);
        if (rc < 0)
            return rc;
        if (rc == 0)
            return -ETIMEDOUT;
        if (redisBufferRead(c->hiredis) != REDIS_OK)
            break;
    }
    return lost(c);
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
        return c->replica ? lost(c) : -EIO;
    *out = reply;
    return 0;
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

static int connect_to(struct client *c, const struct redis_address *a)
{
    struct timeval connect = {.tv_sec = CONNECT_S}, answer = {.tv_sec = ANSWER_S};
    struct ssl_st *session = NULL;
    int rc;

    errno = 0;
    c->hiredis = a->unix_path ? redisConnectUnixWithTimeout(a->unix_path, connect)
                              : redisConnectWithTimeout(a->host, a->port, connect);
    must(c->hiredis != NULL);
    if (c->hiredis->err) {
        rc = errno == ENOENT || errno == ECONNREFUSED || errno == EACCES ? -errno : -ENOTCONN;
        return fail(c, rc, c->hiredis->errstr);
    }
    redis_replies_serve(c->replies, c->hiredis->reader);
    redis_socket_tune(c->hiredis->fd, !a->unix_path);
    (void)redisSetTimeout(c->hiredis, answer);
    if (!a->tls)
        return 0;
    rc = redis_socket_secure(c->hiredis, a->host, &session, &c->error);
    redis_socket_forget(session);
    return rc;
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

int client_open_at(const struct redis_address *a, struct client **out, struct error *err)
{
    struct client *c = alloc_zeroed(1, sizeof(*c));
    enum redis_error refusal;
    int rc;

    c->replies = redis_replies_new();
    rc = connect_to(c, a);
    if (rc == 0)
        rc = log_in(c, a);
    if (rc == 0 && !a->is_sentinel)
        rc = select_db(c, a);
    if (rc == 0) {
        *out = c;
        return 0;
    }
    refusal = redis_error_of(c->error.text);
    if (rc == -EIO)
        rc = refusal == REDIS_ERROR_NOAUTH ? -EACCES : -ENOTCONN;
    error_set(err, rc, "%s", redis_error_shown(c->error.text));
    client_close(c);
    return rc;
}

void client_set_patience(struct client *c, uint32_t answer_s)
{
    (void)redisSetTimeout(c->hiredis, (struct timeval){.tv_sec = answer_s});
}

void client_close(struct client *c)
{
    if (!c)
        return;
    take_back(c);
    if (c->hiredis)
        redisFree(c->hiredis);
    redis_replies_free(c->replies);
    free(c);
}
