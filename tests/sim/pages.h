/* SPDX-License-Identifier: MIT
 * Fake POPs: each has a copy of every page, an hour old when a story begins. A purge drops the
 * copies, and whoever asks next fetches the page anew. */
#pragma once

#include "fastly_fake.h"
#include "play.h"
#include "sender.h"

void pages_begin(void);
void pages_end(void);
void pages_purge(const struct request *r); /* its purge takes effect */
/* Fills in status and head of the reply, as `x->via` serves the page now. False: no reply comes. */
bool pages_serve(struct exchange *x);
/* The same for a visitor of the nearest POP, who sends Fastly-Debug. */
bool pages_visit(struct span url, struct buf *head);
/* A page of this service (its id), with this surrogate key. */
void pages_add(struct span url, const char *service, const char *key);

/* -- for stories -- */
void play_pop(struct play *p);   /* pop P1 deaf times=2 */
void play_page(struct play *p);  /* page URL key=name version=2 service=shop urls=dead */
void play_visit(struct play *p); /* visit URL pop=P1 */
uint32_t pages_looks(void);      /* pages that were asked for since the last call */
