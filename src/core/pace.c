/* SPDX-License-Identifier: MIT */
#include "pace.h"

static void init_waiting(struct pace *p, const struct config_account *a, uint32_t window_limit)
{
    struct lanes_options lanes = lanes_options_of(a);

    p->max_in_flight = a->max_in_flight;
    lanes_init(&p->lanes, &lanes);
    window_init(&p->window, window_limit, &p->lanes);
}

void pace_init(struct pace *p, const struct config_account *a, uint32_t window_limit)
{
    *p = (struct pace){.in_flight = 0};
    brake_init(&p->brake);
    init_waiting(p, a, window_limit);
}

void pace_deinit(struct pace *p)
{
    must(p->in_flight == 0);
    window_deinit(&p->window);
    lanes_deinit(&p->lanes);
}

void pace_configure(struct pace *p, const struct config_account *a)
{
    p->max_in_flight = a->max_in_flight;
    lanes_configure(&p->lanes, a);
}

void pace_restart(struct pace *p, const struct config_account *a)
{
    uint32_t window_limit = p->window.limit;

    pace_deinit(p);
    init_waiting(p, a, window_limit);
}

uint64_t pace_held_until_ns(struct pace *p, uint64_t now_ns)
{
    return brake_limit(&p->brake, p->max_in_flight, now_ns) == 0 ? p->brake.until_ns : 0;
}

void pace_ask(struct pace *p, pace_reserve_cb *reserve, void *ctx, uint64_t now_ns,
              uint64_t *next_ns)
{
    for (int l = 0; l < LEDGER_N; l++) {
        uint64_t want = 0;

        for (int lane = 0; lane < LANE_N; lane++) {
            uint64_t own = lanes_want(&p->lanes, (enum lane)lane, (enum ledger_kind)l, now_ns);
            uint64_t when = NEVER;

            want += own;
            if (own)
                reserve(ctx, (enum ledger_kind)l, (enum lane)lane, want, now_ns, &when);
            p->funded[l][lane] = own && when == NEVER;
            *next_ns = min_u64(*next_ns, when);
        }
    }
}

void pace_grant(struct pace *p, enum ledger_kind ledger, uint64_t units)
{
    p->grant.units[ledger] += units;
}

void pace_take_back(struct pace *p, enum ledger_kind ledger, uint64_t units)
{
    must(p->grant.units[ledger] >= units);
    p->grant.units[ledger] -= units;
}

uint64_t pace_granted(const struct pace *p, enum ledger_kind ledger)
{
    return p->grant.units[ledger];
}

/* -- from the lanes onto the wire ------------------------------------------------------------ */

void pace_remove(struct pace *p, struct batch *b, struct pending *t)
{
    list_remove(&t->link);
    b->count--;
    b->cost = b->count ? lanes_cost(&p->lanes, b->form, b->count) : 0;
}

/* A burst fills all that may be in flight for seconds. A few places are therefore kept for urgent
 * purges, so that none has to wait for an answer. */
#define KEPT_FOR_URGENT 16 /* one of so many */

static struct batch *next_batch(struct pace *p, uint64_t now_ns, uint64_t *next_ns)
{
    uint32_t limit = brake_limit(&p->brake, p->max_in_flight, now_ns);

    if (p->in_flight >= limit)
        return NULL;
    if (p->in_flight >= limit - limit / KEPT_FOR_URGENT)
        return lanes_pick(&p->lanes, LANE_URGENT, &p->grant, now_ns, next_ns);
    return lanes_next(&p->lanes, &p->grant, now_ns, next_ns);
}

struct batch *pace_pick(struct pace *p, struct now now, struct list *expired, uint64_t *next_ns)
{
    struct batch *b;

    list_init(expired);
    b = next_batch(p, now.mono_ns, next_ns);
    if (!b)
        return NULL;
    list_each_safe(it, next, &b->targets) {
        struct pending *t = pending_of(it);
        uint64_t expires_ms = pending_expires_ms(t);

        if (!b->bisect) /* suspects left the window when they were first sent */
            window_sent(&p->window, t);
        if (expires_ms == 0 || expires_ms > now.wall_ms)
            continue;
        pace_remove(p, b, t);
        list_push_back(expired, &t->link);
    }
    return b;
}

bool pace_begin(struct pace *p, struct batch *b, uint64_t now_ns)
{
    if (b->count == 0) {
        batch_free(b);
        return false;
    }
    if (b->form == FORM_ALL)
        lanes_begin_all(&p->lanes, b->service, &b->absorbed);
    list_each(it, &b->absorbed)
        window_sent(&p->window, pending_of(it));
    pace_take_back(p, b->ledger, b->cost);
    lanes_account(&p->lanes, b->lane, b->cost, now_ns);
    b->brake_epoch = p->brake.epoch;
    b->sent_ns = now_ns;
    p->in_flight++;
    return true;
}

void pace_end(struct pace *p, const struct batch *b)
{
    p->in_flight--;
    if (b->form == FORM_ALL)
        lanes_end_all(&p->lanes, b->service);
}

void pace_refund(struct pace *p, const struct batch *b)
{
    pace_grant(p, b->ledger, b->cost);
}

bool pace_could_send(const struct pace *p, uint64_t now_ns)
{
    if (p->brake.state == BRAKE_HELD && now_ns < p->brake.until_ns)
        return false;
    for (int l = 0; l < LEDGER_N; l++)
        for (int lane = 0; lane < LANE_N; lane++)
            if (p->funded[l][lane] &&
                lanes_overdue(&p->lanes, (enum lane)lane, (enum ledger_kind)l, now_ns))
                return true;
    return false;
}
