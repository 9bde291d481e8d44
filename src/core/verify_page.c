/* SPDX-License-Identifier: MIT */
#include "verify_page.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "log.h"
#include "setting_form.h"
#include "target.h"

static int take_page_url(const json_t *v, struct verify_page *out, struct error *err)
{
    struct span url = span_of(json_string_value(v), json_string_length(v));
    const char *why;

    if (!json_is_string(v))
        return error_set(err, -EINVAL, "verify: url: expected a text");
    if (url.n == 0 || url.n > VERIFY_PAGE_URL_MAX_BYTES)
        return error_set(err, -EINVAL, "verify: url: not 1 to %d bytes", VERIFY_PAGE_URL_MAX_BYTES);
    if (!span_starts_nocase(url, "https://") && !span_starts_nocase(url, "http://"))
        return error_set(err, -EINVAL, "verify: url: expected https:// or http://");
    if (url_check(url, &why) < 0)
        return error_set(err, -EINVAL, "verify: url: %s", why);
    memcpy(out->url, url.p, url.n);
    out->url[url.n] = '\0';
    return 0;
}

static int take_page_header(const json_t *v, struct verify_page *out, struct error *err)
{
    size_t n = json_string_length(v);

    if (!json_is_string(v))
        return error_set(err, -EINVAL, "verify: at_least: header: %s",
                         v ? "expected a text" : "missing");
    if (n == 0 || n > VERIFY_PAGE_HEADER_MAX_BYTES)
        return error_set(err, -EINVAL, "verify: at_least: header: not 1 to %d bytes",
                         VERIFY_PAGE_HEADER_MAX_BYTES);
    memcpy(out->header, json_string_value(v), n);
    out->header[n] = '\0';
    if (strlen(out->header) != n || !setting_form_ok(SETTING_FORM_HEADER, out->header))
        return error_set(err, -EINVAL, "verify: at_least: header: not the name of a header");
    return 0;
}

static int take_page_number(const json_t *v, struct verify_page *out, struct error *err)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return error_set(err, -EINVAL, "verify: at_least: number: %s",
                         v ? "expected a whole number" : "missing");
    out->at_least = (uint64_t)json_integer_value(v);
    return 0;
}

static int take_at_least(json_t *v, struct verify_page *out, struct error *err)
{
    const char *name;
    char shown[64];
    json_t *value;

    if (!json_is_object(v))
        return error_set(err, -EINVAL,
                         "verify: at_least: expected an object like {\"header\": \"x-version\", "
                         "\"number\": 17}");
    json_object_foreach(v, name, value)
    {
        if (strcmp(name, "header") != 0 && strcmp(name, "number") != 0)
            return error_set(err, -EINVAL, "verify: at_least: %s: unknown field",
                             log_quote(shown, sizeof(shown), name, strlen(name)));
    }
    if (take_page_header(json_object_get(v, "header"), out, err) < 0)
        return -EINVAL;
    return take_page_number(json_object_get(v, "number"), out, err);
}

static int take_page(json_t *object, struct verify_page *out, struct error *err)
{
    json_t *url = json_object_get(object, "url"), *at_least = json_object_get(object, "at_least");
    const char *name;
    char shown[64];
    json_t *value;

    json_object_foreach(object, name, value)
    {
        if (strcmp(name, "url") != 0 && strcmp(name, "at_least") != 0)
            return error_set(err, -EINVAL, "verify: %s: unknown field",
                             log_quote(shown, sizeof(shown), name, strlen(name)));
    }
    if (!url && !at_least)
        return error_set(err, -EINVAL, "verify: url: missing");
    if (url && take_page_url(url, out, err) < 0)
        return -EINVAL;
    return at_least ? take_at_least(at_least, out, err) : 0;
}

int verify_page_parse(struct span json, struct verify_page *out, struct error *err)
{
    json_error_t where;
    json_t *object;
    int rc;

    if (json.n > VERIFY_PAGE_MAX_BYTES)
        return error_set(err, -EINVAL, "verify: longer than %d bytes", VERIFY_PAGE_MAX_BYTES);
    object = json_loadb(json.p ? json.p : "", json.n, JSON_REJECT_DUPLICATES, &where);
    *out = (struct verify_page){0};
    if (json_is_object(object))
        rc = take_page(object, out, err);
    else
        rc = error_set(err, -EINVAL,
                       "verify: expected 0, 1 or a JSON object like {\"url\": "
                       "\"https://www.example.com/\"}");
    json_decref(object);
    return rc;
}
