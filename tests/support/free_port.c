/* SPDX-License-Identifier: MIT */
#include "free_port.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base.h"

/* Below the kernel's range of automatic ports (net.ipv4.ip_local_port_range begins at 32768), so
 * that no connection can take the port first; and below those of the sandbox (20000 and up). */
#define PORT_MIN 12000u
#define PORTS 8000u

/* An abstract Unix socket with the port's name reserves it: both exist once per network namespace.
 * stage.py does the same. The socket stays open until this process ends. */
static bool reserved(unsigned port)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "purgeline-tests/port/%u", port);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

    must(fd >= 0);
    if (bind(fd, (struct sockaddr *)&a, size) == 0)
        return true;
    close(fd);
    return false;
}

static bool can_be_bound(unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool can;

    must(fd >= 0);
    can = bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
    close(fd);
    return can;
}

unsigned free_port(void)
{
    uint32_t n;

    do {
        must(getrandom(&n, sizeof(n), 0) == sizeof(n));
        n = PORT_MIN + n % PORTS;
    } while (!reserved(n) || !can_be_bound(n));
    return n;
}
