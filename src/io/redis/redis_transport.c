/* SPDX-License-Identifier: MIT */
#include "redis_transport.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc.h"
#include "redis.h"
#include "redis_tls.h"

struct redis_transport {
    int fd;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } to;
    socklen_t to_size;
    bool connected; /* the socket is connected; with TLS, `agreed` follows */
    bool agreed;    /* the TLS handshake is complete */
    bool heard;     /* something has arrived */
    bool ended;     /* the server has closed the connection */
    bool pending;   /* see redis_transport_pending */
    int io_error;   /* errno of the last recv(2) that failed; 0: none */
    unsigned reading_wants, writing_wants;
    SSL *ssl; /* NULL: no TLS */
    BIO_METHOD *bio;
    struct redis_tls tls;
    int failed; /* negative: the error that every further read reports; `why` is its sentence */
    struct error why;
};

/* -- the socket -- */

static void set_int(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

/* Keepalive and the limit for unacknowledged bytes detect a dead peer within about 15 s, whether
 * the connection is busy or idle. */
static void tune_tcp(int fd)
{
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 5);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 3);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    /* Keepalive does not work while bytes are unacknowledged; see TCP_USER_TIMEOUT in tcp(7). */
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 15000);
}

/* Fails with errno, as recv(2) does. */
static ssize_t socket_read(struct redis_transport *t, void *p, size_t room)
{
    ssize_t n;

    do
        n = recv(t->fd, p, room, 0);
    while (n < 0 && errno == EINTR);
    t->heard = t->heard || n > 0;
    t->ended = t->ended || n == 0;
    if (n < 0 && errno != EAGAIN)
        t->io_error = errno;
    return n;
}

/* Fails only with EAGAIN: whatever else is wrong, reading finds it, after what the server has said
 * before it closed the connection. */
static ssize_t socket_write(struct redis_transport *t, const void *p, size_t n, unsigned *wants)
{
    ssize_t sent;

    do
        sent = send(t->fd, p, n, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    *wants = sent < 0 && errno != EAGAIN ? REDIS_WANTS_READABLE : REDIS_WANTS_WRITABLE;
    if (sent < 0)
        errno = EAGAIN;
    return sent;
}

/* -- OpenSSL's access to the socket -- */

static int bio_read(BIO *bio, char *p, int room)
{
    ssize_t n = socket_read(BIO_get_data(bio), p, (size_t)room);

    BIO_clear_retry_flags(bio);
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    return (int)n;
}

static int bio_write(BIO *bio, const char *p, int n)
{
    unsigned wants;
    ssize_t sent = socket_write(BIO_get_data(bio), p, (size_t)n, &wants);

    BIO_clear_retry_flags(bio);
    if (sent >= 0)
        return (int)sent;
    if (wants == REDIS_WANTS_READABLE)
        BIO_set_retry_read(bio);
    else
        BIO_set_retry_write(bio);
    return -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *p)
{
    const struct redis_transport *t = BIO_get_data(bio);

    (void)number, (void)p;
    if (command == BIO_CTRL_EOF)
        return t->ended;
    return command == BIO_CTRL_FLUSH;
}

static int secure(struct redis_transport *t, const struct redis_address *a, struct error *err)
{
    BIO *bio;

    if (redis_tls_session(&t->tls, a, &t->ssl, err) < 0)
        return -EPROTO;
    t->bio = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "socket");
    bio = t->bio && BIO_meth_set_read(t->bio, bio_read) && BIO_meth_set_write(t->bio, bio_write) &&
                  BIO_meth_set_ctrl(t->bio, bio_ctrl)
              ? BIO_new(t->bio)
              : NULL;
    if (!bio)
        return error_set(err, -EPROTO, "TLS cannot be set up");
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    return 0;
}

/* -- opening -- */

