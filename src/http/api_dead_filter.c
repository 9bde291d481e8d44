/* SPDX-License-Identifier: MIT */
#include "api_dead_filter.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

#define TIME_MAX_MS UINT64_C(253402300799999) /* the end of the year 9999 */

static const char *const text_names[] = {"reason", "target", "service", "producer"};
static const char *const text_faults[] = {"reason: expected a text of 1 to 2048 bytes",
                                          "target: expected a text of 1 to 2048 bytes",
                                          "service: expected the id or the name of a service",
                                          "producer: expected a name of 1 to 2048 bytes"};
static const char *const time_names[] = {"since", "until"};
static const char *const time_faults[] = {"since: expected Unix milliseconds",
                                          "until: expected Unix milliseconds"};

bool dead_filter_is_empty(const struct dead_filter *f)
{
    return !f->as.reason.n && !f->as.target.n && !f->as.service.n && !f->as.producer.n &&
           !f->as.since_ms && !f->as.until_ms;
}

void dead_filter_deinit(struct dead_filter *f)
{
    for (size_t i = 0; i < array_len(f->texts); i++)
        free(f->texts[i]);
    *f = (struct dead_filter){.as = {.account = NULL}};
}

static struct span *text_at(struct dead_filter *f, size_t i)
{
    struct span *const texts[] = {&f->as.reason, &f->as.target, &f->as.service, &f->as.producer};

    return texts[i];
}

static uint64_t *time_at(struct dead_filter *f, size_t i)
{
    return i == 0 ? &f->as.since_ms : &f->as.until_ms;
}

static const char *take_text(struct dead_filter *f, size_t i, struct span text)
{
    if (text.n == 0 || text.n > DEADLETTER_FILTER_MAX_BYTES)
        return text_faults[i];
    f->texts[i] = alloc_copy(text.p, text.n);
    *text_at(f, i) = span_of(f->texts[i], text.n);
    return NULL;
}

const char *dead_filter_of_query(const struct request *e, const struct config_account *a,
                                 struct dead_filter *out)
{
    const char *wrong = NULL;

    out->as.account = a;
    for (size_t i = 0; i < array_len(text_names) && !wrong; i++) {
        struct span value = request_query(e, text_names[i]);

        if (value.n)
            wrong = take_text(out, i, value);
    }
    for (size_t i = 0; i < array_len(time_names) && !wrong; i++) {
        struct span value = request_query(e, time_names[i]);

        if (value.n && (span_to_u64(value, time_at(out, i)) < 0 || *time_at(out, i) > TIME_MAX_MS))
            wrong = time_faults[i];
    }
    return wrong;
}

static bool is_known(const char *name)
{
    for (size_t i = 0; i < array_len(text_names); i++)
        if (strcmp(name, text_names[i]) == 0)
            return true;
    return strcmp(name, time_names[0]) == 0 || strcmp(name, time_names[1]) == 0;
}

static const char *take_time_json(struct dead_filter *f, size_t i, const json_t *value)
{
    json_int_t ms = json_integer_value(value);

    if (!json_is_integer(value) || ms < 1 || (uint64_t)ms > TIME_MAX_MS)
        return time_faults[i];
    *time_at(f, i) = (uint64_t)ms;
    return NULL;
}

const char *dead_filter_of_json(const json_t *filter, const struct config_account *a,
                                struct dead_filter *out)
{
    const char *wrong = NULL, *name;
    json_t *value;

    out->as.account = a;
    if (!json_is_object(filter) || json_object_size(filter) == 0)
        return "filter: expected an object with reason, target, service, producer, since or until";
    json_object_foreach((json_t *)filter, name, value)
    {
        if (!is_known(name))
            return "filter: unknown field; expected reason, target, service, producer, since or "
                   "until";
    }
    for (size_t i = 0; i < array_len(text_names) && !wrong; i++) {
        value = json_object_get(filter, text_names[i]);
        if (value)
            wrong = take_text(out, i, span_of(json_string_value(value), json_string_length(value)));
    }
    for (size_t i = 0; i < array_len(time_names) && !wrong; i++) {
        value = json_object_get(filter, time_names[i]);
        if (value)
            wrong = take_time_json(out, i, value);
    }
    return wrong;
}
