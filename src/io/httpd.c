/* SPDX-License-Identifier: MIT */
#include "httpd.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "alloc.h"
#include "clock.h"
#include "httpd_internal.h"

#define BACKLOG 4096
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

    list_each_safe(node, next, &h->slots)
        run_slot(list_entry(node, struct slot, link));
    ends_look(h);
}

/* A target may hold %00, %2F, %: what it means is the reader's affair. */
static size_t leave_escaped(void *cls, struct MHD_Connection *mhd, char *s)
{
    (void)cls;
    (void)mhd;
    return strlen(s);
}

static enum MHD_Result admit(void *cls, const struct sockaddr *from, socklen_t bytes)
{
    struct httpd *h = cls;

    (void)bytes;
    if (!address_is_full(h, from))
        return MHD_YES;
    h->counts.turned_away++;
    return MHD_NO;
}

/* So many more are let in before those that make room for them are gone: with one at a time each
 * would need a turn of the loop. */
static unsigned displacing_max(uint32_t connections)
{
    return connections / 16 < DISPLACING_MAX ? connections / 16 + 1 : DISPLACING_MAX;
}

static struct MHD_Daemon *start_daemon(struct slot *s, int fd, const struct httpd_tls *tls)
{
    const struct httpd_options *o = &s->httpd->options;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem more[6] = {{MHD_OPTION_END, 0, NULL}};
    size_t n = 0;

    /* It does not shut a connection down that it ends, so that conn_close still can answer. */
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

/* 0 or -EINVAL. */
static int add_slot(struct httpd *h, const struct httpd_tls *tls, char *err, size_t err_room)
{
    struct slot *s = alloc_zeroed(1, sizeof(*s));
    int fd = fcntl(h->listen_fd, F_DUPFD_CLOEXEC, 0), rc;
    uv_poll_t *poll;

    if (fd < 0) {
        snprintf(err, err_room, "%s", strerror(errno));
        free(s);
        return -EINVAL;
    }
    s->httpd = h;
    s->tls = tls != NULL;
    s->wants_client_cert = tls && tls->client_ca_pem;
    if (s->wants_client_cert)
        digest_sha256(span_str(tls->client_ca_pem), s->client_ca);
    s->daemon = start_daemon(s, fd, tls);
    if (!s->daemon) {
        close(fd);
        free(s);
        snprintf(err, err_room,
                 tls ? "the certificate and its key are not accepted"
                     : "the HTTP server does not start");
        return -EINVAL;
    }
    poll = alloc_zeroed(1, sizeof(*poll));
    rc = uv_poll_init(loop_uv(h->loop), poll,
                      MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    must(rc == 0);
    poll->data = s;
    s->poll = poll;
    h->polls_open++;
    rc = uv_poll_start(poll, UV_READABLE, on_readable);
    must(rc == 0);
    list_push_back(&h->slots, &s->link);
    return 0;
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

/* -- listening -- */

/* "host:port" or "[host]:port". */
static int split_listen(const char *listen, char *host, size_t room, char *port, size_t port_room)
{
    const char *colon = strrchr(listen, ':');
    size_t n = colon ? (size_t)(colon - listen) : 0;

    if (!colon || n + 1 > room)
        return -EINVAL;
    if (n >= 2 && listen[0] == '[' && listen[n - 1] == ']')
        snprintf(host, room, "%.*s", (int)n - 2, listen + 1);
    else
        snprintf(host, room, "%.*s", (int)n, listen);
    snprintf(port, port_room, "%s", colon + 1);
    return 0;
}

enum port { PORT_OWN, PORT_SHARED };

static void share_port(int fd, enum port how)
{
    int on = how == PORT_SHARED;

    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

static int listen_on(const struct addrinfo *a, enum port how)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    int on = 1, rc;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    share_port(fd, how);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
        share_port(fd, PORT_OWN); /* nobody else of this user may join */
        return fd;
    }
    rc = -errno;
    close(fd);
    return rc;
}

static void name_address(struct httpd *h)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof(a);
    char host[64], port[8];

    must(getsockname(h->listen_fd, (struct sockaddr *)&a, &n) == 0);
    must(getnameinfo((struct sockaddr *)&a, n, host, sizeof(host), port, sizeof(port),
                     NI_NUMERICHOST | NI_NUMERICSERV) == 0);
    snprintf(h->address, sizeof(h->address), a.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
             port);
}

/* The socket, or negative errno with a sentence. `beside`, when not -1, listens now and will be
 * left: "0.0.0.0:80" is in the way of "127.0.0.1:80" unless both agree to share, for that moment
 * only. */
static int open_listener(const char *listen, int beside, char *err, size_t err_room)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    char host[256], port[16];
    int rc, fd;

    if (split_listen(listen, host, sizeof(host), port, sizeof(port)) < 0) {
        snprintf(err, err_room, "expected host:port");
        return -EINVAL;
    }
    rc = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (rc != 0) {
        snprintf(err, err_room, "%s", gai_strerror(rc));
        return -EINVAL;
    }
    share_port(beside, PORT_SHARED);
    fd = listen_on(found, beside < 0 ? PORT_OWN : PORT_SHARED);
    share_port(beside, PORT_OWN);
    freeaddrinfo(found);
    if (fd < 0)
        snprintf(err, err_room, "cannot listen: %s", strerror(-fd));
    return fd;
}

