/* SPDX-License-Identifier: MIT */
#include "deadletter_filter.h"

#include <string.h>

static bool contains(struct span text, struct span part)
{
    return part.n == 0 || (text.n >= part.n && memmem(text.p, text.n, part.p, part.n) != NULL);
}

static bool is_target(struct span name)
{
    return span_is(name, "keys") || span_is(name, "url") || span_is(name, "key");
}

static bool passes_target(const struct deadletter_filter *f, const struct deadletter *l)
{
    bool passes = contains(l->target, f->target);

    for (size_t i = 0; i < l->fields_count && !passes; i += 2)
        passes = is_target(l->fields[i]) && contains(l->fields[i + 1], f->target);
    return passes;
}

/* The configured service that a word names, or NULL. */
static const struct config_service *service_named(const struct config_account *a, struct span word)
{
    for (uint32_t i = 0; i < a->services_count; i++)
        if (span_is(word, a->services[i].id) || span_is(word, a->services[i].name))
            return &a->services[i];
    return NULL;
}

/* The service of jobs that name none; NULL: there is none. */
static const struct config_service *usual_service(const struct config_account *a)
{
    if (a->default_service && *a->default_service)
        return service_named(a, span_str(a->default_service));
    return a->services_count == 1 ? &a->services[0] : NULL;
}

static bool is_service(const struct deadletter_filter *f, struct span word)
{
    const struct config_service *wanted = service_named(f->account, f->service);

    return span_eq(word, f->service) || (wanted && service_named(f->account, word) == wanted);
}

static bool passes_service(const struct deadletter_filter *f, const struct deadletter *l)
{
    const struct config_service *usual = usual_service(f->account);
    bool names_one = false, needs_one = false;

    for (size_t i = 0; i < l->fields_count; i += 2) {
        struct span name = l->fields[i];

        if (span_is(name, "service") && is_service(f, l->fields[i + 1]))
            return true;
        names_one |= span_is(name, "service");
        needs_one |= span_is(name, "keys") || span_is(name, "all");
    }
    return needs_one && !names_one && usual && usual == service_named(f->account, f->service);
}

static uint64_t time_of(const struct deadletter *l)
{
    const char *dash = l->id.n ? memchr(l->id.p, '-', l->id.n) : NULL;
    uint64_t ms;

    return dash && span_to_u64(span_of(l->id.p, (size_t)(dash - l->id.p)), &ms) == 0 ? ms : 0;
}

bool deadletter_filter_passes(const struct deadletter_filter *f, const struct deadletter *l)
{
    uint64_t ms = time_of(l);

    return ms >= f->since_ms && (!f->until_ms || ms <= f->until_ms) &&
           contains(l->reason, f->reason) && passes_target(f, l) &&
           (!f->producer.n || span_eq(l->by, f->producer)) &&
           (!f->service.n || passes_service(f, l));
}

bool deadletter_has_job(const struct deadletter *l)
{
    for (size_t i = 0; i < l->fields_count; i += 2)
        if (!deadletter_added(l->fields[i]) && !span_is(l->fields[i], "job"))
            return true;
    return false;
}
