/* SPDX-License-Identifier: MIT
 * Requests that clients of Fastly's API send in addition to purges: whose token it is, and which
 * services it may purge. Replies have Fastly's format,
 * https://www.fastly.com/documentation/reference/api/, and contain what is known here; what is not
 * known is left out. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "http_internal.h"
#include "json_text.h"
#include "target.h"

/* -- services that the producer may purge -- */

typedef void each_service_cb(json_t *out, const struct config_account *a,
                             const struct config_service *s);

static json_t *services(const struct request *e, json_t *out, each_service_cb *add)
{
    const struct config *c = e->config;

    for (uint32_t i = 0; i < c->accounts_count; i++) {
        const struct config_account *a = &c->accounts[i];

        for (uint32_t k = 0; auth_may_account(e->who, a) && k < a->services_count; k++)
            if (auth_may_service(e->who, &a->services[k]))
                add(out, a, &a->services[k]);
    }
    return out;
}

static const char *name_of(const struct config_service *s)
{
    return *s->name ? s->name : s->id;
}

static json_t *service_json(const struct config_account *a, const struct config_service *s)
{
    return json_pack("{sosososo}", "id", json_text_of(s->id), "name", json_text_of(name_of(s)),
                     "customer_id", json_text_of(a->name), "versions", json_array());
}

static void add_id(json_t *list, const struct config_account *a, const struct config_service *s)
{
    (void)a;
    json_array_append_new(list, json_text_of(s->id));
}

static void add_whole(json_t *list, const struct config_account *a, const struct config_service *s)
{
    json_array_append_new(list, service_json(a, s));
}

static void add_name(json_t *map, const struct config_account *a, const struct config_service *s)
{
    (void)a;
    json_object_set_new(map, s->id, json_text_of(name_of(s)));
}

/* Each account is one customer of Fastly's. A producer of several accounts has no single
 * customer. */
static const char *customer_of(const struct request *e)
{
    const struct config_account *only = request_find_account(e, span_of(NULL, 0));

    return only ? only->name : "purgeline";
}

static bool may_all(const struct request *e)
{
    const struct config *c = e->config;
    bool allowed = false;

    for (uint32_t i = 0; i < c->accounts_count; i++)
        allowed |= c->accounts[i].allow_purge_all && auth_may_account(e->who, &c->accounts[i]);
    return allowed && (e->who->kinds & PRODUCER_ALL);
}

/* -- token and user -- */

static json_t *token_json(const struct request *e)
{
    return json_pack("{sosososo}", "id", json_text_of(e->who->name), "user_id",
                     json_text_of(e->who->name), "customer_id", json_text_of(customer_of(e)),
                     "name", json_text_of(e->who->name));
}

static json_t *user_json(const struct request *e)
{
    return json_pack("{sososososo}", "id", json_text_of(e->who->name), "login",
                     json_text_of(e->who->name), "name", json_text_of(e->who->name), "customer_id",
                     json_text_of(customer_of(e)), "role",
                     json_text_of(may_all(e) ? "engineer" : "user"));
}

static json_t *customer_json(const struct request *e)
{
    return json_pack("{soso}", "id", json_text_of(customer_of(e)), "name",
                     json_text_of(customer_of(e)));
}

/* Generated clients expect `scope` to be one value of a list. Those for Python, PHP, Ruby and Rust
 * raise an error if the text contains two, so two scopes are only in `scopes`. They also expect a
 * text in expires_at, which is left out because the token never expires.
 * https://www.fastly.com/documentation/reference/api/auth-tokens/user/ */
void api_fastly_token(struct request *e)
{
    json_t *token = token_json(e), *scopes = json_pack("[o]", json_text_of("purge_select"));

    if (may_all(e))
        json_array_append_new(scopes, json_text_of("purge_all"));
    else
        json_object_set_new(token, "scope", json_text_of("purge_select"));
    json_object_set_new(token, "scopes", scopes);
    json_object_set_new(token, "services", services(e, json_array(), add_id));
    request_say_json(e, 200, token);
}

/* https://www.fastly.com/documentation/reference/api/account/user/ */
void api_fastly_user(struct request *e)
{
    request_say_json(e, 200, user_json(e));
}

/* https://www.fastly.com/documentation/reference/api/account/customer/ */
void api_fastly_customer(struct request *e)
{
    request_say_json(e, 200, customer_json(e));
}

/* Only the CLI's whoami reads this, and it shows the scope unchanged: fastly/cli
 * pkg/commands/whoami/root.go. */
void api_fastly_verify(struct request *e)
{
    json_t *token = token_json(e);

    json_object_set_new(token, "scope",
                        json_text_of(may_all(e) ? "purge_select purge_all" : "purge_select"));
    request_say_json(e, 200,
                     json_pack("{sosososo}", "customer", customer_json(e), "user", user_json(e),
                               "services", services(e, json_object(), add_name), "token", token));
}

/* -- services -- */

