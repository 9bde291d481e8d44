/* SPDX-License-Identifier: MIT */
#include "redis_deadline.h"

#include "clock.h"

/* If the process was stopped or the loop was blocked, timers expire while replies are still unread.
 * This is the time for reading them before Redis is judged. */
#define DOUBT_NS NS_PER_S

static uint64_t due_ns(const struct redis_deadline *d)
{
    const struct redis_owed *first = list_first(&d->owed, struct redis_owed, link);

    return max_u64(first->asked_ns, d->heard_ns) + d->patience_ns + first->block_ns;
}

uint64_t redis_deadline_silence_ns(const struct redis_deadline *d)
{
    return list_empty(&d->owed) ? 0 : minus_u64(clock_mono_ns() + d->patience_ns, due_ns(d));
}

static void on_timer(void *ctx)
{
    struct redis_deadline *d = ctx;
    uint64_t now_ns = clock_mono_ns();

    if (list_empty(&d->owed))
        return;
    if (now_ns < due_ns(d)) {
        timer_start_at(d->timer, due_ns(d));
    } else if (!d->doubt) {
        d->doubt = true;
        timer_start_at(d->timer, now_ns + DOUBT_NS);
    } else {
        d->over(d->ctx);
    }
}

void redis_deadline_init(struct redis_deadline *d, struct loop *l, loop_cb *over, void *ctx)
{
    *d = (struct redis_deadline){.over = over, .ctx = ctx};
    list_init(&d->owed);
    d->timer = timer_new(l, on_timer, d);
}

void redis_deadline_deinit(struct redis_deadline *d)
{
    timer_close(d->timer);
}

/* The timer is not moved when a deadline is postponed; on_timer checks the deadline. */
void redis_deadline_owe(struct redis_deadline *d, struct redis_owed *o, uint32_t block_ms)
{
    bool first = list_empty(&d->owed);

    o->asked_ns = clock_mono_ns();
    o->block_ns = block_ms * NS_PER_MS;
    list_push_back(&d->owed, &o->link);
    if (!first)
        return;
    d->doubt = false;
    timer_start_at(d->timer, due_ns(d));
}

void redis_deadline_paid(struct redis_owed *o)
{
    list_remove(&o->link);
}

void redis_deadline_heard(struct redis_deadline *d)
{
    d->heard_ns = clock_mono_ns();
    d->doubt = false;
}
