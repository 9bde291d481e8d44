/* SPDX-License-Identifier: MIT
 * How many messages a consumer may fetch: none while its account has backlog_max jobs, or while the
 * account is paused and the consumer is to stop then. */
#pragma once

#include "client.h"
#include "config.h"

struct consumer_room {
    uint64_t backlog_max; /* 0: no limit */
    bool stops;           /* while the account is paused */
    const char *account;
    uint64_t backlog;  /* waiting jobs when last asked, and jobs pushed since */
    bool paused;       /* when last asked */
    uint64_t asked_ns; /* 0: never */
};

/* Keeps `account`, a name. */
void consumer_room_init(struct consumer_room *r, const struct config *config,
                        const struct config_consumer *consumer, const char *account);
/* Whether Redis is to be asked: once a second, because others push, too; and before it is believed
 * that nothing may be fetched. */
bool consumer_room_is_due(const struct consumer_room *r);
/* 0, or negative errno, see client_error. */
must_use int consumer_room_ask(struct consumer_room *r, struct client *c);
/* At most that many may be fetched, by what is known. */
uint32_t consumer_room_left(const struct consumer_room *r, uint32_t most);
/* So many jobs were pushed. */
void consumer_room_take(struct consumer_room *r, uint32_t jobs);
