/* SPDX-License-Identifier: MIT
 * The internals of one account's dispatch, shared by the files that implement it: dispatch.c runs
 * the ticks, lease.c holds the lease, hand_over.c passes it on, send.c sends requests, verdict.c
 * judges replies, verification.c judges pages after their purges and looks.c fetches them,
 * canaries.c sees whether purges have an effect, event_watch.c sees the purge-alls of others,
 * job_end.c ends targets and jobs, stall.c detects stalls, and stats.c, stats_json.c and
 * stats_prometheus.c report. */
#pragma once

#include "batch.h"
#include "canaries.h"
#include "dispatch.h"
#include "event_watch.h"
#include "fastly.h"
#include "histogram.h"
#include "history_line.h"
#include "instances.h"
#include "intake.h"
#include "job.h"
#include "ledger.h"
#include "loglimit.h"
#include "pace.h"
#include "process.h"
#include "reasons.h"
#include "repeats.h"
#include "rng.h"
#include "settle.h"
#include "trouble.h"
#include "verification.h"

enum dispatch_state {
    DISPATCH_STANDBY,   /* another instance leads, or Redis is away. next: RESTORING */
    DISPATCH_RESTORING, /* the lease is ours; the budget is being read. next: LEADING, DRAINING */
    DISPATCH_LEADING,   /* next: DRAINING */
    DISPATCH_DRAINING,  /* the lease is lost or we stop: no new requests are sent, replies are
                           awaited. next: STANDBY, RELEASING */
    DISPATCH_RELEASING, /* the lease is being given back, the queue closed. next: STOPPED */
    DISPATCH_STOPPED,
};

extern const char *const dispatch_state_names[];

/* Outcomes of requests: the class of the HTTP status, or why there was no reply. */
enum answer {
    ANSWER_ODD, /* an invalid HTTP status */
    ANSWER_1XX,
    ANSWER_5XX = ANSWER_1XX + 4,
    ANSWER_UNSENT, /* this and the following ones correspond to exchange_error */
    ANSWER_TIMEOUT,
    ANSWER_BROKEN,
    ANSWER_BLOCKED,
    ANSWER_N
};

struct dispatch_counts {
    uint64_t requests[FORM_N], answers[ANSWER_N], verdicts[VERDICT_N];
    uint64_t targets_purged, batch_keys;
    uint64_t jobs[OUTCOME_N]; /* that ended */
    uint64_t retries, throttled, learnt, bisected, missing;
    uint64_t hand_overs[2]; /* by enum hand_over_why */
    /* Durations. A job's age is the difference between this machine's clock now and the clock of
     * Redis at the push (the milliseconds of the job's id); an age below 0 counts as 0. */
    struct histogram to_wire[LANE_N];   /* for each target: from the push of its oldest job in the
                                           lane until its first request was written */
    struct histogram to_purged[LANE_N]; /* for each job that ended purged, but for `verified` */
    uint64_t verified; /* jobs that ended purged long after their purges: when pages were seen */
    struct histogram stale[1];      /* for each page seen stale: stale_ms of struct job_proof */
    struct histogram reply[FORM_N]; /* for each request with an answer: from its first byte
                                       to the last of the answer */
};

/* The first failure of a job with other targets still open: why it will end dead. */
struct job_failure {
    enum lane lane;
    struct entry_id id;
    char *reason, *target;
    struct buf services; /* of a job for several: the ids of those that failed so far */
};

/* The delay of ticks behind their due time, which shows when the loop was blocked. */
struct lateness {
    uint64_t due_ns; /* of the next tick */
    uint64_t since_ns;
    uint64_t worst_ns, before_ns; /* of this minute; of the one before */
};

#define JOB_FAILURES_MAX 4096u
#define JOB_FAILURES_MAX_BYTES ((uint64_t)1 << 20) /* a target may have 8 KiB */

/* A hand-over of the account by this instance, which leads it. */
struct hand_over {
    char to[PROCESS_IDENTITY_MAX]; /* "": none is under way */
    enum hand_over_why why;
    bool ready; /* the successor waits for the lease */
    uint64_t since_ns;
    uint64_t again_ns; /* when the account may be moved for balance again */
    bool given_up;     /* we stop without a successor */
};

struct service_state {
    uint32_t refusals; /* 404s in a row */
};

struct dispatch {
    struct dispatch_options options;
    const struct config *config; /* held: the account is a part of it */
    const struct config_account *account;
    const struct config *next_config; /* held, or NULL */
    const struct config_account
        *next_account; /* in effect once no target waits in the order of the old one */
    struct endpoint *endpoint;
    enum dispatch_state state;
    bool stopping;

