/* SPDX-License-Identifier: MIT */
#include "cafile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

int cafile_test(const char *path, char *err, size_t err_room)
{
    FILE *f = fopen(path, "re");
    X509 *first;
    int rc = 0;

    if (!f) {
        rc = -errno;
        snprintf(err, err_room, "%s: cannot read it: %s", path, strerror(-rc));
        return rc;
    }
    first = PEM_read_X509_AUX(f, NULL, NULL, NULL);
    if (!first) {
        rc = -EINVAL;
        snprintf(err, err_room, "%s: there is no certificate in it", path);
        ERR_clear_error();
    }
    X509_free(first);
    fclose(f);
    return rc;
}
