/* SPDX-License-Identifier: MIT
 * Carries TCP connections from a listening socket, of whatever network namespace, to a port on
 * loopback of the namespace it runs in. */
#pragma once

#include "base.h"

/* Never returns: runs until it is killed. `ear` is non-blocking. */
__attribute__((noreturn)) void weather_relay_run(int ear, uint16_t port);
