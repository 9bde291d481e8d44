/* SPDX-License-Identifier: MIT
 * A libcurl easy handle with its exchange, for the files of the sender: sets up the handle and
 * interprets the result. */
#pragma once

#include "sender.h"

#define TRANSFER_ORIGIN_MAX 512 /* "https://host:port/" with its NUL */

struct transfer {
    struct list link;   /* in the sender loop's list: idle or under way */
    void *easy;         /* CURL * */
    struct exchange *x; /* NULL when idle */
    char *connected;    /* sender loop's, TRANSFER_ORIGIN_MAX: origin of the newest connection */
    struct transfer_inside *inside;
};

struct sockets;

/* Connections are opened and closed by the sockets, which outlive the multi handle. */
struct transfer *transfer_new(struct sockets *s);
void transfer_free(struct transfer *t); /* not while in a multi handle; NULL is fine */

/* Takes ownership of x and sets up the easy handle for it. 0: may be added to a multi handle.
 * -ETIME: too late to start. -EINVAL: not a valid request. On an error, x is filled in as the
 * answer and belongs to the caller again. */
must_use int transfer_begin(struct transfer *t, struct exchange *x, uint64_t now_ns);

/* To be called when curl has finished the transfer with `result`, a CURLcode. Fills in the answer
 * and returns the exchange. The handle must still be in the multi handle. */
struct exchange *transfer_end(struct transfer *t, int result);

/* Ends a transfer that curl has not finished, and returns its exchange. */
struct exchange *transfer_abandon(struct transfer *t, const char *why);

/* True if the transfer goes to this origin and curl holds it back: curl waits until another
 * connection shows whether it can be shared. */
bool transfer_is_parked(const struct transfer *t, const char *origin);

int transfer_socket(struct transfer *t); /* -1: none; must still be in the multi handle */

/* Fills in the answer of an exchange that never reached a transfer. */
void exchange_fail(struct exchange *x, enum exchange_error error, const char *why);
