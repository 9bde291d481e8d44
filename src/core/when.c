/* SPDX-License-Identifier: MIT */
#include "when.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "setting_form.h"
#include "suggest.h"
#include "target.h"

#define HTTP "http://"
#define HTTPS "https://"

/* -- reading --------------------------------------------------------------------------------- */

struct when_reading {
    struct when *when;
    bool has_url, has_test;
    struct error *err;
};

static int read_text(struct when_reading *r, const char *name, const json_t *v, char *out,
                     size_t max)
{
    size_t n = json_string_length(v);

    if (!json_is_string(v))
        return error_set(r->err, -EINVAL, "when: %s: expected a text", name);
    if (n == 0 || n > max)
        return error_set(r->err, -EINVAL, "when: %s: not 1 to %zu bytes", name, max);
    memcpy(out, json_string_value(v), n);
    out[n] = '\0';
    return 0;
}

static int read_number(struct when_reading *r, const char *name, const json_t *v, uint64_t least,
                       uint64_t most, uint64_t *out)
{
    json_int_t n = json_integer_value(v);

    if (!json_is_integer(v))
        return error_set(r->err, -EINVAL, "when: %s: expected a whole number", name);
    if (n < 0 || (uint64_t)n < least || (uint64_t)n > most)
        return error_set(r->err, -EINVAL, "when: %s: not %llu to %llu", name,
                         (unsigned long long)least, (unsigned long long)most);
    *out = (uint64_t)n;
    return 0;
}

static int read_url(struct when_reading *r, const char *name, const json_t *v)
{
    struct span url;
    const char *why;

    if (read_text(r, name, v, r->when->url, WHEN_URL_MAX_BYTES) < 0)
        return -EINVAL;
    url = span_str(r->when->url);
    if (!span_starts_nocase(url, HTTP) && !span_starts_nocase(url, HTTPS))
        return error_set(r->err, -EINVAL, "when: url: expected https:// or http://");
    if (url_check(url, &why) < 0)
        return error_set(r->err, -EINVAL, "when: url: %s", why);
    r->has_url = true;
    return 0;
}

static int read_wanted_status(struct when_reading *r, const char *name, const json_t *v)
{
    uint64_t status = 0;

    if (read_number(r, name, v, 100, 599, &status) < 0)
        return -EINVAL;
    r->when->status = (int)status;
    return 0;
}

static int read_header(struct when_reading *r, const char *name, const json_t *v)
{
    if (read_text(r, name, v, r->when->header, WHEN_HEADER_MAX_BYTES) < 0)
        return -EINVAL;
    if (!setting_form_ok(SETTING_FORM_HEADER, r->when->header))
        return error_set(r->err, -EINVAL, "when: header: not the name of a header");
    return 0;
}

static int begin_test(struct when_reading *r, enum when_test test)
{
    if (r->has_test)
        return error_set(r->err, -EINVAL, "when: more than one of equals, at_least and contains");
    r->has_test = true;
    r->when->test = test;
    return 0;
}

static int read_equals(struct when_reading *r, const char *name, const json_t *v)
{
    if (begin_test(r, WHEN_EQUALS) < 0)
        return -EINVAL;
    return read_text(r, name, v, r->when->value, WHEN_VALUE_MAX_BYTES);
}

static int read_contains(struct when_reading *r, const char *name, const json_t *v)
{
    if (begin_test(r, WHEN_CONTAINS) < 0)
        return -EINVAL;
    return read_text(r, name, v, r->when->value, WHEN_VALUE_MAX_BYTES);
}

static int read_at_least(struct when_reading *r, const char *name, const json_t *v)
{
    if (begin_test(r, WHEN_AT_LEAST) < 0)
        return -EINVAL;
    return read_number(r, name, v, 0, INT64_MAX, &r->when->at_least);
}

static int read_within(struct when_reading *r, const char *name, const json_t *v)
{
    uint64_t ms = 0;

    if (read_number(r, name, v, 0, UINT64_MAX, &ms) < 0)
        return -EINVAL;
    if (ms < WHEN_WITHIN_MIN_MS || ms > WHEN_WITHIN_MAX_MS)
        return error_set(r->err, -EINVAL, "when: within: not %u to %u milliseconds",
                         WHEN_WITHIN_MIN_MS, WHEN_WITHIN_MAX_MS);
    r->when->within_ms = (uint32_t)ms;
    return 0;
}

