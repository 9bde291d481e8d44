/* SPDX-License-Identifier: MIT
 * Producers and their permissions: identifies a producer by the digest of its token, its
 * certificate or its address, and checks its scopes and its rate. */
#pragma once

#include "config.h"
#include "job.h"
#include "network.h"

struct auth;

struct auth *auth_new(const struct config *c); /* c must outlive it */
/* Switches to another configuration: a producer in both keeps its rate count. Frees the old
 * one. */
struct auth *auth_renew(struct auth *old, const struct config *c);
void auth_free(struct auth *g);

bool auth_open(const struct auth
                   *g); /* no producers are configured: clients on this machine may do everything */
/* The producer that stands for clients if no producer is configured. */
const struct config_producer *auth_anybody(void);
/* Finds a producer of a previous configuration in this one; NULL if it was removed or has another
 * token. */
const struct config_producer *auth_still(const struct auth *g, const struct config_producer *p);
/* The producer with this token, or NULL. Takes the same time for every token. */
const struct config_producer *auth_find(const struct auth *g, struct span token);
/* The producer with this name in its verified client certificate, or with this address; NULL if
 * there is none. There are never two. */
const struct config_producer *auth_find_certificate(const struct auth *g, struct span name);
const struct config_producer *auth_find_from(const struct auth *g, const struct network *from);

bool auth_may_account(const struct config_producer *p, const struct config_account *a);
bool auth_may_service(const struct config_producer *p, const struct config_service *s);
/* Checks a job that was decoded for the account. 0, or -EACCES with a message that names the
 * field. */
must_use int auth_may_push(const struct config_producer *p, const struct config_account *a,
                           enum lane lane, const struct job_spec *spec, struct error *err);
/* Checks one word of a receipt's scope (see store/queue.h, queue_settle): whether this producer
 * could have pushed a job with this word. */
bool auth_may_word(const struct config_producer *p, const struct config_account *a,
                   struct span word);
/* Whether the producer may use the service of jobs that name none; true if there is no such
 * service. */
bool auth_may_default_service(const struct config_producer *p, const struct config_account *a);
/* Whether the producer may push every job that the account accepts in this lane. */
bool auth_may_anything(const struct config_producer *p, enum lane lane);
/* Counts jobs against the producer's rate limit. 0, or the milliseconds after which it may push
 * again: never 0 for a rate-limited producer that is not in the configuration. */
uint64_t auth_take(struct auth *g, const struct config_producer *p, uint32_t jobs, uint64_t now_ns);
