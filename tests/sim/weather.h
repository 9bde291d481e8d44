/* SPDX-License-Identifier: MIT
 * Random stories: traffic and faults out of a seed, in the grammar of all stories, so that what
 * fails can be made smaller and kept. */
#pragma once

#include <stdio.h>

#include "play.h"

void weather_story(uint64_t seed, struct story *out); /* story_deinit */
void story_print(const struct story *s, FILE *out);

/* Plays in a process of its own: a crash is a failure like any other. Returns whether it passed;
 * otherwise what happened is in message. */
must_use bool play_apart(const struct story *s, char *message, size_t room);

/* Leaves out whatever the failure does not need. message: what play_apart said of the whole story;
 * the smaller one breaks the same promise. */
void story_shrink(struct story *s, const char *message);

/* Seeds first .. first + count - 1 on so many processes, for at most so many seconds (0: no end).
 * A failing one is shrunk and printed. Returns how many failed; stops after the first. */
struct weather_run {
    uint64_t first, count;
    uint32_t workers, seconds;
};
must_use int weather_run(const struct weather_run *w);
