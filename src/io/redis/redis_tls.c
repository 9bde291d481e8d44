/* SPDX-License-Identifier: MIT */
#include "redis_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "redis.h"

/* -- the server's certificate -- */

static bool is_ip(const char *host)
{
    struct in6_addr ip;

    return inet_pton(AF_INET, host, &ip) == 1 || inet_pton(AF_INET6, host, &ip) == 1;
}

static void add_name(struct redis_tls *t, const char *name, size_t n)
{
    size_t used = strlen(t->names);

    snprintf(t->names + used, sizeof(t->names) - used, "%s%.*s", used ? ", " : "", (int)n, name);
}

static void add_alternative(struct redis_tls *t, const GENERAL_NAME *g)
{
    const unsigned char *p;
    char ip[INET6_ADDRSTRLEN];
    int n;

    if (g->type == GEN_DNS) {
        add_name(t, (const char *)ASN1_STRING_get0_data(g->d.dNSName),
                 (size_t)ASN1_STRING_length(g->d.dNSName));
    } else if (g->type == GEN_IPADD) {
        p = ASN1_STRING_get0_data(g->d.iPAddress);
        n = ASN1_STRING_length(g->d.iPAddress);
        if ((n == 4 || n == 16) && inet_ntop(n == 4 ? AF_INET : AF_INET6, p, ip, sizeof(ip)))
            add_name(t, ip, strlen(ip));
    }
}

static void note_names(struct redis_tls *t, const X509 *cert)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    char cn[128];

    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++)
        add_alternative(t, sk_GENERAL_NAME_value(all, i));
    GENERAL_NAMES_free(all);
    if (t->names[0])
        return;
    if (X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof(cn)) > 0)
        add_name(t, cn, strlen(cn));
}

/* Keeps the first reason for a refusal, because OpenSSL has no access to the certificate later. */
static int on_verified(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct redis_tls *t = SSL_get_app_data(ssl);
    const X509 *cert = X509_STORE_CTX_get0_cert(store);

    if (!ok && t->refusal == X509_V_OK) {
        t->refusal = X509_STORE_CTX_get_error(store);
        if (cert)
            note_names(t, cert);
    }
    return ok;
}

