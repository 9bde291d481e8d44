/* SPDX-License-Identifier: MIT
 * Whether something is in trouble, so that its beginning and its end are logged once each, and a
 * different reason once more. */
#pragma once

#include "error.h"

/* Must be zeroed before the first use. */
struct consumer_trouble {
    bool now;
    struct error why;
};

/* Whether to log it: it was not known, or it had another reason. */
bool consumer_trouble_begins(struct consumer_trouble *t, const char *why);
/* Whether there was trouble until now. */
bool consumer_trouble_ends(struct consumer_trouble *t);