static void set_target(struct redis_transport *t, const struct redis_address *a,
                       const struct addrinfo *to)
{
    if (!to) {
        t->to.local.sun_family = AF_UNIX;
        snprintf(t->to.local.sun_path, sizeof(t->to.local.sun_path), "%s", a->unix_path);
        t->to_size = sizeof(t->to.local);
        return;
    }
    must(to->ai_addrlen <= sizeof(t->to));
    memcpy(&t->to, to->ai_addr, to->ai_addrlen);
    t->to_size = to->ai_addrlen;
    if (t->to.any.sa_family == AF_INET)
        t->to.v4.sin_port = htons(a->port);
    else if (t->to.any.sa_family == AF_INET6)
        t->to.v6.sin6_port = htons(a->port);
}

static int prepare(struct redis_transport *t, const struct redis_address *a, struct error *err)
{
    t->fd = socket(t->to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (t->fd < 0)
        return error_set(err, -errno, "%s", strerror(errno));
    if (t->to.any.sa_family != AF_UNIX)
        tune_tcp(t->fd);
    return a->tls ? secure(t, a, err) : 0;
}

int redis_transport_open(const struct redis_address *a, const struct addrinfo *to,
                         struct redis_transport **out, struct error *err)
{
    struct redis_transport *t = alloc_zeroed(1, sizeof(*t));
    int rc;

    t->fd = -1;
    t->reading_wants = t->writing_wants = REDIS_WANTS_WRITABLE;
    set_target(t, a, to);
    rc = prepare(t, a, err);
    if (rc < 0) {
        redis_transport_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void redis_transport_free(struct redis_transport *t)
{
    if (!t)
        return;
    if (t->ssl && t->agreed && !t->failed && !t->ended && !t->io_error)
        (void)SSL_shutdown(t->ssl); /* says goodbye, and does not wait for an answer */
    SSL_free(t->ssl);
    BIO_meth_free(t->bio);
    redis_tls_deinit(&t->tls);
    if (t->fd >= 0)
        close(t->fd);
    ERR_clear_error();
    free(t);
}

/* -- what OpenSSL returned -- */

/* Returns 0 if the server has closed the connection, -EAGAIN with *wants, or an error. */
static int tls_result(struct redis_transport *t, int rc, unsigned *wants, struct error *err)
{
    int what = SSL_get_error(t->ssl, rc);

    if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE) {
        *wants = what == SSL_ERROR_WANT_READ ? REDIS_WANTS_READABLE : REDIS_WANTS_WRITABLE;
        return -EAGAIN;
    }
    if (what == SSL_ERROR_SSL &&
        ERR_GET_REASON(ERR_peek_last_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return redis_tls_explain(&t->tls, err);
    if (t->io_error)
        return error_set(err, -t->io_error, "%s", strerror(t->io_error));
    if (t->agreed)
        return 0;
    return error_set(err, -EPROTO, "the server ended the TLS handshake without a word");
}

static int agree(struct redis_transport *t, struct error *err)
{
    int rc;

    if (!t->ssl || t->agreed)
        return 0;
    ERR_clear_error();
    rc = SSL_do_handshake(t->ssl);
    if (rc != 1)
        return tls_result(t, rc, &t->reading_wants, err);
    t->agreed = true;
    t->pending = SSL_has_pending(t->ssl);
    return 0;
}

/* Calling connect(2) again tells whether the first call has succeeded. */
int redis_transport_connect(struct redis_transport *t, struct error *err)
{
    int rc = 0;

    if (!t->connected && connect(t->fd, &t->to.any, t->to_size) < 0 && errno != EISCONN) {
        if (errno == EINPROGRESS || errno == EALREADY || errno == EINTR)
            return -EAGAIN;
        return error_set(err, errno == EAGAIN ? -EBUSY : -errno, "%s", strerror(errno));
    }
    t->connected = true;
    rc = agree(t, err);
    if (rc == 0)
        t->reading_wants = REDIS_WANTS_READABLE;
    return rc;
}

const char *redis_transport_delay(const struct redis_transport *t)
{
    if (t->connected && t->ssl && !t->agreed && !t->heard)
        return ": no answer to the TLS handshake; perhaps the server does not speak TLS on this "
               "port";
    return "";
}

/* -- reading -- */

#define HINT_TLS "if the server expects TLS, its address begins with rediss://"

/* A server that wants TLS does not understand plain text. It ends the connection, perhaps with a
 * TLS alert, RFC 8446, 5.1: content type 21, version 3.x. No reply of Redis begins so. */
static bool wants_tls(const struct redis_transport *t, const char *p, ssize_t n)
{
    return t->to.any.sa_family != AF_UNIX && (n <= 0 || (n >= 2 && p[0] == 21 && p[1] == 3));
}

static ssize_t plain_read(struct redis_transport *t, char *p, size_t room, struct error *err)
{
    bool first = !t->heard;
    ssize_t n = socket_read(t, p, room);
    const char *why = n < 0 ? strerror(errno) : "Server closed the connection";

    if (n < 0 && errno == EAGAIN)
        return -EAGAIN;
    if (first && wants_tls(t, p, n))
        return error_set(err, -EPROTO, "%s; " HINT_TLS, why);
    return n < 0 ? error_set(err, -errno, "%s", why) : n;
}

static ssize_t tls_read(struct redis_transport *t, char *p, size_t room, struct error *err)
{
    size_t got = 0;
    int n;

    if (t->failed) {
        *err = t->why;
        return t->failed;
    }
    ERR_clear_error();
    do {
        n = SSL_read(t->ssl, p + got, room - got < INT_MAX ? (int)(room - got) : INT_MAX);
        if (n > 0)
            got += (size_t)n;
    } while (n > 0 && got < room && SSL_has_pending(t->ssl));
    t->pending = n > 0 && got == room;
    if (n > 0) {
        t->reading_wants = REDIS_WANTS_READABLE;
        return (ssize_t)got;
    }
    n = tls_result(t, n, &t->reading_wants, &t->why);
    if (n != 0 && n != -EAGAIN)
        t->failed = n;
    if (got)
        return (ssize_t)got; /* what came before an error is handed over first */
    if (t->failed)
        *err = t->why;
    return n;
}

ssize_t redis_transport_read(struct redis_transport *t, char *p, size_t room, struct error *err)
{
    return t->ssl ? tls_read(t, p, room, err) : plain_read(t, p, room, err);
}

bool redis_transport_pending(const struct redis_transport *t)
{
    return t->pending;
}

/* -- writing -- */

static ssize_t tls_write(struct redis_transport *t, const char *p, size_t n, struct error *err)
{
    size_t sent = 0;
    int rc;

    ERR_clear_error();
    do {
        rc = SSL_write(t->ssl, p + sent, n - sent < INT_MAX ? (int)(n - sent) : INT_MAX);
        if (rc > 0)
            sent += (size_t)rc;
    } while (rc > 0 && sent < n);
    t->writing_wants = REDIS_WANTS_WRITABLE;
    if (sent)
        return (ssize_t)sent;
    rc = tls_result(t, rc, &t->writing_wants, err);
    return rc ? rc : error_set(err, -EPIPE, "%s", strerror(EPIPE));
}

ssize_t redis_transport_write(struct redis_transport *t, const char *p, size_t n, struct error *err)
{
    ssize_t sent;

    must(n > 0);
    if (t->ssl)
        return tls_write(t, p, n, err);
    sent = socket_write(t, p, n, &t->writing_wants);
    return sent < 0 ? -EAGAIN : sent;
}

int redis_transport_fd(const struct redis_transport *t)
{
    return t->fd;
}

unsigned redis_transport_reading_wants(const struct redis_transport *t)
{
    return t->reading_wants;
}

unsigned redis_transport_writing_wants(const struct redis_transport *t)
{
    return t->writing_wants;
}
