/* SPDX-License-Identifier: MIT */
#include "stats.h"

#include "dispatch_internal.h"
#include "stats_rows.h"

/* -- values ---------------------------------------------------------------------------------- */

#define OF_DISPATCH(fn, expression)                                                                \
    static uint64_t fn(const struct stats_subject *s, size_t i)                                    \
    {                                                                                              \
        struct dispatch *d = s->dispatch;                                                          \
                                                                                                   \
        (void)d;                                                                                   \
        (void)i;                                                                                   \
        return (expression);                                                                       \
    }

static bool stalled(const struct stats_subject *s)
{
    char why[160];

    return dispatch_stalled(s->dispatch, s->now, why, sizeof(why)) ||
           dispatch_troubled(s->dispatch, s->now, why, sizeof(why));
}

static uint64_t requests_sum(const struct dispatch *d)
{
    uint64_t n = 0;

    for (int form = 0; form < FORM_N; form++)
        n += d->counts.requests[form];
    return n;
}

static uint64_t instances_there(const struct dispatch *d)
{
    return d->options.instances ? instances_count(d->options.instances, d->options.number) : 1;
}

static uint64_t led_here(const struct dispatch *d)
{
    return d->options.instances ? instances_led(d->options.instances)
                                : d->state == DISPATCH_LEADING;
}

/* Numbers of ended jobs, in the order of `ends`. */
static uint64_t ended(const struct dispatch *d, size_t i)
{
    const struct intake_counts *in = intake_counts(d->intake);

    switch (i) {
    case 0:
        return d->counts.jobs[OUTCOME_PURGED];
    case 1:
        return d->counts.jobs[OUTCOME_DEAD];
    case 2:
        return in->malformed;
    case 3:
        return d->counts.jobs[OUTCOME_EXPIRED] + in->expired;
    default:
        return d->counts.jobs[OUTCOME_CANCELLED];
    }
}

static uint64_t unconfirmed(const struct dispatch *d)
{
    uint64_t n = 0;

    for (int lane = 0; lane < LANE_N; lane++)
        n += settle_unconfirmed(d->settle, (enum lane)lane);
    return n;
}

OF_DISPATCH(value_at, s->now.wall_ms)
OF_DISPATCH(value_renewals, d->renewals)
OF_DISPATCH(value_leading, d->state == DISPATCH_LEADING)
OF_DISPATCH(value_instances, instances_there(d))
OF_DISPATCH(value_instance_leads, led_here(d))
OF_DISPATCH(value_instance_accounts,
            d->options.instances ? instances_accounts(d->options.instances) : 1)
OF_DISPATCH(value_hand_overs, d->counts.hand_overs[i])
OF_DISPATCH(value_paused, d->paused)
OF_DISPATCH(value_connected, d->queue_up)
OF_DISPATCH(value_stalled, stalled(s))
OF_DISPATCH(value_trouble, i == TROUBLE_ENDPOINT
                               ? *endpoint_fault(d->endpoint) != '\0'
                               : trouble_has(d->trouble, (enum trouble_kind)i, s->now.mono_ns))
OF_DISPATCH(value_late, progress_late_ns(d))
OF_DISPATCH(value_brake_state, d->pace.brake.state == (enum brake_state)i)
OF_DISPATCH(value_brake_cause,
            d->pace.brake.state != BRAKE_FREE && d->pace.brake.cause == (enum brake_cause)i)
OF_DISPATCH(value_held, window_held(&d->pace.window))
OF_DISPATCH(value_window_limit, window_limit(&d->pace.window))
OF_DISPATCH(value_memory, memory_used(&d->memory))
OF_DISPATCH(value_memory_limit, memory_max_bytes(&d->memory))
OF_DISPATCH(value_held_back, intake_lane_held_back(d->intake, (enum lane)i))
OF_DISPATCH(value_jobs, window_jobs(&d->pace.window))
OF_DISPATCH(value_jobs_of, window_jobs_of(&d->pace.window, (enum lane)i) +
                               origin_jobs_of(d->origin, (enum lane)i) +
                               settle_unconfirmed(d->settle, (enum lane)i))
