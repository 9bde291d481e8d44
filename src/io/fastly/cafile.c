/* SPDX-License-Identifier: MIT */
#include "cafile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

int cafile_test(const char *path, struct error *err)
{
    FILE *f = fopen(path, "re");
    X509 *first;
    int rc = 0;

    if (!f)
        return error_set(err, -errno, "%s: cannot read it: %s", path, strerror(errno));
    first = PEM_read_X509_AUX(f, NULL, NULL, NULL);
    if (!first) {
        rc = error_set(err, -EINVAL, "%s: there is no certificate in it", path);
        ERR_clear_error();
    }
    X509_free(first);
    fclose(f);
    return rc;
}
