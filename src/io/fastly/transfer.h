/* SPDX-License-Identifier: MIT
 * A libcurl easy handle with its exchange, for the files of the sender: sets up the handle and
 * interprets the result. */
#pragma once

#include "sender.h"

#define TRANSFER_ORIGIN_MAX 512 /* "https://host:port/" with its end */

struct transfer {
    struct list link;   /* the sender loop's: idle or under way */
    void *easy;         /* CURL * */
    struct exchange *x; /* NULL when idle */
    char *connected; /* the sender loop's, TRANSFER_ORIGIN_MAX: whereto the newest connection is */
    struct transfer_inside *inside;
};

struct transfer *transfer_new(void);
void transfer_free(struct transfer *t); /* not while in a multi handle; NULL is fine */

/* Takes x and sets curl up for it. 0: may be added to a multi handle. -ETIME: too late to start.
 * -EINVAL: not something that can be a request. On error x is filled in as the answer, and is the
 * caller's again. */
must_use int transfer_begin(struct transfer *t, struct exchange *x, uint64_t now_ns);

/* Curl is through with it (a CURLcode). Fills the answer in and returns the exchange. To be called
 * while still in the multi handle. */
struct exchange *transfer_end(struct transfer *t, int result);

/* Given up before curl was through with it. */
struct exchange *transfer_abandon(struct transfer *t, const char *why);

/* True if the transfer goes to this origin and curl holds it back: curl waits until another
 * connection shows whether it can be shared. */
bool transfer_is_parked(const struct transfer *t, const char *origin);

int transfer_socket(struct transfer *t); /* -1: none. Before it is taken out of the multi handle. */

/* An exchange that never reached a transfer. */
void exchange_fail(struct exchange *x, enum exchange_error error, const char *why);
