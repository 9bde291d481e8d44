/* SPDX-License-Identifier: MIT
 * What the fuzzers of connections to Redis share: a transport whose bytes come from the input. The
 * linker uses these functions and those of the fuzzer instead of io's transport. The fuzzer has the
 * others: how the transport is opened and freed, how much is read, written and pending at a time.
 */
#pragma once

#include <string.h>

#include "base.h"
#include "redis_transport.h"
#include "span.h"

struct redis_transport {
    struct span greeting, rest; /* what arrives next, and then */
    size_t piece;               /* 0: everything at once */
    bool waits;                 /* before a piece arrives, there is nothing to read */
    int fd;                     /* always ready */
};

/* Moves up to n bytes of what arrives next to p. Returns how many. */
static inline ssize_t fake_transport_take(struct redis_transport *t, char *p, size_t n)
{
    struct span *from = t->greeting.n ? &t->greeting : &t->rest;

    n = from->n < n ? from->n : n;
    if (n)
        memcpy(p, from->p, n);
    *from = span_of(from->p + n, from->n - n);
    return (ssize_t)n;
}

/* Reads every byte, so that the sanitizer checks them. */
static inline void fake_transport_check(const char *p, size_t n)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (unsigned char)p[i];
    must(n > 0 && sum > 0);
}

#include "ready_transport.h"
