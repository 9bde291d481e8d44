/* SPDX-License-Identifier: MIT */
#include "daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account_endpoint.h"
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "config_change.h"
#include "config_file.h"
#include "connections.h"
#include "consumer_runners.h"
#include "dispatch.h"
#include "embedded.h"
#include "greeting.h"
#include "log.h"
#include "process.h"
#include "redis_config.h"
#include "rlimits.h"
#include "route.h"
#include "server.h"
#include "supervision.h"
#include "target.h"
#include "vitals.h"

#define EXIT_LIMITS 1
#define EXIT_CONFIG 2
#define LISTEN_AGAIN_NS NS_PER_S
#define SAME_REQUEST_NS (100 * NS_PER_MS)

enum daemon_state {
    DAEMON_STARTING, /* the embedded Redis is starting */
    DAEMON_RUNNING,
    DAEMON_STOPPING,    /* accounts finish the requests in flight */
    DAEMON_STOPPING_IO, /* the senders stop, then the embedded Redis */
};

/* When an account is to be ticked. With many accounts most of them are idle, so each has a time of
 * its own. */
struct turn {
    struct daemon *daemon;
    uint64_t at_ns;
};

struct daemon {
    enum daemon_state state;
    struct loop *loop;
    const struct config *config; /* held; users of an older one hold that one */
    const struct daemon_options *options;
    struct redis_address redis;
    struct embedded *embedded;
    struct consumer_runners *consumers; /* NULL: not started yet */
    struct senders *senders;
    struct memory memory;        /* shared by the accounts */
    struct instances *instances; /* likewise */
    struct dispatch **accounts;
    struct turn *turns; /* one per account */
    uint32_t accounts_count;
    uint64_t files;                  /* limit of open files */
    struct http_server *http_server; /* NULL: no HTTP */
    bool http_server_leaving;        /* a reload ended HTTP: it is being stopped */
    bool http_server_stopped;
    char waits[CONFIG_CHANGES_MAX_BYTES + 8]; /* settings whose new values wait for a restart */
    struct error http_why; /* why HTTP could not start and is retried; "": no failure */
    struct timer *tick, *grace, *listen_again;
    uint64_t tick_at_ns;
    uint64_t asked_to_stop_ns;
    struct watch *sigterm, *sigint, *sighup;
    struct supervision *supervision; /* NULL: by nobody */
    char owner[PROCESS_IDENTITY_MAX];
    int exit_code;
};

/* -- ticking --------------------------------------------------------------------------------- */

static void stop_io(struct daemon *d);
static void look_at_http_server(struct daemon *d);

static bool all_stopped(const struct daemon *d)
{
    for (uint32_t i = 0; i < d->accounts_count; i++)
        if (!dispatch_stopped(d->accounts[i]))
            return false;
    return true;
}

static void tick_by(struct daemon *d, uint64_t at_ns)
{
    if (at_ns >= d->tick_at_ns)
        return;
    d->tick_at_ns = at_ns;
    timer_start_at(d->tick, at_ns);
}

static void on_wake(void *ctx)
{
    tick_by(ctx, 0);
}

static void on_account_wake(void *ctx)
{
    struct turn *t = ctx;

    t->at_ns = 0;
    tick_by(t->daemon, 0);
}

/* Ticks the accounts whose time has come. Returns when the next one's time comes. */
static uint64_t tick_accounts(struct daemon *d, struct now now)
{
    uint64_t next = NEVER, freed = memory_freed(&d->memory);

    for (uint32_t i = 0; i < d->accounts_count; i++)
        if (d->turns[i].at_ns <= now.mono_ns) {
            d->turns[i].at_ns = NEVER; /* the tick may wake itself */
            next = dispatch_tick(d->accounts[i], now);
            d->turns[i].at_ns = min_u64(d->turns[i].at_ns, next);
        }
    freed = memory_freed(&d->memory) - freed;
    next = NEVER;
    for (uint32_t i = 0; i < d->accounts_count; i++) {
        if (freed && dispatch_awaits_memory(d->accounts[i]))
            d->turns[i].at_ns = 0;
        next = min_u64(next, d->turns[i].at_ns);
    }
    return next;
}

