/* SPDX-License-Identifier: MIT */
#include "fastly.h"

#define API_MAX_BYTES 2048

/* Keys are 0x21 to 0x7E, so these two are the only ones that JSON requires to be escaped (RFC 8259
 * section 7). */
static bool needs_escape(char c)
{
    return c == '"' || c == '\\';
}

size_t fastly_key_bytes(enum key_form form, struct span key)
{
    size_t n = key.n + 1; /* the space or the comma */

    if (form == KEY_FORM_HEADER)
        return n;
    for (size_t i = 0; i < key.n; i++)
        n += needs_escape(key.p[i]);
    return n + 2;
}

static void put_json_key(struct buf *b, struct span key)
{
    size_t done = 0;

    buf_putc(b, '"');
    for (size_t i = 0; i < key.n; i++) {
        if (!needs_escape(key.p[i]))
            continue;
        buf_put(b, span_of(key.p + done, i - done));
        buf_putc(b, '\\');
        done = i;
    }
    buf_put(b, span_of(key.p + done, key.n - done));
    buf_putc(b, '"');
}

static void put_header(struct buf *b, const struct fastly_ask *ask)
{
    buf_put(b, SPAN("Surrogate-Key:"));
    for (size_t i = 0; i < ask->targets_count; i++) {
        buf_putc(b, ' ');
        buf_put(b, ask->targets[i]);
    }
}

static void put_json(struct buf *b, const struct fastly_ask *ask)
{
    buf_put(b, SPAN("{\"surrogate_keys\":["));
    for (size_t i = 0; i < ask->targets_count; i++) {
        if (i)
            buf_putc(b, ',');
        put_json_key(b, ask->targets[i]);
    }
    buf_put(b, SPAN("]}"));
}

static void put_service(struct buf *url, const char *api, const struct fastly_ask *ask,
                        struct span what)
{
    must(service_id_ok(ask->service));
    buf_put(url, span_str(api));
    buf_put(url, SPAN("/service/"));
    buf_put(url, ask->service);
    buf_put(url, what);
}

/* The keys are checked again here because a key with a line break would inject another header. */
static void build_keys(struct fastly_request *r, const char *api, const struct fastly_ask *ask)
{
    size_t bytes = 0;
    const char *why;

    must(ask->targets_count >= 1 && ask->targets_count <= FASTLY_BATCH_MAX_KEYS);
    for (size_t i = 0; i < ask->targets_count; i++) {
        must(key_check(ask->targets[i], &why) == 0);
        bytes += fastly_key_bytes(ask->key_form, ask->targets[i]);
    }
    must(bytes - 1 <= FASTLY_BATCH_MAX_BYTES); /* the last key has no space or comma after it */
    put_service(&r->url, api, ask, SPAN("/purge"));
    if (ask->key_form == KEY_FORM_HEADER) {
        put_header(&r->header, ask);
        return;
    }
    /* https://github.com/adobe/fastly-native-promises/issues/100 : Fastly does not understand other
     * content types. */
    buf_put(&r->header, SPAN("Content-Type: application/json"));
    put_json(&r->body, ask);
}

/* A URL without a scheme is purged over https: http and https share the cached object. */
static void build_direct(struct fastly_request *r, const struct fastly_ask *ask, struct span url)
{
    struct span host, rest;

    r->method = "PURGE";
    r->to_site = true;
    if (!span_starts_nocase(url, "http://") && !span_starts_nocase(url, "https://"))
        buf_put(&r->url, SPAN("https://"));
    buf_put(&r->url, url);
    url_split(url, &host, &rest);
    r->show_token = !span_starts_nocase(url, "http://") && ask->token_hosts &&
                    config_words_have_host(ask->token_hosts, host);
}

static void build_url(struct fastly_request *r, const char *api, const struct fastly_ask *ask)
{
    struct span url = ask->targets_count == 1 ? ask->targets[0] : SPAN("");
    const char *why;

    must(ask->targets_count == 1 && url_check(url, &why) == 0);
    if (ask->url_mode == URL_MODE_DIRECT) {
        build_direct(r, ask, url);
        return;
    }
    buf_put(&r->url, span_str(api));
    buf_put(&r->url, SPAN("/purge/"));
    buf_put(&r->url, url);
}

/* https://www.fastly.com/documentation/reference/api/purging/#purge-all : a purge-all has no soft
 * form. */
static void build_all(struct fastly_request *r, const char *api, const struct fastly_ask *ask)
{
    must(ask->targets_count == 0 && !ask->soft);
    put_service(&r->url, api, ask, SPAN("/purge_all"));
}

void fastly_request_build(struct fastly_request *r, const char *api, const struct fastly_ask *ask)
{
    static void (*const build[])(struct fastly_request *, const char *,
                                 const struct fastly_ask *) = {
        [TARGET_KEY] = build_keys, [TARGET_URL] = build_url, [TARGET_ALL] = build_all};

    must((size_t)ask->kind < array_len(build));
    must(strlen(api) <= API_MAX_BYTES);
    buf_clear(&r->url);
    buf_clear(&r->header);
    buf_clear(&r->body);
    r->method = "POST";
    r->to_site = false;
    r->show_token = true;
    build[ask->kind](r, api, ask);
}
