/* SPDX-License-Identifier: MIT */
#include "overview_json.h"

#include <jansson.h>

#include "json_text.h"
#include "overview_words.h"

static json_t *number_json(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *lanes_json(const struct overview *o)
{
    json_t *lanes = json_object();

    for (int i = 0; i < LANE_N; i++) {
        const struct overview_lane *l = &o->lanes[i];

        json_object_set_new(lanes, lane_names[i],
                            json_pack("{sososo}", "jobs", number_json(l->jobs), "in_hand",
                                      number_json(l->in_hand), "oldest_ms",
                                      number_json(l->oldest_ms)));
    }
    return lanes;
}

static json_t *budgets_json(const struct config_account *a, const struct overview *o)
{
    json_t *budgets = json_object();

    for (int i = 0; i < LEDGER_N; i++) {
        const struct overview_budget *b = &o->budget[i];
        json_t *j;

        if (!b->counted)
            continue;
        j = json_pack("{soso}", "units", number_json(b->units), "per_s",
                      number_json(i == LEDGER_WRITE ? a->writes.per_s : a->budget.per_s));
        json_object_set_new(j, "open", number_json(b->open));
        if (!b->unread) {
            json_object_set_new(j, "spent", number_json(b->spent));
            json_object_set_new(j, "left", number_json(b->left));
        }
        json_object_set_new(budgets, ledger_names[i], j);
    }
    return budgets;
}

static json_t *instances_json(const struct overview *o)
{
    json_t *names = json_array();

    for (uint32_t i = 0; i < o->instances.count; i++)
        json_array_append_new(names, json_text_of(o->instances.at[i]));
    return names;
}

static json_t *reads_json(const struct config_account *a, const struct overview *o)
{
    json_t *reads = json_object();

    for (int k = 0; k < READ_N; k++) {
        const struct read_use *u = &o->reads[k];

        json_object_set_new(
            reads, read_names[k],
            json_pack("{sosososososo}", "limit", number_json(read_limit(a, (enum read_kind)k)),
                      "per_s", number_json(read_windows_ms[k] / 1000), "used", number_json(u->used),
                      "held_ms", number_json(u->held_ms), "total", number_json(u->total), "refused",
                      number_json(u->refused)));
    }
    return reads;
}

static json_t *history_json(const struct overview *o)
{
    const struct history_reach *h = &o->history;

    if (!h->known)
        return json_null();
    return json_pack("{sososo}", "entries", number_json(h->entries), "jobs", number_json(h->jobs),
                     "oldest_ms", number_json(h->oldest_ms));
}

static void set_verdict(json_t *j, const struct overview *o)
{
    static const char *const moods[] = {
        [OVERVIEW_GOOD] = "good", [OVERVIEW_SLOWED] = "slowed", [OVERVIEW_TROUBLE] = "trouble"};
    char words[OVERVIEW_WORDS_MAX];
    enum overview_mood mood = overview_words(o, words, sizeof(words));

    json_object_set_new(j, "verdict", json_text_of(words));
    json_object_set_new(j, "mood", json_text_of(moods[mood]));
}

json_t *overview_json(const struct config_account *a, const struct overview *o)
{
    json_t *j = json_object();
    json_t *status = o->status ? json_loads(o->status, 0, NULL) : NULL; /* NULL if unreadable */

    json_object_set_new(j, "account", json_text_of(a->name));
    json_object_set_new(j, "ok", json_boolean(!overview_needs_help(o)));
    set_verdict(j, o);
    if (o->unreadable) {
        json_object_set_new(j, "unreadable", json_text_of(o->unreadable));
        return j; /* nothing else is known */
    }
    json_object_set_new(j, "leader", json_text_of(o->leader));
    json_object_set_new(j, "instances", instances_json(o));
    json_object_set_new(j, "stalled", json_text_of(o->stalled));
    json_object_set_new(j, "paused", json_boolean(o->paused));
    if (o->paused) {
        json_object_set_new(j, "paused_why", json_text_of(o->paused_why));
        json_object_set_new(j, "paused_by", json_text_of(o->paused_by));
        json_object_set_new(j, "paused_ms", number_json(o->paused_ms));
    }
    json_object_set_new(j, "lanes", lanes_json(o));
    json_object_set_new(j, "budget", budgets_json(a, o));
    json_object_set_new(j, "reads", reads_json(a, o));
    json_object_set_new(j, "later", number_json(o->later));
    json_object_set_new(j, "dead", number_json(o->dead));
    json_object_set_new(j, "history", history_json(o));
    json_object_set_new(j, "consumers", consumer_states_json(&o->consumers));
    json_object_set_new(j, "dispatcher", status ? status : json_null());
    return j;
}
