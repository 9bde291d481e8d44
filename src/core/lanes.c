/* SPDX-License-Identifier: MIT */
#include "lanes.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fastly.h"
#include "job.h"

/* The cost units each service gets per round of the ring: small enough that at Fastly's 28 per
 * second no service waits long behind another, large enough that full batches need few rounds. */
#define QUANTUM 32u

/* A lane that got nothing for this long goes before a lane that is owed its share, and the lower
 * lanes then get a unit, however little they are owed: the share of a lane may be less than a unit
 * per second. */
static const uint64_t patience_ns[LANE_N] = {NS_PER_S / 2, 5 * NS_PER_S, 30 * NS_PER_S};

/* What is owed to a lane is at most one full batch, so that a lane that got nothing for a while
 * does not send a burst afterwards. */
#define OWED_MAX FASTLY_BATCH_MAX_KEYS

static uint32_t slots(const struct lanes *l)
{
    return l->options.services + 1;
}

/* URLs without a service use the slot after those of the configured services. */
static uint32_t slot_of(const struct lanes *l, uint16_t service)
{
    must(service == SERVICE_NONE || service < l->options.services);
    return service == SERVICE_NONE ? l->options.services : service;
}

static struct flow *flow_of(struct lanes *l, enum lane lane, uint16_t service)
{
    return &l->flows[(uint32_t)lane * slots(l) + slot_of(l, service)];
}

static void flow_init(struct flow *f, enum lane lane, uint16_t service)
{
    *f = (struct flow){.service = service, .lane = (uint8_t)lane};
    list_init(&f->ring);
    for (int form = 0; form < FORM_N; form++)
        list_init(&f->queue[form]);
}

struct lanes_options lanes_options_of(const struct config_account *a)
{
    struct lanes_options o = {.services = a->services_count,
                              .batch_keys = FASTLY_BATCH_MAX_KEYS,
                              .batch_bytes = FASTLY_BATCH_MAX_BYTES,
                              .key_form = a->key_form,
                              .batch_cost = a->budget.batch_cost,
                              .separate = a->budget.separate};

    for (int lane = 0; lane < LANE_N; lane++)
        o.linger_ns[lane] = config_lane(a, (enum lane)lane)->linger_ms * NS_PER_MS;
    return o;
}

void lanes_configure(struct lanes *l, const struct config_account *a)
{
    struct lanes_options o = lanes_options_of(a);

    memcpy(l->options.linger_ns, o.linger_ns, sizeof(o.linger_ns));
}

void lanes_init(struct lanes *l, const struct lanes_options *o)
{
    *l = (struct lanes){.options = *o};
    l->flows = alloc_zeroed((size_t)LANE_N * slots(l), sizeof(*l->flows));
    l->paused_until = alloc_zeroed(slots(l), sizeof(*l->paused_until));
    l->all_busy = alloc_zeroed(slots(l), sizeof(*l->all_busy));
    for (int lane = 0; lane < LANE_N; lane++) {
        list_init(&l->active[lane]);
        list_init(&l->suspects[lane]);
        for (uint32_t s = 0; s < slots(l); s++)
            flow_init(&l->flows[(uint32_t)lane * slots(l) + s], (enum lane)lane,
                      s == o->services ? SERVICE_NONE : (uint16_t)s);
    }
}

void lanes_deinit(struct lanes *l)
{
    for (int lane = 0; lane < LANE_N; lane++)
        must(list_empty(&l->active[lane]) && list_empty(&l->suspects[lane]));
    free(l->flows);
    free(l->paused_until);
    free(l->all_busy);
}

enum ledger_kind lanes_ledger(const struct lanes *l, enum form form)
{
    if (form == FORM_ALL)
        return LEDGER_WRITE;
    return form == FORM_URL && l->options.separate ? LEDGER_URL : LEDGER_PURGE;
}

uint32_t lanes_cost(const struct lanes *l, enum form form, uint32_t targets)
{
    bool keys = form == FORM_KEYS || form == FORM_SOFT_KEYS;

    return keys && l->options.batch_cost == BATCH_COST_KEY ? targets : 1;
}

