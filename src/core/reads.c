/* SPDX-License-Identifier: MIT */
#include "reads.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

const char *const read_names[READ_N] = {
    [READ_API] = "api", [READ_EDGE_CHECK] = "edge_check", [READ_EVENTS] = "events"};

#define HOUR_MS 3600000

const uint64_t read_windows_ms[READ_N] = {
    [READ_API] = 60000, [READ_EDGE_CHECK] = HOUR_MS, [READ_EVENTS] = HOUR_MS};

/* A token that may not read the event log is asked again after a day. */
const uint64_t read_hold_max_ms[READ_N] = {
    [READ_API] = HOUR_MS, [READ_EDGE_CHECK] = HOUR_MS, [READ_EVENTS] = 24 * HOUR_MS};

/* Instances that take turns begin with a question each. */
#define EVENTS_MORE 60

static uint64_t events_limit(const struct config_account *a)
{
    uint32_t every_s = a->reads.purge_alls_every_s;

    return EVENTS_MORE + (every_s ? 3600 / every_s : 0);
}

uint64_t read_limit(const struct config_account *a, enum read_kind k)
{
    switch (k) {
    case READ_API:
        return a->reads.per_minute;
    case READ_EDGE_CHECK:
        return a->reads.edge_checks;
    default:
        return events_limit(a);
    }
}

size_t read_kinds_of(enum read_kind k, enum read_kind out[READ_N])
{
    out[0] = READ_API;
    out[1] = k;
    return k == READ_API ? 1 : 2;
}

/* "09:12:30 UTC, in 12 s" */
static void when_words(uint64_t wall_ms, uint64_t wait_ms, char *out, size_t room)
{
    time_t at = (time_t)((wall_ms + wait_ms + 999) / 1000);
    char clock[16];
    struct tm tm;

    if (!gmtime_r(&at, &tm) || strftime(clock, sizeof(clock), "%H:%M:%S", &tm) == 0)
        snprintf(clock, sizeof(clock), "?");
    if (wait_ms < 120000)
        snprintf(out, room, "%s UTC, in %" PRIu64 " s", clock, (wait_ms + 999) / 1000);
    else
        snprintf(out, room, "%s UTC, in %" PRIu64 " min", clock, (wait_ms + 59999) / 60000);
}

void read_refusal_words(const struct config_account *a, const struct read_refusal *r,
                        uint64_t wall_ms, char *out, size_t room)
{
    static const char *const ours[READ_N] = {
        [READ_API] = "requests a minute to Fastly's API that reads.per_minute allows",
        [READ_EDGE_CHECK] = "requests for edge_check an hour that reads.edge_checks allows",
        [READ_EVENTS] = "requests for the event log an hour"};
    static const char *const theirs[READ_N] = {[READ_API] = "requests to its API",
                                               [READ_EDGE_CHECK] = "requests for edge_check",
                                               [READ_EVENTS] = "requests for the event log"};
    char when[64];

    when_words(wall_ms, r->wait_ms, when, sizeof(when));
    if (r->by_fastly)
        snprintf(out, room, "Fastly answered 429: %s are used up until %s", theirs[r->kind], when);
    else
        snprintf(out, room, "the %" PRIu64 " %s are used up until %s", read_limit(a, r->kind),
                 ours[r->kind], when);
}
