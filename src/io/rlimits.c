/* SPDX-License-Identifier: MIT */
#include "rlimits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "thread.h"

/* Numbers of file descriptors, counted in /proc/<pid>/fd and rounded up. A loop has a few, a sender
 * also has connections; a connection to Redis is one, and another one while it is made anew. */
#define FILES_OF_PROCESS 32
#define FILES_OF_SENDER 12
#define FILES_OF_CONNECTION 2
/* Other threads: libuv's pool (https://docs.libuv.org/en/v1.x/threadpool.html) and the HTTP
 * endpoint's. */
#define THREADS_BESIDES 5
#define FILES_OF_HTTP 24

uint32_t rlimits_senders(const struct config *c)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (c->senders)
        return c->senders;
    return cores > 0 ? (uint32_t)cores : 1;
}

int rlimits_suffice(const struct config *c, uint32_t connections, uint64_t files, struct error *err)
{
    uint32_t senders = rlimits_senders(c), threads = senders + THREADS_BESIDES;
    uint64_t needed = FILES_OF_PROCESS + (uint64_t)senders * FILES_OF_SENDER +
                      (uint64_t)connections * FILES_OF_CONNECTION;
    int rc;

    if (files < needed)
        return error_set(err, -EMFILE,
                         "this process may open %" PRIu64 " files and needs %" PRIu64
                         " at least: raise its limit (ulimit -n, LimitNOFILE=)",
                         files, needed);
    rc = threads_possible(threads);
    if (rc < 0)
        return error_set(err, rc,
                         "this process cannot start %" PRIu32
                         " threads: %s; raise its limit (ulimit -u, TasksMax=, pids.max)",
                         threads, strerror(-rc));
    return 0;
}

static void nothing(void *ctx)
{
    (void)ctx;
}

void rlimits_take_threads(struct loop *l)
{
    thread_work(l, nothing, nothing, NULL);
}

int rlimits_allow_http(struct error *err)
{
    int rc = process_spare_files(FILES_OF_HTTP);

    if (rc < 0)
        return error_set(err, rc,
                         "%d more files cannot be opened: %s; raise the limit (LimitNOFILE=)",
                         FILES_OF_HTTP, strerror(-rc));
    rc = threads_possible(1);
    if (rc < 0)
        return error_set(err, rc, "no thread can be started: %s; raise the limit (TasksMax=)",
                         strerror(-rc));
    return 0;
}
