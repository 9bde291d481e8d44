/* SPDX-License-Identifier: MIT */
#include "plan_json.h"

#include <jansson.h>

#include "json_text.h"

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

const char *const plan_form_names[FORM_N] = {
    [FORM_KEYS] = "keys", [FORM_SOFT_KEYS] = "soft keys", [FORM_URL] = "url", [FORM_ALL] = "all"};

json_t *plan_json_request(const struct plan_request *r)
{
    const struct batch *b = r->batch;
    json_t *targets = json_array();

    list_each(it, &b->targets) {
        const struct pending *t = pending_of(it);

        if (t->kind != TARGET_ALL)
            json_array_append_new(targets, json_text(span_of(t->bytes, t->bytes_count)));
    }
    return json_pack("{sIsosososIso}", "at_ms", (json_int_t)r->at_ms, "lane",
                     json_text_of(lane_names[b->lane]), "service", json_text_of(r->service), "form",
                     json_text_of(plan_form_names[b->form]), "cost", (json_int_t)b->cost, "targets",
                     targets);
}

static json_t *lane_json(const struct plan_telling *t, const struct plan_lane *l)
{
    json_t *j =
        json_pack("{sososososo}", "jobs", number(l->jobs), "targets", number(l->targets), "merged",
                  number(l->merged), "requests", number(l->requests), "cost", number(l->cost));

    if (l->jobs) {
        json_object_set_new(j, "done_ms", number(l->done_ms));
        json_object_set_new(j, "done_at", number(t->at_ms + l->done_ms));
    }
    return j;
}

static json_t *lanes_json(const struct plan_telling *t)
{
    json_t *lanes = json_object();

    for (int i = 0; i < LANE_N; i++)
        json_object_set_new(lanes, lane_names[i], lane_json(t, &t->result->lanes[i]));
    return lanes;
}

static json_t *ledgers_json(const struct plan_result *r)
{
    json_t *ledgers = json_object();

    for (int i = 0; i < LEDGER_N; i++) {
        const struct plan_ledger *l = &r->ledgers[i];

        if (l->counted)
            json_object_set_new(ledgers, ledger_names[i],
                                json_pack("{sosososososo}", "units", number(l->units), "per_s",
                                          number(l->per_s), "spent", number(l->spent), "left",
                                          number(l->left), "cost", number(l->cost), "left_then",
                                          number(l->left_then)));
    }
    return ledgers;
}

static json_t *urgent_json(const struct plan_result *r)
{
    if (!r->urgent_known)
        return json_null();
    return json_pack("{sososo}", "wait_ms", number(r->urgent_ms), "worst_ms",
                     number(r->urgent_worst_ms), "worst_at_ms", number(r->urgent_worst_at_ms));
}

static json_t *exceptions_json(const struct plan_telling *t)
{
    const struct plan_result *r = t->result;

    return json_pack("{sosososososososo}", "refused", number(r->refused + t->refused), "expired",
                     number(r->expired), "postponed", number(r->postponed), "repeats",
                     number(r->repeats), "absorbed", number(r->absorbed), "beyond",
                     number(r->beyond), "never", number(r->never), "windowed",
                     json_boolean(r->windowed));
}

json_t *plan_json(const struct plan_telling *t)
{
    struct plan_lane total = plan_total(t->result);
    json_t *j =
        json_pack("{sosososo}", "account", json_text_of(t->account->name), "at", number(t->at_ms),
                  "of", json_text_of(t->of), "spent_from", json_text_of(t->spent_from));

    json_object_set_new(j, "lanes", lanes_json(t));
    json_object_set_new(j, "total", lane_json(t, &total));
    json_object_set_new(j, "budget", ledgers_json(t->result));
    json_object_set_new(j, "urgent", urgent_json(t->result));
    json_object_set_new(j, "exceptions", exceptions_json(t));
    json_object_set_new(j, "assumed",
                        json_pack("{sososo}", "reply_ms", number(t->reply_ms), "max_in_flight",
                                  number(t->account->max_in_flight), "window", number(t->window)));
    if (t->requests)
        json_object_set(j, "requests", t->requests);
    return j;
}
