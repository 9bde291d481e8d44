/* SPDX-License-Identifier: MIT
 * Who pushed a job, by its fields. */
#pragma once

#include "span.h"

#define JOB_BY_MAX_BYTES 256

/* Who pushed a job stands in its field `by`, or in this one. Version 0.1.0 refuses a job with a
 * field that it does not know, but ignores those that begin with dead_. While some instances may
 * still be of that version, purgeline itself writes this one; it can write `by` once no version
 * without `by` can be in use, and must go on reading both as long as jobs of older versions may be
 * waiting. */
#define JOB_FIELD_BY "dead_by"

/* Whether it can be the name of who pushed a job: 1 to JOB_BY_MAX_BYTES bytes. */
bool job_by_ok(struct span by);
/* Who pushed the job with these fields, also if it is not valid; empty: not known. */
struct span job_by_of(const struct span *fields, size_t fields_count);
/* Whether a producer may have this name: not a hook or consumer, whose names begin with their
 * kind. */
bool job_by_producer(struct span by);