static const struct field {
    const char *name;
    int (*take)(struct when_reading *r, const char *name, const json_t *v);
} fields_known[] = {
    {"url", read_url},       {"status", read_wanted_status}, {"header", read_header},
    {"equals", read_equals}, {"at_least", read_at_least},    {"contains", read_contains},
    {"within", read_within},
};

static int read_field(struct when_reading *r, const char *name, const json_t *v)
{
    const char *names[array_len(fields_known)], *meant;
    char shown[64];

    for (size_t i = 0; i < array_len(fields_known); i++) {
        if (strcmp(name, fields_known[i].name) == 0)
            return fields_known[i].take(r, name, v);
        names[i] = fields_known[i].name;
    }
    log_quote(shown, sizeof(shown), name, strlen(name));
    meant = suggest_word(shown, names, array_len(names));
    return error_set(r->err, -EINVAL, "when: %s: unknown field%s%s%s", shown,
                     meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
}

static int check_whole(const struct when_reading *r)
{
    const struct when *w = r->when;

    if (!r->has_url)
        return error_set(r->err, -EINVAL, "when: url: missing");
    if (*w->header && !r->has_test)
        return error_set(r->err, -EINVAL,
                         "when: header: needs one of equals, at_least and contains");
    if (!*w->header && w->test == WHEN_EQUALS)
        return error_set(r->err, -EINVAL, "when: equals: needs header");
    if (!*w->header && w->test == WHEN_AT_LEAST)
        return error_set(r->err, -EINVAL, "when: at_least: needs header");
    return 0;
}

static int read_object(struct when_reading *r, json_t *object)
{
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        if (read_field(r, name, value) < 0)
            return -EINVAL;
    }
    return check_whole(r);
}

int when_parse(struct span json, struct when *out, struct error *err)
{
    struct when_reading r = {.when = out, .err = err};
    json_error_t where;
    json_t *object;
    int rc;

    if (json.n > WHEN_MAX_BYTES)
        return error_set(err, -EINVAL, "when: longer than %d bytes", WHEN_MAX_BYTES);
    object = json_loadb(json.p ? json.p : "", json.n, JSON_REJECT_DUPLICATES, &where);
    *out = (struct when){.status = 200, .within_ms = WHEN_WITHIN_MS};
    if (json_is_object(object))
        rc = read_object(&r, object);
    else
        rc = error_set(err, -EINVAL,
                       "when: expected a JSON object like {\"url\": "
                       "\"https://origin.example.com/\", \"status\": 200}");
    json_decref(object);
    return rc;
}

void when_answers(const char *url, struct when *out)
{
    *out = (struct when){.status = WHEN_2XX};
    snprintf(out->url, sizeof(out->url), "%s", url);
}

/* -- which origins may be asked -------------------------------------------------------------- */

struct authority {
    bool plain; /* http:// */
    struct span host, port;
};

static struct authority authority_of(struct span url)
{
    struct authority a = {.plain = span_starts_nocase(url, HTTP)};
    struct span host, rest;

    url_split(url, &host, &rest);
    a.host = host_name(host);
    a.port = a.host.n < host.n ? span_of(host.p + a.host.n + 1, host.n - a.host.n - 1)
                               : span_of(NULL, 0);
    if (a.port.n == 0) /* also in "host:" */
        a.port = a.plain ? SPAN("80") : SPAN("443");
    return a;
}

static bool same_port(struct span a, struct span b)
{
    uint64_t left, right;

    return span_to_u64(a, &left) == 0 && span_to_u64(b, &right) == 0 && left == right;
}

static bool host_fits(struct span pattern, struct span host)
{
    if (pattern.n == 0 || pattern.p[0] != '*')
        return span_eq_nocase(pattern, host);
    pattern = span_of(pattern.p + 1, pattern.n - 1);
    return !host_is_address(host) && host.n > pattern.n &&
           span_eq_nocase(span_of(host.p + host.n - pattern.n, pattern.n), pattern);
}

