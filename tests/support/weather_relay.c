/* SPDX-License-Identifier: MIT */
#include "weather_relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"

#define PAIRS 256u
#define CHUNK 16384u

/* A connection with two directions: [0] reads from fd[0] and writes to fd[1], [1] the other way
 * round. */
struct pair {
    int fd[2];
    struct way {
        size_t begin, end;
        bool over; /* the reader has reached the end, and the writer has been shut down */
        char bytes[CHUNK];
    } way[2];
};

static struct pair *pairs[PAIRS];
static size_t count;

/* A peer behind a cut network sends no FIN. */
static void prepare(int fd)
{
    int one = 1, idle_s = 5, every_s = 2, times = 3, ms = 10000;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof(every_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof(times));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
    must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
}

static void take(int ear, uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int near = accept(ear, NULL, NULL), there;
    struct pair *p;

    if (near < 0)
        return;
    there = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(there >= 0);
    if (count == PAIRS || connect(there, (struct sockaddr *)&to, sizeof(to)) < 0) {
        close(near);
        close(there);
        return;
    }
    prepare(near);
    prepare(there);
    p = alloc_zeroed(1, sizeof(*p));
    p->fd[0] = near;
    p->fd[1] = there;
    pairs[count++] = p;
}

/* Returns false if the connection has to be closed. */
static bool carry(struct pair *p, int from)
{
    struct way *w = &p->way[from];
    ssize_t n;

    if (w->begin == w->end && !w->over) {
        n = read(p->fd[from], w->bytes, sizeof(w->bytes));
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        if (n == 0) {
            w->over = true;
            shutdown(p->fd[1 - from], SHUT_WR);
        }
        w->begin = 0;
        w->end = (size_t)n;
    }
    if (w->begin < w->end) {
        n = write(p->fd[1 - from], w->bytes + w->begin, w->end - w->begin);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        w->begin += (size_t)n;
    }
    return true;
}

static short wanted(const struct pair *p, int side)
{
    const struct way *in = &p->way[side], *out = &p->way[1 - side];

    return (short)((in->begin == in->end && !in->over ? POLLIN : 0) |
                   (out->begin < out->end ? POLLOUT : 0));
}

static void drop(size_t i)
{
    close(pairs[i]->fd[0]);
    close(pairs[i]->fd[1]);
    free(pairs[i]);
    pairs[i] = pairs[--count];
}

void weather_relay_run(int ear, uint16_t port)
{
    struct pollfd polls[1 + 2 * PAIRS];

    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        polls[0] = (struct pollfd){.fd = ear, .events = POLLIN};
        for (size_t i = 0; i < count; i++)
            for (int side = 0; side < 2; side++)
                polls[1 + 2 * i + (size_t)side] =
                    (struct pollfd){.fd = pairs[i]->fd[side], .events = wanted(pairs[i], side)};
        if (poll(polls, 1 + 2 * count, -1) < 0)
            continue;
        for (size_t i = count; i-- > 0;) { /* backwards, because drop() moves the last one here */
            short seen = (short)(polls[1 + 2 * i].revents | polls[2 + 2 * i].revents);
            bool hopeless = (seen & (POLLERR | POLLNVAL)) != 0;

            if (seen && (hopeless || !carry(pairs[i], 0) || !carry(pairs[i], 1) ||
                         (pairs[i]->way[0].over && pairs[i]->way[1].over)))
                drop(i);
        }
        if (polls[0].revents)
            take(ear, port);
    }
}
