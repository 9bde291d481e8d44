/* SPDX-License-Identifier: MIT
 * A growing byte buffer with a mandatory maximum size. */
#pragma once

#include <stdarg.h>

#include "base.h"
#include "span.h"

struct buf {
    char *p;     /* NUL-terminated after the first put; NULL before */
    size_t n;    /* number of bytes, without the NUL */
    size_t room; /* bytes allocated */
    size_t max;  /* maximum for n */
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_deinit(struct buf *b); /* also after buf_take */

/* Appends everything and returns 0, or appends nothing and returns -EMSGSIZE when the result would
 * exceed max. */
must_use int buf_try_put(struct buf *b, struct span s);

/* For data whose size our own code has limited: exceeding max is a bug and aborts. */
void buf_put(struct buf *b, struct span s);
void buf_putc(struct buf *b, char c);
void buf_put_u64(struct buf *b, uint64_t n); /* in decimal */
void buf_printf(struct buf *b, const char *fmt, ...) print_like(2, 3);

void buf_clear(struct buf *b); /* keeps the memory */
char *buf_take(struct buf *b); /* the bytes, to be freed by the caller; the buffer is then empty */

static inline struct span buf_span(const struct buf *b)
{
    return span_of(b->p ? b->p : "", b->n);
}
