/* SPDX-License-Identifier: MIT */
#include "stats_prometheus.h"

#include <inttypes.h>

#include "stats.h"

static void put_header(struct buf *out, const char *metric, enum stats_type type, const char *help)
{
    static const char *const types[] = {
        [STATS_GAUGE] = "gauge", [STATS_COUNTER] = "counter", [STATS_HISTOGRAM] = "histogram"};

    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, types[type]);
}

static void put_label(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n') {
            buf_put(out, SPAN("\\n"));
            continue;
        }
        if (*value == '"' || *value == '\\')
            buf_putc(out, '\\');
        buf_putc(out, *value);
    }
    buf_putc(out, '"');
}

/* Writes name{account="…",label="…" without the closing brace, because histograms add a label. */
static void put_series(struct buf *out, const struct stats_item *f, const char *suffix,
                       const struct stats_subject *s, size_t i)
{
    buf_printf(out, "%s%s{", f->metric, suffix);
    put_label(out, "account", s->account);
    if (f->label) {
        buf_putc(out, ',');
        put_label(out, f->label, f->values[i]);
    }
}

/* Writes value / per exactly: a double would lose the last digits of large counters. */
static void put_value(struct buf *out, uint64_t value, uint64_t per)
{
    int digits = 0;

    if (per < 2) {
        buf_printf(out, "%" PRIu64 "\n", value);
        return;
    }
    for (uint64_t p = per; p > 1; p /= 10)
        digits++;
    buf_printf(out, "%" PRIu64 ".%0*" PRIu64 "\n", value / per, digits, value % per);
}

static void put_histogram(struct buf *out, const struct stats_item *f,
                          const struct stats_subject *s, size_t i)
{
    const struct histogram *h = f->of(s, i);
    uint64_t below = 0;

    for (uint32_t b = 0; b < HISTOGRAM_BOUNDS; b++) {
        below += h->count[b];
        put_series(out, f, "_bucket", s, i);
        buf_printf(out, ",le=\"%g\"} %" PRIu64 "\n", (double)histogram_bounds_us[b] / 1e6, below);
    }
    below += h->count[HISTOGRAM_BOUNDS];
    put_series(out, f, "_bucket", s, i);
    buf_printf(out, ",le=\"+Inf\"} %" PRIu64 "\n", below);
    put_series(out, f, "_sum", s, i);
    buf_put(out, SPAN("} "));
    put_value(out, h->sum_us, 1000000);
    put_series(out, f, "_count", s, i);
    buf_printf(out, "} %" PRIu64 "\n", below);
}

static void put_item(struct buf *out, const struct stats_item *f, const struct stats_subject *s)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->holds && !f->holds(s, i))
            continue;
        if (f->type == STATS_HISTOGRAM) {
            put_histogram(out, f, s, i);
            continue;
        }
        put_series(out, f, "", s, i);
        buf_put(out, SPAN("} "));
        put_value(out, f->value(s, i), f->per);
    }
}

void metrics_render(struct dispatch *const *accounts, size_t count, struct now now, struct buf *out)
{
    put_header(out, "purgeline_build_info", STATS_GAUGE, "1; the version is in the label.");
    buf_printf(out, "purgeline_build_info{version=\"%s\"} 1\n", PURGELINE_VERSION);
    for (size_t n = 0; n < dispatch_stats_count; n++) {
        const struct stats_item *f = &dispatch_stats[n];

        if (!f->metric)
            continue;
        put_header(out, f->metric, f->type, f->help);
        for (size_t a = 0; a < count; a++) {
            struct stats_subject s = {
                .account = dispatch_account(accounts[a]), .dispatch = accounts[a], .now = now};

            put_item(out, f, &s);
        }
    }
}

void metrics_render_backlog(const struct metrics_backlog *accounts, size_t count, bool redis_up,
                            struct buf *out)
{
    put_header(out, "purgeline_redis_up", STATS_GAUGE, "1 when Redis answers.");
    buf_printf(out, "purgeline_redis_up %d\n", redis_up);
    for (size_t n = 0; n < backlog_stats_count; n++) {
        const struct stats_item *f = &backlog_stats[n];

        put_header(out, f->metric, f->type, f->help);
        for (size_t a = 0; a < count; a++) {
            struct stats_subject s = {.account = accounts[a].account,
                                      .overview = accounts[a].overview};

            if (s.overview)
                put_item(out, f, &s);
        }
    }
}

/* -- consumers -- */

/* One sample; false if there is none, because it is not known. */
static bool consumer_up(const struct consumer_state *k, size_t i, uint64_t *out)
{
    (void)i;
    *out = k->condition == CONSUMER_RUNNING || k->condition == CONSUMER_FULL ||
           k->condition == CONSUMER_PAUSED;
    return true;
}

static const char *const consumer_waits_for[] = {"backlog_max", "paused"};

