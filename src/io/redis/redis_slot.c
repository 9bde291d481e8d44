/* SPDX-License-Identifier: MIT */
#include "redis_slot.h"

#include "redis.h"

static struct span hash_tag(struct span key)
{
    const char *open = key.n ? memchr(key.p, '{', key.n) : NULL;
    const char *end = key.p + key.n;
    const char *close = open ? memchr(open, '}', (size_t)(end - open)) : NULL;

    return close && close > open + 1 ? span_of(open + 1, (size_t)(close - open - 1)) : key;
}

/* CRC-16/XMODEM */
uint32_t redis_slot_of(struct span key)
{
    struct span s = hash_tag(key);
    uint32_t crc = 0;

    for (size_t i = 0; i < s.n; i++) {
        crc ^= (uint32_t)(unsigned char)s.p[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 0x8000 ? (crc << 1 ^ 0x1021) & 0xffff : crc << 1 & 0xffff;
    }
    return crc % REDIS_SLOTS;
}
