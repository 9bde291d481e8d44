/* SPDX-License-Identifier: MIT
 * A running program with a memory_max of 64 MiB, whose memory the kernel measures. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "await.h"
#include "buf.h"
#include "http.h"
#include "instance.h"
#include "rawhttp.h"
#include "redis_server.h"
#include "sink.h"

#define P "purgeline:{main}:"
#define MIB ((uint64_t)1 << 20)
#define MEMORY_MAX (64 * MIB)
#define PATIENCE_MS 600000u
#define KEYS 10000
#define PROGRAM (16 * MIB) /* code, libraries and connections, without jobs and requests */

struct world {
    struct sink sink;
    struct redis_server *redis;
    struct instance instance;
    char config[128];
    uint64_t pushed;
    uint64_t peak; /* the highest memory so far */
    bool sanitized;
    bool flooded; /* jobs may be stored although clients were refused: more jobs may end */
};

static inline void pause_sending(struct world *w, bool paused)
{
    redis_server_do(w->redis, "HSET " P "control paused %d", paused);
}

static inline void start(struct world *w, const char *global)
{
    static const char *const env[] = {"FASTLY_API_TOKEN=token", NULL};
    char log[128];
    FILE *f;

    snprintf(w->config, sizeof(w->config), "%s/memory.yaml", redis_server_folder(w->redis));
    snprintf(log, sizeof(log), "%s/memory.log", redis_server_folder(w->redis));
    f = fopen(w->config, "w");
    assert_non_null(f);
    fprintf(f,
            "redis: %s\nmemory_max: 64MiB\n%saccounts:\n  - name: main\n"
            "    api: %s\n    services: [{id: SU1Z0isxPaozGVKXdv0eY, name: news}]\n"
            "    budget: {purges: 1000000000, burst: 1000000000}\n",
            redis_server_url(w->redis), global, w->sink.url);
    assert_int_equal(fclose(f), 0);
    instance_start(&w->instance, w->config, env, log);
}

static inline int setup(void **state)
{
    struct world *w = alloc_zeroed(1, sizeof(*w));

    sink_start(&w->sink);
    w->redis = redis_server_start("--appendonly", "no"); /* fast enough for hundreds of MB */
    *state = w;
    return 0;
}

static inline int teardown(void **state)
{
    struct world *w = *state;

    if (w->instance.pid)
        instance_show(&w->instance);
    instance_deinit(&w->instance);
    redis_server_stop(w->redis);
    sink_stop(&w->sink);
    free(w);
    return 0;
}

static inline uint64_t status_kib(const struct world *w, const char *name)
{
    char path[64], line[256];
    uint64_t kib = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)w->instance.pid);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtoull(line + strlen(name), NULL, 10);
    fclose(f);
    return kib;
}

/* Keeps the highest memory so far. The kernel remembers the peak of all memory, which includes the
 * program's file; this also finds a peak of a millisecond. */
static inline void look(struct world *w)
{
    uint64_t highest = status_kib(w, "VmHWM:"), file = status_kib(w, "RssFile:");

    w->peak = max_u64(w->peak, status_kib(w, "RssAnon:") * 1024);
    w->peak = max_u64(w->peak, (highest - min_u64(highest, file)) * 1024);
}

static inline bool is_sanitized(const struct world *w)
{
    char path[64], line[512];
    bool found = false;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/maps", (int)w->instance.pid);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        found = found || strstr(line, "libasan") || strstr(line, "libtsan");
    fclose(f);
    return found;
}

static inline void begin(struct world *w, const char *global)
{
    pause_sending(w, true);
    start(w, global);
    instance_await_said(&w->instance, "leads the account", 1);
    w->sanitized = is_sanitized(w);
}

static inline void end(struct world *w)
{
    instance_signal(&w->instance, SIGTERM);
    assert_int_equal(instance_wait(&w->instance, 60000), 0);
}

static inline void assert_bounded(struct world *w, const char *what)
{
    look(w);
    print_message("%s: %" PRIu64 " MiB at most\n", what, w->peak / MIB);
    if (!w->sanitized && w->peak > MEMORY_MAX + PROGRAM)
        fail_msg("%s: it took %" PRIu64 " bytes", what, w->peak);
}

/* A number from the leader's status, which it publishes every second; 0 if there is none. */
static inline uint64_t status(struct world *w, const char *name)
{
    char *text = redis_server_str(w->redis, "GET " P "status"), quoted[64];
    const char *at;
    uint64_t n;

    snprintf(quoted, sizeof(quoted), "\"%s\":", name);
    at = strstr(text, quoted);
    n = at ? strtoull(at + strlen(quoted), NULL, 10) : 0;
    free(text);
    look(w);
    return n;
}

/* Pushes jobs of KEYS keys, each `bytes` long or slightly longer; the keys of all jobs are the same
 * or not. */
static inline void push(struct world *w, const char *lane, unsigned count, size_t bytes, bool same)
{
    struct buf keys;

    buf_init(&keys, 64 * MIB);
    for (unsigned j = 0; j < count; j++) {
        uint64_t number = same ? 0 : ++w->pushed;

        buf_clear(&keys);
        for (unsigned i = 0; i < KEYS; i++) {
            size_t from = keys.n;

            buf_printf(&keys, "k%" PRIu64 "-%u", number, i);
            while (keys.n - from < bytes)
                buf_putc(&keys, 'x');
            buf_putc(&keys, ' ');
        }
        keys.n--;
        w->pushed += same;
        redis_server_do(w->redis, "XADD " P "jobs:%s * keys %b", lane, keys.p, keys.n);
    }
    buf_deinit(&keys);
}

static inline void fill(struct world *w, const char *what)
{
    await_until(-1, PATIENCE_MS, status(w, "held_back_normal") || status(w, "held_back_bulk"));
    assert_in_range(status(w, "memory_bytes"), 1, MEMORY_MAX);
    assert_bounded(w, what);
}

static inline struct http *visit(struct world *w)
{
    char *base = alloc_printf("http://127.0.0.1:%u", rawhttp_port(&w->instance));
    struct http *h = http_open(base, NULL);

    free(base);
    return h;
}
