/* SPDX-License-Identifier: MIT
 * What a node of a Redis Cluster tells about the Cluster: its masters, and which of them has which
 * account. */
#pragma once

#include "client.h"

struct clusterinfo_master {
    char *name; /* host:port */
    struct redis_place at;
    uint32_t slots;
    uint64_t replicas;
};

struct clusterinfo {
    bool up; /* it takes commands */
    struct clusterinfo_master *masters;
    size_t count;
    uint32_t served;              /* slots that have a master */
    uint16_t owners[REDIS_SLOTS]; /* 1 + the number of the slot's master; 0: it has none */
};

/* 0, -EIO or -ENOTCONN: see client_error. Only after 0 it must be freed. */
must_use int clusterinfo_read(struct client *c, struct clusterinfo *out);
void clusterinfo_deinit(struct clusterinfo *i);
/* The master that has the keys of the account, or NULL. */
const struct clusterinfo_master *clusterinfo_owner(const struct clusterinfo *i, const char *account,
                                                   uint32_t *slot);
