/* SPDX-License-Identifier: MIT
 * Whether something is in trouble, so that its beginning and its end are logged once each, and
 * another reason once more if it lasts. */
#pragma once

#include "error.h"

/* A server that goes away and comes back gives several reasons on the way, which say nothing new.
 */
#define CONSUMER_TROUBLE_LASTS_S 30

/* Must be zeroed before the first use. */
struct consumer_trouble {
    bool now;
    bool was_well; /* until the last time that it was not */
    struct error why;
    struct error other; /* another reason, given since then; "": none */
    uint64_t other_ns;
};

/* Whether to log it: it was not known, or has had another reason for some time. now_ns: monotonic.
 */
bool consumer_trouble_begins(struct consumer_trouble *t, const char *why, uint64_t now_ns);
/* The same for what may be over at the next attempt, like a connection that is lost: the first time
 * after it was well does not count. */
bool consumer_trouble_goes_on(struct consumer_trouble *t, const char *why, uint64_t now_ns);
/* Whether there was trouble until now. */
bool consumer_trouble_ends(struct consumer_trouble *t);
