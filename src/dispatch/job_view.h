/* SPDX-License-Identifier: MIT
 * What the leader's memory knows of a job that waits: which of its targets wait and for what, are
 * tried again, or are on the wire. Nothing is kept for this; a look costs a few steps for each
 * target of the job, and never more than JOB_VIEW_STEPS beyond that. */
#pragma once

#include "clock.h"
#include "job.h"
#include "origin.h"
#include "process.h"
#include "window.h"

struct dispatch;

#define JOB_VIEW_STEPS 20000u /* along chains of jobs, queues and batches: a few milliseconds */
#define JOB_VIEW_SHOWN 20u    /* targets */
#define JOB_VIEW_AHEAD 1000u  /* targets ahead of one that are counted */

/* May be used on another thread than the one that asks. */
struct job_view_ask {
    const char *account;
    const struct config_account *settings; /* that the targets were decoded with; held */
    struct window_name job;                /* its lane and the id of its entry */
    const struct job_target *targets;
    uint32_t targets_count; /* 0: only who leads is asked */
};

enum job_view_role {
    JOB_VIEW_ELSEWHERE, /* this instance does not lead; `leader` may know more */
    JOB_VIEW_SOON,      /* it takes over, stops, or takes new settings: ask again */
    JOB_VIEW_HERE,
};

enum job_view_state {
    JOB_VIEW_WAITING,
    JOB_VIEW_RETRY,   /* tried in vain, waits to be tried again */
    JOB_VIEW_SENT,    /* on the way to Fastly, or just about to be */
    JOB_VIEW_CHECKED, /* purged; its page is being looked at */
    JOB_VIEW_DONE,
    JOB_VIEW_UNKNOWN, /* the steps were used up, or the job is not in the window */
    JOB_VIEW_STATE_N,
};
extern const char *const job_view_state_names[];

/* Why a target waits. */
enum job_view_why {
    JOB_VIEW_TURN, /* for others that go before it */
    JOB_VIEW_PAUSED,
    JOB_VIEW_HELD,      /* by Fastly: struct job_view */
    JOB_VIEW_LEASE,     /* Redis has not confirmed lately that this instance leads */
    JOB_VIEW_SERVICE,   /* Fastly did not know its service when it was asked last */
    JOB_VIEW_PURGE_ALL, /* another purge-all of the service is in flight */
    JOB_VIEW_LINGERS,   /* for more keys in its batch */
    JOB_VIEW_ANSWERS,   /* as many requests as may be are in flight */
    JOB_VIEW_BUDGET,
};
extern const char *const job_view_why_names[];

struct job_view_target {
    uint32_t number; /* in the ask */
    enum job_view_state state;
    enum job_view_why why; /* WAITING */
    uint64_t until_ms;     /* WAITING: when that ends, about; Unix; 0: not known */
    enum lane lane;        /* of the request; a more urgent job for the same target raises it */
    uint32_t before;       /* WAITING: targets ahead of it in its queue */
    bool before_more;      /* ... and others */
    uint32_t others;       /* other jobs that wait for it */
    bool others_more;      /* ... and still others */
    uint32_t tries;        /* that were in vain */
    int status;            /* RETRY: of the last answer; 0: there was none */
    char reason[128];      /* RETRY: why it was in vain; "": not kept */
    uint64_t at_ms; /* SENT: when; RETRY, CHECKED: of the next try or look; Unix; 0: not known */
};

struct job_view {
    enum job_view_role role;
    char leader[PROCESS_IDENTITY_MAX]; /* ELSEWHERE; "": nobody, or it is not known */
    /* the following: HERE */
    bool paused;
    char paused_why[160];
    const char *held_why;   /* one of brake_cause_names; NULL: Fastly holds nothing */
    uint64_t held_until_ms; /* Unix */
    char held_reason[128];  /* the answer for which it does */
    bool found;             /* the job waits in the window */
    bool unread;            /* or it may not have been read, because there is no room in memory */
    bool held;              /* or it waits for its origin */
    struct origin_view origin;
    uint64_t origin_next_ms; /* when that is asked next; Unix; 0: not known */
    uint32_t targets;
    uint32_t counts[JOB_VIEW_STATE_N];
    uint32_t shared; /* targets that other jobs wait for, too */
    uint32_t shown_count;
    struct job_view_target shown[JOB_VIEW_SHOWN]; /* the first ones that are not done */
};

/* On the thread of the dispatch loop. Finds the account among these. */
void job_view_ask(struct dispatch *const *all, uint32_t count, const struct job_view_ask *ask,
                  struct now now, struct job_view *out);