/* -- the certificate, kept for the next slot -- */

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

/* -- from beginning to end -- */

struct httpd *httpd_new(struct loop *l, const struct httpd_options *o, char *err, size_t err_room)
{
    struct httpd *h = alloc_zeroed(1, sizeof(*h));

    h->loop = l;
    h->options = *o;
    list_init(&h->slots);
    list_init(&h->conns);
    list_init(&h->strangers);
    list_init(&h->rested);
    list_init(&h->ends);
    list_init(&h->heavy);
    list_init(&h->lingering);
    h->listen_fd = open_listener(o->listen, -1, err, err_room);
    if (h->listen_fd < 0) {
        free(h);
        return NULL;
    }
    name_address(h);
    if (add_slot(h, o->tls, err, err_room) < 0) {
        close(h->listen_fd);
        free(h);
        return NULL;
    }
    h->listen = alloc_str(o->listen);
    keep_tls(h, o->tls);
    h->options.listen = NULL;
    h->options.tls = NULL;
    heap_init(&h->deadlines);
    h->timer = timer_new(l, conn_on_deadline, h);
    h->turn = timer_new(l, on_turn, h);
    h->linger_timer = timer_new(l, linger_on_timer, h);
    ends_open(h);
    return h;
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

/* What came in where less was asked for than now. Requests that have not begun are none yet; the
 * others are ended by their answer. */
static void end_outdated(struct httpd *h, const struct slot *now)
{
    list_each(node, &h->slots) {
        struct slot *s = list_entry(node, struct slot, link);

        s->outdated |= s->tls != now->tls || s->wants_client_cert != now->wants_client_cert ||
                       memcmp(s->client_ca, now->client_ca, sizeof(s->client_ca)) != 0;
    }
    list_each(node, &h->conns) {
        struct conn *c = list_entry(node, struct conn, link);

        if (c->slot->outdated && (c->phase == CONN_AWAIT || c->phase == CONN_HEAD))
            conn_hang_up(c);
    }
}

int httpd_set_tls(struct httpd *h, const struct httpd_tls *tls, char *err, size_t err_room)
{
    struct slot *old = list_entry(h->slots.prev, struct slot, link);
    int rc = add_slot(h, tls, err, err_room);

    if (rc < 0)
        return rc;
    keep_tls(h, tls);
    quiesce(old);
    end_outdated(h, list_entry(h->slots.prev, struct slot, link));
    httpd_run_soon(h);
    return 0;
}

/* Those at rest end now, the others with their visit: conn_rest looks at `left`. */
static void leave_slots(struct httpd *h, const struct slot *but)
{
    list_each(node, &h->slots) {
        struct slot *s = list_entry(node, struct slot, link);

        s->left |= s != but;
        if (s != but)
            quiesce(s);
    }
    list_each_safe(node, next, &h->conns) {
        struct conn *c = list_entry(node, struct conn, link);

        if (c->slot->left && c->phase == CONN_AWAIT)
            conn_hang_up(c);
    }
    httpd_run_soon(h);
}

int httpd_set_listen(struct httpd *h, const char *listen, char *err, size_t err_room)
{
    int before = h->listen_fd, fd, rc;

    if (strcmp(h->listen, listen) == 0)
        return 0;
    fd = open_listener(listen, before, err, err_room);
    if (fd < 0)
        return fd;
    h->listen_fd = fd;
    rc = add_slot(h, kept_tls(h), err, err_room);
    if (rc < 0) {
        h->listen_fd = before;
        close(fd);
        return rc;
    }
    free(h->listen);
    h->listen = alloc_str(listen);
    name_address(h);
    leave_slots(h, list_entry(h->slots.prev, struct slot, link));
    close(before);
    return 0;
}

int httpd_set_limits(struct httpd *h, const struct httpd_options *o, char *err, size_t err_room)
{
    struct httpd_options before = h->options;
    struct slot *old = list_entry(h->slots.prev, struct slot, link);
    int rc;

    h->options.connections = o->connections;
    h->options.per_address = o->per_address;
    h->options.idle_s = o->idle_s;
    h->options.request_s = o->request_s;
    h->options.body_max_bytes = o->body_max_bytes;
    h->options.heads_max_bytes = o->heads_max_bytes;
    if (o->connections == before.connections && o->per_address == before.per_address)
        return 0;
    rc = add_slot(h, kept_tls(h), err, err_room); /* libmicrohttpd cannot change these two */
    if (rc < 0) {
        h->options = before;
        return rc;
    }
    quiesce(old);
    httpd_run_soon(h);
    return 0;
}

static void finish(struct httpd *h)
{
    loop_cb *closed = h->closed;
    void *ctx = h->closed_ctx;

    timer_close(h->timer);
    timer_close(h->turn);
    timer_close(h->linger_timer);
    close(h->listen_fd);
    must(!h->addresses);
    forget_tls(&h->tls);
    free(h->listen);
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
