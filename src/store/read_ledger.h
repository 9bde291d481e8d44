/* SPDX-License-Identifier: MIT
 * Counts the requests that read Fastly's API in Redis, for all instances and commands together:
 * Preads in queue.h. A count that a failover loses is not missed: Fastly's 429 makes up for it. So
 * nothing here waits for replicas. */
#pragma once

#include "client.h"
#include "reads.h"

/* Before a request is sent: counts it. A request for edge_check is a request to the API, too, and
 * counts against both limits. 0: it may be sent. -EAGAIN: it may not, for the reason in *why. Other
 * negative errno: it is not counted, see client_error. */
must_use int read_ledger_take(struct client *c, const struct config_account *a, enum read_kind k,
                              struct read_refusal *why);
/* The same for whoever sends the script: 0, -EAGAIN, or -EIO if it is no answer to it. */
must_use int read_ledger_answer_to_take(const struct redisReply *r, struct read_refusal *why);
/* After a 429: no request of this kind is sent for wait_ms, at most read_hold_max_ms. */
must_use int read_ledger_hold(struct client *c, const struct config_account *a, enum read_kind k,
                              uint64_t wait_ms);

struct read_use {
    uint64_t used;    /* in the last minute or hour */
    uint64_t held_ms; /* for how long Fastly refuses more */
    uint64_t total;   /* since ever */
    uint64_t refused; /* by our count, or during a hold; since ever */
};

/* The question that tells it, for whoever sends it: see redis_ask. */
#define READ_LEDGER_WORDS (4 + 3 * READ_N)
struct read_ledger_question {
    struct span words[READ_LEDGER_WORDS];
    char *key, numbers[READ_N][2][24];
};
void read_ledger_question(struct read_ledger_question *q, const char *account);
void read_ledger_question_deinit(struct read_ledger_question *q);
/* 0, or -EIO if it is no answer to it. */
must_use int read_ledger_answer(const struct redisReply *r, struct read_use out[READ_N]);

/* Asks it. 0 or negative errno, see client_error. */
must_use int read_ledger_look(struct client *c, const char *account, struct read_use out[READ_N]);
