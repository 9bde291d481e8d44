/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "setting.h"

const char *const lane_names[LANE_N] = {
    [LANE_URGENT] = "urgent", [LANE_NORMAL] = "normal", [LANE_BULK] = "bulk"};

int lane_parse(struct span name, enum lane *out)
{
    for (int i = 0; i < LANE_N; i++) {
        if (span_is(name, lane_names[i])) {
            *out = (enum lane)i;
            return 0;
        }
    }
    return -EINVAL;
}

void config_init(struct config *c)
{
    *c = (struct config){0};
    setting_set_defaults(SETTING_GLOBAL, c);
}

void config_account_init(struct config_account *a)
{
    *a = (struct config_account){0};
    setting_set_defaults(SETTING_ACCOUNT, a);
}

void config_producer_init(struct config_producer *p)
{
    *p = (struct config_producer){0};
    setting_set_defaults(SETTING_PRODUCER, p);
}

void config_hook_init(struct config_hook *h)
{
    *h = (struct config_hook){0};
    setting_set_defaults(SETTING_HOOK, h);
}

void config_consumer_init(struct config_consumer *c)
{
    *c = (struct config_consumer){0};
    setting_set_defaults(SETTING_CONSUMER, c);
}

const struct config_service *config_service(const struct config_account *a, const char *word)
{
    const char *name = *word ? word : a->default_service;

    if (!*name && a->services_count == 1)
        return &a->services[0];
    for (uint32_t i = 0; *name && i < a->services_count; i++)
        if (strcmp(name, a->services[i].id) == 0 || strcmp(name, a->services[i].name) == 0)
            return &a->services[i];
    return NULL;
}

bool config_redis_embedded(const struct config *c)
{
    return strcmp(c->redis, "embedded") == 0;
}

char *config_redis_url(const struct config *c)
{
    if (config_redis_embedded(c))
        return alloc_printf("unix://%s" CONFIG_SOCKET_NAME, c->data_dir);
    return alloc_str(c->redis);
}

uint64_t config_jobs_max_bytes(const struct config *c)
{
    return c->memory_max / 2;
}

uint64_t config_visits_max_bytes(const struct config *c)
{
    return c->memory_max / 4;
}

uint64_t config_heads_max_bytes(const struct config *c)
{
    return c->memory_max / 8;
}

uint64_t config_job_max_bytes(const struct config *c)
{
    return c->memory_max / 8;
}

uint64_t config_burst(const struct config_budget *b)
{
    /* With what budget.c keeps of a burst for the urgent lane, so that normal can spend half. */
    uint64_t half = b->purges / 2 + b->purges / 200;

    return b->burst ? b->burst : max_u64(half, 1);
}

const struct config_account *config_account(const struct config *c, const char *name)
{
    if (!name)
        return c->accounts_count == 1 ? &c->accounts[0] : NULL;
    for (uint32_t i = 0; i < c->accounts_count; i++)
        if (strcmp(c->accounts[i].name, name) == 0)
            return &c->accounts[i];
    return NULL;
}

const struct config_consumer *config_consumer(const struct config *c, const char *name)
{
    for (uint32_t i = 0; i < c->consumers_count; i++)
        if (strcmp(c->consumers[i].name, name) == 0)
            return &c->consumers[i];
    return NULL;
}

void config_token_remedy(const struct config_account *a, char *out, size_t room)
{
    if (*a->token_file)
        snprintf(out, room, "put a valid one into %s, then: systemctl reload purgeline (or SIGHUP)",
                 a->token_file);
    else
        snprintf(out, room, "put a valid one into $%s and restart it, or set token_file",
                 *a->token_env ? a->token_env : "FASTLY_API_TOKEN");
}

const struct config_lane *config_lane(const struct config_account *a, enum lane lane)
{
    const struct config_lane *const lanes[LANE_N] = {
        [LANE_URGENT] = &a->urgent, [LANE_NORMAL] = &a->normal, [LANE_BULK] = &a->bulk};

    return lanes[lane];
}

struct span config_listens_beyond(const struct config *c)
{
    struct span rest = span_str(c->listen), one;

    while (setting_listen_next(&rest, &one)) {
        const char *colon = memrchr(one.p, ':', one.n);

        if (!setting_listen_is_unix(one) && colon &&
            !setting_host_is_loopback(span_of(one.p, (size_t)(colon - one.p))))
            return one;
    }
    return span_of(NULL, 0);
}

uint32_t config_unix_mode(const struct config *c)
{
    return (uint32_t)strtoul(c->http.unix_mode, NULL, 8);
}

struct shared {
    struct config config;
    uint64_t holds; /* atomic */
};

static uint64_t shared_count;

const struct config *config_share(struct config *c)
{
    struct shared *s = alloc_zeroed(1, sizeof(*s));

    s->config = *c;
    s->holds = 1;
    *c = (struct config){0};
    __atomic_add_fetch(&shared_count, 1, __ATOMIC_RELAXED);
    return &s->config;
}

static struct shared *shared_of(const struct config *c)
{
    return (struct shared *)((uintptr_t)c - offsetof(struct shared, config));
}

const struct config *config_hold(const struct config *c)
{
    if (c)
        __atomic_add_fetch(&shared_of(c)->holds, 1, __ATOMIC_RELAXED);
    return c;
}

void config_drop(const struct config *c)
{
    struct shared *s = c ? shared_of(c) : NULL;

    if (!s || __atomic_sub_fetch(&s->holds, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    config_deinit(&s->config);
    free(s);
    __atomic_sub_fetch(&shared_count, 1, __ATOMIC_RELAXED);
}

uint64_t config_shared(void)
{
    return __atomic_load_n(&shared_count, __ATOMIC_RELAXED);
}

void config_deinit(struct config *c)
{
    for (enum setting_scope s = SETTING_ACCOUNT; s < SETTING_SCOPE_N; s++)
        for (uint32_t i = 0; i < setting_list_count(s, c); i++)
            setting_free(s, setting_list_at(s, c, i));
    setting_free(SETTING_GLOBAL, c);
    free(c->accounts);
    free(c->producers);
    free(c->hooks);
    free(c->consumers);
    free(c->canaries);
    *c = (struct config){0};
}
