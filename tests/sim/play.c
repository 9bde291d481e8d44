/* SPDX-License-Identifier: MIT */
#include "play.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "alloc.h"
#include "client.h"
#include "control.h"
#include "engine.h"
#include "instance.h"
#include "pages.h"
#include "world.h"

void play_fail(struct play *p, const char *fmt, ...)
{
    char what[480];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    engine_fail("%s", what);
    (void)p;
}

const char *play_option(const struct play *p, const char *name)
{
    for (size_t i = 1; i < p->step->words.count; i++) {
        const char *value = text_value(p->step->words.at[i], name);

        if (value)
            return value;
    }
    return NULL;
}

bool play_flag(const struct play *p, const char *name)
{
    for (size_t i = 1; i < p->step->words.count; i++)
        if (strcmp(p->step->words.at[i], name) == 0)
            return true;
    return false;
}

const char *play_word(const struct play *p, size_t i)
{
    return i < p->step->words.count ? p->step->words.at[i] : "";
}

/* -- instances -- */

static const char *instance_named(const struct play *p)
{
    const char *name = play_word(p, 1);

    return *name && !strchr(name, '=') ? name : "first";
}

static void on_start(struct play *p)
{
    const char *host = play_option(p, "host");

    world_start(instance_named(p), host ? host : instance_named(p));
}

static void on_stop(struct play *p)
{
    world_stop(instance_named(p));
}

static void on_kill(struct play *p)
{
    world_kill(instance_named(p));
}

static void on_freeze(struct play *p)
{
    instance_freeze(instance_find(instance_named(p)));
}

static void on_thaw(struct play *p)
{
    instance_thaw(instance_find(instance_named(p)));
}

/* -- settings -- */

static struct config *configure(struct play *p, const struct words *more)
{
    struct config *c = world_config_new();
    const struct words *lists[] = {&p->story->settings, more};
    char err[300];

    for (size_t l = 0; l < array_len(lists); l++) {
        for (size_t i = l; lists[l] && i < lists[l]->count; i++) {
            const char *word = lists[l]->at[i], *equals = strchr(word, '=');
            char *name = equals ? alloc_copy(word, (size_t)(equals - word)) : NULL;

            if (!equals && strcmp(word, "first") != 0)
                play_fail(p, "config: \"%s\" is not name=value", word);
            else if (equals && strcmp(name, "cluster") != 0 && strcmp(name, "only") != 0 &&
                     world_config_set(c, name, equals + 1, err, sizeof(err)) < 0)
                play_fail(p, "config: %s: %s", name, err);
            free(name);
        }
    }
    return c;
}

/* As while a new configuration is brought to one machine after the other. */
static void reload_one(int i, struct config *c)
{
    const struct config *fresh = config_share(c);

    free(c);
    if (instance_runs(i))
        instance_reload(i, fresh);
    config_drop(fresh);
}

static void on_reload(struct play *p)
{
    const char *only = play_option(p, "only");

    if (only) {
        reload_one(instance_find(only), configure(p, &p->step->words));
        return;
    }
    world_reload(configure(p, &p->step->words));
    for (int i = 0; i < INSTANCES_MAX; i++)
        if (instance_runs(i))
            instance_reload(i, world_config());
}

/* -- the rest -- */

int64_t play_jump_ms(struct play *p, const char *by)
{
    uint64_t ns = 0;

    if ((*by != '+' && *by != '-') || text_time(by + 1, &ns) < 0)
        play_fail(p, "clock: +1h or -1h, not \"%s\"", by);
    return (*by == '-' ? -1 : 1) * (int64_t)(ns / NS_PER_MS);
}

static void on_clock(struct play *p)
{
    trace("the wall clock jumps by %s", play_word(p, 1));
    engine_jump_wall(play_jump_ms(p, play_word(p, 1)));
}

static void pause_all(enum control_state state)
{
    const struct config *c = world_config();
    struct client *client;
    struct error err;

    if (client_open(NULL, &client, &err) < 0) {
        trace("no pause can be noted: %s", err.text);
        return;
    }
    for (uint32_t i = 0; i < c->accounts_count; i++)
        if (control_set(client, &(struct actor){&c->accounts[i], "story"}, state,
                        "the story says so") < 0)
            trace("Redis refuses to note a pause: %s", client_error(client));
    client_close(client);
}

static void on_pause(struct play *p)
{
    (void)p;
    pause_all(CONTROL_PAUSED);
}

static void on_resume(struct play *p)
{
    (void)p;
    pause_all(CONTROL_GOES_ON);
}

static void on_wait(struct play *p)
{
    (void)p;
}

