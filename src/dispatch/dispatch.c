/* SPDX-License-Identifier: MIT */
#include "dispatch.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "dispatch_internal.h"
#include "fastly.h"
#include "log.h"
#include "redis_error.h"
#include "reload.h"

const char *const dispatch_state_names[] = {
    [DISPATCH_STANDBY] = "standby",     [DISPATCH_RESTORING] = "restoring",
    [DISPATCH_LEADING] = "leading",     [DISPATCH_DRAINING] = "draining",
    [DISPATCH_RELEASING] = "releasing", [DISPATCH_STOPPED] = "stopped",
};

#define DUE_MOVE_MAX 1000u
#define DUE_LOOK_EVERY_NS NS_PER_S /* another process may have added to `later` */

void dispatch_wake(struct dispatch *d)
{
    d->options.wake(d->options.ctx);
}

/* -- the queue's connection ------------------------------------------------------------------ */

static void on_up(void *ctx)
{
    struct dispatch *d = ctx;

    log_info("Connected to Redis", "account=%s", d->account->name);
    d->queue_up = true;
    d->up_ns = d->progress_ns = clock_mono_ns();
    d->server_checked = d->server_fit = false;
    d->lease_unsure = true;
    d->lease_next_ns = d->due_next_ns = d->server_next_ns = d->examine_next_ns = 0;
    if (d->state == DISPATCH_RESTORING)
        ledger_restore(d->ledgers);
    dispatch_wake(d);
}

static void on_down(void *ctx, const char *why)
{
    struct dispatch *d = ctx;

    log_error("Redis is away or refuses commands; nothing is sent until it is back, and "
              "nothing is lost",
              "account=%s why=\"%s\"", d->account->name, redis_error_shown(why));
    d->queue_up = false;
    trouble_forget(d->trouble);
    dispatch_wake(d);
}

static void on_taken(void *ctx)
{
    dispatch_wake(ctx);
}

static enum origin_taken on_shown(void *ctx, const struct origin_job *job)
{
    struct dispatch *d = ctx;
    uint64_t now_ns = clock_mono_ns();
    bool may_send = lease_may_send(d, now_ns) && !pace_held_until_ns(&d->pace, now_ns);

    return intake_take_shown(d->intake, job, may_send);
}

static void on_settled(void *ctx, bool later)
{
    struct dispatch *d = ctx;

    if (later) {
        d->due_next_ns = 0;
        d->due_soon = d->due_asked;
    }
    dispatch_wake(d);
}

/* -- creating and freeing -------------------------------------------------------------------- */

static uint64_t say_unwritten(struct dispatch *d, uint64_t now_ns)
{
    uint64_t unwritten, next_ns = loglimit_end(&d->log_limit, now_ns, &unwritten);

    if (unwritten)
        log_warn("Too many new dead letters to log each of them", "account=%s not_written=%llu",
                 d->account->name, (unsigned long long)unwritten);
    return next_ns;
}

static struct service_state *services_new(const struct config_account *a)
{
    return alloc_zeroed(a->services_count + 1, sizeof(struct service_state));
}

/* Forgets what is only kept in memory, except the window and the lanes. */
static void forget_memory(struct dispatch *d)
{
    verification_forget(d->verification);
    send_forget_waiting(d);
    for (uint32_t i = 0; i < d->job_failures_count; i++) {
        free(d->job_failures[i].reason);
        free(d->job_failures[i].target);
        buf_deinit(&d->job_failures[i].services);
    }
    free(d->job_failures);
    d->job_failures = NULL;
    d->job_failures_count = 0;
    d->job_failures_bytes = 0;
    free(d->services);
}

struct dispatch *dispatch_new(const struct dispatch_options *o, struct now now)
{
    static const struct queue_callbacks callbacks = {on_up, on_down, watch_refused, watch_accepted};
    static const struct origin_callbacks origin_callbacks = {on_shown, job_end_held, on_taken};
    struct dispatch *d = alloc_zeroed(1, sizeof(*d));

