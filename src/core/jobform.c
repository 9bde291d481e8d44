/* SPDX-License-Identifier: MIT */
#include "jobform.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "job.h"
#include "json_text.h"
#include "log.h"
#include "verify_page.h"
#include "when.h"

/* The maximum number of keys, each at its maximum length and followed by a space. */
#define KEYS_MAX_BYTES ((size_t)JOB_TARGETS_MAX * (KEY_MAX_BYTES + 1))
#define KEYS_KEPT_BYTES ((size_t)256 * 1024) /* a larger buffer is freed after the job */

void jobform_init(struct jobform *f, enum lane lane)
{
    *f = (struct jobform){.lane = lane};
    buf_init(&f->keys, KEYS_MAX_BYTES);
}

void jobform_clear(struct jobform *f, enum lane lane)
{
    for (size_t i = 0; i < f->owned_count; i++)
        free(f->owned[i]);
    f->owned_count = 0;
    f->count = 0;
    f->targets = 0;
    f->lane = lane;
    f->account = span_of(NULL, 0);
    if (f->keys.room > KEYS_KEPT_BYTES)
        buf_deinit(&f->keys);
    buf_clear(&f->keys);
}

void jobform_deinit(struct jobform *f)
{
    jobform_clear(f, f->lane);
    buf_deinit(&f->keys);
    free(f->fields);
    free(f->owned);
}

static void put_span(struct jobform *f, const char *name, struct span value)
{
    if (f->count + 2 > f->room) {
        f->room = f->room ? f->room * 2 : 16;
        f->fields = alloc_grow(f->fields, f->room, sizeof(*f->fields));
    }
    f->fields[f->count++] = span_str(name);
    f->fields[f->count++] = value;
}

static char *own(struct jobform *f, char *p)
{
    if (f->owned_count == f->owned_room) {
        f->owned_room = f->owned_room ? f->owned_room * 2 : 16;
        f->owned = alloc_grow(f->owned, f->owned_room, sizeof(*f->owned));
    }
    return f->owned[f->owned_count++] = p;
}

void jobform_put(struct jobform *f, const char *name, struct span value)
{
    put_span(f, own(f, alloc_str(name)), span_of(own(f, alloc_copy(value.p, value.n)), value.n));
}

static bool has(const struct jobform *f, struct span name)
{
    for (size_t i = 0; i < f->count; i += 2)
        if (span_eq(f->fields[i], name))
            return true;
    return false;
}

void jobform_add_missing(struct jobform *f, const struct jobform *from)
{
    size_t own_count = f->count;

    for (size_t i = 0; i < from->count; i += 2) {
        struct jobform own_fields = {.fields = f->fields, .count = own_count};

        if (!has(&own_fields, from->fields[i]))
            put_span(f, from->fields[i].p, from->fields[i + 1]);
    }
}

void jobform_sign(struct jobform *f, struct span by)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->count; i += 2) {
        if (span_is(f->fields[i], "by") || span_is(f->fields[i], JOB_FIELD_BY))
            continue;
        f->fields[kept++] = f->fields[i];
        f->fields[kept++] = f->fields[i + 1];
    }
    f->count = kept;
    if (job_by_ok(by))
        put_span(f, JOB_FIELD_BY, span_of(own(f, alloc_copy(by.p, by.n)), by.n));
}

const struct span *jobform_fields(struct jobform *f, size_t *count)
{
    if (f->keys.n && !has(f, SPAN("keys")))
        put_span(f, "keys", buf_span(&f->keys));
    *count = f->count;
    return f->fields;
}

/* -- targets -- */

int jobform_add_key(struct jobform *f, struct span key, struct error *err)
{
    const char *why;
    char shown[96];

    if (key_check(key, &why) < 0)
        return error_set(err, -EINVAL, "keys: %s: \"%s\"", why,
                         log_quote(shown, sizeof(shown), key.p, key.n));
    if (f->targets == JOB_TARGETS_MAX)
        return error_set(err, -EINVAL, "keys: more than %d targets in one job", JOB_TARGETS_MAX);
    if (f->keys.n)
        buf_putc(&f->keys, ' ');
    buf_put(&f->keys, key);
    f->targets++;
    return 0;
}

static int add_keys(struct jobform *f, struct span text, struct error *err)
{
    size_t bytes = f->keys.n, targets = f->targets;
    struct span key;

    while (span_next_word(&text, ' ', &key)) {
        if (jobform_add_key(f, key, err) == 0)
            continue;
        f->keys.n = bytes; /* add all keys of the text or none */
        f->targets = targets;
        return -EINVAL;
    }
    if (f->targets > targets)
        return 0;
    return error_set(err, -EINVAL, "keys: empty");
}

int jobform_add_url(struct jobform *f, struct span url, struct error *err)
{
    const char *why;
    char shown[96];

    if (url_check(url, &why) < 0 && url.n && memchr(url.p, '@', url.n))
        return error_set(err, -EINVAL, "url: %s", why); /* there may be a password before the '@' */
    if (url_check(url, &why) < 0)
        return error_set(err, -EINVAL, "url: %s: \"%s\"", why,
                         log_quote(shown, sizeof(shown), url.p, url.n));
    if (f->targets == JOB_TARGETS_MAX)
        return error_set(err, -EINVAL, "url: more than %d targets in one job", JOB_TARGETS_MAX);
    put_span(f, "url", span_of(own(f, alloc_copy(url.p, url.n)), url.n));
    f->targets++;
    return 0;
}

