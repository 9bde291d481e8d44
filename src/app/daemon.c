/* SPDX-License-Identifier: MIT */
#include "daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "config_file.h"
#include "dispatch.h"
#include "embedded.h"
#include "ingress.h"
#include "log.h"
#include "metrics.h"
#include "process.h"
#include "target.h"

#define EXIT_CONFIG 2
#define RELOADS_MAX 1024u
#define SAME_REQUEST_NS (100 * NS_PER_MS)
#define USER_AGENT "purgeline/" PURGELINE_VERSION

enum daemon_state {
    DAEMON_STARTING, /* the embedded Redis is coming up */
    DAEMON_RUNNING,
    DAEMON_STOPPING,    /* accounts finish what is on the wire */
    DAEMON_STOPPING_IO, /* senders, then the embedded Redis */
};

struct daemon {
    enum daemon_state state;
    struct loop *loop;
    struct config *config;
    struct config *retired[RELOADS_MAX]; /* old ones: a dispatch may still finish by them */
    uint32_t retired_count;
    const struct daemon_options *options;
    struct redis_address redis;
    struct embedded *embedded;
    struct senders *senders;
    struct memory memory; /* that the accounts share */
    struct dispatch **accounts;
    uint32_t accounts_count;
    uint64_t files;          /* that may be open */
    struct ingress *ingress; /* NULL: no HTTP */
    bool ingress_stopped;
    struct timer *tick, *grace;
    uint64_t tick_at_ns;
    uint64_t asked_to_stop_ns;
    struct watch *sigterm, *sigint, *sighup;
    char owner[PROCESS_IDENTITY_MAX];
    int exit_code;
};

/* -- ticking --------------------------------------------------------------------------------- */

static void stop_io(struct daemon *d);

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

static void on_tick(void *ctx)
{
    struct daemon *d = ctx;
    struct now now = clock_now();
    uint64_t next = NEVER;

    d->tick_at_ns = NEVER;
    for (uint32_t i = 0; i < d->accounts_count; i++)
        next = min_u64(next, dispatch_tick(d->accounts[i], now));
    if (d->state == DAEMON_STOPPING && all_stopped(d) && (!d->ingress || d->ingress_stopped))
        stop_io(d);
    else if (next != NEVER)
        tick_by(d, next);
}

/* -- stopping -------------------------------------------------------------------------------- */