    d->options = *o;
    d->account = o->account;
    d->config = config_hold(o->config);
    d->endpoint = endpoint_hold(o->endpoint);
    d->rng.state = o->seed;
    heap_init(&d->parked);
    list_init(&d->requests);
    list_init(&d->spare);
    d->due_next_ns = d->progress_ns = now.mono_ns;
    d->lateness.due_ns = NEVER;
    pace_init(&d->pace, d->account, o->window);
    buf_init(&d->purge_text, HISTORY_PURGE_MAX);
    d->services = services_new(d->account);
    d->trouble = trouble_new(d->options.account->name);
    if (o->connections)
        d->queue = queue_new_shared(o->connections, d->account->name, o->owner, &callbacks, d);
    else
        d->queue = queue_new(o->loop, o->redis, d->account->name, o->owner, &callbacks, d);
    d->settle = settle_new(d->account, d->queue, on_settled, d);
    memory_join(o->memory, &d->memory);
    d->origin = origin_new(d->account, &origin_callbacks, &d->memory, o->senders, o->seed, d);
    d->verification = verification_new(d);
    d->repeats = repeats_new(d->account);
    d->intake = intake_new(d->account,
                           &(struct intake_parts){d->queue, &d->pace.window, d->settle, d->origin,
                                                  &d->memory, d->verification},
                           on_taken, d);
    intake_limit_log(d->intake, &d->log_limit);
    intake_limit(d->intake, o->job_max_bytes);
    lease_init(d);
    d->canaries = canaries_new(d);
    d->event_watch = event_watch_new(d);
    return d;
}

void dispatch_free(struct dispatch *d)
{
    if (!d)
        return;
    must(d->state == DISPATCH_STOPPED);
    (void)say_unwritten(d, NEVER);
    forget_memory(d);
    verification_free(d->verification);
    repeats_free(d->repeats);
    pace_deinit(&d->pace);
    send_forget_spare(d);
    intake_free(d->intake);
    origin_free(d->origin);
    memory_leave(&d->memory);
    settle_free(d->settle);
    canaries_free(d->canaries);
    event_watch_free(d->event_watch);
    ledger_free(d->ledgers);
    trouble_free(d->trouble);
    heap_deinit(&d->parked);
    json_decref(d->reloaded);
    buf_deinit(&d->purge_text);
    endpoint_drop(d->endpoint);
    config_drop(d->config);
    config_drop(d->next_config);
    free(d);
}

/* -- settings -------------------------------------------------------------------------------- */

static bool same_words(const struct config_words *a, const struct config_words *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (strcmp(a->at[i], b->at[i]) != 0)
            return false;
    return true;
}

/* Compares the settings that decide whether and where a target waits. If any of them changes, all
 * jobs are read again. The lists of hosts belong to them, because waiting targets were admitted by
 * them. */
static bool same_order(const struct config_account *a, const struct config_account *b)
{
    if (a->services_count != b->services_count || a->key_form != b->key_form ||
        a->url_mode != b->url_mode || a->budget.batch_cost != b->budget.batch_cost ||
        a->budget.separate != b->budget.separate ||
        !same_words(&a->direct_hosts, &b->direct_hosts) ||
        !same_words(&a->direct_token_hosts, &b->direct_token_hosts) ||
        !same_words(&a->origins, &b->origins) ||
        strcmp(a->purge_all_needs, b->purge_all_needs) != 0)
        return false;
    for (uint32_t i = 0; i < a->services_count; i++)
        if (strcmp(a->services[i].id, b->services[i].id) != 0)
            return false;
    return true;
}

/* Takes over the caller's reference to c. */
static void apply_settings(struct dispatch *d, const struct config *c,
                           const struct config_account *a, uint64_t now_ns)
{
    const struct config *old = d->config;

    d->config = c;
    d->account = d->options.account = a;
    intake_configure(d->intake, a);
    origin_configure(d->origin, a);
    settle_configure(d->settle, a);
    ledger_configure(d->ledgers, a, now_ns);
    pace_configure(&d->pace, a);
    canaries_configure(d->canaries, now_ns);
    event_watch_configure(d->event_watch);
    repeats_configure(d->repeats, a);
    config_drop(old);
}

static void apply_next(struct dispatch *d)
{
    if (d->next_account)
        apply_settings(d, d->next_config, d->next_account, clock_mono_ns());
    d->next_account = NULL;
    d->next_config = NULL;
}

/* Starts again with an empty memory and the newest settings. All that is forgotten can be read
 * again from Redis. */
static void start_over(struct dispatch *d)
{
    forget_memory(d);
    origin_forget(d->origin);
    apply_next(d);
    pace_restart(&d->pace, d->account);
    d->services = services_new(d->account);
}

