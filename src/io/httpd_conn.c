/* SPDX-License-Identifier: MIT */
#include <linux/tcp.h> /* the C library's own tcp_info is shorter */
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "alloc.h"
#include "clock.h"
#include "httpd_internal.h"

#define SWEEP_SLACK_NS (100 * NS_PER_MS) /* deadlines of seconds: a timer that is late by this */
/* libmicrohttpd keeps a connection's whole pool once it had a request: these are what is kept. One
 * that never had any costs a kilobyte or two. */
#define RESTED_MAX 1024
/* An answer of which less than this was taken within request_s is given up. */
#define PROGRESS_BYTES 1024
#define SHOW_MS 100
#define SHOW_TIMES 20

/* -- deadlines -- */

static void arm(struct httpd *h)
{
    struct heap_node *first = heap_min(&h->deadlines);

    if (first)
        timer_start_at(h->timer, first->key + SWEEP_SLACK_NS);
    else
        timer_stop(h->timer);
}

static void leave_rest(struct conn *c)
{
    if (list_empty(&c->rest))
        return;
    list_remove(&c->rest);
    c->slot->httpd->rested_count -= c->used;
}

void conn_set_phase(struct conn *c, enum conn_phase phase, uint64_t wait_ms)
{
    struct httpd *h = c->slot->httpd;

    c->phase = phase;
    if (phase != CONN_AWAIT)
        leave_rest(c);
    heap_remove(&h->deadlines, &c->deadline);
    if (wait_ms) {
        uint64_t at_ns = clock_mono_ns() + wait_ms * NS_PER_MS;

        if (h->closed && phase != CONN_ANSWER)
            at_ns = min_u64(at_ns, h->close_by_ns);
        heap_insert(&h->deadlines, &c->deadline, at_ns);
        /* A deadline that moved back is found out when the timer fires: most never come. */
        if (heap_min(&h->deadlines) == &c->deadline)
            arm(h);
    }
}

/* Not through libmicrohttpd, which has no way to end a connection from outside: its next read finds
 * the end. */
void conn_hang_up(struct conn *c)
{
    shutdown(c->fd, SHUT_RDWR);
    if (!c->hung_up)
        c->slot->httpd->hung_up++;
    c->hung_up = true;
    conn_set_phase(c, CONN_GONE, 0);
}

/* How much the peer took of what was sent; the kernel counts. */
static uint64_t acked_bytes(const struct conn *c)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof(info);

    return getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 ? info.tcpi_bytes_acked : 0;
}

static void look_at_reader(struct conn *c)
{
    struct httpd *h = c->slot->httpd;
    uint64_t acked = acked_bytes(c);

    if (acked - c->acked_bytes >= PROGRESS_BYTES && !h->closed) {
        c->acked_bytes = acked;
        conn_set_phase(c, CONN_SENDING, h->options.request_s * 1000);
        return;
    }
    h->counts.timeouts++;
    conn_hang_up(c);
}

/* libmicrohttpd reads until there is nothing more to read and waits for the next event then; the
 * end is what it reads when nothing is there. A peer that goes on sending hides it, so it is shown
 * again; at last without regard for what the peer has not read yet. */
static void show_end(struct conn *c)
{
    if (c->shown++ == SHOW_TIMES) {
        conn_hang_up(c);
        return;
    }
    shutdown(c->fd, SHUT_RD);
    conn_set_phase(c, CONN_GONE, SHOW_MS);
}

void conn_on_deadline(void *ctx)
{
    struct httpd *h = ctx;
    uint64_t now_ns = clock_mono_ns();
    struct heap_node *first;

    while ((first = heap_min(&h->deadlines)) && first->key <= now_ns) {
        struct conn *c = container_of(first, struct conn, deadline);

        if (c->phase == CONN_ANSWER) {
            heap_remove(&h->deadlines, first);
            visit_expire(c->visit);
        } else if (c->phase == CONN_SENDING) {
            look_at_reader(c);
        } else if (c->phase == CONN_AWAIT) {
            conn_hang_up(c);
        } else if (c->phase == CONN_GONE) {
            show_end(c);
        } else {
            h->counts.timeouts++;
            conn_cut(c);
            show_end(c);
        }
    }
    arm(h);
}

/* -- their number -- */

static struct conn *longest_idle(struct httpd *h)
{
    struct conn *fresh = list_first(&h->fresh, struct conn, rest);
    struct conn *rested = list_first(&h->rested, struct conn, rest);

    if (list_empty(&h->fresh))
        return list_empty(&h->rested) ? NULL : rested;
    if (list_empty(&h->rested))
        return fresh;
    return fresh->deadline.key < rested->deadline.key ? fresh : rested;
}

static bool is_crowded(const struct httpd *h)
{
    return h->counts.connections - h->hung_up > h->options.connections;
}

static void begin_rest(struct conn *c)
{
    struct httpd *h = c->slot->httpd;

    conn_set_phase(c, CONN_AWAIT, h->options.idle_s * 1000);
    list_push_back(c->used ? &h->rested : &h->fresh, &c->rest);
    h->rested_count += c->used;
    if (h->rested_count > RESTED_MAX)
        conn_hang_up(list_first(&h->rested, struct conn, rest));
}

void conn_rest(struct conn *c)
{
    struct httpd *h = c->slot->httpd;

    c->used = true;
    if (h->closed || c->slot->left || is_crowded(h))
        conn_hang_up(c);
    else if (c->phase != CONN_GONE)
        begin_rest(c);
}

/* -- beginning and end -- */

static void write_peer(const struct sockaddr *a, char *out, socklen_t room)
{
    if (getnameinfo(
            a, a->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in),
            out, room, NULL, 0, NI_NUMERICHOST) != 0)
        snprintf(out, room, "unknown");
}

void conn_open(struct slot *s, struct MHD_Connection *mhd, void **socket_ctx)
{
    struct conn *c = alloc_zeroed(1, sizeof(*c)), *idle;
    /* What libmicrohttpd 1.0 tells lies where the next is told: it must not be kept. */
    const struct sockaddr *peer =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;

    heap_node_init(&c->deadline);
    list_init(&c->rest);
    c->slot = s;
    c->mhd = mhd;
    c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    write_peer(peer, c->peer, sizeof(c->peer));
    list_push_back(&s->httpd->conns, &c->link);
    s->connections++;
    s->httpd->counts.connections++;
    s->httpd->counts.accepted++;
    *socket_ctx = c;
    idle = longest_idle(s->httpd);
    if (idle && is_crowded(s->httpd))
        conn_hang_up(idle); /* who asks nothing must not keep out who would */
    begin_rest(c);
}

void conn_close(struct slot *s, void **socket_ctx)
{
    struct conn *c = *socket_ctx;

    conn_set_phase(c, CONN_GONE, 0);
    if (c->visit)
        visit_end(c->visit); /* two errors in one head, and libmicrohttpd 0.9.75 does not say so */
    if (c->lingers)
        linger_begin(s->httpd, c->fd);
    list_remove(&c->link);
    s->connections--;
    s->httpd->counts.connections--;
    s->httpd->hung_up -= c->hung_up;
    free(c);
    *socket_ctx = NULL;
    /* Another turn: a daemon that was full listens again only when it is run, and one that has
     * nobody left can go, but not from within its own callback. */
    httpd_run_soon(s->httpd);
}
