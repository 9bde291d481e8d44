/* SPDX-License-Identifier: MIT
 * Producers and their permissions: identifies a producer by the digest of its token, its
 * certificate or its address, and checks its scopes and its rate. */
#pragma once

#include "config.h"
#include "job.h"
#include "network.h"

struct gate;

struct gate *gate_new(const struct config *c); /* c must outlive the gate */
/* Switches to another configuration: a producer in both keeps its rate count. Frees the old
 * gate. */
struct gate *gate_renew(struct gate *old, const struct config *c);
void gate_free(struct gate *g);

bool gate_open(const struct gate
                   *g); /* no producers are configured: clients on this machine may do everything */
/* The producer that stands for clients of an open gate. */
const struct config_producer *gate_anybody(void);
/* Finds a producer of a previous configuration in this one; NULL if it was removed or has another
 * token. */
const struct config_producer *gate_still(const struct gate *g, const struct config_producer *p);
/* The producer with this token, or NULL. Takes the same time for every token. */
const struct config_producer *gate_find(const struct gate *g, struct span token);
/* The producer with this name in its verified client certificate, or with this address; NULL if
 * there is none. There are never two. */
const struct config_producer *gate_find_certificate(const struct gate *g, struct span name);
const struct config_producer *gate_find_from(const struct gate *g, const struct network *from);

bool gate_may_account(const struct config_producer *p, const struct config_account *a);
bool gate_may_service(const struct config_producer *p, const struct config_service *s);
/* Checks a job that was decoded for the account. 0, or -EACCES with a message that names the
 * field. */
must_use int gate_may_push(const struct config_producer *p, const struct config_account *a,
                           enum lane lane, const struct job_spec *spec, char *err, size_t err_room);
/* Checks one word of a receipt's scope (see store/queue.h, queue_settle): whether this producer
 * could have pushed a job with this word. */
bool gate_may_word(const struct config_producer *p, const struct config_account *a,
                   struct span word);
/* Whether the producer may use the service of jobs that name none; true if there is no such
 * service. */
bool gate_may_default_service(const struct config_producer *p, const struct config_account *a);
/* Whether the producer may push every job that the account accepts in this lane. */
bool gate_may_anything(const struct config_producer *p, enum lane lane);
/* Counts jobs against the producer's rate limit. 0, or the milliseconds after which it may push
 * again: never 0 for a rate-limited producer that is not in the configuration. */
uint64_t gate_take(struct gate *g, const struct config_producer *p, uint32_t jobs, uint64_t now_ns);
