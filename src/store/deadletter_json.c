/* SPDX-License-Identifier: MIT */
#include "deadletter_json.h"

#include <jansson.h>

#include "json_text.h"
#include "log.h"

/* A field that occurs several times (url) becomes a list. */
static void add_field(json_t *fields, struct span name, struct span value)
{
    char key[256];
    json_t *old;

    log_quote(key, sizeof(key), name.p, name.n);
    old = json_object_get(fields, key);
    if (!old)
        json_object_set_new(fields, key, json_text(value));
    else if (json_is_array(old))
        json_array_append_new(old, json_text(value));
    else
        json_object_set_new(fields, key, json_pack("[Oo]", old, json_text(value)));
}

json_t *deadletter_json(const struct deadletter *l)
{
    json_t *fields = json_object();
    json_t *j = json_pack("{sososososIso}", "id", json_text(l->id), "job", json_text(l->job),
                          "reason", json_text(l->reason), "target", json_text(l->target), "at",
                          (json_int_t)l->at_ms, "fields", fields);

    if (l->by.n)
        json_object_set_new(j, "by", json_text(l->by));
    if (l->message.p)
        json_object_set_new(j, "message", json_text(l->message));
    for (size_t i = 0; i < l->fields_count; i += 2)
        if (!deadletter_added(l->fields[i]))
            add_field(fields, l->fields[i], l->fields[i + 1]);
    return j;
}
