/* SPDX-License-Identifier: MIT
 * Plays a story once; at each of its operations it branches, once for every way in which that one
 * can go wrong, and each branch plays on to its quiet end. What the story expects no longer holds
 * there, but the promises do. */
#pragma once

#include "story.h"

struct torture_options {
    uint64_t only; /* the n-th operation; 0 = all */
    uint64_t most; /* operations that go wrong: half of them the first ones of the story, which
                    * differ most, the others at equal distances; 0 = all */
    bool verbose;  /* the branches show everything that happens; best with `only` */
};

struct torture_result {
    uint64_t operations, plays;
    char message[900];
};

/* 0, or -1 with what went wrong in message; the trace of that is on stderr. The branches are
 * processes, as many at a time as there are cores. Where a setting of the story says kills=no,
 * nobody is killed. */
must_use int torture_story(const struct story *s, const struct torture_options *o,
                           struct torture_result *out);
