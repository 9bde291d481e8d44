/* SPDX-License-Identifier: MIT */
#include "embedded.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "alloc.h"
#include "child.h"
#include "clock.h"
#include "file.h"
#include "log.h"
#include "span.h"

#define LOOK_EVERY_NS (10 * NS_PER_MS)
#define LOCK_PATIENCE_NS (15 * NS_PER_S) /* the previous Redis may still be writing its file */
#define RESTART_NS NS_PER_S
#define STABLE_NS (10 * NS_PER_S) /* Redis with a full disk starts but exits at the first write */
#define STOP_NS (10 * NS_PER_S)   /* a Redis that was told to stop needs milliseconds */
#define KILLED_NS (5 * NS_PER_S)  /* only a process blocked by its disk survives SIGKILL */
#define SAY_AGAIN_NS (60 * NS_PER_S)
#define WORDS_MAX_BYTES 4096 /* read from the end of its log */

enum embedded_state {
    EMBEDDED_LOCKING,  /* waits for the lock of the data folder. next: STARTING */
    EMBEDDED_STARTING, /* the child runs; we wait for its socket. next: RUNNING, DEAD */
    EMBEDDED_RUNNING,  /* next: DEAD */
    EMBEDDED_DEAD,     /* started again soon. next: STARTING */
    EMBEDDED_STOPPING, /* next: KILLING, or it is gone */
    EMBEDDED_KILLING,  /* it did not stop in time; next: it is gone, or given up */
};

struct embedded {
    enum embedded_state state;
    struct loop *loop;
    struct timer *timer;
    struct child *child;
    char *data_dir, *socket_path, *lock_path, *log_path;
    uint64_t log_bytes; /* of redis.log when the child was started */
    bool ran;           /* a child has accepted connections at least once */
    char said[256];     /* the reason why it ended that was last logged ... */
    uint64_t said_ns;   /* ... and when; 0: it has been running for a while */
    int lock;
    bool open_to_all; /* other users may write to the data folder */
    uint64_t lock_until_ns;
    loop_cb *ready, *failed, *stopped;
    void *ctx, *stopped_ctx;
};

static void release_all(struct embedded *e)
{
    timer_close(e->timer);
    if (e->lock >= 0)
        close(e->lock);
    free(e->data_dir);
    free(e->socket_path);
    free(e->lock_path);
    free(e->log_path);
    free(e);
}

static void look_again(struct embedded *e, uint64_t after_ns)
{
    timer_start_at(e->timer, clock_mono_ns() + after_ns);
}

/* If the disk is full, redis.log may lack the reason why Redis ended. */
static bool is_full(const char *path)
{
    struct statvfs disk;

    return statvfs(path, &disk) == 0 && disk.f_bavail == 0;
}

/* Returns "Words" from "1234:M 28 Nov 2026 02:44:05.123 # Words". */
static struct span words_of(struct span line)
{
    struct span rest = line, word;

    for (size_t i = 0; i + 2 < line.n; i++)
        if (line.p[i] == ' ' && strchr("#*-.", line.p[i + 1]) && line.p[i + 2] == ' ')
            return span_of(line.p + i + 3, line.n - i - 3);
    return span_next_word(&rest, '\n', &word) ? word : line;
}

/* The last message that the child has logged since it was started; "" if there is none. */
static void last_words(const struct embedded *e, char *out, size_t room)
{
    char text[WORDS_MAX_BYTES];
    FILE *f = fopen(e->log_path, "r");
    struct span rest, line, last = SPAN("");
    long from = (long)e->log_bytes, size;

    out[0] = '\0';
    if (!f)
        return;
    if (fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) > from) {
        if (size - from > (long)sizeof(text))
            from = size - (long)sizeof(text);
        (void)fseek(f, from, SEEK_SET);
        rest = span_of(text, fread(text, 1, sizeof(text), f));
        while (span_next_word(&rest, '\n', &line))
            if (line.n)
                last = words_of(line);
        log_quote(out, room, last.p, last.n);
    }
    fclose(f);
}

