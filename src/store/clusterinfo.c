/* SPDX-License-Identifier: MIT */
#include "clusterinfo.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "keys.h"
#include "redis_slot.h"

#define MASTERS_MAX 1000 /* the limit of Redis */

/* Whether CLUSTER INFO has this line. */
static bool has_line(struct span info, const char *line)
{
    struct span word;

    while (span_next_word(&info, '\n', &word)) {
        if (word.n && word.p[word.n - 1] == '\r')
            word.n--;
        if (span_is(word, line))
            return true;
    }
    return false;
}

/* The number of the master at this place. It is added if it is new; MASTERS_MAX: there is no room.
 */
static size_t master_at(struct clusterinfo *i, struct redis_place at, uint64_t replicas)
{
    size_t n = 0;

    while (n < i->count && !redis_place_is(&i->masters[n].at, at.host, at.port))
        n++;
    if (n < i->count || n == MASTERS_MAX) {
        free(at.host);
        return n;
    }
    i->masters[i->count++] = (struct clusterinfo_master){
        .name = alloc_printf("%s:%u", at.host, at.port), .at = at, .replicas = replicas};
    return n;
}

/* {first slot, last slot, {host, port, id, ...}, {the same of a replica} ...} */
static void take_range(struct clusterinfo *i, const struct redisReply *range)
{
    const struct redisReply *node = reply_at(range, 2);
    uint64_t first = reply_u64(reply_at(range, 0)), last = reply_u64(reply_at(range, 1));
    struct redis_place at;
    char port[24];
    size_t n;

    snprintf(port, sizeof(port), "%" PRIu64, reply_u64(reply_at(node, 1)));
    if (last >= REDIS_SLOTS ||
        !redis_place_parse(reply_text(reply_at(node, 0)), span_str(port), &at))
        return;
    n = master_at(i, at, reply_count(range) - 3);
    for (uint64_t slot = first; slot <= last && n < MASTERS_MAX; slot++) {
        i->masters[n].slots++;
        i->served += i->owners[slot] == 0;
        i->owners[slot] = (uint16_t)(n + 1);
    }
}

int clusterinfo_read(struct client *c, struct clusterinfo *out)
{
    struct redisReply *reply;
    int rc = client_ask_words(c, (const char *const[]){"CLUSTER", "INFO", NULL}, &reply);

    if (rc < 0)
        return rc;
    *out = (struct clusterinfo){.up = has_line(reply_text(reply), "cluster_state:ok")};
    rc = client_ask_words(c, (const char *const[]){"CLUSTER", "SLOTS", NULL}, &reply);
    if (rc < 0)
        return rc;
    out->masters = alloc_zeroed(MASTERS_MAX, sizeof(*out->masters));
    for (size_t i = 0; i < reply_count(reply) && i < REDIS_SLOTS; i++)
        take_range(out, reply_at(reply, i));
    return 0;
}

void clusterinfo_deinit(struct clusterinfo *i)
{
    for (size_t n = 0; n < i->count; n++) {
        free(i->masters[n].name);
        free(i->masters[n].at.host);
    }
    free(i->masters);
}

const struct clusterinfo_master *clusterinfo_owner(const struct clusterinfo *i, const char *account,
                                                   uint32_t *slot)
{
    char *key = redis_key(account, "");

    *slot = redis_slot_of(span_str(key));
    free(key);
    return i->owners[*slot] ? &i->masters[i->owners[*slot] - 1] : NULL;
}
