/* SPDX-License-Identifier: MIT
 * The fake Redis as a server that the fake queues talk to: one store per account, reads that wait
 * for a first entry, and connections that take time and break. */
#pragma once

#include "list.h"
#include "store.h"

#define FAKE_ACCOUNTS_MAX 8

struct waiter;

struct fake_account {
    struct store *store;
    struct list waiters; /* blocked reads, the oldest first */
    bool serving;        /* an event will look after them */
};

void fake_redis_begin(void);
void fake_redis_end(void);
struct fake_account *fake_redis_account(const char *name); /* made when first asked for */
struct fake_account *fake_redis_account_at(uint32_t i);    /* NULL: there are fewer */

/* -- the network to it -- */
struct fake_redis_weather {
    bool away;
    uint64_t latency_min_ns, latency_max_ns; /* one way */
};
extern struct fake_redis_weather fake_redis_weather;
uint64_t fake_redis_delay(void); /* of one message */
void fake_redis_leave(void);     /* all connections break, none can be made */
void fake_redis_return(void);

/* -- reads that wait -- */

/* Entries for a waiting read (none: it waited long enough). */
typedef void waiter_cb(void *ctx, enum lane lane, struct stream_entry **entries, size_t count);
/* `seen`: the last entries that are known already. */
struct waiter *waiter_new(struct fake_account *a, const bool lanes[LANE_N],
                          const struct entry_id seen[LANE_N], uint32_t most, uint64_t until_ns,
                          waiter_cb *cb, void *ctx);
void waiter_drop(struct waiter *w); /* nobody listens any more */
