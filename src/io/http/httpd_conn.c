/* SPDX-License-Identifier: MIT */
#include <linux/sockios.h> /* SIOCOUTQ */
#include <linux/tcp.h>     /* the C library's tcp_info lacks fields */
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "alloc.h"
#include "clock.h"
#include "httpd_internal.h"

#define SWEEP_SLACK_NS (100 * NS_PER_MS) /* how late the timer may be; deadlines are seconds */
/* The maximum number of idle connections of authenticated peers. libmicrohttpd keeps the whole pool
 * of a connection after its first request: 64 MiB for this number. A connection without a request
 * costs a kilobyte or two. */
#define RESTED_MAX 744
/* If less than this of an answer is read within request_s, the connection is dropped. */
#define PROGRESS_BYTES 1024
#define SHOW_MS 100
#define SHOW_TIMES 20
/* The maximum number of unauthenticated peers that may keep their connection after a request.
 * Beyond it, each gets only one answer, and one of them is dropped for a new connection; otherwise
 * an idle authenticated peer is dropped. */
#define STRANGERS_KEPT 256

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
    struct httpd *h = c->slot->httpd;

    if (list_empty(&c->rest))
        return;
    list_remove(&c->rest);
    if (c->resting)
        h->rested_count--;
    else
        h->strangers_count--;
    c->resting = false;
}

/* Puts the connection into the list from which it may be dropped if there are too many. Peers that
 * wait for our answer are in none. */
static void enter_rest(struct conn *c)
{
    struct httpd *h = c->slot->httpd;

    leave_rest(c);
    if (c->phase == CONN_AWAIT && c->known) {
        c->resting = true;
        list_push_back(&h->rested, &c->rest);
        h->rested_count++;
    } else if (!c->known && c->phase != CONN_ANSWER && c->phase != CONN_LIVE &&
               c->phase != CONN_GONE) {
        list_push_back(&h->strangers, &c->rest);
        h->strangers_count++;
    }
}

void conn_set_phase(struct conn *c, enum conn_phase phase, uint64_t wait_ms)
{
    struct httpd *h = c->slot->httpd;

    c->phase = phase;
    c->had_head |= phase != CONN_AWAIT && phase != CONN_HEAD && phase != CONN_GONE;
    enter_rest(c);
    heads_weigh(c);
    ends_watch(c);
    heap_remove(&h->deadlines, &c->deadline);
    if (wait_ms) {
        uint64_t at_ns = clock_mono_ns() + wait_ms * NS_PER_MS;

        if (h->closed && phase != CONN_ANSWER)
            at_ns = min_u64(at_ns, h->close_by_ns);
        heap_insert(&h->deadlines, &c->deadline, at_ns);
        /* If the earliest deadline was postponed, the timer is not changed; it is checked when the
         * timer fires. Most deadlines never expire. */
        if (heap_min(&h->deadlines) == &c->deadline)
            arm(h);
    }
}

/* Shuts down the socket, because libmicrohttpd offers no way to end a connection; its next read
 * finds the end. */
void conn_hang_up(struct conn *c)
{
    shutdown(c->fd, SHUT_RDWR);
    if (!c->hung_up)
        c->slot->httpd->hung_up++;
    c->hung_up = true;
    conn_set_phase(c, CONN_GONE, 0);
}

/* The number of bytes sent over a Unix socket but not read yet. The kernel does not count the bytes
 * that were read. */
static uint64_t unread_bytes(const struct conn *c)
{
    int n = 0;

    return ioctl(c->fd, SIOCOUTQ, &n) == 0 && n > 0 ? (uint64_t)n : 0;
}

/* The number of sent bytes that the peer has acknowledged, from the kernel. */
static uint64_t acked_bytes(const struct conn *c)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof(info);

    return getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 ? info.tcpi_bytes_acked : 0;
}

static void look_at_reader(struct conn *c)
{
    struct httpd *h = c->slot->httpd;
    uint64_t acked = c->slot->local ? unread_bytes(c) : acked_bytes(c);
    bool moves =
        c->slot->local ? acked != c->acked_bytes : acked - c->acked_bytes >= PROGRESS_BYTES;

    if (moves && !h->closed) {
        c->acked_bytes = acked;
        conn_set_phase(c, c->phase, h->options.request_s * 1000);
        return;
    }
    h->counts.timeouts++;
    conn_hang_up(c);
}

/* Makes libmicrohttpd find the end of the connection. It reads until there is nothing left, and
 * only then finds the end, so a peer that keeps sending hides it. The end is therefore shown
 * several times, and at last the connection is shut down even if the peer has not read
 * everything. */
static void show_end(struct conn *c)
{
    if (c->shown++ == SHOW_TIMES) {
        conn_hang_up(c);
        return;
    }
    shutdown(c->fd, SHUT_RD);
    conn_set_phase(c, CONN_GONE, SHOW_MS);
}

void conn_end(struct conn *c)
{
    conn_cut(c);
    show_end(c);
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
        } else if (c->phase == CONN_SENDING || c->phase == CONN_LIVE) {
            look_at_reader(c);
        } else if (c->phase == CONN_AWAIT) {
            conn_hang_up(c);
        } else if (c->phase == CONN_GONE) {
            show_end(c);
        } else {
            h->counts.timeouts++;
            conn_end(c);
        }
    }
    arm(h);
}

/* -- limiting their number -- */

