/* SPDX-License-Identifier: MIT
 * What the world does to the connections to the fake Redis; what an instance does with them stands
 * in io/redis/redis.h. */
#pragma once

#include "fake_loop.h"
#include "fakeredis.h"

void fake_link_begin(void);
void fake_link_break_all(const char *why); /* but for those to a master that is cut off */
void fake_link_break_cut_off(const char *why);
/* For those to a master that is cut off: no replica confirms anything any more. */
void fake_link_replica_is_gone(void);
/* An entry has come into a stream: who waits for it is answered. */
void fake_link_added(struct span key);

/* The instance died. What it had under way is done or not; it is told that it is not, so that it
 * can be taken apart, and whatever it does from now on has no effect. */
void fake_link_bury(int instance);
/* Answers what a dead instance still asks. */
void fake_link_answer_dead(int instance);
