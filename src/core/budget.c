/* SPDX-License-Identifier: MIT */
#include "budget.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#define MICRO UINT64_C(1000000)

const char *const ledger_names[LEDGER_N] = {
    [LEDGER_PURGE] = "purge", [LEDGER_URL] = "url", [LEDGER_WRITE] = "write"};

__extension__ typedef unsigned __int128 u128;

/* Rounded up, so that all bins together are never shorter than the window. */
static uint64_t bin_ns(const struct budget *b)
{
    return (b->limits.window_ns + BUDGET_BINS - 1) / BUDGET_BINS;
}

static uint64_t bin_at(const struct budget *b, uint64_t index)
{
    return b->bins ? b->bins[index % BUDGET_RING] : 0;
}

static void bin_add(struct budget *b, uint64_t index, uint64_t cost)
{
    if (cost == 0)
        return;
    if (!b->bins)
        b->bins = alloc_zeroed(BUDGET_RING, sizeof(*b->bins));
    b->bins[index % BUDGET_RING] += cost;
    b->spent += cost;
    b->filled[index % BUDGET_RING / 64] |= UINT64_C(1) << index % 64;
}

static void bin_clear(struct budget *b, uint64_t index)
{
    b->stale |= bin_at(b, index) > 0;
    b->spent -= bin_at(b, index);
    b->bins[index % BUDGET_RING] = 0;
    b->filled[index % BUDGET_RING / 64] &= ~(UINT64_C(1) << index % 64);
}

/* The first bin from `from` on that holds something; `end` if there is none before it. */
static uint64_t next_filled(const struct budget *b, uint64_t from, uint64_t end)
{
    while (from < end) {
        uint64_t word = b->filled[from % BUDGET_RING / 64] >> from % 64;

        if (word)
            return min_u64(from + (uint64_t)__builtin_ctzll(word), end);
        from += 64 - from % 64;
    }
    return end;
}

/* When all that was booked in this bin is free again. */
static uint64_t freed_ns(const struct budget *b, uint64_t index)
{
    return (index + BUDGET_BINS + 1) * bin_ns(b);
}

static uint64_t since_ns(const struct budget_learnt *learnt, uint64_t now_ns)
{
    int64_t ns = (int64_t)(now_ns - learnt->at_ns);

    return ns > 0 ? (uint64_t)ns : 0;
}

bool budget_learnt_age(const struct budget *b, uint64_t now_ns, uint64_t *age_ns)
{
    *age_ns = since_ns(&b->learnt, now_ns);
    return b->learnt.burst > 0 && *age_ns < 2 * b->limits.window_ns;
}

uint64_t budget_burst(const struct budget *b, uint64_t now_ns)
{
    uint64_t all = b->limits.burst, part = min_u64(b->learnt.burst, all), age;
    uint64_t window = b->limits.window_ns;

    if (!budget_learnt_age(b, now_ns, &age))
        return all;
    if (age <= window)
        return part;
    return part + (uint64_t)((u128)(all - part) * (age - window) / window);
}

/* The bucket is filled only up to the last whole millionth; the remaining time is carried over, so
 * that rounding never loses tokens, even at very low rates. */
static void refill(struct budget *b, uint64_t now_ns)
{
    uint64_t capacity = budget_burst(b, now_ns) * MICRO;
    u128 gained;

    if (now_ns <= b->refilled_ns)
        return;
    gained = (u128)(now_ns - b->refilled_ns) * b->limits.units * MICRO / b->limits.window_ns;
    if (b->level_micro + gained >= capacity) {
        b->level_micro = capacity;
        b->refilled_ns = now_ns;
        return;
    }
    b->level_micro += (uint64_t)gained;
    b->refilled_ns += (uint64_t)(gained * b->limits.window_ns / ((u128)b->limits.units * MICRO));
}

static void empty_bins(struct budget *b)
{
    free(b->bins);
    b->bins = NULL;
    memset(b->filled, 0, sizeof(b->filled));
    b->spent = 0;
}

void budget_deinit(struct budget *b)
{
    empty_bins(b);
}

