/* SPDX-License-Identifier: MIT
 * The console, a web page at /console, and GET /v1/self, which tells the page whom it serves. The
 * page is only files of the program, so it needs no token; what it shows comes from the API, which
 * does. It takes scripts, styles and data only from here:
 * https://www.w3.org/TR/CSP3/ */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "console.h"
#include "http_internal.h"
#include "json_text.h"

#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "                \
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/* -- the files -- */

static const struct console_file *find_file(struct span name)
{
    for (size_t i = 0; i < console_files_count; i++)
        if (span_is(name, console_files[i].name))
            return &console_files[i];
    return NULL;
}

struct etag_search {
    const char *etag;
    bool found;
};

/* If-None-Match compares weakly: W/"x" is "x". RFC 9110 section 13.1.2. */
static void on_if_none_match(void *ctx, struct span value)
{
    struct etag_search *s = ctx;
    struct span one;

    while (span_next_word(&value, ',', &one)) {
        one = span_trim(one);
        if (one.n > 2 && memcmp(one.p, "W/", 2) == 0)
            one = span_of(one.p + 2, one.n - 2);
        s->found |= span_is(one, "*") || span_is(one, s->etag);
    }
}

static void say_file(struct request *e, const struct console_file *f)
{
    struct etag_search s = {.etag = f->etag};
    struct answer a = {.status = 200, .type = f->type, .file = -1};
    const struct answer_header headers[] = {{"Content-Security-Policy", POLICY},
                                            {"X-Content-Type-Options", "nosniff"},
                                            {"Referrer-Policy", "no-referrer"},
                                            {"Cross-Origin-Opener-Policy", "same-origin"},
                                            {"Cross-Origin-Resource-Policy", "same-origin"},
                                            {"Cache-Control", "no-cache"},
                                            {"ETag", f->etag}};

    _Static_assert(array_len(headers) <= ANSWER_HEADERS_MAX, "room for the headers");
    memcpy(a.headers, headers, sizeof(headers));
    visit_headers_named(e->visit, "If-None-Match", on_if_none_match, &s);
    if (s.found) {
        a.status = 304;
        a.type = NULL;
    } else if (request_take(e, f->size)) {
        a.body = alloc_zeroed(1, f->size);
        memcpy(a.body, f->bytes, f->size);
        a.body_bytes = f->size;
    } else {
        return; /* refused */
    }
    request_answer(e, &a);
}

static void serve_file(struct request *e, struct span name)
{
    const struct console_file *f = e->config->http.console ? find_file(name) : NULL;

    if (f)
        say_file(e, f);
    else if (e->config->http.console)
        request_refuse(e, 404, "the console has no such file");
    else
        request_refuse(e, 404, "the console is switched off: http.console");
}

void api_console(struct request *e)
{
    serve_file(e, SPAN("index.html"));
}

void api_console_file(struct request *e)
{
    serve_file(e, e->parts[0]);
}

/* The page names its files relative to /console, so that a proxy may serve it below another path.
 */
void api_console_slash(struct request *e)
{
    struct answer a = {.status = 308, .file = -1, .headers = {{"Location", "../console"}}};

    if (e->config->http.console)
        request_answer(e, &a);
    else
        serve_file(e, SPAN(""));
}

/* -- whom the page serves -- */

static json_t *kinds_json(const struct config_producer *p)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } kinds[] = {{PRODUCER_KEY, "key"}, {PRODUCER_URL, "url"}, {PRODUCER_ALL, "all"}};
    json_t *list = json_array();

    for (size_t i = 0; i < array_len(kinds); i++)
        if (p->kinds & kinds[i].bit)
            json_array_append_new(list, json_text_of(kinds[i].name));
    return list;
}

static json_t *lanes_allowed_json(const struct config_producer *p)
{
    json_t *list = json_array();

    for (int i = 0; i < LANE_N; i++)
        if (p->lanes & 1u << i)
            json_array_append_new(list, json_text_of(lane_names[i]));
    return list;
}

static json_t *account_json(const struct request *e, const struct config_account *a)
{
    bool has_default = a->services_count == 1 || (a->default_service && *a->default_service);
    json_t *services = json_array();

    for (uint32_t i = 0; i < a->services_count; i++) {
        const struct config_service *s = &a->services[i];

        if (auth_may_service(e->who, s))
            json_array_append_new(services, json_pack("{soso}", "id", json_text_of(s->id), "name",
                                                      json_text_of(*s->name ? s->name : s->id)));
    }
    return json_pack("{sososbsb}", "name", json_text_of(a->name), "services", services,
                     "default_service", (int)(has_default && auth_may_default_service(e->who, a)),
                     "purge_all", (int)a->allow_purge_all);
}

void api_self(struct request *e)
{
    const struct config *c = e->config;
    json_t *accounts = json_array();

    for (uint32_t i = 0; i < c->accounts_count; i++)
        if (auth_may_account(e->who, &c->accounts[i]))
            json_array_append_new(accounts, account_json(e, &c->accounts[i]));
    request_say_json(e, 200,
                     json_pack("{sosbsbsososo}", "producer", json_text_of(e->who->name), "admin",
                               (int)e->who->admin, "token", (int)e->by_token, "kinds",
                               kinds_json(e->who), "lanes", lanes_allowed_json(e->who), "accounts",
                               accounts));
}
