/* SPDX-License-Identifier: MIT
 * Runs a consumer: takes messages from a source, pushes them as jobs, and tells the source only
 * then that they are done. */
#pragma once

#include "redis.h"
#include "source.h"

struct consumer_counts {
    uint64_t fetched; /* messages, also those that came again */
    uint64_t jobs;    /* accepted by Redis */
    uint64_t ignored; /* messages with nothing to purge */
    uint64_t dead;    /* messages that became dead letters */
};

struct consumer_options {
    const struct config *config;
    const struct config_consumer *consumer;
    const struct message_source *source;
    const struct redis_address *redis; /* purgeline's own */
    int stop_fd;                       /* becomes and stays readable when it is to stop */
};

/* Runs until it is asked to stop and what it has fetched is pushed and committed; while Redis is
 * away, the latter stays with the source instead. Trouble with Redis or the source is logged once,
 * and never ends it. 0; or negative errno with a sentence: -EINVAL: the mapping is invalid; others:
 * no file descriptor is left.
 *
 * A message is committed after Redis has its job, and with redis_replicas after the replicas have
 * it; messages are committed in order. So each becomes at least one job, and after a crash some
 * become two. */
must_use int consumer_run(const struct consumer_options *o, struct consumer_counts *counts,
                          struct error *err);