int jobform_add_targets(struct jobform *f, enum jobform_kind kind, struct span text,
                        struct error *err)
{
    bool url = kind == JOBFORM_URL ||
               (kind == JOBFORM_GUESS && text.n && memmem(text.p, text.n, "://", 3));

    return url ? jobform_add_url(f, text, err) : add_keys(f, text, err);
}

/* -- JSON -- */

static int field_error(const char *name, const char *why, struct error *err)
{
    char shown[64];

    return error_set(err, -EINVAL, "%s: %s", log_quote(shown, sizeof(shown), name, strlen(name)),
                     why);
}

static struct span json_span(const json_t *v)
{
    return span_of(json_string_value(v), json_string_length(v));
}

static bool is_url(const char *name)
{
    return strcmp(name, "url") == 0 || strcmp(name, "urls") == 0;
}

int jobform_add_service(struct jobform *f, struct span service, struct error *err)
{
    size_t count = 0;

    for (size_t i = 0; i < f->count; i += 2)
        count += span_is(f->fields[i], "service");
    if (service.n == 0)
        return error_set(err, -EINVAL, "service: empty");
    if (count == JOB_SERVICES_MAX)
        return error_set(err, -EINVAL, "service: more than %d services in one job",
                         JOB_SERVICES_MAX);
    put_span(f, "service", span_of(own(f, alloc_copy(service.p, service.n)), service.n));
    return 0;
}

/* Each list element is one target, so a key with a space is refused: it would become two keys. */
static int add_list(struct jobform *f, const char *name, const json_t *list, struct error *err)
{
    bool service = strcmp(name, "service") == 0;
    int (*add)(struct jobform *, struct span, struct error *) = is_url(name) ? jobform_add_url
                                                                : strcmp(name, "keys") == 0
                                                                    ? jobform_add_key
                                                                : service ? jobform_add_service
                                                                          : NULL;
    int rc = 0;

    if (!add && !job_field_known(span_str(name)) && strcmp(name, "lane") != 0 &&
        strcmp(name, "account") != 0)
        return job_unknown_field(span_str(name), err);
    if (!add)
        return field_error(name, "a list is only for keys, url and service", err);
    if (service && json_array_size(list) == 0)
        return field_error(name, "the list is empty", err);
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);

        if (!json_is_string(v))
            return field_error(name, "the list may only hold texts", err);
        rc = add(f, json_span(v), err);
    }
    return rc;
}

static int add_text(struct jobform *f, const char *name, struct span text, struct error *err)
{
    if (strcmp(name, "keys") == 0)
        return add_keys(f, text, err);
    if (is_url(name))
        return jobform_add_url(f, text, err);
    if (f->takes_account && strcmp(name, "account") == 0) {
        f->account = span_of(own(f, alloc_copy(text.p, text.n)), text.n);
        return 0;
    }
    if (!f->takes_by && strcmp(name, "by") == 0)
        return field_error(name, "unknown field: who pushes is noted without it", err);
    if (strcmp(name, "lane") == 0)
        return lane_parse(text, &f->lane) == 0
                   ? 0
                   : field_error(name, "expected urgent, normal or bulk", err);
    jobform_put(f, name, text);
    return 0;
}

/* The only fields whose values may be objects. */
static int add_nested(struct jobform *f, const char *name, const json_t *v, struct error *err)
{
    bool is_when = strcmp(name, "when") == 0;
    char *text = json_text_line(v);
    struct span json = span_str(text);
    struct verify_page page;
    struct when when;
    int rc = is_when ? when_parse(json, &when, err) : verify_page_parse(json, &page, err);

    if (rc == 0)
        put_span(f, is_when ? "when" : "verify", span_of(own(f, text), json.n));
    else
        free(text);
    return rc;
}

static int add_field(struct jobform *f, const char *name, const json_t *v, struct error *err)
{
    char number[32];

    if (json_is_array(v))
        return add_list(f, name, v, err);
    if (json_is_object(v) && (strcmp(name, "when") == 0 || strcmp(name, "verify") == 0))
        return add_nested(f, name, v, err);
    if (json_is_string(v))
        return add_text(f, name, json_span(v), err);
    if (json_is_integer(v))
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
    else if (json_is_boolean(v))
        snprintf(number, sizeof(number), "%d", json_is_true(v));
    else
        return field_error(name, "expected a text, a number or true or false", err);
    return add_text(f, name, span_str(number), err);
}

json_t *jobform_load(struct span text, struct error *err)
{
    json_error_t where;
    json_t *doc = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &where);

    if (json_is_object(doc))
        return doc;
    error_set(err, -EINVAL, "not a JSON object: %s", doc ? "another kind of value" : where.text);
    json_decref(doc);
    return NULL;
}

int jobform_add_object(struct jobform *f, json_t *object, struct error *err)
{
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        if (add_field(f, name, value, err) < 0)
            return -EINVAL;
    }
    return 0;
}

int jobform_add_json(struct jobform *f, struct span text, struct error *err)
{
    json_t *object = jobform_load(text, err);
    int rc = object ? jobform_add_object(f, object, err) : -EINVAL;

    json_decref(object);
    return rc;
}
