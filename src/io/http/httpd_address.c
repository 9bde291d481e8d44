/* SPDX-License-Identifier: MIT
 * Counts the connections of each client address. libmicrohttpd's own limit is not used, because it
 * counts per daemon, treats each of the 2^64 addresses that one IPv6 client may have as a different
 * client, and includes this machine's own addresses. */
#include <netinet/in.h>
#include <search.h>
#include <stdlib.h>

#include "alloc.h"
#include "httpd_internal.h"

struct address {
    uint64_t key;
    uint32_t connections;
};

static int compare(const void *left, const void *right)
{
    const struct address *a = left, *b = right;

    return a->key < b->key ? -1 : a->key > b->key;
}

static uint64_t first_bytes(const uint8_t *p, size_t n)
{
    uint64_t key = 0;

    for (size_t i = 0; i < n; i++)
        key = key << 8 | p[i];
    return key;
}

/* The key of an address: an IPv4 address, or the /64 network of an IPv6 address. 0 for 127.0.0.1
 * and ::1, which are not counted, because a proxy on this machine may serve many clients. */
static uint64_t key_of(const struct sockaddr *a)
{
    const struct in6_addr *six = &((const struct sockaddr_in6 *)a)->sin6_addr;
    const uint8_t *four = (const uint8_t *)&((const struct sockaddr_in *)a)->sin_addr;

    if (a->sa_family != AF_INET && a->sa_family != AF_INET6)
        return 0;
    if (a->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(six))
        four = six->s6_addr + 12;
    else if (a->sa_family == AF_INET6)
        return first_bytes(six->s6_addr, 8); /* 0 for ::1 */
    return first_bytes(four, 4) == INADDR_LOOPBACK ? 0 : first_bytes(four, 4);
}

bool address_is_full(const struct httpd *h, const struct sockaddr *a)
{
    const struct address wanted = {.key = key_of(a)};
    void *found = tfind(&wanted, &h->addresses, compare);

    return h->options.per_address && found &&
           (*(struct address **)found)->connections >= h->options.per_address;
}

struct address *address_enter(struct httpd *h, const struct sockaddr *a)
{
    struct address wanted = {.key = key_of(a)}, *entry, **found;

    if (!wanted.key)
        return NULL;
    found = tfind(&wanted, &h->addresses, compare);
    if (!found) {
        entry = alloc_zeroed(1, sizeof(*entry));
        entry->key = wanted.key;
        found = tsearch(entry, &h->addresses, compare);
        must(found != NULL);
    }
    (*found)->connections++;
    return *found;
}

void address_leave(struct httpd *h, struct address *a)
{
    if (!a || --a->connections)
        return;
    tdelete(a, &h->addresses, compare);
    free(a);
}
