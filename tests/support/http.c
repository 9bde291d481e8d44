/* SPDX-License-Identifier: MIT */
#include "http.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "alloc.h"
#include "buf.h"
#include "clock.h"
#include "list.h"

#define PATIENCE_MS 60000L
#define REPLY_MAX_BYTES ((size_t)64 * 1024 * 1024)

struct http {
    struct list link; /* on the list `opened` */
    char *base, *ca_file;
    CURLM *multi;
    struct list calls;
    size_t under_way;
    struct http_call *last; /* started by http_do */
};

struct http_call {
    struct list link;
    struct http *http;
    CURL *curl;
    struct curl_slist *headers;
    char *url, *target, *body;
    struct buf head_bytes, body_bytes;
    struct http_reply reply;
    bool over, told; /* told: already returned by http_next */
    void *ctx;
};

/* All clients. Those of a failed test, which never closed them, are still reachable and so not
 * reported as leaks. */
static struct list opened = {&opened, &opened};

struct http *http_open(const char *base, const char *ca_file)
{
    struct http *h = alloc_zeroed(1, sizeof(*h));

    h->base = alloc_str(base);
    h->ca_file = ca_file ? alloc_str(ca_file) : NULL;
    h->multi = curl_multi_init();
    must(h->multi);
    list_init(&h->calls);
    list_push_back(&opened, &h->link);
    return h;
}

void http_close(struct http *h)
{
    if (!h)
        return;
    while (!list_empty(&h->calls))
        http_drop(list_entry(h->calls.next, struct http_call, link));
    curl_multi_cleanup(h->multi);
    list_remove(&h->link);
    free(h->ca_file);
    free(h->base);
    free(h);
}

const char *http_base(const struct http *h)
{
    return h->base;
}

struct http *http_of(struct rig *r, unsigned n, const char *scheme, const char *ca_file)
{
    char *address = instance_said_last(&r->instances[n], "The HTTP endpoint listens", "address=");
    char *base = alloc_printf("%s://%s", scheme, address);
    struct http *h = http_open(base, ca_file);

    free(base);
    free(address);
    return h;
}

struct http *http_serve(struct rig *r, unsigned n)
{
    struct instance *i = &r->instances[n];
    size_t before = i->log ? instance_said(i, "The HTTP endpoint listens") : 0;
    struct http *h;

    rig_start_leading(r, n);
    instance_await_said(i, "The HTTP endpoint listens", before + 1);
    h = http_of(r, n, "http", NULL);
    await_until(-1, AWAIT_PATIENCE_MS, http_do(h, "GET", "/readyz", NULL, NULL)->status == 200);
    return h;
}

/* -- one request -- */

static size_t keep(char *p, size_t size, size_t n, void *ctx)
{
    return buf_try_put(ctx, span_of(p, size * n)) == 0 ? size * n : 0;
}

/* Keeps only the lines of the last head, because a 100 response may come before it. */
static size_t keep_head(char *p, size_t size, size_t n, void *ctx)
{
    if (size * n > 5 && memcmp(p, "HTTP/", 5) == 0)
        buf_clear(ctx);
    return keep(p, size, n, ctx);
}

static void set_options(struct http_call *c, const char *method)
{
    CURL *curl = c->curl;

    curl_easy_setopt(curl, CURLOPT_URL, c->url);
    curl_easy_setopt(curl, CURLOPT_REQUEST_TARGET, c->target);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, PATIENCE_MS);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, PATIENCE_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &c->body_bytes);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, keep_head);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &c->head_bytes);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(curl, CURLOPT_CAINFO, c->http->ca_file);
    curl_easy_setopt(curl, CURLOPT_PRIVATE, c);
    if (strcmp(method, "POST") == 0 || c->body) {
        /* Without a body, a POST has Content-Length: 0 and no Content-Type. */
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, c->body ? c->body : "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, c->body ? (long)strlen(c->body) : 0L);
    }
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    else if (strcmp(method, "POST") != 0)
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

static struct http_call *begin(struct http *h, const char *method, const char *target,
                               const char *body, va_list headers)
{
    struct http_call *c = alloc_zeroed(1, sizeof(*c));
    const char *header;
    int running;

    c->http = h;
    c->url = alloc_printf("%s/", h->base);
    c->target = alloc_str(target);
    c->body = body ? alloc_str(body) : NULL;
    buf_init(&c->head_bytes, REPLY_MAX_BYTES);
    buf_init(&c->body_bytes, REPLY_MAX_BYTES);
    c->curl = curl_easy_init();
    must(c->curl);
    /* Removes the headers that curl adds, so that the test decides what is sent. */
    c->headers = curl_slist_append(NULL, "Expect:");
    while ((header = va_arg(headers, const char *)))
        c->headers = curl_slist_append(c->headers, header);
    set_options(c, method);
    list_push_back(&h->calls, &c->link);
    h->under_way++;
    must(curl_multi_add_handle(h->multi, c->curl) == CURLM_OK);
    must(curl_multi_perform(h->multi, &running) == CURLM_OK);
    return c;
}

void http_drop(struct http_call *c)
{
    struct http *h = c->http;

    if (!c->over) {
        curl_multi_remove_handle(h->multi, c->curl);
        h->under_way--;
    }
    if (h->last == c)
        h->last = NULL;
    list_remove(&c->link);
    curl_easy_cleanup(c->curl);
    curl_slist_free_all(c->headers);
    json_decref(c->reply.json);
    buf_deinit(&c->head_bytes);
    buf_deinit(&c->body_bytes);
    free(c->url);
    free(c->target);
    free(c->body);
    free(c);
}

