/* SPDX-License-Identifier: MIT
 * A list that another application fills with messages. A message is moved to a list of ours, in one
 * step, and removed from there when it is done, so that it is always in one of them:
 *
 *     RPUSH ─▶ the list ── LMOVE ─▶ {<list>}:purgeline:<consumer> ── LREM ─▶ gone
 *
 * https://redis.io/docs/latest/commands/lmove/ calls this the reliable queue. */
#pragma once

#include "client.h"

#define FOREIGN_LIST_BATCH 128u

struct foreign_list;

/* `consumer` names our list. Messages are taken from the left or right end. Connects. 0, or
 * negative errno with a sentence. */
enum foreign_list_end { FOREIGN_LIST_LEFT, FOREIGN_LIST_RIGHT };
must_use int foreign_list_open(const struct redis_address *a, const char *list,
                               enum foreign_list_end end, const char *consumer,
                               struct foreign_list **out, struct error *err);
/* The name of our list. malloc'ed. */
char *foreign_list_ours(const char *list, const char *consumer);
void foreign_list_close(struct foreign_list *l); /* NULL is fine */

/* Gets the next messages: first those that are in our list from earlier. Waits until there are any,
 * `stop_fd` is readable, or some seconds are over. Writes at most `max` and at most
 * FOREIGN_LIST_BATCH messages, which are valid until the next call. Returns how many; or negative
 * errno with a sentence, and then the list must be closed. */
must_use int foreign_list_fetch(struct foreign_list *l, int stop_fd, uint32_t max,
                                struct span *messages, struct error *err);
/* Removes the first `count` of the messages that were fetched last. */
must_use int foreign_list_done(struct foreign_list *l, uint32_t count, struct error *err);
/* How many messages wait in the list. 0, or negative errno with a sentence. */
must_use int foreign_list_waiting(struct foreign_list *l, uint64_t *out, struct error *err);
