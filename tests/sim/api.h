/* SPDX-License-Identifier: MIT
 * What the HTTP endpoint asks of Redis, by the functions of src/store that it uses, over a
 * connection that breaks like any other. Its clients repeat what has an Idempotency-Key, what they
 * delete and what they look up, until they are told. Fails the run when the answers do not fit:
 *
 *   P8  a job with an Idempotency-Key is added once, and every answer names it
 *   P9  a job that was accepted is never unknown
 *   P10 a job that was said to be cancelled has the receipt that says so */
#pragma once

#include "queue.h"

void api_begin(void);
void api_end(void);

/* POST. `once`: the Idempotency-Key, or NULL. All are copied. */
void api_post(const char *account, enum lane lane, const struct span *fields, size_t count,
              const char *once);
/* GET and DELETE of a job, like "normal-1700000000000-0". */
void api_get(const char *account, const char *job);
void api_delete(const char *account, const char *job);
/* Of all dead letters, as the command and the endpoint do it. */
enum api_dead { API_DEAD_RETRY, API_DEAD_DROP };
void api_dead(const char *account, enum api_dead what);

/* Redis has lost its last writes; the witness knows already. */
void api_rolled_back(void);

uint64_t api_open(void);         /* questions without an answer */
uint64_t api_accepted(void);     /* jobs, since the beginning */
const char *api_last_job(void);  /* the last one that a POST has added; "": none */
const char *api_last_seen(void); /* what the last GET said: "waiting", "ended", "unknown"; or "" */
