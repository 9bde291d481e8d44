/* SPDX-License-Identifier: MIT */
#include "httpd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "alloc.h"
#include "clock.h"
#include "httpd_internal.h"

#define CLOSE_MS 5000
#define DISPLACING_MAX 128u
/* https://www.gnutls.org/manual/html_node/Priority-Strings.html */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* -- running libmicrohttpd -- */

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_ctx,
                          enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        conn_open(cls, mhd, socket_ctx);
    else
        conn_close(cls, socket_ctx);
}

void httpd_run_soon(struct httpd *h)
{
    timer_start_at(h->turn, 0);
}

static void finish(struct httpd *h);

void httpd_poll_closed(struct httpd *h)
{
    h->polls_open--;
    if (h->closed && h->polls_open == 0 && list_empty(&h->slots))
        finish(h);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct httpd *h = handle->data;

    free(handle);
    httpd_poll_closed(h);
}

static void free_slot(struct slot *s)
{
    struct httpd *h = s->httpd;
    uv_poll_t *poll = s->poll;

    uv_poll_stop(poll);
    poll->data = h;
    uv_close((uv_handle_t *)poll, on_poll_closed);
    MHD_stop_daemon(s->daemon);
    list_remove(&s->link);
    free(s);
    if (list_empty(&h->slots)) {
        linger_end_all(h);
        ends_close(h);
    }
}

static void run_slot(struct slot *s)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;

    MHD_run(s->daemon);
    if (s->quiesced && s->connections == 0)
        free_slot(s);
    else if (MHD_get_timeout(s->daemon, &wait_ms) == MHD_YES && wait_ms == 0)
        httpd_run_soon(s->httpd);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run_slot(poll->data);
}

static void on_turn(void *ctx)
{
    struct httpd *h = ctx;

    list_each_safe(node, next, &h->slots) {
        struct slot *s = list_entry(node, struct slot, link);

        if (h->accepts || s->quiesced)
            run_slot(s);
    }
    ends_look(h);
}

/* Keeps percent escapes: a target may contain %00, %2F or a bare %, which its reader must
 * interpret. */
static size_t leave_escaped(void *cls, struct MHD_Connection *mhd, char *s)
{
    (void)cls;
    (void)mhd;
    return strlen(s);
}

/* How many connections beyond the limit are accepted before the ones dropped for them have closed.
 * With only one, each new connection would need a turn of the loop. */
static unsigned displacing_max(uint32_t connections)
{
    return connections / 16 < DISPLACING_MAX ? connections / 16 + 1 : DISPLACING_MAX;
}

/* Needed only with several addresses: each address has its own daemon of libmicrohttpd, which
 * counts only its own connections. */
static bool is_full(const struct httpd *h)
{
    bool several = h->listeners.next != h->listeners.prev;

    return several && h->counts.connections - h->hung_up >=
                          h->options.connections + displacing_max(h->options.connections);
}

static enum MHD_Result admit(void *cls, const struct sockaddr *from, socklen_t bytes)
{
    struct httpd *h = cls;

    (void)bytes;
    if (!address_is_full(h, from) && !is_full(h))
        return MHD_YES;
    h->counts.turned_away++;
    return MHD_NO;
}

static struct MHD_Daemon *start_daemon(struct slot *s, int fd, const struct httpd_tls *tls)
{
    const struct httpd_options *o = &s->httpd->options;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem more[6] = {{MHD_OPTION_END, 0, NULL}};
    size_t n = 0;

    /* In turbo mode libmicrohttpd does not shut down connections that it ends, so conn_close can
     * still answer. */
    if (!tls && !httpd_is_lenient())
        flags |= MHD_USE_TURBO;
    if (tls) {
        flags |= MHD_USE_TLS;
        more[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)tls->cert_pem};
        more[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)tls->key_pem};
        more[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)TLS_PRIORITIES};
        if (tls->client_ca_pem)
            more[n++] =
                (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, (void *)tls->client_ca_pem};
        more[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    }
    return MHD_start_daemon(
        flags, 0, admit, s->httpd, visit_on_access, s->httpd, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_URI_LOG_CALLBACK, visit_on_target, s->httpd, MHD_OPTION_NOTIFY_COMPLETED,
        visit_on_completed, s->httpd, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)o->connections + displacing_max(o->connections),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, POOL_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
}

static void poll_slot(struct slot *s)
{
    int rc = uv_poll_start(s->poll, UV_READABLE, on_readable);

    must(rc == 0);
}

static void watch_slot(struct slot *s)
{
    struct httpd *h = s->httpd;
    uv_poll_t *poll = alloc_zeroed(1, sizeof(*poll));
    int rc = uv_poll_init(loop_uv(h->loop), poll,
                          MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);

    must(rc == 0);
    poll->data = s;
    s->poll = poll;
    h->polls_open++;
    if (h->accepts)
        poll_slot(s);
    list_push_back(&h->slots, &s->link);
}