    struct queue *queue;
    bool queue_up;
    struct pace pace;
    struct memory_user memory;
    struct intake *intake;
    struct origin *origin;
    struct settle *settle;
    struct verification *verification;
    struct repeats *repeats;
    struct ledgers *ledgers;
    struct canaries *canaries;
    struct event_watch *event_watch;
    struct rng rng;

    struct heap parked;      /* batches until their retry is due */
    struct reasons reasons;  /* ... and why they were in vain */
    struct list requests;    /* in flight */
    struct list spare;       /* finished requests, kept to be used again */
    uint64_t requests_bytes; /* of both ... */
    uint64_t spare_bytes;    /* ... and of the latter */
    struct service_state *services;
    struct job_failure *job_failures;
    uint32_t job_failures_count;
    uint64_t job_failures_bytes;
    struct buf purge_text; /* of the job that is ending, for the history */
    struct dispatch_counts counts;
    struct loglimit log_limit; /* of lines about single jobs and targets */
    char last_error[128];      /* of Fastly, or on the way there; "" = none so far */
    uint64_t last_error_ns;    /* when */
    struct json_t *reloaded; /* the last reload that changed something, as the history's line, with
                                `at`; NULL: there was none while we led */
    char held_reason[128];   /* the error that the brake is held for, while it is */
    int refused_status;      /* of Fastly's answer, when it refused the token last */
    uint64_t wall_ms;        /* Unix time of the tick or reply being processed */

    /* liveness */
    struct trouble *trouble;
    bool examining;
    uint64_t examine_next_ns;
    uint64_t beyond_seen; /* number of entries with ids beyond any clock, when the keys were last
                             examined */
    uint64_t up_ns;       /* since when Redis is connected */
    uint64_t progress_ns; /* when a request was last begun or answered, or when last nothing could
                             be sent */
    struct lateness lateness;

    /* the lease */
    bool lease_asked;
    uint64_t lease_asked_ns, lease_next_ns, lease_until_ns;
    bool lease_unsure; /* we are connected anew, perhaps to another master, and it has not confirmed
                          the lease yet */
    bool withheld;     /* queue_lease */
    bool frail;        /* Redis may lose its last writes */
    bool had_replicas;
    uint64_t renewals;          /* how often the lease was asked for or renewed */
    uint64_t overlong_since_ns; /* since when the holder's lease has been longer than possible; 0 =
                                   it is not */
    char usurp[160]; /* a dead holder to be replaced by the next request for the lease; "" = none */
    uint64_t
        server_next_ns; /* when to check the server again: its settings may change while it runs */
    bool server_asked;
    bool server_known;   /* was ever asked with success */
    bool server_checked; /* since the last connect */
    bool server_fit;
    bool paused;
    char paused_why[160];
    char holder[160]; /* who leads while we do not; "": nobody, or it is not known */

    /* other instances */
    struct hand_over hand_over;
    uint64_t stop_ns;      /* when we were told to stop; 0: we were not */
    uint64_t next_since;   /* since when the leader has wanted to hand the account to us; 0: it does
                              not */
    uint64_t absent_since; /* since when we have seen no leader, or a dead one; 0: there is one */
    uint64_t status_ns;    /* when the status was published last */

    /* not_before and repeats */
    bool due_asked,
        due_soon; /* due_soon: ask again at once, because more jobs were postponed meanwhile */
    uint64_t due_next_ns;
};

/* dispatch.c */
void dispatch_wake(struct dispatch *d);
void dispatch_begin_drain(struct dispatch *d, const char *why);

/* lease.c */
void lease_init(struct dispatch *d);
uint64_t lease_tick(struct dispatch *d,
                    struct now now); /* takes or renews the lease; returns when to call it again */
bool lease_may_send(const struct dispatch *d, uint64_t now_ns);

#define LEASE_ASK_EVERY_NS NS_PER_S

/* hand_over.c */
uint64_t hand_over_tick(struct dispatch *d, uint64_t now_ns); /* returns when to call it again */
struct queue_announcement hand_over_announce(const struct dispatch *d, uint64_t now_ns);
/* Takes the answer to a request for the lease ... */
void hand_over_heard(struct dispatch *d, const struct queue_lease *lead, uint64_t now_ns);
/* ... and, if we do not lead, decides when to ask again. */
void hand_over_stand_by(struct dispatch *d, const struct queue_lease *lead, uint64_t now_ns);
void hand_over_end(struct dispatch *d); /* done, or given up */

/* watch.c: what Redis refuses, and whether the account's keys are sound. */
void watch_refused(void *ctx, const struct queue_refusal *r); /* callbacks of the queue */
void watch_accepted(void *ctx, uint64_t question);
uint64_t watch_tick(struct dispatch *d, struct now now);

