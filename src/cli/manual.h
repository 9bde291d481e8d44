/* SPDX-License-Identifier: MIT
 * Manual pages of the commands, made of what --help prints. */
#pragma once

#include "buf.h"
#include "commands.h"

/* Appends the page purgeline-NAME(1), for man(1):
 * https://man7.org/linux/man-pages/man7/groff_man.7.html */
void manual_page(struct buf *out, const struct subcommand *c);

/* Appends the text for roff, so that it is shown as it is. */
void manual_text(struct buf *out, struct span text);
