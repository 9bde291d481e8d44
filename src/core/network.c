/* SPDX-License-Identifier: MIT */
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static int parse_address(struct span text, struct network *n)
{
    const char *zone = text.n ? memchr(text.p, '%', text.n) : NULL;
    char copy[INET6_ADDRSTRLEN];

    *n = (struct network){.family = NETWORK_FOUR, .bits = 32};
    if (zone)
        text.n = (size_t)(zone - text.p);
    if (text.n == 0 || text.n >= sizeof(copy) || memchr(text.p, '\0', text.n))
        return -EINVAL;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    if (!zone && inet_pton(AF_INET, copy, n->bytes) == 1)
        return 0;
    if (inet_pton(AF_INET6, copy, n->bytes) != 1)
        return -EINVAL;
    n->family = NETWORK_SIX;
    n->bits = 128;
    if (memcmp(n->bytes, mapped, sizeof(mapped)) != 0)
        return 0;
    memcpy(n->bytes, n->bytes + sizeof(mapped), 4);
    memset(n->bytes + 4, 0, 12);
    n->family = NETWORK_FOUR;
    n->bits = 32;
    return 0;
}

static bool bit(const struct network *n, unsigned i)
{
    return n->bytes[i / 8] & 0x80 >> i % 8;
}

int network_parse(struct span text, struct network *out)
{
    const char *slash = text.n ? memchr(text.p, '/', text.n) : NULL;
    struct network n = {.family = NETWORK_UNIX};
    unsigned all;
    uint64_t bits;

    if (span_is(text, "unix")) {
        *out = n;
        return 0;
    }
    if (parse_address(slash ? span_of(text.p, (size_t)(slash - text.p)) : text, &n) < 0)
        return -EINVAL;
    all = n.bits;
    if (slash) {
        bool six = memchr(text.p, ':', text.n) != NULL;

        if (span_to_u64(span_of(slash + 1, text.n - (size_t)(slash + 1 - text.p)), &bits) < 0 ||
            bits > all || six != (n.family == NETWORK_SIX))
            return -EINVAL;
        n.bits = (uint8_t)bits;
    }
    for (unsigned i = n.bits; i < all; i++)
        if (bit(&n, i))
            return -EINVAL;
    *out = n;
    return 0;
}

bool network_overlap(const struct network *a, const struct network *b)
{
    unsigned shared = a->bits < b->bits ? a->bits : b->bits;

    if (a->family != b->family)
        return false;
    for (unsigned i = 0; i < shared; i++)
        if (bit(a, i) != bit(b, i))
            return false;
    return true;
}
