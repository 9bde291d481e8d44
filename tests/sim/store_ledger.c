/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "store.h"

/* By the account's time, as the entry's field t has it. */
static void book(struct store_ledger *l, uint64_t cost, uint64_t at_ms)
{
    if (l->spent_count == l->spent_room) {
        l->spent_room = l->spent_room ? l->spent_room * 2 : 64;
        l->spent = alloc_grow(l->spent, l->spent_room, sizeof(*l->spent));
    }
    l->spent[l->spent_count++] = (struct booking){at_ms, cost};
}

/* Redis is spared the work until there is more of it; nobody reads what is too old. */
static void trim(struct store_ledger *l, uint64_t from_ms)
{
    size_t n = 0;

    while (n < l->spent_count && l->spent[n].ms < from_ms)
        n++;
    if (n < 256)
        return;
    l->spent_count -= n;
    memmove(l->spent, l->spent + n, l->spent_count * sizeof(*l->spent));
}

int store_spend(struct store *s, const char *owner, uint64_t seq, const struct queue_spend *spend,
                uint64_t booked, uint64_t now_ms)
{
    struct store_ledger *l = &s->ledgers[spend->ledger];
    uint64_t cost = spend->book, at_ms = spend->clock.account_ms;

    if (strcmp(store_holder(s, now_ms), owner) != 0 || (l->known && strcmp(l->owner, owner) != 0))
        return -EPERM;
    if (s->disk_full)
        return -ENOMEM;
    if (l->known && seq <= l->seq)
        return 0;
    if (l->known)
        cost = booked > l->booked ? booked - l->booked : 0;
    if (cost > 0) {
        book(l, cost, at_ms);
        trim(l, at_ms - min_u64(at_ms, spend->window_ms));
    }
    if (!l->known || booked > l->booked)
        l->booked = booked;
    snprintf(l->owner, sizeof(l->owner), "%s", owner);
    l->known = true;
    l->seq = seq;
    l->open = spend->open;
    l->level_micro = spend->level_micro;
    l->level_at_ms = now_ms;
    s->clock = spend->clock;
    s->clock_at_ms = now_ms;
    return 0;
}

static void look_back(const struct store_ledger *l, uint64_t window_ms, uint64_t account_ms,
                      struct store_window *out)
{
    size_t n = 0;

    out->spent = alloc_bytes((l->spent_count + 1) * sizeof(*out->spent));
    for (size_t i = 0; i < l->spent_count; i++) {
        int64_t age_ms = (int64_t)(account_ms - l->spent[i].ms);

        if (age_ms <= (int64_t)window_ms)
            out->spent[n++] = (struct queue_spent){age_ms, l->spent[i].cost};
    }
    out->budget.spent = out->spent;
    out->budget.spent_count = n;
}

static void count_on(struct store *s, const struct queue_clock *own, uint64_t now_ms)
{
    int64_t gap_ms = (int64_t)(now_ms - s->clock_at_ms),
            other = (int64_t)(own->wall_ms - s->clock.wall_ms);

    if (other < gap_ms)
        gap_ms = other;
    if (!s->clock.account_ms)
        s->clock.account_ms = now_ms;
    else if (gap_ms > 0)
        s->clock.account_ms += (uint64_t)gap_ms;
    if (own->account_ms)
        s->clock.account_ms = min_u64(s->clock.account_ms, own->account_ms);
    s->clock.wall_ms = own->wall_ms;
    s->clock_at_ms = now_ms;
}

int store_restore(struct store *s, const char *owner, uint64_t seq, const struct queue_restore *r,
                  uint64_t now_ms, struct store_window *out)
{
    struct store_ledger *l = &s->ledgers[r->ledger];

    *out = (struct store_window){0};
    if (strcmp(store_holder(s, now_ms), owner) != 0)
        return -EPERM;
    if (s->disk_full)
        return -ENOMEM;
    count_on(s, &r->clock, now_ms);
    if (l->open > 0)
        book(l, l->open, s->clock.account_ms + r->late_ms);
    out->budget.known = l->level_at_ms > 0;
    out->budget.level_micro = l->level_micro;
    out->budget.account_ms = s->clock.account_ms;
    if (l->known && l->level_at_ms)
        out->budget.level_age_ms = now_ms - min_u64(now_ms, l->level_at_ms);
    snprintf(l->owner, sizeof(l->owner), "%s", owner);
    l->known = true;
    l->seq = seq;
    l->open = l->booked = 0;
    look_back(l, r->window_ms, s->clock.account_ms, out);
    return 0;
}
