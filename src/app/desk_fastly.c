/* SPDX-License-Identifier: MIT
 * Fastly's purge API, for clients that let their base URL be set: the same requests, the same
 * shapes of answers. https://www.fastly.com/documentation/reference/api/purging/ */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "desk.h"

#define JSON_DEPTH_MAX 64
#define REPLY_KEY_BYTES 256 /* each key is answered with an id, as JSON */
#define DECODED_MAX_BYTES ((size_t)KEY_MAX_BYTES * 3)

/* -- what is asked for -- */

static const struct config_service *find_service(const struct config_account *a, struct span name)
{
    for (uint32_t i = 0; i < a->services_count; i++) {
        const struct config_service *s = &a->services[i];

        if (span_is(name, s->id) || (*s->name && span_is(name, s->name)))
            return s;
    }
    return NULL;
}

/* The account whose service is named, or NULL and refused as Fastly does. */
static const struct config_account *account_of(struct errand *e,
                                               const struct config_service **service)
{
    const struct config *c = e->in->config;

    for (uint32_t i = 0; i < c->accounts_count; i++) {
        const struct config_account *a = &c->accounts[i];

        *service = gate_may_account(e->who, a) ? find_service(a, e->parts[0]) : NULL;
        if (*service && gate_may_service(e->who, *service))
            return a;
    }
    errand_refuse(e, 404, "Cannot find service");
    return NULL;
}

/* Purgeline-Lane is ours, for who can add a header; false when refused. */
static bool begin(struct errand *e, const struct config_service *service)
{
    struct jobform *f = &e->in->form;
    struct span lane = visit_header(e->visit, "Purgeline-Lane");

    jobform_clear(f, LANE_NORMAL);
    f->takes_account = false;
    if (lane.p && lane_parse(lane, &f->lane) < 0) {
        errand_refuse(e, 400, "Purgeline-Lane: expected urgent, normal or bulk");
        return false;
    }
    if (service)
        jobform_put(f, "service", span_str(service->id));
    return true;
}

/* "The value is not important": the header's presence is what makes a purge soft. */
static void take_soft(struct errand *e)
{
    if (visit_header(e->visit, "Fastly-Soft-Purge").p)
        jobform_put(&e->in->form, "soft", SPAN("1"));
}

/* -- one target -- */

static void on_one(void *ctx, const struct intray_result *r)
{
    struct errand *e = ctx;

    if (r->outcome == INTRAY_ACCEPTED)
        errand_say(e, 200, "{\"status\": \"ok\", \"id\": \"%s\"}", r->job);
    else
        desk_refuse_put(e, r);
    errand_drop(e);
}

static void push_one(struct errand *e, const struct config_account *a)
{
    struct job_spec spec;

    if (desk_admit(e, a, &e->in->form, &spec))
        desk_push(e, a, &e->in->form, NULL, on_one);
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Some clients escape the key as a part of a path, others send it as it is. What is no escape stays
 * as it came. */
static void unescape(struct span s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        int high = s.p[i] == '%' && i + 2 < s.n ? hex(s.p[i + 1]) : -1;
        int low = high >= 0 ? hex(s.p[i + 2]) : -1;

        buf_putc(out, low >= 0 ? (char)(high * 16 + low) : s.p[i]);
        i += low >= 0 ? 2 : 0;
    }
}

static struct span without_query(struct span s)
{
    const char *mark = s.n ? memchr(s.p, '?', s.n) : NULL;

    return mark ? span_of(s.p, (size_t)(mark - s.p)) : s;
}

void desk_fastly_key(struct errand *e)
{
    const struct config_service *service;
    const struct config_account *a = account_of(e, &service);
    struct span part = without_query(e->parts[1]);
    struct buf key;
    char err[300];
    int rc;

    if (!a || !begin(e, service))
        return;
    if (part.n > DECODED_MAX_BYTES) {
        errand_refuse(e, 400, "keys: longer than 1024 bytes");
        return;
    }
    buf_init(&key, DECODED_MAX_BYTES);
    unescape(part, &key);
    /* Not as a list: a space in it is an error, not two keys. */
    rc = jobform_add_key(&e->in->form, buf_span(&key), err, sizeof(err));
    buf_deinit(&key);
    if (rc < 0) {
        errand_refuse(e, 400, err);
        return;
    }
    take_soft(e);
    push_one(e, a);
}

