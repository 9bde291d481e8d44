/* SPDX-License-Identifier: MIT
 * Whatever the world does to a daemon, what it tells of itself must fit together; and when it waits
 * for a reason it must not be taken for a stalled one: somebody would restart it. The linker puts
 * this in the place of dispatch_tick (-Wl,--wrap). */
#include "dispatch_internal.h"

uint64_t __real_dispatch_tick(struct dispatch *d, struct now now);
uint64_t __wrap_dispatch_tick(struct dispatch *d, struct now now);

static uint64_t sum(const uint64_t *at, size_t count)
{
    uint64_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += at[i];
    return n;
}

static uint64_t measured(const struct histogram *of, size_t count)
{
    uint64_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += histogram_count(&of[i]);
    return n;
}

static void look(const struct dispatch *d, struct now now)
{
    const struct dispatch_counts *c = &d->counts;
    const struct verification_counts *looks = verification_counts(d->verification);
    uint64_t answers = sum(c->answers, ANSWER_N);
    char why[160];

    if (dispatch_stalled(d, now, why, sizeof(why)))
        base_abort(why, __FILE__, __LINE__);
    must(sum(c->requests, FORM_N) == answers + d->pace.in_flight);
    must(sum(c->verdicts, VERDICT_N) == answers);
    must(c->verdicts[VERDICT_THROTTLED] == c->throttled);
    must(measured(c->reply, FORM_N) == sum(c->answers, ANSWER_UNSENT));
    must(measured(c->to_purged, LANE_N) + c->verified == c->jobs[OUTCOME_PURGED]);
    /* Keys that a purge-all absorbed were purged without a request of their own. For a target that
     * is purged once more since its page was stale, or that took over the jobs of such a one,
     * nobody has waited since a push. */
    must(c->requests[FORM_ALL] > 0 || looks->repairs > 0 || looks->superseded > 0 ||
         measured(c->to_wire, LANE_N) >= c->targets_purged);
    /* Once for whoever waits: a retry is no other start. */
    must(measured(c->to_wire, LANE_N) <= intake_counts(d->intake)->targets);
}

/* Right before a tick is when what was noted by the last one is oldest. */
uint64_t __wrap_dispatch_tick(struct dispatch *d, struct now now)
{
    uint64_t next;

    look(d, now);
    next = __real_dispatch_tick(d, now);
    look(d, now);
    return next;
}
