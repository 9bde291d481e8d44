/* SPDX-License-Identifier: MIT */
#include "consumer_runners.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "child.h"
#include "clock.h"
#include "config_change.h"
#include "log.h"

#define PATH_ROOM 4096
#define AGAIN_MAX_S 60u
#define STABLE_NS (60 * NS_PER_S) /* after this time a child counts as well */
#define END_NS (20 * NS_PER_S)    /* a connection attempt of a source may take half of it */
#define FAILS_OFTEN 3             /* this many times in a row is told to others */
#define WHY_ROOM 160

enum runner_state {
    RUNNER_RUNNING, /* next: WAITING if it ends, ENDING */
    RUNNER_WAITING, /* for the next start. next: RUNNING, or it is gone */
    RUNNER_ENDING,  /* was asked to. next: RUNNING if it is wanted again, or it is gone */
};

struct runner {
    struct runner *next;
    struct consumer_runners *all;
    enum runner_state state;
    char *name;         /* of the consumer */
    char *password_env; /* "NAME="; NULL: none */
    struct child *child;
    struct timer *timer;
    bool wanted;
    uint32_t failures;  /* in a row */
    char why[WHY_ROOM]; /* how it ended the last time */
};

struct consumer_runners {
    struct loop *loop;
    const char *config_path;
    char *variables[2]; /* "NAME=" of those with passwords of Redis; NULL: none */
    struct runner *first;
    loop_cb *changed;
    void *ctx;
};

static void start_runner(struct runner *w);

struct consumer_runners *consumer_runners_new(struct loop *l, const char *config_path)
{
    struct consumer_runners *r = alloc_zeroed(1, sizeof(*r));

    r->loop = l;
    r->config_path = config_path;
    return r;
}

/* -- one child -- */

static void remove_runner(struct runner *w)
{
    struct consumer_runners *r = w->all;
    struct runner **at = &r->first;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    timer_close(w->timer);
    free(w->name);
    free(w->password_env);
    free(w);
    if (r->changed)
        r->changed(r->ctx);
}

static void start_later(struct runner *w)
{
    uint32_t wait_s = w->failures < 7 ? 1u << (w->failures - 1) : AGAIN_MAX_S;

    w->state = RUNNER_WAITING;
    wait_s = wait_s < AGAIN_MAX_S ? wait_s : AGAIN_MAX_S;
    log_error("A consumer has ended and is started again", "consumer=%s why=\"%s\" in_s=%" PRIu32,
              w->name, w->why, wait_s);
    timer_start_at(w->timer, clock_mono_ns() + wait_s * NS_PER_S);
}

static void on_child_exit(void *ctx, int status, int signum)
{
    struct runner *w = ctx;

    child_close(w->child);
    w->child = NULL;
    timer_stop(w->timer);
    if (w->state == RUNNER_ENDING && w->wanted) {
        start_runner(w);
    } else if (w->state == RUNNER_ENDING) {
        remove_runner(w);
    } else {
        w->failures++;
        if (signum)
            snprintf(w->why, sizeof(w->why), "signal %d (%s)", signum, strsignal(signum));
        else
            snprintf(w->why, sizeof(w->why), "exit code %d; its own lines in the log say why",
                     status);
        start_later(w);
    }
}

/* The path of this program. False if the kernel does not tell it. */
static bool own_path(char out[PATH_ROOM])
{
    static const char deleted[] = " (deleted)"; /* another version has been installed meanwhile */
    ssize_t n = readlink("/proc/self/exe", out, PATH_ROOM - 1);

    if (n <= 0)
        return false;
    out[n] = '\0';
    if ((size_t)n > sizeof(deleted) && strcmp(out + n - (sizeof(deleted) - 1), deleted) == 0)
        out[n - (ssize_t)(sizeof(deleted) - 1)] = '\0';
    return true;
}

/* The child needs no token. It gets the settings in the environment, and the passwords of Redis and
 * of its source if they are there. */
static struct child *spawn(struct runner *w, int *err)
{
    const struct consumer_runners *r = w->all;
    const char *env[] = {"PURGELINE_", r->variables[0], r->variables[1], w->password_env, NULL};
    char path[PATH_ROOM];
    const char *argv[] = {path, "consume", "--config", r->config_path, "--", w->name, NULL};
    const char *passed[array_len(env)];
    size_t n = 0;

    if (!own_path(path)) {
        *err = -errno;
        return NULL;
    }
    for (size_t i = 0; i < array_len(env); i++)
        if (env[i])
            passed[n++] = env[i];
    passed[n] = NULL;
    return child_start(r->loop, argv, -1, passed, on_child_exit, w, err);
}

