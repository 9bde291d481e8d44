/* SPDX-License-Identifier: MIT */
#include "hook.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "hook_signature.h"
#include "job.h"
#include "jsonpath.h"
#include "log.h"
#include "target.h"
#include "template.h"

/* For service and repeat_after. */
#define OTHER_FIELDS_MAX_BYTES (JOB_SERVICES_MAX * SERVICE_NAME_MAX_BYTES + 64)

struct condition {
    char *text;           /* as configured */
    char *header;         /* NULL: the condition uses the path */
    struct jsonpath path; /* unused for a header */
    bool compares, negated, starts;
    struct span value; /* in text */
};

struct mapping {
    struct template *template;
    char *text; /* as configured */
    enum target_kind kind;
    uint32_t nth; /* index in its list of settings */
};

struct hook {
    struct condition *conditions;
    uint32_t conditions_count;
    struct mapping *mappings;
    uint32_t mappings_count;
    uint32_t max_targets;
    bool soft;
    char *services[JOB_SERVICES_MAX];
    uint32_t services_count;
    char repeat_after[24]; /* "" = once */
};

struct hook_target {
    enum target_kind kind;
    size_t at, n; /* offset and length in hook_job.text, which moves as it grows */
};

/* -- compiling -- */

/* The first '=' outside double quotes, or NULL. */
static char *find_equals(char *text)
{
    bool quoted = false;

    for (; *text; text++) {
        if (quoted && text[0] == '\\' && text[1])
            text++;
        else if (*text == '"')
            quoted = !quoted;
        else if (*text == '=' && !quoted)
            return text;
    }
    return NULL;
}

static void split_condition(struct condition *c, struct span *left)
{
    char *equals = find_equals(c->text);

    *left = span_of(c->text, equals ? (size_t)(equals - c->text) : strlen(c->text));
    if (!equals)
        return;
    c->compares = true;
    c->value = span_str(equals + 1);
    c->negated = left->n && left->p[left->n - 1] == '!';
    left->n -= c->negated;
    c->starts = c->value.n && c->value.p[c->value.n - 1] == '*';
    c->value.n -= c->starts;
}

static int compile_condition(struct condition *c, const char *text, uint32_t nth, struct error *err)
{
    struct span left;
    const char *why = "";
    size_t at = 0;

    c->text = alloc_str(text);
    split_condition(c, &left);
    if (left.n >= 7 && memcmp(left.p, "header:", 7) == 0) {
        if (left.n == 7)
            return error_set(err, -EINVAL, "when[%u]: the header's name is missing", nth);
        c->header = alloc_copy(left.p + 7, left.n - 7);
        return 0;
    }
    if (jsonpath_init(&c->path, left, &at, &why) < 0)
        return error_set(err, -EINVAL, "when[%u]: byte %zu: %s", nth, at + 1, why);
    return 0;
}

static int compile_conditions(struct hook *h, const struct config_words *when, struct error *err)
{
    h->conditions = alloc_zeroed(when->count + 1, sizeof(*h->conditions));
    for (uint32_t i = 0; i < when->count; i++) {
        h->conditions_count++;
        if (compile_condition(&h->conditions[i], when->at[i], i, err) < 0)
            return -EINVAL;
    }
    return 0;
}

static const char *list_name(enum target_kind kind)
{
    return kind == TARGET_KEY ? "keys" : "urls";
}

static int compile_mappings(struct hook *h, const struct config_words *texts, enum target_kind kind,
                            struct error *err)
{
    struct error why;

    for (uint32_t i = 0; i < texts->count; i++) {
        struct template *t = template_new(span_str(texts->at[i]), &why);

        if (!t)
            return error_set(err, -EINVAL, "%s[%u]: %s", list_name(kind), i, why.text);
        h->mappings[h->mappings_count++] = (struct mapping){t, alloc_str(texts->at[i]), kind, i};
    }
    return 0;
}

static int compile(struct hook *h, const struct config_hook *c, struct error *err)
{
    struct error why;

    h->mappings = alloc_zeroed((size_t)c->keys.count + c->urls.count + 1, sizeof(*h->mappings));
    h->max_targets = (uint32_t)min_u64(c->max_targets, JOB_TARGETS_MAX);
    h->soft = c->soft;
    must(c->services.count <= JOB_SERVICES_MAX);
    for (uint32_t i = 0; i < c->services.count; i++) {
        must(strlen(c->services.at[i]) <= SERVICE_NAME_MAX_BYTES);
        h->services[h->services_count++] = alloc_str(c->services.at[i]);
    }
    if (c->repeat_after_ms == CONFIG_REPEAT_AUTO)
        snprintf(h->repeat_after, sizeof(h->repeat_after), REPEAT_AUTO);
    else if (c->repeat_after_ms)
        snprintf(h->repeat_after, sizeof(h->repeat_after), "%u", c->repeat_after_ms);
    if (c->keys.count + c->urls.count == 0)
        return error_set(err, -EINVAL, "keys: neither keys nor urls: the hook would purge nothing");
    /* What a consumer maps has no signature. */
    if (c->signature.header && hook_signature_check(&c->signature, &why) < 0)
        return error_set(err, -EINVAL, "signature.%s", why.text);
    if (compile_conditions(h, &c->when, err) < 0 ||
        compile_mappings(h, &c->keys, TARGET_KEY, err) < 0)
        return -EINVAL;
    return compile_mappings(h, &c->urls, TARGET_URL, err);
}

