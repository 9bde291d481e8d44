/* SPDX-License-Identifier: MIT */
#include "budget.h"

#include <string.h>

#define MICRO UINT64_C(1000000)

const char *const ledger_names[LEDGER_N] = {
    [LEDGER_PURGE] = "purge", [LEDGER_URL] = "url", [LEDGER_WRITE] = "write"};

__extension__ typedef unsigned __int128 u128;

/* Rounded up, so that all bins together are never shorter than the window. */
static uint64_t bin_ns(const struct budget *b)
{
    return (b->limits.window_ns + BUDGET_BINS - 1) / BUDGET_BINS;
}

static uint64_t *bin_at(struct budget *b, uint64_t index)
{
    return &b->bins[index % array_len(b->bins)];
}

/* The bucket is filled only up to the last whole millionth; the remaining time is carried over, so
 * that rounding never loses tokens, even at very low rates. */
static void refill(struct budget *b, uint64_t now_ns)
{
    uint64_t capacity = b->limits.burst * MICRO;
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

/* A bin is free again one whole window after its end. */
static void forget_old(struct budget *b, uint64_t now_ns)
{
    uint64_t now_bin = now_ns / bin_ns(b);
    uint64_t keep_from = now_bin > BUDGET_BINS ? now_bin - BUDGET_BINS : 0;

    if (keep_from > b->tail + array_len(b->bins)) {
        memset(b->bins, 0, sizeof(b->bins));
        b->spent = 0;
        b->tail = keep_from;
        return;
    }
    for (; b->tail < keep_from; b->tail++) {
        b->spent -= *bin_at(b, b->tail);
        *bin_at(b, b->tail) = 0;
    }
}

static void advance(struct budget *b, uint64_t now_ns)
{
    refill(b, now_ns);
    forget_old(b, now_ns);
}

struct budget_limits budget_limits_of(const struct config_account *a, enum ledger_kind l)
{
    const struct config_budget *b = &a->budget;

    if (l == LEDGER_WRITE)
        return (struct budget_limits){.units = a->writes.requests,
                                      .window_ns = a->writes.per_s * NS_PER_S,
                                      .burst = max_u64(a->writes.requests / 20, 1)};
    return (struct budget_limits){.units = b->purges,
                                  .window_ns = b->per_s * NS_PER_S,
                                  .burst = config_burst(b),
                                  .headroom = b->headroom};
}

void budget_init(struct budget *b, const struct budget_limits *limits, uint64_t now_ns)
{
    must(limits->units > 0 && limits->window_ns > 0 && limits->headroom < limits->units);
    must(limits->burst > 0 && limits->burst <= limits->units);
    memset(b, 0, sizeof(*b));
    b->limits = *limits;
    b->level_micro = limits->burst * MICRO;
    b->refilled_ns = now_ns;
    forget_old(b, now_ns);
}

void budget_set_limits(struct budget *b, const struct budget_limits *limits, uint64_t now_ns)
{
    struct budget old;
    uint64_t width = bin_ns(b);

    forget_old(b, now_ns); /* each bin is then copied only once below */
    old = *b;
    budget_init(b, limits, now_ns);
    b->level_micro = min_u64(old.level_micro, b->level_micro);
    b->open = old.open;
    for (uint64_t i = old.tail; i <= now_ns / width + BUDGET_AHEAD + 1; i++)
        budget_restore_spent(b, *bin_at(&old, i), (int64_t)(now_ns - (i + 1) * width), now_ns);
}

void budget_restore_level(struct budget *b, uint64_t level_micro, uint64_t age_ns, uint64_t now_ns)
{
    b->level_micro = min_u64(level_micro, b->limits.burst * MICRO);
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
    cost = min_u64(cost, BIN_MAX - min_u64(*bin_at(b, at), BIN_MAX));
    *bin_at(b, at) += cost;
    b->spent += cost;
}

/* The bucket level down to which a lane may spend: urgent to zero, normal to a tenth, bulk to
 * half. */
static uint64_t bucket_floor(const struct budget *b, enum lane lane)
{
    static const uint64_t tenths[] = {[LANE_URGENT] = 0, [LANE_NORMAL] = 1, [LANE_BULK] = 5};

    /* If the bucket holds only one unit, every lane may spend it. */
    return min_u64(b->limits.burst * MICRO * tenths[lane] / 10, (b->limits.burst - 1) * MICRO);
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

uint64_t budget_available(struct budget *b, enum lane lane, uint64_t now_ns)
{
    uint64_t floor = bucket_floor(b, lane);
    uint64_t tokens;

    advance(b, now_ns);
    tokens = b->level_micro > floor ? (b->level_micro - floor) / MICRO : 0;
    return min_u64(tokens, ledger_room(b, lane));
}

uint64_t budget_largest(const struct budget *b, enum lane lane)
{
    uint64_t tokens = b->limits.burst - (bucket_floor(b, lane) + MICRO - 1) / MICRO;
    uint64_t taken = b->limits.headroom + ledger_floor(b, lane);
    uint64_t window = b->limits.units > taken ? b->limits.units - taken : 0;

    return max_u64(min_u64(tokens, window), 1);
}

static uint64_t bucket_when(const struct budget *b, enum lane lane, uint64_t cost, uint64_t now_ns)
{
    uint64_t want = bucket_floor(b, lane) + cost * MICRO;
    u128 wait;

    if (want <= b->level_micro)
        return now_ns;
    if (want > b->limits.burst * MICRO)
        return NEVER;
    wait =
        ((u128)(want - b->level_micro) * b->limits.window_ns + (u128)b->limits.units * MICRO - 1) /
        ((u128)b->limits.units * MICRO);
    return max_u64(add_time(b->refilled_ns, (uint64_t)wait), now_ns);
}

static uint64_t ledger_when(struct budget *b, enum lane lane, uint64_t cost, uint64_t now_ns)
{
    uint64_t room = ledger_room(b, lane);
    uint64_t used = b->spent + b->open + b->limits.headroom + ledger_floor(b, lane);
    uint64_t over = used + cost > b->limits.units ? used + cost - b->limits.units : 0;
    uint64_t width = bin_ns(b);

    if (room >= cost)
        return now_ns;
    for (uint64_t i = b->tail; i <= now_ns / width + BUDGET_AHEAD + 1; i++) {
        uint64_t freed = *bin_at(b, i);

        if (freed >= over)
            return (i + BUDGET_BINS + 1) * width;
        over -= freed;
    }
    return NEVER;
}

uint64_t budget_when(struct budget *b, enum lane lane, uint64_t cost, uint64_t now_ns)
{
    advance(b, now_ns);
    return max_u64(bucket_when(b, lane, cost, now_ns), ledger_when(b, lane, cost, now_ns));
}

void budget_reserve(struct budget *b, uint64_t cost, uint64_t now_ns)
{
    advance(b, now_ns);
    must(b->level_micro >= cost * MICRO);
    b->level_micro -= cost * MICRO;
    b->open += cost;
}

void budget_give_back(struct budget *b, uint64_t cost, uint64_t now_ns)
{
    must(b->open >= cost);
    refill(b, now_ns);
    b->open -= cost;
    b->level_micro = min_u64(b->level_micro + cost * MICRO, b->limits.burst * MICRO);
}

void budget_book(struct budget *b, uint64_t cost, uint64_t now_ns)
{
    must(b->open >= cost);
    advance(b, now_ns);
    b->open -= cost;
    b->spent += cost;
    *bin_at(b, now_ns / bin_ns(b)) += cost;
}

void budget_drain(struct budget *b, uint64_t now_ns)
{
    advance(b, now_ns);
    b->level_micro = min_u64(b->level_micro, bucket_floor(b, LANE_BULK));
}

uint64_t budget_left(struct budget *b, uint64_t now_ns)
{
    advance(b, now_ns);
    return ledger_room(b, LANE_URGENT);
}
