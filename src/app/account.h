/* SPDX-License-Identifier: MIT
 * The inside of one account's dispatch, shared by the files that are its hands: dispatch.c decides
 * when, flight.c sends and judges, lead.c holds the lease, report.c tells. */
#pragma once

#include "batch.h"
#include "brake.h"
#include "dispatch.h"
#include "intake.h"
#include "job.h"
#include "lanes.h"
#include "purse.h"
#include "rng.h"
#include "settle.h"
#include "window.h"

enum dispatch_state {
    DISPATCH_STANDBY,   /* somebody else leads, or Redis is away. next: RESTORING */
    DISPATCH_RESTORING, /* the lease is ours; the budget is being read. next: LEADING, DRAINING */
    DISPATCH_LEADING,   /* next: DRAINING */
    DISPATCH_DRAINING,  /* the lease is gone or we stop: nothing new goes out, answers are awaited.
                           next: STANDBY, RELEASING */
    DISPATCH_RELEASING, /* the lease is being given back, the queue closed. next: STOPPED */
    DISPATCH_STOPPED,
};

extern const char *const dispatch_state_names[];

struct dispatch_counts {
    uint64_t requests, answers;
    uint64_t targets_purged, batches, batch_keys;
    uint64_t jobs_purged, jobs_dead, jobs_expired;
    uint64_t retries, throttled, bisected, missing;
};

/* Why a job with other targets still open will end dead. */
struct scar {
    enum lane lane;
    struct entry_id id;
    char *reason, *target;
};

#define SCARS_MAX 4096u

struct service_state {
    uint32_t refusals; /* 404s in a row */
};

struct dispatch {
    struct dispatch_options options;
    const struct config_account *account;
    struct endpoint *endpoint;
    enum dispatch_state state;
    bool stopping;

    struct queue *queue;
    bool queue_up;
    struct lanes lanes;
    struct window window;
    struct intake *intake;
    struct settle *settle;
    struct purse *purse;
    struct brake brake;
    struct rng rng;

    struct heap parked;   /* batches until their retry is due */
    struct list flights;  /* on the wire */
    uint32_t in_flight;
    struct service_state *services;
    struct scar *scars;
    uint32_t scars_count;
    struct dispatch_counts counts;

    /* the lease */
    bool lead_asked;
    uint64_t lead_asked_ns, lead_next_ns, lease_until_ns;
    char usurp[160]; /* a dead holder, for the next question; "" = none */
    bool server_known;   /* was ever asked with success */
    bool server_checked; /* since the last connect */
    bool server_fit;
    bool paused;
    char paused_why[160];

    /* not_before and repeats */
    bool due_asked, due_soon; /* asked again at once: something was put there meanwhile */
    uint64_t due_next_ns;
};

/* dispatch.c */
void dispatch_wake(struct dispatch *d);
void dispatch_begin_drain(struct dispatch *d, const char *why);

/* lead.c */
void lead_init(struct dispatch *d);
uint64_t lead_tick(struct dispatch *d, struct now now); /* asks for, renews; when to come again */
bool lead_may_send(const struct dispatch *d, uint64_t now_ns);

/* flight.c */
uint64_t flight_tick(struct dispatch *d, struct now now); /* sends what may be sent */
void flight_forget_waiting(struct dispatch *d);           /* parked batches and suspects */

/* report.c */
char *report_json(struct dispatch *d, struct now now); /* malloc'ed, for the status key */
