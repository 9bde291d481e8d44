/* SPDX-License-Identifier: MIT */
#include "redis_follow.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "redis_error.h"
#include "redis_internal.h"
#include "redis_nodes.h"
#include "reply.h"

#define HOPS_MAX 16       /* nodes that disagree about a slot may send us back and forth */
#define ROUND_NS NS_PER_S /* for trying all nodes without a word */

void redis_follow_init(struct redis *r)
{
    struct redis_follow *f = &r->follow;

    list_init(&f->held);
    list_init(&f->behind);
    list_init(&f->inside);
    if (r->address.cluster)
        f->nodes = redis_nodes_new(&r->address);
}

void redis_follow_deinit(struct redis *r)
{
    must(r->follow.guests == 0);
    redis_nodes_free(r->follow.nodes);
    free(r->follow.course.at.host);
}

/* -- sending -- */

bool redis_follow_sends(struct redis *r, struct redis_call *c, size_t argc, const struct span *argv)
{
    struct redis_follow *f = &r->follow;

    redis_format(&c->text, argc, argv);
    c->kind = redis_command_kind_of(argv[0]);
    c->inside = f->sending_inside || c->kind == REDIS_MULTI;
    f->sending_inside = c->inside && c->kind != REDIS_EXEC;
    if (f->on) {
        list_push_back(&f->behind, &c->link);
        return true;
    }
    if (c->kind == REDIS_WAIT && f->stale) {
        f->stale = false;
        c->stale = true;
    }
    return false;
}

/* -- replies -- */

static void hold(struct redis *r, struct redis_call *c)
{
    struct redis_follow *f = &r->follow;

    f->on = true;
    if (c->tries++ == 0)
        c->held_ns = clock_mono_ns();
    reply_free_duplicate(c->kept);
    c->kept = NULL;
    list_push_back(&f->held, &c->link);
}

/* Notes where to go. */
static enum redis_redirect_kind note(struct redis *r, const char *words)
{
    int kind = redis_course_set(&r->follow.course, r->follow.nodes, &r->address, words);

    if (kind >= 0)
        return (enum redis_redirect_kind)kind;
    redis_lose(r, "a node of the Cluster names no other node in its MOVED or ASK: see "
                  "cluster-announce-ip and cluster-preferred-endpoint-type");
    return REDIS_REDIRECT_NONE;
}

static void took_inside(struct redis *r, struct redis_call *c, struct redisReply *reply,
                        bool redirected)
{
    struct redis_follow *f = &r->follow;

    f->inside_redirected |= redirected;
    c->kept = reply_duplicate(reply);
    list_push_back(&f->inside, &c->link);
    if (c->kind == REDIS_EXEC) {
        struct list *node, whole;

        redirected = f->inside_redirected;
        f->inside_redirected = false;
        list_init(&whole);
        list_splice_back(&whole, &f->inside);
        f->uncovered |= !redirected;
        while ((node = list_pop_front(&whole))) {
            c = list_entry(node, struct redis_call, link);
            if (redirected)
                hold(r, c);
            else
                redis_answer(r, c, c->kept);
        }
    }
}

bool redis_follow_took(struct redis *r, struct redis_call *c, struct redisReply *reply)
{
    struct redis_follow *f = &r->follow;
    bool redirected = false;

    if (r->state != REDIS_UP)
        return false;
    if (reply_refused(reply))
        redirected = note(r, reply_text(reply).p) != REDIS_REDIRECT_NONE;
    if (r->lost)
        return false;
    if (c->inside) {
        took_inside(r, c, reply, redirected);
        return true;
    }
    if (redirected || (f->on && c->kind != REDIS_KEYED)) {
        hold(r, c);
        return true;
    }
    f->uncovered = c->kind == REDIS_KEYED || (f->uncovered && c->kind != REDIS_WAIT);
    if (c->kind == REDIS_KEYED)
        f->hops = 0;
    return false;
}

bool redis_follow_took_stream(struct redis *r, const char *words)
{
    struct redis_streaming *s = r->streaming;

    if (!r->follow.nodes || note(r, words) == REDIS_REDIRECT_NONE)
        return false;
    r->follow.on = true;
    if (s->tries++ == 0)
        s->held_ns = clock_mono_ns();
    return true;
}

