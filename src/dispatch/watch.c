/* SPDX-License-Identifier: MIT
 * Examines the account's keys when Redis refuses a command, when a lane contains impossible ids,
 * and from time to time, so that a broken key is found before it is needed. */
#include "dispatch_internal.h"

#define LOOK_EVERY_NS (60 * NS_PER_S)
#define LOOK_AGAIN_NS (5 * NS_PER_S) /* while something is wrong */

void watch_refused(void *ctx, const struct queue_refusal *r)
{
    struct dispatch *d = ctx;

    if (!trouble_refused(d->trouble, r, clock_mono_ns()))
        return;
    d->examine_next_ns = 0;
    dispatch_wake(d);
}

void watch_accepted(void *ctx, uint64_t question)
{
    struct dispatch *d = ctx;

    trouble_accepted(d->trouble, question, clock_mono_ns());
}

static void on_examined(void *ctx, int err, const struct queue_fault *faults, size_t count)
{
    struct dispatch *d = ctx;
    uint64_t now_ns = clock_mono_ns();
    bool any;

    d->examining = false;
    if (d->queue_up)
        trouble_examined(d->trouble, err, faults, count, now_ns);
    any = count > 0 || trouble_has(d->trouble, TROUBLE_REFUSED, now_ns);
    d->examine_next_ns =
        min_u64(d->examine_next_ns, now_ns + (any ? LOOK_AGAIN_NS : LOOK_EVERY_NS));
    dispatch_wake(d);
}

uint64_t watch_tick(struct dispatch *d, struct now now)
{
    uint64_t beyond = intake_counts(d->intake)->beyond,
             next = trouble_tick(d->trouble, now.mono_ns);

    if (!d->queue_up || d->examining)
        return next;
    if (beyond != d->beyond_seen)
        d->examine_next_ns = 0;
    if (now.mono_ns < d->examine_next_ns)
        return min_u64(next, d->examine_next_ns);
    d->beyond_seen = beyond;
    d->examining = true;
    d->examine_next_ns = NEVER;
    queue_examine(d->queue, on_examined, d);
    return next;
}
