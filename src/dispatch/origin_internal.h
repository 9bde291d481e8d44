/* SPDX-License-Identifier: MIT
 * The internals of `origin`, shared by its files: origin.c holds the jobs, origin_ask.c asks. */
#pragma once

#include "heap.h"
#include "list.h"
#include "origin.h"
#include "origin_hosts.h"
#include "rng.h"
#include "when.h"

#define ORIGIN_BUSY_NS                                                                             \
    (50 * NS_PER_MS) /* when there is no room, or too many asks are under way                      \
                      */

struct origin_question {
    UT_hash_handle hh;
    struct when when;
    struct origin_host *host;
    struct list jobs;       /* struct origin_held */
    struct heap_node due;   /* by monotonic time; in no heap while it is being asked */
    struct origin_ask *ask; /* under way, or NULL */
    uint64_t pause_ms;
    bool told;                  /* the log has said that a purge-all waits for this */
    char seen[WHEN_REASON_MAX]; /* the last answer, in words; "": none was heard yet */
    size_t key_bytes;
    char key[];
};

/* A question on its way. It outlives its question and the origin, if these end before its answer
 * comes. */
struct origin_ask {
    struct origin *origin;            /* NULL: it has ended */
    struct origin_question *question; /* NULL: nobody waits for the answer */
    struct origin_host *host;
    struct list link;
    uint64_t asked_ns;
    struct exchange_look look;
    char header[WHEN_HEADER_MAX_BYTES + 1];
};

struct origin_held {
    struct list link;      /* in its question's jobs, or in `shown` */
    struct list all;       /* in the origin's list, oldest first */
    struct heap_node ends; /* by Unix time in ms; in no heap when its time is over */
    struct origin_question *question;
    uint64_t held_ns, over_ns; /* over_ns: when its time was over; 0: it is not */
    uint64_t from_ms;          /* when its time began, in Unix ms */
    uint64_t expires_ms;
    uint32_t within_ms;
    size_t bytes;
    struct origin_job job;
    struct span fields[];
};

struct origin {
    const struct config_account *account;
    const struct origin_callbacks *cb;
    struct memory_user *memory;
    struct senders *senders;
    struct endpoint *endpoint;
    void *ctx;
    struct origin_hosts hosts;
    struct origin_question *questions;
    struct list held, shown, asks;
    struct heap due;  /* questions */
    struct heap ends; /* jobs */
    struct rng rng;
    uint32_t jobs, asking;
    uint32_t jobs_of[LANE_N];
    uint64_t bytes;
    struct origin_counts counts;
};

/* origin.c: an answer to a question that was sent at asked_ns: it shows the new version ... */
void origin_release(struct origin *o, struct origin_question *q, uint64_t asked_ns);
/* ... or it does not; `seen` says what it was. */
void origin_give_up(struct origin *o, struct origin_question *q, const char *seen,
                    uint64_t asked_ns);

/* origin_ask.c */
struct origin_question *origin_question_of(struct origin *o, const struct when *w, uint64_t now_ns);
void origin_drop_question(struct origin *o, struct origin_question *q); /* if it has no jobs */
size_t origin_question_bytes(size_t key_bytes);
void origin_ask_at(struct origin *o, struct origin_question *q, uint64_t at_ns);
uint64_t origin_ask_due(struct origin *o, uint64_t now_ns); /* returns when to call it again */
void origin_orphan_asks(struct origin *o); /* their answers are ignored from now on */
