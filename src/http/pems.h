/* SPDX-License-Identifier: MIT
 * The certificate, the key and the client authority of the endpoint, as read from the files that
 * the settings tls_cert_file, tls_key_file and tls_client_ca_file name. */
#pragma once

#include "buf.h"
#include "config.h"
#include "httpd.h"

struct pems {
    struct buf cert, key, client_ca;
    struct httpd_tls tls; /* points into the three buffers */
};

/* 0, or negative with the setting, the file and what is wrong with it in `err`. *tls is NULL
 * without TLS. Whatever it returns, pems_wipe must follow. */
must_use int pems_read(const struct config_http *c, struct pems *p, const struct httpd_tls **tls,
                       struct error *err);
void pems_wipe(struct pems *p); /* removes the key from memory */
