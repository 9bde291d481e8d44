/* SPDX-License-Identifier: MIT
 * What an operator may set, with defaults and ranges: the plain values, one table of what they
 * mean, and the checks that need more than one of them. Reading YAML is io/config_file's affair. */
#pragma once

#include "base.h"
#include "span.h"

enum lane { LANE_URGENT, LANE_NORMAL, LANE_BULK, LANE_N };
enum url_mode { URL_MODE_API, URL_MODE_DIRECT };
enum key_form { KEY_FORM_HEADER, KEY_FORM_JSON };
enum batch_cost { BATCH_COST_KEY, BATCH_COST_REQUEST };
enum receipts { RECEIPTS_NONE, RECEIPTS_FAILED, RECEIPTS_ALL };

extern const char *const lane_names[LANE_N];               /* "urgent", "normal", "bulk" */
must_use int lane_parse(struct span name, enum lane *out); /* 0 or -EINVAL */

#define CONFIG_SERVICES_MAX 1024
#define CONFIG_ACCOUNTS_MAX 256

struct config_service {
    char *id;   /* Fastly's, [A-Za-z0-9]{1,64} */
    char *name; /* what people call it; may be empty */
};

struct config_budget {
    uint64_t purges;   /* cost units per window */
    uint32_t per_s;    /* the window; 3600 is Fastly's hour */
    uint64_t burst;    /* token bucket capacity; 0 = 5 % of purges */
    uint64_t headroom; /* left for people and tools that purge by other means */
    enum batch_cost batch_cost;
    bool separate; /* URLs and keys each have their own budget of this size */
};

struct config_writes {
    uint64_t requests;
    uint32_t per_s;
};

struct config_lane {
    uint32_t linger_ms;
};

struct config_account {
    char *name; /* [a-z0-9_-]{1,64}; part of every Redis key */
    char *api;
    char *ca_file;
    char *token_file;
    char *token_env;
    struct config_service *services;
    uint32_t services_count;
    char *default_service;
    bool allow_purge_all;
    enum url_mode url_mode;
    char **direct_hosts;
    uint32_t direct_hosts_count;
    enum key_form key_form;
    struct config_budget budget;
    struct config_writes writes;
    struct config_lane urgent, normal, bulk; /* under `lanes:` in the file */
    uint32_t max_in_flight;
    uint32_t connect_timeout_ms;
    uint32_t timeout_ms;
    uint32_t attempts;
    enum receipts receipts;
    uint32_t receipt_ttl_s;
};

struct config {
    char *redis;
    char *data_dir;
    uint32_t senders;
    uint32_t window;
    char *listen;
    uint32_t shutdown_grace_s;
    struct config_account *accounts;
    uint32_t accounts_count;
};

/* The values of the table in core/setting, for memory not used before. */
void config_init(struct config *c); /* no accounts */
void config_account_init(struct config_account *a);

/* The lists of an account. 0, or -EINVAL: too many, or no such thing. */
must_use int config_services_add(struct config_account *a, struct span id, struct span name);
must_use int config_hosts_add(struct config_account *a, struct span host);
void config_services_free(struct config_account *a);
void config_hosts_free(struct config_account *a);

/* Where Redis is: the configured URL, or unix://<data_dir>/redis.sock when embedded. malloc'ed. */
char *config_redis_url(const struct config *c);
bool config_redis_embedded(const struct config *c);

/* The burst that holds: the configured one or 5 % of the purges, at least 1. */
uint64_t config_burst(const struct config_budget *b);

/* The checks that need more than one setting: unique names, a default service that exists, a token
 * source, headroom below the budget, direct hosts for direct mode ... 0, or -EINVAL with a sentence
 * naming the setting by its path ("accounts[0].budget.headroom: ...") in err. */
must_use int config_validate(const struct config *c, char *err, size_t err_room);

/* The account of that name, or NULL. NULL name: the only account, if there is one. */
const struct config_account *config_account(const struct config *c, const char *name);
const struct config_lane *config_lane(const struct config_account *a, enum lane lane);
void config_deinit(struct config *c); /* everything in it was malloc'ed */
