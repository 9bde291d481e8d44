/* SPDX-License-Identifier: MIT
 * Hands the account to another instance, and takes it from one, without a gap.
 *
 *   leader                               its successor, a standby
 *   leads; announces "next"         ──▶  hears it within a second, announces that it is ready,
 *   leads                           ◀──  and asks for the lease every 10 ms
 *   begins no more requests
 *   all replies are here and written,
 *   unused budget is given back
 *   releases the lease              ──▶  takes it, reads the budget and the lanes, sends
 *
 * If the successor does not announce that it is ready, the leader stays, or stops without one. */
#include <stdio.h>
#include <string.h>

#include "dispatch_internal.h"
#include "log.h"

/* An instance that should take an absent lease, and does not, is passed over after this time. */
#define PASS_OVER_NS (1500 * NS_PER_MS)

#define READY_WITHIN_NS (3 * NS_PER_S)
#define BALANCE_AGAIN_NS (60 * NS_PER_S) /* after a successor that was not ready in time */
/* A stopping instance that leads many accounts hands over for this long, and then just stops. */
#define STOP_WITHIN_NS (8 * NS_PER_S)
#define LOOK_EVERY_NS (20 * NS_PER_MS)

/* How often a successor asks for the lease: often while the leader is expected to release it, then
 * less often. */
#define EAGER_NS (10 * NS_PER_MS)
#define EAGER_FOR_NS (2 * NS_PER_S)
#define PATIENT_NS (100 * NS_PER_MS)
#define PATIENT_FOR_NS (10 * NS_PER_S)

/* -- the leader's side ------------------------------------------------------------------------ */

static bool begin(struct dispatch *d, const char *to, enum hand_over_why why, uint64_t now_ns)
{
    struct hand_over *h = &d->hand_over;

    if (!instances_begin_hand_over(d->options.instances, to, why))
        return false;
    snprintf(h->to, sizeof(h->to), "%s", to);
    h->why = why;
    h->ready = false;
    h->since_ns = now_ns;
    d->lease_next_ns = 0;
    log_info("The account is being handed over", "account=%s to=\"%s\" why=%s", d->account->name,
             to, why == HAND_OVER_STOPPING ? "stopping" : "balance");
    return true;
}

void hand_over_end(struct dispatch *d)
{
    if (d->hand_over.to[0])
        instances_end_hand_over(d->options.instances, d->hand_over.to);
    d->hand_over.to[0] = '\0';
    d->hand_over.ready = false;
}

static void give_up(struct dispatch *d, uint64_t now_ns)
{
    d->hand_over.given_up = d->stopping;
    log_info("The account is not handed over: its successor was not ready in time",
             "account=%s to=\"%s\"", d->account->name, d->hand_over.to);
    hand_over_end(d);
    d->hand_over.again_ns = now_ns + BALANCE_AGAIN_NS;
    d->lease_next_ns = 0; /* the successor must hear it */
}

static void look_at_successor(struct dispatch *d, const struct queue_lease *lead, uint64_t now_ns)
{
    for (size_t i = 0; i < lead->others_count; i++)
        if (span_is(lead->others[i].owner, d->hand_over.to) && !lead->others[i].leaving) {
            d->hand_over.ready = lead->others[i].ready;
            return;
        }
    give_up(d, now_ns);
}

static void balance(struct dispatch *d, const struct queue_lease *lead, uint64_t now_ns)
{
    const char *to;

    if (d->stopping || lead->moved_ms != NEVER || now_ns < d->hand_over.again_ns ||
        d->pace.brake.state != BRAKE_FREE)
        return;
    to = instances_lighter(d->options.instances, d->options.number, d->account->name, now_ns);
    if (to)
        (void)begin(d, to, HAND_OVER_BALANCING, now_ns);
}

