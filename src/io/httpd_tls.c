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
    unsigned status = 0;

    return info && info->tls_session &&
           gnutls_certificate_verify_peers2(info->tls_session, &status) == GNUTLS_E_SUCCESS &&
           status == 0;
}
