/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "api.h"
#include "engine.h"
#include "fake_cluster.h"
#include "fake_link.h"
#include "fake_page.h"
#include "fake_redis.h"
#include "fake_sender.h"
#include "inside.h"
#include "instance.h"
#include "origin_fake.h"
#include "pages.h"
#include "setting.h"

#define PROGRESS_NS (6 * 3600 * NS_PER_S) /* within so long something must happen */
#define REVIVE_NS (100 * NS_PER_MS)

static struct {
    struct world_options o;
    const struct config *config; /* held; after a reload, those who still use the old one hold it */
    bool wanted[INSTANCES_MAX];
    char *host[INSTANCES_MAX];
    bool reviving[INSTANCES_MAX];
} wd;

/* -- the configuration -- */

static void add_account(struct config *c, const char *name)
{
    struct config_account *a;

    c->accounts = alloc_grow(c->accounts, c->accounts_count + 1, sizeof(*c->accounts));
    a = &c->accounts[c->accounts_count++];
    config_account_init(a);
    free(a->name);
    a->name = alloc_str(name);
    must(config_services_add(a, SPAN("news"), SPAN("news")) == 0);
    must(config_services_add(a, SPAN("shop"), SPAN("shop")) == 0);
}

static int set_one(const struct setting *s, void *base, const char *value, char *err, size_t room)
{
    struct error why;
    int rc = setting_set(s, base, value, &why);

    if (rc < 0)
        snprintf(err, room, "%s", why.text);
    return rc;
}

static int set_in_all(struct config *c, const struct setting *s, const char *value, char *err,
                      size_t room)
{
    int rc = 0;

    for (uint32_t i = 0; i < c->accounts_count && rc == 0; i++)
        rc = set_one(s, &c->accounts[i], value, err, room);
    return rc;
}

static int set_accounts(struct config *c, const char *names)
{
    struct span rest = span_str(names), name;

    for (uint32_t i = 0; span_next_word(&rest, ',', &name); i++) {
        char *text = alloc_copy(name.p, name.n);

        if (i == c->accounts_count) {
            add_account(c, text);
        } else {
            free(c->accounts[i].name);
            c->accounts[i].name = alloc_str(text);
        }
        free(text);
    }
    return 0;
}

struct config *world_config_new(void)
{
    struct config *c = alloc_zeroed(1, sizeof(*c));

    config_init(c);
    add_account(c, "main");
    return c;
}

static const char *full_name(const char *name)
{
    static const char *const names[][2] = {{"budget", "budget.purges"},
                                           {"per_s", "budget.per_s"},
                                           {"burst", "budget.burst"},
                                           {"headroom", "budget.headroom"},
                                           {"batch_cost", "budget.batch_cost"},
                                           {"separate", "budget.separate"},
                                           {"writes", "writes.requests"},
                                           {"linger", "lanes.normal.linger_ms"},
                                           {"bulk_linger", "lanes.bulk.linger_ms"},
                                           {"urgent_linger", "lanes.urgent.linger_ms"},
                                           {"timeout", "timeout_ms"}};

    for (size_t i = 0; i < array_len(names); i++)
        if (strcmp(name, names[i][0]) == 0)
            return names[i][1];
    return name;
}

/* "main/news": an account and one of its services, which must be known by now. */
static int add_canary(struct config *c, struct span word)
{
    const char *slash = memchr(word.p, '/', word.n);
    size_t account_n = slash ? (size_t)(slash - word.p) : 0;
    struct config_canary *k;
    char *account = alloc_copy(word.p, account_n);
    char *service = slash ? alloc_copy(slash + 1, word.n - account_n - 1) : alloc_str("");
    const struct config_account *a = config_account(c, account);
    int rc = a && *service && config_service(a, service) ? 0 : -EINVAL;

    if (rc == 0) {
        c->canaries = alloc_grow(c->canaries, c->canaries_count + 1, sizeof(*c->canaries));
        k = &c->canaries[c->canaries_count++];
        memset(k, 0, sizeof(*k));
        setting_set_defaults(SETTING_CANARY, k);
        free(k->name);
        free(k->account);
        free(k->service);
        free(k->url);
        free(k->key);
        k->name = alloc_printf("%s-%s", account, service);
        k->url = alloc_printf("https://canary.example/%s/%s", account, service);
        k->key = alloc_printf("canary-%s", service);
        k->account = account;
        k->service = service;
        return 0;
    }
    free(account);
    free(service);
    return rc;
}

static int set_canaries(struct config *c, const char *words, char *err, size_t room)
{
    struct span rest = span_str(words), word;

    while (c->canaries_count)
        setting_free(SETTING_CANARY, &c->canaries[--c->canaries_count]);
    while (span_next_word(&rest, ',', &word)) {
        if (add_canary(c, word) == 0)
            continue;
        snprintf(err, room, "account/service, not \"%.*s\"", (int)word.n, word.p);
        return -EINVAL;
    }
    return 0;
}

static int set_canary_period(struct config *c, const char *value, char *err, size_t room)
{
    int rc = 0;

    for (uint32_t i = 0; i < c->canaries_count && rc == 0; i++)
        rc = set_one(setting_find(SETTING_CANARY, "every_s"), &c->canaries[i], value, err, room);
    return rc;
}

int world_config_set(struct config *c, const char *name, const char *value, char *err, size_t room)
{
    const struct setting *s = setting_find(SETTING_ACCOUNT, full_name(name));

    if (strcmp(name, "accounts") == 0)
        return set_accounts(c, value);
    if (strcmp(name, "canaries") == 0)
        return set_canaries(c, value, err, room);
    if (strcmp(name, "canaries_every_s") == 0)
        return set_canary_period(c, value, err, room);
    if (strcmp(name, "memory") == 0)
        return span_to_u64(span_str(value), &c->memory_max);
    if (s)
        return set_in_all(c, s, value, err, room);
    s = setting_find(SETTING_GLOBAL, name);
    if (s)
        return set_one(s, c, value, err, room);
    snprintf(err, room, "there is no setting %s", name);
    return -EINVAL;
}

