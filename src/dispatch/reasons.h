/* SPDX-License-Identifier: MIT
 * Why batches wait for their retry, in words. Each text is kept once, however many batches wait for
 * the same reason, and there are REASONS_MAX of them at most: what comes beyond is not kept. */
#pragma once

#include "base.h"

#define REASONS_MAX 64u

struct reasons {
    struct reason {
        char *text; /* NULL: free */
        uint32_t holders;
    } at[REASONS_MAX];
};

/* The number of the text, with one more holder; 0: it is empty, or there is no room. */
uint16_t reasons_hold(struct reasons *r, const char *text);
void reasons_drop(struct reasons *r, uint16_t number);              /* 0 is fine */
const char *reasons_text(const struct reasons *r, uint16_t number); /* "" for 0 */
uint64_t reasons_bytes(const struct reasons *r);                    /* beside the struct itself */
