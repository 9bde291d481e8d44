/* SPDX-License-Identifier: MIT
 * Who is next: three lanes, in each a ring of services that share it by deficit round robin
 * (Shreedhar and Varghese, SIGCOMM 1995), in each service a queue per form of request.
 *
 *   urgent ─┬─ service a ── keys │ soft keys │ urls │ all
 *           └─ service b ── ...
 *   normal ─── ...        a lane with work that the lanes above left without its share goes first
 *   bulk   ─── ...
 */
#pragma once

#include "batch.h"
#include "config.h"

/* What a lane with work gets at the very least, in hundredths of what is spent. */
#define LANES_SHARE_PERCENT 5

struct flow {
    struct list ring; /* the lane's active ring, or alone when nothing waits */
    struct list queue[FORM_N];
    uint32_t count[FORM_N];
    uint32_t bytes[FORM_N]; /* header bytes the waiting keys would take */
    uint32_t total;
    uint32_t deficit;
    uint16_t service;
    uint8_t lane;
    uint8_t turn; /* the form that is asked first */
};

struct lanes_options {
    uint32_t services; /* configured ones; one more flow per lane serves URLs without a service */
    uint64_t linger_ns[LANE_N];
    uint32_t batch_keys;
    uint32_t batch_bytes;
    enum key_form key_form;
    enum batch_cost batch_cost;
    bool separate; /* URLs have a ledger of their own */
};

/* What may be spent now. */
struct grant {
    uint64_t units[LEDGER_N];
    bool more[LEDGER_N]; /* more is on its way: rather wait for it than send part of a batch */
};

struct lanes {
    struct lanes_options options;
    struct flow *flows; /* [LANE_N][services + 1] */
    struct list active[LANE_N];
    struct list suspects[LANE_N];    /* halves of refused batches, ready as they are */
    uint64_t waiting[LANE_N];        /* targets, without suspects */
    uint64_t cost[LANE_N][LEDGER_N]; /* that is waiting, suspects included */
    int64_t owed_centi[LANE_N];      /* hundredths of units of its least share not yet given */
    uint64_t *paused_until;          /* per service: monotonic ns, 0 = runs */
    uint64_t pauses_end;             /* when the last of these is over */
    bool *all_busy;                  /* per service: a purge-all is on the wire */
};

/* As the account is configured. */
struct lanes_options lanes_options_of(const struct config_account *a);
void lanes_init(struct lanes *l, const struct lanes_options *o);
void lanes_deinit(struct lanes *l); /* must be empty */

void lanes_add(struct lanes *l, struct pending *t);       /* behind its kind */
void lanes_put_back(struct lanes *l, struct pending *t);  /* before its kind */
void lanes_remove(struct lanes *l, struct pending *t);    /* from wherever it waits */
void lanes_add_suspect(struct lanes *l, struct batch *b); /* takes b */

/* Every waiting key of the service, off its queues and onto `to` (a purge-all's absorbed list). */
void lanes_take_keys(struct lanes *l, uint16_t service, struct list *to);

/* The next request of the lane that the grant pays for, as a new batch of targets in
 * state SENDING; or NULL, and then *ready_ns is when waiting will have made one ready (NEVER: not
 * by waiting). Paused services are passed over. */
struct batch *lanes_pick(struct lanes *l, enum lane lane, const struct grant *grant,
                         uint64_t now_ns, uint64_t *ready_ns);

/* The next request of all lanes, in the order that is due. What is granted for a lane that cannot
 * send yet (it lingers) stays its own: a lane below it does not get under its floor that way. */
struct batch *lanes_next(struct lanes *l, const struct grant *grant, uint64_t now_ns,
                         uint64_t *ready_ns);
/* What the lane waits to spend of the ledger; nothing for services that are paused. */
uint64_t lanes_want(const struct lanes *l, enum lane lane, enum ledger ledger, uint64_t now_ns);

/* Whether something of the lane waits for nothing but money and its turn. */
bool lanes_overdue(const struct lanes *l, enum lane lane, enum ledger ledger, uint64_t now_ns);

/* The order to ask lanes in now: first those owed their share, then by urgency. */
void lanes_order(const struct lanes *l, enum lane order[LANE_N]);

/* So much was handed out of that lane: accounts for the least shares. */
void lanes_account(struct lanes *l, enum lane lane, uint32_t cost);

/* Cost that a batch of n targets of this form has, and on which ledger. */
uint32_t lanes_cost(const struct lanes *l, enum form form, uint32_t targets);
enum ledger lanes_ledger(const struct lanes *l, enum form form);

void lanes_pause_service(struct lanes *l, uint16_t service, uint64_t until_ns); /* 0 = runs */