/* -- beginning and end -- */

static void add_canary_pages(void)
{
    for (uint32_t i = 0; i < wd.config->canaries_count; i++) {
        const struct config_canary *k = &wd.config->canaries[i];
        const struct config_account *a = config_account(wd.config, k->account);

        pages_add(span_str(k->url), config_service(a, k->service)->id, k->key);
    }
}

static void take_config(struct config *c)
{
    config_drop(wd.config);
    wd.config = config_share(c);
    free(c);
}

static void on_revival(void *ctx)
{
    int i = (int)(intptr_t)ctx;

    wd.reviving[i] = false;
    if (wd.wanted[i])
        instance_start(i, wd.host[i], world_config());
}

static void on_death(int i)
{
    if (!wd.o.revive || !wd.wanted[i] || wd.reviving[i])
        return;
    wd.reviving[i] = true;
    engine_at(engine_now_ns() + REVIVE_NS, ENGINE_NOBODY, on_revival, (void *)(intptr_t)i);
}

void world_begin(const struct world_options *o)
{
    memset(&wd, 0, sizeof(wd));
    wd.o = *o;
    take_config(o->config);
    engine_begin(o->seed);
    fault_begin();
    fake_redis_begin();
    fake_cluster_begin((int)o->nodes);
    if (o->redis_fails)
        fake_redis_may_fail();
    fastly_fake_begin();
    origin_fake_begin();
    pages_begin();
    fake_page_begin();
    add_canary_pages();
    instance_begin();
    instance_on_death(on_death);
    witness_begin(wd.config, o->scope);
    api_begin();
}

void world_end(void)
{
    memset(wd.wanted, 0, sizeof(wd.wanted));
    witness_end();
    instance_end();
    fake_page_end();
    fake_cluster_heal();
    api_end();
    fastly_fake_end();
    pages_end();
    fake_cluster_end();
    fake_redis_end();
    engine_end();
    for (int i = 0; i < INSTANCES_MAX; i++)
        free(wd.host[i]);
    config_drop(wd.config);
    must(config_shared() == 0); /* otherwise a config_drop is missing */
}

const struct config *world_config(void)
{
    return wd.config;
}

void world_reload(struct config *fresh)
{
    const struct config *old = config_hold(wd.config);

    take_config(fresh);
    witness_configure(wd.config);
    config_drop(old);
}

/* -- instances -- */

void world_start(const char *name, const char *host)
{
    int i = instance_find(name);

    if (instance_doomed(i))
        instance_kill_now(i);
    wd.wanted[i] = true;
    free(wd.host[i]);
    wd.host[i] = alloc_str(host);
    instance_start(i, host, world_config());
}

void world_stop(const char *name)
{
    int i = instance_find(name);

    wd.wanted[i] = false;
    instance_stop(i);
}

void world_kill(const char *name)
{
    int i = instance_find(name);

    wd.wanted[i] = false;
    instance_kill_now(i);
}

/* -- the end of a story -- */

void world_heal(void)
{
    const struct config *c = world_config();
    bool any = false;

    fake_redis_heal();
    witness_joined();
    api_rolled_back();
    fake_wire = (struct fake_wire){0};
    origin_fake.refuses = origin_fake.silent = false;
    origin_fake.status = 200;
    memset(fastly_weather.permille, 0, sizeof(fastly_weather.permille));
    fastly_weather.permille_429 = fastly_weather.permille_503 = fastly_weather.permille_omit = 0;
    fastly_weather.token_refused = fastly_weather.waits = false;
    fastly_weather.unknown_service[0] = '\0';
    fastly_weather.allows = 0;
    fastly_fake_answer_all();
    for (uint32_t i = 0; i < c->accounts_count; i++)
        fake_redis_say("HDEL purgeline:{%s}:control paused", c->accounts[i].name);
    for (int i = 0; i < INSTANCES_MAX; i++) {
        instance_thaw(i);
        any = any || wd.wanted[i];
    }
    wd.o.revive = true;
    if (!any)
        world_start("first", "a");
}

/* Some were still stopping when they were wanted again. */
static void run_who_is_wanted(void)
{
    for (int i = 0; i < INSTANCES_MAX; i++)
        if (wd.wanted[i] && !instance_doomed(i))
            instance_start(i, wd.host[i], world_config());
}

static bool quiet(void)
{
    const struct config *c = world_config();

    if (witness_open() || api_open())
        return false;
    for (uint32_t i = 0; i < c->accounts_count; i++)
        if (inside_waiting(c->accounts[i].name))
            return false;
    return true;
}

/* A request moves it, and so does a job that ends: the difference, for one often ends the other. */
static uint64_t progress(void)
{
    return witness_sums()->requests - witness_sums()->canaries - witness_open();
}

void world_finish(void)
{
    uint64_t until = engine_now_ns() + PROGRESS_NS, done = progress();

    trace("-- the story is over, the faults stop --");
    world_heal();
    while (!quiet() && !engine_failure()) {
        if (progress() != done)
            until = engine_now_ns() + PROGRESS_NS;
        else if (engine_now_ns() > until)
            break;
        done = progress();
        run_who_is_wanted();
        engine_run(engine_now_ns() + NS_PER_S);
    }
    engine_run(engine_now_ns() + NS_PER_S);
    if (!engine_failure())
        witness_at_end();
}
