/* SPDX-License-Identifier: MIT */
#include "job.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc.h"
#include "log.h"
#include "suggest.h"
#include "verify_page.h"
#include "when.h"

/* The state of decoding one entry into a spec. */
struct decoding {
    struct job_decoder *d;
    const struct config_account *account;
    struct job_spec spec;
    struct span services[JOB_SERVICES_MAX]; /* as named by the entry, each text once */
    uint32_t services_count;
    uint32_t named; /* number of targets, duplicates included */
    uint32_t urls;  /* of these */
    bool all;
    struct error *err;
};

uint64_t job_bytes(const struct span *fields, size_t fields_count)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < fields_count; i++)
        bytes += fields[i].n + JOB_STRING_BYTES;
    return bytes;
}

void job_decoder_init(struct job_decoder *d)
{
    *d = (struct job_decoder){0};
}

void job_decoder_deinit(struct job_decoder *d)
{
    free(d->targets);
    free(d->slots);
    free(d->when);
    free(d->page);
    *d = (struct job_decoder){0};
}

/* -- the set of targets -- */

static void begin(struct job_decoder *d)
{
    d->count = 0;
    if (++d->mark == 0) { /* the mark wrapped around: old marks would look current */
        if (d->slots_count)
            memset(d->slots, 0, d->slots_count * sizeof(*d->slots));
        d->mark = 1;
    }
}

/* The slot that holds an equal target, or the free one where it belongs. */
static struct job_slot *find_slot(struct job_decoder *d, const struct job_target *t)
{
    uint32_t last = d->slots_count - 1;
    uint32_t at = target_hash(t->kind, 0, t->bytes) & last;

    for (;; at = (at + 1) & last) {
        struct job_slot *slot = &d->slots[at];
        const struct job_target *other = &d->targets[slot->target];

        if (slot->mark != d->mark ||
            (other->kind == t->kind && target_same(t->kind, other->bytes, t->bytes)))
            return slot;
    }
}

/* Doubles the number of slots, so that at most half of them are ever in use. */
static void grow(struct job_decoder *d)
{
    d->room = d->room ? d->room * 2 : 16;
    d->targets = alloc_grow(d->targets, d->room, sizeof(*d->targets));
    free(d->slots);
    d->slots_count = d->room * 2;
    d->slots = alloc_zeroed(d->slots_count, sizeof(*d->slots));
    for (uint32_t i = 0; i < d->count; i++)
        *find_slot(d, &d->targets[i]) = (struct job_slot){d->mark, i};
}

static void add_target(struct job_decoder *d, const struct job_target *t)
{
    struct job_slot *slot;

    if (d->count == d->room)
        grow(d);
    if (d->count == 0) { /* most jobs have only one target, which needs no hash */
        d->targets[d->count++] = *t;
        return;
    }
    if (d->count == 1)
        *find_slot(d, d->targets) = (struct job_slot){d->mark, 0};
    slot = find_slot(d, t);
    if (slot->mark == d->mark)
        return;
    *slot = (struct job_slot){d->mark, d->count};
    d->targets[d->count++] = *t;
}

static int add(struct decoding *x, const char *field, enum target_kind kind, struct span bytes)
{
    struct job_target t = {.kind = kind, .bytes = bytes};

    if (x->named++ == JOB_TARGETS_MAX)
        return error_set(x->err, -EINVAL, "%s: more than %d targets in one job", field,
                         JOB_TARGETS_MAX);
    add_target(x->d, &t);
    x->urls += kind == TARGET_URL;
    return 0;
}

/* -- the fields -- */

static int take_keys(struct decoding *x, struct span value)
{
    unsigned nth = 0;
    const char *why;
    struct span key;

    while (span_next_word(&value, ' ', &key)) {
        nth++;
        if (key_check(key, &why) < 0)
            return error_set(x->err, -EINVAL, "keys: %s (key %u)", why, nth);
        if (add(x, "keys", TARGET_KEY, key) < 0)
            return -EINVAL;
    }
    return 0;
}

static int take_url(struct decoding *x, struct span value)
{
    const char *why;

    if (url_check(value, &why) < 0)
        return error_set(x->err, -EINVAL, "url: %s", why);
    return add(x, "url", TARGET_URL, value);
}

static int take_flag(struct decoding *x, const char *name, struct span value, bool *out)
{
    if (value.n != 1 || (value.p[0] != '0' && value.p[0] != '1'))
        return error_set(x->err, -EINVAL, "%s: neither 0 nor 1", name);
    *out = value.p[0] == '1';
    return 0;
}

static int take_all(struct decoding *x, struct span value)
{
    if (take_flag(x, "all", value, &x->all) < 0)
        return -EINVAL;
    return x->all ? add(x, "all", TARGET_ALL, SPAN("")) : 0;
}

