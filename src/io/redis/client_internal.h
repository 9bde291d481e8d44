/* SPDX-License-Identifier: MIT
 * The internals of a blocking connection, shared by its files: client.c connects to a server and
 * sends commands; client_sentinel.c finds the server. */
#pragma once

#include "client.h"

/* Like client_open, to the host or socket of the address, with the password that it contains. */
must_use int client_open_at(const struct redis_address *a, struct client **out, struct error *err);