static void start_runner(struct runner *w)
{
    int err = 0;

    w->child = spawn(w, &err);
    if (!w->child) {
        w->failures++;
        snprintf(w->why, sizeof(w->why), "it cannot be started: %s", strerror(-err));
        start_later(w);
        return;
    }
    w->state = RUNNER_RUNNING;
    timer_start_at(w->timer, clock_mono_ns() + STABLE_NS);
}

static void end_runner(struct runner *w)
{
    w->wanted = false;
    if (w->state == RUNNER_WAITING) {
        remove_runner(w);
    } else if (w->state == RUNNER_RUNNING) {
        w->state = RUNNER_ENDING;
        child_signal(w->child, SIGTERM);
        timer_start_at(w->timer, clock_mono_ns() + END_NS);
    }
}

static void on_runner_timer(void *ctx)
{
    struct runner *w = ctx;

    switch (w->state) {
    case RUNNER_WAITING:
        start_runner(w);
        break;
    case RUNNER_RUNNING:
        if (w->failures)
            log_info("The consumer keeps running", "consumer=%s", w->name);
        w->failures = 0;
        break;
    case RUNNER_ENDING: /* what it has not committed comes again */
        log_warn("A consumer does not end and is killed; no message is lost", "consumer=%s",
                 w->name);
        child_signal(w->child, SIGKILL);
        break;
    }
}

/* -- all of them -- */

static struct runner *find_runner(const struct consumer_runners *r, const char *name)
{
    struct runner *w = r->first;

    while (w && strcmp(w->name, name) != 0)
        w = w->next;
    return w;
}

static char *variable(const char *name)
{
    return *name ? alloc_printf("%s=", name) : NULL;
}

static void add_runner(struct consumer_runners *r, const struct config_consumer *c)
{
    struct runner *w = alloc_zeroed(1, sizeof(*w));

    w->all = r;
    w->name = alloc_str(c->name);
    w->password_env = variable(c->password_env);
    w->timer = timer_new(r->loop, on_runner_timer, w);
    w->wanted = true;
    w->next = r->first;
    r->first = w;
    log_info("Starting a consumer", "consumer=%s", w->name);
    start_runner(w);
}

/* What ends at the moment is started again when it has ended. */
static void keep_runner(struct runner *w, const struct config_consumer *c, bool changed)
{
    free(w->password_env);
    w->password_env = variable(c->password_env);
    if (changed && w->state == RUNNER_WAITING) {
        w->failures = 0;
        start_runner(w);
    } else if (changed) {
        log_info("Starting a consumer again, because its settings have changed", "consumer=%s",
                 w->name);
        end_runner(w);
    }
    w->wanted = true;
}

void consumer_runners_configure(struct consumer_runners *r, const struct config *old,
                                const struct config *fresh)
{
    const struct config_redis_auth *auth = &fresh->redis_auth;
    struct runner *next;

    free(r->variables[0]);
    free(r->variables[1]);
    r->variables[0] = variable(auth->password_env);
    r->variables[1] = variable(auth->sentinel_password_env);
    for (struct runner *w = r->first; w; w = next) {
        const struct config_consumer *c = config_consumer(fresh, w->name);

        next = w->next;
        if (c && c->run)
            continue;
        log_info("Ending a consumer, because the configuration no longer runs it", "consumer=%s",
                 w->name);
        end_runner(w);
    }
    for (uint32_t i = 0; i < fresh->consumers_count; i++) {
        const struct config_consumer *c = &fresh->consumers[i];
        struct runner *w = find_runner(r, c->name);

        if (c->run && w)
            keep_runner(w, c, old && config_change_of_consumer(old, fresh, c->name));
        else if (c->run)
            add_runner(r, c);
    }
}

bool consumer_runners_failing(const struct consumer_runners *r, char *why, size_t room)
{
    for (const struct runner *w = r ? r->first : NULL; w; w = w->next) {
        if (w->failures < FAILS_OFTEN)
            continue;
        snprintf(why, room, "the consumer %s ended %" PRIu32 " times in a row: %s", w->name,
                 w->failures, w->why);
        return true;
    }
    return false;
}

void consumer_runners_stop(struct consumer_runners *r, loop_cb *changed, void *ctx)
{
    struct runner *next;

    if (!r)
        return;
    r->changed = changed;
    r->ctx = ctx;
    for (struct runner *w = r->first; w; w = next) {
        next = w->next;
        end_runner(w);
    }
}

bool consumer_runners_stopped(const struct consumer_runners *r)
{
    return !r || !r->first;
}

void consumer_runners_free(struct consumer_runners *r)
{
    if (!r)
        return;
    must(!r->first);
    free(r->variables[0]);
    free(r->variables[1]);
    free(r);
}
