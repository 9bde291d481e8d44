/* SPDX-License-Identifier: MIT
 * Logs refused HTTP requests. The number of lines per second is limited, so that clients cannot
 * fill the disk; the number of suppressed lines is logged. */
#pragma once

#include "loop.h"

struct audit;
struct request;

struct audit *audit_new(struct loop *l);
void audit_free(struct audit *a); /* logs the remaining number of suppressed lines */

/* The request must still have its visit. Queries and headers are not logged, because they may
 * contain tokens. */
void audit_refused(struct audit *a, const struct request *e, int status, const char *why);
