/* SPDX-License-Identifier: MIT */
#include "consumer_room.h"

#include "backlog_count.h"
#include "clock.h"
#include "control.h"

void consumer_room_init(struct consumer_room *r, const struct config *config,
                        const struct config_consumer *consumer, const char *account)
{
    *r = (struct consumer_room){.backlog_max = config->http.backlog_max,
                                .stops = consumer->while_paused == CONSUMER_STOP,
                                .account = account};
}

static bool is_full(const struct consumer_room *r)
{
    return r->backlog_max && r->backlog >= r->backlog_max;
}

bool consumer_room_is_due(const struct consumer_room *r)
{
    if (!r->backlog_max && !r->stops)
        return false;
    return !r->asked_ns || clock_mono_ns() - r->asked_ns >= NS_PER_S || is_full(r) || r->paused;
}

int consumer_room_ask(struct consumer_room *r, struct client *c)
{
    enum control_state state = CONTROL_GOES_ON;
    int rc = r->backlog_max ? backlog_count(c, r->account, &r->backlog) : 0;

    if (rc == 0 && r->stops)
        rc = control_get(c, r->account, &state);
    if (rc < 0)
        return rc;
    r->paused = state == CONTROL_PAUSED;
    r->asked_ns = clock_mono_ns();
    return 0;
}

uint32_t consumer_room_left(const struct consumer_room *r, uint32_t most)
{
    if (r->paused)
        return 0;
    return r->backlog_max ? (uint32_t)min_u64(most, minus_u64(r->backlog_max, r->backlog)) : most;
}

void consumer_room_take(struct consumer_room *r, uint32_t jobs)
{
    r->backlog += jobs;
}
