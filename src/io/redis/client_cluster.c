/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "client_internal.h"
#include "clock.h"
#include "list.h"
#include "redis_error.h"
#include "redis_nodes.h"
#include "redis_redirect.h"

/* Replies are handed out in the order of sending, so a redirected command delays those behind it.
 * The next step is taken when every command has an answer: then all that were redirected are sent
 * again, in their order, to the node that was named, or after a pause to the same one. */

#define OPEN_ANSWER_MS 3000 /* a frozen node does not keep us from the others for longer */
#define REFUSED_MAX 3       /* nodes in a row that may say CLUSTERDOWN before we believe it */

struct unanswered { /* a command without a reply that was handed out */
    struct list link;
    struct redis_text text;
    enum redis_command_kind kind;
    bool inside;             /* a transaction, which is sent again as a whole */
    bool again;              /* it was not carried out */
    bool stale;              /* a WAIT that must not say yes */
    struct redisReply *kept; /* NULL: none yet */
};

struct client_cluster {
    struct redis_address address;
    struct redis_nodes *nodes;
    struct list sent; /* in order */
    bool sending_inside;
    bool watching;     /* WATCH was sent, and no EXEC since then */
    bool uncovered;    /* a command was carried out since the last WAIT */
    bool stale;        /* on a node that we have left */
    bool again;        /* a command on the list is to be sent again */
    bool down;         /* CLUSTERDOWN: another node may know better */
    uint32_t refused;  /* how many nodes said so in a row */
    uint32_t tries;    /* steps since the last reply that was handed out */
    uint64_t since_ns; /* when the first of them was taken */
    struct redis_course course;
    struct client *guest; /* to that node; or NULL */
    struct redisReply *lent;
};

static void free_sent(struct unanswered *s)
{
    list_remove(&s->link);
    reply_free_duplicate(s->kept);
    free(s->text.p);
    free(s);
}

void client_cluster_free(struct client_cluster *x)
{
    struct list *node;

    if (!x)
        return;
    while ((node = list_pop_front(&x->sent)))
        free_sent(list_entry(node, struct unanswered, link));
    client_close(x->guest);
    redis_nodes_free(x->nodes);
    redis_address_deinit(&x->address);
    reply_free_duplicate(x->lent);
    free(x->course.at.host);
    free(x);
}

/* -- connecting -- */

/* Connects to the node that comes next, and lets the client go on there. */
static int go_to_next(struct client *c, struct error *err)
{
    struct client_cluster *x = c->cluster;
    struct client *fresh;
    int rc;

    redis_nodes_choose(x->nodes, &x->address);
    rc = client_open_at(&x->address, OPEN_ANSWER_MS, &fresh, err);
    if (rc < 0)
        return rc;
    redis_transport_free(c->transport);
    redis_reader_free(c->reader);
    c->transport = fresh->transport;
    c->reader = fresh->reader;
    fresh->transport = NULL;
    fresh->reader = NULL;
    client_close(fresh);
    redis_nodes_good(x->nodes, &x->address);
    return 0;
}

/* Learns the other nodes, if our user is permitted to ask. 0, or -ENOTCONN: it is no Cluster. */
static int learn(struct client *c, struct redis_nodes *nodes)
{
    struct redisReply *slots;
    int rc = client_ask_words(c, (const char *const[]){"CLUSTER", "SLOTS", NULL}, &slots);

    if (rc == 0)
        redis_nodes_learn(nodes, slots);
    return rc == -EIO && redis_error_is_no_cluster(client_error(c)) ? -ENOTCONN : 0;
}

int client_open_cluster(const struct redis_address *a, struct client **out, struct error *err)
{
    struct client_cluster *x = alloc_zeroed(1, sizeof(*x));
    struct client *c = NULL;
    int rc = -ENOTCONN;

    list_init(&x->sent);
    redis_address_copy(a, &x->address);
    x->nodes = redis_nodes_new(a);
    for (uint32_t i = 0; i < a->nodes_count && rc < 0 && rc != -EACCES; i++) {
        struct error why;

        redis_nodes_choose(x->nodes, &x->address);
        rc = client_open_at(&x->address, OPEN_ANSWER_MS, &c, &why);
        if (rc < 0)
            error_set(err, rc, "%s:%u: %s", x->address.host, x->address.port, why.text);
    }
    if (rc == 0 && learn(c, x->nodes) < 0) {
        client_close(c);
        rc = error_set(err, -ENOTCONN, "%s", redis_is_no_cluster);
    }
    if (rc < 0) {
        client_cluster_free(x);
        return rc == -EACCES ? rc : -ENOTCONN;
    }
    redis_nodes_good(x->nodes, &x->address);
    c->answer_ms = CLIENT_ANSWER_MS;
    c->cluster = x;
    *out = c;
    return 0;
}

