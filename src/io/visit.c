/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "alloc.h"
#include "httpd_internal.h"

/* What is not worth reading only to be dropped: the connection ends instead. */
#define DISCARD_MAX_BYTES (64 * 1024)
/* A streamed body that does not bring at least this much within request_s is given up. */
#define PROGRESS_BYTES 1024

static struct httpd *httpd_of(const struct visit *v)
{
    return v->conn->slot->httpd;
}

static struct conn *conn_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* -- what a visit brings -- */

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

bool visit_from_loopback(const struct visit *v)
{
    const char *peer = v->conn->peer;

    return strncmp(peer, "127.", 4) == 0 || strcmp(peer, "::1") == 0 ||
           strncmp(peer, "::ffff:127.", 11) == 0;
}

void visit_set_ctx(struct visit *v, void *ctx)
{
    v->ctx = ctx;
}

void *visit_ctx(const struct visit *v)
{
    return v->ctx;
}

void visit_collect(struct visit *v, uint64_t max_bytes)
{
    v->body.max = max_bytes;
}

void visit_stream(struct visit *v)
{
    v->streams = true;
}

void visit_set_patience(struct visit *v, uint32_t ms)
{
    v->patience_ms = ms;
    if (v->conn->phase == CONN_ANSWER)
        conn_set_phase(v->conn, CONN_ANSWER, ms);
}

/* -- answering -- */

static void add_header(struct MHD_Response *r, const char *name, const char *value)
{
    enum MHD_Result rc = MHD_add_response_header(r, name, value);

    must(rc == MHD_YES);
}

static struct MHD_Response *response_of(const struct answer *a)
{
    struct MHD_Response *r;

    if (a->body_bytes && a->file >= 0 && !a->body)
        r = MHD_create_response_from_fd64(a->body_bytes, a->file);
    else
        r = MHD_create_response_from_buffer(a->body_bytes, a->body ? a->body : (char *)"",
                                            a->body ? MHD_RESPMEM_MUST_FREE
                                                    : MHD_RESPMEM_PERSISTENT);
    must(r != NULL);
    if (a->type)
        add_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->type);
    for (size_t i = 0; i < ANSWER_HEADERS_MAX && a->headers[i].name; i++)
        add_header(r, a->headers[i].name, a->headers[i].value);
    return r;
}

static void resume(struct conn *c)
{
    if (!c->suspended)
        return;
    c->suspended = false;
    MHD_resume_connection(c->mhd);
    httpd_run_soon(c->slot->httpd); /* it wakes nobody itself */
}

