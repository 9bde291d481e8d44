/* SPDX-License-Identifier: MIT
 * Fastly's purge API, for clients with a configurable base URL: same requests, same format of
 * replies. https://www.fastly.com/documentation/reference/api/purging/ */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "http_internal.h"
#include "json_text.h"
#include "overview_cache.h"
#include "query.h"

#define JSON_DEPTH_MAX 64
#define REPLY_KEY_BYTES 256 /* the reply has an id for each key, as JSON */
#define DECODED_MAX_BYTES ((size_t)KEY_MAX_BYTES * 3)

/* -- service and options -- */

static const struct config_service *find_service(const struct config_account *a, struct span name)
{
    for (uint32_t i = 0; i < a->services_count; i++) {
        const struct config_service *s = &a->services[i];

        if (span_is(name, s->id) || (*s->name && span_is(name, s->name)))
            return s;
    }
    return NULL;
}

const struct config_account *api_fastly_account(struct request *e,
                                                const struct config_service **service)
{
    const struct config *c = e->config;

    for (uint32_t i = 0; i < c->accounts_count; i++) {
        const struct config_account *a = &c->accounts[i];

        *service = auth_may_account(e->who, a) ? find_service(a, e->parts[0]) : NULL;
        if (*service && auth_may_service(e->who, *service))
            return a;
    }
    request_refuse(e, 404, "Cannot find service");
    return NULL;
}

/* Purgeline-Lane is our own header, for clients that can send one. False if the request was
 * refused. */
static bool begin_form(struct request *e, const struct config_service *service)
{
    struct jobform *f = &e->in->form;
    struct span lane = visit_header(e->visit, "Purgeline-Lane");

    jobform_clear(f, LANE_NORMAL);
    f->takes_account = false;
    if (lane.p && lane_parse(lane, &f->lane) < 0) {
        request_refuse(e, 400, "Purgeline-Lane: expected urgent, normal or bulk");
        return false;
    }
    if (service)
        jobform_put(f, "service", span_str(service->id));
    return true;
}

/* "The value is not important": the header's presence is what makes a purge soft. */
static void take_soft(struct request *e)
{
    if (visit_header(e->visit, "Fastly-Soft-Purge").p)
        jobform_put(&e->in->form, "soft", SPAN("1"));
}

/* -- one target -- */

static void on_one(void *ctx, const struct submit_result *r)
{
    struct request *e = ctx;

    if (r->outcome == SUBMIT_ACCEPTED)
        request_say(e, 200, "{\"status\": \"ok\", \"id\": \"%s\"}", r->job);
    else
        api_refuse_put(e, r);
    request_drop(e);
}

static void push_one(struct request *e, const struct config_account *a)
{
    struct job_spec spec;

    if (api_admit(e, a, &e->in->form, &spec))
        api_push(e, a, &e->in->form, NULL, on_one);
}

void api_fastly_key(struct request *e)
{
    const struct config_service *service;
    const struct config_account *a = api_fastly_account(e, &service);
    struct span part = url_without_query(e->parts[1]);
    struct buf key;
    struct error err;
    int rc;

    if (!a || !begin_form(e, service))
        return;
    if (part.n > DECODED_MAX_BYTES) {
        request_refuse(e, 400, "keys: longer than 1024 bytes");
        return;
    }
    buf_init(&key, DECODED_MAX_BYTES);
    /* Some clients percent-encode the key as a path segment, others send it unchanged. */
    query_unescape(part, &key);
    /* Added as one key, not as a list: a space in it is an error and does not separate two keys. */
    rc = jobform_add_key(&e->in->form, buf_span(&key), &err);
    buf_deinit(&key);
    if (rc < 0) {
        request_refuse(e, 400, err.text);
        return;
    }
    take_soft(e);
    push_one(e, a);
}

static void push_url(struct request *e, struct span url)
{
    const struct config_account *a;
    struct error err;

    if (!begin_form(e, NULL))
        return;
    if (jobform_add_targets(&e->in->form, JOBFORM_URL, url, &err) < 0) {
        request_refuse(e, 400, err.text);
        return;
    }
    take_soft(e);
    a = request_account(e, visit_header(e->visit, "Purgeline-Account"));
    if (a)
        push_one(e, a);
}

static bool starts_with_escaped_scheme(struct span url)
{
    static const char *const schemes[] = {"https:%2f%2f", "https%3a%2f%2f", "http:%2f%2f",
                                          "http%3a%2f%2f"};

    for (size_t i = 0; i < array_len(schemes); i++)
        if (span_starts_nocase(url, schemes[i]))
            return true;
    return false;
}

/* Whether the URL was percent-encoded as one path segment: its scheme is followed by escaped
 * slashes, it contains no slash, '?' or '#', and every '%' begins an escape. A URL that was not
 * encoded never looks like that, so a %2F that belongs to the URL is not decoded by mistake. */
