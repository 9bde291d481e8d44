/* SPDX-License-Identifier: MIT
 * Plays a story again and again, each time with another of its operations going wrong in another
 * way; what the story expects no longer holds then, but the promises do. */
#pragma once

#include "story.h"

struct torture_result {
    uint64_t operations, plays;
    char message[900];
};

/* 0, or -1 with what went wrong in message. `work` bounds the operations and jobs of all plays
 * together (0: no bound): then only every n-th operation goes wrong, beginning with another one for
 * every way. Where a setting of the story says kills=no, nobody is killed. */
must_use int torture_story(const struct story *s, uint64_t work, struct torture_result *out);
