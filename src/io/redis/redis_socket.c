/* SPDX-License-Identifier: MIT */
#include "redis_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#ifdef HAVE_HIREDIS_SSL
#include <arpa/inet.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#endif

static void set_int(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

void redis_socket_tune(int fd, bool tcp)
{
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (!tcp)
        return;
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 5);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 3);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    /* Keepalive does not work while bytes are unacknowledged; see TCP_USER_TIMEOUT in tcp(7). */
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 15000);
}

void redis_socket_ignore_sigpipe(void)
{
    struct sigaction now;

    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

#ifdef HAVE_HIREDIS_SSL
static SSL *new_session(SSL_CTX *ctx, const char *host)
{
    SSL *ssl = SSL_new(ctx);
    struct in6_addr ip;
    int ok;

    if (!ssl)
        return NULL;
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    SSL_set_connect_state(ssl);
    if (inet_pton(AF_INET, host, &ip) == 1 || inet_pton(AF_INET6, host, &ip) == 1)
        ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
    else
        ok = SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
    if (ok == 1)
        return ssl;
    SSL_free(ssl);
    return NULL;
}

static bool bad_certificate(struct ssl_st *session, struct error *out)
{
    long verified = session ? SSL_get_verify_result(session) : X509_V_OK;

    if (verified == X509_V_OK)
        return false;
    error_set(out, -EPROTO, "TLS: certificate verify failed: %s",
              X509_verify_cert_error_string(verified));
    return true;
}

static const char *tls_words(void)
{
    const char *words = ERR_reason_error_string(ERR_peek_last_error());

    return words ? words : "the server ended the TLS handshake without a word";
}

void redis_socket_forget(struct ssl_st *session)
{
    SSL_free(session);
}

int redis_socket_secure(struct redisContext *c, const char *host, struct ssl_st **session,
                        struct error *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;

    if (ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_default_verify_paths(ctx) == 1)
        ssl = new_session(ctx, host); /* has its own reference to ctx */
    SSL_CTX_free(ctx);
    if (!ssl)
        return error_set(err, -EPROTO, "TLS cannot be set up");
    /* We use our own session because the TLS context of hiredis checks the chain but not the name.
     * hiredis owns the session only after success. */
    if (redisInitiateSSL(c, ssl) != REDIS_OK) {
        redis_socket_words(ssl, c->errstr, err);
        SSL_free(ssl);
        return -EPROTO;
    }
    SSL_up_ref(ssl);
    *session = ssl;
    return 0;
}
#else
static bool bad_certificate(struct ssl_st *session, struct error *out)
{
    (void)session;
    (void)out;
    return false;
}

static const char *tls_words(void)
{
    return "the server ended the connection without a word";
}

void redis_socket_forget(struct ssl_st *session)
{
    (void)session;
}

int redis_socket_secure(struct redisContext *c, const char *host, struct ssl_st **session,
                        struct error *err)
{
    (void)c;
    (void)host;
    (void)session;
    return error_set(err, -EPROTO, "built without hiredis_ssl");
}
#endif

void redis_socket_words(struct ssl_st *session, const char *said, struct error *out)
{
    static const char empty[] = "Success"; /* strerror(0) */
    size_t n = strlen(said), end = sizeof(empty) - 1;
    const char *tls = session ? "TLS: " : "";

    /* A bad certificate comes first: whatever else is said is its consequence. */
    if (bad_certificate(session, out))
        return;
    if (n >= end && strcmp(said + n - end, empty) == 0)
        error_set(out, -EPROTO, "%.*s%s%s", (int)(n - end), said, tls, tls_words());
    else
        error_set(out, -EIO, "%s", said);
}