/* -- the next step -- */

static const struct redis_call *first_held(const struct redis_follow *f)
{
    return list_empty(&f->held) ? NULL : list_first(&f->held, struct redis_call, link);
}

static void pause_for_a_moment(struct redis *r)
{
    const struct redis_call *c = first_held(&r->follow);
    uint32_t tries = c ? c->tries : r->streaming ? r->streaming->tries : 1;

    timer_start_at(r->timer, clock_mono_ns() + redis_redirect_pause_ms(tries) * NS_PER_MS);
}

static void hop(struct redis *r)
{
    struct redis_follow *f = &r->follow;

    f->stale |= f->uncovered && r->address.replicas;
    f->uncovered = false;
    f->hop = f->hops++ < HOPS_MAX;
    redis_lose(r, redis_cluster_disagrees);
}

/* -- the second connection -- */

struct redirected_call {
    struct redis *r;
    struct redis_call *c;
};

static void end_visit(struct redis *r)
{
    if (--r->follow.visiting == 0 && !r->lost && !r->closed)
        redis_follow_go(r);
}

static void on_visited(void *ctx, struct redisReply *reply)
{
    struct redirected_call v = *(struct redirected_call *)ctx;
    struct redis *r = v.r;
    struct redis_redirect to = {0};
    bool redirected =
        reply && reply_refused(reply) && redis_redirect_parse(reply_text(reply).p, &to) != 0;

    free(ctx);
    free(to.at.host);
    if (redirected && !r->lost && !r->closed) {
        r->follow.course.kind = REDIS_REDIRECT_AGAIN;
        hold(r, v.c);
    } else if (reply) {
        redis_answer(r, v.c, reply);
    } else {
        redis_fail_call(r, v.c);
        if (!r->closed)
            redis_lose(r, "the connection to the node that gets the account's keys is lost");
    }
    end_visit(r);
}

static void on_asking(void *ctx, struct redisReply *reply)
{
    (void)ctx, (void)reply; /* if it is refused, the command behind it is redirected back */
}

/* A transaction waits until its keys have moved. */
static void visit_all(struct redis *r)
{
    struct redis_follow *f = &r->follow;

    list_each_safe(it, next, &f->held) {
        struct redis_call *c = list_entry(it, struct redis_call, link);
        struct redirected_call *v;

        if (c->kind != REDIS_KEYED || c->inside)
            continue;
        list_remove(it);
        v = alloc_bytes(sizeof(*v));
        *v = (struct redirected_call){r, c};
        f->visiting++;
        redis_command(f->guest, 1, (const struct span[]){SPAN("ASKING")}, on_asking, NULL);
        redis_command_text(f->guest, span_of(c->text.p, c->text.to), on_visited, v);
    }
    f->course.kind = f->visiting ? REDIS_REDIRECT_NONE : REDIS_REDIRECT_AGAIN;
    if (!f->visiting)
        redis_follow_go(r);
}

static void on_guest_up(void *ctx)
{
    struct redis *r = ctx;

    r->follow.guest_up = true;
    if (r->follow.on && r->follow.course.kind == REDIS_REDIRECT_ASK && !r->lost && !r->closed)
        redis_follow_go(r);
}

static void on_guest_down(void *ctx, const char *why)
{
    struct redis *r = ctx;
    bool awaited =
        !r->follow.guest_up && r->follow.on && r->follow.course.kind == REDIS_REDIRECT_ASK;

    (void)why;
    redis_follow_drop_guest(r);
    if (awaited && !r->lost && !r->closed) {
        r->follow.course.kind = REDIS_REDIRECT_AGAIN;
        redis_follow_go(r);
    }
}

static void on_guest_closed(void *ctx)
{
    struct redis *r = ctx;

    r->follow.guests--;
    redis_turn_soon(r);
}

void redis_follow_drop_guest(struct redis *r)
{
    struct redis_follow *f = &r->follow;
    struct redis *guest = f->guest;

    f->guest = NULL;
    f->guest_up = false;
    if (guest)
        redis_close(guest, on_guest_closed, r);
}

