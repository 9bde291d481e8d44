/* SPDX-License-Identifier: MIT
 * How many units may be reserved although Redis may forget that.
 *
 * A failover of Redis may lose its last writes, and with them what the leader has reserved. So each
 * write to a ledger also says how many units may be reserved after it: its promise. Who leads after
 * a failover reads an older state of the ledger, and counts its promise as spent. So after each
 * write no more may be reserved than it promised, for as long as a failover can go back to it:
 * until the write after it is so old that no failover loses it.
 *
 *     first write          second write         third write          now
 *     promises 100 ──────▶ reserves 60 ───────▶ reserves 30
 *                          promises 80          promises 70
 *     a failover can go back to the first write: 90 of its 100 units are reserved, 10 are left
 *     or to the second: 30 of its 80
 *     or to the third: none of its 70
 *
 * So 10 units may be reserved now, and 50 once no failover can lose the second write. This is pure
 * arithmetic; dispatch/ledger writes to Redis. */
#pragma once

#include "config.h"

struct promise_step; /* a write that a failover can go back to */

/* All zero: nothing is promised yet, and nothing limits the first write. */
struct promise {
    uint64_t loss_ns;           /* a failover may lose the writes of so long */
    uint64_t reserved;          /* total since promise_restore */
    uint64_t made;              /* by the last write; 0: unknown */
    struct promise_step *steps; /* oldest first */
    uint32_t count, room;
};

void promise_init(struct promise *p, uint64_t loss_ns);
void promise_deinit(struct promise *p);
void promise_forget(struct promise *p); /* as after promise_init */

/* A ledger was read from Redis, and promises so much. */
void promise_restore(struct promise *p, uint64_t promised);
/* A write is sent that reserves `units`, at most promise_allows, and promises `promised`. The one
 * before it must have been answered. */
void promise_write(struct promise *p, uint64_t units, uint64_t promised);
/* The answer to that write came at now_ns. Unsure: Redis may have carried it out or not. Ignored if
 * promise_forget or promise_restore was called since the write. */
enum promise_answer { PROMISE_WRITTEN, PROMISE_UNSURE };
void promise_answered(struct promise *p, enum promise_answer how, uint64_t now_ns);

/* How many units the lane may reserve now. 0: *when_ns is lowered to the time when to look again.
 * Of each promise, an eighth is kept from the normal lane, and a quarter from bulk: so a burst,
 * which takes all that it may for a second, does not hold up urgent purges. */
uint64_t promise_allows(struct promise *p, enum lane lane, uint64_t now_ns, uint64_t *when_ns);

/* What to promise: a quarter of what is left in the window, but no more than can be reserved by
 * then: what is available at once, and what the budget gains in the time that a failover may lose;
 * and no less than twice that gain, so that a pace is never held up. */
uint64_t promise_size(uint64_t left, uint64_t available, uint64_t gained);
/* Whether the last promise differs so much from this one that it is worth a write of its own. */
bool promise_is_stale(const struct promise *p, uint64_t size);