static uint64_t size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* Logs each reason once, and again from time to time while it persists. */
static void say_ended(struct embedded *e, int status, int signum)
{
    uint64_t now_ns = clock_mono_ns();
    char words[256];

    last_words(e, words, sizeof(words));
    if (is_full(e->data_dir))
        snprintf(words, sizeof(words), "%s", strerror(ENOSPC));
    if (!*words)
        snprintf(words, sizeof(words), "it left no words; exit code %d, signal %d", status, signum);
    if (e->said_ns && strcmp(words, e->said) == 0 && now_ns < e->said_ns + SAY_AGAIN_NS)
        return;
    snprintf(e->said, sizeof(e->said), "%s", words);
    e->said_ns = now_ns;
    if (is_full(e->data_dir))
        log_error("The embedded Redis exited because the disk of the data folder is full: free "
                  "some space. Restarting it until it can write",
                  "data_dir=%s", e->data_dir);
    else
        log_error("The embedded Redis exited; restarting it every second", "why=\"%s\" log=%s",
                  words, e->log_path);
}

static void gone(struct embedded *e)
{
    e->stopped(e->stopped_ctx);
    release_all(e);
}

static void on_exit_of_child(void *ctx, int status, int signum)
{
    struct embedded *e = ctx;

    child_close(e->child);
    e->child = NULL;
    if (e->state >= EMBEDDED_STOPPING) {
        gone(e);
        return;
    }
    say_ended(e, status, signum);
    /* setpriv could not start it: https://man7.org/linux/man-pages/man1/setpriv.1.html */
    if (!e->ran && (status == 126 || status == 127)) {
        log_error("redis-server cannot be started: install it (apt-get install redis-server) or "
                  "name a Redis with `redis:`",
                  "exit=%d", status);
        e->failed(e->ctx);
        return;
    }
    e->state = EMBEDDED_DEAD;
    look_again(e, RESTART_NS);
}

/* appendfsync always: with everysec and a slow disk, Redis confirms commands before they are
 * written, and its death loses up to two seconds of jobs and of booked budget
 * (https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/ "How durable is the
 * append only file?"; src/aof.c, flushAppendOnlyFile). With always, Redis exits when it cannot
 * write, and the producer gets no confirmation. */
static void start_child(struct embedded *e)
{
    /* clang-format off */
    const char *argv[] = {
        "redis-server",
        "--port", "0",
        "--unixsocket", e->socket_path,
        "--unixsocketperm", "700",
        "--dir", e->data_dir,
        "--appendonly", "yes",
        "--appendfsync", "always",
        "--save", "",
        "--maxmemory-policy", "noeviction",
        "--stream-node-max-entries", "25", /* XDEL searches its node from the start */
        "--daemonize", "no",
        "--loglevel", "warning",
        "--logfile", e->log_path,
        NULL,
    };
    /* clang-format on */
    int err;

    e->log_bytes = size_of(e->log_path);
    unlink(e->socket_path); /* left by a killed Redis: we hold the lock, so nobody listens there */
    e->child = child_start(e->loop, argv, e->lock, NULL, on_exit_of_child, e, &err);
    if (!e->child) {
        log_error(
            "redis-server cannot be started; install it (apt-get install redis-server) or name "
            "a Redis with `redis:`",
            "why=\"%s\"", strerror(-err));
        e->failed(e->ctx);
        return;
    }
    log_debug("redis-server has been started", "socket=%s log=%s", e->socket_path, e->log_path);
    e->state = EMBEDDED_STARTING;
    look_again(e, LOOK_EVERY_NS);
}

/* Checks this before anything is started: if a program is missing, retrying cannot help. */
static bool can_start(struct embedded *e)
{
    static const struct {
        const char *program, *package;
    } needed[] = {{"redis-server", "redis-server"}, {"setpriv", "util-linux"}};

    for (size_t i = 0; i < array_len(needed); i++) {
        if (child_in_path(needed[i].program))
            continue;
        log_error("The embedded Redis cannot be started: a program is missing. Install it, or name "
                  "a Redis with `redis:`",
                  "program=%s try=\"apt-get install %s\"", needed[i].program, needed[i].package);
        e->failed(e->ctx);
        return false;
    }
    return true;
}

