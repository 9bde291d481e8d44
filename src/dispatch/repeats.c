/* SPDX-License-Identifier: MIT */
#include "repeats.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "job.h"
#include "json_text.h"

const char *const repeats_whats[REPEATS_WHAT_N] = {"targets", "all"};

struct repeats_service {
    char *id, *shown;         /* its name, or its id */
    struct repeat_seen *seen; /* NULL: none yet */
};

struct repeats {
    struct repeats_service *services;
    uint32_t count;
    struct repeat_seen all; /* of every service, and of URLs without one */
};

static void drop_services(struct repeats_service *services, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(services[i].id);
        free(services[i].shown);
        free(services[i].seen);
    }
    free(services);
}

static struct repeats_service *service_with_id(const struct repeats *r, const char *id)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (strcmp(r->services[i].id, id) == 0)
            return &r->services[i];
    return NULL;
}

void repeats_configure(struct repeats *r, const struct config_account *a)
{
    struct repeats_service *services = alloc_zeroed(a->services_count + 1, sizeof(*services));

    for (uint32_t i = 0; i < a->services_count; i++) {
        const struct config_service *s = &a->services[i];
        struct repeats_service *old = service_with_id(r, s->id);

        services[i].id = alloc_str(s->id);
        services[i].shown = alloc_str(*s->name ? s->name : s->id);
        if (old) {
            services[i].seen = old->seen;
            old->seen = NULL;
        }
    }
    drop_services(r->services, r->count);
    r->services = services;
    r->count = a->services_count;
}

struct repeats *repeats_new(const struct config_account *a)
{
    struct repeats *r = alloc_zeroed(1, sizeof(*r));

    repeats_configure(r, a);
    return r;
}

void repeats_free(struct repeats *r)
{
    if (!r)
        return;
    drop_services(r->services, r->count);
    free(r);
}

void repeats_saw(struct repeats *r, uint16_t service, uint64_t stale_ns)
{
    repeat_add(&r->all, stale_ns / NS_PER_MS);
    if (service >= r->count)
        return;
    if (!r->services[service].seen)
        r->services[service].seen = alloc_zeroed(1, sizeof(struct repeat_seen));
    repeat_add(r->services[service].seen, stale_ns / NS_PER_MS);
}

static uint64_t learnt_ms(const struct repeats *r, uint32_t service)
{
    return service < r->count && r->services[service].seen ? r->services[service].seen->learnt_ms
                                                           : 0;
}

uint64_t repeats_after_ms(const struct repeats *r, uint16_t service, enum repeats_what what)
{
    uint64_t ms = learnt_ms(r, service);

    if (!ms)
        ms = r->all.learnt_ms;
    if (!ms)
        ms = REPEAT_DEFAULT_MS;
    return what == REPEATS_ALL ? max_u64(ms, REPEAT_ALL_MS) : ms;
}

json_t *repeats_json(const struct repeats *r)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < r->count && json_array_size(list) < REPEATS_SHOWN_MAX; i++)
        if (learnt_ms(r, i))
            json_array_append_new(list,
                                  json_pack("{sosI}", "service", json_text_of(r->services[i].shown),
                                            "after_ms", (json_int_t)learnt_ms(r, i)));
    return list;
}
