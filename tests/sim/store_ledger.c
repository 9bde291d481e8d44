/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "store.h"

static void book(struct store_ledger *l, uint64_t cost, uint64_t now_ms)
{
    uint64_t ms = l->spent_count ? max_u64(now_ms, l->spent[l->spent_count - 1].ms) : now_ms;

    if (l->spent_count == l->spent_room) {
        l->spent_room = l->spent_room ? l->spent_room * 2 : 64;
        l->spent = alloc_grow(l->spent, l->spent_room, sizeof(*l->spent));
    }
    l->spent[l->spent_count++] = (struct booking){ms, cost};
}

/* Redis trims whole nodes and so keeps a little more; nobody reads what is too old. */
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
    bool ours = l->known && strcmp(l->owner, owner) == 0;
    uint64_t cost;

    if (strcmp(store_holder(s, now_ms), owner) != 0)
        return -EPERM;
    if (s->disk_full)
        return -ENOMEM;
    if (ours && seq <= l->seq)
        return 0;
    if (ours)
        cost = booked > l->booked ? booked - l->booked : 0;
    else
        cost = spend->book + l->open;
    if (cost > 0) {
        book(l, cost, now_ms);
        trim(l, now_ms - min_u64(now_ms, spend->window_ms));
    }
    if (!ours || booked > l->booked)
        l->booked = booked;
    snprintf(l->owner, sizeof(l->owner), "%s", owner);
    l->known = true;
    l->seq = seq;
    l->open = spend->open;
    l->level_micro = spend->level_micro;
    l->level_at_ms = now_ms;
    return 0;
}

static void look_back(const struct store_ledger *l, uint64_t window_ms, uint64_t now_ms,
                      struct store_window *out)
{
    uint64_t from = now_ms - min_u64(now_ms, window_ms);
    size_t n = 0;

    out->spent = alloc_bytes((l->spent_count + 1) * sizeof(*out->spent));
    for (size_t i = 0; i < l->spent_count; i++)
        if (l->spent[i].ms >= from)
            out->spent[n++] =
                (struct queue_spent){now_ms - min_u64(now_ms, l->spent[i].ms), l->spent[i].cost};
    out->budget.spent = out->spent;
    out->budget.spent_count = n;
}

int store_restore(struct store *s, const char *owner, uint64_t seq, enum ledger ledger,
                  uint64_t window_ms, uint64_t now_ms, struct store_window *out)
{
    struct store_ledger *l = &s->ledgers[ledger];

    *out = (struct store_window){0};
    if (strcmp(store_holder(s, now_ms), owner) != 0)
        return -EPERM;
    if (s->disk_full)
        return -ENOMEM;
    if (l->open > 0)
        book(l, l->open, now_ms);
    out->budget.known = l->level_at_ms > 0;
    out->budget.level_micro = l->level_micro;
    if (l->known && l->level_at_ms)
        out->budget.level_age_ms = now_ms - min_u64(now_ms, l->level_at_ms);
    snprintf(l->owner, sizeof(l->owner), "%s", owner);
    l->known = true;
    l->seq = seq;
    l->open = l->booked = 0;
    look_back(l, window_ms, now_ms, out);
    return 0;
}
