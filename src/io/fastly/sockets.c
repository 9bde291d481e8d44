/* SPDX-License-Identifier: MIT */
#include "sockets.h"

#include <curl/curl.h>
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
    uv_poll_t poll;
    struct sockets *sockets;
    int fd;
    bool connection;  /* opened by sockets_open(), so sockets_close() will be called */
    int wanted, told; /* UV_READABLE and UV_WRITABLE: by curl; to epoll */
    uint64_t heard_ns;
};

struct sockets {
    uv_loop_t *uv;
    sockets_cb *cb;
    void *ctx;
    struct watched **by_fd;
    int room;
    struct list changed;
};

struct sockets *sockets_new(struct loop *l, sockets_cb *cb, void *ctx)
{
    struct sockets *s = alloc_zeroed(1, sizeof(*s));

    s->uv = loop_uv(l);
    s->cb = cb;
    s->ctx = ctx;
    list_init(&s->changed);
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
        watch(s, fd, true);
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
        w->heard_ns = clock_mono_ns();
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

void sockets_apply(struct sockets *s)
{
    struct list *node;

    while ((node = list_pop_front(&s->changed)))
        tell(list_entry(node, struct watched, changed));
}

void sockets_hang_up_if_silent(struct sockets *s, int fd, uint64_t since_ns)
{
    struct watched *w = find(s, fd);

    if (w && w->heard_ns < since_ns)
        shutdown(fd, SHUT_RDWR);
}
