/* SPDX-License-Identifier: MIT */
#include "instance.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "connections.h"
#include "engine.h"
#include "fake_cluster.h"
#include "fake_link.h"
#include "fake_page.h"
#include "fake_sender.h"
#include "process.h"
#include "redis.h"

enum instance_state { INSTANCE_OFF, INSTANCE_RUNNING, INSTANCE_STOPPING };

struct instance {
    char *name, *host;
    struct loop loop;
    char identity[PROCESS_IDENTITY_MAX];
    uint32_t incarnation;
    enum instance_state state;
    bool doomed, frozen;
    const struct config *config;
    struct redis_address redis;
    struct memory memory;
    struct instances *instances;
    struct dispatch *accounts[CONFIG_ACCOUNTS_MAX];
    struct senders *senders;
    struct event *tick;
    uint64_t tick_at_ns;
};

static struct instance instances[INSTANCES_MAX];
static uint32_t incarnations;
static instance_died_cb *on_death;
static bool dying;

void instance_begin(void)
{
    memset(instances, 0, sizeof(instances));
    incarnations = 0;
    on_death = NULL;
}

void instance_end(void)
{
    on_death = NULL;
    for (int i = 0; i < INSTANCES_MAX; i++) {
        if (instances[i].state != INSTANCE_OFF)
            instance_kill_now(i);
        free(instances[i].name);
        free(instances[i].host);
        instances[i].name = instances[i].host = NULL;
    }
}

int instance_find(const char *name)
{
    for (int i = 0; i < INSTANCES_MAX; i++) {
        if (!instances[i].name)
            instances[i].name = alloc_str(name);
        if (strcmp(instances[i].name, name) == 0)
            return i;
    }
    base_abort("too many instances", __FILE__, __LINE__);
}

const char *instance_name(int i)
{
    return i >= 0 && instances[i].name ? instances[i].name : "nobody";
}

int instance_of_identity(const char *identity)
{
    for (int i = 0; i < INSTANCES_MAX; i++)
        if (strcmp(instances[i].identity, identity) == 0)
            return i;
    return ENGINE_NOBODY;
}

const struct config *instance_config(int i)
{
    return instances[i].config;
}

bool instance_runs(int i)
{
    return instances[i].state != INSTANCE_OFF && !instances[i].doomed;
}

bool instance_frozen(int i)
{
    return instances[i].frozen;
}

bool instance_doomed(int i)
{
    return instances[i].doomed;
}

void instance_on_death(instance_died_cb *cb)
{
    on_death = cb;
}

/* -- the seam: io's process -- */

void process_identity(char out[PROCESS_IDENTITY_MAX])
{
    out[0] = '\0';
}

bool process_is_dead(const char *identity)
{
    int asker = engine_running();
    size_t n;

    if (asker == ENGINE_NOBODY || !instances[asker].host)
        return false;
    n = strlen(instances[asker].host);
    return strncmp(identity, instances[asker].host, n) == 0 && identity[n] == '/' &&
           instance_of_identity(identity) == ENGINE_NOBODY;
}

void process_harden(void) {}

uint64_t process_random(void)
{
    return rng_next(engine_rng());
}

/* -- ticking -- */

static void on_tick(void *ctx);

static void tick_by(struct instance *in, uint64_t at_ns)
{
    if (in->doomed || in->state == INSTANCE_OFF || at_ns >= in->tick_at_ns)
        return;
    engine_cancel(in->tick);
    in->tick_at_ns = at_ns;
    in->tick = engine_at(at_ns, (int)(in - instances), on_tick, in);
}

static void on_wake(void *ctx)
{
    tick_by(ctx, engine_now_ns());
}

bool instance_troubled(int i, char *why, size_t room)
{
    const struct instance *in = &instances[i];

    for (uint32_t a = 0; instance_runs(i) && a < in->config->accounts_count; a++)
        if (dispatch_troubled(in->accounts[a], clock_now(), why, room))
            return true;
    return false;
}

static bool all_stopped(const struct instance *in)
{
    for (uint32_t i = 0; i < in->config->accounts_count; i++)
        if (!dispatch_stopped(in->accounts[i]))
            return false;
    return true;
}

static void take_apart(struct instance *in)
{
    for (uint32_t i = 0; i < in->config->accounts_count; i++)
        dispatch_free(in->accounts[i]);
    config_drop(in->config);
    in->config = NULL;
    instances_free(in->instances);
    fake_senders_free(in->senders);
    engine_cancel(in->tick);
    in->tick = NULL;
    in->senders = NULL;
    in->state = INSTANCE_OFF;
    in->doomed = in->frozen = false;
    in->identity[0] = '\0';
}

static void on_tick(void *ctx)
{
    struct instance *in = ctx;
    struct now now = clock_now();
    uint64_t next = NEVER;

    in->tick = NULL;
    in->tick_at_ns = NEVER;
    for (uint32_t i = 0; i < in->config->accounts_count && !in->doomed; i++)
        next = min_u64(next, dispatch_tick(in->accounts[i], now));
    if (in->doomed)
        return;
    if (in->state == INSTANCE_STOPPING && all_stopped(in)) {
        trace("%s has stopped", in->name);
        take_apart(in);
    } else if (next != NEVER) {
        tick_by(in, next);
    }
}

/* -- coming and going -- */

static struct endpoint *endpoint_of(const struct config_account *a)
{
    /* The fake Fastly knows accounts by their token; where a new one is from is what differs. */
    struct endpoint_options o = {.api = a->token_env,
                                 .ca_file = "",
                                 .token = a->name,
                                 .user_agent = "purgeline",
                                 .connect_timeout_ms = a->connect_timeout_ms,
                                 .timeout_ms = a->timeout_ms};