static void on_tick(void *ctx)
{
    struct daemon *d = ctx;
    uint64_t next;

    d->tick_at_ns = NEVER;
    look_at_http_server(d);
    next = tick_accounts(d, clock_now());
    if (d->state == DAEMON_STOPPING && all_stopped(d) && consumer_runners_stopped(d->consumers) &&
        (!d->http_server || d->http_server_stopped))
        stop_io(d);
    else if (next != NEVER)
        tick_by(d, next);
}

/* -- stopping -------------------------------------------------------------------------------- */

static void close_all(struct daemon *d)
{
    timer_close(d->tick);
    timer_close(d->grace);
    timer_close(d->listen_again);
    watch_close(d->sigterm);
    watch_close(d->sigint);
    watch_close(d->sighup);
    supervision_close(d->supervision);
    consumer_runners_free(d->consumers);
}

static void on_embedded_stopped(void *ctx)
{
    struct daemon *d = ctx;

    d->embedded = NULL;
    close_all(d);
}

static void on_senders_closed(void *ctx)
{
    struct daemon *d = ctx;

    for (uint32_t i = 0; i < d->accounts_count; i++)
        dispatch_free(d->accounts[i]);
    d->accounts_count = 0;
    if (d->http_server)
        http_server_free(d->http_server);
    d->http_server = NULL;
    if (d->embedded)
        embedded_stop(d->embedded, on_embedded_stopped, d);
    else
        close_all(d);
}

static void stop_io(struct daemon *d)
{
    d->state = DAEMON_STOPPING_IO;
    timer_stop(d->grace);
    if (d->senders)
        senders_close(d->senders, on_senders_closed, d);
    else
        on_senders_closed(d);
}

/* Exiting now loses nothing: unfinished jobs are still in Redis. */
static void leave_at_once(int code)
{
    _exit(code);
}

static void on_grace_over(void *ctx)
{
    struct daemon *d = ctx;

    log_warn("Shutdown grace expired; purges in flight are sent again at the next start", "");
    leave_at_once(d->exit_code);
}

static void on_http_server_stopped(void *ctx)
{
    struct daemon *d = ctx;

    d->http_server_stopped = true;
    on_wake(d);
}

static void stop(struct daemon *d, int code)
{
    if (d->state >= DAEMON_STOPPING)
        return;
    d->exit_code = code;
    d->state = DAEMON_STOPPING;
    supervision_stopping(d->supervision);
    timer_start_at(d->grace, clock_mono_ns() + d->config->shutdown_grace_s * NS_PER_S);
    timer_stop(d->listen_again);
    for (uint32_t i = 0; i < d->accounts_count; i++)
        dispatch_stop(d->accounts[i], DISPATCH_HANDS_OVER);
    consumer_runners_stop(d->consumers, on_wake, d);
    if (d->http_server && !d->http_server_leaving)
        http_server_stop(d->http_server, on_http_server_stopped, d);
    on_wake(d);
}

static void on_stop_signal(void *ctx, int signum)
{
    struct daemon *d = ctx;

    uint64_t now_ns = clock_mono_ns();

    /* timeout(1) and some shells signal the process and then its group: this is one request. */
    if (d->state >= DAEMON_STOPPING && now_ns < d->asked_to_stop_ns + SAME_REQUEST_NS)
        return;
    d->asked_to_stop_ns = now_ns;
    if (d->state >= DAEMON_STOPPING) {
        log_warn("Second signal to stop: exiting immediately", "");
        leave_at_once(1);
    }
    log_info("Stopping; requests in flight are finished first", "signal=%s", strsignal(signum));
    stop(d, 0);
}

/* -- accounts -------------------------------------------------------------------------------- */