static void finish(struct http_call *c, CURLcode code)
{
    struct http_reply *r = &c->reply;
    long status = 0;

    c->over = true;
    c->http->under_way--;
    curl_multi_remove_handle(c->http->multi, c->curl);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    r->status = code == CURLE_OK ? (int)status : 0;
    r->why = curl_easy_strerror(code);
    buf_putc(&c->head_bytes, '\0');
    buf_putc(&c->body_bytes, '\0');
    r->head = c->head_bytes.p;
    for (char *p = r->head; (p = strstr(p, "\r\n")); p += 2)
        p[0] = p[1] = '\0';
    r->body = c->body_bytes.p;
    r->body_bytes = c->body_bytes.n - 1;
    r->json = json_loadb(r->body, r->body_bytes, 0, NULL);
}

/* Collects the requests that curl has finished. */
static void look(struct http *h)
{
    struct http_call *c = NULL;
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(h->multi, &left))) {
        must(m->msg == CURLMSG_DONE);
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c);
        finish(c, m->data.result);
    }
}

void http_run(struct http *h, int wait_ms)
{
    int running;

    must(curl_multi_poll(h->multi, NULL, 0, wait_ms, NULL) == CURLM_OK);
    must(curl_multi_perform(h->multi, &running) == CURLM_OK);
}

/* Bodies of at most this size fit into the buffer of any socket, even if the peer does not read. */
#define SENT_BYTES ((curl_off_t)16 * 1024)

static bool is_sent(struct http_call *c)
{
    curl_off_t wanted = c->body ? (curl_off_t)strlen(c->body) : 0, uploaded = 0;
    long head = 0;

    curl_easy_getinfo(c->curl, CURLINFO_REQUEST_SIZE, &head);
    curl_easy_getinfo(c->curl, CURLINFO_SIZE_UPLOAD_T, &uploaded);
    return head > 0 && uploaded >= (wanted < SENT_BYTES ? wanted : SENT_BYTES);
}

static struct http_call *untold(struct http *h)
{
    struct list *node;

    for (node = h->calls.next; node != &h->calls; node = node->next) {
        struct http_call *c = list_entry(node, struct http_call, link);

        if (c->over && !c->told)
            return c;
    }
    return NULL;
}

struct http_call *http_next(struct http *h)
{
    struct http_call *c;

    for (look(h); !(c = untold(h)); look(h)) {
        must(h->under_way > 0);
        http_run(h, 1000);
    }
    c->told = true;
    return c;
}

struct http_call *http_begin(struct http *h, const char *method, const char *target,
                             const char *body, ...)
{
    struct http_call *c;
    va_list headers;

    va_start(headers, body);
    c = begin(h, method, target, body, headers);
    va_end(headers);
    return c;
}

static bool all_sent(struct http *h)
{
    struct list *node;

    for (node = h->calls.next; node != &h->calls; node = node->next) {
        struct http_call *c = list_entry(node, struct http_call, link);

        if (!c->over && !is_sent(c))
            return false;
    }
    return true;
}

void http_await_sent(struct http *h)
{
    for (look(h); !all_sent(h); look(h))
        http_run(h, 1000);
}

static const struct http_reply *wait_for(struct http_call *c)
{
    struct http *h = c->http;

    for (look(h); !c->over; look(h))
        http_run(h, 1000);
    c->told = true;
    h->last = c;
    return &c->reply;
}

const struct http_reply *http_do(struct http *h, const char *method, const char *target,
                                 const char *body, ...)
{
    struct http_call *c;
    va_list headers;

    if (h->last)
        http_drop(h->last);
    va_start(headers, body);
    c = begin(h, method, target, body, headers);
    va_end(headers);
    return wait_for(c);
}

static void show(const struct http_reply *r)
{
    fprintf(stderr, "--- %d %s\n", r->status, r->status ? "" : r->why);
    for (const char *p = r->head; *p; p += strlen(p) + 2)
        fprintf(stderr, "%s\n", p);
    fprintf(stderr, "\n%.2000s\n---\n", r->body);
}

const struct http_reply *http_expect(struct http *h, int status, const char *method,
                                     const char *target, const char *body, ...)
{
    struct http_call *c;
    va_list headers;

    if (h->last)
        http_drop(h->last);
    va_start(headers, body);
    c = begin(h, method, target, body, headers);
    va_end(headers);
    wait_for(c);
    if (c->reply.status != status)
        show(&c->reply);
    assert_int_equal(c->reply.status, status);
    return &c->reply;
}

const struct http_reply *http_call_reply(const struct http_call *c)
{
    must(c->over);
    return &c->reply;
}

void *http_call_ctx(const struct http_call *c)
{
    return c->ctx;
}

void http_call_set_ctx(struct http_call *c, void *ctx)
{
    c->ctx = ctx;
}

/* -- reading a reply -- */

const char *http_header(const struct http_reply *r, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = r->head; *p; p += strlen(p) + 2)
        if (strncasecmp(p, name, n) == 0 && p[n] == ':')
            return p + n + 1 + strspn(p + n + 1, " ");
    return NULL;
}

const char *http_text(const struct http_reply *r, const char *member)
{
    const char *text = json_string_value(json_object_get(r->json, member));

    return text ? text : "";
}

long long http_number(const struct http_reply *r, const char *member)
{
    const json_t *value = json_object_get(r->json, member);

    return json_is_integer(value) ? json_integer_value(value) : -1;
}

void http_assert_text(const struct http_reply *r, const char *member, const char *text)
{
    if (strcmp(http_text(r, member), text) != 0)
        show(r);
    assert_string_equal(http_text(r, member), text);
}

void http_assert_has(const struct http_reply *r, const char *part)
{
    if (!strstr(r->body, part))
        show(r);
    assert_non_null(strstr(r->body, part));
}
