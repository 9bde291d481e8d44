/* SPDX-License-Identifier: MIT */
#include <jansson.h>

#include "account.h"
#include "alloc.h"

/* What an account's leader publishes every second. One row a number: what prints it, documents it.
 */
struct row {
    const char *name;
    uint64_t (*value)(struct dispatch *d, struct now now);
};

#define ROW(fn, expression)                                                                        \
    static uint64_t fn(struct dispatch *d, struct now now)                                         \
    {                                                                                              \
        (void)d;                                                                                   \
        (void)now;                                                                                 \
        return (expression);                                                                       \
    }

ROW(row_at, now.wall_ms)
ROW(row_held, d->window.held)
ROW(row_jobs, d->window.jobs.used)
ROW(row_in_flight, d->in_flight)
ROW(row_left, purse_left(d->purse, LEDGER_PURGE, now.mono_ns))
ROW(row_left_url, purse_left(d->purse, LEDGER_URL, now.mono_ns))
ROW(row_left_write, purse_left(d->purse, LEDGER_WRITE, now.mono_ns))
ROW(row_spent, purse_spent_total(d->purse, LEDGER_PURGE))
ROW(row_taken, intake_counts(d->intake)->jobs)
ROW(row_targets, intake_counts(d->intake)->targets)
ROW(row_malformed, intake_counts(d->intake)->malformed)
ROW(row_postponed, intake_counts(d->intake)->postponed)
ROW(row_merged, d->window.merged)
ROW(row_requests, d->counts.requests)
ROW(row_batches, d->counts.batches)
ROW(row_batch_keys, d->counts.batch_keys)
ROW(row_targets_purged, d->counts.targets_purged)
ROW(row_jobs_purged, d->counts.jobs_purged)
ROW(row_jobs_dead, d->counts.jobs_dead)
ROW(row_jobs_expired, d->counts.jobs_expired + intake_counts(d->intake)->expired)
ROW(row_retries, d->counts.retries)
ROW(row_throttled, d->counts.throttled)
ROW(row_bisected, d->counts.bisected)
ROW(row_missing, d->counts.missing)

static const struct row rows[] = {
    {"at", row_at},
    {"window_targets", row_held},
    {"window_jobs", row_jobs},
    {"in_flight", row_in_flight},
    {"budget_left", row_left},
    {"url_budget_left", row_left_url},
    {"write_budget_left", row_left_write},
    {"spent", row_spent},
    {"jobs_taken", row_taken},
    {"targets_taken", row_targets},
    {"targets_merged", row_merged},
    {"jobs_malformed", row_malformed},
    {"jobs_postponed", row_postponed},
    {"requests", row_requests},
    {"batches", row_batches},
    {"batch_keys", row_batch_keys},
    {"targets_purged", row_targets_purged},
    {"jobs_purged", row_jobs_purged},
    {"jobs_dead", row_jobs_dead},
    {"jobs_expired", row_jobs_expired},
    {"retries", row_retries},
    {"throttled", row_throttled},
    {"bisected", row_bisected},
    {"missing_in_replies", row_missing},
};

static const char *const brake_state_names[] = {[BRAKE_FREE] = "free",
                                                [BRAKE_HELD] = "held",
                                                [BRAKE_PROBING] = "probing",
                                                [BRAKE_GROWING] = "growing"};

char *report_json(struct dispatch *d, struct now now)
{
    json_t *report = json_object();
    char *text;

    must(report != NULL);
    json_object_set_new(report, "state", json_string(dispatch_state_names[d->state]));
    json_object_set_new(report, "brake", json_string(brake_state_names[d->brake.state]));
    if (d->brake.state != BRAKE_FREE)
        json_object_set_new(report, "brake_cause", json_string(brake_cause_names[d->brake.cause]));
    for (size_t i = 0; i < array_len(rows); i++)
        json_object_set_new(report, rows[i].name, json_integer((json_int_t)rows[i].value(d, now)));
    text = json_dumps(report, JSON_COMPACT);
    json_decref(report);
    must(text != NULL);
    return text;
}