static const struct {
    const char *word;
    play_verb *verb;
    bool expects;
} verbs[] = {
    {"post", play_post, false},         {"get", play_get, false},
    {"delete", play_delete, false},     {"dead", play_dead, false},
    {"http", play_http, false},         {"push", play_push, false},
    {"cancel", play_cancel, false},     {"expect", play_expect, true},
    {"quiet", play_quiet, true},        {"reply", play_reply, false},
    {"fail", play_fail_request, false}, {"fastly", play_fastly, false},
    {"redis", play_redis, false},       {"start", on_start, false},
    {"stop", on_stop, false},           {"kill", on_kill, false},
    {"freeze", on_freeze, false},       {"thaw", on_thaw, false},
    {"reload", on_reload, false},       {"clock", on_clock, false},
    {"pause", on_pause, false},         {"resume", on_resume, false},
    {"wait", on_wait, false},           {"origin", play_origin, false},
    {"pop", play_pop, false},           {"page", play_page, false},
    {"visit", play_visit, false},
};

static void do_step(struct play *p)
{
    const char *word = play_word(p, 0);

    for (size_t i = 0; i < array_len(verbs); i++) {
        if (strcmp(verbs[i].word, word) != 0)
            continue;
        if (verbs[i].expects && p->how != PLAY_WITH_EXPECTATIONS)
            return;
        trace("> %s", p->step->text);
        verbs[i].verb(p);
        return;
    }
    play_fail(p, "nobody knows how to \"%s\"", word);
}

static void do_steps(struct play *p)
{
    for (size_t i = 0; i < p->story->count; i++) {
        p->step = &p->story->steps[i];
        engine_run(ENGINE_START_NS + p->step->at_ns);
        if (!engine_failure())
            do_step(p);
        if (engine_failure())
            return;
    }
}

static void tell(const struct play *p, struct play_result *out)
{
    const char *why = engine_failure();

    out->passed = !why;
    out->sums = *witness_sums();
    out->took_ns = engine_since_start_ns();
    if (!why)
        return;
    snprintf(out->message, sizeof(out->message), "%s:%d: %s\n  %s\n  at %s", p->story->file,
             p->step ? p->step->line : 0, p->step ? p->step->text : "", why,
             engine_time_text(engine_since_start_ns()));
}

/* Unless the story starts somebody itself at 0ms, "first" runs from the beginning. */
static bool starts_itself(const struct story *s)
{
    for (size_t i = 0; i < s->count && s->steps[i].at_ns == 0; i++)
        if (strcmp(s->steps[i].words.at[0], "start") == 0)
            return true;
    return false;
}

static bool redis_fails(const struct story *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct words *w = &s->steps[i].words;

        if (w->count > 1 && strcmp(w->at[0], "redis") == 0 &&
            (strcmp(w->at[1], "fails") == 0 || strcmp(w->at[1], "splits") == 0))
            return true;
    }
    return false;
}

/* Of the Cluster; 0: there is none. */
static uint64_t nodes_of(const struct story *s)
{
    uint64_t nodes = 0;

    for (size_t i = 0; i < s->settings.count; i++) {
        const char *value = text_value(s->settings.at[i], "cluster");

        if (value)
            must(text_number(value, &nodes) == 0);
    }
    return nodes;
}

void play_story(const struct story *s, const struct play_options *o, struct play_result *out)
{
    struct play p = {.story = s, .how = o->how};
    struct world_options world = {.seed = s->seed, .nodes = nodes_of(s)};

    *out = (struct play_result){0};
    world.revive = o->branch != NULL;
    world.config = configure(&p, NULL);
    world.redis_fails = world.config->redis_replicas || redis_fails(s);
    world_begin(&world);
    trace_live(o->verbose);
    fastly_weather.waits = true;
    fastly_fake_keep_unseen(o->how == PLAY_WITH_EXPECTATIONS);
    fault_branch(o->branch);
    if (!starts_itself(s))
        world_start("first", "first");
    do_steps(&p);
    if (!engine_failure() && (!o->branch || fault_branched()))
        world_finish();
    out->operations = fault_operations();
    tell(&p, out);
    if (!out->passed && o->failed)
        o->failed(out->message);
    else if (!out->passed && !o->verbose && !o->silent)
        trace_dump();
    if (o->over)
        o->over(out->passed);
    world_end();
}

void play_limit(unsigned cpu_s)
{
    const struct itimerval once = {.it_value = {.tv_sec = (time_t)cpu_s}};

    must(setitimer(ITIMER_PROF, &once, NULL) == 0);
}
