/* SPDX-License-Identifier: MIT
 * What travels in one request: pending targets of one service, form and lane; and, when Fastly
 * refuses it whole, how it is halved until the bad one stands alone. */
#pragma once

#include "budget.h"
#include "heap.h"
#include "pending.h"

/* The halves of a refused batch, told apart to learn which rule was broken: when both halves pass,
 * it was their number. Freed with the last half. */
struct bisect {
    uint32_t refused; /* keys in the batch that was refused */
    uint8_t open;     /* halves not judged yet */
    uint8_t passed;   /* halves purged */
};

struct batch {
    struct list link;     /* suspects of a lane, when it waits to be sent as it is */
    struct heap_node due; /* parked until then, when it waits to be retried */
    struct list targets;
    struct list absorbed; /* a purge-all's: keys of the service that it makes needless */
    uint32_t count;       /* of targets */
    uint32_t cost;
    enum form form;
    enum lane lane;
    enum ledger ledger;
    uint16_t service;
    uint32_t brake_epoch;
    uint64_t sent_ns;
    struct bisect *bisect; /* NULL when it is no half */
};

struct batch *batch_new(enum form form, uint16_t service, enum lane lane);
void batch_free(struct batch *b); /* must hold no targets; drops its half; NULL is fine */
void batch_add(struct batch *b, struct pending *t); /* the target must be on no list */
struct pending *batch_pop(struct batch *b);         /* or NULL */

/* Moves the second half of b's targets to a new batch; both are halves of the same bisection
 * afterwards. count >= 2. */
struct batch *batch_split(struct batch *b);

/* Tells the bisection that this half is judged and lets go of it. Returns the number of keys that
 * was refused although both halves passed, or 0. */
uint32_t batch_judged(struct batch *b, bool passed);
