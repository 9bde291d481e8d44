/* SPDX-License-Identifier: MIT
 * Moves jobs from the streams to the window: reads while there is room, decodes and merges jobs,
 * and ends or postpones at once those that are invalid, expired or not yet due. Jobs with a `when`
 * are held by `origin` in between.
 *
 *   take-over ─▶ from the beginning ─▶ on from there, waiting for what comes ...
 *                   ▲                     │
 *                   └── the audit found entries that memory does not know */
#pragma once

#include "loglimit.h"
#include "memory.h"
#include "origin.h"
#include "queue.h"
#include "settle.h"
#include "window.h"

struct intake;
struct verification;

struct intake_counts {
    uint64_t jobs, targets, malformed, expired, postponed;
    uint64_t beyond; /* of the malformed: their ids are beyond any clock */
};

typedef void intake_changed_cb(void *ctx); /* something was read, or reading is possible again */

/* The memory of an idle account, which is not counted. */
#define INTAKE_AT_REST_BYTES ((uint64_t)256 * 1024)

/* What the intake works with; all lent. */
struct intake_parts {
    struct queue *queue;
    struct window *window;
    struct settle *settle;
    struct origin *origin; /* holds jobs with a `when` until their origin shows the new version */
    struct memory_user *memory;
    struct verification *verification; /* is told of jobs that name a page */
};

struct intake *intake_new(const struct config_account *a, const struct intake_parts *parts,
                          intake_changed_cb *changed, void *ctx);
void intake_free(struct intake *in); /* its queue must be closed */
void intake_configure(struct intake *in, const struct config_account *a);
void intake_limit_log(struct intake *in, struct loglimit *l); /* lent; NULL: no limit */
void intake_limit(struct intake *in, uint64_t job_max_bytes); /* config_job_max_bytes */

void intake_start(struct intake *in); /* after a take-over: reads everything again */
void intake_stop(struct intake *in);  /* stops reading; a pending reply is dropped */
/* Starts a read when there is room and no read is pending; `elsewhere_bytes` is the account's
 * memory outside window, settle and reading. Returns when to call it again. */
uint64_t intake_pull(struct intake *in, uint64_t elsewhere_bytes, uint64_t now_ns);
/* Takes a job from its origin, which has shown the new version, into the window. may_send: requests
 * may be sent now. If not, a purge-all is not taken, because by then the origin may be down again.
 */
enum origin_taken intake_take_shown(struct intake *in, const struct origin_job *job, bool may_send);
void intake_take_stock(struct intake *in); /* updates the memory in use, for the other accounts */
bool intake_idle(const struct intake *in); /* no read is pending */
/* The time of the oldest unanswered request to Redis; NEVER if there is none. */
uint64_t intake_asked_ns(const struct intake *in);
/* Whether the lane is not read because there is no room, in the window or in memory. */
bool intake_lane_held_back(const struct intake *in, enum lane lane);
const struct intake_counts *intake_counts(const struct intake *in);
/* The lane contains an entry id beyond any clock: Redis continues numbering from there, and later
 * entries cannot be accepted until the stream is deleted. */
bool intake_lane_is_lost(const struct intake *in, enum lane lane);
