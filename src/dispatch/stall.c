/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "dispatch_internal.h"

/* Dispatch has stalled when nothing that should happen has happened for this long. */
#define STALL_NS (60 * NS_PER_S)

/* A leader ticks this often when it has nothing else to do. */
#define LOOK_EVERY_NS NS_PER_S

#define LATENESS_WINDOW_NS (60 * NS_PER_S)

/* -- how late the loop is -------------------------------------------------------------------- */

void progress_begin(struct dispatch *d, struct now now)
{
    struct lateness *l = &d->lateness;

    if (now.mono_ns - l->since_ns >= LATENESS_WINDOW_NS) {
        bool next = now.mono_ns - l->since_ns < 2 * LATENESS_WINDOW_NS;

        l->before_ns = next ? l->worst_ns : 0;
        l->worst_ns = 0;
        l->since_ns = now.mono_ns;
    }
    if (now.mono_ns > l->due_ns)
        l->worst_ns = max_u64(l->worst_ns, now.mono_ns - l->due_ns);
}

uint64_t progress_late_ns(const struct dispatch *d)
{
    return max_u64(d->lateness.worst_ns, d->lateness.before_ns);
}

/* -- whether something should happen --------------------------------------------------------- */

static bool could_send(const struct dispatch *d, uint64_t now_ns)
{
    return d->queue_up && lease_may_send(d, now_ns) && pace_could_send(&d->pace, now_ns);
}

/* Waiting for a good reason counts as progress. There is a tick at least every second, so the noted
 * time is never older than that when the reason ends. */
void progress_end(struct dispatch *d, struct now now, uint64_t next_ns)
{
    d->lateness.due_ns = max_u64(next_ns, now.mono_ns);
    if (now.mono_ns - d->progress_ns >= LOOK_EVERY_NS && d->pace.in_flight == 0 &&
        !could_send(d, now.mono_ns))
        d->progress_ns = now.mono_ns;
}

/* -- detecting a stall ----------------------------------------------------------------------- */

/* Since when Redis owes a reply although it is connected; NEVER if it owes none. Every instance
 * asks for the lease every second, leader or not; when that stops, nothing else works either. */
static uint64_t redis_owes_since(const struct dispatch *d)
{
    uint64_t asked = intake_asked_ns(d->intake);

    if (!d->queue_up || d->state >= DISPATCH_RELEASING)
        return NEVER;
    if (d->server_fit && !(d->stopping && d->state == DISPATCH_STANDBY))
        asked = min_u64(asked, d->lease_asked_ns);
    return max_u64(asked, d->up_ns);
}

bool dispatch_stalled(const struct dispatch *d, struct now now, char *why, size_t room)
{
    uint64_t timeout_ns = d->account->timeout_ms * NS_PER_MS;
    uint64_t owes = redis_owes_since(d), quiet_ns = now.mono_ns - d->progress_ns;

    if (owes != NEVER && now.mono_ns >= add_time(owes, STALL_NS)) {
        snprintf(why, room, "Redis is connected, but nothing was heard of it for %" PRIu64 " s",
                 (now.mono_ns - owes) / NS_PER_S);
        return true;
    }
    if (d->pace.in_flight > 0 && quiet_ns >= STALL_NS + timeout_ns) {
        snprintf(why, room, "requests are on the wire, but none was answered for %" PRIu64 " s",
                 quiet_ns / NS_PER_S);
        return true;
    }
    if (d->pace.in_flight == 0 && quiet_ns >= STALL_NS && could_send(d, now.mono_ns)) {
        snprintf(why, room, "purges could be sent, but no request began for %" PRIu64 " s",
                 quiet_ns / NS_PER_S);
        return true;
    }
    return false;
}

bool dispatch_troubled(const struct dispatch *d, struct now now, char *why, size_t room)
{
    if (d->state >= DISPATCH_RELEASING)
        return false;
    if (trouble_now(d->trouble, now.mono_ns, why, room))
        return true;
    if (*endpoint_fault(d->endpoint))
        snprintf(why, room, "%s", endpoint_fault(d->endpoint));
    return *endpoint_fault(d->endpoint) != '\0';
}
