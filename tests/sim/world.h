/* SPDX-License-Identifier: MIT
 * Everything a story plays in: the configuration, a fake Redis, a fake Fastly, instances, and the
 * witness of the promises. */
#pragma once

#include "config.h"
#include "witness.h"

/* The settings of a story: those of the product by their names, and a few of the world. */
struct world_options {
    struct config *config;
    uint64_t seed;
    enum witness_scope scope;
    bool redis_fails; /* it has a replica, and may lose its last writes */
    uint64_t nodes;   /* of a Cluster; 0: one Redis */
    bool revive;      /* an instance that was killed is started again */
};

struct config *world_config_new(void); /* defaults: account main, services news and shop */
/* name=value: a setting of an account ("budget.purges", "attempts"), of all ("window"), the short
 * names budget, per_s, burst, linger; accounts=a,b and services=x,y. 0, or -EINVAL with a sentence.
 */
must_use int world_config_set(struct config *c, const char *name, const char *value, char *err,
                              size_t err_room);

void world_begin(const struct world_options *o); /* takes the configuration */
void world_end(void);

const struct config *world_config(void); /* until the next reload; shared: see config_hold */
void world_reload(struct config *fresh); /* takes it: for the next starts and reloads */

void world_start(const char *instance, const char *host);
void world_stop(const char *instance);
void world_kill(const char *instance);

/* The faults stop: Redis and Fastly are well, nobody is frozen, somebody runs. */
void world_heal(void);
/* Heals, waits until every job has ended, and checks that it is so. */
void world_finish(void);
