/* SPDX-License-Identifier: MIT
 * A connection to Redis on a loop: waits until its transport can move bytes, and sends the commands
 * of one turn of the loop together. Knows nothing of replies. */
#pragma once

#include "error.h"
#include "loop.h"
#include "span.h"

struct addrinfo;
struct redis_address;
struct redis_wire;

/* None of these is called from within a function of this file, except `lost` by redis_wire_read.
 * They may not free the wire. */
struct redis_wire_events {
    loop_cb *connected;                       /* called once, before any `readable` */
    loop_cb *readable;                        /* call redis_wire_read */
    void (*lost)(void *ctx, const char *why); /* the last call */
};

/* Starts to connect to `to`, an address of a->host, or to a->unix_path if it is NULL. `events` must
 * stay where they are. 0, or negative errno with a sentence. */
must_use int redis_wire_open(struct loop *l, const struct redis_address *a,
                             const struct addrinfo *to, const struct redis_wire_events *events,
                             void *ctx, struct redis_wire **out, struct error *err);
void redis_wire_free(struct redis_wire *w); /* closes the connection; NULL is fine */

/* If connecting takes too long: what may explain it, to be appended to a sentence; or "". */
const char *redis_wire_delay(const struct redis_wire *w);
/* Sends a command before the loop sleeps. Only after `connected`. */
void redis_wire_send(struct redis_wire *w, size_t argc, const struct span *argv);
/* The same for a command that redis_format has formatted. */
void redis_wire_send_text(struct redis_wire *w, struct span text);
/* Returns the number of bytes read, or 0 if there are none; `lost` has been called if that is
 * because the connection has ended. If `room` is full, there may be more, and `readable` will be
 * called again. */
size_t redis_wire_read(struct redis_wire *w, char *p, size_t room);
