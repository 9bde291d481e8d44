/* SPDX-License-Identifier: MIT
 * A byte limit shared by many parties, none of which can use all of it: a party may use at most
 * twice as much as is left for others. One party alone gets at most two thirds; n greedy parties
 * leave 1/(2n+1) to the next. For a single thread.
 *
 *     quota_bill_open(q, "cms", &bill);
 *     if (quota_take(&bill, n)) …      the bytes are counted on the bill
 *     quota_bill_close(&bill);         closing the bill returns them */
#pragma once

#include "base.h"
#include "list.h"

struct quota_party;

struct quota {
    uint64_t max, used;
    uint64_t refused;         /* quota_take refuses */
    struct list parties;      /* parties that hold bytes or have an open bill */
    void (*freed)(void *ctx); /* called when bytes were returned; NULL: no callback */
    void *ctx;
};

struct quota_bill {
    struct quota_party *party; /* NULL: not open */
    uint64_t bytes;
};

void quota_init(struct quota *q, uint64_t max);
/* Calls `freed` whenever bytes are returned. */
void quota_notify(struct quota *q, void (*freed)(void *ctx), void *ctx);
void quota_deinit(struct quota *q); /* all bills must be closed */

/* The largest number of bytes that one quota_take can ever get. */
uint64_t quota_most(const struct quota *q);
/* The largest number of bytes that this bill could still get if there were no others. */
uint64_t quota_bill_room(const struct quota_bill *b);

/* The name identifies the party. */
void quota_bill_open(struct quota *q, const char *party, struct quota_bill *b);
void quota_bill_close(struct quota_bill *b); /* also when it is not open */

/* Takes all n bytes or none. */
must_use bool quota_take(struct quota_bill *b, uint64_t n);
/* For bytes that can no longer be refused: they count even beyond the limit, so that other takes
 * are refused. */
void quota_take_over(struct quota_bill *b, uint64_t n);
void quota_give(struct quota_bill *b, uint64_t n);