/* 0 or -EINVAL. */
static int add_slot(struct httpd *h, struct listener *l, const struct httpd_tls *tls,
                    struct error *err)
{
    struct slot *s = alloc_zeroed(1, sizeof(*s));
    int fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);

    if (l->local)
        tls = NULL; /* no network in between */
    if (fd < 0) {
        free(s);
        return error_set(err, -EINVAL, "%s", strerror(errno));
    }
    s->httpd = h;
    s->listener = l;
    s->local = l->local;
    s->tls = tls != NULL;
    s->wants_client_cert = tls && tls->client_ca_pem;
    if (s->wants_client_cert)
        digest_sha256(span_str(tls->client_ca_pem), s->client_ca);
    s->daemon = start_daemon(s, fd, tls);
    if (!s->daemon) {
        close(fd);
        free(s);
        return error_set(err, -EINVAL,
                         tls ? "the certificate and its key are not accepted"
                             : "the HTTP server does not start");
    }
    watch_slot(s);
    return 0;
}

static void on_dropped(uv_handle_t *handle)
{
    free(handle);
}

/* Frees a slot that has never run. */
static void drop_slot(struct slot *s)
{
    uv_poll_stop(s->poll);
    uv_close(s->poll, on_dropped);
    s->httpd->polls_open--;
    MHD_stop_daemon(s->daemon);
    list_remove(&s->link);
    free(s);
}

/* Which listeners get a new slot from add_slots: all, or only those without one. It returns 0, or
 * -EINVAL with nothing changed. */
enum renewal { SLOTS_ALL, SLOTS_MISSING };

static bool has_slot(const struct httpd *h, const struct listener *l)
{
    list_each(node, &h->slots)
        if (list_entry(node, struct slot, link)->listener == l)
            return true;
    return false;
}

static int add_slots(struct httpd *h, enum renewal which, const struct httpd_tls *tls,
                     struct error *err)
{
    struct list *last = h->slots.prev;
    int rc = 0;

    list_each(node, &h->listeners) {
        struct listener *l = list_entry(node, struct listener, link);

        if (rc == 0 && (which == SLOTS_ALL || !has_slot(h, l)))
            rc = add_slot(h, l, tls, err);
    }
    while (rc < 0 && h->slots.prev != last)
        drop_slot(list_entry(h->slots.prev, struct slot, link));
    return rc;
}

static void quiesce(struct slot *s)
{
    int fd;

    if (s->quiesced)
        return;
    s->quiesced = true;
    fd = MHD_quiesce_daemon(s->daemon);
    if (fd >= 0)
        close(fd);
}

/* -- the certificate, kept for later slots -- */

static void forget_tls(struct httpd_tls *tls)
{
    if (tls->key_pem)
        explicit_bzero((char *)tls->key_pem, strlen(tls->key_pem));
    free((char *)tls->cert_pem);
    free((char *)tls->key_pem);
    free((char *)tls->client_ca_pem);
    *tls = (struct httpd_tls){0};
}

static void keep_tls(struct httpd *h, const struct httpd_tls *tls)
{
    struct httpd_tls kept = {0};

    if (tls)
        kept = (struct httpd_tls){alloc_str(tls->cert_pem), alloc_str(tls->key_pem),
                                  tls->client_ca_pem ? alloc_str(tls->client_ca_pem) : NULL};
    forget_tls(&h->tls);
    h->tls = kept;
}

static const struct httpd_tls *kept_tls(const struct httpd *h)
{
    return h->tls.cert_pem ? &h->tls : NULL;
}

/* -- opening and closing -- */

struct httpd *httpd_new(struct loop *l, const struct httpd_options *o, struct error *err)
{
    struct httpd *h = alloc_zeroed(1, sizeof(*h));

    h->loop = l;
    h->options = *o;
    h->accepts = !o->accepts_later;
    list_init(&h->slots);
    list_init(&h->listeners);
    list_init(&h->conns);
    list_init(&h->strangers);
    list_init(&h->rested);
    list_init(&h->ends);
    list_init(&h->heavy);
    list_init(&h->lingering);
    if (listen_open(h, o, err) < 0 || add_slots(h, SLOTS_ALL, o->tls, err) < 0) {
        listen_close_all(h);
        free(h);
        return NULL;
    }
    listen_name(h);
    keep_tls(h, o->tls);
    h->options.listen = h->options.unix_group = NULL;
    h->options.tls = NULL;
    heap_init(&h->deadlines);
    h->timer = timer_new(l, conn_on_deadline, h);
    h->turn = timer_new(l, on_turn, h);
    h->linger_timer = timer_new(l, linger_on_timer, h);
    ends_open(h);
    return h;
}

void httpd_accept(struct httpd *h)
{
    if (h->accepts)
        return;
    h->accepts = true;
    list_each(node, &h->slots)
        poll_slot(list_entry(node, struct slot, link));
}

const char *httpd_address(const struct httpd *h)
{
    return h->address;
}

const struct httpd_counts *httpd_counts(const struct httpd *h)
{
    return &h->counts;
}

void httpd_forget_proven(struct httpd *h)
{
    list_each(node, &h->conns)
        conn_forget(list_entry(node, struct conn, link));
}

