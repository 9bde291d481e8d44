/* SPDX-License-Identifier: MIT */
#include "reload.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "act.h"
#include "dispatch_internal.h"
#include "json_text.h"
#include "sender.h"
#include "setting.h"
#include "setting_value.h"

static bool is_shown(const struct setting *s)
{
    return !s->secret && (s->type == SETTING_NUMBER || s->type == SETTING_BYTES ||
                          s->type == SETTING_FLAG || s->type == SETTING_CHOICE);
}

/* Numbers and flags as such, anything else as a text, like "256MiB". */
static json_t *value_json(const struct setting *s, const struct config_account *a)
{
    struct buf text;
    json_t *j;

    buf_init(&text, SETTING_TEXT_MAX_BYTES);
    setting_value_print(s, a, &text);
    j = json_loadb(text.p, text.n, JSON_DECODE_ANY, NULL);
    if (!j)
        j = json_text(buf_span(&text));
    buf_deinit(&text);
    return j;
}

json_t *reload_changes(const struct config_account *old, const struct config_account *fresh)
{
    json_t *changes = json_array();
    size_t count;
    const struct setting *table = setting_table(&count);

    for (size_t i = 0; i < count; i++) {
        const struct setting *s = &table[i];
        json_t *change;

        if (s->scope != SETTING_ACCOUNT || setting_same(s, old, fresh))
            continue;
        change = json_pack("{so}", "name", json_text_of(s->name));
        if (is_shown(s)) {
            json_object_set_new(change, "from", value_json(s, old));
            json_object_set_new(change, "to", value_json(s, fresh));
        }
        json_array_append_new(changes, change);
    }
    return changes;
}

/* "instance web-1", by the host in the instance's identity. */
static void name_instance(const struct dispatch *d, char *out, size_t room)
{
    const char *owner = d->options.owner;

    snprintf(out, room, "instance %.*s", (int)strcspn(owner, "/"), owner);
}

static bool leads(const struct dispatch *d)
{
    return d->state == DISPATCH_LEADING || d->state == DISPATCH_DRAINING;
}

static void note(struct dispatch *d, const struct config_account *fresh, json_t *changes,
                 uint64_t wall_ms)
{
    const struct queue_keep keep = {fresh->receipt_ttl_s, fresh->history_jobs, fresh->history_ttl_s,
                                    fresh->receipts_in == RECEIPTS_IN_HISTORY};
    char by[PROCESS_IDENTITY_MAX + 16], *text;
    json_t *line;

    name_instance(d, by, sizeof(by));
    line = act_line(&(struct actor){fresh, by}, "reload");
    json_object_set(line, "settings", changes);
    text = json_text_line(line);
    if (keep.history_jobs)
        queue_note(d->queue, &keep, span_str(text));
    free(text);
    json_object_set_new(line, "at", json_integer((json_int_t)wall_ms));
    json_decref(d->reloaded);
    d->reloaded = line;
}

void reload_note(struct dispatch *d, const struct config_account *fresh,
                 const struct endpoint *endpoint, uint64_t wall_ms)
{
    const struct config_account *old = d->next_account ? d->next_account : d->account;
    json_t *changes;

    if (!leads(d))
        return;
    changes = reload_changes(old, fresh);
    if (!endpoint_same_token(d->endpoint, endpoint))
        json_array_append_new(changes, json_pack("{so}", "name", json_text_of("token")));
    if (json_array_size(changes))
        note(d, fresh, changes, wall_ms);
    json_decref(changes);
}
