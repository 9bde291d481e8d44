/* SPDX-License-Identifier: MIT
 * Limits the memory of jobs, for all accounts together. One half is divided equally among the
 * accounts; the other half is shared by all. In both, the last twentieths are reserved for the
 * higher lanes, so that an urgent job finds room despite a backlog.
 *
 *   ├── half: an equal part for each account ──┤── half: common ──────────────┤
 *   │ a   bulk n u│ b   bulk n u│ c   bulk n u │ bulk of all    normal  urgent│ */
#pragma once

#include "config.h"

struct memory_user;

struct memory {
    uint64_t max_bytes;
    uint32_t users;
    uint64_t common; /* bytes used of the common half */
    uint64_t freed;  /* see memory_freed */
    struct memory_user *claimant[LANE_N];
    uint64_t claimed[LANE_N]; /* how many bytes the claimant waits for */
};

struct memory_user {
    struct memory *memory;
    uint64_t used;
};

/* `users` accounts will join; at least 1. */
void memory_init(struct memory *m, uint64_t max_bytes, uint32_t users);
void memory_join(struct memory *m, struct memory_user *u);
void memory_leave(struct memory_user *u);

uint64_t memory_max_bytes(const struct memory_user *u); /* of all accounts; 0: it has not joined */
/* What each account gets of one n-th of the limit. */
uint64_t memory_share_bytes(const struct memory_user *u, uint32_t n);
uint64_t memory_used(const struct memory_user *u);

/* Sets the number of bytes now in use. This only counts and never refuses. */
void memory_use(struct memory_user *u, uint64_t bytes);

uint64_t memory_room(const struct memory_user *u,
                     enum lane lane); /* bytes that it may still take */
/* Grows whenever an account may have got room because another one gave some back. */
uint64_t memory_freed(const struct memory *m);
/* True if no other user uses any of the common half. */
bool memory_is_ours(const struct memory_user *u);

/* Claims bytes that the next job of the lane needs but cannot get now. One account at a time may
 * claim: freed memory is then kept for it, before jobs of other accounts in the same lane and of
 * lower lanes. Otherwise many small jobs would use up the memory that a large job needs. */
void memory_claim(struct memory_user *u, enum lane lane, uint64_t bytes);
void memory_unclaim(struct memory_user *u, enum lane lane);