/* Whom to leave the account to when we stop; NULL: nobody. */
static const char *heir(struct dispatch *d, uint64_t now_ns)
{
    if (d->stop_ns == 0)
        d->stop_ns = now_ns;
    if (!d->queue_up || !d->options.instances || d->hand_over.given_up ||
        now_ns - d->stop_ns >= STOP_WITHIN_NS)
        return NULL;
    return instances_successor(d->options.instances, d->options.number, d->account->name);
}

uint64_t hand_over_tick(struct dispatch *d, uint64_t now_ns)
{
    struct hand_over *h = &d->hand_over;
    const char *to = d->stopping ? heir(d, now_ns) : NULL;

    if (d->state != DISPATCH_LEADING || (!d->stopping && !h->to[0]))
        return NEVER;
    if (h->to[0] && h->ready) {
        d->counts.hand_overs[h->why]++;
        dispatch_begin_drain(d, "handing over");
    } else if (d->stopping && !to) {
        dispatch_begin_drain(d, "stopping");
    } else if (!h->to[0]) {
        (void)begin(d, to, HAND_OVER_STOPPING, now_ns);
    } else if (now_ns - h->since_ns >= READY_WITHIN_NS) {
        give_up(d, now_ns);
    }
    return d->state == DISPATCH_LEADING ? now_ns + LOOK_EVERY_NS : NEVER;
}

/* -- both sides ------------------------------------------------------------------------------- */

void hand_over_heard(struct dispatch *d, const struct queue_lease *lead, uint64_t now_ns)
{
    if (!d->options.instances)
        return;
    instances_heard(d->options.instances, d->options.number, lead, now_ns);
    if (d->state != DISPATCH_LEADING || !lead->leading)
        return;
    if (d->hand_over.to[0])
        look_at_successor(d, lead, now_ns);
    else
        balance(d, lead, now_ns);
}

struct queue_announcement hand_over_announce(const struct dispatch *d, uint64_t now_ns)
{
    bool standby = d->state == DISPATCH_STANDBY;

    return (struct queue_announcement){
        .role = d->stopping     ? QUEUE_LEAVING
                : !standby      ? QUEUE_LEADER
                : d->next_since ? QUEUE_READY
                                : QUEUE_STANDBY,
        .may_take =
            !d->options.instances ||
            instances_prefer_us(d->options.instances, d->options.number, d->account->name) ||
            (d->absent_since && now_ns - d->absent_since >= PASS_OVER_NS),
        .next = d->hand_over.to[0] ? d->hand_over.to : NULL,
        .holds = !standby};
}

/* -- the successor's side --------------------------------------------------------------------- */

/* How long a successor waits before it asks again. */
static uint64_t eagerness_ns(struct dispatch *d, uint64_t now_ns)
{
    uint64_t waited_ns = now_ns - d->next_since;

    if (d->next_since == 0) {
        d->next_since = now_ns; /* announce at once that we are ready */
        return 0;
    }
    return waited_ns < EAGER_FOR_NS     ? EAGER_NS
           : waited_ns < PATIENT_FOR_NS ? PATIENT_NS
                                        : LEASE_ASK_EVERY_NS;
}

void hand_over_stand_by(struct dispatch *d, const struct queue_lease *lead, uint64_t now_ns)
{
    bool absent = !lead->holder[0] || d->usurp[0];
    uint64_t wait_ns = LEASE_ASK_EVERY_NS;

    if (lead->next)
        wait_ns = eagerness_ns(d, now_ns);
    else
        d->next_since = 0;
    if (!absent) {
        d->absent_since = 0;
        if (lead->holder_ttl_ms < LEASE_TTL_MS)
            wait_ns = min_u64(wait_ns, (lead->holder_ttl_ms + 1) * NS_PER_MS);
    } else if (!lead->withheld) {
        if (d->absent_since == 0)
            d->absent_since = now_ns;
        if (hand_over_announce(d, now_ns).may_take)
            wait_ns = 0;
        else
            wait_ns = min_u64(wait_ns, d->absent_since + PASS_OVER_NS - now_ns);
    }
    d->lease_next_ns = now_ns + wait_ns;
}