static void on_vitals(void *ctx, struct vitals *v, enum vitals_wanted wanted)
{
    const struct daemon *d = ctx;

    vitals_fill(v, wanted, d->accounts, d->accounts_count);
    (void)consumer_runners_failing(d->consumers, v->consumers, sizeof(v->consumers));
}

static void on_job_view(void *ctx, const struct job_view_ask *ask, struct job_view *out)
{
    const struct daemon *d = ctx;

    job_view_ask(d->accounts, d->accounts_count, ask, clock_now(), out);
}

/* The same in a sentence, for systemd. */
static void on_supervise(void *ctx, struct supervision_report *r)
{
    const struct daemon *d = ctx;
    struct now now = clock_now();
    bool connected = true, troubled = false;

    r->starting = d->state == DAEMON_STARTING;
    snprintf(r->sentence, sizeof(r->sentence), "%s",
             r->starting ? "Waiting for the embedded Redis" : "Dispatching");
    (void)consumer_runners_failing(d->consumers, r->sentence, sizeof(r->sentence));
    if (*d->http_why.text)
        snprintf(r->sentence, sizeof(r->sentence), "The HTTP endpoint cannot be started: %s",
                 d->http_why.text);
    for (uint32_t i = 0; i < d->accounts_count; i++)
        connected &= dispatch_connected(d->accounts[i]);
    if (!connected)
        snprintf(r->sentence, sizeof(r->sentence),
                 "Redis is away or refuses commands; nothing is sent until it is back");
    for (uint32_t i = 0; i < d->accounts_count && !troubled; i++)
        troubled = dispatch_troubled(d->accounts[i], now, r->sentence, sizeof(r->sentence));
    for (uint32_t i = 0; i < d->accounts_count && !r->stalled; i++)
        r->stalled = dispatch_stalled(d->accounts[i], now, r->sentence, sizeof(r->sentence));
}

/* A port in use, an address that does not exist yet, a certificate that cannot be read: all of
 * these may be fixed while the process runs. */
static void listen_later(struct daemon *d, const struct error *why)
{
    if (strcmp(why->text, d->http_why.text) != 0)
        log_error("The HTTP endpoint cannot be started; retrying every second. To run without it, "
                  "set `listen` to nothing",
                  "why=\"%s\"", why->text);
    d->http_why = *why;
    timer_start_at(d->listen_again, clock_mono_ns() + LISTEN_AGAIN_NS);
}

static void start_http_server(struct daemon *d)
{
    struct http_server_options o = {.config = d->config,
                                    .routes = &http_routes,
                                    .redis = &d->redis,
                                    .loop = d->loop,
                                    .files = d->files,
                                    .vitals = on_vitals,
                                    .job_view = on_job_view,
                                    .ctx = d};
    struct error why;

    timer_stop(d->listen_again);
    if (*d->config->listen) {
        d->http_server = http_server_new(&o, &why);
        if (!d->http_server) {
            listen_later(d, &why);
            return;
        }
        log_info("The HTTP endpoint listens", "address=%s tls=%s producers=%u",
                 http_server_address(d->http_server), *d->config->http.tls_cert_file ? "yes" : "no",
                 d->config->producers_count);
        if (d->config->producers_count == 0)
            log_warn("No producers are configured: every user of this machine may push over HTTP",
                     "");
    }
    d->http_why.text[0] = '\0';
}

static void on_listen_again(void *ctx)
{
    struct daemon *d = ctx;

    if (d->state == DAEMON_RUNNING && !d->http_server)
        start_http_server(d);
}

/* Frees an endpoint that a reload ended, and starts a new one if `listen` is set again by now. */
static void look_at_http_server(struct daemon *d)
{
    if (!d->http_server_leaving || !d->http_server_stopped)
        return;
    http_server_free(d->http_server);
    d->http_server = NULL;
    d->http_server_leaving = d->http_server_stopped = false;
    log_info("The HTTP endpoint is closed: `listen` is empty", "");
    if (d->state == DAEMON_RUNNING)
        start_http_server(d);
}

