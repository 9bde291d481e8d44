/* SPDX-License-Identifier: MIT
 * libmicrohttpd's TLS is GnuTLS: it asks clients for certificates, and leaves it to us to look at
 * them. GnuTLS ends here. */
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "httpd_internal.h"

bool httpd_tls_client_proven(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    /* Its own servers' certificates, of the same authority, are none of a client. */
    gnutls_typed_vdata_st purpose = {GNUTLS_DT_KEY_PURPOSE_OID,
                                     (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT, 0};
    unsigned status = 0;

    return info && info->tls_session &&
           gnutls_certificate_verify_peers(info->tls_session, &purpose, 1, &status) ==
               GNUTLS_E_SUCCESS &&
           status == 0;
}

void httpd_tls_send(struct MHD_Connection *mhd, struct span text)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);

    if (info && info->tls_session)
        (void)gnutls_record_send(info->tls_session, text.p, text.n);
}