/* A bin is free again one whole window after its end. */
static void forget_old(struct budget *b, uint64_t now_ns)
{
    uint64_t now_bin = now_ns / bin_ns(b);
    uint64_t keep_from = now_bin > BUDGET_BINS ? now_bin - BUDGET_BINS : 0;

    if (keep_from <= b->tail)
        return;
    if (keep_from > b->tail + BUDGET_RING) {
        empty_bins(b);
        b->stale = true;
        b->tail = keep_from;
        return;
    }
    while ((b->tail = next_filled(b, b->tail, keep_from)) < keep_from)
        bin_clear(b, b->tail);
    if (b->bins && b->spent == 0)
        empty_bins(b);
}

/* During a backlog the window is always full. A small part of it is therefore closed to the lower
 * lanes, so that an urgent purge finds room. */
static uint64_t ledger_floor(const struct budget *b, enum lane lane)
{
    uint64_t floor = b->limits.units * (uint64_t)lane / 400; /* normal 0.25 %, bulk 0.5 % */

    return min_u64(floor, b->limits.units - b->limits.headroom - 1);
}

static uint64_t ledger_room(const struct budget *b, enum lane lane)
{
    uint64_t used = b->spent + b->open + b->limits.headroom + ledger_floor(b, lane);

    return used < b->limits.units ? b->limits.units - used : 0;
}

/* The bucket level down to which the bursts of a lane may spend: urgent to zero, normal and bulk to
 * a tenth and to half of a twentieth of the budget, or of the burst if it is smaller. */
static uint64_t bucket_floor(const struct budget *b, enum lane lane, uint64_t now_ns)
{
    static const uint64_t tenths[] = {[LANE_URGENT] = 0, [LANE_NORMAL] = 1, [LANE_BULK] = 5};
    uint64_t burst = budget_burst(b, now_ns);
    uint64_t part = min_u64(burst, max_u64(b->limits.units / 20, 1));

    /* If the bucket holds only one unit, every lane may spend it. */
    return min_u64(part * MICRO * tenths[lane] / 10, (burst - 1) * MICRO);
}

/* -- paces and bursts ------------------------------------------------------------------------ */

/* The lowest that a lane's pace and bursts may be, over the moments of the window to come that were
 * looked at so far. */
struct lowest {
    uint64_t used;             /* what the lane may not spend now: spent, open, left to others */
    uint64_t per_bin, per_end; /* what its bursts leave, in millionths: for each bin of time until
                                  such a moment, and for the rest of the time until then */
    uint64_t room, t_ns;       /* the pace is room / t_ns */
    int64_t dip_micro;
};

/* What the lane's bursts leave for each bin of time, in millionths. The floor is part of it. */
static uint64_t left_per_bin(const struct budget *b, enum lane lane)
{
    u128 micro =
        (u128)(b->limits.units - b->limits.headroom) * b->limits.leaves[lane] * MICRO / 100;
    u128 floor = (u128)ledger_floor(b, lane) * MICRO;

    return (uint64_t)((micro > floor ? micro - floor + BUDGET_BINS - 1 : 0) / BUDGET_BINS);
}

static void begin_lowest(const struct budget *b, enum lane lane, uint64_t first_ns,
                         struct lowest *l)
{
    uint64_t per_bin = left_per_bin(b, lane);

    *l = (struct lowest){.used = b->spent + b->open + b->limits.headroom + ledger_floor(b, lane),
                         .per_bin = per_bin,
                         .per_end = (uint64_t)((u128)per_bin * first_ns / bin_ns(b)),
                         .room = UINT64_MAX,
                         .t_ns = 1,
                         .dip_micro = INT64_MAX};
}