struct hook *hook_new(const struct config_hook *c, struct error *err)
{
    struct hook *h = alloc_zeroed(1, sizeof(*h));

    if (compile(h, c, err) == 0)
        return h;
    hook_free(h);
    return NULL;
}

void hook_free(struct hook *h)
{
    if (!h)
        return;
    for (uint32_t i = 0; i < h->conditions_count; i++) {
        free(h->conditions[i].text);
        free(h->conditions[i].header);
        jsonpath_deinit(&h->conditions[i].path);
    }
    for (uint32_t i = 0; i < h->mappings_count; i++) {
        template_free(h->mappings[i].template);
        free(h->mappings[i].text);
    }
    free(h->conditions);
    free(h->mappings);
    for (uint32_t i = 0; i < h->services_count; i++)
        free(h->services[i]);
    free(h);
}

/* -- conditions -- */

static bool text_fits(const struct condition *c, struct span text)
{
    if (!c->compares)
        return true;
    if (c->starts && text.n > c->value.n)
        text.n = c->value.n;
    return span_eq(text, c->value);
}

static bool value_fits(const json_t *value, const void *context)
{
    const struct condition *c = context;
    char room[JSONPATH_NUMBER_ROOM];
    struct span text;

    if (!c->compares)
        return !json_is_null(value);
    return jsonpath_text(value, room, &text) && text_fits(c, text);
}

static bool holds(const struct condition *c, const json_t *document,
                  const struct hook_request *request)
{
    struct span text;
    bool fits;

    if (c->header)
        fits = hook_request_header(request, c->header, &text) && text_fits(c, text);
    else
        fits = jsonpath_any(document, &c->path, value_fits, c);
    return fits != c->negated;
}

/* -- targets -- */

void hook_job_init(struct hook_job *j)
{
    *j = (struct hook_job){0};
    buf_init(&j->text, HOOK_MAX_BYTES + OTHER_FIELDS_MAX_BYTES);
}

void hook_job_deinit(struct hook_job *j)
{
    buf_deinit(&j->text);
    free(j->fields);
    free(j->targets);
    free(j->slots);
    hook_job_init(j);
}

static struct span target_bytes(const struct hook_job *j, const struct hook_target *t)
{
    return span_of(j->text.p + t->at, t->n);
}

/* The slot of an equal target, or the free slot where this target belongs. A slot contains the
 * target's number + 1; 0 means free. */
static uint32_t *find(struct hook_job *j, enum target_kind kind, struct span bytes)
{
    uint32_t last = j->slots_count - 1;
    uint32_t at = target_hash(kind, 0, bytes) & last;

    for (;; at = (at + 1) & last) {
        const struct hook_target *other;

        if (j->slots[at] == 0)
            return &j->slots[at];
        other = &j->targets[j->slots[at] - 1];
        if (other->kind == kind && target_same(kind, target_bytes(j, other), bytes))
            return &j->slots[at];
    }
}

/* Doubles the number of slots, so that at most half of them are ever in use. */
static void grow(struct hook_job *j)
{
    j->targets_room = j->targets_room ? j->targets_room * 2 : 16;
    j->targets = alloc_grow(j->targets, j->targets_room, sizeof(*j->targets));
    free(j->slots);
    j->slots_count = j->targets_room * 2;
    j->slots = alloc_zeroed(j->slots_count, sizeof(*j->slots));
    for (uint32_t i = 0; i < j->targets_count; i++)
        *find(j, j->targets[i].kind, target_bytes(j, &j->targets[i])) = i + 1;
}

/* The context for applying one mapping. */
struct mapper {
    const struct hook *h;
    const struct mapping *m;
    struct hook_job *job;
    struct error *err;
};

static int refuse(const struct mapper *x, struct span bytes, const char *why)
{
    char template[96], shown[96];

    log_quote(template, sizeof(template), x->m->text, strlen(x->m->text));
    log_quote(shown, sizeof(shown), bytes.p, bytes.n < 40 ? bytes.n : 40);
    return error_set(x->err, -EINVAL, "%s[%u] %s: %s%s%s", list_name(x->m->kind), x->m->nth,
                     template, why, bytes.n ? ": " : "", bytes.n ? shown : "");
}

