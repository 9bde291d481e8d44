/* SPDX-License-Identifier: MIT
 * The part of a configuration that the HTTP server itself needs: certificate, limits, addresses. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "http_internal.h"
#include "log.h"
#include "pems.h"

#define FILES_BESIDES 256

/* -- TLS -- */

static void reload_tls(struct http_server *in, const struct config_http *before)
{
    const struct httpd_tls *tls;
    struct pems pems;
    struct error err;
    int rc = pems_read(&in->config->http, &pems, &tls, &err);

    if (rc == 0 && (tls || *before->tls_cert_file))
        rc = httpd_set_tls(in->httpd, tls, &err);
    if (rc < 0)
        log_error("The new certificate is not taken; the old one stays", "why=\"%s\"", err.text);
    else if (tls)
        log_info("New connections get the certificate that was read anew", "");
    else if (*before->tls_cert_file)
        log_warn("New connections are plain HTTP: there is no http.tls_cert_file any more", "");
    pems_wipe(&pems);
}

/* -- limits and address -- */

/* Keeps some file descriptors for other purposes, such as connections to Redis and Fastly, however
 * many clients there are. */
static uint32_t connections_possible(const struct http_server *in)
{
    uint64_t files = in->options.files, wanted = in->config->http.connections;
    uint64_t possible = files > 2 * FILES_BESIDES ? files - FILES_BESIDES : files / 2;

    if (wanted <= possible)
        return (uint32_t)wanted;
    log_warn("http.connections is more than this process may have open: raise its limit of files",
             "connections=%" PRIu64 " files=%" PRIu64 " let_in=%" PRIu64, wanted, files, possible);
    return (uint32_t)possible;
}

struct httpd_options renew_options(const struct http_server *in)
{
    const struct config *c = in->config;

    return (struct httpd_options){.listen = c->listen,
                                  .unix_mode = config_unix_mode(c),
                                  .unix_group = c->http.unix_group,
                                  .connections = connections_possible(in),
                                  .per_address = c->http.per_address,
                                  .idle_s = c->http.idle_s,
                                  .request_s = c->http.request_s,
                                  .heads_max_bytes = config_heads_max_bytes(c),
                                  .body_max_bytes = c->http.body_max_bytes};
}

static void reload_limits(struct http_server *in, const struct httpd_options *o)
{
    struct error err;

    if (httpd_set_limits(in->httpd, o, &err) < 0)
        log_error("The new limits of the HTTP endpoint are not taken; the old ones stay",
                  "why=\"%s\"", err.text);
}

static void reload_listen(struct http_server *in, const struct httpd_options *o)
{
    char *before = alloc_str(httpd_address(in->httpd));
    struct error err;
    bool failed = httpd_set_listen(in->httpd, o, &err) < 0;

    if (strcmp(before, httpd_address(in->httpd)) != 0)
        log_info("The HTTP endpoint listens", "address=%s instead_of=%s", httpd_address(in->httpd),
                 before);
    if (failed)
        log_error("The new address is not listened on; the old ones stay",
                  "listen=\"%s\" why=\"%s\"", in->config->listen, err.text);
    free(before);
}

void renew_httpd(struct http_server *in, const struct config_http *before)
{
    struct httpd_options o = renew_options(in);

    reload_tls(in, before);
    reload_limits(in, &o);
    reload_listen(in, &o);
}