static void push_url(struct errand *e, struct span url)
{
    const struct config_account *a;
    char err[300];

    if (!begin(e, NULL))
        return;
    if (jobform_add_targets(&e->in->form, JOBFORM_URL, url, err, sizeof(err)) < 0) {
        errand_refuse(e, 400, err);
        return;
    }
    take_soft(e);
    a = errand_account(e, visit_header(e->visit, "Purgeline-Account"));
    if (a)
        push_one(e, a);
}

void desk_fastly_url(struct errand *e)
{
    push_url(e, e->parts[0]);
}

/* Clients that purge the site itself, sent here by its DNS or as to a proxy. */
void desk_fastly_site(struct errand *e)
{
    struct span target = visit_target(e->visit), host = visit_header(e->visit, "Host");
    struct buf url;

    if (target.n && *target.p != '/') {
        push_url(e, target);
        return;
    }
    if (host.n == 0) {
        errand_refuse(e, 400, "Host: missing");
        return;
    }
    buf_init(&url, (size_t)HTTPD_HEAD_MAX_BYTES * 2);
    buf_put(&url, host);
    buf_put(&url, target);
    push_url(e, buf_span(&url));
    buf_deinit(&url);
}

void desk_fastly_all(struct errand *e)
{
    const struct config_service *service;
    const struct config_account *a = account_of(e, &service);

    if (!a || !begin(e, service))
        return;
    if (!a->allow_purge_all) {
        errand_refuse(e, 403, "all: purge-all is not allowed for this account (allow_purge_all)");
        return;
    }
    jobform_put(&e->in->form, "all",
                SPAN("1")); /* a soft one there is not; the header is ignored */
    push_one(e, a);
}

/* -- many keys -- */

struct adding {
    struct jobform *form;
    int rc;
    char *err;
    size_t err_room;
};

static void add_header(void *ctx, struct span value)
{
    struct adding *a = ctx;
    struct span rest = value, key;

    while (a->rc == 0 && span_next_word(&rest, ' ', &key))
        a->rc = jobform_add_key(a->form, key, a->err, a->err_room);
}

/* {"surrogate_keys": [...]} whatever the Content-Type says. A body that is no JSON at all is passed
 * over when the header names keys: old clients send forms. */
static void add_body(struct adding *a, struct span body)
{
    const char *flaw = desk_json_flaw(body, JSON_DEPTH_MAX);
    json_t *doc = NULL, *keys;
    json_error_t where = {.text = ""};

    if (flaw)
        snprintf(where.text, sizeof(where.text), "%s", flaw);
    else
        doc = json_loadb(body.p, body.n, JSON_DECODE_ANY, &where);
    keys = json_object_get(doc, "surrogate_keys");
    if (body.n && !doc && a->form->targets == 0) {
        snprintf(a->err, a->err_room, "surrogate_keys: the body is no JSON: %s", where.text);
        a->rc = -EINVAL;
    }
    if (keys && !json_is_array(keys) && !json_is_null(keys)) {
        snprintf(a->err, a->err_room, "surrogate_keys: expected a list");
        a->rc = -EINVAL;
    }
    for (size_t i = 0; a->rc == 0 && i < json_array_size(keys); i++) {
        const json_t *key = json_array_get(keys, i);

        a->rc = jobform_add_key(a->form, span_of(json_string_value(key), json_string_length(key)),
                                a->err, a->err_room);
    }
    json_decref(doc);
}

static void end_keys(struct errand *e)
{
    free(e->state);
}

/* Every key comes back with an id of its own: clients look each of theirs up. */
static void on_keys(void *ctx, const struct intray_result *r)
{
    struct errand *e = ctx;
    struct span rest = span_str(e->state), key;
    json_t *reply;
    char name[KEY_MAX_BYTES + 1], id[96];
    unsigned n = 0;

    if (r->outcome != INTRAY_ACCEPTED) {
        desk_refuse_put(e, r);
        errand_drop(e);
        return;
    }
    reply = json_object();
    while (span_next_word(&rest, ' ', &key)) {
        snprintf(name, sizeof(name), "%.*s", (int)key.n, key.p);
        snprintf(id, sizeof(id), "%s-%u", r->job, ++n);
        json_object_set_new(reply, name, json_string(id));
    }
    errand_say_json(e, 200, reply);
    errand_drop(e);
}

