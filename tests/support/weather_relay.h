/* SPDX-License-Identifier: MIT
 * Forwards TCP connections from a listening socket, which may be in another network namespace, to a
 * port on loopback of its own namespace. */
#pragma once

#include "base.h"

/* Never returns: runs until it is killed. `ear` is non-blocking. */
__attribute__((noreturn)) void weather_relay_run(int ear, uint16_t port);
