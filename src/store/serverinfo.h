/* SPDX-License-Identifier: MIT
 * What a Redis server reports about itself, to judge whether it is fit to keep jobs. */
#pragma once

#include "client.h"

struct serverinfo { /* the spans point into `text`; "" if not reported */
    char *text;
    struct span version; /* "7.0.15" */
    bool version_known;  /* major and minor are known */
    unsigned major, minor;
    struct span maxmemory_policy;
    uint64_t maxmemory;  /* 0: no limit */
    uint64_t used_bytes; /* counted as for refusals with OOM */
    bool full;           /* at its maxmemory: refuses commands that need memory */
    bool cluster;        /* it is a node of a Cluster */
    bool aof;            /* it keeps an append-only file */
    bool aof_known;      /* it reports whether it keeps one */
    uint64_t replicas;   /* connected to it */
    struct span aof_last_write, last_snapshot; /* "ok", or the failure */
};

/* `text` is a reply to INFO. Release the result with serverinfo_deinit. */
void serverinfo_parse(struct span text, struct serverinfo *out);
/* Returns 0 or negative errno, see client_error. Release the result with serverinfo_deinit. */
must_use int serverinfo_read(struct client *c, struct serverinfo *out);
void serverinfo_deinit(struct serverinfo *s);

/* When Redis syncs its append-only file: "always", "everysec", "no". Lent until the next command;
 * "" if our user is not permitted to know. */
struct span serverinfo_appendfsync(struct client *c);
