/* SPDX-License-Identifier: MIT */
#include "memory.h"

/* Counted in twentieths, like the window's targets: each lane leaves one twentieth of both halves
 * to each lane above it. */
#define PARTS 20

void memory_init(struct memory *m, uint64_t max_bytes, uint32_t users)
{
    must(users > 0);
    *m = (struct memory){.max_bytes = max_bytes, .users = users};
}

void memory_join(struct memory *m, struct memory_user *u)
{
    *u = (struct memory_user){.memory = m};
}

void memory_leave(struct memory_user *u)
{
    for (int lane = 0; lane < LANE_N; lane++)
        memory_unclaim(u, (enum lane)lane);
    memory_use(u, 0);
}

static uint64_t own_part(const struct memory *m)
{
    return m->max_bytes / 2 / m->users;
}

/* How much of the common half an account uses that holds `bytes` in all. */
static uint64_t beyond(const struct memory *m, uint64_t bytes)
{
    return minus_u64(bytes, own_part(m));
}

uint64_t memory_max_bytes(const struct memory_user *u)
{
    return u->memory ? u->memory->max_bytes : 0;
}

uint64_t memory_share_bytes(const struct memory_user *u, uint32_t n)
{
    return u->memory->max_bytes / n / u->memory->users;
}

uint64_t memory_used(const struct memory_user *u)
{
    return u->used;
}

void memory_use(struct memory_user *u, uint64_t bytes)
{
    struct memory *m = u->memory;

    m->freed += beyond(m, bytes) < beyond(m, u->used);
    m->common = m->common - beyond(m, u->used) + beyond(m, bytes);
    u->used = bytes;
}

/* The part of the common half that is kept for claims of other accounts, in this lane and higher
 * ones. */
static uint64_t kept_for_others(const struct memory_user *u, enum lane lane)
{
    const struct memory *m = u->memory;
    uint64_t kept = 0;

    for (int l = 0; l <= (int)lane; l++) {
        const struct memory_user *c = m->claimant[l];

        if (c && c != u)
            kept += beyond(m, c->used + m->claimed[l]) - beyond(m, c->used);
    }
    return kept;
}

uint64_t memory_room(const struct memory_user *u, enum lane lane)
{
    const struct memory *m = u->memory;
    uint64_t below = (uint64_t)lane, own = own_part(m), most = own / PARTS * (PARTS - below);
    uint64_t common = m->max_bytes / 2 / PARTS * (PARTS - 2 * below);
    uint64_t others = m->common - beyond(m, u->used) + kept_for_others(u, lane);

    for (int l = 0; l < (int)lane; l++)
        if (m->claimant[l] == u)
            return 0;
    if (common > others)
        most = max_u64(most, own + common - others);
    return minus_u64(most, u->used);
}

bool memory_is_ours(const struct memory_user *u)
{
    return u->memory->common == beyond(u->memory, u->used);
}

void memory_claim(struct memory_user *u, enum lane lane, uint64_t bytes)
{
    struct memory *m = u->memory;

    if (m->claimant[lane] && m->claimant[lane] != u)
        return;
    m->claimant[lane] = u;
    m->claimed[lane] = bytes;
}

void memory_unclaim(struct memory_user *u, enum lane lane)
{
    struct memory *m = u->memory;

    if (m->claimant[lane] != u)
        return;
    m->claimant[lane] = NULL;
    m->freed++;
}

uint64_t memory_freed(const struct memory *m)
{
    return m->freed;
}