/* In t_ns from now, `gone` units have become free, and the bursts leave `micro`. */
static void lower(const struct budget *b, struct lowest *l, uint64_t t_ns, uint64_t gone,
                  uint64_t micro)
{
    uint64_t units = b->limits.units + gone, room = units > l->used ? units - l->used : 0;
    uint64_t most = INT64_MAX / MICRO; /* other programs can write any number to the ledger */
    int64_t dip = (int64_t)(min_u64(gone, most) * MICRO) - (int64_t)micro;

    if ((u128)room * l->t_ns < (u128)l->room * t_ns) {
        l->room = room;
        l->t_ns = t_ns;
    }
    if (dip < l->dip_micro)
        l->dip_micro = dip;
}

/* A lane whose floor was spent by a lane above, in the window or in the bucket, goes on at this
 * part of that lane's pace, while the rest refills the floor. */
#define PART_BELOW_FLOOR 4

static void set_pace(struct budget *b, enum lane lane, const struct lowest *l)
{
    struct budget_pace *p = &b->paces[lane];

    p->rate_micro = (uint64_t)((u128)l->room * MICRO * NS_PER_S / l->t_ns);
    p->rate_micro = max_u64(p->rate_micro, b->paces[LANE_URGENT].rate_micro / PART_BELOW_FLOOR);
    p->dip_micro = l->dip_micro;
}

/* Twice per bin, so that an urgent purge that waits for a new measurement waits for less than a
 * second of Fastly's hour. */
static uint64_t measured_until_ns(const struct budget *b)
{
    return b->measured_ns + bin_ns(b) / 2;
}

/* The lowest points are those just before a bin becomes free, and the end of the window. */
static void measure(struct budget *b, uint64_t now_ns)
{
    uint64_t end = now_ns / bin_ns(b), gone = 0;
    struct lowest lowest[LANE_N];

    for (int lane = 0; lane < LANE_N; lane++)
        begin_lowest(b, (enum lane)lane, freed_ns(b, b->tail) - now_ns, &lowest[lane]);
    for (uint64_t i = next_filled(b, b->tail, end); i < end; i = next_filled(b, i + 1, end)) {
        for (int lane = 0; lane < LANE_N; lane++)
            lower(b, &lowest[lane], freed_ns(b, i) - now_ns, gone,
                  lowest[lane].per_bin * (i - b->tail) + lowest[lane].per_end);
        gone += bin_at(b, i);
    }
    for (int lane = 0; lane < LANE_N; lane++) {
        lower(b, &lowest[lane], b->limits.window_ns, gone, lowest[lane].per_bin * BUDGET_BINS);
        set_pace(b, (enum lane)lane, &lowest[lane]);
    }
    b->measured_ns = now_ns;
    b->drawn_micro = 0;
    b->stale = false;
}

/* A crumb is what the pace gains in this time: a second of Fastly's hour. In a short window it is a
 * tenth of a second, but so little that leaving it unspent does not matter. */
static uint64_t crumb_ns(const struct budget *b)
{
    return max_u64(bin_ns(b), min_u64(NS_PER_S / 10, b->limits.window_ns / 500));
}

/* The most that a lane saves of its pace: two crumbs, at least one unit. More is never lost: what
 * nobody spends makes the pace faster. */
static uint64_t savings_micro(const struct budget *b, enum lane lane)
{
    u128 most = (u128)b->paces[lane].rate_micro * 2 * crumb_ns(b) / NS_PER_S;

    return max_u64((uint64_t)most, MICRO);
}

static uint64_t gaining_micro(const struct budget *b, enum lane lane, uint64_t now_ns)
{
    uint64_t rate = b->paces[lane].rate_micro;

    if (b->level_micro >= bucket_floor(b, lane, now_ns))
        return rate;
    return min_u64(rate, b->paces[LANE_URGENT].rate_micro / PART_BELOW_FLOOR);
}

static void save(struct budget *b, uint64_t now_ns)
{
    uint64_t ns = now_ns - min_u64(now_ns, b->paced_ns);

    for (int lane = 0; lane < LANE_N; lane++) {
        struct budget_pace *p = &b->paces[lane];
        u128 gained = (u128)gaining_micro(b, (enum lane)lane, now_ns) * ns + p->rest;
        u128 all = p->saved_micro + gained / NS_PER_S, most = savings_micro(b, (enum lane)lane);

        p->rest = (uint64_t)(gained % NS_PER_S);
        p->saved_micro = (uint64_t)(all < most ? all : most);
    }
    b->paced_ns = max_u64(b->paced_ns, now_ns);
}