/* Adds or removes one waiting target in the counts and the expected cost. If a batch costs 1, the
 * expected cost is too high; units reserved in excess are used by the next request. */
static void count(struct lanes *l, struct flow *f, const struct pending *t, int sign)
{
    enum form form = pending_form(t);
    size_t bytes =
        t->kind == TARGET_KEY ? fastly_key_bytes(l->options.key_form, pending_bytes(t)) : 0;

    f->count[form] += (uint32_t)sign;
    f->total += (uint32_t)sign;
    f->bytes[form] += (uint32_t)sign * (uint32_t)bytes;
    l->waiting[f->lane] += (uint64_t)sign;
    l->cost[f->lane][lanes_ledger(l, form)] += (uint64_t)sign;
}

static bool has_work(const struct lanes *l, enum lane lane)
{
    return l->waiting[lane] > 0 || !list_empty(&l->suspects[lane]);
}

static struct flow *enter(struct lanes *l, struct pending *t)
{
    struct flow *f = flow_of(l, t->lane, t->service);

    must(list_empty(&t->link));
    t->state = PENDING_WAITING;
    if (!has_work(l, (enum lane)f->lane))
        l->served_ns[f->lane] = (uint64_t)t->since_ms * NS_PER_MS;
    if (f->total == 0)
        list_push_back(&l->active[f->lane], &f->ring);
    count(l, f, t, 1);
    return f;
}

void lanes_add(struct lanes *l, struct pending *t)
{
    struct flow *f = enter(l, t);

    list_push_back(&f->queue[pending_form(t)], &t->link);
}

void lanes_put_back(struct lanes *l, struct pending *t)
{
    struct flow *f = enter(l, t);

    list_push_front(&f->queue[pending_form(t)], &t->link);
}

void lanes_remove(struct lanes *l, struct pending *t)
{
    struct flow *f = flow_of(l, t->lane, t->service);

    must(t->state == PENDING_WAITING);
    list_remove(&t->link);
    count(l, f, t, -1);
    if (f->total == 0) {
        list_remove(&f->ring);
        f->deficit = 0;
    }
}

void lanes_add_suspect(struct lanes *l, struct batch *b)
{
    must(list_empty(&b->link));
    list_push_back(&l->suspects[b->lane], &b->link);
    l->cost[b->lane][b->ledger] += lanes_cost(l, b->form, b->count);
}

static void remove_suspect(struct lanes *l, struct batch *b)
{
    list_remove(&b->link);
    l->cost[b->lane][b->ledger] -= lanes_cost(l, b->form, b->count);
}

struct batch *lanes_take_suspect(struct lanes *l)
{
    for (int lane = 0; lane < LANE_N; lane++) {
        if (!list_empty(&l->suspects[lane])) {
            struct batch *b = list_first(&l->suspects[lane], struct batch, link);

            remove_suspect(l, b);
            return b;
        }
    }
    return NULL;
}

void lanes_begin_all(struct lanes *l, uint16_t service, struct list *to)
{
    l->all_busy[slot_of(l, service)] = true;
    for (int lane = 0; lane < LANE_N; lane++) {
        struct flow *f = flow_of(l, (enum lane)lane, service);

        for (int form = FORM_KEYS; form <= FORM_SOFT_KEYS; form++) {
            while (!list_empty(&f->queue[form])) {
                struct pending *t = list_first(&f->queue[form], struct pending, link);

                lanes_remove(l, t);
                t->state = PENDING_SENDING;
                list_push_back(to, &t->link);
            }
        }
    }
}

void lanes_end_all(struct lanes *l, uint16_t service)
{
    l->all_busy[slot_of(l, service)] = false;
}

/* How many targets of this queue can be sent now. 0 if it must wait; if it only lingers, *ready_ns
 * is set to when it ends, if that is earlier. */
