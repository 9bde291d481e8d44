/* SPDX-License-Identifier: MIT */
#include "redis_sentinel.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "redis_error.h"
#include "reply.h"

/* How long one sentinel has to accept the connection and to answer. */
#define ANSWER_NS (3 * NS_PER_S / 2)
/* How often the sentinel that has answered is asked again. News may be lost while the others are
 * connected to, and it may be frozen: then its kernel keeps the connection open. */
#define RENEW_NS (10 * NS_PER_S)
#define RETRY_NS NS_PER_S

/* A connection to one sentinel. The answer is asked for and the channel subscribed to with one
 * write, so that no failover happens between them. */
struct link {
    struct redis_sentinel *s;
    struct redis *redis;
    bool dropped;
    char name[300];
};

struct redis_sentinel {
    struct loop *loop;
    struct redis_address address;
    redis_sentinel_master_cb *master;
    redis_sentinel_failed_cb *failed;
    void *ctx;
    struct link *asking;    /* has not answered yet */
    struct link *listening; /* has answered */
    struct link **all; /* to each of the sentinels, only for news; NULL until one has answered */
    struct redis_place now; /* the master that was named last; host NULL: none */
    struct timer *timer;    /* ends the question, or begins the next one */
    uint32_t tried;         /* sentinels asked in this round */
    uint32_t links;         /* not yet closed, including abandoned ones */
    char why[512];          /* what was wrong with the sentinels asked in this round */
    loop_cb *closed;        /* not NULL: redis_sentinel_close was called */
    void *closed_ctx;
};

static void ask_next(struct redis_sentinel *s);

/* -- links -- */

static void finish_if_closed(struct redis_sentinel *s)
{
    loop_cb *closed = s->closed;
    void *ctx = s->closed_ctx;

    if (!closed || s->links)
        return;
    timer_close(s->timer);
    redis_address_deinit(&s->address);
    free(s->now.host);
    free(s->all);
    free(s);
    closed(ctx);
}

static void on_link_closed(void *ctx)
{
    struct link *k = ctx;
    struct redis_sentinel *s = k->s;

    free(k);
    s->links--;
    finish_if_closed(s);
}

static struct link *new_link(struct redis_sentinel *s, const struct redis_address *sentinel,
                             redis_up_cb *up, redis_down_cb *down)
{
    struct link *k = alloc_zeroed(1, sizeof(*k));

    redis_address_name(sentinel, k->name, sizeof(k->name));
    k->s = s;
    k->redis = redis_new(s->loop, sentinel, up, down, k);
    s->links++;
    return k;
}

static void drop(struct link **at)
{
    struct link *k = *at;

    *at = NULL;
    if (!k)
        return;
    k->dropped = true;
    redis_close(k->redis, on_link_closed, k);
}

/* -- asking -- */

static void end_round(struct redis_sentinel *s)
{
    char why[sizeof(s->why) + 320];

    snprintf(why, sizeof(why), "none of the %u sentinels can say which server is %s: %s",
             s->address.sentinels_count, s->address.master, s->why);
    s->tried = 0;
    s->why[0] = '\0';
    timer_start_at(s->timer, clock_mono_ns() + RETRY_NS);
    s->failed(s->ctx, why);
}

/* The sentinel that is asked now cannot help. */
static void give_up(struct redis_sentinel *s, const char *why)
{
    size_t n = strlen(s->why);

    if (redis_error_of(why) == REDIS_ERROR_NOAUTH)
        why = REDIS_SENTINEL_NOAUTH;
    snprintf(s->why + n, sizeof(s->why) - n, "%s%s: %s", n ? "; " : "", s->asking->name, why);
    drop(&s->asking);
    redis_address_next_sentinel(&s->address);
    if (s->tried < s->address.sentinels_count)
        ask_next(s);
    else
        end_round(s);
}

/* Takes ownership of fresh.host. */
static void take_master(struct redis_sentinel *s, struct redis_place fresh)
{
    bool changed = !redis_place_is(&s->now, fresh.host, fresh.port);

    free(s->now.host);
    s->now = fresh;
    s->master(s->ctx, &s->now, changed);
}

static const char *wrong_with(const struct redisReply *reply)
{
    return !reply                 ? "the connection was lost"
           : reply_refused(reply) ? reply_text(reply).p
           : reply_nil(reply)     ? "it knows no master of this name"
                                  : "its answer makes no sense";
}

/* -- news -- */

/* Begins the next question with this sentinel. */
static void ask_first(struct redis_sentinel *s, const char *name)
{
    for (uint32_t i = 0; i < s->address.sentinels_count; i++) {
        struct redis_address first;
        char its_name[300];

        redis_address_first_sentinel(&s->address, &first);
        redis_address_name(&first, its_name, sizeof(its_name));
        redis_address_deinit(&first);
        if (strcmp(its_name, name) == 0)
            return;
        redis_address_next_sentinel(&s->address);
    }
}