static bool expect_name(SSL *ssl, const char *host)
{
    if (is_ip(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

/* -- files -- */

static const char *tls_words(void)
{
    const char *words = ERR_reason_error_string(ERR_peek_last_error());

    return words ? words : "no reason given";
}

/* The file can be opened, or the sentence says why not. */
static int check_file(const char *setting, const char *path, struct error *err)
{
    if (access(path, R_OK) == 0)
        return 0;
    return error_set(err, -EPROTO, "redis_tls.%s %s: %s", setting, path, strerror(errno));
}

static int load_authorities(SSL_CTX *ctx, const char *path, struct error *err)
{
    if (!path) {
        if (SSL_CTX_set_default_verify_paths(ctx) == 1)
            return 0;
        return error_set(err, -EPROTO, "TLS: the system's certificate authorities: %s",
                         tls_words());
    }
    if (check_file("ca_file", path, err) < 0)
        return -EPROTO;
    if (SSL_CTX_load_verify_file(ctx, path) == 1)
        return 0;
    return error_set(err, -EPROTO, "redis_tls.ca_file %s: no certificates in PEM format: %s", path,
                     tls_words());
}

/* An encrypted key is refused, because nobody is there to type a password. */
static int no_password(char *buf, int size, int rwflag, void *ctx)
{
    (void)buf, (void)size, (void)rwflag, (void)ctx;
    return 0;
}

static int load_own(SSL_CTX *ctx, const struct redis_address *a, struct error *err)
{
    const char *key = a->key_file ? a->key_file : a->cert_file; /* both may be in one file */

    if (!a->cert_file)
        return 0;
    if (check_file("cert_file", a->cert_file, err) < 0 || check_file("key_file", key, err) < 0)
        return -EPROTO;
    if (SSL_CTX_use_certificate_chain_file(ctx, a->cert_file) != 1)
        return error_set(err, -EPROTO, "redis_tls.cert_file %s: no certificate in PEM format: %s",
                         a->cert_file, tls_words());
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1)
        return 0;
    if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
        return error_set(err, -EPROTO, "redis_tls.key_file %s: not the key of cert_file %s", key,
                         a->cert_file);
    return error_set(err, -EPROTO,
                     "redis_tls.key_file %s: no key in PEM format without a password: %s", key,
                     tls_words());
}

/* -- sessions -- */

static int on_certificate_wanted(SSL *ssl, void *ctx)
{
    struct redis_tls *t = SSL_get_app_data(ssl);

    (void)ctx;
    t->asked = true;
    return 1;
}

static int configure(SSL_CTX *ctx, const struct redis_address *a, struct error *err)
{
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        return error_set(err, -EPROTO, "TLS cannot be set up: %s", tls_words());
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1); /* one recv(2) for a record instead of two */
    SSL_CTX_set_cert_cb(ctx, on_certificate_wanted, NULL);
    if (load_authorities(ctx, a->ca_file, err) < 0)
        return -EPROTO;
    return load_own(ctx, a, err);
}

int redis_tls_session(struct redis_tls *tls, const struct redis_address *a, struct ssl_st **out,
                      struct error *err)
{
    SSL_CTX *ctx;
    SSL *ssl = NULL;
    int rc;

    ERR_clear_error();
    *tls = (struct redis_tls){
        .host = alloc_str(a->host),
        .ca_file = a->ca_file ? alloc_str(a->ca_file) : NULL,
        .cert_file = a->cert_file ? alloc_str(a->cert_file) : NULL,
        .refusal = X509_V_OK,
    };
    ctx = SSL_CTX_new(TLS_client_method());
    rc = ctx ? configure(ctx, a, err) : error_set(err, -EPROTO, "TLS cannot be set up");
    if (rc == 0)
        ssl = SSL_new(ctx); /* has its own reference to ctx */
    SSL_CTX_free(ctx);
    if (rc < 0)
        return rc;
    if (!ssl || !expect_name(ssl, a->host)) {
        SSL_free(ssl);
        return error_set(err, -EPROTO, "TLS cannot be set up for %s: %s", a->host, tls_words());
    }
    SSL_set_app_data(ssl, tls);
    SSL_set_verify(ssl, SSL_VERIFY_PEER, on_verified);
    SSL_set_connect_state(ssl);
    *out = ssl;
    return 0;
}

void redis_tls_deinit(struct redis_tls *tls)
{
    free(tls->host);
    free(tls->ca_file);
    free(tls->cert_file);
}

/* -- what went wrong -- */

static bool is_unknown_authority(int refusal)
{
    return refusal == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
           refusal == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
           refusal == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
           refusal == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
           refusal == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN;
}

static int explain_refusal(const struct redis_tls *t, struct error *err)
{
    const char *what = X509_verify_cert_error_string(t->refusal);

    if (t->refusal == X509_V_ERR_HOSTNAME_MISMATCH || t->refusal == X509_V_ERR_IP_ADDRESS_MISMATCH)
        return error_set(err, -EPROTO,
                         "TLS: certificate verify failed: %s: expected %s, but it is for %s", what,
                         t->host, t->names[0] ? t->names : "nobody");
    if (is_unknown_authority(t->refusal) && t->ca_file)
        return error_set(err, -EPROTO, "TLS: certificate verify failed: %s: its CA is not in %s",
                         what, t->ca_file);
    if (is_unknown_authority(t->refusal))
        return error_set(err, -EPROTO,
                         "TLS: certificate verify failed: %s: give its CA in redis_tls.ca_file",
                         what);
    return error_set(err, -EPROTO, "TLS: certificate verify failed: %s", what);
}

static bool is_about_our_certificate(int reason)
{
    return reason == SSL_R_SSLV3_ALERT_BAD_CERTIFICATE ||
           reason == SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE ||
           reason == SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED ||
           reason == SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED ||
           reason == SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN ||
           reason == SSL_R_TLSV1_ALERT_UNKNOWN_CA || reason == SSL_R_TLSV1_ALERT_ACCESS_DENIED ||
           reason == SSL_R_TLSV1_ALERT_DECRYPT_ERROR;
}

int redis_tls_explain(const struct redis_tls *t, struct error *err)
{
    int reason = ERR_GET_REASON(ERR_peek_last_error());
    const char *ours = t->cert_file;

    if (t->refusal != X509_V_OK)
        return explain_refusal(t, err);
    if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_PACKET_LENGTH_TOO_LONG)
        return error_set(err, -EPROTO, "TLS: the server does not speak TLS on this port");
    /* TLS 1.2 has no alert for a missing certificate. */
    if (t->asked && !ours &&
        (reason == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED ||
         reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE || is_about_our_certificate(reason)))
        return error_set(err, -EPROTO,
                         "TLS: the server demands a certificate of us: give it in "
                         "redis_tls.cert_file and redis_tls.key_file");
    if (ours && is_about_our_certificate(reason))
        return error_set(err, -EPROTO, "TLS: the server refuses our certificate %s: %s", ours,
                         tls_words());
    return error_set(err, -EPROTO, "TLS: %s", tls_words());
}
