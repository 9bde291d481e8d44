/* SPDX-License-Identifier: MIT
 * What the world does to the fake queues; what an instance does with them stands in store/queue.h.
 */
#pragma once

#include "base.h"

void fake_queue_begin(void);
void fake_queue_break_all(const char *why);

/* The instance died. What it had under way is done or not; it is told that it is not, so that it
 * can be taken apart, and whatever it does from now on has no effect. */
void fake_queue_bury(int owner);
/* Answers what a dead instance still asks. Returns false when it asked nothing. */
bool fake_queue_answer_dead(int owner);
