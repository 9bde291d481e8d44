/* SPDX-License-Identifier: MIT
 * What consumers of message queues tell about themselves: Pconsumers in queue.h. */
#pragma once

#include <jansson.h>

#include "client.h"
#include "config.h"

#define CONSUMER_TELL_S 10   /* a consumer tells its state at least so often */
#define CONSUMER_SILENT_S 30 /* after this time it counts as absent */
#define CONSUMER_FORGET_S 3600
#define CONSUMER_STATES_MAX 256 /* fields of the hash that are read */
#define CONSUMER_NAME_ROOM 128
#define CONSUMER_TEXT_ROOM 300

enum consumer_condition {
    CONSUMER_ABSENT, /* nothing was heard of it lately */
    CONSUMER_RUNNING,
    CONSUMER_REDIS_AWAY,
    CONSUMER_SOURCE_AWAY,
    CONSUMER_FULL,   /* the account has backlog_max jobs */
    CONSUMER_PAUSED, /* the account is paused, and the consumer stops meanwhile */
    CONSUMER_CONDITION_N
};
extern const char *const consumer_condition_names[CONSUMER_CONDITION_N];

struct consumer_state {
    char name[CONSUMER_NAME_ROOM], source[32], topic[CONSUMER_TEXT_ROOM];
    enum consumer_condition condition;
    uint64_t fetched, jobs, ignored, dead; /* messages since the process started */
    bool rate_known;
    uint64_t per_1000_s; /* messages that were done lately, in 1,000 seconds */
    bool lag_known;
    uint64_t lag; /* messages that wait in the source */
    bool oldest_known;
    uint64_t oldest_ms;                  /* age of the oldest of these; 0: none waits */
    uint64_t committed_ms;               /* since the last commit; NEVER: there was none */
    char last_error[CONSUMER_TEXT_ROOM]; /* printable; "": none */
    uint64_t error_ms;                   /* since then */
    /* Only of states that were read. */
    uint64_t heard_ms;  /* since it was written; NEVER: never */
    uint32_t processes; /* that have told something lately */
};

/* `host` tells processes on several hosts apart. The ages are those of now. 0 or negative errno,
 * see client_error. Does not wait for replicas. */
must_use int consumer_state_write(struct client *c, const char *account, const char *host,
                                  const struct consumer_state *s);
/* When the consumer ends. If this fails, the state is forgotten later. */
void consumer_state_remove(struct client *c, const char *account, const char *name,
                           const char *host);
/* Removes the states that are older than CONSUMER_FORGET_S, which hosts have left that no longer
 * exist. */
must_use int consumer_state_sweep(struct client *c, const char *account);

/* The consumers of an account, each once, in the order of their names: processes of the same name
 * share a queue, so their messages are added up. */
struct consumer_states {
    struct consumer_state *at;
    uint32_t count;
};

/* One field of the hash. What cannot be understood is left out. now_ms: Redis' time. */
void consumer_states_add(struct consumer_states *s, struct span field, struct span text,
                         uint64_t now_ms);
/* Reads a reply to HGETALL. */
void consumer_states_take(const struct redisReply *all, uint64_t now_ms,
                          struct consumer_states *out);
/* Adds the consumers that are configured for the account and have told nothing. */
void consumer_states_expect(struct consumer_states *s, const struct config *config,
                            const char *account);
void consumer_states_copy(const struct consumer_states *from, struct consumer_states *out);
void consumer_states_deinit(struct consumer_states *s);
json_t *consumer_states_json(const struct consumer_states *s);
