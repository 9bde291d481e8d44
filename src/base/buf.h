/* SPDX-License-Identifier: MIT
 * A growing run of bytes that must be told how far it may grow. */
#pragma once

#include <stdarg.h>

#include "base.h"
#include "span.h"

struct buf {
    char *p;     /* always NUL-terminated once something was put; NULL before */
    size_t n;    /* bytes held, without the NUL */
    size_t room; /* bytes allocated */
    size_t max;  /* ceiling for n */
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_deinit(struct buf *b); /* also after buf_take */

/* All or nothing. 0, or -EMSGSIZE when the ceiling would be passed. */
must_use int buf_try_put(struct buf *b, struct span s);

/* For what we ourselves bounded before: passing the ceiling is our mistake and aborts. */
void buf_put(struct buf *b, struct span s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) print_like(2, 3);

void buf_clear(struct buf *b); /* keeps the memory */
char *buf_take(struct buf *b); /* the bytes, now the caller's to free; the buffer is empty again */

static inline struct span buf_span(const struct buf *b)
{
    return span_of(b->p ? b->p : "", b->n);
}
