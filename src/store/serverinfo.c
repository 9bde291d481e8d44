/* SPDX-License-Identifier: MIT */
#include "serverinfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

/* The value of "name:" in the text of INFO. */
static struct span value(struct span text, const char *name)
{
    size_t n = strlen(name);
    struct span line;

    while (span_next_word(&text, '\n', &line)) {
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n > n && memcmp(line.p, name, n) == 0 && line.p[n] == ':')
            return span_of(line.p + n + 1, line.n - n - 1);
    }
    return SPAN("");
}

static uint64_t number_value(struct span text, const char *name)
{
    uint64_t n;

    return span_to_u64(value(text, name), &n) == 0 ? n : 0;
}

/* The memory as Redis counts it for refusals with OOM: without the buffers of replicas and of its
 * append-only file (src/evict.c, getMaxmemoryState). */
static uint64_t used_bytes(struct span text)
{
    return minus_u64(number_value(text, "used_memory"),
                     number_value(text, "mem_not_counted_for_evict"));
}

void serverinfo_parse(struct span text, struct serverinfo *out)
{
    *out = (struct serverinfo){.text = alloc_copy(text.p, text.n)};
    text.p = out->text; /* NUL-terminated, which sscanf(3) needs */
    out->version = value(text, "redis_version");
    out->version_known = sscanf(out->version.p, "%u.%u", &out->major, &out->minor) == 2;
    out->maxmemory_policy = value(text, "maxmemory_policy");
    out->maxmemory = number_value(text, "maxmemory");
    out->used_bytes = used_bytes(text);
    out->full = out->maxmemory && out->used_bytes > out->maxmemory;
    out->cluster = span_is(value(text, "cluster_enabled"), "1");
    out->aof_known = value(text, "aof_enabled").n > 0;
    out->aof = span_is(value(text, "aof_enabled"), "1");
    out->replicas = number_value(text, "connected_slaves");
    out->aof_last_write = value(text, "aof_last_write_status");
    out->last_snapshot = value(text, "rdb_last_bgsave_status");
}

int serverinfo_read(struct client *c, struct serverinfo *out)
{
    struct redisReply *reply;
    int rc = client_ask_words(c, (const char *const[]){"INFO", NULL}, &reply);

    if (rc == 0)
        serverinfo_parse(reply_text(reply), out);
    return rc;
}

void serverinfo_deinit(struct serverinfo *s)
{
    free(s->text);
}

struct span serverinfo_appendfsync(struct client *c)
{
    struct redisReply *reply;

    if (client_ask_words(c, (const char *const[]){"CONFIG", "GET", "appendfsync", NULL}, &reply) <
            0 ||
        reply_count(reply) != 2)
        return SPAN("");
    return reply_text(reply_at(reply, 1));
}
