/* SPDX-License-Identifier: MIT */
#include "weather_fastly.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"

#define OMITTED 3u /* the value of omit_keys below */

static const struct {
    const char *name, *how;
} faults[] = {
    {"latency_ms", "latency_ms=400&jitter_ms=600"},
    {"throttle", "throttle=1"},
    {"throttle", "throttle=1&count=4&retry_after=2"},
    {"throttle", "throttle=1&count=20"},
    {"status", "status=503&count=10"},
    {"status", "status=503&count=3&retry_after=1"},
    {"status", "status=500"},
    {"reset", "reset=1&count=6"},
    {"crash", "crash=1&count=1"},
    {"omit_keys", "omit_keys=3"},
    {"hang", "hang=1&count=3"},
    {"goaway", "goaway=1&count=1"},
    {"garbage", "garbage=1&count=5"},
    {"empty", "empty=1&count=5"},
};

/* Times in Unix milliseconds. */
struct spell {
    uint64_t from_ms, until_ms;
};

void weather_fastly_init(struct weather_fastly *f, struct sandbox *s)
{
    *f = (struct weather_fastly){.sandbox = s};
}

void weather_fastly_deinit(struct weather_fastly *f)
{
    free(f->omissions);
}

static bool omits(const char *fault)
{
    return strcmp(fault, "omit_keys") == 0;
}

const char *weather_fastly_begin(struct weather_fastly *f, unsigned which, struct rng *rng)
{
    size_t i = rng_below(rng, array_len(faults));
    const char *other = f->fault[1 - which];

    if (other && strcmp(other, faults[i].name) == 0)
        return NULL;
    sandbox_fault(f->sandbox, "%s", faults[i].how);
    f->fault[which] = faults[i].name;
    if (omits(f->fault[which]))
        f->omitting_since_ms = clock_wall_ms();
    return faults[i].how;
}

/* Requests near the beginning and the end of the fault may or may not have been affected. */
static void add_omission(struct weather_fastly *f)
{
    f->omissions = alloc_grow(f->omissions, f->omissions_count + 1, sizeof(*f->omissions));
    f->omissions[f->omissions_count++] =
        (struct spell){f->omitting_since_ms + 1, clock_wall_ms() - 1};
}

void weather_fastly_end(struct weather_fastly *f, unsigned which)
{
    if (omits(f->fault[which]))
        add_omission(f);
    sandbox_fault(f->sandbox, "%s=0", f->fault[which]);
    f->fault[which] = NULL;
}

unsigned weather_fastly_omitted(const struct weather_fastly *f, const struct request *q)
{
    for (size_t i = 0; i < f->omissions_count && strcmp(q->kind, "keys") == 0; i++)
        if (q->t_ms >= f->omissions[i].from_ms && q->t_ms <= f->omissions[i].until_ms)
            return OMITTED;
    return 0;
}