static void on_news(void *ctx, const struct span *text)
{
    struct link *k = ctx;
    struct redis_sentinel *s = k->s;
    struct redis_place fresh;

    if (!text || k->dropped || !redis_sentinel_switched(*text, s->address.master, &fresh))
        return;
    if (!s->asking)
        ask_first(s, k->name);
    take_master(s, fresh);
}

static void on_listener_up(void *ctx)
{
    struct link *k = ctx;

    redis_subscribe(k->redis, SPAN("+switch-master"), on_news, k);
}

static void on_listener_down(void *ctx, const char *why)
{
    (void)ctx; /* it connects again, and the others are listened to meanwhile */
    (void)why;
}

static void listen_to_all(struct redis_sentinel *s)
{
    struct redis_address sentinel;

    if (s->all)
        return;
    s->all = alloc_zeroed(s->address.sentinels_count, sizeof(struct link *));
    for (uint32_t i = 0; i < s->address.sentinels_count; i++) {
        redis_address_first_sentinel(&s->address, &sentinel);
        s->all[i] = new_link(s, &sentinel, on_listener_up, on_listener_down);
        redis_address_deinit(&sentinel);
        redis_address_next_sentinel(&s->address);
    }
}

/* -- questions and answers -- */

static void on_answer(void *ctx, struct redisReply *reply)
{
    struct link *k = ctx;
    struct redis_sentinel *s = k->s;
    struct redis_place fresh;

    if (k != s->asking)
        return;
    if (!redis_place_parse(reply_text(reply_at(reply, 0)), reply_text(reply_at(reply, 1)),
                           &fresh)) {
        give_up(s, wrong_with(reply));
        return;
    }
    drop(&s->listening);
    s->listening = k;
    s->asking = NULL;
    timer_start_at(s->timer, clock_mono_ns() + RENEW_NS);
    listen_to_all(s);
    take_master(s, fresh);
}

static void on_link_up(void *ctx)
{
    struct link *k = ctx;
    const struct span ask[] = {SPAN("SENTINEL"), SPAN("get-master-addr-by-name"),
                               span_str(k->s->address.master)};

    if (k != k->s->asking)
        return;
    redis_command(k->redis, array_len(ask), ask, on_answer, k);
    redis_subscribe(k->redis, SPAN("+switch-master"), on_news, k);
}

static void on_link_down(void *ctx, const char *why)
{
    struct link *k = ctx;
    struct redis_sentinel *s = k->s;

    if (k == s->asking) {
        give_up(s, why);
    } else if (k == s->listening) {
        drop(&s->listening);
        if (!s->asking)
            redis_sentinel_ask(s);
    }
}

static void ask_next(struct redis_sentinel *s)
{
    struct redis_address sentinel;

    redis_address_first_sentinel(&s->address, &sentinel);
    s->asking = new_link(s, &sentinel, on_link_up, on_link_down);
    redis_address_deinit(&sentinel);
    s->tried++;
    timer_start_at(s->timer, clock_mono_ns() + ANSWER_NS);
}

static void on_sentinel_timer(void *ctx)
{
    struct redis_sentinel *s = ctx;

    if (s->closed)
        return;
    if (s->asking)
        give_up(s, "no answer within 1.5 s");
    else
        redis_sentinel_ask(s);
}

/* -- for the connection to the master -- */

struct redis_sentinel *redis_sentinel_new(struct loop *l, const struct redis_address *a,
                                          redis_sentinel_master_cb *master,
                                          redis_sentinel_failed_cb *failed, void *ctx)
{
    struct redis_sentinel *s = alloc_zeroed(1, sizeof(*s));

    s->loop = l;
    redis_address_copy(a, &s->address);
    s->master = master;
    s->failed = failed;
    s->ctx = ctx;
    s->timer = timer_new(l, on_sentinel_timer, s);
    return s;
}

void redis_sentinel_ask(struct redis_sentinel *s)
{
    if (s->asking || s->closed)
        return;
    s->tried = 0;
    s->why[0] = '\0';
    ask_next(s);
}

void redis_sentinel_distrust(struct redis_sentinel *s)
{
    if (!s->asking)
        redis_address_next_sentinel(&s->address);
}

void redis_sentinel_close(struct redis_sentinel *s, loop_cb *closed, void *ctx)
{
    if (s->closed)
        return;
    s->closed = closed;
    s->closed_ctx = ctx;
    drop(&s->asking);
    drop(&s->listening);
    for (uint32_t i = 0; s->all && i < s->address.sentinels_count; i++)
        drop(&s->all[i]);
    timer_start_at(s->timer, 0);
}

bool redis_sentinel_switched(struct span text, const char *master, struct redis_place *out)
{
    struct span words[5], rest = text;
    size_t n = 0;

    while (n < array_len(words) && span_next_word(&rest, ' ', &words[n]))
        n++;
    return n == array_len(words) && rest.n == 0 && span_is(words[0], master) &&
           redis_place_parse(words[3], words[4], out);
}
