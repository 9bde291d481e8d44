/* SPDX-License-Identifier: MIT
 * One of the senders' threads: a loop, a curl multi handle, and its exchanges. */
#pragma once

#include "mailbox.h"
#include "sender.h"

struct sender_loop;

/* Starts the thread. Finished exchanges are posted to `replies`. */
struct sender_loop *sender_loop_new(uint32_t number, const struct senders_options *o,
                                    struct mailbox *replies);
void sender_loop_post(struct sender_loop *s, struct list *exchanges); /* empties the list */

/* Returns all unfinished exchanges, then posts `ended` as the last message. */
void sender_loop_stop(struct sender_loop *s, struct list *ended);
void sender_loop_free(struct sender_loop *s); /* after `ended` arrived; joins the thread */
