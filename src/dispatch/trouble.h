/* SPDX-License-Identifier: MIT
 * What keeps an account from being dispatched although Redis is connected: refused questions,
 * broken keys, a Redis that evicts or is full. Each is said once in the log, and once when it is
 * over; status, metrics and /readyz ask here. The queue reports every refusal, so no script of it
 * can fail without a word. */
#pragma once

#include "queue.h"

struct trouble;

enum trouble_kind {
    TROUBLE_REFUSED, /* Redis answers a question with an error */
    TROUBLE_KEY,     /* a key of the account is not what it should be */
    TROUBLE_EVICTS,  /* maxmemory-policy throws jobs away */
    TROUBLE_FULL,    /* maxmemory is reached: producers are refused */
    TROUBLE_N
};
extern const char *const trouble_names[TROUBLE_N];

/* `account` is lent until trouble_free. */
struct trouble *trouble_new(const char *account);
void trouble_free(struct trouble *t); /* NULL is fine */

/* A question was refused. True when the account's keys should be examined: what is wrong may be one
 * of them, and is said when trouble_examined tells. */
must_use bool trouble_refused(struct trouble *t, const struct queue_refusal *r, uint64_t now_ns);
void trouble_accepted(struct trouble *t, uint64_t question, uint64_t now_ns);
/* The answer of queue_examine; err not 0: it is not known. */
void trouble_examined(struct trouble *t, int err, const struct queue_fault *faults, size_t count,
                      uint64_t now_ns);
void trouble_server(struct trouble *t, const struct queue_server *s, uint64_t now_ns);
/* The connection is gone: everything is asked anew. */
void trouble_forget(struct trouble *t);

/* Ends what was not heard of for a while: nobody asks any more. Returns when to come again. */
uint64_t trouble_tick(struct trouble *t, uint64_t now_ns);

/* Whether there is trouble that lasts; then `why` is a sentence with what to do. */
bool trouble_now(const struct trouble *t, uint64_t now_ns, char *why, size_t room);
bool trouble_has(const struct trouble *t, enum trouble_kind kind, uint64_t now_ns);