OF_DISPATCH(value_waiting, lanes_waiting(&d->pace.lanes, (enum lane)i))
OF_DISPATCH(value_in_flight, d->pace.in_flight)
OF_DISPATCH(value_max_in_flight, d->account->max_in_flight)
OF_DISPATCH(value_left, ledger_left(d->ledgers, (enum ledger_kind)i, s->now.mono_ns))
OF_DISPATCH(value_units, budget_limits_of(d->account, (enum ledger_kind)i).units)
OF_DISPATCH(value_reads_limit, read_limit(d->account, (enum read_kind)i))
OF_DISPATCH(value_burst, ledger_burst(d->ledgers, (enum ledger_kind)i, s->now.mono_ns))
OF_DISPATCH(value_pace, ledger_pace_micro(d->ledgers, (enum ledger_kind)i, s->now.mono_ns) / 1000)
OF_DISPATCH(value_at_once, ledger_at_once(d->ledgers, LEDGER_PURGE, (enum lane)i, s->now.mono_ns))
OF_DISPATCH(value_learnt, d->counts.learnt)
OF_DISPATCH(value_spent, ledger_spent_total(d->ledgers, (enum ledger_kind)i))
OF_DISPATCH(value_taken, intake_counts(d->intake)->jobs)
OF_DISPATCH(value_targets, intake_counts(d->intake)->targets)
OF_DISPATCH(value_lost, intake_lane_is_lost(d->intake, (enum lane)i))
OF_DISPATCH(value_postponed, intake_counts(d->intake)->postponed)
OF_DISPATCH(value_origin_waiting, origin_jobs(d->origin))
OF_DISPATCH(value_origin_oldest, origin_oldest_ms(d->origin, s->now.wall_ms))
OF_DISPATCH(value_origin_asks, origin_counts(d->origin)->asks[i])
OF_DISPATCH(value_merged, window_merged(&d->pace.window))
OF_DISPATCH(value_requests, requests_sum(d))
OF_DISPATCH(value_requests_of, d->counts.requests[i])
OF_DISPATCH(value_batches, d->counts.requests[FORM_KEYS] + d->counts.requests[FORM_SOFT_KEYS])
OF_DISPATCH(value_answers, d->counts.answers[i])
OF_DISPATCH(value_verdicts, d->counts.verdicts[i])
OF_DISPATCH(value_batch_keys, d->counts.batch_keys)
OF_DISPATCH(value_targets_purged, d->counts.targets_purged)
OF_DISPATCH(value_ended, ended(d, i))
OF_DISPATCH(value_retries, d->counts.retries)
OF_DISPATCH(value_throttled, d->counts.throttled)
OF_DISPATCH(value_bisected, d->counts.bisected)
OF_DISPATCH(value_missing, d->counts.missing)
OF_DISPATCH(value_settled, settle_counts(d->settle)->jobs)
OF_DISPATCH(value_settle_writes, settle_counts(d->settle)->writes)
OF_DISPATCH(value_settle_failed, settle_counts(d->settle)->failed)
OF_DISPATCH(value_unconfirmed, unconfirmed(d))
OF_DISPATCH(value_receipts_skipped, queue_receipts_skipped(d->queue))
OF_DISPATCH(value_history_skipped, queue_history_skipped(d->queue))
OF_DISPATCH(value_to_wire_p99, histogram_quantile_us(&d->counts.to_wire[i], 990) / 1000)
OF_DISPATCH(value_verified, verification_counts(d->verification)->results[i])
OF_DISPATCH(value_verify_pending, verification_pending(d->verification))
OF_DISPATCH(value_verify_looks, verification_counts(d->verification)->looks)
OF_DISPATCH(value_verify_repairs, verification_counts(d->verification)->repairs)
OF_DISPATCH(value_verify_skipped, i ? verification_counts(d->verification)->left_out
                                    : verification_counts(d->verification)->superseded)
OF_DISPATCH(value_repeat_after, repeats_after_ms(d->repeats, SERVICE_NONE, (enum repeats_what)i))
OF_DISPATCH(value_canaries, canaries_in(d->canaries, (enum canary_state)i))
OF_DISPATCH(value_canary_tries, canaries_tries(d->canaries, (enum canary_kind)i))
OF_DISPATCH(value_canary_failures, canaries_failures(d->canaries, (enum canary_kind)i))
HISTOGRAM(value_to_wire, to_wire[i])
HISTOGRAM(value_to_purged, to_purged[i])
HISTOGRAM(value_reply, reply[i])
HISTOGRAM(value_stale, stale[i])

