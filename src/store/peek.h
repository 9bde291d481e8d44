/* SPDX-License-Identifier: MIT
 * Reads what an account has in Redis, without changing anything: the jobs in its lanes, and what
 * was spent of its budget. The lease and the ledgers stay as they are. */
#pragma once

#include "budget.h"
#include "client.h"
#include "config.h"

/* -- the jobs -- */

struct peek; /* how far each lane has been read */

/* The client is lent until peek_free. */
struct peek *peek_new(struct client *c, const char *account);
void peek_free(struct peek *p); /* NULL is fine */

bool peek_more(const struct peek *p, enum lane lane); /* the lane may have further entries */
uint32_t peek_page_entries(const struct peek *p, enum lane lane); /* size limit of the next page */

/* An entry: its id, and name, value, name, value ... All are lent. The callback must not send
 * commands to Redis. */
typedef void peek_entry_cb(void *ctx, enum lane lane, struct span id, const struct span *fields,
                           size_t fields_count);
/* Reads the next page of the lane. Returns 0 or negative errno, see client_error. */
must_use int peek_page(struct peek *p, enum lane lane, peek_entry_cb *cb, void *ctx);

/* -- the budget -- */

/* Ages are those at the time of the call, by Redis' clock. The callbacks must not send commands to
 * Redis. */
struct peek_budget_sink {
    void (*spent)(void *ctx, enum ledger_kind l, uint64_t cost, uint64_t age_ms);
    /* as last stored by the dispatcher */
    void (*level)(void *ctx, enum ledger_kind l, uint64_t level_micro, uint64_t age_ms);
    /* the burst that a 429 left, reported before the level; the age by the account's time */
    void (*learnt)(void *ctx, enum ledger_kind l, uint64_t burst, uint64_t age_ms);
};
/* Reports what was spent within the window of each ledger. The cost of requests on the wire counts
 * as spent now. Returns 0 or negative errno, see client_error. */
must_use int peek_budget(struct client *c, const struct config_account *a,
                         const struct peek_budget_sink *sink, void *ctx);
