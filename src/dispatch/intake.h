/* SPDX-License-Identifier: MIT
 * From the streams to the window: reads as long as there is room, decodes, lets jobs merge, and
 * sends straight to their end those that are unreadable, expired, or not due for long.
 *
 *   take-over ─▶ from the beginning ─▶ on from there, waiting for what comes ...
 *                   ▲                     │
 *                   └── the audit found entries that memory does not know */
#pragma once

#include "loglimit.h"
#include "memory.h"
#include "queue.h"
#include "settle.h"
#include "window.h"

struct intake;

struct intake_counts {
    uint64_t jobs, targets, malformed, expired, postponed;
    uint64_t beyond; /* of the malformed: their ids are beyond any clock */
};

typedef void intake_changed_cb(void *ctx); /* something was read, or may be read again */

/* What an account takes when it has nothing to do; it is not counted. */
#define INTAKE_AT_REST_BYTES ((uint64_t)256 * 1024)

struct intake *intake_new(const struct config_account *a, struct queue *q, struct window *w,
                          struct settle *s, struct memory_user *memory, intake_changed_cb *changed,
                          void *ctx);
void intake_free(struct intake *in); /* its queue must be closed */
void intake_configure(struct intake *in, const struct config_account *a);
void intake_limit_log(struct intake *in, struct loglimit *l); /* lent; NULL: no limit */
void intake_limit(struct intake *in, uint64_t job_max_bytes); /* config_job_max_bytes */

void intake_start(struct intake *in); /* after a take-over: everything anew */
void intake_stop(struct intake *in);  /* reads nothing any more; an answer under way is dropped */
/* Asks for more when there is room and nothing is asked for yet; `elsewhere_bytes` is memory of the
 * account besides window, settle and reading. Returns when to come again. */
uint64_t intake_pull(struct intake *in, uint64_t elsewhere_bytes, uint64_t now_ns);
void intake_take_stock(struct intake *in); /* what is in use now, for the other accounts */
bool intake_idle(const struct intake *in); /* no read under way */
/* When Redis was asked for what it has not answered yet; NEVER when no question is open. */
uint64_t intake_asked_ns(const struct intake *in);
/* Whether the lane is not read because there is no room, in the window or in memory. */
bool intake_lane_held_back(const struct intake *in, enum lane lane);
const struct intake_counts *intake_counts(const struct intake *in);
/* The lane got an entry id that no clock gives: Redis numbers on from there, and whatever comes
 * after it cannot be taken, until the stream is deleted. */
bool intake_lane_is_lost(const struct intake *in, enum lane lane);

/* Why a URL of the job may not be purged at its site (url_mode: direct), or NULL. */
const char *intake_why_not_direct(const struct config_account *a, const struct job_spec *spec);