/* Only the leader knows what was spent. */
static bool counts_budget(const struct stats_subject *s, size_t i)
{
    const struct config_account *a = s->dispatch->account;

    if (s->dispatch->state != DISPATCH_LEADING)
        return false;
    return i == LEDGER_PURGE || (i == LEDGER_URL ? a->budget.separate : a->allow_purge_all);
}

OF_DISPATCH(value_others_purge_alls, event_watch_found(d->event_watch, s->now.wall_ms))

static bool knows_events(const struct stats_subject *s, size_t i)
{
    (void)i;
    return event_watch_knows(s->dispatch->event_watch);
}

static bool has_canaries(const struct stats_subject *s, size_t i)
{
    (void)i;
    return s->dispatch->state == DISPATCH_LEADING && canaries_count(s->dispatch->canaries);
}

static bool counts_lanes(const struct stats_subject *s, size_t i)
{
    (void)i;
    return counts_budget(s, LEDGER_PURGE);
}

/* -- the tables ------------------------------------------------------------------------------ */

static const char *const skipped[] = {"superseded", "left_out"};

static const char *const ends[] = {"purged", "dead", "malformed", "expired", "cancelled"};

static const char *const hand_over_why_names[] = {
    [HAND_OVER_STOPPING] = "stopping", [HAND_OVER_BALANCING] = "balance"};

static const char *const forms[FORM_N] = {
    [FORM_KEYS] = "key", [FORM_SOFT_KEYS] = "soft_key", [FORM_URL] = "url", [FORM_ALL] = "all"};

static const char *const answers[ANSWER_N] = {[ANSWER_ODD] = "odd",
                                              [ANSWER_1XX] = "1xx",
                                              "2xx",
                                              "3xx",
                                              "4xx",
                                              [ANSWER_5XX] = "5xx",
                                              [ANSWER_UNSENT] = "unsent",
                                              [ANSWER_TIMEOUT] = "timeout",
                                              [ANSWER_BROKEN] = "broken",
                                              [ANSWER_BLOCKED] = "blocked"};

static const char *const canary_kinds[] = {[CANARY_BY_KEY] = "key", [CANARY_BY_URL] = "url"};

#define LEDGERS LABEL("ledger", ledger_names, LEDGER_N)
#define KINDS LABEL("kind", forms, FORM_N)