static void try_lock(struct embedded *e)
{
    if (e->open_to_all) {
        log_error("Other users may write to the data folder, so Redis is not started: chmod 700 "
                  "it, or configure a folder below it, which is then created as private",
                  "data_dir=%s", e->data_dir);
        e->failed(e->ctx);
        return;
    }
    e->lock = child_lock(e->lock_path);
    if (e->lock >= 0) {
        if (can_start(e))
            start_child(e);
    } else if (e->lock == -EWOULDBLOCK && clock_mono_ns() < e->lock_until_ns) {
        look_again(e, LOOK_EVERY_NS);
    } else {
        log_error(e->lock == -EWOULDBLOCK ? "Another purgeline, or its Redis, uses this data folder"
                                          : "The data folder cannot be locked",
                  "path=%s why=\"%s\"", e->lock_path, strerror(-e->lock));
        e->failed(e->ctx);
    }
}

/* Killing Redis loses nothing: with appendfsync always, every command is on the disk before it is
 * confirmed, and an incomplete last entry is cut off at the next start (aof-load-truncated, on by
 * default). */
static void kill_child(struct embedded *e)
{
    log_warn(
        "The embedded Redis does not stop and is killed; everything it confirmed is on the disk",
        "data_dir=%s after_s=%u", e->data_dir, (unsigned)(STOP_NS / NS_PER_S));
    e->state = EMBEDDED_KILLING;
    child_signal(e->child, SIGKILL);
    look_again(e, KILLED_NS);
}

/* Most likely the disk of Redis hangs. Redis dies when the disk answers, and keeps its lock until
 * then. */
static void give_up(struct embedded *e)
{
    log_error("The embedded Redis cannot be killed; exiting without it. Check the disk of the data "
              "folder",
              "data_dir=%s", e->data_dir);
    child_close(e->child);
    e->child = NULL;
    gone(e);
}

static void on_look(void *ctx)
{
    struct embedded *e = ctx;

    switch (e->state) {
    case EMBEDDED_LOCKING:
        try_lock(e);
        break;
    case EMBEDDED_STARTING:
        if (!child_socket_answers(e->socket_path)) {
            look_again(e, LOOK_EVERY_NS);
            break;
        }
        e->state = EMBEDDED_RUNNING;
        e->ran = true;
        if (e->said_ns)
            look_again(e, STABLE_NS);
        e->ready(e->ctx);
        break;
    case EMBEDDED_DEAD:
        start_child(e);
        break;
    case EMBEDDED_STOPPING:
        kill_child(e);
        break;
    case EMBEDDED_KILLING:
        give_up(e);
        break;
    case EMBEDDED_RUNNING:
        log_info("The embedded Redis is running again", "data_dir=%s", e->data_dir);
        e->said_ns = 0;
        break;
    }
}

static int make_folder(const char *path)
{
    char *copy = alloc_str(path);
    int err = 0;

    for (char *p = copy + 1; *p && !err; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
            err = -errno;
        *p = '/';
    }
    if (!err && mkdir(copy, 0700) < 0 && errno != EEXIST)
        err = -errno;
    free(copy);
    return err;
}

struct embedded *embedded_start(struct loop *l, const char *data_dir, const char *socket_path,
                                loop_cb *ready, loop_cb *failed, void *ctx)
{
    struct embedded *e = alloc_zeroed(1, sizeof(*e));
    int err = make_folder(data_dir);
    enum file_access access;
    bool is_folder;

    if (err)
        log_error("The data folder cannot be created", "data_dir=%s why=\"%s\"", data_dir,
                  strerror(-err));
    e->open_to_all =
        file_access(data_dir, &access, &is_folder) == 0 && access == FILE_ANYBODY_WRITES;
    e->loop = l;
    e->timer = timer_new(l, on_look, e);
    e->data_dir = alloc_str(data_dir);
    e->socket_path = alloc_str(socket_path);
    e->lock_path = alloc_printf("%s/lock", data_dir);
    e->log_path = alloc_printf("%s/redis.log", data_dir);
    e->lock = -1;
    e->lock_until_ns = clock_mono_ns() + LOCK_PATIENCE_NS;
    e->ready = ready;
    e->failed = failed;
    e->ctx = ctx;
    look_again(e, 0);
    return e;
}

void embedded_stop(struct embedded *e, loop_cb *stopped, void *ctx)
{
    timer_stop(e->timer);
    if (!e->child) {
        stopped(ctx);
        release_all(e);
        return;
    }
    e->state = EMBEDDED_STOPPING;
    e->stopped = stopped;
    e->stopped_ctx = ctx;
    child_signal(e->child, SIGTERM);
    look_again(e, STOP_NS);
}
