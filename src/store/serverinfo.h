/* SPDX-License-Identifier: MIT
 * What a Redis says of itself, for those who judge whether it is fit to keep jobs. */
#pragma once

#include "client.h"

struct serverinfo { /* the spans are of `text`; "" what it does not say */
    char *text;
    struct span version; /* "7.0.15" */
    bool version_known;  /* the two numbers that it begins with */
    unsigned major, minor;
    struct span maxmemory_policy;
    uint64_t maxmemory;                        /* 0: as much as there is */
    uint64_t used_bytes;                       /* as it counts when it refuses with OOM */
    bool aof;                                  /* it keeps an append-only file */
    struct span aof_last_write, last_snapshot; /* "ok", or how it failed */
};

/* 0 or negative errno, see client_error. Release with serverinfo_deinit. */
must_use int serverinfo_read(struct client *c, struct serverinfo *out);
void serverinfo_deinit(struct serverinfo *s);

/* When it writes its append-only file: "always", "everysec", "no". Lent until the next question; ""
 * when our user may not know. */
struct span serverinfo_appendfsync(struct client *c);
