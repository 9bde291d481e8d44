/* SPDX-License-Identifier: MIT */
#include "torture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "play.h"

static const enum fault ways[IO_N][FAULT_N] = {
    [IO_REDIS] = {FAULT_LOST_BEFORE, FAULT_LOST_AFTER, FAULT_KILL_BEFORE, FAULT_KILL_AFTER},
    [IO_FASTLY] = {FAULT_LOST_BEFORE, FAULT_LOST_AFTER, FAULT_KILL_BEFORE, FAULT_KILL_AFTER,
                   FAULT_UNSENT, FAULT_SILENT},
};
static const char *const io_names[IO_N] = {[IO_REDIS] = "Redis", [IO_FASTLY] = "Fastly"};

static int play_with(const struct story *s, uint64_t n, enum io io, enum fault fault,
                     struct torture_result *out)
{
    struct play_options o = {.how = PLAY_PROMISES_ONLY, .fault_at = n, .fault = fault};
    struct play_result r;

    play_story(s, &o, &r);
    free(r.kinds);
    out->plays++;
    if (r.passed)
        return 0;
    snprintf(out->message, sizeof(out->message), "%s: operation %" PRIu64 " (to %s) %s:\n%s",
             s->file, n, io_names[io], fault_names[fault], r.message);
    return -1;
}

static int play_all(const struct story *s, const uint8_t *kinds, uint64_t step,
                    struct torture_result *out)
{
    int rc = 0;

    for (int way = 0; way < FAULT_N; way++) {
        for (uint64_t n = 1 + (uint64_t)way % step; n <= out->operations && rc == 0; n += step) {
            enum io io = (enum io)kinds[n - 1];
            enum fault fault = ways[io][way];

            bool kills = fault == FAULT_KILL_BEFORE || fault == FAULT_KILL_AFTER;

            if (fault != FAULT_NONE && !(kills && s->without_kills))
                rc = play_with(s, n, io, fault, out);
        }
    }
    return rc;
}

/* What one play costs, to its quiet end. */
static uint64_t work_of(const struct story *s)
{
    struct play_options o = {.how = PLAY_PROMISES_ONLY};
    struct play_result r;

    play_story(s, &o, &r);
    free(r.kinds);
    return r.operations + r.sums.jobs;
}

int torture_story(const struct story *s, uint64_t work, struct torture_result *out)
{
    struct play_options o = {.how = PLAY_PROMISES_ONLY, .unfinished = true};
    struct play_result first;
    uint64_t step = 1;
    int rc;

    *out = (struct torture_result){0};
    play_story(s, &o, &first);
    out->operations = first.operations;
    if (work)
        step = work_of(s) * first.operations * 4 / work + 1;
    if (first.passed) {
        rc = play_all(s, first.kinds, step, out);
    } else {
        snprintf(out->message, sizeof(out->message), "%s", first.message);
        rc = -1;
    }
    free(first.kinds);
    return rc;
}
