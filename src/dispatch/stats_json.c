/* SPDX-License-Identifier: MIT */
#include <jansson.h>

#include "dispatch_internal.h"
#include "json_text.h"
#include "stats.h"

static void add_item(json_t *report, const struct stats_item *f, const struct stats_subject *s)
{
    for (size_t i = 0; f->names && i < f->count; i++)
        if (f->names[i])
            json_object_set_new(report, f->names[i], json_integer((json_int_t)f->value(s, i)));
}

/* Tells how long nothing has been sent, until when, and what would help. */
static void add_brake(json_t *report, const struct dispatch *d, struct now now)
{
    const struct brake *b = &d->pace.brake;
    char remedy[600];

    json_object_set_new(report, "brake", json_text_of(brake_state_names[b->state]));
    if (b->state == BRAKE_FREE)
        return;
    json_object_set_new(report, "brake_cause", json_text_of(brake_cause_names[b->cause]));
    if (b->state == BRAKE_HELD)
        json_object_set_new(
            report, "brake_until",
            json_integer((json_int_t)(now.wall_ms + brake_wait_ms(b, now.mono_ns))));
    if (b->since_ns == 0)
        return;
    json_object_set_new(report, "brake_for_ms",
                        json_integer((json_int_t)((now.mono_ns - b->since_ns) / NS_PER_MS)));
    if (b->cause != BRAKE_TOKEN)
        return;
    config_token_remedy(d->account, remedy, sizeof(remedy));
    json_object_set_new(report, "brake_remedy", json_text_of(remedy));
    json_object_set_new(report, "brake_status", json_integer(d->refused_status));
}

/* Tells when a 429 came although units were left by our count, and what follows from it. */
static void add_learnt(json_t *report, const struct dispatch *d, struct now now)
{
    json_t *all = json_object();

    for (enum ledger_kind l = 0; l < LEDGER_N; l++) {
        struct budget_limits limits = budget_limits_of(d->account, l);
        uint64_t window_ms = limits.window_ns / NS_PER_MS, age_ns, at_ms;
        struct budget_learnt learnt;

        if (!ledger_learnt(d->ledgers, l, now.mono_ns, &learnt, &age_ns))
            continue;
        at_ms = minus_u64(now.wall_ms, age_ns / NS_PER_MS);
        json_object_set_new(all, ledger_names[l],
                            json_pack("{sIsIsIsIsIsI}", "at", (json_int_t)at_ms, "halved_until",
                                      (json_int_t)(at_ms + window_ms), "less_until",
                                      (json_int_t)(at_ms + 2 * window_ms), "spent",
                                      (json_int_t)learnt.spent, "units", (json_int_t)limits.units,
                                      "burst", (json_int_t)learnt.burst));
    }
    if (json_object_size(all))
        json_object_set(report, "refused_early", all);
    json_decref(all);
}

char *report_json(struct dispatch *d, struct now now)
{
    struct stats_subject subject = {.account = d->account->name, .dispatch = d, .now = now};
    json_t *report = json_object();
    char why[512], *text;

    json_object_set_new(report, "version", json_text_of(PURGELINE_VERSION));
    json_object_set_new(report, "state", json_text_of(dispatch_state_names[d->state]));
    add_brake(report, d, now);
    add_learnt(report, d, now);
    if (*d->last_error) {
        json_object_set_new(report, "last_error", json_text_of(d->last_error));
        json_object_set_new(
            report, "last_error_age_ms",
            json_integer((json_int_t)((now.mono_ns - d->last_error_ns) / NS_PER_MS)));
    }
    if (d->reloaded)
        json_object_set(report, "reloaded", d->reloaded);
    if (*origin_last_seen(d->origin))
        json_object_set_new(report, "origin_seen", json_text_of(origin_last_seen(d->origin)));
    if (d->options.waits && *d->options.waits)
        json_object_set_new(report, "needs_restart", json_text_of(d->options.waits));
    if (event_watch_knows(d->event_watch))
        json_object_set_new(
            report, "others_purge_alls",
            json_integer((json_int_t)event_watch_found(d->event_watch, now.wall_ms)));
    if (canaries_count(d->canaries))
        json_object_set_new(report, "canaries", canaries_json(d->canaries, now.mono_ns));
    json_object_set_new(report, "repeats", repeats_json(d->repeats));
    if (d->account->services_count == 0)
        json_object_set_new(report, "no_service", json_true());
    if (d->options.http && *d->options.http)
        json_object_set_new(report, "http", json_text_of(d->options.http));
    if (dispatch_stalled(d, now, why, sizeof(why)) || dispatch_troubled(d, now, why, sizeof(why)))
        json_object_set_new(report, "stalled", json_text_of(why));
    for (size_t i = 0; i < dispatch_stats_count; i++)
        add_item(report, &dispatch_stats[i], &subject);
    text = json_text_line(report);
    json_decref(report);
    return text;
}
