/* SPDX-License-Identifier: MIT */
#include "embedded.h"

#include <errno.h>
#include <signal.h>
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

#define LOOK_EVERY_NS (10 * NS_PER_MS)
#define LOCK_PATIENCE_NS (15 * NS_PER_S) /* the previous one may still be writing its file */
#define RESTART_NS NS_PER_S

enum embedded_state {
    EMBEDDED_LOCKING,  /* waits for the lock of the data folder. next: STARTING */
    EMBEDDED_STARTING, /* the child runs, its socket is watched for. next: RUNNING, DEAD */
    EMBEDDED_RUNNING,  /* next: DEAD */
    EMBEDDED_DEAD,     /* started again soon. next: STARTING */
    EMBEDDED_STOPPING,
};

struct embedded {
    enum embedded_state state;
    struct loop *loop;
    struct timer *timer;
    struct child *child;
    char *data_dir, *socket_path, *lock_path;
    int lock;
    bool open_to_all; /* anybody may put files into the data folder */
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
    free(e);
}

static void look_again(struct embedded *e, uint64_t after_ns)
{
    timer_start_at(e->timer, clock_mono_ns() + after_ns);
}

/* Then redis.log could not be written either. */
static bool is_full(const char *path)
{
    struct statvfs disk;

    return statvfs(path, &disk) == 0 && disk.f_bavail == 0;
}

static void on_exit_of_child(void *ctx, int status, int signum)
{
    struct embedded *e = ctx;

    child_close(e->child);
    e->child = NULL;
    if (e->state == EMBEDDED_STOPPING) {
        e->stopped(e->stopped_ctx);
        release_all(e);
        return;
    }
    if (is_full(e->data_dir))
        log_error("The disk of the data folder is full, so the embedded Redis ended; make room. It "
                  "is started again until it can write",
                  "data_dir=%s", e->data_dir);
    else
        log_error("The embedded Redis ended and is started again; see redis.log in the data folder",
                  "data_dir=%s status=%d signal=%d", e->data_dir, status, signum);
    e->state = EMBEDDED_DEAD;
    look_again(e, RESTART_NS);
}

/* appendfsync always: with everysec Redis says yes before it has written while the disk is slow,
 * and its death takes up to two seconds of jobs and of booked budget along
 * (https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/ "How durable is the
 * append only file?"; src/aof.c, flushAppendOnlyFile). When it cannot write it ends, and the
 * producer has no yes. */
static void start_child(struct embedded *e)
{
    char *log_file = alloc_printf("%s/redis.log", e->data_dir);
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
        "--logfile", log_file,
        NULL,
    };
    /* clang-format on */
    int err;

    unlink(e->socket_path); /* of one that was killed: we hold the lock, so nobody listens there */
    e->child = child_start(e->loop, argv, e->lock, on_exit_of_child, e, &err);
    free(log_file);
    if (!e->child) {
        log_error(
            "redis-server cannot be started; install it (apt-get install redis-server) or name "
            "a Redis with `redis:`",
            "why=\"%s\"", strerror(-err));
        e->failed(e->ctx);
        return;
    }
    e->state = EMBEDDED_STARTING;
    look_again(e, LOOK_EVERY_NS);
}

static void try_lock(struct embedded *e)
{
    if (e->open_to_all) {
        log_error("Anybody may change the data folder, so no Redis is started in it: chmod 700, or "
                  "name a "
                  "folder below it, which is made private",
                  "data_dir=%s", e->data_dir);
        e->failed(e->ctx);
        return;
    }
    e->lock = child_lock(e->lock_path);
    if (e->lock >= 0) {
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
        e->ready(e->ctx);
        break;
    case EMBEDDED_DEAD:
        start_child(e);
        break;
    case EMBEDDED_RUNNING:
    case EMBEDDED_STOPPING:
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
        log_error("The data folder cannot be made", "data_dir=%s why=\"%s\"", data_dir,
                  strerror(-err));
    e->open_to_all =
        file_access(data_dir, &access, &is_folder) == 0 && access == FILE_ANYBODY_WRITES;
    e->loop = l;
    e->timer = timer_new(l, on_look, e);
    e->data_dir = alloc_str(data_dir);
    e->socket_path = alloc_str(socket_path);
    e->lock_path = alloc_printf("%s/lock", data_dir);
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
}
