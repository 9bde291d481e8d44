/* SPDX-License-Identifier: MIT */
#include "promise.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#define PART 4       /* of what is left */
#define STALE_PART 8 /* a difference of less than this part is not worth a write */

struct promise_step {
    uint64_t limit; /* the total that may be reserved while a failover may go back to it */
    uint64_t promised;
    uint64_t answered_ns; /* NEVER: not yet */
};

void promise_init(struct promise *p, uint64_t loss_ns)
{
    *p = (struct promise){.loss_ns = loss_ns};
}

void promise_deinit(struct promise *p)
{
    free(p->steps);
    promise_init(p, p->loss_ns);
}

void promise_forget(struct promise *p)
{
    p->reserved = p->made = p->count = 0;
}

static void add_step(struct promise *p, struct promise_step s)
{
    if (p->count == p->room) {
        p->room = p->room ? p->room * 2 : 4;
        p->steps = alloc_grow(p->steps, p->room, sizeof(*p->steps));
    }
    p->steps[p->count++] = s;
}

void promise_restore(struct promise *p, uint64_t promised)
{
    promise_forget(p);
    p->made = promised;
    add_step(p, (struct promise_step){promised, promised, 0});
}

void promise_write(struct promise *p, uint64_t units, uint64_t promised)
{
    p->reserved += units;
    add_step(p, (struct promise_step){add_time(p->reserved, promised), promised, NEVER});
}

/* A failover can go back to a step as long as it can lose the step after it. */
static void forget_old_steps(struct promise *p, uint64_t now_ns)
{
    uint32_t old = 0;

    while (old + 1 < p->count && add_time(p->steps[old + 1].answered_ns, p->loss_ns) <= now_ns)
        old++;
    p->count -= old;
    if (old)
        memmove(p->steps, p->steps + old, p->count * sizeof(*p->steps));
}

void promise_answered(struct promise *p, enum promise_answer how, uint64_t now_ns)
{
    struct promise_step *s;

    if (p->count == 0)
        return; /* that write was forgotten meanwhile */
    s = &p->steps[p->count - 1];
    if (s->answered_ns != NEVER)
        return; /* what came after it was read from Redis */
    s->answered_ns = now_ns;
    p->made = how == PROMISE_WRITTEN ? s->promised : 0;
    /* Perhaps Redis still has the state that the step before left. */
    if (how == PROMISE_UNSURE && p->count > 1)
        s->limit = min_u64(s->limit, s[-1].limit);
    forget_old_steps(p, now_ns);
}

uint64_t promise_allows(struct promise *p, enum lane lane, uint64_t now_ns, uint64_t *when_ns)
{
    static const uint64_t eighths_kept[LANE_N] = {[LANE_NORMAL] = 1, [LANE_BULK] = 2};
    uint64_t limit = NEVER;

    forget_old_steps(p, now_ns);
    for (uint32_t i = 0; i < p->count; i++)
        limit = min_u64(
            limit, minus_u64(p->steps[i].limit, p->steps[i].promised / 8 * eighths_kept[lane]));
    if (limit <= p->reserved && p->count > 1)
        *when_ns = min_u64(*when_ns, add_time(p->steps[1].answered_ns, p->loss_ns));
    return minus_u64(limit, p->reserved);
}

uint64_t promise_size(uint64_t left, uint64_t available, uint64_t gained)
{
    return max_u64(2 * gained, min_u64(left / PART, available + gained));
}

bool promise_is_stale(const struct promise *p, uint64_t size)
{
    uint64_t more = max_u64(p->made, size), less = min_u64(p->made, size);

    return more - less > more / STALE_PART;
}
