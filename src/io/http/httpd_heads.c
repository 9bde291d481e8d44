/* SPDX-License-Identifier: MIT
 * What heads of requests take of memory. libmicrohttpd keeps a head in the pool of its connection,
 * however slowly it comes, and the whole pool from the first request on; it has a limit for one
 * connection and none for all. So each is weighed here: by the bytes that the kernel got from its
 * peer while the first head comes (a second epoll says when there are more), and as a whole pool
 * when it has a body, and from the end of the first request on. When all are too heavy together,
 * the oldest peer that has not proven who it is goes first, then known peers that are idle; a
 * request that comes when all have one under way is refused.
 */
#include <linux/tcp.h> /* the C library's own tcp_info is shorter */
#include <netinet/in.h>
#include <sys/socket.h>

#include "httpd_internal.h"

/* Less is a head like any other: soon complete, and not worth a look. */
#define LIGHT_BYTES 4096
/* A request without a body: its head, and that of its answer. */
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
    return c->heavy_bytes && !c->known && c->phase != CONN_ANSWER && c->phase != CONN_GONE;
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
            return; /* all have a request under way */
    }
}

bool heads_admit(struct conn *c)
{
    struct httpd *h = c->slot->httpd;
    uint64_t max = h->options.heads_max_bytes;

    heads_weigh(c);
    list_remove(&c->heavy); /* it is not dropped for itself */
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