void visit_answer(struct visit *v, const struct answer *a)
{
    must(!v->answered);
    v->answered = true;
    v->discards = true;
    v->status = a->status;
    v->response = response_of(a);
    if (a->close || httpd_of(v)->closed)
        add_header(v->response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (v->conn->suspended && !v->complete)
        conn_set_phase(v->conn, CONN_BODY, httpd_of(v)->options.request_s * 1000);
    resume(v->conn);
}

bool visit_answered(const struct visit *v)
{
    return v->answered;
}

void visit_continue(struct visit *v)
{
    if (!v->conn->suspended || v->complete)
        return;
    conn_set_phase(v->conn, CONN_BODY, httpd_of(v)->options.request_s * 1000);
    resume(v->conn);
}

static enum MHD_Result queue_answer(struct visit *v)
{
    enum MHD_Result rc = MHD_queue_response(v->mhd, (unsigned)v->status, v->response);

    v->queued = true;
    MHD_destroy_response(v->response);
    v->response = NULL;
    conn_set_phase(v->conn, CONN_SENDING, 0);
    return rc;
}

/* Nothing comes from libmicrohttpd until it is answered, or goes on. */
static enum MHD_Result wait_for_answer(struct visit *v)
{
    v->conn->suspended = true;
    conn_set_phase(v->conn, CONN_ANSWER, v->patience_ms);
    MHD_suspend_connection(v->mhd);
    return MHD_YES;
}

static void answer_plain(struct visit *v, int status, const char *sentence)
{
    struct answer a = {.status = status, .type = "application/json", .file = -1, .close = true};

    a.body = alloc_printf("{\"msg\":\"%s\"}\n", sentence);
    a.body_bytes = strlen(a.body);
    visit_answer(v, &a);
}

void visit_expire(struct visit *v)
{
    struct httpd *h = httpd_of(v);

    h->options.calls->late(h->options.ctx, v);
    must(v->answered || v->conn->phase != CONN_ANSWER);
}

/* -- libmicrohttpd's callbacks -- */

void *visit_on_target(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct httpd *h = cls;
    struct visit *v = alloc_zeroed(1, sizeof(*v));

    v->conn = conn_of(mhd);
    v->mhd = mhd;
    v->target_bytes = strlen(uri);
    v->target = alloc_copy(uri, v->target_bytes);
    v->patience_ms = h->options.patience_ms;
    buf_init(&v->body, h->options.body_max_bytes);
    v->conn->visit = v;
    h->counts.visits++;
    return v;
}

/* How long the body says it is; UINT64_MAX when it does not, being chunked. */
static uint64_t body_announced(struct visit *v)
{
    struct span length = visit_header(v, MHD_HTTP_HEADER_CONTENT_LENGTH);
    uint64_t n;

    if (visit_header(v, MHD_HTTP_HEADER_TRANSFER_ENCODING).p)
        return UINT64_MAX;
    if (!length.p)
        return 0;
    return span_to_u64(length, &n) == 0 ? n : UINT64_MAX;
}

static enum MHD_Result begin(struct visit *v, const char *method)
{
    struct httpd *h = httpd_of(v);
    uint64_t announced;

    v->begun = true;
    v->method = method;
    conn_set_phase(v->conn, CONN_BODY, h->options.request_s * 1000);
    if (v->conn->slot->wants_client_cert && !v->conn->proven) {
        v->conn->proven = httpd_tls_client_proven(v->mhd);
        if (!v->conn->proven)
            answer_plain(v, 403, "a client certificate of the configured authority is needed");
    }
    v->known = !v->answered;
    if (v->known)
        h->options.calls->head(h->options.ctx, v);
    announced = body_announced(v);
    if (!v->answered && !v->streams && announced > v->body.max && announced != UINT64_MAX)
        answer_plain(v, 413, "the body is too large");
    if (v->answered && (announced > DISCARD_MAX_BYTES || visit_header(v, MHD_HTTP_HEADER_EXPECT).p))
        return queue_answer(v); /* before the body: libmicrohttpd closes after it */
    return MHD_YES;
}

static void renew_deadline(struct visit *v)
{
    if (v->got_bytes - v->renewed_bytes < PROGRESS_BYTES)
        return;
    v->renewed_bytes = v->got_bytes;
    conn_set_phase(v->conn, CONN_BODY, httpd_of(v)->options.request_s * 1000);
}

static enum MHD_Result take_part(struct visit *v, const char *p, size_t *n)
{
    struct httpd *h = httpd_of(v);
    size_t taken = *n;

    if (v->discards) {
        *n = 0;
        return MHD_YES;
    }
    if (!v->streams) {
        if (buf_try_put(&v->body, span_of(p, *n)) < 0)
            answer_plain(v, 413, "the body is too large");
        *n = 0;
        return MHD_YES;
    }
    taken = h->options.calls->part(h->options.ctx, v, span_of(p, *n));
    must(taken <= *n);
    v->got_bytes += taken;
    renew_deadline(v);
    *n -= taken;
    return *n && !v->answered ? wait_for_answer(v) : MHD_YES;
}

enum MHD_Result visit_on_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_bytes, void **con_cls)
{
    struct httpd *h = cls;
    struct visit *v = *con_cls;

    (void)mhd;
    (void)url;
    (void)version;
    if (!v->begun)
        return begin(v, method);
    if (*upload_bytes)
        return take_part(v, upload, upload_bytes);
    if (!v->complete && !v->answered) {
        v->complete = true;
        h->options.calls->whole(h->options.ctx, v);
    }
    v->complete = true;
    return v->answered ? queue_answer(v) : wait_for_answer(v);
}

void visit_on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                        enum MHD_RequestTerminationCode how)
{
    struct httpd *h = cls;
    struct visit *v = *con_cls;

    (void)mhd;
    (void)how;
    if (!v)
        return;
    *con_cls = NULL;
    if (v->known)
        h->options.calls->gone(h->options.ctx, v);
    v->conn->visit = NULL;
    conn_set_phase(v->conn, CONN_AWAIT, h->options.idle_s * 1000);
    if (v->response)
        MHD_destroy_response(v->response);
    buf_deinit(&v->body);
    free(v->target);
    free(v);
}
