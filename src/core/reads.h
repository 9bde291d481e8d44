/* SPDX-License-Identifier: MIT
 * Requests that only read Fastly's API, and how many of them an account may send.
 *
 * Fastly allows a user 6,000 of them per minute,
 * https://www.fastly.com/documentation/reference/api/#rate-limiting , and of these 200 per hour may
 * be for edge_check, https://www.fastly.com/documentation/reference/api/utils/content/ . Settings
 * say which part of that is purgeline's. Pages that are fetched through Fastly are no requests to
 * its API. */
#pragma once

#include "config.h"

enum read_kind { READ_API, READ_EDGE_CHECK, READ_EVENTS, READ_N };
extern const char *const read_names[READ_N]; /* "api", "edge_check", "events" */
extern const uint64_t read_windows_ms[READ_N];
extern const uint64_t read_hold_max_ms[READ_N]; /* no request of the kind is held for longer */

uint64_t read_limit(const struct config_account *a, enum read_kind k);
/* The limits that a request of this kind counts against: each is a request to the API. Returns
 * their number. */
size_t read_kinds_of(enum read_kind k, enum read_kind out[READ_N]);

/* Why a request may not be sent. */
struct read_refusal {
    enum read_kind kind; /* the limit that forbids it */
    bool by_fastly;      /* which has answered 429; false: our count is full */
    uint64_t wait_ms;    /* until one may be sent */
};

/* Writes a clause: what is used up, and until when. wall_ms: Unix time now. */
void read_refusal_words(const struct config_account *a, const struct read_refusal *r,
                        uint64_t wall_ms, char *out, size_t room);

/* How long to hold such requests after a 429 that does not say how long. */
#define READ_HOLD_MS 60000u
