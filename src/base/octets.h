/* SPDX-License-Identifier: MIT
 * Tests eight bytes of text at a time ("Hacker's Delight", chapter 6). A test returns 0 if no byte
 * qualifies; otherwise it sets the top bit of at least one byte. A borrow can set the wrong bit,
 * but the result is 0 only if no byte qualifies. */
#pragma once

#include "span.h"

#define OCTETS(c) (UINT64_C(0x0101010101010101) * (uint8_t)(c))

static inline uint64_t octets_load(const char *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    return w;
}

static inline uint64_t octets_equal(uint64_t w, uint8_t c)
{
    uint64_t x = w ^ OCTETS(c);

    return (x - OCTETS(1)) & ~x & OCTETS(0x80);
}

/* 0x00 to 0x20 and 0x7F: control characters and the space. */
static inline uint64_t octets_blank(uint64_t w)
{
    return ((w - OCTETS(0x21)) & ~w & OCTETS(0x80)) | octets_equal(w, 0x7f);
}

/* '0' must not qualify because it pads words of fewer than eight bytes. */
static inline bool octets_any(struct span s, uint64_t test(uint64_t))
{
    uint64_t found = 0, tail = OCTETS('0');

    for (; s.n >= 8; s.p += 8, s.n -= 8)
        found |= test(octets_load(s.p));
    if (s.n) {
        memcpy(&tail, s.p, s.n);
        found |= test(tail);
    }
    return found != 0;
}
