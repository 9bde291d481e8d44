/* SPDX-License-Identifier: MIT
 * Chooses the next request. There are three lanes; each has a ring of services that share the lane
 * by deficit round robin (Shreedhar and Varghese, SIGCOMM 1995); each service has a queue per form
 * of request.
 *
 *   urgent ─┬─ service a ── keys │ soft keys │ urls │ all
 *           └─ service b ── ...
 *   normal ─── ...        a lane that got less than its minimum share goes first
 *   bulk   ─── ... */
#pragma once

#include "batch.h"
#include "config.h"

/* The minimum share of a lane that has work, in percent of what is spent. */
#define LANES_SHARE_PERCENT 5

struct flow {
    struct list ring; /* link in the lane's active ring; in no ring while nothing waits */
    struct list queue[FORM_N];
    uint32_t count[FORM_N];
    uint32_t bytes[FORM_N]; /* header bytes that the waiting keys need */
    uint32_t total;
    uint32_t deficit;
    uint16_t service;
    uint8_t lane;
    uint8_t turn; /* the form that is tried first */
};

struct lanes_options {
    uint32_t services; /* number of configured services; each lane has one more flow, for URLs
                          without a service */
    uint64_t linger_ns[LANE_N];
    uint32_t batch_keys;
    uint32_t batch_bytes;
    enum key_form key_form;
    enum batch_cost batch_cost;
    bool separate; /* URLs have their own ledger */
};

/* How much may be spent now. */
struct grant {
    uint64_t units[LEDGER_N];
    bool more[LEDGER_N]; /* more units will come: wait for them rather than send a partial batch */
};

struct lanes {
    struct lanes_options options;
    struct flow *flows; /* [LANE_N][services + 1] */
    struct list active[LANE_N];
    struct list suspects[LANE_N];    /* halves of refused batches, to be sent unchanged */
    uint64_t waiting[LANE_N];        /* targets, without suspects */
    uint64_t cost[LANE_N][LEDGER_N]; /* cost of everything waiting, suspects included */
    int64_t owed_centi[LANE_N];      /* owed of its minimum share, in hundredths of a unit */
    uint64_t served_ns[LANE_N];      /* when it last got something, or its work began to wait */
    uint64_t *paused_until;          /* per service: monotonic ns, 0 = not paused */
    uint64_t pauses_end;             /* when the last of these pauses ends */
    bool *all_busy;                  /* per service: a purge-all is in flight */
};

/* The options that follow from the account's settings. */
struct lanes_options lanes_options_of(const struct config_account *a);
void lanes_init(struct lanes *l, const struct lanes_options *o);
void lanes_deinit(struct lanes *l); /* must be empty */
/* Takes over the settings that may change while targets wait: how long batches linger. */
void lanes_configure(struct lanes *l, const struct config_account *a);

void lanes_add(struct lanes *l, struct pending *t);       /* to the end of its queue */
void lanes_put_back(struct lanes *l, struct pending *t);  /* to the front of its queue */
void lanes_remove(struct lanes *l, struct pending *t);    /* from its queue */
void lanes_add_suspect(struct lanes *l, struct batch *b); /* takes ownership of b */
struct batch *lanes_take_suspect(struct lanes *l); /* any of them, which is the caller's; or NULL */

/* A purge-all of the service is sent: moves every waiting key of the service from its queues to
 * `to`, and no second purge-all is picked until it ends. */
void lanes_begin_all(struct lanes *l, uint16_t service, struct list *to);
void lanes_end_all(struct lanes *l, uint16_t service);

/* The next request of the lane that the grant pays for, as a new batch of targets in state SENDING;
 * or NULL, and then *ready_ns is the time at which a request becomes ready just by waiting (NEVER:
 * none does). Paused services are skipped. */
struct batch *lanes_pick(struct lanes *l, enum lane lane, const struct grant *grant,
                         uint64_t now_ns, uint64_t *ready_ns);

/* The next request of all lanes, in the order of lanes_order. A grant for a lane that cannot send
 * yet because it lingers stays reserved for it, so a lower lane cannot use it to get below its own
 * floor. */
struct batch *lanes_next(struct lanes *l, const struct grant *grant, uint64_t now_ns,
                         uint64_t *ready_ns);
/* The cost that waits in the lane for this ledger, without paused services. */
uint64_t lanes_want(const struct lanes *l, enum lane lane, enum ledger_kind ledger,
                    uint64_t now_ns);

/* Whether something in the lane is ready to be sent and waits only for budget and its turn. */
bool lanes_overdue(const struct lanes *l, enum lane lane, enum ledger_kind ledger, uint64_t now_ns);

/* The order in which lanes are to be tried now: those that got nothing for long, those that are
 * owed their minimum share, then by urgency. */
void lanes_order(const struct lanes *l, uint64_t now_ns, enum lane order[LANE_N]);

/* Records that the lane has spent `cost`, to keep track of the minimum shares. */
void lanes_account(struct lanes *l, enum lane lane, uint32_t cost, uint64_t now_ns);

/* The cost of a batch of n targets of this form, and the ledger it is charged to. */
uint32_t lanes_cost(const struct lanes *l, enum form form, uint32_t targets);
enum ledger_kind lanes_ledger(const struct lanes *l, enum form form);

void lanes_pause_service(struct lanes *l, uint16_t service, uint64_t until_ns); /* 0 = runs */
/* Fastly takes at most this many keys in one request. Returns false if that was known already. */
bool lanes_limit_keys(struct lanes *l, uint32_t keys);

/* Why a waiting target is not sent even if there are units for it. *until_ns, the monotonic time
 * when that ends, is NEVER if it is not known. */
enum lanes_obstacle {
    LANES_NONE,
    LANES_SERVICE, /* the service is paused */
    LANES_ALL,     /* another purge-all of the service is in flight */
    LANES_LINGERS, /* the batch waits for more keys */
};
enum lanes_obstacle lanes_obstacle_of(const struct lanes *l, const struct pending *t,
                                      uint64_t now_ns, uint64_t *until_ns);
/* How many targets are ahead of a waiting one in its queue, counting at most `most`. *more: there
 * are others. */
uint32_t lanes_ahead(const struct lanes *l, const struct pending *t, uint32_t most, bool *more);

/* Targets that wait: in the lane, without suspects; of one service in the lane. */
uint64_t lanes_waiting(const struct lanes *l, enum lane lane);
uint32_t lanes_waiting_of(const struct lanes *l, enum lane lane, uint16_t service);
