/* SPDX-License-Identifier: MIT
 * The table of the commands: what help, manual pages and shell completion are made of. */
#pragma once

#include <stddef.h>

#include "span.h"

/* What its first argument can be. */
enum first { FIRST_ANYTHING, FIRST_WORD, FIRST_COMMAND, FIRST_CONSUMER };

struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *sentence;
    const char *help;
    enum first first;
    const char *words; /* for FIRST_WORD, separated by blanks */
};

extern const struct subcommand subcommands[];
extern const size_t subcommands_count;

const struct subcommand *subcommand_find(const char *name); /* NULL: there is none */
