/* SPDX-License-Identifier: MIT */
#include "buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes};
}

void buf_deinit(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.max = b->max};
}

/* Room for `more` bytes and a NUL. */
static int reserve(struct buf *b, size_t more)
{
    size_t room;

    if (more > b->max - b->n)
        return -EMSGSIZE;
    if (b->n + more + 1 <= b->room)
        return 0;
    room = b->room ? b->room * 2 : 128;
    if (room < b->n + more + 1)
        room = b->n + more + 1;
    b->p = alloc_grow(b->p, room, 1);
    b->room = room;
    return 0;
}

int buf_try_put(struct buf *b, struct span s)
{
    if (reserve(b, s.n) < 0)
        return -EMSGSIZE;
    if (s.n)
        memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
    b->p[b->n] = '\0';
    return 0;
}

void buf_put(struct buf *b, struct span s)
{
    int err = buf_try_put(b, s);

    must(err == 0);
}

void buf_putc(struct buf *b, char c)
{
    if (b->n >= b->max || b->n + 2 > b->room) {
        buf_put(b, span_of(&c, 1));
        return;
    }
    b->p[b->n++] = c;
    b->p[b->n] = '\0';
}

void buf_put_u64(struct buf *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);

    do
        digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    buf_put(b, span_of(digits + at, sizeof(digits) - at));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    int n, err;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    must(n >= 0);
    err = reserve(b, (size_t)n);
    must(err == 0);
    vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
    va_end(again);
    b->n += (size_t)n;
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    if (b->p)
        b->p[0] = '\0';
}

char *buf_take(struct buf *b)
{
    char *p = b->p ? b->p : alloc_copy("", 0);

    *b = (struct buf){.max = b->max};
    return p;
}
