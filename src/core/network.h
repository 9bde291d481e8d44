/* SPDX-License-Identifier: MIT
 * The origin of a client: an address, a network of addresses, or a Unix socket. */
#pragma once

#include "base.h"
#include "span.h"

enum network_family { NETWORK_FOUR, NETWORK_SIX, NETWORK_UNIX };

struct network {
    enum network_family family;
    uint8_t bits;      /* length of the prefix; all bits for a single address */
    uint8_t bytes[16]; /* IPv4 uses the first four */
};

/* "10.1.0.0/16", "fd00::/8", "192.0.2.1", "::1", "unix"; the zone of an address ("fe80::1%eth0") is
 * dropped, and an IPv4-mapped IPv6 address ("::ffff:192.0.2.1") counts as IPv4. 0, or -EINVAL if it
 * is none of these or has bits set after the prefix. */
must_use int network_parse(struct span text, struct network *out);
/* Whether one of them contains the other. */
bool network_overlap(const struct network *a, const struct network *b);