static bool consumer_waiting(const struct consumer_state *k, size_t i, uint64_t *out)
{
    static const enum consumer_condition reasons[] = {CONSUMER_FULL, CONSUMER_PAUSED};

    *out = k->condition == reasons[i];
    return k->condition != CONSUMER_ABSENT;
}

static const char *const consumer_results[] = {"job", "ignored", "dead"};

static bool consumer_messages(const struct consumer_state *k, size_t i, uint64_t *out)
{
    const uint64_t messages[] = {k->jobs, k->ignored, k->dead};

    *out = messages[i];
    return k->heard_ms != NEVER;
}

static bool consumer_lag(const struct consumer_state *k, size_t i, uint64_t *out)
{
    (void)i;
    *out = k->lag;
    return k->lag_known && k->condition != CONSUMER_ABSENT;
}

static bool consumer_oldest(const struct consumer_state *k, size_t i, uint64_t *out)
{
    (void)i;
    *out = k->oldest_ms;
    return k->oldest_known && k->condition != CONSUMER_ABSENT;
}

static bool consumer_committed(const struct consumer_state *k, size_t i, uint64_t *out)
{
    (void)i;
    *out = k->committed_ms;
    return k->committed_ms != NEVER;
}

static const struct consumer_metric {
    const char *name, *help;
    enum stats_type type;
    uint64_t per;              /* the value is divided by this */
    const char *label;         /* NULL: none */
    const char *const *values; /* of the label */
    size_t count;
    bool (*value)(const struct consumer_state *k, size_t i, uint64_t *out);
} consumer_metrics[] = {
    {"purgeline_consumer_up", "1 while the consumer runs, and can read its queue and reach Redis.",
     STATS_GAUGE, 1, NULL, NULL, 1, consumer_up},
    {"purgeline_consumer_waiting",
     "1 while the consumer runs and fetches no messages, because the account has backlog_max jobs "
     "or is paused.",
     STATS_GAUGE, 1, "reason", consumer_waits_for, array_len(consumer_waits_for), consumer_waiting},
    {"purgeline_consumer_messages_total", "Messages that are done, by what became of them.",
     STATS_COUNTER, 1, "result", consumer_results, array_len(consumer_results), consumer_messages},
    {"purgeline_consumer_lag_messages", "Messages that wait in the queue.", STATS_GAUGE, 1, NULL,
     NULL, 1, consumer_lag},
    {"purgeline_consumer_oldest_message_age_seconds",
     "Age of the oldest message in the queue; 0 when there is none.", STATS_GAUGE, 1000, NULL, NULL,
     1, consumer_oldest},
    {"purgeline_consumer_last_commit_age_seconds",
     "Time since messages were last marked as done in the queue.", STATS_GAUGE, 1000, NULL, NULL, 1,
     consumer_committed},
};

static void put_consumer(struct buf *out, const struct consumer_metric *m, const char *account,
                         const struct consumer_state *k)
{
    uint64_t value;

    for (size_t i = 0; i < m->count; i++) {
        if (!m->value(k, i, &value))
            continue;
        buf_printf(out, "%s{", m->name);
        put_label(out, "account", account);
        buf_putc(out, ',');
        put_label(out, "consumer", k->name);
        if (m->label) {
            buf_putc(out, ',');
            put_label(out, m->label, m->values[i]);
        }
        buf_put(out, SPAN("} "));
        put_value(out, value, m->per);
    }
}

void metrics_render_consumers(const struct metrics_backlog *accounts, size_t count, struct buf *out)
{
    for (size_t n = 0; n < array_len(consumer_metrics); n++) {
        const struct consumer_metric *m = &consumer_metrics[n];

        put_header(out, m->name, m->type, m->help);
        for (size_t a = 0; a < count; a++) {
            const struct consumer_states *s = accounts[a].consumers;

            for (uint32_t i = 0; s && i < s->count && i < METRICS_CONSUMERS_MAX; i++)
                put_consumer(out, m, accounts[a].account, &s->at[i]);
        }
    }
}

/* -- who may see it -- */

/* The account is the first label of every metric that has one, see put_series. Account names need
 * no escapes. */
static struct span label_account(struct span line)
{
    static const char label[] = "{account=\"";
    const char *at = line.n ? memmem(line.p, line.n, label, sizeof(label) - 1) : NULL, *end;

    if (!at || *line.p == '#')
        return span_of(NULL, 0);
    at += sizeof(label) - 1;
    end = memchr(at, '"', line.n - (size_t)(at - line.p));
    return end ? span_of(at, (size_t)(end - at)) : span_of(NULL, 0);
}

void metrics_filter(struct span text, metrics_may_cb *may, void *ctx, struct buf *out)
{
    struct span line, account;

    while (span_next_word(&text, '\n', &line)) {
        account = label_account(line);
        if (account.p && !may(ctx, account))
            continue;
        buf_put(out, line);
        buf_putc(out, '\n');
    }
}