bool when_origin_fits(const struct config_words *origins, struct span url)
{
    struct authority asked = authority_of(url);

    for (uint32_t i = 0; i < origins->count; i++) {
        struct authority a = authority_of(span_str(origins->at[i]));

        if (a.plain == asked.plain && same_port(a.port, asked.port) &&
            host_fits(a.host, asked.host))
            return true;
    }
    return false;
}

int when_check_origin(const struct config_words *origins, const struct when *w, struct error *err)
{
    if (when_origin_fits(origins, span_str(w->url)))
        return 0;
    return error_set(err, -EINVAL, "when: url: %s",
                     origins->count ? "its host is not among the account's origins"
                                    : "the account has no origins configured");
}

/* -- the question and its answer ------------------------------------------------------------- */

/* No part can contain a NUL, so different questions have different texts. */
void when_put_question(const struct when *w, struct buf *out)
{
    buf_printf(out, "%d %d %llu", w->status, (int)w->test, (unsigned long long)w->at_least);
    buf_putc(out, '\0');
    buf_put(out, span_str(w->url));
    buf_putc(out, '\0');
    for (const char *c = w->header; *c; c++)
        buf_putc(out, *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c);
    buf_putc(out, '\0');
    buf_put(out, span_str(w->value));
}

static bool holds(struct span text, const char *part)
{
    size_t n = strlen(part);

    return text.n >= n && memmem(text.p, text.n, part, n) != NULL;
}

static bool is_at_least(struct span text, uint64_t least)
{
    uint64_t number;

    return span_to_u64(span_trim(text), &number) == 0 && number >= least;
}

static bool passes(const struct when *w, const struct when_seen *seen)
{
    switch (w->test) {
    case WHEN_STATUS:
        return true;
    case WHEN_EQUALS:
        return seen->has_header && span_is(span_trim(seen->header), w->value);
    case WHEN_AT_LEAST:
        return seen->has_header && is_at_least(seen->header, w->at_least);
    case WHEN_CONTAINS:
        return *w->header ? seen->has_header && holds(seen->header, w->value)
                          : holds(seen->body, w->value);
    }
    return false;
}

static bool has_status(const struct when *w, const struct when_seen *seen)
{
    return seen->status == w->status || (w->status == WHEN_2XX && seen->status / 100 == 2);
}

bool when_shown(const struct when *w, const struct when_seen *seen)
{
    return has_status(w, seen) && passes(w, seen);
}

static void describe_wish(const struct when *w, char *out, size_t room)
{
    char value[96];

    log_quote(value, sizeof(value), w->value, strlen(w->value));
    if (w->test == WHEN_AT_LEAST)
        snprintf(out, room, "at least %llu", (unsigned long long)w->at_least);
    else if (w->test == WHEN_EQUALS)
        snprintf(out, room, "%s", value);
    else
        snprintf(out, room, "one that contains %s", value);
}

void when_describe(const struct when *w, const struct when_seen *seen, char *out, size_t room)
{
    struct span url = url_without_query(span_str(w->url));
    char shown[96], wish[160];
    int n = (int)min_u64(url.n, 160);

    describe_wish(w, wish, sizeof(wish));
    log_quote(shown, sizeof(shown), seen->header.p, seen->has_header ? seen->header.n : 0);
    if (!seen->status)
        snprintf(out, room, "%.*s does not answer: %s", n, url.p, seen->error ? seen->error : "");
    else if (w->status == WHEN_2XX)
        snprintf(out, room, "%.*s answers with status %d (wanted 2xx)", n, url.p, seen->status);
    else if (seen->status != w->status)
        snprintf(out, room, "%.*s still answers with status %d (wanted %d)", n, url.p, seen->status,
                 w->status);
    else if (!*w->header)
        snprintf(out, room, "%.*s still answers with a body that lacks the text (wanted %s)", n,
                 url.p, wish);
    else if (!seen->has_header)
        snprintf(out, room, "%.*s still answers without %s (wanted %s)", n, url.p, w->header, wish);
    else
        snprintf(out, room, "%.*s still answers %s: %s (wanted %s)", n, url.p, w->header, shown,
                 wish);
}
