/* SPDX-License-Identifier: MIT
 * Leaders that slept until another led. What such a one sent before is known by its connections: by
 * these nothing more may come from its awakening on, until it leads again. Times are Unix ms. */
#pragma once

#include "requests.h"

struct fences {
    struct fence *at;
    size_t count;
    int watched; /* whom the last is for, as long as it is watched; -1: nobody */
};

void fences_init(struct fences *f);
void fences_deinit(struct fences *f);
/* `who` leads since then and is about to be put to sleep. */
void fences_sleep(struct fences *f, int who, struct requests *r, uint64_t leads_since_ms);
void fences_wake(struct fences *f, int who);   /* is about to be woken */
void fences_forget(struct fences *f, int who); /* is dead: what was seen so far counts */
/* While `who` is awake: who leads now, or a moment ago; -1: nobody knows. */
void fences_watch(struct fences *f, int leader, uint64_t seen_ms);
/* How many requests came through; `judged`: how many sleepers there were. */
unsigned fences_broken(const struct fences *f, const struct requests *r, unsigned *judged);
