/* SPDX-License-Identifier: MIT */
#include "overview_instances.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "json_text.h"

struct overview_instances *overview_instances_new(void)
{
    return alloc_zeroed(1, sizeof(struct overview_instances));
}

void overview_instances_free(struct overview_instances *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->count; i++) {
        free(s->at[i].name);
        config_words_free(&s->at[i].led);
    }
    free(s->at);
    free(s);
}

static struct overview_instance *instance_of(struct overview_instances *s, const char *name)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (strcmp(s->at[i].name, name) == 0)
            return &s->at[i];
    s->at = alloc_grow(s->at, s->count + 1, sizeof(*s->at));
    s->at[s->count] = (struct overview_instance){.name = alloc_str(name)};
    return &s->at[s->count++];
}

void overview_instances_add(struct overview_instances *s, const char *account,
                            const struct overview *o)
{
    bool announced = false;

    for (uint32_t i = 0; i < o->instances.count; i++) {
        instance_of(s, o->instances.at[i])->accounts++;
        announced = announced || (o->leader && strcmp(o->leader, o->instances.at[i]) == 0);
    }
    if (!o->leader)
        return;
    instance_of(s, o->leader)->accounts += !announced; /* a leader of an older version */
    instance_of(s, o->leader)->leads++;
    if (config_words_add(&instance_of(s, o->leader)->led, span_str(account)) < 0)
        return; /* enough names */
}

json_t *overview_instances_json(const struct overview_instances *s)
{
    json_t *all = json_array();

    for (uint32_t i = 0; i < s->count; i++)
        json_array_append_new(all, json_pack("{sosIsI}", "name", json_text_of(s->at[i].name),
                                             "leads", (json_int_t)s->at[i].leads, "accounts",
                                             (json_int_t)s->at[i].accounts));
    return all;
}
