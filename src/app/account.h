/* SPDX-License-Identifier: MIT
 * The inside of one account's dispatch, shared by the files that are its hands: dispatch.c decides
 * when, lead.c holds the lease, flight.c sends, verdict.c judges, fate.c ends, report.c tells. */
#pragma once

#include "batch.h"
#include "brake.h"
#include "dispatch.h"
#include "fastly.h"
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
    const struct config_account
        *next_account; /* in force once nothing waits by the old one's order */
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

    struct heap parked;  /* batches until their retry is due */
    struct list flights; /* on the wire */
    uint32_t in_flight;
    struct service_state *services;
    struct scar *scars;
    uint32_t scars_count;
    struct dispatch_counts counts;

    /* the lease */
    bool lead_asked;
    uint64_t lead_asked_ns, lead_next_ns, lease_until_ns;
    uint64_t overlong_since_ns; /* the holder's lease ends later than it can; 0 = does not */
    char usurp[160];            /* a dead holder, for the next question; "" = none */
    bool server_known;          /* was ever asked with success */
    bool server_checked;        /* since the last connect */
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
const char *dispatch_service_id(const struct dispatch *d, uint16_t service); /* "" for none */
/* What the batch asks of Fastly; `targets` has room for a full batch. */
void flight_ask(const struct dispatch *d, const struct batch *b, struct span *targets,
                struct fastly_ask *ask);
uint64_t flight_tick(struct dispatch *d, struct now now); /* sends what may be sent */
/* All targets of the batch wait again, before the others. */
void flight_put_batch_back(struct dispatch *d, struct batch *b);
/* The targets wait until due_ns; `like` says what they were part of. */
void flight_park(struct dispatch *d, struct list *targets, const struct batch *like,
                 uint64_t due_ns);
void flight_forget_waiting(struct dispatch *d); /* parked batches and suspects */

/* verdict.c: what an answer means for the targets of its batch. Afterwards the batch is empty, or a
 * suspect of its lane. */
void verdict_apply(struct dispatch *d, struct batch *b, const struct exchange *x, struct now now);

/* fate.c: the end of a target, and with it of the jobs that waited for nothing else. It is SENDING
 * and on no list. */
void fate_end(struct dispatch *d, struct pending *t, enum fate fate, const char *reason);
void fate_bury(struct dispatch *d, struct pending *t, const char *reason); /* dead, and said so */

/* report.c */
char *report_json(struct dispatch *d, struct now now); /* malloc'ed, for the status key */