static int too_many(struct error *err, const struct hook *h)
{
    return error_set(err, -E2BIG,
                     "max_targets: the request names more than %u, or more than %u bytes of them",
                     h->max_targets, HOOK_MAX_BYTES);
}

static int add_target(void *context, struct span bytes)
{
    const struct mapper *x = context;
    struct hook_job *j = x->job;
    const char *why = "";
    uint32_t *slot;

    if ((x->m->kind == TARGET_KEY ? key_check(bytes, &why) : url_check(bytes, &why)) < 0)
        return refuse(x, bytes, why);
    if (j->targets_count == j->targets_room)
        grow(j);
    slot = find(j, x->m->kind, bytes);
    if (*slot)
        return 0;
    if (j->targets_count == x->h->max_targets || j->text.n + bytes.n >= HOOK_MAX_BYTES)
        return too_many(x->err, x->h);
    j->targets[j->targets_count] = (struct hook_target){x->m->kind, j->text.n, bytes.n};
    /* The blank separates the keys, because all keys go into one field. */
    buf_put(&j->text, bytes);
    buf_putc(&j->text, ' ');
    *slot = ++j->targets_count;
    return 0;
}

static int map(const struct hook *h, struct template_source *source, struct hook_job *j,
               struct error *err)
{
    for (uint32_t i = 0; i < h->mappings_count; i++) {
        struct mapper x = {h, &h->mappings[i], j, err};
        int e;

        err->text[0] = '\0';
        e = template_expand(x.m->template, source, add_target, &x);
        j->missing = source->missing;
        if (e < 0 && err->text[0] == '\0')
            refuse(&x, SPAN(""),
                   e == -E2BIG ? "its lists have too many elements"
                               : "a result is longer than any URL may be");
        if (e < 0)
            return e == -EMSGSIZE ? -EINVAL : e;
        if (x.m->kind == TARGET_KEY)
            j->keys = j->targets_count;
    }
    j->urls = j->targets_count - j->keys;
    return 0;
}

/* -- fields -- */

static void put_field(struct hook_job *j, struct span name, struct span value)
{
    j->fields[j->fields_count++] = name;
    j->fields[j->fields_count++] = value;
}

/* Copies the value into the job, which may outlive the hook. make_fields has reserved the space, so
 * the text does not move. */
static void put_copy(struct hook_job *j, struct span name, const char *value)
{
    size_t at = j->text.n;

    if (!*value)
        return;
    buf_put(&j->text, span_str(value));
    put_field(j, name, span_of(j->text.p + at, j->text.n - at));
}

/* The keys come first in the text, each followed by a blank, so together they already are the
 * field's value. */
static void make_fields(const struct hook *h, struct hook_job *j)
{
    size_t room = 2 * ((size_t)j->urls + h->services_count + 3), n = j->text.n;

    if (room > j->fields_room) {
        j->fields = alloc_grow(j->fields, room, sizeof(*j->fields));
        j->fields_room = room;
    }
    /* Reserves space by appending and truncating, because the text must not move once spans point
     * into it. */
    for (uint32_t i = 0; i < h->services_count; i++)
        buf_put(&j->text, span_str(h->services[i]));
    buf_put(&j->text, span_str(h->repeat_after));
    j->text.n = n;
    if (j->keys) {
        const struct hook_target *last = &j->targets[j->keys - 1];

        put_field(j, SPAN("keys"), span_of(j->text.p, last->at + last->n));
    }
    for (uint32_t i = j->keys; i < j->targets_count; i++)
        put_field(j, SPAN("url"), target_bytes(j, &j->targets[i]));
    for (uint32_t i = 0; i < h->services_count; i++)
        put_copy(j, SPAN("service"), h->services[i]);
    if (h->soft)
        put_field(j, SPAN("soft"), SPAN("1"));
    put_copy(j, SPAN("repeat_after"), h->repeat_after);
}

static void begin(struct hook_job *j)
{
    buf_clear(&j->text);
    j->fields_count = 0;
    j->keys = j->urls = j->missing = j->targets_count = 0;
    if (j->slots_count)
        memset(j->slots, 0, j->slots_count * sizeof(*j->slots));
}

int hook_apply(const struct hook *h, const struct json_t *document,
               const struct hook_request *request, struct hook_job *out, struct error *err)
{
    struct template_source source = {
        .document = document, .header = request->header, .header_context = request->header_context};
    char shown[96];
    int e;

    begin(out);
    for (uint32_t i = 0; i < h->conditions_count; i++) {
        const struct condition *c = &h->conditions[i];

        if (holds(c, document, request))
            continue;
        return error_set(err, -ENOENT, "when[%u] %s: not so", i,
                         log_quote(shown, sizeof(shown), c->text, strlen(c->text)));
    }
    e = map(h, &source, out, err);
    if (e < 0)
        return e;
    if (out->targets_count == 0)
        return error_set(err, -ENOENT, "keys: no template found anything to purge");
    make_fields(h, out);
    return 0;
}