static void advance(struct budget *b, uint64_t now_ns)
{
    /* All that is sent in a tick is sent at the same time. */
    if (now_ns == b->paced_ns && !b->stale)
        return;
    refill(b, now_ns);
    if (b->stale)
        measure(b, b->paced_ns);
    save(b, now_ns);
    forget_old(b, now_ns);
    if (b->stale || now_ns >= measured_until_ns(b))
        measure(b, now_ns);
}

/* What the lane may spend at once and still leave its share of the time to come; less than 0 when a
 * burst of this or of a lane above left less. */
static int64_t burst_micro(const struct budget *b, enum lane lane, uint64_t now_ns)
{
    uint64_t since_ns = now_ns - min_u64(now_ns, b->measured_ns);
    int64_t dip =
        b->paces[lane].dip_micro + (int64_t)((u128)left_per_bin(b, lane) * since_ns / bin_ns(b));

    return (int64_t)(ledger_room(b, lane) * MICRO) + (dip < 0 ? dip : 0);
}

struct budget_limits budget_limits_of(const struct config_account *a, enum ledger_kind l)
{
    const struct config_budget *b = &a->budget;
    struct budget_limits limits = {.units = b->purges,
                                   .window_ns = b->per_s * NS_PER_S,
                                   .burst = config_burst(b),
                                   .headroom = b->headroom};

    if (l == LEDGER_WRITE)
        limits = (struct budget_limits){.units = a->writes.requests,
                                        .window_ns = a->writes.per_s * NS_PER_S,
                                        .burst = max_u64(a->writes.requests / 20, 1)};
    for (int lane = 0; lane < LANE_N; lane++)
        limits.leaves[lane] = (uint8_t)config_lane(a, (enum lane)lane)->burst_leaves;
    return limits;
}

void budget_init(struct budget *b, const struct budget_limits *limits, uint64_t now_ns)
{
    must(limits->units > 0 && limits->window_ns > 0 && limits->headroom < limits->units);
    must(limits->burst > 0 && limits->burst <= limits->units);
    empty_bins(b);
    memset(b, 0, sizeof(*b));
    b->limits = *limits;
    b->level_micro = limits->burst * MICRO;
    b->refilled_ns = b->paced_ns = now_ns;
    forget_old(b, now_ns);
    measure(b, now_ns);
}

void budget_set_limits(struct budget *b, const struct budget_limits *limits, uint64_t now_ns)
{
    struct budget old;
    uint64_t width = bin_ns(b);

    forget_old(b, now_ns); /* each bin is then copied only once below */
    old = *b;
    b->bins = NULL;
    budget_init(b, limits, now_ns);
    b->level_micro = min_u64(old.level_micro, b->level_micro);
    b->learnt = old.learnt;
    b->open = old.open;
    for (uint64_t i = old.tail; i <= now_ns / width + BUDGET_AHEAD + 1; i++)
        budget_restore_spent(b, bin_at(&old, i), (int64_t)(now_ns - (i + 1) * width), now_ns);
    free(old.bins);
}

void budget_restore_level(struct budget *b, uint64_t level_micro, uint64_t age_ns, uint64_t now_ns)
{
    b->level_micro = min_u64(level_micro, budget_burst(b, now_ns) * MICRO);
    b->refilled_ns = now_ns - min_u64(now_ns, age_ns);
    refill(b, now_ns);
}

/* Keeps the sum over all bins far below UINT64_MAX. */
#define BIN_MAX (UINT64_MAX / 4 / (BUDGET_BINS + BUDGET_AHEAD + 2))