static int take_soft(struct decoding *x, struct span value)
{
    return take_flag(x, "soft", value, &x->spec.soft);
}

static int take_verify(struct decoding *x, struct span value)
{
    if (value.n < 2)
        return take_flag(x, "verify", value, &x->spec.verify);
    if (!x->d->page)
        x->d->page = alloc_bytes(sizeof(*x->d->page));
    x->spec.page = x->d->page;
    x->spec.verify = true;
    return verify_page_parse(value, x->d->page, x->err);
}

static int take_service(struct decoding *x, struct span value)
{
    if (value.n == 0)
        return error_set(x->err, -EINVAL, "service: empty");
    for (uint32_t i = 0; i < x->services_count; i++)
        if (span_eq(x->services[i], value))
            return 0;
    if (x->services_count == JOB_SERVICES_MAX)
        return error_set(x->err, -EINVAL, "service: more than %d services in one job",
                         JOB_SERVICES_MAX);
    x->services[x->services_count++] = value;
    return 0;
}

static int take_number(struct decoding *x, const char *name, struct span value, uint64_t max,
                       uint64_t *out)
{
    uint64_t number;
    int err = span_to_u64(value, &number);

    if (err == -EINVAL)
        return error_set(x->err, -EINVAL, "%s: not a whole number of milliseconds", name);
    if (err < 0 || number > max)
        return error_set(x->err, -EINVAL, "%s: above %llu ms", name, (unsigned long long)max);
    *out = number;
    return 0;
}

static int take_not_before(struct decoding *x, struct span value)
{
    return take_number(x, "not_before", value, JOB_TIME_MAX_MS, &x->spec.not_before_ms);
}

static int take_expires(struct decoding *x, struct span value)
{
    return take_number(x, "expires", value, JOB_TIME_MAX_MS, &x->spec.expires_ms);
}

static int take_repeat_after(struct decoding *x, struct span value)
{
    if (span_is(value, REPEAT_AUTO)) {
        x->spec.repeat_auto = true;
        return 0;
    }
    return take_number(x, "repeat_after", value, JOB_REPEAT_MAX_MS, &x->spec.repeat_after_ms);
}

bool job_is_plain(const struct job_spec *spec)
{
    return spec->ref.n == 0 && spec->original.n == 0 && spec->repeat_after_ms == 0 &&
           !spec->repeat_auto && !spec->verify;
}

static int take_when(struct decoding *x, struct span value)
{
    if (!x->d->when)
        x->d->when = alloc_bytes(sizeof(*x->d->when));
    x->spec.when = x->d->when;
    return when_parse(value, x->d->when, x->err);
}

static int take_ref(struct decoding *x, struct span value)
{
    if (value.n > JOB_REF_MAX_BYTES)
        return error_set(x->err, -EINVAL, "ref: longer than %d bytes", JOB_REF_MAX_BYTES);
    x->spec.ref = value;
    return 0;
}

static int take_by(struct decoding *x, struct span value)
{
    if (!job_by_ok(value))
        return error_set(x->err, -EINVAL, "by: not 1 to %d bytes", JOB_BY_MAX_BYTES);
    x->spec.by = value;
    return 0;
}

static int take_job(struct decoding *x, struct span value)
{
    if (value.n == 0 || value.n > JOB_ORIGINAL_MAX_BYTES)
        return error_set(x->err, -EINVAL, "job: not 1 to %d bytes", JOB_ORIGINAL_MAX_BYTES);
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '+' && c != '-')
            return error_set(x->err, -EINVAL, "job: a byte other than a-z 0-9 + -");
    }
    x->spec.original = value;
    return 0;
}

/* The field names a producer may use, the most frequent first. */
static const struct field {
    struct span name;
    int (*take)(struct decoding *x, struct span value);
    bool repeats;
} fields_known[] = {
    {{"keys", 4}, take_keys, true},
    {{"service", 7}, take_service, true},
    {{"url", 3}, take_url, true},
    {{"soft", 4}, take_soft, false},
    {{"ref", 3}, take_ref, false},
    {{"all", 3}, take_all, false},
    {{"not_before", 10}, take_not_before, false},
    {{"expires", 7}, take_expires, false},
    {{"repeat_after", 12}, take_repeat_after, false},
    {{"when", 4}, take_when, false},
    {{"verify", 6}, take_verify, false},
    {{"job", 3}, take_job, false},
    {{"by", 2}, take_by, false},
};

bool job_field_known(struct span name)
{
    for (size_t i = 0; i < array_len(fields_known); i++)
        if (span_eq(name, fields_known[i].name))
            return true;
    return false;
}

