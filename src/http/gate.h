/* SPDX-License-Identifier: MIT
 * Who may push over HTTP, and what: producers known by the digest of their token, by their
 * certificate or their address, their scopes and their pace. */
#pragma once

#include "config.h"
#include "job.h"
#include "network.h"

struct gate;

struct gate *gate_new(const struct config *c); /* lent */
/* With another configuration: a producer that is in both keeps its pace. Frees the old one. */
struct gate *gate_renew(struct gate *old, const struct config *c);
void gate_free(struct gate *g);

bool gate_open(const struct gate *g); /* no producers are configured: this machine may do all */
/* Who is let in by an open gate. */
const struct config_producer *gate_anybody(void);
/* The same producer, let in by a configuration before: as it is now, or NULL when it is gone or has
 * another token. */
const struct config_producer *gate_still(const struct gate *g, const struct config_producer *p);
/* The producer of that token, or NULL. Takes as long whoever it is. */
const struct config_producer *gate_find(const struct gate *g, struct span token);
/* The producer whose verified client certificate has that name; or that comes from there. NULL:
 * none; there are never two. */
const struct config_producer *gate_find_certificate(const struct gate *g, struct span name);
const struct config_producer *gate_find_from(const struct gate *g, const struct network *from);

bool gate_may_account(const struct config_producer *p, const struct config_account *a);
bool gate_may_service(const struct config_producer *p, const struct config_service *s);
/* The job that was decoded for the account. 0, or -EACCES with a sentence naming the field. */
must_use int gate_may_push(const struct config_producer *p, const struct config_account *a,
                           enum lane lane, const struct job_spec *spec, char *err, size_t err_room);
/* What a receipt says of its job (see store/queue.h, queue_settle): whether this producer could
 * have pushed it, as far as that word goes. */
bool gate_may_word(const struct config_producer *p, const struct config_account *a,
                   struct span word);
/* The service of jobs that name none; true where there is no such. */
bool gate_may_default_service(const struct config_producer *p, const struct config_account *a);
/* It could have pushed whatever the account takes in this lane. */
bool gate_may_anything(const struct config_producer *p, enum lane lane);
/* Counts jobs against the producer's pace. 0, or the milliseconds after which it may push again:
 * never 0 for a producer with a pace that is not in the configuration. */
uint64_t gate_take(struct gate *g, const struct config_producer *p, uint32_t jobs, uint64_t now_ns);