static void close_all(struct daemon *d)
{
    timer_close(d->tick);
    timer_close(d->grace);
    watch_close(d->sigterm);
    watch_close(d->sigint);
    watch_close(d->sighup);
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
    if (d->ingress)
        ingress_free(d->ingress);
    d->ingress = NULL;
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

/* What did not finish is still in Redis: leaving now loses nothing. */
static void leave_at_once(int code)
{
    _exit(code);
}

static void on_grace_over(void *ctx)
{
    struct daemon *d = ctx;

    log_warn("The grace is over; what is still on the wire will be sent once more after the next "
             "start",
             "");
    leave_at_once(d->exit_code);
}

static void on_ingress_stopped(void *ctx)
{
    struct daemon *d = ctx;

    d->ingress_stopped = true;
    on_wake(d);
}

static void stop(struct daemon *d, int code)
{
    if (d->state >= DAEMON_STOPPING)
        return;
    d->exit_code = code;
    d->state = DAEMON_STOPPING;
    timer_start_at(d->grace, clock_mono_ns() + d->config->shutdown_grace_s * NS_PER_S);
    for (uint32_t i = 0; i < d->accounts_count; i++)
        dispatch_stop(d->accounts[i]);
    if (d->ingress)
        ingress_stop(d->ingress, on_ingress_stopped, d);
    on_wake(d);
}

static void on_stop_signal(void *ctx, int signum)
{
    struct daemon *d = ctx;

    uint64_t now_ns = clock_mono_ns();

    /* timeout(1) and some shells signal the process and then its group: that is asking once. */
    if (d->state >= DAEMON_STOPPING && now_ns < d->asked_to_stop_ns + SAME_REQUEST_NS)
        return;
    d->asked_to_stop_ns = now_ns;
    if (d->state >= DAEMON_STOPPING) {
        log_warn("Asked twice to stop: leaving at once", "");
        leave_at_once(1);
    }
    log_info("Stopping: what is on the wire is finished first", "signal=%s", strsignal(signum));
    stop(d, 0);
}

static void on_unfit(void *ctx)
{
    stop(ctx, 1);
}

/* -- accounts -------------------------------------------------------------------------------- */

static struct endpoint *endpoint_of(const struct config_account *a)
{
    struct endpoint_options o = {.ca_file = a->ca_file,
                                 .token = "",
                                 .user_agent = USER_AGENT,
                                 .connect_timeout_ms = a->connect_timeout_ms,
                                 .timeout_ms = a->timeout_ms,
                                 .allow_private = a->url_mode == URL_MODE_API};
    struct endpoint *e;
    char why[256];
    char *token = NULL;

    if (config_read_token(a, &token, why, sizeof(why)) < 0)
        log_error("The account has no token: Fastly will refuse its purges, which are kept",
                  "account=%s why=\"%s\"", a->name, why);
    else
        o.token = token;
    e = endpoint_new(&o);
    if (token)
        explicit_bzero(token, strlen(token));
    free(token);
    return e;
}

/* On the endpoint's behalf: how is the dispatch? */
static void on_vitals(void *ctx, struct vitals *v, bool metrics_wanted)
{
    const struct daemon *d = ctx;
    struct now now = clock_now();

    for (uint32_t i = 0; i < d->accounts_count && !v->stalled; i++)
        v->stalled = dispatch_stalled(d->accounts[i], now, v->why, sizeof(v->why));
    if (metrics_wanted)
        metrics_render(d->accounts, d->accounts_count, now, &v->metrics);
}

static void start_ingress(struct daemon *d)
{
    struct ingress_options o = {.config = d->config,
                                .redis = &d->redis,
                                .loop = d->loop,
                                .files = d->files,
                                .vitals = on_vitals,
                                .ctx = d};
    char why[400];

    if (!*d->config->listen)
        return;
    d->ingress = ingress_new(&o, why, sizeof(why));
    if (d->ingress) {
        log_info("The HTTP endpoint listens", "address=%s tls=%s producers=%u",
                 ingress_address(d->ingress), *d->config->http.tls_cert_file ? "yes" : "no",
                 d->config->producers_count);
        if (d->config->producers_count == 0)
            log_warn("No producers are configured: whoever is on this machine may push over HTTP",
                     "");
        return;
    }
    log_error("The HTTP endpoint does not start; an empty `listen` goes without it", "why=\"%s\"",
              why);
    stop(d, EXIT_CONFIG);
}

static void start_accounts(struct daemon *d)
{
    struct senders_options so = {
        .threads = d->config->senders, .max_connections = 4, .max_streams = 100};

    if (so.threads == 0)
        so.threads = (uint32_t)max_u64((uint64_t)sysconf(_SC_NPROCESSORS_ONLN), 1);
    d->senders = senders_new(d->loop, &so, dispatch_on_reply, d);
    d->accounts = alloc_zeroed(d->config->accounts_count, sizeof(*d->accounts));
    memory_init(&d->memory, config_jobs_max_bytes(d->config), d->config->accounts_count);
    for (uint32_t i = 0; i < d->config->accounts_count; i++) {
        const struct config_account *a = &d->config->accounts[i];
        struct endpoint *e = endpoint_of(a);
        struct dispatch_options o = {.account = a,
                                     .window = d->config->window,
                                     .memory = &d->memory,
                                     .job_max_bytes = config_job_max_bytes(d->config),
                                     .owner = d->owner,
                                     .loop = d->loop,
                                     .redis = &d->redis,
                                     .senders = d->senders,
                                     .endpoint = e,
                                     .seed = process_random(),
                                     .wake = on_wake,
                                     .unfit = on_unfit,
                                     .ctx = d};

        d->accounts[d->accounts_count++] = dispatch_new(&o, clock_now());
        endpoint_drop(e);
    }
    d->state = DAEMON_RUNNING;
    start_ingress(d);
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

static const char *not_reloadable(const struct config *a, const struct config *b)
{
    if (strcmp(a->redis, b->redis) != 0)
        return "redis";
    if (strcmp(a->data_dir, b->data_dir) != 0)
        return "data_dir";
    if (a->senders != b->senders)
        return "senders";
    if (a->window != b->window)
        return "window";
    if (a->memory_max != b->memory_max)
        return "memory_max";
    if (a->accounts_count != b->accounts_count)
        return "accounts";
    for (uint32_t i = 0; i < a->accounts_count; i++)
        if (strcmp(a->accounts[i].name, b->accounts[i].name) != 0)
            return "accounts";
    return NULL;
}

static void free_config(struct config *c)
{
    if (c)
        config_deinit(c);
    free(c);
}

static int read_config(const struct daemon *d, struct config *out, char *why, size_t why_room)
{
    int err = config_load(d->options->config_path, out, why, why_room);

    if (err == 0 && d->options->redis) {
        free(out->redis);
        out->redis = alloc_str(d->options->redis);
    }
    return err;
}

static void on_reload(void *ctx, int signum)
{
    struct daemon *d = ctx;
    struct config *fresh = alloc_zeroed(1, sizeof(*fresh));
    struct config *old = d->config;
    const char *fixed;
    char why[512];

    (void)signum;
    if (d->state != DAEMON_RUNNING || read_config(d, fresh, why, sizeof(why)) < 0) {
        if (d->state == DAEMON_RUNNING)
            log_error("The new configuration is not taken; the old one stays", "why=\"%s\"", why);
        free(fresh);
        return;
    }
    fixed = d->retired_count < RELOADS_MAX ? not_reloadable(old, fresh) : "1,024 reloads";
    if (fixed) {
        log_error("The new configuration is not taken: this setting needs a restart", "setting=%s",
                  fixed);
        free_config(fresh);
        return;
    }
    d->config = fresh;
    for (uint32_t i = 0; i < d->accounts_count; i++) {
        struct endpoint *e = endpoint_of(&fresh->accounts[i]);

        dispatch_configure(d->accounts[i], &fresh->accounts[i], e, clock_now());
        endpoint_drop(e);
    }
    if (d->ingress)
        ingress_configure(d->ingress, fresh);
    d->retired[d->retired_count++] = old;
    log_info("Configuration and tokens were read anew", "");
}

/* -- running --------------------------------------------------------------------------------- */

static int prepare(struct daemon *d)
{
    char why[512];
    char *url;
    int err;

    d->config = alloc_zeroed(1, sizeof(*d->config));
    err = read_config(d, d->config, why, sizeof(why));
    if (err == 0) {
        url = config_redis_url(d->config);
        err = redis_address_parse(url, &d->redis, why, sizeof(why));
        free(url);
    }
    if (err)
        fprintf(stderr, "purgeline: %s\n", why);
    return err;
}

static void start(struct daemon *d)
{
    d->loop = loop_new();
    d->tick = timer_new(d->loop, on_tick, d);
    d->grace = timer_new(d->loop, on_grace_over, d);
    d->sigterm = watch_signal(d->loop, SIGTERM, on_stop_signal, d);
    d->sigint = watch_signal(d->loop, SIGINT, on_stop_signal, d);
    d->sighup = watch_signal(d->loop, SIGHUP, on_reload, d);
    d->tick_at_ns = NEVER;
    log_info("purgeline starts", "version=%s accounts=%u redis=%s", PURGELINE_VERSION,
             d->config->accounts_count, d->redis.unix_path ? d->redis.unix_path : d->redis.host);
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
    d->files = process_raise_files();
    target_hash_seed(process_random());
    signal(SIGPIPE, SIG_IGN);
    d->options = o;
    if (prepare(d) < 0) {
        free_config(d->config);
        free(d);
        return EXIT_CONFIG;
    }
    process_identity(d->owner);
    start(d);
    loop_run(d->loop);
    loop_free(d->loop);
    code = d->exit_code;
    free(d->accounts);
    redis_address_deinit(&d->redis);
    free_config(d->config);
    while (d->retired_count)
        free_config(d->retired[--d->retired_count]);
    free(d);
    log_info("purgeline has stopped", "code=%d", code);
    return code;
}
