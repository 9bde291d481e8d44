/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

struct block4 {
    uint32_t net;
    int bits;
};

#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

static const struct block4 closed4[] = {
    {IP4(0, 0, 0, 0), 8},      /* this network, unspecified */
    {IP4(10, 0, 0, 0), 8},     /* private */
    {IP4(100, 64, 0, 0), 10},  /* carrier-grade NAT */
    {IP4(127, 0, 0, 0), 8},    /* loopback */
    {IP4(169, 254, 0, 0), 16}, /* link-local, cloud metadata */
    {IP4(172, 16, 0, 0), 12},  /* private */
    {IP4(192, 0, 0, 0), 24},   /* protocol assignments */
    {IP4(192, 168, 0, 0), 16}, /* private */
    {IP4(198, 18, 0, 0), 15},  /* benchmarking */
    {IP4(224, 0, 0, 0), 3},    /* multicast, reserved, broadcast */
};

static bool is_public4(uint32_t ip)
{
    for (size_t i = 0; i < array_len(closed4); i++)
        if ((ip ^ closed4[i].net) >> (32 - closed4[i].bits) == 0)
            return false;
    return true;
}

static uint32_t word_at(const uint8_t *p)
{
    return IP4(p[0], p[1], p[2], p[3]);
}

/* Global unicast is 2000::/3. Addresses in it that contain an IPv4 address are judged by the IPv4
 * address. v4-mapped addresses (::ffff:0:0/96) are outside this range and are therefore refused;
 * resolvers do not return them. */
static bool is_public6(const uint8_t ip[16])
{
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};

    if (memcmp(ip, nat64, sizeof(nat64)) == 0)
        return is_public4(word_at(ip + 12));
    if (ip[0] >> 5 != 1)
        return false;
    if (ip[0] == 0x20 && ip[1] == 0x02) /* 6to4 */
        return is_public4(word_at(ip + 2));
    if (word_at(ip) == 0x20010000) /* Teredo */
        return false;
    return true;
}

bool peer_is_public(const struct sockaddr *address)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    switch (address->sa_family) {
    case AF_INET:
        memcpy(&in, address, sizeof(in));
        return is_public4(ntohl(in.sin_addr.s_addr));
    case AF_INET6:
        memcpy(&in6, address, sizeof(in6));
        return is_public6(in6.sin6_addr.s6_addr);
    default:
        return false;
    }
}

bool peer_text_is_public(const char *ip)
{
    char plain[INET6_ADDRSTRLEN];
    size_t n = strcspn(ip, "%");
    struct in_addr in;
    struct in6_addr in6;

    if (n >= sizeof(plain))
        return false;
    memcpy(plain, ip, n);
    plain[n] = '\0';
    if (inet_pton(AF_INET, plain, &in) == 1)
        return is_public4(ntohl(in.s_addr));
    if (inet_pton(AF_INET6, plain, &in6) == 1)
        return is_public6(in6.s6_addr);
    return false;
}
