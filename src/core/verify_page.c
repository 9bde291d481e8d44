/* SPDX-License-Identifier: MIT */
#include "verify_page.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "log.h"
#include "target.h"

static int take_page_url(const json_t *v, struct verify_page *out, struct error *err)
{
    struct span url = span_of(json_string_value(v), json_string_length(v));
    const char *why;

    if (!json_is_string(v))
        return error_set(err, -EINVAL, "verify: url: %s", v ? "expected a text" : "missing");
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

static int take_page(json_t *object, struct verify_page *out, struct error *err)
{
    const char *name;
    char shown[64];
    json_t *value;

    json_object_foreach(object, name, value)
    {
        if (strcmp(name, "url") != 0)
            return error_set(err, -EINVAL, "verify: %s: unknown field",
                             log_quote(shown, sizeof(shown), name, strlen(name)));
    }
    return take_page_url(json_object_get(object, "url"), out, err);
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