static void reload_http_server(struct daemon *d)
{
    if (d->http_server_leaving)
        return;
    if (!d->http_server) {
        start_http_server(d);
    } else if (*d->config->listen) {
        http_server_configure(d->http_server, d->config);
    } else {
        d->http_server_leaving = true;
        http_server_stop(d->http_server, on_http_server_stopped, d);
    }
}

static void start_accounts(struct daemon *d)
{
    struct senders_options so = {
        .threads = rlimits_senders(d->config), .max_connections = 4, .max_streams = 100};
    struct connections *connections =
        connections_new(d->loop, &d->redis, d->owner, d->config->accounts_count);

    d->senders = senders_new(d->loop, &so, dispatch_on_reply, d);
    d->accounts = alloc_zeroed(d->config->accounts_count, sizeof(*d->accounts));
    d->turns = alloc_zeroed(d->config->accounts_count, sizeof(*d->turns));
    d->instances = instances_new(d->owner, d->config->accounts_count);
    memory_init(&d->memory, config_jobs_max_bytes(d->config), d->config->accounts_count);
    for (uint32_t i = 0; i < d->config->accounts_count; i++) {
        const struct config_account *a = &d->config->accounts[i];
        struct endpoint *e = account_endpoint(a);
        struct dispatch_options o = {.account = a,
                                     .config = d->config,
                                     .waits = d->waits,
                                     .http = d->http_why.text,
                                     .window = d->config->window,
                                     .memory = &d->memory,
                                     .job_max_bytes = config_job_max_bytes(d->config),
                                     .owner = d->owner,
                                     .instances = d->instances,
                                     .number = i,
                                     .loop = d->loop,
                                     .redis = &d->redis,
                                     .connections = connections,
                                     .senders = d->senders,
                                     .endpoint = e,
                                     .seed = process_random(),
                                     .wake = on_account_wake,
                                     .ctx = &d->turns[i]};

        d->turns[i] = (struct turn){.daemon = d};

        d->accounts[d->accounts_count++] = dispatch_new(&o, clock_now());
        endpoint_drop(e);
    }
    d->state = DAEMON_RUNNING;
    start_http_server(d);
    d->consumers = consumer_runners_new(d->loop, d->options->config_path);
    consumer_runners_configure(d->consumers, NULL, d->config);
    supervision_ready(d->supervision);
    on_wake(d);
}

static void on_embedded_ready(void *ctx)
{
    struct daemon *d = ctx;

    if (d->state == DAEMON_STARTING)
        start_accounts(d);
}

static void on_embedded_failed(void *ctx)
{
    stop(ctx, 1);
}

/* -- reload ---------------------------------------------------------------------------------- */

/* Settings that need a restart get their old values, and their names are stored in d->waits. */
static void keep_old_values(struct daemon *d, struct config *fresh)
{
    struct buf names;

    buf_init(&names, sizeof(d->waits));
    config_change_keep(d->config, fresh, &names);
    snprintf(d->waits, sizeof(d->waits), "%s", names.n ? names.p : "");
    buf_deinit(&names);
}

/* Returns a shared configuration, held by the caller; NULL with a message. */
static const struct config *read_config(struct daemon *d, struct error *err)
{
    struct config c;

    if (config_load(d->options->config_path, d->options->redis, &c, err) < 0)
        return NULL;
    if (d->config)
        keep_old_values(d, &c);
    return config_share(&c);
}

static void take_config(struct daemon *d, const struct config *fresh)
{
    const struct config *old = d->config;

    d->config = fresh;
    for (uint32_t i = 0; i < d->accounts_count; i++) {
        struct endpoint *e = account_endpoint(&fresh->accounts[i]);

        dispatch_configure(d->accounts[i], fresh, &fresh->accounts[i], e, clock_now());
        endpoint_drop(e);
    }
    reload_http_server(d);
    consumer_runners_configure(d->consumers, old, fresh);
    config_drop(old);
}

