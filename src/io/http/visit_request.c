/* SPDX-License-Identifier: MIT
 * The parts of a visit: method, target, headers, body, and its peer. */
#include <string.h>
#include <strings.h>

#include "httpd_internal.h"

struct span visit_method(const struct visit *v)
{
    return span_str(v->method);
}

struct span visit_target(const struct visit *v)
{
    return span_of(v->target, v->target_bytes);
}

struct span visit_header(struct visit *v, const char *name)
{
    const char *value = NULL;
    size_t n = 0;

    if (MHD_lookup_connection_value_n(v->mhd, MHD_HEADER_KIND, name, strlen(name), &value, &n) ==
        MHD_NO)
        return span_of(NULL, 0);
    return span_of(value ? value : "", n);
}

struct named {
    const char *name;
    size_t name_bytes;
    visit_header_cb *cb;
    void *ctx;
};

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t n,
                                 const char *value, size_t value_bytes)
{
    const struct named *wanted = cls;

    (void)kind;
    if (n == wanted->name_bytes && strncasecmp(name, wanted->name, n) == 0)
        wanted->cb(wanted->ctx, span_of(value ? value : "", value_bytes));
    return MHD_YES;
}

void visit_headers_named(struct visit *v, const char *name, visit_header_cb *cb, void *ctx)
{
    struct named wanted = {name, strlen(name), cb, ctx};

    MHD_get_connection_values_n(v->mhd, MHD_HEADER_KIND, on_header, &wanted);
}

struct span visit_body(const struct visit *v)
{
    return buf_span(&v->body);
}

const char *visit_peer(const struct visit *v)
{
    return v->conn->peer;
}

bool visit_is_unix(const struct visit *v)
{
    return v->conn->slot->local;
}

void visit_client_names(const struct visit *v, visit_name_cb *cb, void *ctx)
{
    if (v->conn->proven)
        httpd_tls_client_names(v->mhd, cb, ctx);
}

bool visit_from_loopback(const struct visit *v)
{
    const char *peer = v->conn->peer;

    return visit_is_unix(v) || strncmp(peer, "127.", 4) == 0 || strcmp(peer, "::1") == 0 ||
           strncmp(peer, "::ffff:127.", 11) == 0;
}

bool visit_is_tls(const struct visit *v)
{
    return v->conn->slot->tls;
}
