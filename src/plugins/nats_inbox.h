/* SPDX-License-Identifier: MIT
 * What the threads of libnats have received, for a thread that waits for it. */
#pragma once

#include <nats/nats.h>

#include "base.h"
#include "error.h"

struct nats_inbox;

struct nats_inbox *nats_inbox_new(void);
/* The threads may still use it: its memory is freed when the last of them has ended. */
void nats_inbox_release(struct nats_inbox *i);

/* Readable when something has happened. Negative: there was no file descriptor left. */
int nats_inbox_fd(const struct nats_inbox *i);
void nats_inbox_hush(struct nats_inbox *i); /* it is not readable until something happens */

/* The first message, which is the caller's; NULL: there is none. */
natsMsg *nats_inbox_take(struct nats_inbox *i);
/* 0; or -EIO with what the server complained about, or that the connection is lost. */
must_use int nats_inbox_check(struct nats_inbox *i, struct error *err);

/* Connects, with handlers of its own for errors and for the end of the connection. */
natsStatus nats_inbox_connect(struct nats_inbox *i, natsOptions *o, natsConnection **out);
/* For messages that were asked for: nothing else bounds their number. */
natsStatus nats_inbox_subscribe(struct nats_inbox *i, natsConnection *nc, const char *subject,
                                natsSubscription **out);
