/* SPDX-License-Identifier: MIT */
#include "overview.h"
#include "stats_rows.h"

#define OF_OVERVIEW(fn, expression)                                                                \
    static uint64_t fn(const struct stats_subject *s, size_t i)                                    \
    {                                                                                              \
        const struct overview *o = s->overview;                                                    \
                                                                                                   \
        (void)i;                                                                                   \
        return (expression);                                                                       \
    }

OF_OVERVIEW(value_led, o->leader != NULL)
OF_OVERVIEW(value_backlog, o->lanes[i].jobs)
OF_OVERVIEW(value_in_hand, o->lanes[i].in_hand)
OF_OVERVIEW(value_oldest, o->lanes[i].oldest_ms)
OF_OVERVIEW(value_later, o->later)
OF_OVERVIEW(value_later_next, o->later_next_ms)
OF_OVERVIEW(value_dead, o->dead)
OF_OVERVIEW(value_reads, o->reads[i].total)
OF_OVERVIEW(value_reads_refused, o->reads[i].refused)
OF_OVERVIEW(value_reads_used, o->reads[i].used)
OF_OVERVIEW(value_reads_held, o->reads[i].held_ms)
OF_OVERVIEW(value_history_entries, o->history.entries)
OF_OVERVIEW(value_history_jobs, o->history.jobs)
OF_OVERVIEW(value_history_oldest, o->history.oldest_ms)

static bool knows_history(const struct stats_subject *s, size_t i)
{
    (void)i;
    return s->overview->history.known;
}

const struct stats_item backlog_stats[] = {
    {.metric = "purgeline_lease_held",
     .help = "1 while any instance dispatches the account.",
     ALONE,
     .value = value_led},
    {.metric = "purgeline_backlog_jobs",
     .help = "Jobs in Redis that have not ended.",
     LANES,
     .value = value_backlog},
    {.metric = "purgeline_backlog_in_hand_jobs",
     .help = "Jobs in Redis that the leader has read and not finished, as it last reported.",
     LANES,
     .value = value_in_hand},
    {.metric = "purgeline_oldest_job_age_seconds",
     .help = "Age of the oldest job that has not ended; 0 when there is none.",
     LANES,
     .per = 1000,
     .value = value_oldest},
    {.metric = "purgeline_later_jobs",
     .help = "Jobs postponed until they are due.",
     ALONE,
     .value = value_later},
    {.metric = "purgeline_later_next_due_seconds",
     .help = "Time until the next postponed job is due; 0 when there is none.",
     ALONE,
     .per = 1000,
     .value = value_later_next},
    {.metric = "purgeline_dead_letters",
     .help = "Jobs that were given up, kept with the reason.",
     ALONE,
     .value = value_dead},
    {.metric = "purgeline_api_reads_total",
     .help = "Requests sent that read Fastly's API, by the limit that they count against; those "
             "for edge_check count against both.",
     .type = STATS_COUNTER,
     READS,
     .value = value_reads},
    {.metric = "purgeline_api_reads_refused_total",
     .help = "Requests that were not sent, because the limit was used up.",
     .type = STATS_COUNTER,
     READS,
     .value = value_reads_refused},
    {.metric = "purgeline_api_reads_used",
     .help = "Of the limit, how many requests were sent in the last minute, or hour for "
             "edge_check.",
     READS,
     .value = value_reads_used},
    {.metric = "purgeline_api_reads_held_seconds",
     .help = "For how long Fastly refuses further requests, as it said in a 429.",
     READS,
     .per = 1000,
     .value = value_reads_held},
    {.metric = "purgeline_history_entries",
     .help = "Entries of the history, each with the jobs that ended in one write.",
     ALONE,
     .holds = knows_history,
     .value = value_history_entries},
    {.metric = "purgeline_history_jobs",
     .help = "Jobs in the history, and acts of people.",
     ALONE,
     .holds = knows_history,
     .value = value_history_jobs},
    {.metric = "purgeline_history_age_seconds",
     .help = "Age of the oldest entry of the history; 0 when there is none.",
     ALONE,
     .per = 1000,
     .holds = knows_history,
     .value = value_history_oldest},
};
const size_t backlog_stats_count = array_len(backlog_stats);
