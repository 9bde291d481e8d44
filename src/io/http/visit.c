/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "httpd_internal.h"

/* The largest rest of a body that is read only to be dropped. If there is more, the connection is
 * closed instead. */
#define DISCARD_MAX_BYTES (64 * 1024)
/* A streamed body must bring at least this much within each request_s, or the connection is
 * closed. */
#define PROGRESS_BYTES 1024
/* libmicrohttpd first reads from a resumed connection, and if the peer has closed its side, it
 * closes the connection without an answer. Connections with their own timeout are processed before
 * anything is read, so they send their answer. */
#define OWN_TIMEOUT_S 86400u
/* How often a visit that waits long is checked for a closed peer. */
#define LOOK_MS 1000u
/* A body of unknown length is counted on the bill in steps of at least this. */
#define BILL_STEP_BYTES ((uint64_t)16 * 1024)

static struct httpd *httpd_of(const struct visit *v)
{
    return v->conn->slot->httpd;
}

static struct conn *conn_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* -- options of a visit -- */

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

void visit_prove(struct visit *v)
{
    conn_prove(v->conn);
}

bool visit_is_outdated(const struct visit *v)
{
    return v->conn->slot->outdated;
}

void visit_stream(struct visit *v)
{
    v->streams = true;
}

void visit_bill(struct visit *v, struct quota_bill *bill)
{
    v->bill = bill;
}

void visit_set_patience(struct visit *v, uint32_t ms)
{
    v->patience_ms = ms;
    if (v->conn->phase == CONN_ANSWER)
        conn_set_phase(v->conn, CONN_ANSWER, ms);
}

void visit_await(struct visit *v, uint32_t ms)
{
    v->late_ns = clock_mono_ns() + ms * NS_PER_MS;
    visit_set_patience(v, ms < LOOK_MS ? ms : LOOK_MS);
}

/* -- answering -- */

static void add_header(struct MHD_Response *r, const char *name, const char *value)
{
    enum MHD_Result rc = MHD_add_response_header(r, name, value);

    must(rc == MHD_YES);
}

static struct MHD_Response *response_of(struct visit *v, const struct answer *a)
{
    struct MHD_Response *r;

