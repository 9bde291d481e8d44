/* SPDX-License-Identifier: MIT */
#include "pems.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "file.h"

#define PEM_MAX_BYTES (256 * 1024)

void pems_wipe(struct pems *p)
{
    if (p->key.p)
        explicit_bzero(p->key.p, p->key.room);
    buf_deinit(&p->cert);
    buf_deinit(&p->key);
    buf_deinit(&p->client_ca);
}

/* What is wrong with the file; NULL: no error found. An empty file is an error, because an empty
 * client CA would be the same as none: clients would not be asked for a certificate. */
static const char *pem_flaw(const struct buf *text)
{
    if (text->n == 0)
        return "it is empty";
    return strlen(text->p) == text->n && strstr(text->p, "-----BEGIN ") ? NULL : "it is no PEM";
}

static int read_pem(const char *setting, const char *path, struct buf *out, struct error *err)
{
    int rc = file_read(path, out);
    const char *flaw = rc < 0 ? NULL : pem_flaw(out);

    if (rc < 0)
        error_set(err, rc, "http.%s: cannot read %s: %s", setting, path,
                  rc == -EMSGSIZE ? "longer than 256 KiB" : strerror(-rc));
    if (!flaw)
        return rc;
    return error_set(err, -EINVAL, "http.%s: %s: %s", setting, path, flaw);
}

static int read_key(const char *path, struct buf *out, struct error *err)
{
    enum file_access access;
    bool is_folder;

    if (file_access(path, &access, &is_folder) < 0 || access != FILE_ANYBODY_WRITES)
        return read_pem("tls_key_file", path, out, err);
    return error_set(err, -EPERM, "http.tls_key_file: anybody may change %s: chmod 640", path);
}

int pems_read(const struct config_http *c, struct pems *p, const struct httpd_tls **tls,
              struct error *err)
{
    int rc = 0;

    buf_init(&p->cert, PEM_MAX_BYTES);
    buf_init(&p->key, PEM_MAX_BYTES);
    buf_init(&p->client_ca, PEM_MAX_BYTES);
    *tls = NULL;
    if (!*c->tls_cert_file)
        return 0;
    rc = read_pem("tls_cert_file", c->tls_cert_file, &p->cert, err);
    if (rc == 0)
        rc = read_key(c->tls_key_file, &p->key, err);
    if (rc == 0 && *c->tls_client_ca_file)
        rc = read_pem("tls_client_ca_file", c->tls_client_ca_file, &p->client_ca, err);
    p->tls = (struct httpd_tls){p->cert.p, p->key.p, p->client_ca.n ? p->client_ca.p : NULL};
    *tls = &p->tls;
    return rc;
}