static bool is_escaped_whole(struct span url)
{
    if (!starts_with_escaped_scheme(url))
        return false;
    for (size_t i = 0; i < url.n; i++) {
        if (url.p[i] == '/' || url.p[i] == '?' || url.p[i] == '#')
            return false;
        if (url.p[i] == '%' && query_escaped(span_of(url.p + i, url.n - i)) < 0)
            return false;
    }
    return true;
}

void api_fastly_url(struct request *e)
{
    struct buf url;

    if (!is_escaped_whole(e->parts[0])) {
        push_url(e, e->parts[0]);
        return;
    }
    buf_init(&url, HTTPD_HEAD_MAX_BYTES);
    query_unescape(e->parts[0], &url);
    push_url(e, buf_span(&url));
    buf_deinit(&url);
}

/* Headers with which modules for Varnish ask it to purge every page that matches a pattern. Without
 * them the request would be taken for the purge of the URL that it was sent to. X-Magento-Tags-
 * Pattern and X-Pool: the configuration that Magento has for Varnish,
 * https://github.com/magento/magento2/blob/2.4-develop/app/code/Magento/PageCache/etc/varnish7.vcl
 * X-Purge-Method: WP Rocket, inc/functions/varnish.php of https://github.com/wp-media/wp-rocket */
static const struct pattern_header {
    const char *name, *value; /* value: NULL for any */
} pattern_headers[] = {
    {"X-Magento-Tags-Pattern", NULL}, {"X-Pool", NULL}, {"X-Purge-Method", "regex"}};

static bool refuse_pattern(struct request *e)
{
    for (size_t i = 0; i < array_len(pattern_headers); i++) {
        const struct pattern_header *h = &pattern_headers[i];
        struct span value = visit_header(e->visit, h->name);
        char why[300];

        if (!value.p || (h->value && !span_eq_nocase(value, span_str(h->value))))
            continue;
        snprintf(why, sizeof(why),
                 "%s: Fastly cannot purge what matches a pattern: purge surrogate keys, a URL or "
                 "the whole service instead. Fastly's own modules for Magento and WordPress do so",
                 h->name);
        request_refuse(e, 400, why);
        return true;
    }
    return false;
}

/* For clients that send PURGE to the site itself and reach us through its DNS or use us as a
 * proxy. */
void api_fastly_site(struct request *e)
{
    struct span target = visit_target(e->visit), host = visit_header(e->visit, "Host");
    struct buf url;

    if (refuse_pattern(e))
        return;
    if (target.n && *target.p != '/') {
        push_url(e, target);
        return;
    }
    if (host.n == 0) {
        request_refuse(e, 400, "Host: missing");
        return;
    }
    buf_init(&url, (size_t)HTTPD_HEAD_MAX_BYTES * 2);
    buf_put(&url, host);
    buf_put(&url, target);
    push_url(e, buf_span(&url));
    buf_deinit(&url);
}

/* -- purge-all -- */

struct rate_limit_text {
    char remaining[24], reset[24];
};

/* Sets headers with what remains, after this request, of the rate limit that a purge-all counts
 * against, and the time when the window that it opens ends. Clients parse both as whole numbers, so
 * the headers are left out if these are unknown.
 * https://www.fastly.com/documentation/reference/api/#rate-limiting */
static void say_rate_limit(struct request *e, const struct config_account *a,
                           struct rate_limit_text *text, struct answer_header headers[2])
{
    const struct overview_cache_account *s =
        overview_cache_of(e->in->overviews, a, clock_mono_ns());
    uint64_t left = s->writes_left, reset_s = clock_wall_ms() / 1000 + a->writes.per_s + 1;

    if (!s->known || !s->overview.leader || !s->writes_known)
        return;
    snprintf(text->remaining, sizeof(text->remaining), "%" PRIu64, left ? left - 1 : 0);
    snprintf(text->reset, sizeof(text->reset), "%" PRIu64, reset_s);
    headers[0] = (struct answer_header){"Fastly-RateLimit-Remaining", text->remaining};
    headers[1] = (struct answer_header){"Fastly-RateLimit-Reset", text->reset};
}

/* The same reply as Fastly's: it contains no id. */
static void on_all(void *ctx, const struct submit_result *r)
{
    struct request *e = ctx;
    struct answer_header headers[4] = {{"Cache-Control", "no-store"}};
    struct rate_limit_text text;

    if (r->outcome == SUBMIT_ACCEPTED) {
        say_rate_limit(e, e->state, &text, headers + 1);
        request_say_with(e, 200, json_pack("{so}", "status", json_text_of("ok")), headers);
    } else {
        api_refuse_put(e, r);
    }
    request_drop(e);
}

