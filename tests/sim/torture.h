/* SPDX-License-Identifier: MIT
 * Plays a story again and again, each time with another of its operations going wrong in another way;
 * what the story expects no longer holds then, but the promises do. */
#pragma once

#include "story.h"

struct torture_result {
    uint64_t operations, plays;
    char message[900];
};

/* 0, or -1 with what went wrong in message. At most `most` plays (0: all of them): then every n-th
 * operation, beginning with another one for every way. */
must_use int torture_story(const struct story *s, uint64_t most, struct torture_result *out);
