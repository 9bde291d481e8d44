/* SPDX-License-Identifier: MIT
 * Checks client certificates. libmicrohttpd uses GnuTLS: it requests certificates but leaves the
 * check to us. Only this file uses GnuTLS directly. */
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "httpd_internal.h"

#define NAME_ROOM 1025 /* SETTING_TEXT_MAX_BYTES, and a NUL */
#define NAMES_MAX 256  /* of each kind per certificate */

bool httpd_tls_client_proven(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    /* Server certificates from the same CA are not accepted from clients. */
    gnutls_typed_vdata_st purpose = {GNUTLS_DT_KEY_PURPOSE_OID,
                                     (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT, 0};
    unsigned status = 0;

    return info && info->tls_session &&
           gnutls_certificate_verify_peers(info->tls_session, &purpose, 1, &status) ==
               GNUTLS_E_SUCCESS &&
           status == 0;
}

/* Gets the n-th CN or, if `alternative`, the n-th alternative name. False if there is no n-th name.
 * The result is empty for a name that is too long, and for an alternative name that is not a DNS
 * name. */
static bool name_at(gnutls_x509_crt_t cert, bool alternative, unsigned n, char *name, size_t *bytes)
{
    size_t room = *bytes;
    int rc;

    if (alternative)
        rc = gnutls_x509_crt_get_subject_alt_name(cert, n, name, bytes, NULL);
    else
        rc = gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, n, 0, name, bytes);
    if (rc < 0 && rc != GNUTLS_E_SHORT_MEMORY_BUFFER)
        return false;
    if (rc < 0 || *bytes > room || (alternative && rc != GNUTLS_SAN_DNSNAME))
        *bytes = 0;
    return true;
}

static void tell_names(gnutls_x509_crt_t cert, bool alternative, visit_name_cb *cb, void *ctx)
{
    char name[NAME_ROOM];

    for (unsigned n = 0; n < NAMES_MAX; n++) {
        size_t bytes = sizeof(name);

        if (!name_at(cert, alternative, n, name, &bytes))
            return;
        if (bytes)
            cb(ctx, span_of(name, bytes));
    }
}

void httpd_tls_client_names(struct MHD_Connection *mhd, visit_name_cb *cb, void *ctx)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    const gnutls_datum_t *chain;
    gnutls_x509_crt_t cert;
    unsigned count = 0;

    chain =
        info && info->tls_session ? gnutls_certificate_get_peers(info->tls_session, &count) : NULL;
    if (!chain || count == 0 || gnutls_x509_crt_init(&cert) < 0)
        return;
    if (gnutls_x509_crt_import(cert, &chain[0], GNUTLS_X509_FMT_DER) == 0) {
        tell_names(cert, false, cb, ctx);
        tell_names(cert, true, cb, ctx);
    }
    gnutls_x509_crt_deinit(cert);
}

void httpd_tls_send(struct MHD_Connection *mhd, struct span text)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);

    if (info && info->tls_session)
        (void)gnutls_record_send(info->tls_session, text.p, text.n);
}
