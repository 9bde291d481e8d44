/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "dispatch_internal.h"
#include "log.h"
#include "process.h"

#define RENEW_EVERY_NS NS_PER_S
/* The same while the successor is expected to announce that it is ready. */
#define RENEW_HANDING_OVER_NS (50 * NS_PER_MS)
#define LOOK_EVERY_NS (10 * NS_PER_S)
/* Sending stops this long before the lease ends, so that requests handed to the senders have left.
 */
#define LEASE_MARGIN_NS (2 * NS_PER_S)

/* -- is this Redis fit to hold jobs? ---------------------------------------------------------- */

/* Whether Redis may lose writes that it has confirmed: by a failover, unless we wait for replicas,
 * and by a crash. A replica that was there once may come back as the master. */
static void judge_frailty(struct dispatch *d, const struct queue_server *s)
{
    d->had_replicas |= s->replicas > 0;
    d->frail = d->options.redis->replicas == 0 && (d->had_replicas || !s->syncs_always);
    queue_frail(d->queue, d->frail ? QUEUE_MAY_LOSE : QUEUE_KEEPS);
    ledger_set_frail(d->ledgers, d->frail);
}

/* A Redis that evicts keys loses jobs silently. */
static void on_server(void *ctx, int err, const struct queue_server *s)
{
    struct dispatch *d = ctx;
    bool evicts;

    d->server_asked = false;
    if (err)
        return; /* the refusal is reported elsewhere, and we ask again */
    trouble_server(d->trouble, s, clock_mono_ns());
    judge_frailty(d, s);
    evicts = s->maxmemory_policy[0] && strcmp(s->maxmemory_policy, "noeviction") != 0;
    if (!d->server_known && !evicts && !s->maxmemory_policy[0])
        log_warn("Redis does not report its maxmemory-policy; make sure that it is noeviction",
                 "account=%s", d->account->name);
    if (!d->server_known && s->aof_known && !s->aof)
        log_warn("Redis has no append-only file: accepted jobs are lost when Redis restarts "
                 "(CONFIG SET appendonly yes)",
                 "account=%s", d->account->name);
    d->server_known = d->server_checked = true;
    if (!d->server_fit && !evicts)
        d->lease_next_ns = 0;
    d->server_fit = !evicts;
    dispatch_wake(d);
}

/* Somebody may change the maxmemory-policy, or fill the memory, while Redis runs. */
static void look_at_server(struct dispatch *d, uint64_t now_ns)
{
    bool sound = d->server_checked && d->server_fit;

    if (d->server_asked || (sound && now_ns < d->server_next_ns))
        return;
    d->server_asked = true;
    d->server_next_ns = now_ns + LOOK_EVERY_NS;
    queue_server(d->queue, on_server, d);
}

/* -- the lease -------------------------------------------------------------------------------- */

static void on_ledger(void *ctx, int err)
{
    struct dispatch *d = ctx;

    if (err == -EPERM && d->state == DISPATCH_LEADING)
        dispatch_begin_drain(d, "the lease was lost");
    dispatch_wake(d);
}

void lease_init(struct dispatch *d)
{
    d->ledgers = ledger_new(d->account, d->queue, &d->pace.grant, clock_mono_ns(), on_ledger, d);
}

/* If a lease ends later than any lease that is given, Redis' clock was set back. A living holder
 * renews such a lease within a second; a holder that has not renewed it for the length of a lease
 * is dead. */
static bool outlived(struct dispatch *d, const struct queue_lease *lead)
{
    uint64_t now_ns = clock_mono_ns();

    if (lead->holder_ttl_ms <= LEASE_TTL_MS || lead->holder_ttl_ms == NEVER)
        d->overlong_since_ns = 0;
    else if (d->overlong_since_ns == 0)
        d->overlong_since_ns = now_ns;
    else
        return now_ns - d->overlong_since_ns > LEASE_TTL_MS * NS_PER_MS;
    return false;
}

static void follow(struct dispatch *d, const struct queue_lease *lead)
{
    if (lead->withheld && !d->withheld)
        log_info(
            "Redis was restarted, or another server took its place: it may have lost a lease, so "
            "this instance waits for the length of one before it leads",
            "account=%s wait_ms=%u", d->account->name, LEASE_TTL_MS);
    d->withheld = lead->withheld;
    if (d->state == DISPATCH_LEADING || d->state == DISPATCH_RESTORING) {
        dispatch_begin_drain(d, lead->withheld ? "Redis has lost the lease"
                                               : "another instance holds the lease");
        return;
    }
    if ((!lead->withheld && process_is_dead(lead->holder)) || outlived(d, lead))
        snprintf(d->usurp, sizeof(d->usurp), "%s", lead->holder);
    if (d->state == DISPATCH_STANDBY)
        hand_over_stand_by(d, lead, clock_mono_ns());
}

