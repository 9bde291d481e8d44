/* SPDX-License-Identifier: MIT */
#include "stop_limit.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "alloc.h"
#include "log.h"
#include "thread.h"

struct stop_limit {
    int stop_fd, done_fd;
    const char *consumer;
    struct thread *thread;
};

/* Whether one of the descriptors is readable; waits for at most `ms`, or without a limit. */
static bool await(struct pollfd *fds, nfds_t count, int ms)
{
    int rc;

    do
        rc = poll(fds, count, ms);
    while (rc < 0 && errno == EINTR);
    return rc != 0;
}

static void watch(void *ctx)
{
    struct stop_limit *l = ctx;
    struct pollfd fds[] = {{.fd = l->done_fd, .events = POLLIN},
                           {.fd = l->stop_fd, .events = POLLIN}};

    (void)await(fds, array_len(fds), -1);
    if (fds[0].revents || await(fds, 1, STOP_LIMIT_S * 1000))
        return;
    log_warn("Stopped without an answer of Redis or the queue; what was not committed comes again",
             "consumer=%s", l->consumer);
    _exit(0);
}

struct stop_limit *stop_limit_new(int stop_fd, const char *consumer)
{
    struct stop_limit *l = alloc_zeroed(1, sizeof(*l));

    l->stop_fd = stop_fd;
    l->consumer = consumer;
    l->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->done_fd >= 0 && threads_possible(1) == 0)
        l->thread = thread_start(watch, l);
    return l;
}

void stop_limit_free(struct stop_limit *l)
{
    if (!l)
        return;
    if (l->thread) {
        (void)eventfd_write(l->done_fd, 1);
        thread_join(l->thread);
    }
    if (l->done_fd >= 0)
        close(l->done_fd);
    free(l);
}