    if (a->more)
        r = visit_live_response(v, a);
    else if (a->body_bytes && a->file >= 0 && !a->body)
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

void visit_resume(struct conn *c)
{
    if (!c->suspended)
        return;
    c->suspended = false;
    MHD_resume_connection(c->mhd);
    httpd_run_soon(c->slot->httpd); /* resuming does not wake the loop */
}

/* Whether the connection must close after the answer. An old libmicrohttpd parses chunks leniently:
 * a part of this body, as a proxy in front sees it, could be read as the next request. */
static bool must_close(const struct visit *v)
{
    return httpd_of(v)->closed || conn_is_unwelcome(v->conn) || visit_is_outdated(v) ||
           (v->chunked && httpd_is_lenient());
}

void visit_answer(struct visit *v, const struct answer *a)
{
    must(!v->answered);
    v->answered = true;
    v->discards = true;
    v->status = a->status;
    v->response = response_of(v, a);
    v->text = span_of(a->body, a->body ? a->body_bytes : 0);
    if (a->close || a->more || must_close(v))
        add_header(v->response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (v->conn->suspended && !v->complete)
        conn_set_phase(v->conn, CONN_BODY, httpd_of(v)->options.request_s * 1000);
    visit_resume(v->conn);
}

bool visit_answered(const struct visit *v)
{
    return v->answered;
}

const char *visit_own_answer(const struct visit *v, int *status)
{
    if (!*v->own_sentence)
        return NULL;
    *status = v->status;
    return v->own_sentence;
}

void visit_cut(struct visit *v)
{
    must(v->answered);
    if (!v->complete && !v->queued && v->conn->phase != CONN_GONE)
        conn_end(v->conn);
}

void visit_continue(struct visit *v)
{
    v->goes_on = true;
    if (!v->conn->suspended || v->complete)
        return;
    conn_set_phase(v->conn, CONN_BODY, httpd_of(v)->options.request_s * 1000);
    visit_resume(v->conn);
}

static enum MHD_Result queue_answer(struct visit *v)
{
    enum MHD_Result rc = MHD_queue_response(v->mhd, (unsigned)v->status, v->response);

    v->queued = true;
    visit_drop_body(v);
    MHD_destroy_response(v->response);
    v->response = NULL;
    conn_set_phase(v->conn, CONN_SENDING, httpd_of(v)->options.request_s * 1000);
    if (v->more)
        visit_live_begin(v);
    return rc;
}

/* Queues the answer without waiting for the rest of the body. libmicrohttpd then closes the
 * connection. */
static enum MHD_Result queue_early(struct visit *v)
{
    v->conn->lingers = true;
    return queue_answer(v);
}

/* Sends the answer directly and ends the connection, because libmicrohttpd accepts no answer while
 * a body is arriving. */
static enum MHD_Result cut(struct visit *v)
{
    conn_cut(v->conn);
    return MHD_NO;
}

/* Suspends the connection until it is answered or continued. */
static enum MHD_Result wait_for_answer(struct visit *v)
{
    v->conn->suspended = true;
    conn_set_phase(v->conn, CONN_ANSWER, v->patience_ms);
    MHD_set_connection_option(v->mhd, MHD_CONNECTION_OPTION_TIMEOUT, OWN_TIMEOUT_S);
    v->conn->own_timeout = true;
    MHD_suspend_connection(v->mhd); /* must come last: 1.0 sets no options afterwards */
    return MHD_YES;
}

static void answer_plain(struct visit *v, int status, const char *sentence)
{
    struct answer a = {.status = status, .type = "application/json", .file = -1, .close = true};

    snprintf(v->own_sentence, sizeof(v->own_sentence), "%s", sentence);
    a.body = alloc_printf("{\"msg\":\"%s\"}\n", sentence);
    a.body_bytes = strlen(a.body);
    visit_answer(v, &a);
}

static void answer_crowded(struct visit *v)
{
    struct answer a = {.status = 503,
                       .type = "application/json",
                       .file = -1,
                       .close = true,
                       .headers = {{"Retry-After", "1"}}};

    snprintf(v->own_sentence, sizeof(v->own_sentence), "too many requests for the memory there is");
    a.body = alloc_printf("{\"msg\":\"too many requests are under way for the memory there is "
                          "(memory_max); try again\"}\n");
    a.body_bytes = strlen(a.body);
    visit_answer(v, &a);
}

static void refuse_body(struct visit *v)
{
    char sentence[80];

    snprintf(sentence, sizeof(sentence), "the body is too large: %zu bytes are the most",
             v->body.max);
    answer_plain(v, 413, sentence);
}

/* Checked here because libmicrohttpd does not watch suspended connections. */
static bool peer_has_closed(const struct conn *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0;
}

void visit_expire(struct visit *v)
{
    struct httpd *h = httpd_of(v);
    uint64_t now_ns = clock_mono_ns();

    if (now_ns < v->late_ns && !peer_has_closed(v->conn)) {
        conn_set_phase(v->conn, CONN_ANSWER,
                       min_u64((v->late_ns - now_ns) / NS_PER_MS + 1, LOOK_MS));
        return;
    }
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
    v->conn->used = true;
    h->counts.visits++;
    conn_set_phase(v->conn, CONN_HEAD, h->options.request_s * 1000);
    httpd_head_hide_query(uri);
    return v;
}

/* The announced length of the body; UINT64_MAX if it is unknown (chunked). */
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

/* Answers requests that must be refused because of their head. */
static void inspect_head(struct visit *v, const char *method, const char *version)
{
    struct conn *c = v->conn;
    const char *flaw;

    v->head_bytes =
        MHD_get_connection_info(v->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
    if (v->head_bytes > HTTPD_HEAD_MAX_BYTES) {
        answer_plain(v, 431, "the head is too large");
        return;
    }
    flaw = httpd_head_flaw(v, method, version);
    if (flaw) {
        answer_plain(v, 400, flaw);
        return;
    }
    if (!heads_admit(c)) {
        answer_crowded(v);
        return;
    }
    if (c->slot->wants_client_cert && !c->proven) {
        c->proven = httpd_tls_client_proven(v->mhd);
        if (!c->proven)
            answer_plain(v, 403, "a client certificate of the configured authority is needed");
    }
}

void visit_drop_body(struct visit *v)
{
    if (v->billed_bytes)
        quota_give(v->bill, v->billed_bytes);
    v->billed_bytes = 0;
    buf_deinit(&v->body);
}

/* Answers a request whose body has no room on the bill. */
static void answer_full(struct visit *v)
{
    struct httpd *h = httpd_of(v);
    struct answer busy = {.status = 503, .file = -1, .headers = {{"Retry-After", "1"}}};

    if (h->options.calls->full)
        h->options.calls->full(h->options.ctx, v);
    else
        visit_answer(v, &busy);
    must(v->answered);
}

/* Makes room on the bill for a body of this many bytes. If there is none, answers and returns
 * false. */
static bool bill_body(struct visit *v, uint64_t bytes)
{
    uint64_t more = bytes > v->billed_bytes ? bytes - v->billed_bytes : 0;

    if (!v->bill || more == 0)
        return true;
    if (quota_take(v->bill, more)) {
        v->billed_bytes += more;
        return true;
    }
    answer_full(v);
    return false;
}

/* Refuses a body without reading it, if its announced length is too large. */
static void admit_body(struct visit *v, uint64_t announced)
{
    bool known = announced != UINT64_MAX;

    if (v->streams)
        return;
    if (known ? announced > v->body.max : v->body.max == 0)
        refuse_body(v);
    else if (known)
        (void)bill_body(v, announced);
}

static enum MHD_Result begin(struct visit *v, const char *method, const char *version)
{
    struct httpd *h = httpd_of(v);
    uint64_t announced;
    bool flawed;

    v->method = method;
    v->conn->phase = CONN_BODY; /* head and body share a deadline */
    v->chunked = visit_header(v, MHD_HTTP_HEADER_TRANSFER_ENCODING).p != NULL;
    announced = body_announced(v);
    v->conn->had_head = true;
    v->conn->fills_pool |= announced > 0;
    inspect_head(v, method, version);
    flawed = v->answered;
    if (!flawed) {
        v->begun = true;
        h->options.calls->head(h->options.ctx, v);
    }
    if (!v->answered)
        admit_body(v, announced);
    if (v->answered &&
        (flawed || announced > DISCARD_MAX_BYTES || visit_header(v, MHD_HTTP_HEADER_EXPECT).p ||
         (announced && conn_is_unwelcome(v->conn))))
        return queue_early(v);
    return MHD_YES;
}

static void renew_deadline(struct visit *v)
{
    if (v->got_bytes - v->renewed_bytes < PROGRESS_BYTES)
        return;
    v->renewed_bytes = v->got_bytes;
    conn_set_phase(v->conn, CONN_BODY, httpd_of(v)->options.request_s * 1000);
}

/* The number of bytes to bill for. Steps double, like the buffer's size. */
static uint64_t next_step(const struct visit *v, uint64_t bytes)
{
    if (bytes <= v->billed_bytes)
        return bytes;
    return min_u64(v->body.max, max_u64(bytes, max_u64(v->billed_bytes * 2, BILL_STEP_BYTES)));
}

static void collect(struct visit *v, struct span part)
{
    if (part.n > v->body.max - v->body.n)
        refuse_body(v);
    else if (bill_body(v, next_step(v, v->body.n + part.n)))
        buf_put(&v->body, part);
    if (v->answered)
        visit_drop_body(v);
}

static enum MHD_Result stream(struct visit *v, struct span part, size_t *left)
{
    struct httpd *h = httpd_of(v);
    size_t taken;

    v->goes_on = false;
    taken = h->options.calls->part(h->options.ctx, v, part);
    must(taken <= part.n);
    *left = v->answered ? 0 : part.n - taken; /* otherwise the rest would be kept, not dropped */
    v->got_bytes += taken;
    renew_deadline(v);
    if (*left == 0)
        return MHD_YES;
    wait_for_answer(v);
    if (v->goes_on)
        visit_continue(v);
    return MHD_YES;
}

static enum MHD_Result take_part(struct visit *v, const char *p, size_t *n)
{
    struct span part = span_of(p, *n);

    *n = 0;
    if (!httpd_head_is_chunk_sound(v, p)) {
        if (!v->answered)
            answer_plain(v, 400, "a line of the chunked body does not end as it must");
        return cut(v);
    }
    if (!v->discards && v->streams)
        return stream(v, part, n);
    if (!v->discards) {
        collect(v, part);
        return MHD_YES;
    }
    v->dropped_bytes += part.n;
    return v->dropped_bytes > DISCARD_MAX_BYTES ? cut(v) : MHD_YES;
}

enum MHD_Result visit_on_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_bytes, void **con_cls)
{
    struct httpd *h = cls;
    struct visit *v = *con_cls;

    (void)mhd;
    (void)url;
    if (v->conn->cut)
        return MHD_NO;
    if (!v->method)
        return begin(v, method, version);
    if (*upload_bytes)
        return take_part(v, upload, upload_bytes);
    if (!v->complete && !v->answered) {
        v->complete = true;
        h->options.calls->whole(h->options.ctx, v);
    }
    v->complete = true;
    return v->answered ? queue_answer(v) : wait_for_answer(v);
}

void visit_end(struct visit *v)
{
    struct httpd *h = httpd_of(v);

    visit_drop_body(v); /* while its bill is still valid */
    if (v->begun)
        h->options.calls->gone(h->options.ctx, v);
    v->conn->visit = NULL;
    if (v->response)
        MHD_destroy_response(v->response);
    free(v->target);
    free(v);
}

void visit_on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                        enum MHD_RequestTerminationCode how)
{
    struct visit *v = *con_cls;
    struct conn *c;

    (void)cls;
    if (!v)
        return;
    *con_cls = NULL;
    c = v->conn;
    /* libmicrohttpd found that the rest of the body will not come, but the answer can still be
     * sent. */
    if (v->response && how != MHD_REQUEST_TERMINATED_COMPLETED_OK && !c->cut && !c->hung_up)
        conn_cut(c);
    visit_end(v);
    /* Not for a failed connection: it may be on none of libmicrohttpd's lists any more, and setting
     * the timeout would put it on one. */
    if (c->own_timeout && how == MHD_REQUEST_TERMINATED_COMPLETED_OK) {
        MHD_set_connection_option(mhd, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
        c->own_timeout = false;
    }
    conn_rest(c);
}
