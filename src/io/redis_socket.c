/* SPDX-License-Identifier: MIT */
#include "redis_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#ifdef HAVE_HIREDIS_SSL
#include <arpa/inet.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/ssl.h>
#endif

void redis_socket_ignore_sigpipe(void)
{
    struct sigaction now;

    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

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
    /* Keepalive sleeps while bytes are unacknowledged; tcp(7), TCP_USER_TIMEOUT. */
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 15000);
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

int redis_socket_secure(struct redisContext *c, const char *host, char *err, size_t err_room)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;

    if (ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_default_verify_paths(ctx) == 1)
        ssl = new_session(ctx, host); /* holds its own count of ctx */
    SSL_CTX_free(ctx);
    if (!ssl) {
        snprintf(err, err_room, "TLS cannot be set up");
        return -EPROTO;
    }
    /* hiredis' own TLS context checks the chain but not the name, hence our session. hiredis owns
     * it only after success. */
    if (redisInitiateSSL(c, ssl) != REDIS_OK) {
        snprintf(err, err_room, "TLS: %s", c->errstr);
        SSL_free(ssl);
        return -EPROTO;
    }
    return 0;
}
#else
int redis_socket_secure(struct redisContext *c, const char *host, char *err, size_t err_room)
{
    (void)c;
    (void)host;
    snprintf(err, err_room, "built without hiredis_ssl");
    return -EPROTO;
}
#endif
