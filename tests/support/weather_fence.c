/* SPDX-License-Identifier: MIT */
#include "weather_fence.h"

#include <stdlib.h>

#include "alloc.h"
#include "clock.h"

/* In this time after a change of leaders, requests of the previous one may still be in flight. */
#define REIGN_BEGINS_MS 1000u
#define WATCHED_MS 10000u

struct fence {
    unsigned long *conns;
    size_t count;
    uint64_t from_ms, until_ms;
};

void fences_init(struct fences *f)
{
    *f = (struct fences){.watched = -1};
}

void fences_deinit(struct fences *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->at[i].conns);
    free(f->at);
}

static bool has(const struct fence *f, unsigned long conn)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->conns[i] == conn)
            return true;
    return false;
}

void fences_sleep(struct fences *f, int who, struct requests *r, uint64_t leads_since_ms)
{
    struct fence new = {.until_ms = 0};

    if (f->watched >= 0)
        return;
    requests_read(r);
    for (size_t i = 0; i < r->count; i++)
        if (r->at[i].begin_ms > leads_since_ms + REIGN_BEGINS_MS && !has(&new, r->at[i].conn)) {
            new.conns = alloc_grow(new.conns, new.count + 1, sizeof(*new.conns));
            new.conns[new.count++] = r->at[i].conn;
        }
    f->at = alloc_grow(f->at, f->count + 1, sizeof(*f->at));
    f->at[f->count++] = new;
    f->watched = who;
}

void fences_wake(struct fences *f, int who)
{
    if (f->watched == who)
        f->at[f->count - 1].from_ms = clock_wall_ms();
}

void fences_forget(struct fences *f, int who)
{
    if (f->watched == who)
        f->watched = -1;
}

void fences_watch(struct fences *f, int leader, uint64_t seen_ms)
{
    struct fence *last = f->watched >= 0 ? &f->at[f->count - 1] : NULL;

    if (!last || !last->from_ms)
        return;
    if (leader == f->watched || seen_ms > last->from_ms + WATCHED_MS)
        f->watched = -1;
    else if (leader >= 0)
        last->until_ms = seen_ms;
}

unsigned fences_broken(const struct fences *f, const struct requests *r, unsigned *judged)
{
    unsigned broken = 0;

    *judged = 0;
    for (size_t k = 0; k < f->count; k++) {
        const struct fence *one = &f->at[k];

        if (one->count == 0 || one->until_ms <= one->from_ms)
            continue;
        ++*judged;
        for (size_t i = 0; i < r->count; i++)
            broken += has(one, r->at[i].conn) && r->at[i].begin_ms > one->from_ms &&
                      r->at[i].begin_ms < one->until_ms;
    }
    return broken;
}
