/* SPDX-License-Identifier: MIT
 * Watches leaders that are stopped until another one leads. Their earlier connections are known.
 * After such a leader is resumed, no request may arrive on these, until it leads again. Times are
 * Unix milliseconds. */
#pragma once

#include "requests.h"

struct fences {
    struct fence *at;
    size_t count;
    int watched; /* the stopped instance to which the last fence belongs, while it is watched; -1:
                    none */
};

void fences_init(struct fences *f);
void fences_deinit(struct fences *f);
/* Call this before `who`, which has led since then, is stopped. */
void fences_sleep(struct fences *f, int who, struct requests *r, uint64_t leads_since_ms);
void fences_wake(struct fences *f, int who);   /* call this before it is resumed */
void fences_forget(struct fences *f, int who); /* it has been killed: keeps what was seen so far */
/* While `who` is running: tells which instance leads now or did a moment ago; -1: unknown. */
void fences_watch(struct fences *f, int leader, uint64_t seen_ms);
/* The number of requests on connections that were watched; `judged`: the number of stopped leaders.
 */
unsigned fences_broken(const struct fences *f, const struct requests *r, unsigned *judged);
