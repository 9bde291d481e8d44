/* SPDX-License-Identifier: MIT
 * What the witness knows, shared by its files. */
#pragma once

#include "arrivals.h"
#include "budget.h"
#include "fakeredis.h"
#include "map.h"
#include "witness.h"

struct target {               /* something that may be purged */
    uint64_t hard_ns, any_ns; /* when the latest confirmed request for it started */
    uint64_t number;          /* which the ids of its purges have */
    bool pushed_hard, refused, canary, all;
};

struct job {
    char *id;
    uint64_t accepted_ns, not_before_ms, expires_ms;
    uint64_t version;                  /* that its origin must show; 0: any */
    struct target **targets, **covers; /* covers: all of its service, per target; or NULL */
    size_t targets_count;
    bool hard, cancelled, cancellation_told, repeats;
    uint32_t ends, receipts, letters;
    uint32_t lines;              /* of the history */
    uint64_t added_at, ended_at; /* the commands (journal.h) that did it */
    bool accepted;               /* a client was told so */
    bool lost;                   /* Redis has lost it */
    enum outcome outcome;
    char receipt[16]; /* the state that the last one says */
    bool receipt_in_history;
};

struct account {
    char name[72];
    struct map targets, jobs;
    uint64_t largest;         /* targets of the job that names most of them */
    uint64_t of_pages;        /* targets of all jobs that name a page */
    bool receipts_in_history; /* by some settings so far; those that are keys are written first */
    /* The most that any settings before the last reload allowed. */
    uint64_t in_flight_before;
    struct arrivals windows[LEDGER_N];
    struct arrivals cut_off[LEDGER_N]; /* what the leader on the other side knows of */
};

struct witness_world {
    const struct config *config;
    enum witness_scope scope;
    struct account accounts[CONFIG_ACCOUNTS_MAX];
    uint32_t accounts_count;
    uint64_t open;
    uint64_t targets_count;
    struct witness_sums sums;
    bool memory_was_short; /* then receipts may be left out */
    bool deleted_by_hand;  /* then what leads to a job may be left over */
    uint32_t cut_off;      /* instances that are, or were, FAKE_REDIS_WITH; 0: none ever */
    uint64_t split_ns, joined_ns;
};
extern struct witness_world witness;

void witness_free_job(struct job *j);
struct account *witness_account(const char *name);            /* NULL: nobody is told of it */
struct job *witness_job(const char *account, struct span id); /* NULL: there is none */
/* An entry of the history was added. */
void witness_history(const char *account, const struct fakeredis_entry *e);
/* Fails unless the job, which has ended, has one line, and its receipt is found if it is one. */
void witness_check_history(const struct account *a, const struct job *j);
/* Adds what arrived to the windows that it counts in. Returns the most cost in any of them. */
uint64_t witness_add_arrival(struct account *a, enum ledger_kind l, const struct request *r,
                             uint64_t window_ns);