/* 0, or -EINVAL if the request was refused: the parameter is present but not a number from 1 on. */
static int page_number(struct request *e, const char *name, uint64_t fallback, uint64_t *out)
{
    struct span text = request_query(e, name);
    char why[80];

    *out = fallback;
    if (!text.p || (span_to_u64(text, out) == 0 && *out > 0))
        return 0;
    snprintf(why, sizeof(why), "%s: expected a number of at least 1", name);
    request_refuse(e, 400, why);
    return -EINVAL;
}

/* Clients request page after page until one is empty. Without per_page, all services are on the
 * first page. https://www.fastly.com/documentation/reference/api/services/service/ */
void api_fastly_services(struct request *e)
{
    json_t *all, *some;
    uint64_t page, size, n, begin;

    if (page_number(e, "page", 1, &page) < 0 || page_number(e, "per_page", UINT64_MAX, &size) < 0)
        return;
    all = services(e, json_array(), add_whole);
    some = json_array();
    n = json_array_size(all);
    begin = page - 1 > n / size ? n : (page - 1) * size;
    for (uint64_t i = begin; i < n && i - begin < size; i++)
        json_array_append(some, json_array_get(all, (size_t)i));
    json_decref(all);
    request_say_json(e, 200, some);
}

/* Also serves /details, because nothing is known about versions. active_version is left out,
 * because generated clients accept an object there, but not null. */
void api_fastly_service(struct request *e)
{
    const struct config_service *service;
    const struct config_account *a = api_fastly_account(e, &service);

    if (a)
        request_say_json(e, 200, service_json(a, service));
}

void api_fastly_versions(struct request *e)
{
    const struct config_service *service;

    if (api_fastly_account(e, &service))
        request_say_json(e, 200, json_array());
}

static json_t *find_named(const struct request *e, struct span name)
{
    const struct config *c = e->config;

    for (uint32_t i = 0; i < c->accounts_count; i++) {
        const struct config_account *a = &c->accounts[i];

        for (uint32_t k = 0; auth_may_account(e->who, a) && k < a->services_count; k++)
            if (auth_may_service(e->who, &a->services[k]) &&
                span_is(name, name_of(&a->services[k])))
                return service_json(a, &a->services[k]);
    }
    return NULL;
}

void api_fastly_search(struct request *e)
{
    struct span wanted = request_query(e, "name");
    json_t *found;

    if (wanted.n == 0) {
        request_refuse(e, 400, "name: missing");
        return;
    }
    found = find_named(e, wanted);
    if (found)
        request_say_json(e, 200, found);
    else
        request_refuse(e, 404, "Cannot find service");
}

/* -- sign-in -- */

/* Host is copied into the reply, so it must look like a name or an address, with or without a
 * port. */
static bool is_host(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] < 'a' || s.p[i] > 'z') && (s.p[i] < 'A' || s.p[i] > 'Z') &&
            (s.p[i] < '-' || s.p[i] > ':' || s.p[i] == '/') && (!s.p[i] || !strchr("[]_", s.p[i])))
            return false;
    return s.n > 0 && s.n <= HOST_MAX_BYTES + 8;
}

/* A proxy that terminates TLS sends X-Forwarded-Proto. It needs no check: only the client that
 * sends this header sees its effect. */
static const char *scheme_of(struct visit *v)
{
    struct span told = visit_header(v, "X-Forwarded-Proto");

    if (span_eq_nocase(told, SPAN("https")))
        return "https";
    if (span_eq_nocase(told, SPAN("http")))
        return "http";
    return visit_is_tls(v) ? "https" : "http";
}

/* The CLI fetches this from its account endpoint whenever it starts, and does not start without it.
 * Its content is used only for signing in with a browser, which is not possible here.
 * https://openid.net/specs/openid-connect-discovery-1_0.html section 3 */
void api_fastly_openid(struct request *e)
{
    static const struct {
        const char *name, *path;
    } ends[] = {{"authorization_endpoint", "auth"},
                {"token_endpoint", "token"},
                {"jwks_uri", "certs"}},
      supported[] = {{"response_types_supported", "code"},
                     {"subject_types_supported", "public"},
                     {"id_token_signing_alg_values_supported", "RS256"}};
    struct answer_header headers[] = {{"Cache-Control", "no-store"}, {NULL, NULL}};
    struct span host = visit_header(e->visit, "Host");
    char realm[HOST_MAX_BYTES + 64], url[HOST_MAX_BYTES + 128];
    json_t *doc;

    if (!is_host(host)) {
        request_refuse(e, 400, "Host: missing, or not a valid name or address");
        return;
    }
    snprintf(realm, sizeof(realm), "%s://%.*s/realms/fastly", scheme_of(e->visit), (int)host.n,
             host.p);
    doc = json_object();
    json_object_set_new(doc, "issuer", json_text_of(realm));
    for (size_t i = 0; i < array_len(ends); i++) {
        snprintf(url, sizeof(url), "%s/protocol/openid-connect/%s", realm, ends[i].path);
        json_object_set_new(doc, ends[i].name, json_text_of(url));
    }
    for (size_t i = 0; i < array_len(supported); i++)
        json_object_set_new(doc, supported[i].name,
                            json_pack("[o]", json_text_of(supported[i].path)));
    request_say_with(e, 200, doc, headers);
}