/* send.c */
/* Makes the exchange the request for it. */
void send_fill_in(const struct dispatch *d, const struct fastly_ask *ask, struct exchange *x);
const char *dispatch_service_id(const struct dispatch *d, uint16_t service); /* "" for none */
/* The request to Fastly for the batch; `targets` has room for a full batch. */
void send_ask_of(const struct dispatch *d, const struct batch *b, struct span *targets,
                 struct fastly_ask *ask);
uint64_t send_tick(struct dispatch *d, struct now now); /* sends all requests that may be sent */
/* Makes all targets of the batch wait again, ahead of the others. */
void send_put_batch_back(struct dispatch *d, struct batch *b);
/* Parks the targets until due_ns; `like` is the batch that they were part of, and `reason` says why
 * it was in vain. */
void send_park(struct dispatch *d, struct list *targets, const struct batch *like,
               const char *reason, uint64_t due_ns);
/* Whether a request with an identical target is on the wire. */
bool send_is_under_way(const struct dispatch *d, const struct pending *t);
typedef void send_batch_cb(void *ctx, const struct batch *b);
void send_each_batch(const struct dispatch *d, send_batch_cb *cb, void *ctx); /* on the wire */
void send_forget_waiting(struct dispatch *d); /* parked batches and suspects */
void send_forget_spare(struct dispatch *d);

/* verdict.c: handles a reply for the targets of its batch. Afterwards the batch is empty, or a
 * suspect of its lane. */
void verdict_apply(struct dispatch *d, struct batch *b, const struct exchange *x, struct now now);
/* Judges the reply, or why there is none; otherwise as fastly_judge. */
void verdict_judge(const struct fastly_ask *ask, const struct exchange *x, uint64_t wall_ms,
                   struct fastly_judgement *j, bool *missing, size_t *missing_count,
                   struct fastly_ids *ids);
/* A purge that is of no job: what its reply says of the account (a 429, a refused token, an outage)
 * holds the account like the reply to any other purge. */
struct verdict_single {
    const struct exchange *exchange;
    enum ledger_kind ledger;
    uint32_t brake_epoch; /* when it was sent */
};
void verdict_single(struct dispatch *d, const struct verdict_single *s,
                    const struct fastly_judgement *j, uint64_t now_ns);

/* job_end.c: ends a target, and the jobs that waited for nothing else. The target must be SENDING
 * and on no list. */
void job_end_target(struct dispatch *d, struct pending *t, enum outcome outcome,
                    const char *reason);
/* Ends jobs that their producers have cancelled: targets that wait for these jobs alone are not
 * sent. */
void job_end_cancel(struct dispatch *d, const struct queue_name *jobs, size_t count);
/* Ends a job that waited for its origin: the callback of `origin`. */
void job_end_held(void *ctx, const struct origin_job *job, enum outcome outcome,
                  const char *reason);
void job_end_bury(struct dispatch *d, struct pending *t,
                  const char *reason); /* ends the target as dead and logs it */
/* A purge that was answered. Times are monotonic. */
struct job_purge {
    uint64_t began_ns;  /* just before its request was written */
    uint64_t purged_ns; /* when its answer had arrived */
    bool all;           /* it was a purge-all */
    struct span id;     /* that Fastly gave it (struct fastly_ids); empty: not known */
};
/* The target was purged: ends it, and the jobs that waited for nothing else and name no page. */
void job_end_purged(struct dispatch *d, struct pending *t, const struct job_purge *by);
/* The same, but the page of the target will be looked at: jobs that ask for that do not end. */
void job_end_unverified(struct dispatch *d, struct pending *t, const struct job_purge *by);
/* What looks at the page of a target found, and with it ends the target. */
struct job_proof {
    enum verify_result result;
    uint32_t repairs;  /* further purges, because the page was stale */
    uint64_t stale_ms; /* from the answer to the first purge until the page was seen fresh, or was
                          given up; 0: never seen stale */
    const char *why;   /* it is not fresh: a clause without quotes and backslashes */
    const char *pop;   /* which is; "": not known */
    const struct job_purge *purge; /* the last one of the page; NULL: not known */
};
#define JOB_PROOF_ROOM 320
void job_end_verified(struct dispatch *d, struct pending *t, const struct job_proof *proof);
/* The page that a job names was looked at: ends the job, which the window keeps. */
void job_end_page(struct dispatch *d, uint32_t number, uint16_t service, bool all,
                  const struct job_proof *proof);

/* stall.c: detects stalls. */
void progress_begin(struct dispatch *d, struct now now);                 /* of a tick */
void progress_end(struct dispatch *d, struct now now, uint64_t next_ns); /* the next one is due */
uint64_t progress_late_ns(const struct dispatch *d); /* the worst of the last one to two minutes */

/* stats_json.c */
char *report_json(struct dispatch *d, struct now now); /* malloc'ed, for the status key */