int job_unknown_field(struct span name, struct error *err)
{
    const char *names[array_len(fields_known)], *meant;
    char shown[64];

    for (size_t i = 0; i < array_len(fields_known); i++)
        names[i] = fields_known[i].name.p;
    log_quote(shown, sizeof(shown), name.p, name.n);
    meant = suggest_word(shown, names, array_len(names));
    return error_set(err, -EINVAL, "%s: unknown field%s%s%s", shown, meant ? "; did you mean " : "",
                     meant ? meant : "", meant ? "?" : "");
}

static int take_field(struct decoding *x, struct span name, struct span value, uint32_t *seen)
{
    for (unsigned i = 0; i < array_len(fields_known); i++) {
        const struct field *f = &fields_known[i];

        if (!span_eq(name, f->name))
            continue;
        if (!f->repeats && *seen & 1u << i)
            return error_set(x->err, -EINVAL, "%s: given twice", f->name.p);
        *seen |= 1u << i;
        return f->take(x, value);
    }
    if (name.n > 5 && memcmp(name.p, "dead_", 5) == 0) {
        if (!x->spec.by.n && span_is(name, JOB_FIELD_BY) && job_by_ok(value))
            x->spec.by = value;
        return 0;
    }
    return job_unknown_field(name, x->err);
}

/* -- the services -- */

static bool is_service(const struct config_service *s, struct span name)
{
    return span_is(name, s->id) || (s->name && *s->name && span_is(name, s->name));
}

/* An account may have a thousand services, so the place where the name was last found is tried
 * first. */
static int service_index(struct job_decoder *d, const struct config_account *a, struct span name,
                         uint16_t *out)
{
    uint16_t *guess = &d->service_cache[target_hash(TARGET_KEY, 0, name) % JOB_SERVICE_CACHE];

    if (*guess < a->services_count && is_service(&a->services[*guess], name)) {
        *out = *guess;
        return 0;
    }
    for (uint32_t i = 0; i < a->services_count; i++) {
        if (is_service(&a->services[i], name)) {
            *out = *guess = (uint16_t)i;
            return 0;
        }
    }
    return -ENOENT;
}

static bool needs_service(const struct decoding *x)
{
    return x->named > x->urls;
}

/* A service that is named by its id and by its name counts once. */
static void take_one_service(struct decoding *x, uint16_t service, struct span name)
{
    for (uint32_t i = 0; i < x->spec.services_count; i++)
        if (x->d->services[i] == service)
            return;
    x->d->services[x->spec.services_count] = service;
    x->d->service_names[x->spec.services_count++] = name;
}

static int find_service(struct decoding *x, struct span name)
{
    const struct config_account *a = x->account;
    char shown[96];
    uint16_t service;

    if (service_index(x->d, a, name, &service) < 0)
        return error_set(x->err, -EINVAL, "service: \"%s\" is not a service of account %s",
                         log_quote(shown, sizeof(shown), name.p, name.n), a->name);
    take_one_service(x, service, name);
    return 0;
}

static int find_default_service(struct decoding *x)
{
    const struct config_account *a = x->account;
    struct span name = span_str(a->default_service);

    if (name.n)
        return find_service(x, name);
    if (a->services_count > 1)
        return error_set(x->err, -EINVAL, "service: missing, and account %s has no default_service",
                         a->name);
    take_one_service(x, 0, SPAN(""));
    return 0;
}

static int find_services(struct decoding *x)
{
    int rc = 0;

    x->spec.service = SERVICE_NONE;
    if (!x->services_count && !needs_service(x))
        return 0;
    if (x->account->services_count == 0)
        return error_set(x->err, -EINVAL, "service: account %s has none configured",
                         x->account->name);
    if (!x->services_count)
        rc = find_default_service(x);
    for (uint32_t i = 0; rc == 0 && i < x->services_count; i++)
        rc = find_service(x, x->services[i]);
    if (rc == 0)
        x->spec.service = x->d->services[0];
    return rc;
}

/* Adds the targets again for each service after the first. */
static int repeat_for_services(struct decoding *x)
{
    struct job_decoder *d = x->d;
    uint32_t once = d->count, services = x->spec.services_count, more = 0;

    for (uint32_t i = 0; i < once; i++) {
        d->targets[i].service = x->spec.service;
        more += d->targets[i].kind != TARGET_URL;
    }
    if (services < 2 || !needs_service(x))
        return 0;
    if ((uint64_t)(x->named - x->urls) * services + x->urls > JOB_TARGETS_MAX)
        return error_set(
            x->err, -EINVAL,
            "service: more than %d targets in one job: its %u keys count once for each "
            "of %u services",
            JOB_TARGETS_MAX, x->named - x->urls, services);
    while (d->room < once + more * (services - 1))
        grow(d);
    for (uint32_t s = 1; s < services; s++) {
        for (uint32_t i = 0; i < once; i++) {
            if (d->targets[i].kind == TARGET_URL)
                continue;
            d->targets[d->count] = d->targets[i];
            d->targets[d->count++].service = d->services[s];
        }
    }
    return 0;
}

