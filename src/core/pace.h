/* SPDX-License-Identifier: MIT
 * Decides for one account which request is sent next, and when. It owns what waits (window and
 * lanes), the units that may be spent (grant) and the limit on requests in flight (brake). The
 * daemon and `plan` use the same pace; they differ in where units come from and where requests go.
 *
 *                       pace_ask ──▶ the owner reserves units ──▶ grant
 *                                                                   │
 *   window ──▶ lanes ──pace_pick──▶ batch ──pace_begin──▶ in flight ──pace_end──▶ judged by the
 * owner │            └── no target left: freed └── expired targets, which the owner ends */
#pragma once

#include "brake.h"
#include "clock.h"
#include "lanes.h"
#include "window.h"

struct pace {
    struct window window;
    struct lanes lanes;
    struct grant grant;
    struct brake brake;
    uint32_t max_in_flight;        /* the setting */
    uint32_t in_flight;            /* requests */
    bool funded[LEDGER_N][LANE_N]; /* at the last pace_ask: units were granted or requested */
};

/* Reserves units of the ledger for the lane until `want` units are granted or requested. If that
 * must wait, lowers *when_ns to the time at which to try again. */
typedef void pace_reserve_cb(void *ctx, enum ledger_kind ledger, enum lane lane, uint64_t want,
                             uint64_t now_ns, uint64_t *when_ns);

void pace_init(struct pace *p, const struct config_account *a, uint32_t window_limit);
void pace_deinit(struct pace *p); /* drops everything that waits; nothing may be in flight */
/* Takes over the settings that may change while targets wait: not the services and the cost. */
void pace_configure(struct pace *p, const struct config_account *a);
/* Drops everything that waits and takes over all settings; nothing may be in flight. The grant and
 * the brake stay as they are: only we know what Fastly said. */
void pace_restart(struct pace *p, const struct config_account *a);

/* Until when the brake forbids every request; 0: it does not. */
uint64_t pace_held_until_ns(struct pace *p, uint64_t now_ns);
/* Reserves units for everything that waits, urgent lane first. Lowers *next_ns to the time at which
 * more may be available. */
void pace_ask(struct pace *p, pace_reserve_cb *reserve, void *ctx, uint64_t now_ns,
              uint64_t *next_ns);

/* Units that the owner has reserved; or that it takes back, because nobody will spend them. */
void pace_grant(struct pace *p, enum ledger_kind ledger, uint64_t units);
void pace_take_back(struct pace *p, enum ledger_kind ledger, uint64_t units);
uint64_t pace_granted(const struct pace *p, enum ledger_kind ledger);

/* The next batch that may be sent now, or NULL; then *next_ns is lowered to the time at which one
 * becomes ready just by waiting. Targets that have expired are moved to `expired`; the owner may
 * remove more with pace_remove. The batch must then be passed to pace_begin. */
struct batch *pace_pick(struct pace *p, struct now now, struct list *expired, uint64_t *next_ns);
void pace_remove(struct pace *p, struct batch *b, struct pending *t);
/* Charges the batch to the grant and its lane and counts it as in flight; a purge-all takes the
 * waiting keys of its service. False if the batch had no targets left: it was freed. */
bool pace_begin(struct pace *p, struct batch *b, uint64_t now_ns);
void pace_end(struct pace *p, const struct batch *b);    /* it is no longer in flight */
void pace_refund(struct pace *p, const struct batch *b); /* it never left: its units are unspent */

/* Whether something is ready that could be sent at once: there are units for it and no brake. */
bool pace_could_send(const struct pace *p, uint64_t now_ns);
