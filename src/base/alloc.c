/* SPDX-License-Identifier: MIT */
#include "alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

void *alloc_bytes(size_t size)
{
    void *p = malloc(size ? size : 1);

    must(p != NULL);
    return p;
}

void *alloc_zeroed(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);

    must(p != NULL);
    return p;
}

void *alloc_grow(void *p, size_t count, size_t size)
{
    void *q = reallocarray(p, count ? count : 1, size ? size : 1);

    must(q != NULL);
    return q;
}

char *alloc_copy(const char *p, size_t n)
{
    char *q = alloc_bytes(n + 1);

    if (n)
        memcpy(q, p, n);
    q[n] = '\0';
    return q;
}

char *alloc_str(const char *s)
{
    return alloc_copy(s, strlen(s));
}

char *alloc_printf(const char *fmt, ...)
{
    va_list ap;
    char *s;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&s, fmt, ap);
    va_end(ap);
    must(n >= 0);
    return s;
}