/* -- checks that involve more than one field -- */

/* A page without a URL is that of the job's only target. */
static int fill_page(struct decoding *x)
{
    const struct job_target *t = x->d->targets;
    struct verify_page *page = x->d->page;

    if (*page->url)
        return 0;
    if (x->d->count != 1 || t->kind != TARGET_URL)
        return error_set(x->err, -EINVAL, "verify: url: missing, and the job is not for one URL");
    if (t->bytes.n > VERIFY_PAGE_URL_MAX_BYTES)
        return error_set(x->err, -EINVAL, "verify: the job's URL is longer than %d bytes",
                         VERIFY_PAGE_URL_MAX_BYTES);
    memcpy(page->url, t->bytes.p, t->bytes.n);
    page->url[t->bytes.n] = '\0';
    return 0;
}

static int finish(struct decoding *x)
{
    struct job_spec *s = &x->spec;

    if (x->all && s->soft)
        return error_set(x->err, -EINVAL, "soft: not possible with all");
    if (x->all && !x->account->allow_purge_all)
        return error_set(x->err, -EINVAL,
                         "all: purge-all is not allowed for account %s (allow_purge_all)",
                         x->account->name);
    if (x->d->count == 0)
        return error_set(x->err, -EINVAL, "no target: one of keys, url, all");
    if (s->verify && !s->page && needs_service(x))
        return error_set(x->err, -EINVAL,
                         "verify: keys and all do not say which page to look at: name one, like "
                         "{\"url\": \"https://www.example.com/\"}");
    if (s->page && fill_page(x) < 0)
        return -EINVAL;
    if (s->expires_ms && s->expires_ms <= s->not_before_ms)
        return error_set(x->err, -EINVAL, "expires: not after not_before");
    if (s->when && when_check_origin(&x->account->origins, s->when, x->err) < 0)
        return -EINVAL;
    if (find_services(x) < 0)
        return -EINVAL;
    return repeat_for_services(x);
}

int job_decode(struct job_decoder *d, const struct config_account *account,
               const struct span *fields, size_t fields_count, struct job_spec *out,
               struct error *err)
{
    struct decoding x = {.d = d, .account = account, .err = err};
    uint32_t seen = 0;
    int e;

    begin(d);
    if (fields_count % 2)
        return error_set(err, -EINVAL, "a field has no value");
    for (size_t i = 0; i < fields_count; i += 2) {
        e = take_field(&x, fields[i], fields[i + 1], &seen);
        if (e < 0)
            return e;
    }
    e = finish(&x);
    if (e < 0)
        return e;
    x.spec.targets = d->targets;
    x.spec.targets_count = d->count;
    x.spec.services = d->services;
    x.spec.service_names = d->service_names;
    *out = x.spec;
    return 0;
}

/* -- ids -- */

static bool cut_number(struct span *s, bool *padded)
{
    struct span number;
    uint64_t ignored;
    size_t n = 0;

    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    number = span_of(s->p, n);
    if (span_to_u64(number, &ignored) < 0)
        return false;
    *padded |= span_to_plain_u64(number, &ignored) < 0;
    *s = span_of(s->p + n, s->n - n);
    return true;
}

static bool cut(struct span *s, struct span begin)
{
    if (s->n < begin.n || !span_eq(span_of(s->p, begin.n), begin))
        return false;
    *s = span_of(s->p + begin.n, s->n - begin.n);
    return true;
}

enum job_id_form job_id_form(struct span id, enum lane *lane)
{
    const char *dash = id.n ? memchr(id.p, '-', id.n) : NULL;
    bool padded = false;

    if (!dash || id.n >= JOB_ID_ROOM || lane_parse(span_of(id.p, (size_t)(dash - id.p)), lane) < 0)
        return JOB_ID_NONE;
    id = span_of(dash + 1, id.n - (size_t)(dash + 1 - id.p));
    if (!cut_number(&id, &padded) || !cut(&id, SPAN("-")) || !cut_number(&id, &padded))
        return JOB_ID_NONE;
    while (cut(&id, SPAN("+r")))
        ;
    if (id.n)
        return JOB_ID_NONE;
    return padded ? JOB_ID_PADDED : JOB_ID_PLAIN;
}

bool job_id_ok(struct span id, enum lane *lane)
{
    return job_id_form(id, lane) == JOB_ID_PLAIN;
}
