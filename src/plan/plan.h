/* SPDX-License-Identifier: MIT
 * What would become of a list of jobs: the dispatcher's own core in virtual time, with nothing
 * sent.
 *
 *   jobs ─▶ decode ─▶ window ─▶ lanes ─▶ budget ─▶ "sent" ─▶ reply_ms later ─▶ purged
 *
 * Decoding, merging, lanes, batching and pacing are the daemon's. Assumed is that every request is
 * answered with success after the same time, that nothing else spends of the budget, and that one
 * dispatcher works without a pause. */
#pragma once

#include "batch.h"
#include "job.h"

struct plan;

/* A request at the moment when it would be sent. */
struct plan_request {
    uint64_t at_ms;            /* from the beginning */
    const char *service;       /* Fastly service id, "" for none */
    const struct batch *batch; /* lent: list its targets with pending_of */
};
typedef void plan_request_cb(void *ctx, const struct plan_request *r);

struct plan_options {
    const struct config_account *account; /* lent until plan_free */
    uint32_t window;                      /* pending targets held at once */
    uint32_t reply_ms;
    uint64_t wall_ms;         /* the beginning */
    plan_request_cb *request; /* or NULL */
    void *ctx;
};

struct plan_lane {
    uint64_t jobs;    /* taken in */
    uint64_t targets; /* that these name */
    uint64_t merged;  /* of these, found one waiting already */
    uint64_t requests;
    uint64_t cost;              /* in the budget for purges; a purge-all costs nothing of it */
    uint64_t first_ms, done_ms; /* of requests, and of the last end of a job */
};

struct plan_ledger {
    bool counted; /* the account has such a ledger */
    uint64_t units, per_s, headroom;
    uint64_t spent;     /* before the beginning, in the window that ends there */
    uint64_t left;      /* at the beginning */
    uint64_t cost;      /* of the plan */
    uint64_t left_then; /* when everything is done */
};

struct plan_result {
    struct plan_lane lanes[LANE_N];
    struct plan_ledger ledgers[LEDGER_N];
    uint64_t refused;   /* jobs that go to the dead letters, or were never accepted */
    uint64_t expired;   /* jobs */
    uint64_t postponed; /* jobs with a not_before, in the plan at their time */
    uint64_t repeats;   /* jobs that come again after their repeat_after */
    uint64_t absorbed;  /* targets that a purge-all made needless */
    uint64_t beyond;    /* jobs not planned: their time is too far away, or there are too many */
    uint64_t never;     /* targets that would never be sent */
    uint64_t done_ms;   /* when the last job has ended */
    bool windowed;      /* there was more than the window holds: it was refilled on the way */
    bool urgent_known;
    uint64_t urgent_ms; /* what one more urgent target waits, pushed right after all this */
    uint64_t urgent_worst_ms, urgent_worst_at_ms; /* the same at any later moment of the plan */
};

struct plan *plan_new(const struct plan_options *o);
void plan_free(struct plan *p);

/* What is known of the budget, before the first job; a ledger never told of starts full. */
void plan_level(struct plan *p, enum ledger l, uint64_t level_micro, uint64_t age_ms);
void plan_spent(struct plan *p, enum ledger l, uint64_t cost, uint64_t age_ms);

/* Room for so many more targets in that lane. When there is too little, the plan goes on until
 * there is, or until everything taken in is done. A count above half of the window waits for half
 * of it. */
void plan_make_room(struct plan *p, enum lane lane, uint32_t count);
uint32_t plan_room(const struct plan *p, enum lane lane);

/* Takes a job in; with no room left, the plan goes on first. 0, or -EINVAL with a sentence: it
 * would be refused (and is counted as that). The fields are lent. */
must_use int plan_take(struct plan *p, enum lane lane, const struct span *fields, size_t count,
                       char *err, size_t err_room);

/* Goes on until everything is done. */
void plan_finish(struct plan *p, struct plan_result *out);

/* Of all lanes together. */
struct plan_lane plan_total(const struct plan_result *r);
