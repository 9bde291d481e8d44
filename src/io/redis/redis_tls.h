/* SPDX-License-Identifier: MIT
 * TLS 1.2 or newer to Redis: sessions that verify the server's certificate and its name, and what
 * went wrong with one in plain words. Used by redis_transport.c only. */
#pragma once

#include "error.h"

struct redis_address;
struct ssl_st; /* OpenSSL's SSL */

/* What was found out during a handshake. */
struct redis_tls {
    char *host, *ca_file, *cert_file; /* of the address */
    int refusal;     /* why the server's certificate was refused: X509_V_ERR_...; or X509_V_OK */
    char names[200]; /* for whom the refused certificate is; "" if unknown */
    bool asked;      /* the server wants to see our certificate */
};

/* Reads the files that the address names. `tls` must stay where it is as long as the session. 0, or
 * -EPROTO with a sentence. Free the session with SSL_free, then call redis_tls_deinit, even after
 * an error. */
must_use int redis_tls_session(struct redis_tls *tls, const struct redis_address *a,
                               struct ssl_st **out, struct error *err);
void redis_tls_deinit(struct redis_tls *tls); /* also if it is only zeroed */
/* Explains why TLS has failed: the certificate, or what OpenSSL last said in this thread. Returns
 * -EPROTO. */
must_use int redis_tls_explain(const struct redis_tls *tls, struct error *err);
