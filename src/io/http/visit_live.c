/* SPDX-License-Identifier: MIT
 * Answers without an end, such as server-sent events. libmicrohttpd asks for bytes whenever the
 * peer can take more; if there are none, the connection is suspended until visit_live_wake. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "httpd_internal.h"

/* What the kernel keeps for a peer that does not read; it doubles the number. Without a limit it
 * would be megabytes, and the peer would read what has been untrue for minutes. */
#define SEND_BUFFER_BYTES (32 * 1024)
/* A peer that does not acknowledge anything for this time has vanished. */
#define UNACKNOWLEDGED_MS 60000u

static ssize_t on_more(void *cls, uint64_t at, char *out, size_t room)
{
    struct visit *v = cls;
    struct conn *c = v->conn;
    size_t n = v->more(v->more_ctx, out, room);

    (void)at;
    must(n <= room);
    if (n) {
        /* The next call means that libmicrohttpd has passed on these bytes. */
        conn_set_phase(c, CONN_LIVE, c->slot->httpd->options.request_s * 1000);
        return (ssize_t)n;
    }
    if (v->live_over)
        return MHD_CONTENT_READER_END_OF_STREAM;
    conn_set_phase(c, CONN_LIVE, 0);
    c->suspended = true;
    MHD_suspend_connection(c->mhd);
    return 0;
}

struct MHD_Response *visit_live_response(struct visit *v, const struct answer *a)
{
    v->more = a->more;
    v->more_ctx = a->more_ctx;
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1024, on_more, v, NULL);
}

void visit_live_begin(struct visit *v)
{
    struct conn *c = v->conn;
    int bytes = SEND_BUFFER_BYTES;
    unsigned ms = UNACKNOWLEDGED_MS;

    (void)setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    if (!c->slot->local)
        (void)setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
    conn_set_phase(c, CONN_LIVE, c->slot->httpd->options.request_s * 1000);
}

void visit_live_wake(struct visit *v)
{
    must(v->more);
    visit_resume(v->conn);
}

void visit_live_end(struct visit *v)
{
    must(v->more);
    if (v->live_over)
        return;
    v->live_over = true;
    if (v->conn->phase == CONN_LIVE)
        conn_set_phase(v->conn, CONN_LIVE, v->conn->slot->httpd->options.request_s * 1000);
    visit_resume(v->conn);
}

bool visit_is_live(const struct visit *v)
{
    return v->more != NULL;
}

bool visit_peer_ended(const struct visit *v)
{
    return v->conn->ended;
}

bool visit_is_left(const struct visit *v)
{
    return v->conn->slot->left;
}
