/* SPDX-License-Identifier: MIT
 * Completion for shells, made of the table of commands and of what --help prints. */
#pragma once

#include "buf.h"
#include "commands.h"
#include "help_text.h"

/* Append a script for that shell. */
void completion_bash(struct buf *out);
void completion_zsh(struct buf *out);
void completion_fish(struct buf *out);

/* What completes an argument of an option. */
enum completion_kind {
    COMPLETION_NONE, /* anything */
    COMPLETION_FILE,
    COMPLETION_ACCOUNT,
    COMPLETION_WORDS,
};
/* *words: separated by blanks, for COMPLETION_WORDS. */
enum completion_kind completion_of(const struct help_option *o, const char **words);

/* Text between single quotes, for a shell in which a quote is written as '\''. */
void completion_quoted(struct buf *out, struct span text);
