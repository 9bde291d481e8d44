/* SPDX-License-Identifier: MIT
 * The inside of one account's dispatch, shared by the files that are its hands: dispatch.c decides
 * when, lead.c holds the lease, flight.c sends, verdict.c judges, fate.c ends, progress.c watches,
 * fact.c, report.c and metrics.c tell. */
#pragma once

#include "batch.h"
#include "brake.h"
#include "dispatch.h"
#include "fastly.h"
#include "histogram.h"
#include "intake.h"
#include "job.h"
#include "lanes.h"
#include "loglimit.h"
#include "purse.h"
#include "rng.h"
#include "settle.h"
#include "trouble.h"
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

/* What became of requests, by the class of their HTTP status or by why they have none. */
enum answer {
    ANSWER_ODD, /* an invalid HTTP status */
    ANSWER_1XX,
    ANSWER_5XX = ANSWER_1XX + 4,
    ANSWER_UNSENT, /* from here on as exchange_error has it */
    ANSWER_TIMEOUT,
    ANSWER_BROKEN,
    ANSWER_BLOCKED,
    ANSWER_N
};

struct dispatch_counts {
    uint64_t requests[FORM_N], answers[ANSWER_N], verdicts[VERDICT_N];
    uint64_t targets_purged, batch_keys;
    uint64_t jobs[FATE_N]; /* that ended */
    uint64_t retries, throttled, bisected, missing;
    /* Durations. Where a job's age is in them, Redis' clock at its push (the milliseconds of its
     * id) is compared with this machine's now; an age below 0 is taken for 0. */
    struct histogram to_wire[LANE_N];   /* for each target: from the push of its oldest job in the
                                           lane until its first request was written */
    struct histogram to_purged[LANE_N]; /* for each job that ended purged */
    struct histogram reply[FORM_N];     /* for each request with an answer: from its first byte
                                           to the last of the answer */
};

/* Why a job with other targets still open will end dead. */
struct scar {
    enum lane lane;
    struct entry_id id;
    char *reason, *target;
};

/* How late ticks come, compared with when they were asked for: who blocks the loop is seen here. */
struct lateness {
    uint64_t due_ns; /* of the next tick */
    uint64_t since_ns;
    uint64_t worst_ns, before_ns; /* of this minute; of the one before */
};

#define SCARS_MAX 4096u
#define SCARS_MAX_BYTES ((uint64_t)1 << 20) /* their targets may have 8 KiB each */

struct service_state {
    uint32_t refusals; /* 404s in a row */
};

struct dispatch {
    struct dispatch_options options;
    const struct config *config; /* held: the account is a part of it */
    const struct config_account *account;
    const struct config *next_config; /* held, or NULL */
    const struct config_account
        *next_account; /* in force once nothing waits by the old one's order */
    struct endpoint *endpoint;
    enum dispatch_state state;
    bool stopping;

    struct queue *queue;
    bool queue_up;
    struct lanes lanes;
    struct window window;
    struct memory_user memory;
    struct intake *intake;
    struct settle *settle;
    struct purse *purse;
    struct brake brake;
    struct rng rng;

    struct heap parked;    /* batches until their retry is due */
    struct list flights;   /* on the wire */
    struct list landed;    /* flights to be used again */
    uint64_t flight_bytes; /* of both ... */
    uint64_t landed_bytes; /* ... and of the latter */
    uint32_t in_flight;
    struct service_state *services;
    struct scar *scars;
    uint32_t scars_count;
    uint64_t scars_bytes;
    struct dispatch_counts counts;
    struct loglimit log_limit; /* of lines about single jobs and targets */
    char last_error[128];      /* of Fastly, or on the way there; "" = none so far */
    uint64_t last_error_ns;    /* when */
    int refused_status;        /* of Fastly's answer, when it refused the token last */
    uint64_t wall_ms; /* Unix: when the tick began, or the answer came, that is being worked on */

    /* liveness */
    struct trouble *trouble;
    bool examining;
    uint64_t examine_next_ns;
    uint64_t beyond_seen; /* entries with ids beyond any clock, when the keys were examined last */
    uint64_t up_ns;       /* Redis is connected since */
    uint64_t progress_ns; /* when last a request began, was answered, or nothing could be sent */
    bool funded[LEDGER_N][LANE_N]; /* as of the last tick: money was there, or asked for */
    struct lateness lateness;

    /* the lease */
    bool lead_asked;
    uint64_t lead_asked_ns, lead_next_ns, lease_until_ns;
    uint64_t renewals;          /* how often the lease was asked for or renewed */
    uint64_t overlong_since_ns; /* the holder's lease ends later than it can; 0 = does not */
    char usurp[160];            /* a dead holder, for the next question; "" = none */
    uint64_t server_next_ns;    /* it is asked again: its settings change while it runs */
    bool server_asked;
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

/* watch.c: what Redis refuses, and whether the account's keys are sound. */
void watch_refused(void *ctx, const struct queue_refusal *r); /* callbacks of the queue */
void watch_accepted(void *ctx, uint64_t question);
uint64_t watch_tick(struct dispatch *d, struct now now);

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
void flight_forget_landed(struct dispatch *d);

/* verdict.c: what an answer means for the targets of its batch. Afterwards the batch is empty, or a
 * suspect of its lane. */
void verdict_apply(struct dispatch *d, struct batch *b, const struct exchange *x, struct now now);

/* fate.c: the end of a target, and with it of the jobs that waited for nothing else. It is SENDING
 * and on no list. */
void fate_end(struct dispatch *d, struct pending *t, enum fate fate, const char *reason);
/* Jobs whose entries their producers took away: what waits for them alone is not sent. */
void fate_cancel(struct dispatch *d, const struct queue_name *jobs, size_t count);
void fate_bury(struct dispatch *d, struct pending *t, const char *reason); /* dead, and said so */

/* progress.c: whether something happens. */
void progress_begin(struct dispatch *d, struct now now);                 /* of a tick */
void progress_end(struct dispatch *d, struct now now, uint64_t next_ns); /* the next one is due */
uint64_t progress_late_ns(const struct dispatch *d); /* the worst of the last one to two minutes */

/* report.c */
char *report_json(struct dispatch *d, struct now now); /* malloc'ed, for the status key */