static const struct slot *last_of_tcp(const struct httpd *h)
{
    const struct slot *last = NULL;

    list_each(node, &h->slots)
        if (!list_entry(node, struct slot, link)->local)
            last = list_entry(node, struct slot, link);
    return last;
}

/* Ends connections that were accepted with other TLS settings: at once if no request has begun,
 * otherwise after the answer. */
static void end_outdated(struct httpd *h)
{
    const struct slot *now = last_of_tcp(h);

    list_each(node, &h->slots) {
        struct slot *s = list_entry(node, struct slot, link);

        if (now && !s->local)
            s->outdated |= s->tls != now->tls || s->wants_client_cert != now->wants_client_cert ||
                           memcmp(s->client_ca, now->client_ca, sizeof(s->client_ca)) != 0;
    }
    list_each(node, &h->conns) {
        struct conn *c = list_entry(node, struct conn, link);

        if (c->slot->outdated && (c->phase == CONN_AWAIT || c->phase == CONN_HEAD))
            conn_hang_up(c);
    }
}

/* Replaces all slots by new ones. */
static int renew_slots(struct httpd *h, const struct httpd_tls *tls, struct error *err)
{
    struct list *last = h->slots.prev;
    int rc = add_slots(h, SLOTS_ALL, tls, err);

    if (rc < 0)
        return rc;
    list_each(node, &h->slots) {
        quiesce(list_entry(node, struct slot, link));
        if (node == last)
            break;
    }
    end_outdated(h);
    httpd_run_soon(h);
    return 0;
}

int httpd_set_tls(struct httpd *h, const struct httpd_tls *tls, struct error *err)
{
    int rc = renew_slots(h, tls, err);

    if (rc < 0)
        return rc;
    keep_tls(h, tls);
    return 0;
}

/* Closes idle connections to addresses that are no longer listened on. conn_rest closes the others
 * after their visit. */
static void leave_slots(struct httpd *h)
{
    list_each(node, &h->slots) {
        struct slot *s = list_entry(node, struct slot, link);

        if (s->listener && !s->listener->leaves)
            continue;
        s->left = true;
        quiesce(s);
    }
    list_each_safe(node, next, &h->conns) {
        struct conn *c = list_entry(node, struct conn, link);

        if (c->slot->left && c->phase == CONN_AWAIT)
            conn_hang_up(c);
    }
    list_each_safe(node, next, &h->listeners) {
        struct listener *l = list_entry(node, struct listener, link);

        if (l->leaves)
            listen_close(h, l);
    }
    httpd_run_soon(h);
}

int httpd_set_listen(struct httpd *h, const struct httpd_options *o, struct error *err)
{
    struct error why;
    int rc = listen_open(h, o, err);
    int slots = add_slots(h, SLOTS_MISSING, kept_tls(h), &why);

    if (slots < 0 && rc == 0)
        *err = why;
    list_each_safe(node, next, &h->listeners) {
        struct listener *l = list_entry(node, struct listener, link);

        if (!has_slot(h, l))
            listen_close(h, l);
    }
    if (rc == 0)
        rc = slots;
    if (rc == 0)
        leave_slots(h);
    listen_name(h);
    return rc;
}

int httpd_set_limits(struct httpd *h, const struct httpd_options *o, struct error *err)
{
    struct httpd_options before = h->options;
    int rc;

    h->options.connections = o->connections;
    h->options.per_address = o->per_address;
    h->options.idle_s = o->idle_s;
    h->options.request_s = o->request_s;
    h->options.body_max_bytes = o->body_max_bytes;
    h->options.heads_max_bytes = o->heads_max_bytes;
    if (o->connections == before.connections && o->per_address == before.per_address)
        return 0;
    rc = renew_slots(h, kept_tls(h), err); /* libmicrohttpd cannot change them */
    if (rc < 0) {
        h->options = before;
        return rc;
    }
    return 0;
}

static void finish(struct httpd *h)
{
    loop_cb *closed = h->closed;
    void *ctx = h->closed_ctx;

    timer_close(h->timer);
    timer_close(h->turn);
    timer_close(h->linger_timer);
    listen_close_all(h);
    must(!h->addresses);
    forget_tls(&h->tls);
    free(h->address);
    heap_deinit(&h->deadlines);
    free(h);
    closed(ctx);
}

void httpd_close(struct httpd *h, loop_cb *closed, void *ctx)
{
    must(!h->closed);
    h->closed = closed;
    h->closed_ctx = ctx;
    h->close_by_ns = clock_mono_ns() + CLOSE_MS * NS_PER_MS;
    list_each(node, &h->slots)
        quiesce(list_entry(node, struct slot, link));
    list_each(node, &h->conns) {
        struct conn *c = list_entry(node, struct conn, link);

        if (c->phase == CONN_AWAIT)
            conn_hang_up(c);
        else if (c->phase != CONN_ANSWER && c->phase != CONN_GONE)
            conn_set_phase(c, c->phase, CLOSE_MS);
    }
    httpd_run_soon(h);
}
