/* SPDX-License-Identifier: MIT
 * Commands that wait at Redis: XREAD with BLOCK for an entry, WAIT for replicas. */
#include "engine.h"
#include "fake_link_internal.h"
#include "journal.h"

#define NOTHING "*-1\r\n"

static bool found_nothing(const struct call *c)
{
    return !c->cb && span_is(buf_span(&c->answer), NOTHING);
}

static void on_waited(void *ctx)
{
    struct call *c = ctx;

    c->until = NULL;
    c->waits = false;
    engine_cancel(c->event); /* of an entry that comes at this very moment */
    buf_clear(&c->answer);
    buf_put(&c->answer, SPAN(NOTHING));
    fake_link_reply(c);
}

bool fake_link_waits_for_entry(struct call *c)
{
    if (!c->block_ms || !found_nothing(c))
        return false;
    c->waits = true;
    c->until = engine_at(engine_now_ns() + c->block_ms * NS_PER_MS, ENGINE_NOBODY, on_waited, c);
    return true;
}

/* -- behind them -- */

bool fake_link_waits_behind(struct call *c)
{
    list_each(it, &c->r->calls) {
        const struct call *before = list_entry(it, struct call, link);

        if (before == c || !c->bytes)
            return false;
        if (before->until || !before->done) {
            c->queued = true;
            return true;
        }
    }
    return false;
}

void fake_link_go_on(struct fake_link *r)
{
    list_each(it, &r->calls) {
        struct call *c = list_entry(it, struct call, link);

        if (!c->queued)
            continue;
        c->queued = false;
        c->event = engine_at(engine_now_ns(), ENGINE_NOBODY, fake_link_arrive, c);
    }
}

/* -- WAIT -- */

static void on_replicated(void *ctx)
{
    struct call *c = ctx;

    c->until = NULL;
    fake_redis_confirm(c->confirms);
    fake_link_reply(c);
}

static uint64_t wait_ns(const struct call *c)
{
    uint64_t ms = 0;

    must(c->argc == 3 && span_to_u64(c->argv[2], &ms) == 0);
    return ms * NS_PER_MS;
}

/* WAIT: the replica has the last write of this connection (as since Redis 8), which says nothing of
 * what others wrote later; or the time that it may take is over. What follows on the connection
 * is carried out meanwhile, which Redis would only do later, but for bytes: fake_link_waits_behind.
 */
void fake_link_wait_for_replica(struct call *c)
{
    bool follows = fake_redis_replica_follows() && !fake_link_is_cut_off(c->r);
    bool has = follows || fake_redis_replica_has(c->r->written);
    uint64_t delay = fake_redis_delay();

    c->done = true;
    c->confirms = follows ? c->r->written : 0;
    buf_clear(&c->answer);
    buf_printf(&c->answer, ":%d\r\n", has);
    c->until =
        engine_at(engine_now_ns() + (has ? delay : wait_ns(c)), ENGINE_NOBODY, on_replicated, c);
}

static void wait_in_vain(struct call *c)
{
    c->confirms = 0;
    buf_clear(&c->answer);
    buf_printf(&c->answer, ":0\r\n");
    engine_cancel(c->until);
    c->until = engine_at(engine_now_ns() + wait_ns(c), ENGINE_NOBODY, on_replicated, c);
}

void fake_link_replica_is_gone(void)
{
    list_each(it, &fake_links) {
        struct fake_link *r = list_entry(it, struct fake_link, link);

        list_each(at, &r->calls) {
            struct call *c = list_entry(at, struct call, link);

            if (fake_link_is_cut_off(r) && c->confirms && c->until)
                wait_in_vain(c);
        }
    }
}

/* A node that has only some of the keys lets it wait. */
static bool goes_on_waiting(const struct call *c)
{
    const char *said = c->answer.p;

    return found_nothing(c) ||
           (said[0] == '-' && strncmp(said, "-MOVED", 6) != 0 && strncmp(said, "-CLUSTER", 8) != 0);
}

/* An entry has come, or the keys are at another node. */
static void on_found(void *ctx)
{
    struct call *c = ctx;

    c->event = NULL;
    fake_link_carry_out(c);
    if (goes_on_waiting(c))
        return;
    engine_cancel(c->until);
    c->until = NULL;
    c->waits = false;
    fake_link_reply(c);
}

static bool reads(const struct call *c, struct span key)
{
    for (size_t i = 0; i < c->argc; i++)
        if (span_eq(c->argv[i], key))
            return true;
    return false;
}

static void wake(const struct span *key)
{
    list_each(it, &fake_links) {
        list_each(at, &list_entry(it, struct fake_link, link)->calls) {
            struct call *c = list_entry(at, struct call, link);

            if (c->waits && !c->event && (!key || reads(c, *key)))
                c->event = engine_at(engine_now_ns(), ENGINE_NOBODY, on_found, c);
        }
    }
}

void fake_link_added(struct span key)
{
    wake(&key);
}

void fake_link_moved(void)
{
    wake(NULL);
}
