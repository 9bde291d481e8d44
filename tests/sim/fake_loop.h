/* SPDX-License-Identifier: MIT
 * The loop of an instance, as far as the simulator has one: its timers are events of that instance.
 */
#pragma once

#include "loop.h"

struct loop {
    int instance;
};

/* Fires the timers of a dead instance that are due: its events are held. */
void fake_loop_turn_dead(int instance);