void desk_fastly_keys(struct errand *e)
{
    const struct config_service *service;
    const struct config_account *a = account_of(e, &service);
    struct jobform *f = &e->in->form;
    char err[300];
    struct adding adding = {f, 0, err, sizeof(err)};
    struct job_spec spec;

    if (!a || !begin(e, service))
        return;
    visit_headers_named(e->visit, "Surrogate-Key", add_header, &adding);
    if (adding.rc == 0)
        add_body(&adding, visit_body(e->visit));
    if (adding.rc == 0 && f->targets == 0) {
        snprintf(err, sizeof(err), "no surrogate keys: neither a header nor surrogate_keys");
        adding.rc = -EINVAL;
    }
    if (adding.rc < 0) {
        errand_refuse(e, 400, err);
        return;
    }
    take_soft(e);
    if (!desk_admit(e, a, f, &spec) ||
        !errand_take(e, 3 * f->keys.n + f->targets * REPLY_KEY_BYTES))
        return;
    e->state = alloc_copy(f->keys.p, f->keys.n);
    e->end = end_keys;
    desk_push(e, a, f, NULL, on_keys);
}

/* -- what clients ask before they purge -- */

static bool may_all(const struct errand *e)
{
    const struct config *c = e->in->config;
    bool allowed = false;

    for (uint32_t i = 0; i < c->accounts_count; i++)
        allowed |= c->accounts[i].allow_purge_all && gate_may_account(e->who, &c->accounts[i]);
    return allowed && (e->who->kinds & PRODUCER_ALL);
}

typedef void each_service_cb(json_t *list, const struct config_account *a,
                             const struct config_service *s);

static json_t *services(const struct errand *e, each_service_cb *add)
{
    const struct config *c = e->in->config;
    json_t *list = json_array();

    for (uint32_t i = 0; i < c->accounts_count; i++) {
        const struct config_account *a = &c->accounts[i];

        for (uint32_t k = 0; gate_may_account(e->who, a) && k < a->services_count; k++)
            if (gate_may_service(e->who, &a->services[k]))
                add(list, a, &a->services[k]);
    }
    return list;
}

static void add_id(json_t *list, const struct config_account *a, const struct config_service *s)
{
    (void)a;
    json_array_append_new(list, json_string(s->id));
}

static json_t *service_json(const struct config_account *a, const struct config_service *s)
{
    return json_pack("{sssssssss[]}", "id", s->id, "name", *s->name ? s->name : s->id,
                     "customer_id", a->name, "type", "vcl", "versions");
}

static void add_whole(json_t *list, const struct config_account *a, const struct config_service *s)
{
    json_array_append_new(list, service_json(a, s));
}

/* https://www.fastly.com/documentation/reference/api/auth-tokens/user/ */
void desk_fastly_token(struct errand *e)
{
    bool all = may_all(e);
    json_t *scopes =
        all ? json_pack("[ss]", "purge_select", "purge_all") : json_pack("[s]", "purge_select");

    errand_say_json(e, 200,
                    json_pack("{sssssssssnsssossso}", "id", e->who->name, "user_id", e->who->name,
                              "customer_id", "purgeline", "name", e->who->name, "expires_at",
                              "created_at", "1970-01-01T00:00:00Z", "scopes", scopes, "scope",
                              all ? "purge_select purge_all" : "purge_select", "services",
                              services(e, add_id)));
}

/* https://www.fastly.com/documentation/reference/api/account/user/ */
void desk_fastly_user(struct errand *e)
{
    errand_say_json(e, 200,
                    json_pack("{ssssssssss}", "id", e->who->name, "login", e->who->name, "name",
                              e->who->name, "customer_id", "purgeline", "role",
                              may_all(e) ? "engineer" : "user"));
}

void desk_fastly_services(struct errand *e)
{
    errand_say_json(e, 200, services(e, add_whole));
}

void desk_fastly_service(struct errand *e)
{
    const struct config_service *service;
    const struct config_account *a = account_of(e, &service);

    if (a)
        errand_say_json(e, 200, service_json(a, service));
}
