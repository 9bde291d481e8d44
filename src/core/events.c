/* SPDX-License-Identifier: MIT */
#include "events.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PURGE_ALL "service.purge_all"

/* Brackets are not allowed in a query, RFC 3986 section 3.4, so they are encoded. */
void events_put_path(struct buf *out, uint64_t from_ms)
{
    time_t from_s = (time_t)(from_ms / 1000);
    char from[32] = "";
    struct tm tm;

    if (gmtime_r(&from_s, &tm))
        strftime(from, sizeof(from), "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_printf(out,
               "/events?filter%%5Bevent_type%%5D=" PURGE_ALL
               "&filter%%5Bcreated_at%%5D%%5Bgte%%5D=%s&page%%5Bsize%%5D=%d&sort=-created_at",
               from, EVENTS_MAX);
}

static bool is_id_byte(char c)
{
    return byte_is_alnum(c) || c == '_' || c == '-';
}

/* Copies an id of Fastly's, and nothing that could end a line of the log or a word in Redis. */
static void take_id(const json_t *value, char out[EVENTS_ID_ROOM])
{
    const char *text = json_string_value(value);
    size_t n = text ? strlen(text) : 0;

    out[0] = '\0';
    if (n == 0 || n >= EVENTS_ID_ROOM)
        return;
    for (size_t i = 0; i < n; i++)
        if (!is_id_byte(text[i]))
            return;
    memcpy(out, text, n + 1);
}

/* "2026-11-29T08:00:00Z", also with fractions of a second; 0 if it is no such time. */
static uint64_t time_of(const json_t *value)
{
    const char *text = json_string_value(value);
    struct tm tm = {0};
    time_t at;

    if (!text || !strptime(text, "%Y-%m-%dT%H:%M:%S", &tm))
        return 0;
    at = timegm(&tm);
    return at > 0 ? (uint64_t)at * 1000 : 0;
}

static bool take_event(const json_t *entry, uint64_t from_ms, struct event *out)
{
    const json_t *a = json_object_get(entry, "attributes");
    const char *type = json_string_value(json_object_get(a, "event_type"));

    if (!type || strcmp(type, PURGE_ALL) != 0)
        return false;
    take_id(json_object_get(entry, "id"), out->id);
    take_id(json_object_get(a, "service_id"), out->service);
    take_id(json_object_get(a, "token_id"), out->token);
    take_id(json_object_get(a, "user_id"), out->user);
    out->at_ms = time_of(json_object_get(a, "created_at"));
    return out->id[0] && out->at_ms >= from_ms && out->at_ms > 0;
}

int events_read(struct span body, uint64_t from_ms, struct event out[EVENTS_MAX], size_t *count,
                struct error *err)
{
    json_t *doc = json_loadb(body.n ? body.p : "", body.n, 0, NULL);
    const json_t *data = json_object_get(doc, "data"), *entry;
    bool is_list = json_is_array(data);
    size_t i, n = 0;

    json_array_foreach(data, i, entry)
    {
        if (n < EVENTS_MAX && take_event(entry, from_ms, &out[n]))
            n++;
    }
    json_decref(doc);
    if (!is_list)
        return error_set(err, -EINVAL, "the reply is no list of events");
    *count = n;
    return 0;
}

int events_read_author(struct span body, struct event_author *out)
{
    json_t *doc = json_loadb(body.n ? body.p : "", body.n, 0, NULL);

    take_id(json_object_get(doc, "id"), out->token);
    take_id(json_object_get(doc, "user_id"), out->user);
    json_decref(doc);
    return out->token[0] ? 0 : -EINVAL;
}
