/* SPDX-License-Identifier: MIT
 * What a consumer tells about itself in Redis, for status and metrics: soon after something has
 * changed, but at most once a second, and otherwise every few seconds. */
#pragma once

#include "consumer.h"
#include "consumer_state.h"

struct consumer_report;

/* Both must outlive it. */
struct consumer_report *consumer_report_new(const struct config_account *a,
                                            const struct config_consumer *c, const char *source);
void consumer_report_error(struct consumer_report *r, const char *why);
void consumer_report_commit(struct consumer_report *r); /* messages were committed */

/* In how many milliseconds it is to be written; 0: now. */
uint64_t consumer_report_due_in_ms(const struct consumer_report *r, enum consumer_condition now,
                                   const struct consumer_counts *counts);
/* Writes it. 0, also if Redis refuses it, which is logged once; or -ENOTCONN: the connection is
 * lost. */
must_use int consumer_report_tell(struct consumer_report *r, struct client *c,
                                  enum consumer_condition now, const struct consumer_counts *counts,
                                  const struct source_lag *lag);
/* The consumer ends, and takes its state with it. c: NULL if there is no connection. Frees r. */
void consumer_report_end(struct consumer_report *r, struct client *c);
