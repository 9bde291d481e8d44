/* SPDX-License-Identifier: MIT
 * Logs refused HTTP requests. The number of lines per second is limited, so that clients cannot
 * fill the disk; the number of suppressed lines is logged. */
#pragma once

#include "loop.h"

struct audit;
struct errand;

struct audit *audit_new(struct loop *l);
void audit_free(struct audit *a); /* says what it still owes */

/* The errand's visit must be there. Neither queries nor headers are written: tokens travel there.
 */
void audit_refused(struct audit *a, const struct errand *e, int status, const char *why);
