/* SPDX-License-Identifier: MIT
 * The program as people type it: a line for the shell, in which $P is purgeline and $D a folder of
 * the test's own, and what came of it. */
#pragma once

#include "base.h"

struct shell {
    char folder[64];
    int code;  /* exit code of the last line, or minus the signal */
    char *out; /* what it printed on stdout */
    char *err; /* and on stderr */
};

void shell_open(struct shell *s);
void shell_close(struct shell *s); /* removes the folder */
/* Runs the line and returns its exit code. */
int shell_run(struct shell *s, const char *fmt, ...) print_like(2, 3);
/* Fails the test, showing what was printed, unless the text is in it. */
void shell_assert_out(const struct shell *s, const char *text);
void shell_assert_err(const struct shell *s, const char *text);
