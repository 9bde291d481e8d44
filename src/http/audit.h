/* SPDX-License-Identifier: MIT
 * What was refused to visitors of the HTTP endpoint, as lines of the log: so many a second, for
 * strangers must not be able to fill a disk; how many more there were is said as a number. */
#pragma once

#include "loop.h"

struct audit;
struct errand;

struct audit *audit_new(struct loop *l);
void audit_free(struct audit *a); /* says what it still owes */

/* The errand's visit must be there. Neither queries nor headers are written: tokens travel there.
 */
void audit_refused(struct audit *a, const struct errand *e, int status, const char *why);
