/* SPDX-License-Identifier: MIT
 * How far back the history of an account reaches, and how much is in it. */
#pragma once

#include "client.h"

struct history_reach {
    bool known; /* false: Redis did not say, for example because the user may not run the script */
    uint64_t entries;
    uint64_t jobs;      /* in these entries, and acts of people; as far as known */
    uint64_t oldest_ms; /* age of the oldest entry; 0 if there is none */
};

/* The question that tells it, for whoever sends it: see redis_ask. */
struct history_reach_question {
    struct span words[4];
    char *key;
};
void history_reach_question(struct history_reach_question *q, const char *account);
void history_reach_question_deinit(struct history_reach_question *q);
/* What the reply says; not known if it is a refusal, or no answer to the question. */
struct history_reach history_reach_answer(const struct redisReply *r);

/* Asks it. A refusal is no failure: permissions may be those of an earlier version. 0 or negative
 * errno, see client_error. */
must_use int history_reach_look(struct client *c, const char *account, struct history_reach *out);
