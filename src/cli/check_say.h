/* SPDX-License-Identifier: MIT
 * How a check says what it found, for the files that check. */
#pragma once

#include "base.h"
#include "check.h"

struct report {
    check_cb *cb;
    void *ctx;
    const char *account, *subject; /* of struct check_finding */
};

/* One finding to r->cb; cut at 1,023 bytes. */
void check_say(const struct report *r, enum check_grade grade, const char *remedy, const char *fmt,
               ...) print_like(4, 5);