static void tell_reload(const struct daemon *d, const struct buf *changed)
{
    log_info("Configuration and tokens were reloaded", "configurations_in_use=%llu changed=\"%s\"",
             (unsigned long long)config_shared(), changed->n ? changed->p : "");
    if (*d->waits)
        log_warn(
            "Changes of these settings take effect at the next restart; all others are in effect",
            "settings=\"%s\"", d->waits);
}

static void reload(struct daemon *d)
{
    const struct config *fresh;
    struct buf changed;
    const char *fixed;
    struct error err;

    fresh = read_config(d, &err);
    if (!fresh) {
        log_error("The new configuration is rejected; the old one stays in effect", "why=\"%s\"",
                  err.text);
        return;
    }
    if (config_change_possible(d->config, fresh, &fixed) < 0) {
        log_error(
            "The new configuration is rejected as a whole: a change of accounts needs a restart",
            "setting=%s", fixed);
        config_drop(fresh);
        return;
    }
    buf_init(&changed, CONFIG_CHANGES_MAX_BYTES + 8);
    config_change_names(d->config, fresh, &changed);
    take_config(d, fresh);
    tell_reload(d, &changed);
    buf_deinit(&changed);
}

static void on_reload(void *ctx, int signum)
{
    struct daemon *d = ctx;

    (void)signum;
    if (d->state != DAEMON_RUNNING)
        return;
    supervision_reloading(d->supervision);
    reload(d);
    supervision_ready(d->supervision);
}

/* -- running --------------------------------------------------------------------------------- */

/* 0, or the exit code. */
static int prepare(struct daemon *d)
{
    struct error err;
    int rc = -EINVAL;

    d->config = read_config(d, &err);
    if (d->config)
        rc = redis_config_address(d->config, &d->redis, &err);
    if (rc < 0) {
        fprintf(stderr, "purgeline: %s\n", err.text);
        return EXIT_CONFIG;
    }
    if (rlimits_suffice(d->config, connections_most(d->config->accounts_count, &d->redis), d->files,
                        &err) < 0) {
        fprintf(stderr, "purgeline: %s\n", err.text);
        return EXIT_LIMITS;
    }
    return 0;
}

static void start(struct daemon *d)
{
    d->loop = loop_new();
    rlimits_take_threads(d->loop);
    d->tick = timer_new(d->loop, on_tick, d);
    d->grace = timer_new(d->loop, on_grace_over, d);
    d->listen_again = timer_new(d->loop, on_listen_again, d);
    d->sigterm = watch_signal(d->loop, SIGTERM, on_stop_signal, d);
    d->sigint = watch_signal(d->loop, SIGINT, on_stop_signal, d);
    d->sighup = watch_signal(d->loop, SIGHUP, on_reload, d);
    d->tick_at_ns = NEVER;
    d->supervision = supervision_new(d->loop, on_supervise, d);
    greeting(d->config, &d->redis);
    if (strcmp(d->config->redis, "embedded") == 0)
        d->embedded = embedded_start(d->loop, d->config->data_dir, d->redis.unix_path,
                                     on_embedded_ready, on_embedded_failed, d);
    else
        start_accounts(d);
}

int daemon_run(const struct daemon_options *o)
{
    struct daemon *d = alloc_zeroed(1, sizeof(*d));
    int code;

    process_harden();
    process_return_memory();
    d->files = process_raise_files();
    target_hash_seed(process_random());
    signal(SIGPIPE, SIG_IGN);
    d->options = o;
    if (o->redis)
        (void)setenv("PURGELINE_REDIS", o->redis, 1); /* for child processes */
    code = prepare(d);
    if (code) {
        redis_address_deinit(&d->redis);
        config_drop(d->config);
        free(d);
        return code;
    }
    process_identity(d->owner);
    start(d);
    loop_run(d->loop);
    loop_free(d->loop);
    code = d->exit_code;
    free(d->accounts);
    free(d->turns);
    instances_free(d->instances);
    redis_address_deinit(&d->redis);
    config_drop(d->config);
    must(config_shared() == 0); /* otherwise a config_drop is missing */
    free(d);
    log_info("purgeline has stopped", "code=%d", code);
    return code;
}
