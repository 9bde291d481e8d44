/* SPDX-License-Identifier: MIT
 * A story: what is configured, and what happens when. The grammar is in README.md. */
#pragma once

#include "text.h"

struct step {
    uint64_t at_ns;
    int line;
    char *text; /* as it was written, for people */
    struct words words;
};

struct story {
    char *file;
    struct words settings; /* name=value ... */
    struct step *steps;
    size_t count, room;
    uint64_t seed;
    bool without_kills; /* torture never kills the process */
};

void story_init(struct story *s, const char *file);
void story_deinit(struct story *s);
/* One line, comments and empty ones too. 0, or -EINVAL with a sentence. */
must_use int story_add(struct story *s, int line, const char *text, char *err, size_t err_room);
must_use int story_read(struct story *s, char *err, size_t err_room); /* the file */
