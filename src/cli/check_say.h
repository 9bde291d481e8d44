/* SPDX-License-Identifier: MIT
 * Reports a finding. Shared by the files with checks. */
#pragma once

#include "base.h"
#include "check.h"

struct report {
    check_cb *cb;
    void *ctx;
    const char *account, *subject; /* for struct check_finding */
};

/* Passes one finding to r->cb. Its sentence is cut at 1,023 bytes. */
void check_say(const struct report *r, enum check_grade grade, const char *remedy, const char *fmt,
               ...) print_like(4, 5);
