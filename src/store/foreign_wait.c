/* SPDX-License-Identifier: MIT */
#include "foreign_wait.h"

#include <errno.h>
#include <poll.h>

#include "clock.h"

#define OVERDUE_MS ((FOREIGN_BLOCK_S + 30) * 1000)

int foreign_wait(struct client *c, int stop_fd, struct redisReply **out)
{
    uint64_t deadline_ns = clock_mono_ns() + OVERDUE_MS * NS_PER_MS, now_ns;
    struct pollfd fds[] = {{.events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
    int rc = client_flush(c);

    if (rc < 0)
        return rc;
    while ((rc = client_wait(c, 0, out)) == -ETIMEDOUT) {
        now_ns = clock_mono_ns();
        if (now_ns >= deadline_ns)
            return client_wait(c, 0, out) == 0 ? 0 : -ENOTCONN;
        fds[0].fd = client_fd(c);
        (void)poll(fds, array_len(fds), (int)((deadline_ns - now_ns) / NS_PER_MS) + 1);
        if (fds[1].revents)
            return -EAGAIN;
    }
    return rc;
}
