/* SPDX-License-Identifier: MIT
 * The canaries of one account, while this instance leads it: purges their pages on the budget,
 * fetches them, and tells once what has changed. core/canary decides. */
#pragma once

#include <stdbool.h>

#include "canary.h"
#include "clock.h"
#include "config.h"

struct dispatch;
struct canaries;
struct json_t;

struct canaries *canaries_new(struct dispatch *d);
void canaries_free(struct canaries *k); /* no purge may be in flight; NULL is fine */

/* Takes over the canaries that the configuration has for the account. Those that are the same keep
 * what is known of them. */
void canaries_configure(struct canaries *k, uint64_t now_ns);
void canaries_rest(struct canaries *k, uint64_t now_ns);     /* we lead no more: nothing is known */
uint64_t canaries_tick(struct canaries *k, uint64_t now_ns); /* returns when to call it again */
bool canaries_idle(const struct canaries *k);                /* no purge is in flight */

uint64_t canaries_count(const struct canaries *k);
uint64_t canaries_in(const struct canaries *k, enum canary_state state); /* how many */
uint64_t canaries_tries(const struct canaries *k, enum canary_kind kind);
uint64_t canaries_failures(const struct canaries *k, enum canary_kind kind);
/* Those that show a fault, as a list of objects: canary, service, url, state, for_ms, what,
 * advice. */
#define CANARIES_SHOWN_MAX 32
struct json_t *canaries_json(const struct canaries *k, uint64_t now_ns);