void budget_restore_spent(struct budget *b, uint64_t cost, int64_t age_ns, uint64_t now_ns)
{
    uint64_t width = bin_ns(b), at;

    if (age_ns < 0)
        at = (now_ns + min_u64(0 - (uint64_t)age_ns, BUDGET_AHEAD * width)) / width;
    else
        at = (now_ns - min_u64(now_ns, (uint64_t)age_ns)) / width;
    forget_old(b, now_ns);
    if (at < b->tail)
        return;
    bin_add(b, at, min_u64(cost, BIN_MAX - min_u64(bin_at(b, at), BIN_MAX)));
    b->stale = true;
}

/* A part of a unit that bursts may spend is rounded up, and of the pace down: the smallest budgets
 * must get along with whole units. */
static uint64_t by_burst(const struct budget *b, enum lane lane, uint64_t now_ns)
{
    uint64_t floor = bucket_floor(b, lane, now_ns);
    uint64_t tokens = b->level_micro > floor ? (b->level_micro - floor) / MICRO : 0;
    int64_t micro = burst_micro(b, lane, now_ns);

    return micro > 0 ? min_u64(((uint64_t)micro + MICRO - 1) / MICRO, tokens) : 0;
}

static uint64_t by_pace(const struct budget *b, enum lane lane)
{
    return min_u64(b->paces[lane].saved_micro, b->level_micro) / MICRO;
}

uint64_t budget_available(struct budget *b, enum lane lane, uint64_t now_ns)
{
    advance(b, now_ns);
    return min_u64(ledger_room(b, LANE_URGENT),
                   max_u64(by_burst(b, lane, now_ns), by_pace(b, lane)));
}

uint64_t budget_crumb(struct budget *b, enum lane lane, uint64_t now_ns)
{
    u128 gained;

    advance(b, now_ns);
    gained = (u128)gaining_micro(b, lane, now_ns) * crumb_ns(b) / NS_PER_S / MICRO;
    return max_u64(min_u64((uint64_t)gained, budget_burst(b, now_ns)), 1);
}

uint64_t budget_pace_micro(struct budget *b, enum lane lane, uint64_t now_ns)
{
    advance(b, now_ns);
    return b->paces[lane].rate_micro;
}

/* a / b from then, rounded up. */
static uint64_t later(uint64_t then_ns, u128 a, uint64_t b)
{
    u128 wait = (a + b - 1) / b;

    return wait < NEVER ? add_time(then_ns, (uint64_t)wait) : NEVER;
}

static uint64_t bucket_when(const struct budget *b, uint64_t want_micro)
{
    u128 missing = want_micro - min_u64(want_micro, b->level_micro);

    if (want_micro > b->limits.burst * MICRO)
        return NEVER;
    return later(b->refilled_ns, missing * b->limits.window_ns, b->limits.units * MICRO);
}

static uint64_t ledger_when(struct budget *b, uint64_t cost, uint64_t now_ns)
{
    uint64_t used = b->spent + b->open + b->limits.headroom;
    uint64_t over = used + cost > b->limits.units ? used + cost - b->limits.units : 0;
    uint64_t end = now_ns / bin_ns(b) + BUDGET_AHEAD + 2;

    if (over == 0)
        return now_ns;
    for (uint64_t i = next_filled(b, b->tail, end); i < end; i = next_filled(b, i + 1, end)) {
        uint64_t freed = bin_at(b, i);

        if (freed >= over)
            return freed_ns(b, i);
        over -= freed;
    }
    return NEVER;
}

/* When the lane may burst that far; NEVER if its floor or the window stands against it. */
static uint64_t burst_when(const struct budget *b, enum lane lane, uint64_t cost, uint64_t now_ns)
{
    int64_t want = (int64_t)((cost - 1) * MICRO + 1), has = burst_micro(b, lane, now_ns);
    uint64_t per_bin = left_per_bin(b, lane), grown = now_ns;

    if ((int64_t)(ledger_room(b, lane) * MICRO) < want || (has < want && per_bin == 0))
        return NEVER;
    if (has < want)
        grown = later(now_ns, (u128)(want - has) * bin_ns(b), per_bin);
    return max_u64(grown, bucket_when(b, bucket_floor(b, lane, now_ns) + cost * MICRO));
}

