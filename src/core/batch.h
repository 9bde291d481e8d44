/* SPDX-License-Identifier: MIT
 * The targets of one request: pending targets of one service, form and lane. When Fastly refuses
 * the request, the batch is bisected until the bad target is alone. */
#pragma once

#include "budget.h"
#include "heap.h"
#include "pending.h"

/* The halves of a refused batch. They show which rule was broken: if both halves pass, the batch
 * had too many keys. Freed with the last half. */
struct bisect {
    uint32_t refused; /* keys in the batch that was refused */
    uint8_t open;     /* halves not judged yet */
    uint8_t passed;   /* halves purged */
};

struct batch {
    struct list link; /* the lane's list of suspects, while the batch waits to be sent unchanged */
    struct heap_node due; /* time until which the batch is parked, while it waits for a retry */
    struct list targets;
    struct list absorbed; /* for a purge-all: keys of the service that it makes unnecessary */
    uint32_t count;       /* of targets */
    uint32_t cost;
    enum form form;
    enum lane lane;
    enum ledger_kind ledger;
    uint16_t service;
    uint16_t reason; /* while it is parked, its number in struct reasons; 0: none */
    uint32_t brake_epoch;
    uint64_t sent_ns;
    int status;            /* of the last answer; 0: there was none */
    struct bisect *bisect; /* NULL if the batch is not a half */
};

struct batch *batch_new(enum form form, uint16_t service, enum lane lane);
void batch_free(struct batch *b); /* must hold no targets; drops its half; NULL is fine */
void batch_add(struct batch *b, struct pending *t); /* the target must be on no list */
struct pending *batch_pop(struct batch *b);         /* or NULL */

/* Moves the second half of b's targets to a new batch; both are halves of the same bisection
 * afterwards. count >= 2. */
struct batch *batch_split(struct batch *b);

/* Tells the bisection that this half was purged, and detaches the batch from it. Returns the size
 * of the refused batch if both halves were purged, or 0. */
uint32_t batch_passed(struct batch *b);
