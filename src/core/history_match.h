/* SPDX-License-Identifier: MIT
 * Finds lines of the history (history_line.h) by what they say. Anybody who can write to Redis may
 * have written them, so they are taken for untrusted bytes. */
#pragma once

#include "span.h"

struct json_t;

/* What lines are wanted. A span without bytes: any. */
struct history_filter {
    struct span target; /* a key, or a URL with or without its scheme */
    struct span ref;
    struct span outcome; /* as in outcome_names */
    struct span job;
    struct span purge_id;
    struct span producer; /* who pushed the job, or did the act */
    bool acts;            /* only acts of people */
};

struct history_wanted;

/* The filter's spans must outlive it. */
struct history_wanted *history_wanted_new(const struct history_filter *f);
void history_wanted_free(struct history_wanted *w);

/* Whether a line that was found tells what a person did, not how a job ended. */
bool history_is_act(const struct json_t *line);

/* Whether this name did what the line tells: pushed the job, or did the act. Acts over HTTP say
 * from where, too: "ops from 192.0.2.7". */
bool history_is_by(const struct json_t *line, struct span name);

/* The line as a JSON object of the caller's, with `at`, and if it is a job's with `targets`, and
 * with `by` if it says who pushed it; NULL: it is not wanted, or no line of a history. */
must_use struct json_t *history_match(const struct history_wanted *w, struct span line,
                                      uint64_t at_ms);