static uint32_t ready_count(const struct lanes *l, const struct flow *f, enum form form,
                            uint64_t now_ns, uint64_t *ready_ns)
{
    const struct pending *head;
    uint64_t due;

    if (f->count[form] == 0)
        return 0;
    if (form == FORM_URL)
        return 1;
    if (form == FORM_ALL)
        return l->all_busy[slot_of(l, f->service)] ? 0 : 1;
    head = list_first(&f->queue[form], struct pending, link);
    /* The cast is needed: arithmetic on a 40-bit bit-field is done in 40 bits, and nanoseconds
     * would wrap around after days. */
    due = add_time((uint64_t)head->since_ms * NS_PER_MS, l->options.linger_ns[f->lane]);
    if (f->count[form] < l->options.batch_keys && f->bytes[form] < l->options.batch_bytes &&
        due > now_ns) {
        *ready_ns = min_u64(*ready_ns, due);
        return 0;
    }
    return f->count[form] < l->options.batch_keys ? f->count[form] : l->options.batch_keys;
}

/* Reduces a ready count to what the grant can pay for; 0 if nothing. */
static uint32_t payable(const struct lanes *l, enum form form, uint32_t n,
                        const struct grant *grant)
{
    enum ledger_kind ledger = lanes_ledger(l, form);
    uint64_t units = grant->units[ledger];

    if (lanes_cost(l, form, n) <= units)
        return n;
    return grant->more[ledger] ? 0 : (uint32_t)units;
}

static struct batch *fill(struct lanes *l, struct flow *f, enum form form, uint32_t n)
{
    struct batch *b = batch_new(form, f->service, (enum lane)f->lane);
    size_t bytes = 0;

    while (b->count < n) {
        struct pending *t = list_first(&f->queue[form], struct pending, link);

        if (t->kind == TARGET_KEY) {
            bytes += fastly_key_bytes(l->options.key_form, pending_bytes(t));
            if (b->count > 0 && bytes > l->options.batch_bytes)
                break;
        }
        lanes_remove(l, t);
        t->state = PENDING_SENDING;
        batch_add(b, t);
    }
    b->ledger = lanes_ledger(l, form);
    b->cost = lanes_cost(l, form, b->count);
    return b;
}

/* The flow's next request, if its deficit in the round robin covers the cost. */
static struct batch *pick_from(struct lanes *l, struct flow *f, const struct grant *grant,
                               uint64_t now_ns, uint64_t *ready_ns, bool *wants_turn)
{
    for (int i = 0; i < FORM_N; i++) {
        enum form form = (enum form)((f->turn + i) % FORM_N);
        uint32_t n = payable(l, form, ready_count(l, f, form, now_ns, ready_ns), grant);
        struct batch *b;

        if (n == 0)
            continue;
        if (f->deficit < lanes_cost(l, form, n)) {
            *wants_turn = true;
            return NULL;
        }
        f->turn = (uint8_t)((form + 1) % FORM_N);
        f->deficit -= lanes_cost(l, form, n);
        b = fill(l, f, form, n);
        return b;
    }
    return NULL;
}

static bool paused(const struct lanes *l, uint16_t service, uint64_t now_ns, uint64_t *ready_ns)
{
    uint64_t until = l->paused_until[slot_of(l, service)];

    if (until <= now_ns)
        return false;
    *ready_ns = min_u64(*ready_ns, until);
    return true;
}

static struct batch *pick_suspect(struct lanes *l, enum lane lane, const struct grant *grant,
                                  uint64_t now_ns, uint64_t *ready_ns)
{
    list_each(it, &l->suspects[lane]) {
        struct batch *b = list_entry(it, struct batch, link);
        uint32_t cost = lanes_cost(l, b->form, b->count);

        if (paused(l, b->service, now_ns, ready_ns) || cost > grant->units[b->ledger])
            continue;
        remove_suspect(l, b);
        b->cost = cost;
        return b;
    }
    return NULL;
}

