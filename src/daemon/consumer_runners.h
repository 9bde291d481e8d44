/* SPDX-License-Identifier: MIT
 * Runs the consumers with `run: true` as child processes, so that no fault of a source's library
 * is one of the daemon. Each is `purgeline consume NAME`; when it ends, it is started again, soon
 * at first and then ever later. */
#pragma once

#include "config.h"
#include "loop.h"

struct consumer_runners;

/* config_path: the file that the children read, too; must outlive it. */
struct consumer_runners *consumer_runners_new(struct loop *l, const char *config_path);

/* Starts and ends children, so that those run that `fresh` wants. Those for which something differs
 * from `old` (NULL: nothing runs yet) are ended and started again. */
void consumer_runners_configure(struct consumer_runners *r, const struct config *old,
                                const struct config *fresh);

/* Whether a child keeps ending, and then a sentence about it. NULL is fine. */
bool consumer_runners_failing(const struct consumer_runners *r, char *why, size_t room);

/* Lets the children finish their messages, and kills those that do not end. `changed` is called
 * whenever one has ended. */
void consumer_runners_stop(struct consumer_runners *r, loop_cb *changed, void *ctx);
bool consumer_runners_stopped(const struct consumer_runners *r); /* NULL: true */
void consumer_runners_free(struct consumer_runners *r); /* all have stopped; NULL is fine */