static bool is_crowded(const struct httpd *h)
{
    return h->counts.connections - h->hung_up > h->options.connections;
}

static uint64_t strangers(const struct httpd *h)
{
    return h->counts.connections - h->known_count;
}

/* The connection to drop. NULL if most connections are of unauthenticated peers that wait for our
 * answer: they end soon, so neither an authenticated peer nor a new connection is dropped for
 * them. */
static struct conn *most_dispensable(struct httpd *h)
{
    uint32_t few = h->options.connections / 4;
    bool many = h->strangers_count > (few < STRANGERS_KEPT ? few : STRANGERS_KEPT);

    if (!many && strangers(h) > h->options.connections / 2)
        return NULL;
    if (!many && !list_empty(&h->rested))
        return list_first(&h->rested, struct conn, rest);
    return list_empty(&h->strangers) ? NULL : list_first(&h->strangers, struct conn, rest);
}

static void make_room(struct httpd *h)
{
    struct conn *c = is_crowded(h) ? most_dispensable(h) : NULL;

    if (c)
        conn_hang_up(c);
}

static void begin_rest(struct conn *c)
{
    struct httpd *h = c->slot->httpd;

    conn_set_phase(c, CONN_AWAIT, h->options.idle_s * 1000);
    if (h->rested_count > RESTED_MAX)
        conn_hang_up(list_first(&h->rested, struct conn, rest));
}

void conn_rest(struct conn *c)
{
    struct httpd *h = c->slot->httpd;

    if (h->closed || c->slot->outdated || c->slot->left)
        conn_hang_up(c);
    else if (c->phase != CONN_GONE)
        begin_rest(c);
    if (!c->had_request)
        ends_ignore_bytes(c);
    c->had_request = true;
    c->fills_pool = true;
    heads_weigh(c);
    make_room(h);
    heads_make_room(h);
}

void conn_prove(struct conn *c)
{
    if (c->known)
        return;
    c->known = true;
    c->slot->httpd->known_count++;
    enter_rest(c);
    heads_weigh(c);
}

void conn_forget(struct conn *c)
{
    c->slot->httpd->known_count -= c->known;
    c->known = false;
    enter_rest(c);
    heads_weigh(c);
}

bool conn_is_unwelcome(const struct conn *c)
{
    return !c->known && strangers(c->slot->httpd) > STRANGERS_KEPT;
}

/* -- opening and closing -- */

static void write_peer(const struct sockaddr *a, char *out, socklen_t room)
{
    if (getnameinfo(
            a, a->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in),
            out, room, NULL, 0, NI_NUMERICHOST) != 0)
        snprintf(out, room, "unknown");
}

void conn_open(struct slot *s, struct MHD_Connection *mhd, void **socket_ctx)
{
    struct conn *c = alloc_zeroed(1, sizeof(*c));
    /* Must be used before the next call: libmicrohttpd 1.0 returns every result in the same
     * memory. */
    const struct sockaddr *peer =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;

    heap_node_init(&c->deadline);
    list_init(&c->rest);
    list_init(&c->end);
    list_init(&c->heavy);
    c->slot = s;
    c->mhd = mhd;
    c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    if (s->local) {
        snprintf(c->peer, sizeof(c->peer), "unix");
    } else {
        write_peer(peer, c->peer, sizeof(c->peer));
        c->address = address_enter(s->httpd, peer);
    }
    ends_add(c);
    list_push_back(&s->httpd->conns, &c->link);
    s->connections++;
    s->httpd->counts.connections++;
    s->httpd->counts.accepted++;
    *socket_ctx = c;
    make_room(s->httpd);
    begin_rest(c);
    heads_make_room(s->httpd);
}

static bool peer_has_ended(const struct conn *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Whether anything was sent to the peer; for a Unix socket, anything that it has not read. */
static bool was_told(const struct conn *c)
{
    struct tcp_info info = {.tcpi_bytes_sent = 1};
    socklen_t n = sizeof(info);

    if (c->slot->local)
        return unread_bytes(c) > 0;
    return getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0 || info.tcpi_bytes_sent;
}

/* Answers 400 where a newer libmicrohttpd closes the connection without an answer: if the first
 * line is not a request line, because it contains a NUL or follows two empty lines. */
static void answer_no_request(struct conn *c)
{
    static const char text[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n"
                               "Connection: close\r\n\r\n";

    if (c->used || c->hung_up || c->cut || c->slot->tls || peer_has_ended(c) || was_told(c))
        return;
    (void)!send(c->fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    c->lingers = true;
}

void conn_close(struct slot *s, void **socket_ctx)
{
    struct conn *c = *socket_ctx;

    answer_no_request(c);
    conn_set_phase(c, CONN_GONE, 0);
    ends_remove(c);
    heads_forget(c);
    address_leave(s->httpd, c->address);
    if (c->visit)
        visit_end(c->visit); /* not reported by libmicrohttpd 0.9.75 if a head has two errors */
    if (c->lingers)
        linger_begin(s->httpd, c->fd);
    list_remove(&c->link);
    s->connections--;
    s->httpd->counts.connections--;
    s->httpd->hung_up -= c->hung_up;
    s->httpd->known_count -= c->known;
    free(c);
    *socket_ctx = NULL;
    /* Needs another turn: a full daemon accepts connections again only when it is run, and a daemon
     * without connections can be stopped, but not from within its own callback. */
    httpd_run_soon(s->httpd);
}
