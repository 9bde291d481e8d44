/* SPDX-License-Identifier: MIT
 * Limits the memory used by heads of requests. libmicrohttpd keeps a head in the pool of its
 * connection, however slowly it arrives, and the whole pool after the first request. It can limit
 * one connection but not all together. So each connection is counted here: while its first head
 * arrives, by the bytes that the kernel has received (a second epoll reports new ones); as a whole
 * pool if the request has a body, and always after the first request. If the sum is too large, the
 * oldest unauthenticated peer is dropped first, then idle authenticated peers. If all connections
 * have a request in progress, a new request is refused. */
#include <linux/tcp.h> /* the C library's tcp_info lacks fields */
#include <netinet/in.h>
#include <sys/socket.h>

#include "httpd_internal.h"

/* Smaller heads are not counted: they are usual and soon complete. */
#define LIGHT_BYTES 4096
/* Counted for a request without a body: its head and the head of its answer. */
#define REQUEST_BYTES 8192

static uint64_t received_bytes(const struct conn *c)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof(info);

    return getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 ? info.tcpi_bytes_received : 0;
}

static bool head_is_coming(const struct conn *c)
{
    return !c->had_head && (c->phase == CONN_AWAIT || c->phase == CONN_HEAD);
}

static uint32_t weight(const struct conn *c)
{
    uint64_t bytes;

    if (c->phase == CONN_GONE)
        return 0;
    if (c->fills_pool)
        return POOL_BYTES;
    bytes = received_bytes(c);
    if (bytes < LIGHT_BYTES)
        bytes = 0;
    return (uint32_t)min_u64(bytes + (c->had_head ? REQUEST_BYTES : 0), POOL_BYTES);
}

static bool may_be_dropped(const struct conn *c)
{
    return c->heavy_bytes && !c->known && c->phase != CONN_ANSWER && c->phase != CONN_LIVE &&
           c->phase != CONN_GONE;
}

void heads_weigh(struct conn *c)
{
    struct httpd *h = c->slot->httpd;

    h->heavy_bytes -= c->heavy_bytes;
    c->heavy_bytes = weight(c);
    h->heavy_bytes += c->heavy_bytes;
    if (!may_be_dropped(c))
        list_remove(&c->heavy);
    else if (list_empty(&c->heavy))
        list_push_back(&h->heavy, &c->heavy);
}

void heads_make_room(struct httpd *h)
{
    uint64_t max = h->options.heads_max_bytes;

    while (max && h->heavy_bytes > max) {
        if (!list_empty(&h->heavy))
            conn_hang_up(list_first(&h->heavy, struct conn, heavy));
        else if (!list_empty(&h->rested))
            conn_hang_up(list_first(&h->rested, struct conn, rest));
        else
            return; /* all have a request in progress */
    }
}

bool heads_admit(struct conn *c)
{
    struct httpd *h = c->slot->httpd;
    uint64_t max = h->options.heads_max_bytes;

    heads_weigh(c);
    list_remove(&c->heavy); /* it must not be dropped for its own request */
    heads_make_room(h);
    heads_weigh(c);
    return !max || h->heavy_bytes <= max;
}

void heads_on_bytes(struct conn *c)
{
    if (!head_is_coming(c))
        return;
    heads_weigh(c);
    heads_make_room(c->slot->httpd);
}

void heads_forget(struct conn *c)
{
    list_remove(&c->heavy);
    c->slot->httpd->heavy_bytes -= c->heavy_bytes;
    c->heavy_bytes = 0;
}