/* When the lane will have saved that much of its pace. */
static uint64_t savings_when(const struct budget *b, enum lane lane, uint64_t cost)
{
    const struct budget_pace *p = &b->paces[lane];
    uint64_t missing = cost * MICRO - min_u64(cost * MICRO, p->saved_micro), then = b->paced_ns;

    if (missing > 0 && p->rate_micro == 0)
        return NEVER;
    if (missing > 0)
        then = later(then, (u128)missing * NS_PER_S - p->rest, p->rate_micro);
    return max_u64(then, bucket_when(b, cost * MICRO));
}

uint64_t budget_when(struct budget *b, enum lane lane, uint64_t cost, uint64_t now_ns)
{
    uint64_t when, again, oldest;

    if (budget_available(b, lane, now_ns) >= cost)
        return now_ns;
    oldest = next_filled(b, b->tail, now_ns / bin_ns(b));
    again = min_u64(measured_until_ns(b), freed_ns(b, oldest));
    when = min_u64(burst_when(b, lane, cost, now_ns), savings_when(b, lane, cost));
    when = max_u64(min_u64(when, again), now_ns + 1);
    return max_u64(when, ledger_when(b, cost, now_ns));
}

static void pay_pace(struct budget *b, uint64_t micro)
{
    const struct budget_pace *urgent = &b->paces[LANE_URGENT];
    u128 half_bin = (u128)urgent->rate_micro * bin_ns(b) / NS_PER_S / 2;

    /* What is spent beyond the pace makes it slower. */
    b->drawn_micro += micro - min_u64(micro, urgent->saved_micro);
    b->stale |= b->drawn_micro > half_bin;
    for (int lane = 0; lane < LANE_N; lane++)
        b->paces[lane].saved_micro -= min_u64(b->paces[lane].saved_micro, micro);
}

void budget_reserve(struct budget *b, uint64_t cost, uint64_t now_ns)
{
    advance(b, now_ns);
    must(b->level_micro >= cost * MICRO);
    b->level_micro -= cost * MICRO;
    b->open += cost;
    pay_pace(b, cost * MICRO);
}

void budget_give_back(struct budget *b, uint64_t cost, uint64_t now_ns)
{
    must(b->open >= cost);
    refill(b, now_ns);
    b->open -= cost;
    b->level_micro = min_u64(b->level_micro + cost * MICRO, budget_burst(b, now_ns) * MICRO);
    b->stale = true;
}

void budget_book(struct budget *b, uint64_t cost, uint64_t now_ns)
{
    must(b->open >= cost);
    advance(b, now_ns);
    b->open -= cost;
    bin_add(b, now_ns / bin_ns(b), cost);
}

void budget_drain(struct budget *b, uint64_t now_ns)
{
    advance(b, now_ns);
    b->level_micro = min_u64(b->level_micro, bucket_floor(b, LANE_BULK, now_ns));
    for (int lane = 0; lane < LANE_N; lane++)
        b->paces[lane].saved_micro = 0;
}

bool budget_learn(struct budget *b, uint64_t now_ns)
{
    uint64_t least = (b->limits.units + BUDGET_BINS - 1) / BUDGET_BINS;

    advance(b, now_ns);
    if (ledger_room(b, LANE_BULK) == 0)
        return false;
    b->learnt.burst = max_u64(budget_burst(b, now_ns) / 2, min_u64(least, b->limits.burst));
    b->learnt.spent = b->spent + b->open;
    b->learnt.at_ns = now_ns;
    b->level_micro = min_u64(b->level_micro, b->learnt.burst * MICRO);
    return true;
}

void budget_restore_learnt(struct budget *b, struct budget_learnt learnt)
{
    if (learnt.burst == 0)
        return;
    if (b->learnt.burst == 0 || (int64_t)(learnt.at_ns - b->learnt.at_ns) > 0)
        b->learnt = learnt;
}

uint64_t budget_left(struct budget *b, uint64_t now_ns)
{
    advance(b, now_ns);
    return ledger_room(b, LANE_URGENT);
}
