/* SPDX-License-Identifier: MIT
 * The loop of an instance, as far as the simulator has one: its timers are events of that instance.
 */
#pragma once

#include "loop.h"

struct loop {
    int instance;
};
