/* SPDX-License-Identifier: MIT
 * Purge-alls that others have sent, by Fastly's event log, while this instance leads the account.
 * It asks only if reads.purge_alls_every_s says so, and only a superuser's token is told; another
 * one is asked again after a day, or when it is replaced.
 *
 *   REST ──due──▶ count it in Redis ──yes──▶ [whose token is ours?] ──▶ ask for the events ──▶ REST
 *                      └── a limit is used up, or it may not: REST until then ──▲ */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "clock.h"

struct dispatch;
struct event_watch;

struct event_watch *event_watch_new(struct dispatch *d);
void event_watch_free(struct event_watch *w); /* NULL is fine; replies that are due are ignored */
void event_watch_configure(struct event_watch *w); /* the settings may be others */
void event_watch_rest(struct event_watch *w);      /* we lead no more */
void event_watch_renew(struct event_watch *w);     /* the token may be another one */
uint64_t event_watch_tick(struct event_watch *w,
                          struct now now); /* returns when to call it again */

/* Whether the log could be read when it was last asked. */
bool event_watch_knows(const struct event_watch *w);
uint64_t event_watch_found(const struct event_watch *w, uint64_t wall_ms); /* within an hour */
