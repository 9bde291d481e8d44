/* SPDX-License-Identifier: MIT
 * Takes the text that --help prints apart, so that manual pages and shell completion are made of
 * it. Its form: blocks with empty lines between them; lines of options and terms are indented, with
 * two blanks or more before their description. */
#pragma once

#include <stdbool.h>

#include "span.h"

enum help_kind {
    HELP_USAGE,    /* "usage: ..." */
    HELP_TEXT,     /* a paragraph */
    HELP_TERMS,    /* terms with their descriptions */
    HELP_OPTIONS,  /* the same, of options */
    HELP_EXAMPLES, /* "examples:", then a line for each */
    HELP_CODES,    /* "exit codes: ..." */
};

struct help_block {
    enum help_kind kind;
    struct span lines; /* each with its newline */
};

/* Cuts the next block off the front of *rest. False if there is none left. */
bool help_next_block(struct span *rest, struct help_block *out);

/* Cuts the next line off the front of *rest, without its newline. False if there is none left. */
bool help_next_line(struct span *rest, struct span *line);

#define HELP_DESCRIPTION_ROOM 1000
/* Cuts the next term or option off a block of HELP_TERMS or HELP_OPTIONS: "-f, --file FILE", and
 * its description as one line. False if there is none left. */
bool help_next_term(struct span *rest, struct span *term, char *description, size_t room);

struct help_option {
    char letter;             /* '\0': it has none */
    struct span names[2];    /* long names without the dashes; the second may be empty */
    struct span argument;    /* like FILE; empty: it takes none */
    bool argument_optional;  /* written like --wait[=T] */
    struct span description; /* in the caller's room */
};

/* Takes a term of HELP_OPTIONS apart. */
void help_option_of(struct span term, const char *description, struct help_option *out);

/* Calls `cb` for each option of a help text, in their order. */
typedef void help_option_cb(void *ctx, const struct help_option *o);
void help_each_option(const char *help, help_option_cb *cb, void *ctx);
