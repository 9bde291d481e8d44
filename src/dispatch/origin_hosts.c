/* SPDX-License-Identifier: MIT */
#include "origin_hosts.h"

#include <stdlib.h>

#include "alloc.h"
#include "target.h"

#define KEPT 64u
#define ASKING_MAX 4u /* so that one host that hangs leaves room for others */
#define BUSY_NS (50 * NS_PER_MS)

/* A host that nobody asks about is kept for a while, so that questions that come and go do not
 * evade the limit of questions per second. */
static void sweep(struct origin_hosts *all, uint64_t now_ns)
{
    struct origin_host *h, *next;

    if (HASH_COUNT(all->table) < all->sweep_at)
        return;
    HASH_ITER(hh, all->table, h, next)
    {
        if (h->questions || h->asking || h->next_ns > now_ns)
            continue;
        HASH_DEL(all->table, h);
        free(h);
    }
    all->sweep_at = 2 * HASH_COUNT(all->table) + KEPT;
}

struct origin_host *origin_host_of(struct origin_hosts *all, struct span url, uint64_t now_ns)
{
    struct span name, rest;
    struct origin_host *h;

    url_split(url, &name, &rest);
    HASH_FIND(hh, all->table, name.p, name.n, h);
    if (h)
        return h;
    sweep(all, now_ns);
    h = alloc_zeroed(1, sizeof(*h) + name.n + 1);
    memcpy(h->name, name.p, name.n);
    HASH_ADD_KEYPTR(hh, all->table, h->name, name.n, h);
    return h;
}

void origin_hosts_clear(struct origin_hosts *all)
{
    struct origin_host *h, *next;

    HASH_ITER(hh, all->table, h, next)
    {
        HASH_DEL(all->table, h);
        free(h);
    }
}

uint64_t origin_host_when_ns(const struct origin_host *h, uint64_t now_ns)
{
    return h->asking >= ASKING_MAX ? max_u64(h->next_ns, now_ns + BUSY_NS) : h->next_ns;
}

void origin_host_asked(struct origin_host *h, uint32_t per_s, uint64_t now_ns)
{
    h->asking++;
    h->next_ns = now_ns + NS_PER_S / per_s;
}
