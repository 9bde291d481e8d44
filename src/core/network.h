/* SPDX-License-Identifier: MIT
 * The origin of a client: an address, a network of addresses, or a Unix socket. */
#pragma once

#include "base.h"
#include "span.h"

enum network_family { NETWORK_FOUR, NETWORK_SIX, NETWORK_UNIX };

struct network {
    enum network_family family;
    uint8_t bits;      /* of the prefix; of an address: all */
    uint8_t bytes[16]; /* an IPv4 address has four */
};

/* "10.1.0.0/16", "fd00::/8", "192.0.2.1", "::1", "unix"; an address with a zone ("fe80::1%eth0") is
 * without it, and IPv4 in IPv6 ("::ffff:192.0.2.1") is IPv4. 0, or -EINVAL: none of these, or bits
 * behind the prefix. */
must_use int network_parse(struct span text, struct network *out);
/* Whether one of them is in the other. */
bool network_overlap(const struct network *a, const struct network *b);