void api_fastly_all(struct request *e)
{
    const struct config_service *service;
    const struct config_account *a = api_fastly_account(e, &service);
    struct job_spec spec;

    if (!a || !begin_form(e, service))
        return;
    if (!a->allow_purge_all) {
        request_refuse(e, 403, "all: purge-all is not allowed for this account (allow_purge_all)");
        return;
    }
    /* There is no soft purge-all: the header is ignored. */
    jobform_put(&e->in->form, "all", SPAN("1"));
    if (!api_admit(e, a, &e->in->form, &spec))
        return;
    e->state = (void *)a;
    api_push(e, a, &e->in->form, NULL, on_all);
}

/* -- many keys -- */

struct adding {
    struct request *request;
    struct jobform *form;
    int rc;
    struct error *err;
};

static void add_header(void *ctx, struct span value)
{
    struct adding *a = ctx;
    struct span rest = value, key;

    while (a->rc == 0 && span_next_word(&rest, ' ', &key))
        a->rc = jobform_add_key(a->form, key, a->err);
}

/* Reads {"surrogate_keys": [...]}, whatever the Content-Type is. A body that is not JSON is ignored
 * if the header names keys, because old clients send forms. */
static void add_body(struct adding *a)
{
    struct span body = visit_body(a->request->visit);
    bool empty = body.n == 0;
    const char *flaw = api_json_job_flaw(body, JSON_DEPTH_MAX);
    json_t *doc = NULL, *keys;
    json_error_t where = {.text = ""};

    if (flaw)
        snprintf(where.text, sizeof(where.text), "%s", flaw);
    else
        doc = json_loadb(body.p, body.n, JSON_DECODE_ANY, &where);
    visit_drop_body(a->request->visit); /* before the form needs as much memory */
    keys = json_object_get(doc, "surrogate_keys");
    if (!empty && !doc && a->form->targets == 0) {
        a->rc = error_set(a->err, -EINVAL, "surrogate_keys: the body is not JSON: %s", where.text);
    }
    if (keys && !json_is_array(keys) && !json_is_null(keys)) {
        a->rc = error_set(a->err, -EINVAL, "surrogate_keys: expected a list");
    }
    for (size_t i = 0; a->rc == 0 && i < json_array_size(keys); i++) {
        const json_t *key = json_array_get(keys, i);

        a->rc = jobform_add_key(a->form, span_of(json_string_value(key), json_string_length(key)),
                                a->err);
    }
    json_decref(doc);
}

static void end_keys(struct request *e)
{
    free(e->state);
}

/* The reply has an id of its own for every key, because clients look up each of their keys. */
static void on_keys(void *ctx, const struct submit_result *r)
{
    struct request *e = ctx;
    struct span rest = span_str(e->state), key;
    json_t *reply;
    char name[KEY_MAX_BYTES + 1], id[96], count[24];
    struct answer_header headers[] = {{"Fastly-Surrogate-Key-Count", count}, {NULL, NULL}};
    unsigned n = 0;

    if (r->outcome != SUBMIT_ACCEPTED) {
        api_refuse_put(e, r);
        request_drop(e);
        return;
    }
    reply = json_object();
    while (span_next_word(&rest, ' ', &key)) {
        snprintf(name, sizeof(name), "%.*s", (int)key.n, key.p);
        snprintf(id, sizeof(id), "%s-%u", r->job, ++n);
        json_object_set_new(reply, name, json_text_of(id));
    }
    snprintf(count, sizeof(count), "%zu", json_object_size(reply));
    request_say_with(e, 200, reply, headers);
    request_drop(e);
}

void api_fastly_keys(struct request *e)
{
    const struct config_service *service;
    const struct config_account *a = api_fastly_account(e, &service);
    struct jobform *f = &e->in->form;
    struct error err;
    struct adding adding = {e, f, 0, &err};
    struct job_spec spec;

    if (!a || !begin_form(e, service))
        return;
    visit_headers_named(e->visit, "Surrogate-Key", add_header, &adding);
    if (adding.rc == 0)
        add_body(&adding);
    if (adding.rc == 0 && f->targets == 0) {
        error_set(&err, -EINVAL, "no surrogate keys: neither a header nor surrogate_keys");
        adding.rc = -EINVAL;
    }
    if (adding.rc < 0) {
        request_refuse(e, 400, err.text);
        return;
    }
    take_soft(e);
    if (!api_admit(e, a, f, &spec) ||
        !request_take(e, 3 * f->keys.n + f->targets * REPLY_KEY_BYTES))
        return;
    e->state = alloc_copy(f->keys.p, f->keys.n);
    e->end = end_keys;
    api_push(e, a, f, NULL, on_keys);
}