/* -- leading and not leading ----------------------------------------------------------------- */

void dispatch_begin_drain(struct dispatch *d, const char *why)
{
    log_info("No new purges are sent; waiting for those in flight",
             "account=%s why=\"%s\" in_flight=%u", d->account->name, why, d->pace.in_flight);
    intake_stop(d->intake);
    d->state = DISPATCH_DRAINING;
    verification_end(d->verification, "the instance stopped leading before the look");
}

static void on_closed(void *ctx)
{
    struct dispatch *d = ctx;

    d->state = DISPATCH_STOPPED;
    dispatch_wake(d);
}

static void on_released(void *ctx, int err)
{
    struct dispatch *d = ctx;

    (void)err; /* on an error the lease expires by itself */
    hand_over_end(d);
    queue_close(d->queue, on_closed, d);
}

static void release(struct dispatch *d)
{
    d->state = DISPATCH_RELEASING;
    if (d->queue_up)
        queue_release(d->queue, QUEUE_LEAVES, on_released, d);
    else
        on_released(d, -ENOTCONN);
}

static void stand_by(struct dispatch *d, uint64_t lease_next_ns)
{
    hand_over_end(d);
    start_over(d);
    canaries_rest(d->canaries, clock_mono_ns());
    event_watch_rest(d->event_watch);
    d->state = DISPATCH_STANDBY;
    d->lease_next_ns = lease_next_ns;
}

static void on_handed_over(void *ctx, int err)
{
    struct dispatch *d = ctx;

    (void)err; /* on an error the lease expires by itself */
    instances_released(d->options.instances, d->options.number, d->hand_over.to);
    stand_by(d, clock_mono_ns() + LEASE_ASK_EVERY_NS); /* leave it to the successor */
    dispatch_wake(d);
}

static void hand_over(struct dispatch *d)
{
    d->state = DISPATCH_RELEASING;
    queue_release(d->queue,
                  d->hand_over.why == HAND_OVER_BALANCING ? QUEUE_BALANCES : QUEUE_HANDS_OVER,
                  on_handed_over, d);
}

/* True if all replies have been handled and their outcomes are written; while Redis is away, they
 * need not be written. */
static bool drained(const struct dispatch *d)
{
    return d->pace.in_flight == 0 && canaries_idle(d->canaries) &&
           (settle_idle(d->settle) || !d->queue_up);
}

static void drain_tick(struct dispatch *d, struct now now)
{
    if (d->state == DISPATCH_STANDBY && d->stopping && !d->lease_asked) {
        release(d);
        return;
    }
    if (d->state == DISPATCH_RESTORING && d->stopping)
        dispatch_begin_drain(d, "stopping");
    if (d->state != DISPATCH_DRAINING || !drained(d) || d->lease_asked)
        return;
    if ((d->stopping || d->hand_over.to[0]) && d->queue_up &&
        !ledger_close(d->ledgers, now.mono_ns))
        return;
    if (d->stopping)
        release(d);
    else if (d->hand_over.to[0] && d->queue_up)
        hand_over(d);
    else
        stand_by(d, 0);
}

static void restore_tick(struct dispatch *d, struct now now)
{
    if (d->state != DISPATCH_RESTORING || !ledger_ready(d->ledgers))
        return;
    d->state = DISPATCH_LEADING;
    d->due_next_ns = now.mono_ns;
    intake_start(d->intake);
}

/* -- postponed jobs -------------------------------------------------------------------------- */

/* The lease is renewed once a second as well: together, an idle process wakes up less often. */
static uint64_t next_look_ns(const struct dispatch *d, uint64_t now_ns)
{
    uint64_t latest_ns = now_ns + DUE_LOOK_EVERY_NS;

    return d->lease_next_ns > now_ns + DUE_LOOK_EVERY_NS / 2 ? min_u64(latest_ns, d->lease_next_ns)
                                                             : latest_ns;
}

static void on_due(void *ctx, int err, uint32_t moved, uint64_t next_due_ms)
{
    struct dispatch *d = ctx;
    struct now now = clock_now();
    uint64_t wait_ms = minus_u64(next_due_ms, now.wall_ms);
    uint64_t next_ns = next_look_ns(d, now.mono_ns);

    if (err == 0 && wait_ms < DUE_LOOK_EVERY_NS / NS_PER_MS)
        next_ns = min_u64(next_ns, now.mono_ns + (wait_ms + 1) * NS_PER_MS);
    if (d->due_soon || (err == 0 && moved == DUE_MOVE_MAX))
        next_ns = now.mono_ns;
    d->due_asked = false;
    d->due_next_ns = next_ns;
    d->due_soon = false;
    dispatch_wake(d);
}

