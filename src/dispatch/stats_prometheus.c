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
