/* SPDX-License-Identifier: MIT */
#include "deadletter_json.h"

#include <jansson.h>

#include "log.h"

static json_t *text_json(struct span s)
{
    json_t *j = json_stringn(s.p, s.n);
    char shown[512];

    return j ? j : json_string(log_quote(shown, sizeof(shown), s.p, s.n)); /* no UTF-8 */
}

/* A field that stands there several times (url) becomes a list. */
static void add_field(json_t *fields, struct span name, struct span value)
{
    char key[256];
    json_t *old;

    log_quote(key, sizeof(key), name.p, name.n);
    old = json_object_get(fields, key);
    if (!old)
        json_object_set_new(fields, key, text_json(value));
    else if (json_is_array(old))
        json_array_append_new(old, text_json(value));
    else
        json_object_set_new(fields, key, json_pack("[Oo]", old, text_json(value)));
}

json_t *deadletter_json(const struct deadletter *l)
{
    json_t *fields = json_object();
    json_t *j = json_pack("{sososososIso}", "id", text_json(l->id), "job", text_json(l->job),
                          "reason", text_json(l->reason), "target", text_json(l->target), "at",
                          (json_int_t)l->at_ms, "fields", fields);

    must(j != NULL);
    for (size_t i = 0; i + 1 < reply_count(l->fields); i += 2) {
        struct span name = reply_text(reply_at(l->fields, i));

        if (!deadletter_added(name))
            add_field(fields, name, reply_text(reply_at(l->fields, i + 1)));
    }
    return j;
}
