/* SPDX-License-Identifier: MIT
 * Fetches pages through Fastly after their purges: at most so many per minute, without the token,
 * and only from hosts that are public or that the configuration names. */
#pragma once

#include "sender.h"
#include "span.h"

struct dispatch;
struct page_look; /* a request for a page */
struct looks;

struct looks *looks_new(struct dispatch *d);
void looks_free(struct looks *l); /* after looks_forget for each look; NULL is fine */
/* Whether one more look may be taken now; otherwise *again_ns is when to ask again. */
bool looks_may(struct looks *l, uint64_t now_ns, uint64_t *again_ns);
/* Called once, unless the look is forgotten first. The exchange is lent, and the look is gone. */
typedef void looks_cb(void *ctx, const struct exchange *x);
/* Fetches the page, over https if the URL has no scheme, from the POP at the address `via`; NULL:
 * from where the name of its host leads. Both are copied. */
struct page_look *looks_begin(struct looks *l, struct span url, const char *via, looks_cb *cb,
                              void *ctx);
void looks_forget(struct page_look *look);   /* its reply is not wanted any more; NULL is fine */
uint64_t looks_bytes(const struct looks *l); /* memory that the replies under way may take */
