/* SPDX-License-Identifier: MIT
 * A ceiling on bytes that many share, and nobody gets all of: a party may take twice what it leaves
 * to others, so one alone gets two thirds, n greedy ones leave 1/(2n+1) to the next. Single thread.
 *
 *     quota_bill_open(q, "cms", &bill);
 *     if (quota_take(&bill, n)) …          what is taken is counted on the bill
 *     quota_bill_close(&bill);             and given back with it, if not before */
#pragma once

#include "base.h"
#include "list.h"

struct quota_party;

struct quota {
    uint64_t max, used;
    uint64_t refused;         /* quota_take: no */
    struct list parties;      /* who holds something, or has an open bill */
    void (*freed)(void *ctx); /* something was given back; NULL: nobody asks */
    void *ctx;
};

struct quota_bill {
    struct quota_party *party; /* NULL: not open */
    uint64_t bytes;
};

void quota_init(struct quota *q, uint64_t max);
void quota_deinit(struct quota *q); /* all bills must be closed */

/* The most that one take can ever get. */
uint64_t quota_most(const struct quota *q);

/* Parties are told apart by name. */
void quota_bill_open(struct quota *q, const char *party, struct quota_bill *b);
void quota_bill_close(struct quota_bill *b); /* also when it is not open */

/* All or nothing. */
must_use bool quota_take(struct quota_bill *b, uint64_t n);
/* What cannot be refused any more: counts even beyond the ceiling, so others are refused. */
void quota_take_over(struct quota_bill *b, uint64_t n);
void quota_give(struct quota_bill *b, uint64_t n);
