/* SPDX-License-Identifier: MIT */
#include "notify.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc.h"
#include "span.h"

struct notify {
    int fd;
    struct sockaddr_un to;
    socklen_t to_bytes;
    uint64_t watchdog_ns;
};

/* "/run/systemd/notify", or "@name" for a socket that is in no folder. False for anything else. */
static bool set_address(struct notify *n, const char *path)
{
    size_t bytes = strlen(path);

    if (bytes < 2 || bytes >= sizeof(n->to.sun_path) || (*path != '/' && *path != '@'))
        return false;
    n->to.sun_family = AF_UNIX;
    memcpy(n->to.sun_path, path, bytes);
    if (*path == '@')
        n->to.sun_path[0] = '\0';
    n->to_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
    return true;
}

/* WATCHDOG_PID says whom the manager watches, if that is not everybody. */
static uint64_t read_watchdog_ns(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t us = 0, watched = 0;

    if (!usec || span_to_u64(span_str(usec), &us) < 0 || us > UINT64_MAX / 1000)
        return 0;
    if (pid && (span_to_u64(span_str(pid), &watched) < 0 || watched != (uint64_t)getpid()))
        return 0;
    return us * 1000;
}

static void forget_variables(void)
{
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

struct notify *notify_new(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct notify *n = alloc_zeroed(1, sizeof(*n));

    n->fd = -1;
    if (path && set_address(n, path))
        n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    n->watchdog_ns = read_watchdog_ns();
    forget_variables();
    if (n->fd >= 0)
        return n;
    free(n);
    return NULL;
}

void notify_free(struct notify *n)
{
    if (!n)
        return;
    close(n->fd);
    free(n);
}

uint64_t notify_watchdog_ns(const struct notify *n)
{
    return n->watchdog_ns;
}

void notify_send(const struct notify *n, const char *assignments)
{
    if (n)
        (void)sendto(n->fd, assignments, strlen(assignments), MSG_NOSIGNAL,
                     (const struct sockaddr *)&n->to, n->to_bytes);
}
