/* SPDX-License-Identifier: MIT */
#include "sockets.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "list.h"

struct watched {
    struct list changed; /* in sockets.changed, or in no list */
    struct list link;    /* in sockets.connections, or in no list */
    struct list written; /* in sockets.written, or in no list */
    uv_poll_t poll;
    struct sockets *sockets;
    int fd;
    bool connection;  /* opened by sockets_open(), so sockets_close() will be called */
    int wanted, told; /* UV_READABLE and UV_WRITABLE: by curl; to epoll */
    uint64_t heard_ns;
    int port;    /* the local one of a connection that has been heard of, or 0 */
    bool corked; /* the kernel collects what is written to it */
};

struct sockets {
    uv_loop_t *uv;
    sockets_cb *cb;
    void *ctx;
    struct watched **by_fd;
    int room;
    struct list changed;
    struct list connections; /* the one that was used last comes first */
    struct list written;     /* those with requests in this turn of the loop */
};

struct sockets *sockets_new(struct loop *l, sockets_cb *cb, void *ctx)
{
    struct sockets *s = alloc_zeroed(1, sizeof(*s));

    s->uv = loop_uv(l);
    s->cb = cb;
    s->ctx = ctx;
    list_init(&s->changed);
    list_init(&s->connections);
    list_init(&s->written);
    return s;
}

static struct watched *find(const struct sockets *s, int fd)
{
    return fd >= 0 && fd < s->room ? s->by_fd[fd] : NULL;
}

static void on_gone(uv_handle_t *handle)
{
    free(handle->data);
}

/* uv_close tells epoll at once, which must happen before the socket is closed. */
static void forget(struct sockets *s, struct watched *w)
{
    s->by_fd[w->fd] = NULL;
    list_remove(&w->changed);
    list_remove(&w->link);
    list_remove(&w->written);
    uv_close((uv_handle_t *)&w->poll, on_gone);
}

void sockets_free(struct sockets *s)
{
    if (!s)
        return;
    for (int fd = 0; fd < s->room; fd++)
        if (s->by_fd[fd])
            forget(s, s->by_fd[fd]);
    free(s->by_fd);
    free(s);
}

static void make_room(struct sockets *s, int fd)
{
    int room = s->room ? s->room : 64;

    while (fd >= room)
        room *= 2;
    if (room == s->room)
        return;
    s->by_fd = alloc_grow(s->by_fd, (size_t)room, sizeof(struct watched *));
    memset(s->by_fd + s->room, 0, (size_t)(room - s->room) * sizeof(struct watched *));
    s->room = room;
}

static struct watched *watch(struct sockets *s, int fd, bool connection)
{
    struct watched *w = alloc_zeroed(1, sizeof(*w));
    int err;

    make_room(s, fd);
    err = uv_poll_init_socket(s->uv, &w->poll, fd);
    must(err == 0);
    w->poll.data = w;
    w->sockets = s;
    w->fd = fd;
    w->connection = connection;
    list_init(&w->changed);
    list_init(&w->link);
    list_init(&w->written);
    s->by_fd[fd] = w;
    return w;
}

int sockets_open(struct sockets *s, int family, int type, int protocol)
{
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);
    struct watched *stale = find(s, fd);

    if (stale)
        forget(s, stale);
    if (fd >= 0)
        list_push_front(&s->connections, &watch(s, fd, true)->link);
    return fd;
}

int sockets_close(void *ctx, int fd)
{
    struct sockets *s = ctx;
    struct watched *w = find(s, fd);

    if (w)
        forget(s, w);
    return close(fd);
}

static int local_port(int fd)
{
    struct sockaddr_storage own;
    socklen_t n = sizeof(own);

    if (getsockname(fd, (struct sockaddr *)&own, &n) < 0)
        return 0;
    if (own.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&own)->sin6_port);
    return own.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&own)->sin_port) : 0;
}

static void note_heard(struct watched *w)
{
    w->heard_ns = clock_mono_ns();
    if (w->connection && !w->port)
        w->port = local_port(w->fd);
}

/* libuv stops watching by itself after an error. curl is only called for what it wants: the rest
 * was wanted when epoll was told. */
static void on_event(uv_poll_t *poll, int status, int events)
{
    struct watched *w = poll->data;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;

    if (status < 0)
        w->told = 0;
    if (events & w->wanted & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & w->wanted & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    if (!w->wanted || !flags)
        return;
    if (flags != CURL_CSELECT_OUT)
        note_heard(w);
    w->sockets->cb(w->sockets->ctx, w->fd, flags);
}

void sockets_want(struct sockets *s, int fd, int what)
{
    struct watched *w = find(s, fd);

    if (!w && what == CURL_POLL_REMOVE)
        return;
    if (!w)
        w = watch(s, fd, false);
    w->wanted = what == CURL_POLL_REMOVE ? 0
                                         : (what & CURL_POLL_IN ? UV_READABLE : 0) |
                                               (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    if (what == CURL_POLL_REMOVE && !w->connection) {
        forget(s, w);
        return;
    }
    list_remove(&w->changed);
    list_push_back(&s->changed, &w->changed);
}

static void tell(struct watched *w)
{
    int err = 0;

    if (w->wanted == w->told)
        return;
    if (w->wanted)
        err = uv_poll_start(&w->poll, w->wanted, on_event);
    else
        uv_poll_stop(&w->poll);
    must(err == 0);
    w->told = w->wanted;
}

static struct watched *connection_with(struct sockets *s, int port)
{
    list_each(node, &s->connections) {
        struct watched *w = list_entry(node, struct watched, link);

        if (w->port != port)
            continue;
        list_remove(&w->link);
        list_push_front(&s->connections, &w->link);
        return w;
    }
    return NULL;
}

/* If that fails, requests leave one by one. */
static void cork(struct watched *w, int on)
{
    (void)setsockopt(w->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
    w->corked = on;
}

/* The first request of a turn leaves at once, because it may be the only one. A port that is that
 * of two connections, from different addresses, does no harm: all of them are uncorked. */
void sockets_before_request(struct sockets *s, int own_port)
{
    struct watched *w = own_port ? connection_with(s, own_port) : NULL;

    if (!w)
        return;
    if (list_empty(&w->written))
        list_push_back(&s->written, &w->written);
    else if (!w->corked)
        cork(w, 1);
}

void sockets_apply(struct sockets *s)
{
    struct list *node;

    while ((node = list_pop_front(&s->written))) {
        struct watched *w = list_entry(node, struct watched, written);

        if (w->corked)
            cork(w, 0);
    }
    while ((node = list_pop_front(&s->changed)))
        tell(list_entry(node, struct watched, changed));
}

void sockets_hang_up_if_silent(struct sockets *s, int fd, uint64_t since_ns)
{
    struct watched *w = find(s, fd);

    if (w && w->heard_ns < since_ns)
        shutdown(fd, SHUT_RDWR);
}
