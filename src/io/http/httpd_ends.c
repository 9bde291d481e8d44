/* SPDX-License-Identifier: MIT
 * Detects peers that have closed their sending side. libmicrohttpd uses edge-triggered events: it
 * reads what is there and waits for the next event. A FIN that arrives together with data causes no
 * further event, so libmicrohttpd never reads it, and an incomplete request would keep its
 * connection until the deadline. A second epoll reports the FIN here (and reports the bytes of a
 * connection's first request to httpd_heads.c). If everything was read and the request is still
 * incomplete, the connection is closed. */
#include <linux/sockios.h> /* SIOCINQ */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <uv.h>

#include "alloc.h"
#include "httpd_internal.h"

#define EVENTS_MAX 256
/* Number of libmicrohttpd's turns to wait for after the socket was found empty: the first may have
 * read the last bytes, and after the second they have been processed. */
#define QUIET_TURNS 2
/* Bytes still unread after this many turns are not being read; then only the deadline ends the
 * connection. */
#define TURNS_MAX 200

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct httpd *h = poll->data;
    struct epoll_event seen[EVENTS_MAX];
    int n = epoll_wait(h->ends_fd, seen, EVENTS_MAX, 0);

    (void)status;
    (void)events;
    for (int i = 0; i < n; i++) {
        struct conn *c = seen[i].data.ptr;

        if (seen[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            c->ended = true;
        ends_watch(c);
        heads_on_bytes(c);
    }
}

void ends_open(struct httpd *h)
{
    uv_poll_t *poll = alloc_zeroed(1, sizeof(*poll));
    int rc;

    h->ends_fd = epoll_create1(EPOLL_CLOEXEC);
    must(h->ends_fd >= 0);
    rc = uv_poll_init(loop_uv(h->loop), poll, h->ends_fd);
    must(rc == 0);
    poll->data = h;
    h->ends_poll = poll;
    rc = uv_poll_start(poll, UV_READABLE, on_readable);
    must(rc == 0);
    h->polls_open++;
}

static void on_closed(uv_handle_t *handle)
{
    struct httpd *h = handle->data;

    free(handle);
    httpd_poll_closed(h);
}

void ends_close(struct httpd *h)
{
    uv_poll_stop(h->ends_poll);
    uv_close((uv_handle_t *)h->ends_poll, on_closed);
    h->ends_poll = NULL;
    close(h->ends_fd);
}

/* If the kernel has no memory for it, only the deadline ends the connection. */
void ends_add(struct conn *c)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c};

    (void)epoll_ctl(c->slot->httpd->ends_fd, EPOLL_CTL_ADD, c->fd, &e);
}

/* After the first request its heads are not counted any more (httpd_heads.c), so arriving bytes
 * need not be reported. */
void ends_ignore_bytes(struct conn *c)
{
    struct epoll_event e = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = c};

    (void)epoll_ctl(c->slot->httpd->ends_fd, EPOLL_CTL_MOD, c->fd, &e);
}

/* Must not be left to close(), because a lingering connection keeps another descriptor of the same
 * socket. */
void ends_remove(struct conn *c)
{
    list_remove(&c->end);
    (void)epoll_ctl(c->slot->httpd->ends_fd, EPOLL_CTL_DEL, c->fd, NULL);
}

static bool is_incomplete(const struct conn *c)
{
    return c->phase == CONN_AWAIT || c->phase == CONN_HEAD || c->phase == CONN_BODY;
}

void ends_watch(struct conn *c)
{
    if (!c->ended || !is_incomplete(c) || !list_empty(&c->end))
        return;
    c->turns = 0;
    c->quiet_turns = 0;
    list_push_back(&c->slot->httpd->ends, &c->end);
    httpd_run_soon(c->slot->httpd);
}

static bool has_unread(const struct conn *c)
{
    int n = 0;

    return ioctl(c->fd, SIOCINQ, &n) == 0 && n > 0;
}

/* Closes the connection, after sending an answer that was given before the body was complete. */
static void give_up(struct conn *c)
{
    if (c->visit && c->visit->answered)
        conn_cut(c);
    conn_hang_up(c);
}

void ends_look(struct httpd *h)
{
    list_each_safe(node, next, &h->ends) {
        struct conn *c = list_entry(node, struct conn, end);

        c->quiet_turns = has_unread(c) ? 0 : c->quiet_turns + 1;
        if (!is_incomplete(c) || ++c->turns > TURNS_MAX) {
            list_remove(&c->end);
        } else if (c->quiet_turns > QUIET_TURNS) {
            list_remove(&c->end);
            give_up(c);
        }
    }
    if (!list_empty(&h->ends))
        httpd_run_soon(h);
}
