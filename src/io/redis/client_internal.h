/* SPDX-License-Identifier: MIT
 * The internals of a blocking connection, shared by its files: client.c connects to a server and
 * sends commands; client_sentinel.c finds the server. */
#pragma once

#include "client.h"

#define CLIENT_ANSWER_S 30 /* long enough for a slow script or a disk sync */

/* Like client_open, to the host or socket of the address, with the password that it contains.
 * `answer_s` is the timeout for each reply, also afterwards. Also -ETIMEDOUT: connected, but it
 * does not answer in time. */
must_use int client_open_at(const struct redis_address *a, uint32_t answer_s, struct client **out,
                            struct error *err);
/* Whether the connection was lost because a reply did not come in time. */
bool client_timed_out(const struct client *c);