static uint64_t due_tick(struct dispatch *d, struct now now)
{
    if (d->due_asked)
        return NEVER;
    if (now.mono_ns < d->due_next_ns)
        return d->due_next_ns;
    d->due_asked = true;
    queue_due(d->queue, now.wall_ms, DUE_MOVE_MAX, on_due, d);
    return NEVER;
}

/* The account's memory outside window, settle and reading. */
static uint64_t elsewhere_bytes(const struct dispatch *d)
{
    return d->requests_bytes + d->job_failures_bytes + origin_bytes(d->origin) +
           verification_bytes(d->verification) + reasons_bytes(&d->reasons) +
           d->parked.count * (ALLOC_TAKES(sizeof(struct batch)) + sizeof(struct heap_node *));
}

/* -- the tick -------------------------------------------------------------------------------- */

uint64_t dispatch_tick(struct dispatch *d, struct now now)
{
    uint64_t next;

    if (d->state >= DISPATCH_RELEASING)
        return NEVER;
    d->wall_ms = now.wall_ms;
    progress_begin(d, now);
    next = hand_over_tick(d, now.mono_ns);
    next = min_u64(next, lease_tick(d, now));
    next = min_u64(next, watch_tick(d, now));
    restore_tick(d, now);
    if (d->state == DISPATCH_LEADING && d->queue_up) {
        next = min_u64(next, due_tick(d, now));
        next = min_u64(next, origin_tick(d->origin, now));
        next = min_u64(next, canaries_tick(d->canaries, now.mono_ns));
        next = min_u64(next, event_watch_tick(d->event_watch, now));
        next = min_u64(next, send_tick(d, now));
        next = min_u64(next, verification_tick(d->verification, now.mono_ns));
        next = min_u64(next, intake_pull(d->intake, elsewhere_bytes(d), now.mono_ns));
    }
    intake_take_stock(d->intake);
    settle_flush(d->settle, d->queue_up, now.mono_ns);
    if (d->queue_up) {
        next = min_u64(next, ledger_flush(d->ledgers, now.mono_ns));
        next = min_u64(next, settle_due(d->settle));
    }
    next = min_u64(next, say_unwritten(d, now.mono_ns));
    drain_tick(d, now);
    progress_end(d, now, next);
    return next;
}

bool dispatch_awaits_memory(const struct dispatch *d)
{
    return d->state == DISPATCH_LEADING && intake_idle(d->intake);
}

/* -- reload and stop ------------------------------------------------------------------------- */

void dispatch_configure(struct dispatch *d, const struct config *c, const struct config_account *a,
                        struct endpoint *e, struct now now)
{
    reload_note(d, a, e, now.wall_ms);
    if (!endpoint_same(d->endpoint, e)) {
        brake_release(&d->pace.brake); /* the brake's reason came from the old endpoint */
        event_watch_renew(d->event_watch);
    }
    endpoint_drop(d->endpoint);
    d->endpoint = endpoint_hold(e);
    config_drop(d->next_config);
    d->next_account = NULL;
    d->next_config = NULL;
    if (same_order(d->account, a)) {
        apply_settings(d, config_hold(c), a, now.mono_ns);
    } else {
        d->next_account = a;
        d->next_config = config_hold(c);
        if (d->state == DISPATCH_LEADING)
            dispatch_begin_drain(d, "the services or the way to count changed");
        else if (d->state < DISPATCH_LEADING)
            start_over(d);
    }
    dispatch_wake(d);
}

void dispatch_stop(struct dispatch *d, enum dispatch_leaving how)
{
    d->stopping = true;
    d->hand_over.given_up = how == DISPATCH_LEAVES_AT_ONCE;
    dispatch_wake(d);
}

const char *dispatch_account(const struct dispatch *d)
{
    return d->account->name;
}

bool dispatch_connected(const struct dispatch *d)
{
    return d->queue_up;
}

bool dispatch_stopped(const struct dispatch *d)
{
    return d->state == DISPATCH_STOPPED;
}
