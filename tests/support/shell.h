/* SPDX-License-Identifier: MIT
 * Runs shell commands as a user would type them, and keeps their output. $P is purgeline and $D a
 * temporary folder. */
#pragma once

#include "base.h"

struct shell {
    char folder[64];
    int code;  /* exit code of the last command, or the negative signal number */
    char *out; /* its output on stdout */
    char *err; /* its output on stderr */
};

void shell_open(struct shell *s);
void shell_close(struct shell *s); /* removes the folder */
/* Runs the command and returns its exit code. */
int shell_run(struct shell *s, const char *fmt, ...) print_like(2, 3);
/* Joins the lines of its output on stdout, so that a sentence is found wherever it was wrapped. */
void shell_join_lines(struct shell *s);
/* Fails the test and shows the output, unless it contains the text. */
void shell_assert_out(const struct shell *s, const char *text);
void shell_assert_err(const struct shell *s, const char *text);
