/* SPDX-License-Identifier: MIT
 * A fake origin that jobs with a `when` ask. Whatever the URL, it answers with the version that it
 * has now, in the header x-version and in the body. */
#pragma once

#include "sender.h"

struct origin_fake {
    uint64_t version, highest; /* highest: that it has ever shown */
    int status;
    bool refuses;  /* no connection is to be had */
    bool silent;   /* it never answers */
    uint64_t asks; /* that arrived, since a story has looked at them last */
};
extern struct origin_fake origin_fake;

void origin_fake_begin(void);
void origin_fake_answer(struct exchange *x); /* fills in what it answers now */