/* -- sending -- */

void client_cluster_sends(struct client_cluster *x, size_t argc, const struct span *argv)
{
    struct unanswered *s = alloc_zeroed(1, sizeof(*s));

    redis_format(&s->text, argc, argv);
    s->kind = redis_command_kind_of(argv[0]);
    s->inside = x->sending_inside || s->kind == REDIS_MULTI;
    x->sending_inside = s->inside && s->kind != REDIS_EXEC;
    x->watching |= span_eq_nocase(argv[0], SPAN("WATCH"));
    if (s->kind == REDIS_WAIT && x->stale && !x->again) {
        x->stale = false;
        s->stale = true;
    }
    list_push_back(&x->sent, &s->link);
}

/* -- replies -- */

static struct unanswered *first_without_reply(struct client_cluster *x)
{
    list_each(it, &x->sent) {
        struct unanswered *s = list_entry(it, struct unanswered, link);

        if (!s->kept && !s->again)
            return s;
    }
    return NULL;
}

/* If one of a transaction was redirected, nothing of it was carried out. */
static void end_transaction(struct client_cluster *x, struct unanswered *exec)
{
    struct list *begin = &exec->link;
    bool again = false;

    x->watching = false;
    while (list_entry(begin, struct unanswered, link)->kind != REDIS_MULTI &&
           begin->prev != &x->sent)
        begin = begin->prev;
    for (struct list *it = begin; it != exec->link.next; it = it->next)
        again |= list_entry(it, struct unanswered, link)->again;
    for (struct list *it = begin; again && it != exec->link.next; it = it->next) {
        struct unanswered *s = list_entry(it, struct unanswered, link);

        s->again = true;
        reply_free_duplicate(s->kept);
        s->kept = NULL;
    }
}

/* 1: the command is to be sent again; 0: the reply counts; or -ENOTCONN. */
static int note(struct client *c, const struct redisReply *reply)
{
    struct client_cluster *x = c->cluster;
    const char *words = reply_refused(reply) ? reply_text(reply).p : "";
    int kind = redis_course_set(&x->course, x->nodes, &x->address, words);

    if (kind < 0)
        return client_lose(c, "a node of the Cluster names no other node in its MOVED or ASK");
    if (redis_error_of(words) == REDIS_ERROR_CLUSTERDOWN && x->refused < REFUSED_MAX) {
        x->down = true;
        return 1;
    }
    return kind != REDIS_REDIRECT_NONE;
}

/* Takes a reply from the server. 0, or -ENOTCONN. */
static int take(struct client *c, struct unanswered *s, const struct redisReply *reply)
{
    struct client_cluster *x = c->cluster;
    int rc = note(c, reply);

    if (rc < 0)
        return rc;
    if (rc == 1 || (x->again && s->kind != REDIS_KEYED && !s->inside)) {
        s->again = true;
    } else {
        s->kept = reply_duplicate(reply);
        x->uncovered = s->kind == REDIS_KEYED || s->kind == REDIS_EXEC ||
                       (x->uncovered && s->kind != REDIS_WAIT);
    }
    x->again |= s->again;
    if (s->kind == REDIS_EXEC && s->inside)
        end_transaction(x, s);
    return 0;
}

/* -- the next step -- */

static void pause_ms(uint64_t ms)
{
    (void)poll(NULL, 0, (int)ms);
}

static void send_again(struct client *c)
{
    struct client_cluster *x = c->cluster;

    x->again = false;
    x->course.kind = REDIS_REDIRECT_NONE;
    list_each(it, &x->sent) {
        struct unanswered *s = list_entry(it, struct unanswered, link);

        if (!s->again)
            continue;
        s->again = false;
        if (s->kind == REDIS_WAIT && x->stale) {
            x->stale = false;
            s->stale = true;
        }
        redis_text_add(&c->out, span_of(s->text.p, s->text.to));
    }
}

static int move(struct client *c)
{
    struct client_cluster *x = c->cluster;
    struct error err;
    int rc;

    x->stale |= x->uncovered && x->address.replicas;
    x->uncovered = false;
    x->refused = x->down ? x->refused + 1 : 0;
    x->down = false;
    do {
        rc = go_to_next(c, &err);
        if (rc == -EACCES || (rc < 0 && clock_mono_ns() - x->since_ns > c->answer_ms * NS_PER_MS))
            return client_lose(c, err.text);
        if (rc < 0)
            pause_ms(redis_redirect_pause_ms(UINT32_MAX));
    } while (rc < 0);
    return 0;
}

