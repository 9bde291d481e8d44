/* SPDX-License-Identifier: MIT */
#include "redis_nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "reply.h"

struct redis_nodes {
    struct redis_place all[REDIS_NODES_MAX]; /* those of the URL come first and stay */
    uint32_t count, given;
    uint32_t next;            /* whom to try next */
    struct redis_place first; /* whom to try before that; host NULL: nobody */
};

static struct redis_place copy(const char *host, uint16_t port)
{
    return (struct redis_place){alloc_str(host), port};
}

struct redis_nodes *redis_nodes_new(const struct redis_address *a)
{
    struct redis_nodes *n = alloc_zeroed(1, sizeof(*n));

    must(a->nodes_count > 0 && a->nodes_count <= REDIS_NODES_MAX);
    for (; n->count < a->nodes_count; n->count++)
        n->all[n->count] = copy(a->nodes[n->count].host, a->nodes[n->count].port);
    n->given = n->count;
    return n;
}

void redis_nodes_free(struct redis_nodes *n)
{
    if (!n)
        return;
    for (uint32_t i = 0; i < n->count; i++)
        free(n->all[i].host);
    free(n->first.host);
    free(n);
}

uint32_t redis_nodes_count(const struct redis_nodes *n)
{
    return n->count;
}

void redis_nodes_choose(struct redis_nodes *n, struct redis_address *a)
{
    struct redis_place chosen = n->first;

    n->first = (struct redis_place){0};
    if (!chosen.host) {
        chosen = copy(n->all[n->next].host, n->all[n->next].port);
        n->next = (n->next + 1) % n->count;
    }
    redis_address_set_place(a, &chosen);
    free(chosen.host);
}

bool redis_nodes_named(struct redis_nodes *n, const struct redis_place *at,
                       const struct redis_address *a)
{
    const char *host = at->host ? at->host : a->host;
    struct redis_place named = copy(host, at->port);
    bool same = redis_place_is(&named, a->host, a->port);

    free(n->first.host);
    n->first = named;
    return !same;
}

void redis_nodes_good(struct redis_nodes *n, const struct redis_address *a)
{
    free(n->first.host);
    n->first = copy(a->host, a->port);
}

/* -- CLUSTER SLOTS --
 * {first slot, last slot, {host, port, id, ...}, {the same of a replica} ...}, ... */

/* So many entries are looked at, at most: a Cluster that works has far fewer. */
#define ENTRIES_MAX REDIS_SLOTS

static bool is_known(const struct redis_nodes *n, const struct redis_place *at)
{
    for (uint32_t i = 0; i < n->count; i++)
        if (redis_place_is(&n->all[i], at->host, at->port))
            return true;
    return false;
}

static void add(struct redis_nodes *n, const struct redisReply *node)
{
    struct redis_place at;
    char port[24];

    snprintf(port, sizeof(port), "%lld", (long long)reply_number(reply_at(node, 1)));
    if (!redis_place_parse(reply_text(reply_at(node, 0)), span_str(port), &at))
        return;
    if (is_known(n, &at) || span_is(span_str(at.host), "?") || n->count == REDIS_NODES_MAX)
        free(at.host);
    else
        n->all[n->count++] = at;
}

void redis_nodes_learn(struct redis_nodes *n, const struct redisReply *slots)
{
    size_t seen = 0;

    if (reply_count(slots) == 0)
        return;
    while (n->count > n->given) /* nodes may have left */
        free(n->all[--n->count].host);
    for (size_t i = 0; i < reply_count(slots) && seen < ENTRIES_MAX; i++, seen++)
        for (size_t k = 2; k < reply_count(reply_at(slots, i)) && seen < ENTRIES_MAX; k++, seen++)
            add(n, reply_at(reply_at(slots, i), k));
    n->next %= n->count;
}
