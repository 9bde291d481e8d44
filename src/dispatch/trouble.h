/* SPDX-License-Identifier: MIT
 * Tracks what prevents an account from being dispatched although Redis is connected: refused
 * commands, broken keys, a Redis that evicts keys or is full. Each trouble is logged once when it
 * appears and once when it is over; status, metrics and /readyz read it here. The queue reports
 * every refusal, so none of its scripts can fail unnoticed. */
#pragma once

#include "queue.h"

struct trouble;

enum trouble_kind {
    TROUBLE_REFUSED,  /* Redis answers a command with an error */
    TROUBLE_KEY,      /* a key of the account is broken */
    TROUBLE_EVICTS,   /* maxmemory-policy lets Redis evict jobs */
    TROUBLE_FULL,     /* maxmemory is reached, so pushes are refused */
    TROUBLE_ENDPOINT, /* the endpoint has a fault, for example no token: see endpoint_fault; not
                         recorded here */
    TROUBLE_N
};
extern const char *const trouble_names[TROUBLE_N];

/* The name of the account is copied. */
struct trouble *trouble_new(const char *account);
void trouble_free(struct trouble *t); /* NULL is fine */

/* Redis refused a command. Returns true if the account's keys should be examined, because one of
 * them may be the cause; the refusal is then logged by trouble_examined. */
must_use bool trouble_refused(struct trouble *t, const struct queue_refusal *r, uint64_t now_ns);
void trouble_accepted(struct trouble *t, uint64_t question, uint64_t now_ns);
/* Takes the result of queue_examine. If err is not 0, the result is unknown. */
void trouble_examined(struct trouble *t, int err, const struct queue_fault *faults, size_t count,
                      uint64_t now_ns);
void trouble_server(struct trouble *t, const struct queue_server *s, uint64_t now_ns);
/* Forgets all trouble, because the connection is lost and every command will be tried anew. */
void trouble_forget(struct trouble *t);

/* Ends refusals that have not been repeated for a while, because the command is no longer sent.
 * Returns when to call it again. */
uint64_t trouble_tick(struct trouble *t, uint64_t now_ns);

/* True if there is trouble that lasts; `why` is then a sentence that says what to do. */
bool trouble_now(const struct trouble *t, uint64_t now_ns, char *why, size_t room);
bool trouble_has(const struct trouble *t, enum trouble_kind kind, uint64_t now_ns);
