/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "fakeio_internal.h"
#include "list.h"
#include "redis_reads.h"
#include "replicas.h"

#define WORDS_MAX 32

struct waiting { /* a reply that the client has not asked for yet */
    struct list link;
    struct redisReply *reply;
};

struct client {
    struct fakeredis_session *session; /* NULL: the connection is lost */
    struct list waiting;
    struct redisReply *reply; /* the reply that is lent to the caller */
    uint32_t replicas;
    char error[REPLICAS_FEW_ROOM];
};

int client_open(const struct redis_address *a, struct client **out, struct error *err)
{
    struct client *c;

    if (!fakeio_server())
        return error_set(err, -ECONNREFUSED, "Connection refused");
    c = alloc_zeroed(1, sizeof(*c));
    c->replicas = a ? a->replicas : 0;
    c->session = fakeredis_open(fakeio_server(), NULL, NULL, NULL);
    list_init(&c->waiting);
    *out = c;
    return 0;
}

static void take_back(struct client *c)
{
    if (c->reply)
        freeReplyObject(c->reply);
    c->reply = NULL;
}

static void lose(struct client *c)
{
    fakeredis_close(c->session);
    c->session = NULL;
}

void client_close(struct client *c)
{
    struct list *node;

    if (!c)
        return;
    take_back(c);
    while ((node = list_pop_front(&c->waiting))) {
        struct waiting *w = list_entry(node, struct waiting, link);

        freeReplyObject(w->reply);
        free(w);
    }
    if (c->session)
        lose(c);
    free(c);
}

void client_send(struct client *c, size_t argc, const struct span *argv)
{
    struct waiting *w;
    struct buf out;

    if (!c->session)
        return;
    buf_init(&out, (size_t)1 << 30);
    if (fakeio_run(c->session, argc, argv, &out)) {
        w = alloc_zeroed(1, sizeof(*w));
        w->reply = fakeio_reply(&out);
        list_push_back(&c->waiting, &w->link);
    } else {
        lose(c);
    }
    buf_deinit(&out);
}

int client_receive(struct client *c, struct redisReply **out)
{
    struct list *node = list_pop_front(&c->waiting);
    struct waiting *w;

    take_back(c);
    if (!node) {
        must(!c->session); /* otherwise no command was sent */
        snprintf(c->error, sizeof(c->error), "connection lost");
        return -ENOTCONN;
    }
    w = list_entry(node, struct waiting, link);
    c->reply = w->reply;
    free(w);
    if (reply_refused(c->reply))
        snprintf(c->error, sizeof(c->error), "%s", reply_text(c->reply).p);
    *out = c->reply;
    return 0;
}

/* Whatever was asked is answered already. */
int client_wait(struct client *c, int timeout_ms, struct redisReply **out)
{
    (void)timeout_ms;
    return c->session && list_empty(&c->waiting) ? -ETIMEDOUT : client_receive(c, out);
}

int client_flush(struct client *c)
{
    return c->session ? 0 : -ENOTCONN;
}

int client_fd(const struct client *c)
{
    (void)c;
    return -1;
}

void client_remember_sentinel(const struct client *c, struct redis_address *a)
{
    (void)c;
    (void)a;
}

int client_ask(struct client *c, size_t argc, const struct span *argv, struct redisReply **out)
{
    struct redisReply *reply;
    int rc;

    client_send(c, argc, argv);
    rc = client_receive(c, &reply);
    if (rc == 0 && reply_refused(reply))
        return -EIO;
    if (rc == 0 && !redis_only_reads(argc, argv))
        rc = client_confirm(c);
    if (rc == 0)
        *out = c->reply;
    return rc;
}

bool client_waits(const struct client *c)
{
    return c->replicas > 0;
}

int client_confirm(struct client *c)
{
    struct redisReply *before = c->reply, *answer;
    struct replicas_wait w;
    struct replicas_few few;
    char why[REPLICAS_FEW_ROOM];
    int rc;

    if (c->replicas == 0)
        return 0;
    c->reply = NULL;
    replicas_wait(&w, c->replicas);
    client_send(c, REPLICAS_ARGC, w.argv);
    rc = client_receive(c, &answer);
    if (rc == 0 && !replicas_have(answer, c->replicas, &few)) {
        replicas_few_explain(&few, why);
        snprintf(c->error, sizeof(c->error), "%s", why);
        rc = CLIENT_FEW;
    }
    take_back(c);
    c->reply = before;
    return rc;
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
    return c->error;
}

int client_distrust(struct client *c)
{
    snprintf(c->error, sizeof(c->error), "the answer has not the form that Redis gives it");
    return -EIO;
}