static void open_guest(struct redis *r)
{
    struct redis_follow *f = &r->follow;
    struct redis_address a;

    redis_address_copy(&r->address, &a);
    redis_address_set_place(&a, &f->course.at);
    a.cluster = false;
    f->guests++;
    f->guest = redis_new(r->loop, &a, on_guest_up, on_guest_down, r);
    f->guest->is_guest = true;
    f->guest->deadline.patience_ns = r->deadline.patience_ns;
    redis_address_deinit(&a);
}

static void visit(struct redis *r)
{
    struct redis_follow *f = &r->follow;
    const struct redis_address *there = f->guest ? &f->guest->address : NULL;

    if (there && !redis_place_is(&f->course.at, there->host, there->port))
        redis_follow_drop_guest(r);
    if (!f->guest)
        open_guest(r);
    else if (f->guest_up)
        visit_all(r);
}

/* -- */

static bool is_too_long(const struct redis *r)
{
    const struct redis_call *c = first_held(&r->follow);
    uint64_t since_ns = c ? c->held_ns : r->streaming ? r->streaming->held_ns : NEVER;

    return since_ns != NEVER && clock_mono_ns() - since_ns > r->deadline.patience_ns;
}

void redis_follow_go(struct redis *r)
{
    struct redis_follow *f = &r->follow;
    enum redis_redirect_kind how = f->course.kind;

    if (!f->on || r->lost || r->closed || r->state != REDIS_UP || f->visiting ||
        !list_empty(&r->pending) || !list_empty(&f->inside))
        return;
    if (how == REDIS_REDIRECT_MOVED) {
        f->course.kind = REDIS_REDIRECT_NONE;
        hop(r);
    } else if (is_too_long(r)) {
        redis_lose(r, redis_cluster_moving);
    } else if (how == REDIS_REDIRECT_ASK && !r->address.replicas && first_held(f)) {
        visit(r);
    } else if (how == REDIS_REDIRECT_NONE) {
        redis_follow_resume(r);
    } else {
        f->course.kind = REDIS_REDIRECT_NONE;
        pause_for_a_moment(r);
    }
}

void redis_follow_resume(struct redis *r)
{
    struct redis_follow *f = &r->follow;
    struct list all, *node;

    f->on = false;
    f->course.kind = REDIS_REDIRECT_NONE;
    list_init(&all);
    list_splice_back(&all, &f->held);
    list_splice_back(&all, &f->behind);
    if (r->streaming)
        redis_stream_again(r);
    while ((node = list_pop_front(&all))) {
        struct redis_call *c = list_entry(node, struct redis_call, link);

        if (c->kind == REDIS_WAIT && f->stale) {
            f->stale = false;
            c->stale = true;
        }
        redis_send_call(r, c);
    }
}

void redis_follow_fail(struct redis *r, struct list *failed)
{
    struct redis_follow *f = &r->follow;

    list_splice_back(failed, &f->inside);
    list_splice_back(failed, &f->held);
    list_splice_back(failed, &f->behind);
    f->on = f->inside_redirected = f->sending_inside = f->uncovered = f->stale = false;
    f->course.kind = REDIS_REDIRECT_NONE;
    f->hops = 0;
}

bool redis_follow_tries_next(struct redis *r)
{
    struct redis_follow *f = &r->follow;
    uint64_t now_ns = clock_mono_ns();

    if (!f->nodes)
        return false;
    if (f->round++ == 0) {
        f->round_ns = now_ns;
        f->why[0] = '\0';
    }
    if (redis_says(r->why))
        snprintf(f->why, sizeof(f->why), "%s", r->why);
    if (f->round < redis_nodes_count(f->nodes) && now_ns - f->round_ns < ROUND_NS)
        return true;
    if (f->why[0]) /* it tells more than that another node cannot be reached */
        snprintf(r->why, sizeof(r->why), "%s", f->why);
    f->round = 0;
    return false;
}

void redis_follow_probe(struct redis *r, const struct redisReply *reply)
{
    struct redis_redirect to;

    if (!reply_refused(reply) || redis_redirect_parse(reply_text(reply).p, &to) != 1)
        return;
    if (to.kind == REDIS_REDIRECT_MOVED && !r->lost) {
        if (redis_nodes_named(r->follow.nodes, &to.at, &r->address))
            hop(r);
        else
            redis_lose(r, redis_cluster_disagrees);
    }
    free(to.at.host);
}