const struct stats_item dispatch_stats[] = {
    {.names = ONE("at"), ALONE, .value = value_at},
    {.names = ONE("renewals"), ALONE, .value = value_renewals},

    /* health */
    {.metric = "purgeline_leading",
     .help = "1 while this instance dispatches the account, 0 while it stands by.",
     ALONE,
     .value = value_leading},
    {.names = ONE("instances"),
     .metric = "purgeline_instances",
     .help = "Instances that can dispatch the account, with this one, as seen by this one.",
     ALONE,
     .value = value_instances},
    {.names = ONE("instance_leads"), ALONE, .value = value_instance_leads},
    {.names = ONE("instance_accounts"), ALONE, .value = value_instance_accounts},
    {.names = (const char *const[]){"hand_overs_stopping", "hand_overs_balance"},
     .metric = "purgeline_hand_overs_total",
     .help = "Times that this instance handed the account over to another one, because it stopped "
             "or led more than its share.",
     .type = STATS_COUNTER,
     LABEL("why", hand_over_why_names, 2),
     .value = value_hand_overs},
    {.names = ONE("paused"),
     .metric = "purgeline_paused",
     .help = "1 while an operator has paused the account.",
     ALONE,
     .value = value_paused},
    {.metric = "purgeline_stalled",
     .help = "1 when dispatch has made no progress for a minute although it should have, or while "
             "one of the problems of purgeline_trouble exists.",
     ALONE,
     .value = value_stalled},
    {.metric = "purgeline_trouble",
     .help = "1 while this problem exists: Redis refuses a command of the dispatcher (refused), a "
             "Redis key of the account is broken (key), Redis may evict jobs (evicts), Redis has "
             "reached maxmemory (full), the token or a CA file cannot be read (endpoint).",
     LABEL("kind", trouble_names, TROUBLE_N),
     .value = value_trouble},
    {.metric = "purgeline_redis_connected",
     .help = "1 while the account's connections to Redis are up.",
     ALONE,
     .value = value_connected},
    {.metric = "purgeline_loop_stall_seconds",
     .help = "Longest delay of the dispatch loop in the last one to two minutes.",
     ALONE,
     .per = NS_PER_S,
     .value = value_late},
    {.metric = "purgeline_brake_state",
     .help =
         "1 for the current state of the brake: free, held (nothing is sent), probing, growing.",
     LABEL("state", brake_state_names, BRAKE_GROWING + 1),
     .value = value_brake_state},
    {.metric = "purgeline_brake_cause",
     .help = "1 for the reason why the brake is not free.",
     LABEL("cause", brake_cause_names, BRAKE_TOKEN + 1),
     .value = value_brake_cause},

    {.names =
         (const char *const[CANARY_STATE_N]){
             [CANARY_UNKNOWN] = "canaries_unknown", [CANARY_OK] = "canaries_ok"},
     .metric = "purgeline_canaries",
     .help = "Canaries of the account that show this: ok, unknown (not tried yet), or a fault; "
             "purgeline status explains it.",
     LABEL("state", canary_state_names, CANARY_STATE_N),
     .holds = has_canaries,
     .value = value_canaries},
    {.metric = "purgeline_canary_tries_total",
     .help = "Purges of canary pages by key or URL that were looked at, or that failed.",
     .type = STATS_COUNTER,
     LABEL("kind", canary_kinds, CANARY_KIND_N),
     .holds = has_canaries,
     .value = value_canary_tries},
    {.metric = "purgeline_canary_failures_total",
     .help = "Those after which the page was not seen fresh.",
     .type = STATS_COUNTER,
     LABEL("kind", canary_kinds, CANARY_KIND_N),
     .holds = has_canaries,
     .value = value_canary_failures},

    /* waiting work */
    {.names = ONE("window_targets"),
     .metric = "purgeline_window_targets",
     .help = "Pending targets held in memory.",
     ALONE,
     .value = value_held},
    {.metric = "purgeline_window_limit_targets",
     .help = "Maximum number of pending targets held in memory.",
     ALONE,
     .value = value_window_limit},
    {.names = ONE("window_jobs"),
     .metric = "purgeline_window_jobs",
     .help = "Jobs waiting in the window.",
     ALONE,
     .value = value_jobs},
    {.names = ONE("memory_bytes"),
     .metric = "purgeline_memory_bytes",
     .help = "Memory used by jobs read from Redis, without the memory of an idle account.",
     ALONE,
     .value = value_memory},
    {.metric = "purgeline_memory_limit_bytes",
     .help = "Memory limit for jobs read from Redis, shared by all accounts.",
     ALONE,
     .value = value_memory_limit},
    {.names = (const char *const[]){"held_back_urgent", "held_back_normal", "held_back_bulk"},
     .metric = "purgeline_lane_held_back",
     .help = "1 while jobs of the lane stay in Redis because window or memory_max is reached.",
     LANES,
     .value = value_held_back},
    {.names = ONE("origin_waiting"),
     .metric = "purgeline_origin_waiting",
     .help = "Jobs that wait until their origin shows the new version (when).",
     ALONE,
     .value = value_origin_waiting},
    {.names = ONE("origin_oldest_ms"),
     .metric = "purgeline_origin_oldest_seconds",
     .help = "Age of the oldest of these jobs; 0 when there is none.",
     ALONE,
     .per = 1000,
     .value = value_origin_oldest},
    {.metric = "purgeline_origin_asks_total",
     .help = "Questions to origins, by result: shown, not_yet, or failed (no answer).",
     .type = STATS_COUNTER,
     LABEL("result", origin_result_names, ORIGIN_RESULT_N),
     .value = value_origin_asks},
    {.names = (const char *const[]){"in_hand_urgent", "in_hand_normal", "in_hand_bulk"},
     LANES,
     .value = value_jobs_of},
    {.names = (const char *const[]){"lost_urgent", "lost_normal", "lost_bulk"},
     LANES,
     .value = value_lost},
    {.metric = "purgeline_waiting_targets",
     .help = "Pending targets in memory that wait to be sent, for the first time or again.",
     LANES,
     .value = value_waiting},
    {.names = ONE("in_flight"),
     .metric = "purgeline_in_flight",
     .help = "Requests in flight.",
     ALONE,
     .value = value_in_flight},
    {.metric = "purgeline_in_flight_limit",
     .help = "Maximum number of requests in flight.",
     ALONE,
     .value = value_max_in_flight},

    /* the budget */
    {.names = (const char *const[]){"budget_left", "url_budget_left", "write_budget_left"},
     .metric = "purgeline_budget_left",
     .help = "Budget units left in the current window, as counted by the leader.",
     LEDGERS,
     .holds = counts_budget,
     .value = value_left},
    {.metric = "purgeline_budget_units",
     .help = "Budget units per window.",
     LEDGERS,
     .holds = counts_budget,
     .value = value_units},
    {.metric = "purgeline_api_reads_limit",
     .help = "How many requests that read Fastly's API may be sent per minute, and per hour for "
             "edge_check.",
     READS,
     .value = value_reads_limit},
    {.metric = "purgeline_others_purge_alls",
     .help = "Purge-alls of the last hour that were not sent with purgeline's token, by Fastly's "
             "event log.",
     ALONE,
     .holds = knows_events,
     .value = value_others_purge_alls},
    {.names = (const char *const[]){"budget_burst", NULL, NULL},
     .metric = "purgeline_budget_burst",
     .help = "Budget units that may be spent at once: the setting, or less for a while after a 429 "
             "although units were left.",
     LEDGERS,
     .holds = counts_budget,
     .value = value_burst},
    {.names = (const char *const[]){"budget_pace_milli", NULL, NULL},
     .metric = "purgeline_budget_pace_milli",
     .help = "Thousandths of a budget unit that can be spent per second until more leaves the "
             "window.",
     LEDGERS,
     .holds = counts_budget,
     .value = value_pace},
    {.names = (const char *const[]){"at_once_urgent", "at_once_normal", "at_once_bulk"},
     .metric = "purgeline_budget_at_once",
     .help = "Budget units that the lane could spend at once now.",
     LANES,
     .holds = counts_lanes,
     .value = value_at_once},
    {.names = (const char *const[]){"spent", NULL, NULL},
     .metric = "purgeline_budget_spent_total",
     .help = "Budget units spent.",
     .type = STATS_COUNTER,
     LEDGERS,
     .value = value_spent},

    /* input */
    {.names = ONE("jobs_taken"),
     .metric = "purgeline_jobs_taken_total",
     .help = "Jobs read from the lanes.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_taken},
    {.names = ONE("targets_taken"),
     .metric = "purgeline_targets_taken_total",
     .help = "Targets of the jobs read from the lanes.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_targets},
    {.names = ONE("targets_merged"),
     .metric = "purgeline_targets_merged_total",
     .help = "Targets merged into an identical target that was already waiting.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_merged},
    {.names = ONE("jobs_postponed"),
     .metric = "purgeline_jobs_postponed_total",
     .help = "Jobs postponed until their not_before.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_postponed},

    /* requests and replies */
    {.names = ONE("requests"), ALONE, .value = value_requests},
    {.names = ONE("batches"), ALONE, .value = value_batches},
    {.metric = "purgeline_requests_total",
     .help = "Requests handed to the senders.",
     .type = STATS_COUNTER,
     KINDS,
     .value = value_requests_of},
    {.names = ONE("batch_keys"),
     .metric = "purgeline_batch_keys_total",
     .help = "Keys in requests of kind key and soft_key.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_batch_keys},
    {.metric = "purgeline_answers_total",
     .help = "Finished requests by HTTP status class, or by the reason why there was no reply.",
     .type = STATS_COUNTER,
     LABEL("status", answers, ANSWER_N),
     .value = value_answers},
    {.metric = "purgeline_verdicts_total",
     .help = "Replies by the verdict of purgeline.",
     .type = STATS_COUNTER,
     LABEL("verdict", verdict_names, VERDICT_N),
     .value = value_verdicts},
    {.names = ONE("targets_purged"),
     .metric = "purgeline_targets_purged_total",
     .help = "Pending targets that Fastly purged.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_targets_purged},
    {.names = (const char *const[]){"jobs_purged", "jobs_dead", "jobs_malformed", "jobs_expired",
                                    "jobs_cancelled"},
     .metric = "purgeline_jobs_ended_total",
     .help = "Ended jobs by outcome. Malformed jobs are dead letters, too.",
     .type = STATS_COUNTER,
     LABEL("outcome", ends, array_len(ends)),
     .value = value_ended},
    {.names = ONE("retries"),
     .metric = "purgeline_retries_total",
     .help = "Requests that had to be retried later for at least one of their targets.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_retries},
    {.names = ONE("throttled"),
     .metric = "purgeline_throttles_total",
     .help = "Requests that Fastly answered with 429.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_throttled},
    {.names = ONE("bursts_halved"),
     .metric = "purgeline_bursts_halved_total",
     .help = "Times that a 429 came although units of the budget were left, and the burst was "
             "halved.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_learnt},
    {.names = ONE("bisected"),
     .metric = "purgeline_bisections_total",
     .help = "Refused batches that were split in halves.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_bisected},
    {.names = ONE("missing_in_replies"),
     .metric = "purgeline_missing_in_replies_total",
     .help = "Keys that were sent but not listed in the reply.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_missing},

    /* looks at pages after their purges */
    {.names = (const char *const[]){"verified_fresh", "verified_unknown", "verified_stale"},
     .metric = "purgeline_verified_total",
     .help = "Pages looked at after their purges (verify) by result: fresh, unknown (it cannot be "
             "told), stale (older than the purge, also after further purges).",
     .type = STATS_COUNTER,
     LABEL("result", verify_result_names, VERIFY_N),
     .value = value_verified},
    {.names = ONE("verify_pending"),
     .metric = "purgeline_verify_pending",
     .help = "Purged pages that wait to be looked at or to be purged again.",
     ALONE,
     .value = value_verify_pending},
    {.metric = "purgeline_verify_looks_total",
     .help = "Requests for pages, to look at them after their purges.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_verify_looks},
    {.names = ONE("verify_repairs"),
     .metric = "purgeline_verify_repairs_total",
     .help = "Further purges of pages that were older than their purge.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_verify_repairs},
    {.metric = "purgeline_verify_skipped_total",
     .help = "Pages not looked at: a newer purge of them was to be sent (superseded), too many "
             "waited for it or the instance was stopping (left_out).",
     .type = STATS_COUNTER,
     LABEL("why", skipped, array_len(skipped)),
     .value = value_verify_skipped},
    {.names = (const char *const[]){"repeat_after_ms", "repeat_after_all_ms"},
     .metric = "purgeline_repeat_after_seconds",
     .help = "What a repeat_after of auto means: for most jobs, and for a purge-all.",
     .type = STATS_GAUGE,
     LABEL("of", repeats_whats, array_len(repeats_whats)),
     .value = value_repeat_after,
     .per = 1000},

    /* outcomes written to Redis */
    {.metric = "purgeline_settled_jobs_total",
     .help = "Jobs whose outcome or postponement Redis has confirmed.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_settled},
    {.metric = "purgeline_settle_writes_total",
     .help = "Writes to Redis that recorded the outcomes of jobs.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_settle_writes},
    {.metric = "purgeline_settle_failures_total",
     .help = "Failed writes of job outcomes to Redis; they are repeated.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_settle_failed},
    {.metric = "purgeline_settle_waiting_jobs",
     .help = "Ended jobs whose outcome Redis has not confirmed yet.",
     ALONE,
     .value = value_unconfirmed},
    {.metric = "purgeline_receipts_skipped_total",
     .help = "Receipts left out because Redis was out of memory.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_receipts_skipped},
    {.metric = "purgeline_history_skipped_jobs_total",
     .help = "Ended jobs that the history lacks: Redis was out of memory, or refused the entry.",
     .type = STATS_COUNTER,
     ALONE,
     .value = value_history_skipped},
    /* durations */
    {.names = (const char *const[]){"urgent_to_wire_p99_ms", "normal_to_wire_p99_ms",
                                    "bulk_to_wire_p99_ms"},
     LANES,
     .value = value_to_wire_p99},
    {.metric = "purgeline_push_to_wire_seconds",
     .help = "Time from the push of a target's oldest job in the lane (clock of Redis) to the "
             "target's first request (clock of this machine).",
     .type = STATS_HISTOGRAM,
     LANES,
     .of = value_to_wire},
    {.metric = "purgeline_push_to_purged_seconds",
     .help = "Time from the push of a job (clock of Redis) to the reply that completed it (clock "
             "of this machine).",
     .type = STATS_HISTOGRAM,
     LANES,
     .of = value_to_purged},
    {.metric = "purgeline_stale_seconds",
     .help = "Of pages that were older than their purge: time from the answer to the purge until "
             "they were seen fresh, or were given up.",
     .type = STATS_HISTOGRAM,
     ALONE,
     .of = value_stale},
    {.metric = "purgeline_reply_seconds",
     .help = "Time from the first byte of a request to the last byte of its reply.",
     .type = STATS_HISTOGRAM,
     KINDS,
     .of = value_reply},
};
const size_t dispatch_stats_count = array_len(dispatch_stats);
