/* SPDX-License-Identifier: MIT
 * If a socket is closed while its peer is still sending, it is reset, and the peer loses the answer
 * that it has not read. So after an early answer, input is read and dropped for a while: RFC 9112
 * section 9.6. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "alloc.h"
#include "clock.h"
#include "httpd_internal.h"

#define LINGER_MS 5000
#define LINGER_BYTES (64 * 1024 * 1024)
#define LINGERING_MAX 256 /* more are reset */
#define DRAIN_BYTES (64 * 1024)

struct lingerer {
    struct list link; /* in the httpd's list, oldest first */
    struct httpd *httpd;
    uv_poll_t poll;
    uint64_t until_ns;
    uint64_t left_bytes;
    int fd;
};

static void on_closed(uv_handle_t *handle)
{
    struct lingerer *l = handle->data;
    struct httpd *h = l->httpd;

    free(l);
    httpd_poll_closed(h);
}

static void end(struct lingerer *l)
{
    list_remove(&l->link);
    l->httpd->lingering_count--;
    uv_poll_stop(&l->poll);
    uv_close((uv_handle_t *)&l->poll, on_closed);
    close(l->fd);
}

static void arm(struct httpd *h)
{
    if (list_empty(&h->lingering))
        timer_stop(h->linger_timer);
    else
        timer_start_at(h->linger_timer, list_first(&h->lingering, struct lingerer, link)->until_ns);
}

void linger_on_timer(void *ctx)
{
    struct httpd *h = ctx;
    uint64_t now_ns = clock_mono_ns();

    while (!list_empty(&h->lingering)) {
        struct lingerer *l = list_first(&h->lingering, struct lingerer, link);

        if (l->until_ns > now_ns)
            break;
        end(l);
    }
    arm(h);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct lingerer *l = poll->data;
    char dropped[DRAIN_BYTES];
    ssize_t n = status < 0 ? 0 : recv(l->fd, dropped, sizeof(dropped), MSG_DONTWAIT);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && (uint64_t)n < l->left_bytes)
        l->left_bytes -= (uint64_t)n;
    else
        end(l);
}

void linger_begin(struct httpd *h, int fd)
{
    struct lingerer *l;
    int own = h->closed || h->lingering_count >= LINGERING_MAX ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int rc;

    if (own < 0)
        return;
    shutdown(own, SHUT_WR);
    l = alloc_zeroed(1, sizeof(*l));
    *l = (struct lingerer){.httpd = h,
                           .until_ns = clock_mono_ns() + LINGER_MS * NS_PER_MS,
                           .left_bytes = LINGER_BYTES,
                           .fd = own};
    rc = uv_poll_init(loop_uv(h->loop), &l->poll, own);
    must(rc == 0);
    l->poll.data = l;
    rc = uv_poll_start(&l->poll, UV_READABLE, on_readable);
    must(rc == 0);
    list_push_back(&h->lingering, &l->link);
    h->lingering_count++;
    h->polls_open++;
    arm(h);
}

void linger_end_all(struct httpd *h)
{
    list_each_safe(node, next, &h->lingering)
        end(list_entry(node, struct lingerer, link));
}

/* -- answers without libmicrohttpd -- */

static enum MHD_Result put_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    (void)kind;
    if (strcasecmp(name, MHD_HTTP_HEADER_CONNECTION) != 0)
        buf_printf(cls, "%s: %s\r\n", name, value);
    return MHD_YES;
}

static void put_answer(const struct visit *v, struct buf *out)
{
    if (!v || !v->response) {
        buf_printf(out, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n"
                        "Connection: close\r\n\r\n");
        return;
    }
    buf_printf(out, "HTTP/1.1 %d %s\r\nContent-Length: %zu\r\nConnection: close\r\n", v->status,
               MHD_get_reason_phrase_for((unsigned)v->status), v->text.n);
    MHD_get_response_headers(v->response, put_header, out);
    buf_printf(out, "\r\n");
    buf_put(out, v->text);
}

void conn_cut(struct conn *c)
{
    struct buf text;

    buf_init(&text, SIZE_MAX); /* our own answers need no limit */
    put_answer(c->visit, &text);
    if (c->slot->tls)
        httpd_tls_send(c->mhd, buf_span(&text));
    else
        (void)!send(c->fd, text.p, text.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    buf_deinit(&text);
    c->cut = true;
    c->lingers = true;
    conn_set_phase(c, CONN_GONE, 0);
}