struct batch *lanes_pick(struct lanes *l, enum lane lane, const struct grant *grant,
                         uint64_t now_ns, uint64_t *ready_ns)
{
    struct list *ring = &l->active[lane];
    struct batch *b = pick_suspect(l, lane, grant, now_ns, ready_ns);
    bool wants_turn = true;

    if (b)
        return b;
    /* If a flow could send but its deficit is too small, there is another round. Each round adds
     * QUANTUM and no request costs more than a full batch, so the loop ends. */
    while (wants_turn) {
        struct list *last = ring->prev;

        wants_turn = false;
        for (struct list *it = ring->next; it != ring;) {
            struct flow *f = list_entry(it, struct flow, ring);
            bool at_end = it == last, saves = false;

            if (!paused(l, f->service, now_ns, ready_ns) &&
                (b = pick_from(l, f, grant, now_ns, ready_ns, &saves)))
                return b;
            it = it->next;
            if (saves) {
                f->deficit += QUANTUM;
                wants_turn = true;
            }
            list_remove(&f->ring);
            list_push_back(ring, &f->ring);
            if (at_end)
                break;
        }
    }
    return NULL;
}

/* The loop only runs while a service is paused, which is rare. */
uint64_t lanes_want(const struct lanes *l, enum lane lane, enum ledger_kind ledger, uint64_t now_ns)
{
    uint64_t want = l->cost[lane][ledger];

    for (uint32_t s = 0; now_ns < l->pauses_end && s < slots(l); s++) {
        const struct flow *f = &l->flows[(uint32_t)lane * slots(l) + s];

        for (int form = 0; l->paused_until[s] > now_ns && form < FORM_N; form++)
            if (lanes_ledger(l, (enum form)form) == ledger)
                want -= f->count[form];
    }
    return want;
}

static bool flow_overdue(const struct lanes *l, const struct flow *f, enum ledger_kind ledger,
                         uint64_t now_ns)
{
    uint64_t never = NEVER;

    for (int form = 0; form < FORM_N; form++)
        if (lanes_ledger(l, (enum form)form) == ledger &&
            ready_count(l, f, (enum form)form, now_ns, &never))
            return true;
    return false;
}

bool lanes_overdue(const struct lanes *l, enum lane lane, enum ledger_kind ledger, uint64_t now_ns)
{
    uint64_t never = NEVER;

    list_each(it, &l->suspects[lane]) {
        const struct batch *b = list_entry(it, struct batch, link);

        if (b->ledger == ledger && !paused(l, b->service, now_ns, &never))
            return true;
    }
    list_each(it, &l->active[lane]) {
        const struct flow *f = list_entry(it, struct flow, ring);

        if (!paused(l, f->service, now_ns, &never) && flow_overdue(l, f, ledger, now_ns))
            return true;
    }
    return false;
}

static void keep_for(const struct lanes *l, enum lane lane, uint64_t now_ns, struct grant *rest)
{
    for (int ledger = 0; ledger < LEDGER_N; ledger++)
        rest->units[ledger] -=
            min_u64(rest->units[ledger], lanes_want(l, lane, (enum ledger_kind)ledger, now_ns));
}

static bool is_owed(const struct lanes *l, enum lane lane)
{
    uint64_t enough = min_u64(QUANTUM, l->waiting[lane]);

    return has_work(l, lane) && l->owed_centi[lane] > 0 &&
           (uint64_t)l->owed_centi[lane] >= enough * 100;
}

static bool is_impatient(const struct lanes *l, enum lane lane, uint64_t now_ns)
{
    return has_work(l, lane) && now_ns >= add_time(l->served_ns[lane], patience_ns[lane]);
}

/* Lower ranks go first, and in a rank the urgent lane. */
static int rank(const struct lanes *l, enum lane lane, uint64_t now_ns)
{
    if (is_impatient(l, lane, now_ns))
        return lane == LANE_URGENT ? 1 : 0;
    return is_owed(l, lane) ? 2 : 3;
}

void lanes_order(const struct lanes *l, uint64_t now_ns, enum lane order[LANE_N])
{
    int ranks[LANE_N];

    for (int lane = 0; lane < LANE_N; lane++) {
        int of = rank(l, (enum lane)lane, now_ns), at = lane;

        for (; at > 0 && ranks[at - 1] > of; at--) {
            ranks[at] = ranks[at - 1];
            order[at] = order[at - 1];
        }
        ranks[at] = of;
        order[at] = (enum lane)lane;
    }
}