    return endpoint_new(&o);
}

static struct dispatch *dispatch_of(struct instance *in, struct connections *connections,
                                    const struct config_account *a)
{
    struct endpoint *e = endpoint_of(a);
    struct dispatch_options o = {.account = a,
                                 .config = in->config,
                                 .window = in->config->window,
                                 .memory = &in->memory,
                                 .job_max_bytes = config_job_max_bytes(in->config),
                                 .owner = in->identity,
                                 .instances = in->instances,
                                 .number = (uint32_t)(a - in->config->accounts),
                                 .loop = &in->loop,
                                 .redis = &in->redis,
                                 .connections = connections,
                                 .senders = in->senders,
                                 .endpoint = e,
                                 .seed = rng_next(engine_rng()),
                                 .wake = on_wake,
                                 .ctx = in};
    struct dispatch *d = dispatch_new(&o, clock_now());

    endpoint_drop(e);
    return d;
}

void instance_start(int i, const char *host, const struct config *c)
{
    struct instance *in = &instances[i];
    struct connections *connections;

    if (in->state != INSTANCE_OFF)
        return;
    trace("%s starts on host %s", in->name, host);
    free(in->host);
    in->host = alloc_str(host);
    in->config = config_hold(c);
    in->redis.replicas = c->redis_replicas;
    fake_cluster_address(&in->redis);
    snprintf(in->identity, sizeof(in->identity), "%s/boot/ns/%" PRIu32 "/0/%s", host,
             ++incarnations, in->name);
    in->loop.instance = i;
    in->state = INSTANCE_RUNNING;
    in->tick_at_ns = NEVER;
    in->senders = fake_senders_new(i, dispatch_on_reply, in);
    in->instances = instances_new(in->identity, c->accounts_count);
    memory_init(&in->memory, config_jobs_max_bytes(c), c->accounts_count);
    connections = connections_new(&in->loop, &in->redis, in->identity, c->accounts_count);
    for (uint32_t a = 0; a < c->accounts_count; a++)
        in->accounts[a] = dispatch_of(in, connections, &c->accounts[a]);
    on_wake(in);
}

void instance_stop(int i)
{
    struct instance *in = &instances[i];

    if (in->state != INSTANCE_RUNNING || in->doomed)
        return;
    trace("%s is told to stop", in->name);
    in->state = INSTANCE_STOPPING;
    for (uint32_t a = 0; a < in->config->accounts_count; a++)
        dispatch_stop(in->accounts[a], DISPATCH_HANDS_OVER);
    on_wake(in);
}

/* What a killed process held is given back by letting it come to its own end, deaf and mute. */
static void let_go(struct instance *in)
{
    int i = (int)(in - instances);
    struct now now = clock_now();
    int rounds = 0;

    for (uint32_t a = 0; a < in->config->accounts_count; a++)
        dispatch_stop(in->accounts[a], DISPATCH_LEAVES_AT_ONCE);
    while (!all_stopped(in)) {
        must(rounds++ < 1000);
        for (uint32_t a = 0; a < in->config->accounts_count; a++)
            if (!dispatch_stopped(in->accounts[a]))
                (void)dispatch_tick(in->accounts[a], now);
        fake_senders_answer_dead(in->senders);
        fake_link_answer_dead(i);
        fake_wire_answer_dead(i);
        fake_loop_turn_dead(i);
        fake_page_answer_dead(i);
    }
    fake_link_answer_dead(i); /* those that were closed last */
    fake_page_answer_dead(i);
}

bool instance_dying(void)
{
    return dying;
}

void instance_kill_now(int i)
{
    struct instance *in = &instances[i];

    if (in->state == INSTANCE_OFF)
        return;
    trace("%s is killed", in->name);
    in->doomed = dying = true;
    engine_hold(i);
    fake_senders_bury(in->senders);
    fake_link_bury(i);
    let_go(in);
    take_apart(in);
    dying = false;
    engine_release(i);
    if (on_death)
        on_death(i);
}

static void on_doom(void *ctx)
{
    struct instance *in = ctx;

    instance_kill_now((int)(in - instances));
}

void instance_kill(int i)
{
    struct instance *in = &instances[i];

    if (in->state == INSTANCE_OFF || in->doomed)
        return;
    in->doomed = true;
    engine_hold(i);
    engine_at(engine_now_ns(), ENGINE_NOBODY, on_doom, in);
}

void instance_freeze(int i)
{
    if (instances[i].state == INSTANCE_OFF || instances[i].doomed)
        return;
    trace("%s is frozen", instances[i].name);
    instances[i].frozen = true;
    engine_hold(i);
}

void instance_thaw(int i)
{
    if (!instances[i].frozen || instances[i].doomed)
        return;
    trace("%s goes on", instances[i].name);
    instances[i].frozen = false;
    engine_release(i);
}

void instance_reload(int i, const struct config *c)
{
    struct instance *in = &instances[i];

    if (in->state != INSTANCE_RUNNING || in->doomed)
        return;
    trace("%s reads its configuration anew", in->name);
    must(c->accounts_count == in->config->accounts_count);
    config_drop(in->config);
    in->config = config_hold(c);
    for (uint32_t a = 0; a < c->accounts_count; a++) {
        struct endpoint *e = endpoint_of(&c->accounts[a]);

        dispatch_configure(in->accounts[a], c, &c->accounts[a], e, clock_now());
        endpoint_drop(e);
    }
}
