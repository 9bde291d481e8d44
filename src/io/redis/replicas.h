/* SPDX-License-Identifier: MIT
 * Asks Redis with WAIT how many replicas have the data of all earlier commands of a connection.
 * https://redis.io/docs/latest/commands/wait/ */
#pragma once

#include "span.h"

struct redisReply;

/* How long Redis waits for its replicas before it answers. Healthy replicas need milliseconds. A
 * leader renews its lease every second and its lease lasts for ten, so a wait of this length does
 * not end its lease. */
#define REPLICAS_WAIT_MS 1000u

/* Too few replicas have the data, or nobody knows. */
struct replicas_few {
    uint32_t have, want;
    const char *refusal; /* Redis' error, if it refused WAIT; otherwise NULL */
};

#define REPLICAS_ARGC 3
struct replicas_wait { /* a command; its arguments point into it */
    char want[16], ms[16];
    struct span argv[REPLICAS_ARGC];
};
void replicas_wait(struct replicas_wait *w, uint32_t want);

/* Judges a reply to WAIT. True: at least `want` replicas have the data. Otherwise fills *few, whose
 * refusal is valid as long as the reply. */
bool replicas_have(const struct redisReply *reply, uint32_t want, struct replicas_few *few);

/* "0 of 1 replicas have the job", and the refusal of Redis if there is one. */
#define REPLICAS_FEW_ROOM 300
void replicas_few_say(const struct replicas_few *few, const char *what,
                      char out[REPLICAS_FEW_ROOM]);
/* The same about any other command, and what that means for whoever has sent it. */
void replicas_few_explain(const struct replicas_few *few, char out[REPLICAS_FEW_ROOM]);