static int visit_one(struct client_cluster *x, struct unanswered *s)
{
    struct redis_redirect to;
    struct redisReply *reply;
    int rc;

    client_send(x->guest, 1, (const struct span[]){SPAN("ASKING")});
    redis_text_add(&x->guest->out, span_of(s->text.p, s->text.to));
    x->guest->pending++;
    rc = client_receive(x->guest, &reply);
    if (rc == 0)
        rc = client_receive(x->guest, &reply);
    if (rc < 0)
        return rc;
    rc = reply_refused(reply) ? redis_redirect_parse(reply_text(reply).p, &to) : 0;
    if (rc == 1)
        free(to.at.host);
    if (rc)
        return 0;
    s->again = false;
    s->kept = reply_duplicate(reply);
    return 0;
}

/* Sends what was answered with ASK, and all behind it, to the other node. */
static int visit(struct client *c)
{
    struct client_cluster *x = c->cluster;
    struct redis_address a;
    struct error err;
    int rc = 0;

    client_close(x->guest);
    x->guest = NULL;
    redis_address_copy(&x->address, &a);
    redis_address_set_place(&a, &x->course.at);
    if (client_open_at(&a, OPEN_ANSWER_MS, &x->guest, &err) == 0)
        x->guest->answer_ms = c->answer_ms;
    redis_address_deinit(&a);
    list_each(it, &x->sent) {
        struct unanswered *s = list_entry(it, struct unanswered, link);

        if (x->guest && rc == 0 && s->again && !s->inside && s->kind == REDIS_KEYED)
            rc = visit_one(x, s);
    }
    return rc < 0 ? client_lose(c, client_error(x->guest)) : 0;
}

/* Every command has an answer, and some must be sent again. 0, or -ENOTCONN. */
static int step(struct client *c)
{
    struct client_cluster *x = c->cluster;
    uint32_t tries = x->tries++;
    int rc = 0;

    if (tries == 0)
        x->since_ns = clock_mono_ns();
    else if (clock_mono_ns() - x->since_ns > c->answer_ms * NS_PER_MS)
        return client_lose(c, redis_cluster_moving);
    if (x->watching)
        return client_lose(c, "the account's keys have moved to another node of the Cluster");
    if (x->down || x->course.kind == REDIS_REDIRECT_MOVED)
        rc = move(c);
    else if (x->course.kind == REDIS_REDIRECT_ASK && !x->address.replicas)
        rc = visit(c);
    if (rc < 0)
        return rc;
    if (tries || x->course.kind == REDIS_REDIRECT_AGAIN)
        pause_ms(redis_redirect_pause_ms(tries));
    send_again(c);
    return client_flush(c);
}

/* -- handing out -- */

/* The reply of the oldest command, if there is one and it is final. */
static bool hand_out(struct client_cluster *x, struct redisReply **out)
{
    struct unanswered *s =
        list_empty(&x->sent) ? NULL : list_first(&x->sent, struct unanswered, link);

    if (!s || !s->kept)
        return false;
    if (s->inside) /* until its EXEC is answered, it may have to be sent again */
        for (struct list *it = &s->link; it != &x->sent; it = it->next) {
            const struct unanswered *later = list_entry(it, struct unanswered, link);

            if (!later->kept)
                return false;
            if (later->kind == REDIS_EXEC)
                break;
        }
    x->lent = s->stale ? redis_reply_of(redis_cluster_unconfirmed) : s->kept;
    if (!s->stale)
        s->kept = NULL;
    free_sent(s);
    x->tries = x->refused = 0;
    *out = x->lent;
    return true;
}

int client_cluster_next(struct client *c, struct redisReply **out)
{
    struct client_cluster *x = c->cluster;
    struct redisReply *reply;
    int rc;

    reply_free_duplicate(x->lent);
    x->lent = NULL;
    for (;;) {
        struct unanswered *s = first_without_reply(x);

        if (hand_out(x, out))
            return 1;
        if (!s && x->again) {
            rc = step(c);
            if (rc < 0)
                return rc;
            continue;
        }
        rc = client_next_reply(c, &reply);
        if (rc <= 0)
            return rc;
        if (!s) { /* of a subscription */
            *out = reply;
            return 1;
        }
        rc = take(c, s, reply);
        if (rc < 0)
            return rc;
    }
}
