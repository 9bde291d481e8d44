/* SPDX-License-Identifier: MIT
 * What `repeat_after: auto` means now, for each service of one account. Kept in memory: a new
 * leader learns it anew. */
#pragma once

#include "config.h"
#include "repeat.h"

struct json_t;
struct repeats;

struct repeats *repeats_new(const struct config_account *a);
void repeats_free(struct repeats *r); /* NULL is fine */
/* What is known of services that are still there is kept. */
void repeats_configure(struct repeats *r, const struct config_account *a);

/* A page was stale after a purge, and fresh after another one that began so much later. The service
 * is an index in the account's services, or SERVICE_NONE. */
void repeats_saw(struct repeats *r, uint16_t service, uint64_t stale_ns);

enum repeats_what { REPEATS_SOME, REPEATS_ALL /* a purge-all */, REPEATS_WHAT_N };
extern const char *const repeats_whats[REPEATS_WHAT_N]; /* "targets", "all" */
/* How long after its purge a job of this service should be purged again: as learnt from this
 * service; if that is not enough, from all of the account; otherwise REPEAT_DEFAULT_MS. */
uint64_t repeats_after_ms(const struct repeats *r, uint16_t service, enum repeats_what what);

/* -- for status and metrics -- */
#define REPEATS_SHOWN_MAX 20u
/* A list of {"service","after_ms"} for services of which enough is known. */
struct json_t *repeats_json(const struct repeats *r);