/* Whether the lane goes before one with work above it only because it waited for long. */
static bool overtakes(const struct lanes *l, enum lane lane, uint64_t now_ns)
{
    bool others = false;

    for (int above = 0; above < (int)lane; above++)
        others |= has_work(l, (enum lane)above);
    return others && is_impatient(l, lane, now_ns);
}

static void limit_to_one(struct grant *rest)
{
    for (int ledger = 0; ledger < LEDGER_N; ledger++) {
        rest->units[ledger] = min_u64(rest->units[ledger], 1);
        rest->more[ledger] = false;
    }
}

struct batch *lanes_next(struct lanes *l, const struct grant *grant, uint64_t now_ns,
                         uint64_t *ready_ns)
{
    enum lane order[LANE_N];
    struct batch *b = NULL;

    lanes_order(l, now_ns, order);
    for (int i = 0; i < LANE_N && !b; i++) {
        struct grant rest = *grant;

        for (int before = 0; before < i; before++)
            if (order[before] < order[i])
                keep_for(l, order[before], now_ns, &rest);
        if (overtakes(l, order[i], now_ns))
            limit_to_one(&rest);
        b = lanes_pick(l, order[i], &rest, now_ns, ready_ns);
    }
    return b;
}

void lanes_account(struct lanes *l, enum lane lane, uint32_t cost, uint64_t now_ns)
{
    l->served_ns[lane] = now_ns;
    for (int other = 0; other < LANE_N; other++) {
        int64_t *owed = &l->owed_centi[other];

        if (other == (int)lane) {
            if (*owed > 0)
                *owed -= (int64_t)cost * 100;
        } else if (!has_work(l, (enum lane)other)) {
            *owed = 0;
        } else if (*owed < OWED_MAX * 100) {
            *owed += (int64_t)cost * LANES_SHARE_PERCENT;
        }
    }
}

void lanes_pause_service(struct lanes *l, uint16_t service, uint64_t until_ns)
{
    l->paused_until[slot_of(l, service)] = until_ns;
    l->pauses_end = max_u64(l->pauses_end, until_ns);
}

bool lanes_limit_keys(struct lanes *l, uint32_t keys)
{
    if (keys >= l->options.batch_keys)
        return false;
    l->options.batch_keys = keys;
    return true;
}

uint64_t lanes_waiting(const struct lanes *l, enum lane lane)
{
    return l->waiting[lane];
}

uint32_t lanes_waiting_of(const struct lanes *l, enum lane lane, uint16_t service)
{
    return l->flows[(uint32_t)lane * slots(l) + slot_of(l, service)].total;
}

/* -- why a target waits -- */

static const struct flow *flow_at(const struct lanes *l, const struct pending *t)
{
    return &l->flows[(uint32_t)t->lane * slots(l) + slot_of(l, t->service)];
}

enum lanes_obstacle lanes_obstacle_of(const struct lanes *l, const struct pending *t,
                                      uint64_t now_ns, uint64_t *until_ns)
{
    enum form form = pending_form(t);

    *until_ns = NEVER;
    if (paused(l, t->service, now_ns, until_ns))
        return LANES_SERVICE;
    if (form == FORM_ALL && l->all_busy[slot_of(l, t->service)])
        return LANES_ALL;
    return ready_count(l, flow_at(l, t), form, now_ns, until_ns) ? LANES_NONE : LANES_LINGERS;
}

uint32_t lanes_ahead(const struct lanes *l, const struct pending *t, uint32_t most, bool *more)
{
    const struct list *head = &flow_at(l, t)->queue[pending_form(t)], *at = t->link.prev;
    uint32_t n = 0;

    must(t->state == PENDING_WAITING);
    for (; at != head && n < most; at = at->prev)
        n++;
    *more = at != head;
    return n;
}
