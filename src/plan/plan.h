/* SPDX-License-Identifier: MIT
 * Predicts what becomes of a list of jobs: runs the dispatcher's own core in virtual time and sends
 * nothing.
 *
 *   jobs ─▶ decode ─▶ window ─▶ lanes ─▶ budget ─▶ "sent" ─▶ reply_ms later ─▶ purged
 *
 * Decoding, merging, lanes, batching and pacing are the daemon's own code. The plan assumes that
 * every request is answered with success after the same time, that nothing else spends from the
 * budget, and that one dispatcher works without a pause. */
#pragma once

#include "batch.h"
#include "job.h"

struct plan;

/* A request at the moment when it would be sent. */
struct plan_request {
    uint64_t at_ms;            /* since the beginning of the plan */
    const char *service;       /* Fastly service id, "" for none */
    const struct batch *batch; /* lent: list its targets with pending_of */
};
typedef void plan_request_cb(void *ctx, const struct plan_request *r);

struct plan_options {
    const struct config_account *account; /* lent until plan_free */
    uint32_t window;                      /* pending targets held at once */
    uint32_t reply_ms;
    uint64_t wall_ms;         /* Unix time of the beginning */
    plan_request_cb *request; /* or NULL */
    void *ctx;
};

struct plan_lane {
    uint64_t jobs;    /* added to the plan */
    uint64_t targets; /* named by these jobs */
    uint64_t merged;  /* of these targets, those that joined one already waiting */
    uint64_t requests;
    uint64_t cost;              /* in the budget for purges; a purge-all costs nothing there */
    uint64_t first_ms, done_ms; /* of the first request; when the last job ended */
};

struct plan_ledger {
    bool counted; /* the account has this ledger */
    uint64_t units, per_s, headroom;
    uint64_t spent;     /* before the plan, in the window that ends at its beginning */
    uint64_t left;      /* at the beginning of the plan */
    uint64_t cost;      /* of the plan */
    uint64_t left_then; /* left when everything is done */
};

struct plan_result {
    struct plan_lane lanes[LANE_N];
    struct plan_ledger ledgers[LEDGER_N];
    uint64_t refused;   /* jobs that go to the dead letters, or were never accepted */
    uint64_t expired;   /* jobs */
    uint64_t postponed; /* jobs with a not_before, which join the plan at that time */
    uint64_t repeats;   /* jobs that are sent again after their repeat_after */
    uint64_t absorbed;  /* targets covered by a purge-all, so not sent themselves */
    uint64_t beyond;    /* jobs not planned: their time is too far away, or there are too many */
    uint64_t never;     /* targets that would never be sent */
    uint64_t done_ms;   /* when the last job ended */
    bool windowed;      /* the window could not hold everything at once and was refilled */
    bool urgent_known;
    uint64_t urgent_ms; /* wait of one more urgent target, pushed right after these jobs */
    uint64_t urgent_worst_ms, urgent_worst_at_ms; /* longest such wait later, and when */
};

struct plan *plan_new(const struct plan_options *o);
void plan_free(struct plan *p);

/* Tell the plan what is known about the budget, before the first job. A ledger that the plan is
 * told nothing about starts full. */
void plan_level(struct plan *p, enum ledger_kind l, uint64_t level_micro, uint64_t age_ms);
void plan_spent(struct plan *p, enum ledger_kind l, uint64_t cost, uint64_t age_ms);
/* A 429 left this burst (core/budget); to be told before the level. */
void plan_learnt(struct plan *p, enum ledger_kind l, uint64_t burst, uint64_t age_ms);

/* Makes room for `count` more targets in the lane: while there is too little room, the plan
 * advances until there is enough or until everything added so far is done. A count above half of
 * the window waits for half of the window. */
void plan_make_room(struct plan *p, enum lane lane, uint32_t count);
uint32_t plan_room(const struct plan *p, enum lane lane);

/* Adds a job to the plan; if there is no room for it, the plan advances first. Returns 0, or
 * -EINVAL with a sentence if the job would be refused; it is then counted as refused. The fields
 * are lent. */
must_use int plan_take(struct plan *p, enum lane lane, const struct span *fields, size_t count,
                       struct error *err);

/* Advances until everything is done. */
void plan_finish(struct plan *p, struct plan_result *out);

/* The sum over all lanes. */
struct plan_lane plan_total(const struct plan_result *r);
