/* SPDX-License-Identifier: MIT
 * Messages from any thread to one loop: a mutex, a list, one wake-up. Posting moves ownership; the
 * receiver takes all messages at once, in the order of posting. */
#pragma once

#include "list.h"
#include "loop.h"

struct mailbox;

/* `cb` runs on the loop's thread with a list of everything posted since; it must empty the list.
 * Called once per batch of posts, never from within mailbox_post. */
typedef void mailbox_cb(void *ctx, struct list *posted);

struct mailbox *mailbox_new(struct loop *l, mailbox_cb *cb, void *ctx);
void mailbox_post(struct mailbox *m, struct list *node);      /* any thread */
void mailbox_post_all(struct mailbox *m, struct list *nodes); /* any thread; empties `nodes` */
void mailbox_close(struct mailbox *m); /* the loop's thread; calls cb a last time for remaining
                                          messages before it returns */