static void on_lease(void *ctx, int err, const struct queue_lease *lead)
{
    struct dispatch *d = ctx;
    bool was_paused = d->paused;

    d->lease_asked = false;
    d->usurp[0] = '\0';
    log_debug("Redis answered the lease request",
              "account=%s leading=%s holder=\"%s\" cancelled=%zu took_ms=%llu why=\"%s\"",
              d->account->name, !err && lead->leading ? "yes" : "no", err ? "" : lead->holder,
              err ? 0 : lead->cancelled_count,
              (unsigned long long)((clock_mono_ns() - d->lease_asked_ns) / NS_PER_MS),
              err ? strerror(-err) : "");
    if (err) {
        dispatch_wake(d);
        return;
    }
    if (lead->paused != d->paused)
        log_info(lead->paused ? "Dispatch is paused" : "Dispatch goes on", "account=%s why=\"%s\"",
                 d->account->name, lead->paused_why);
    if (d->paused && !lead->paused)
        brake_release(&d->pace.brake); /* resuming takes effect at once */
    d->paused = lead->paused;
    d->lease_unsure = false;
    memcpy(d->paused_why, lead->paused_why, sizeof(d->paused_why));
    memcpy(d->holder, lead->holder, sizeof(d->holder));
    job_end_cancel(d, lead->cancelled, lead->cancelled_count);
    hand_over_heard(d, lead, clock_mono_ns());
    if (lead->leading && lead->paused != was_paused)
        d->lease_next_ns = 0; /* the client that paused waits for our status to confirm it */
    if (lead->cancelled_count == QUEUE_CANCELLED_MAX)
        d->lease_next_ns = 0; /* more may be waiting */
    if (!lead->leading) {
        follow(d, lead);
    } else {
        d->overlong_since_ns = d->absent_since = d->next_since = 0;
        d->withheld = false;
        d->lease_until_ns = d->lease_asked_ns + LEASE_TTL_MS * NS_PER_MS;
        if (d->state == DISPATCH_STANDBY) {
            log_info("This instance leads the account", "account=%s", d->account->name);
            d->state = DISPATCH_RESTORING;
            ledger_restore(d->ledgers);
        } else if (lead->taken_over && d->state == DISPATCH_RESTORING) {
            ledger_restore(d->ledgers);
        } else if (lead->taken_over && d->state == DISPATCH_LEADING) {
            dispatch_begin_drain(d, "the lease had lapsed: others may have led meanwhile");
        }
    }
    dispatch_wake(d);
}

static uint64_t ask_every_ns(const struct dispatch *d)
{
    if (d->state == DISPATCH_STANDBY)
        return LEASE_ASK_EVERY_NS;
    return d->hand_over.to[0] && !d->hand_over.ready ? RENEW_HANDING_OVER_NS : RENEW_EVERY_NS;
}

uint64_t lease_tick(struct dispatch *d, struct now now)
{
    struct queue_announcement said = hand_over_announce(d, now.mono_ns);
    struct queue_clock clock = ledger_clock(d->ledgers, now);
    char *status = NULL, why[512];

    if (!d->queue_up || d->lease_asked || d->state >= DISPATCH_RELEASING)
        return NEVER;
    if (now.mono_ns < d->lease_next_ns)
        return d->lease_next_ns;
    look_at_server(d, now.mono_ns);
    d->lease_next_ns = now.mono_ns + ask_every_ns(d);
    if (!d->server_fit || (d->stopping && d->state == DISPATCH_STANDBY))
        return d->lease_next_ns;
    /* The script may take the lease and then fail. The status must tell the reason in that case,
     * too. */
    if (d->state != DISPATCH_STANDBY || dispatch_troubled(d, now, why, sizeof(why)))
        status = report_json(d, now);
    d->lease_asked = true;
    d->renewals++;
    d->lease_asked_ns = now.mono_ns;
    if (d->state != DISPATCH_LEADING)
        clock.account_ms = 0;
    queue_lease(d->queue, LEASE_TTL_MS, d->usurp[0] ? d->usurp : NULL, span_str(status), &clock,
                &said, on_lease, d);
    free(status);
    return d->lease_next_ns;
}

bool lease_may_send(const struct dispatch *d, uint64_t now_ns)
{
    return d->state == DISPATCH_LEADING && !d->paused && !d->lease_unsure &&
           now_ns + LEASE_MARGIN_NS < d->lease_until_ns;
}
