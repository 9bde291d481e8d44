/* SPDX-License-Identifier: MIT */
#include <jansson.h>
#include <string.h>

#include "http_internal.h"

bool request_may_see(const struct config_producer *who, const struct config_account *a,
                     enum lane lane, const json_t *scope)
{
    bool kind_with_service = false, service = false;
    const json_t *word;
    size_t i;

    if (auth_may_anything(who, lane))
        return true;
    if (json_array_size(scope) == 0 || !(who->lanes & 1u << lane))
        return false; /* a receipt of an older version, or of a job that cannot be decoded */
    json_array_foreach(scope, i, word)
    {
        struct span at = span_of(json_string_value(word), json_string_length(word));

        if (!at.p || !auth_may_word(who, a, at))
            return false;
        kind_with_service |= span_is(at, "key") || span_is(at, "all");
        service |= at.n > 8 && memcmp(at.p, "service:", 8) == 0;
    }
    return service || !kind_with_service || who->services.count == 0 ||
           auth_may_default_service(who, a);
}

bool request_is_pusher(const struct config_producer *who, struct span by)
{
    return job_by_producer(by) && span_is(by, who->name);
}

bool request_pushed(const struct config_producer *who, const json_t *j)
{
    const json_t *by = json_object_get(j, "by");

    return json_is_string(by) &&
           request_is_pusher(who, span_of(json_string_value(by), json_string_length(by)));
}

void request_hide_pusher(const struct config_producer *who, json_t *j)
{
    if (!who->admin && !request_pushed(who, j))
        json_object_del(j, "by");
}
