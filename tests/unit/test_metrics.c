/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "dispatch_internal.h"
#include "queue_internal.h"
#include "stats_prometheus.h"

#define ACCOUNTS 2
#define NAME_MAX_BYTES 100

struct world {
    struct config_account accounts[ACCOUNTS];
    struct config_canary canary;
    struct config config; /* with it; otherwise unused */
    struct dispatch d[ACCOUNTS];
    struct queue queue;
    struct overview overview;
    struct consumer_state consumer;
    struct consumer_states consumers;
    struct now now;
    struct buf out;
};

static void rename_account(struct world *w, int i, const char *name)
{
    free(w->accounts[i].name);
    w->accounts[i].name = alloc_str(name);
}

static int setup(void **state)
{
    struct world *w = alloc_zeroed(1, sizeof(*w));
    struct lanes_options o = {.services = 1, .batch_keys = 256, .batch_bytes = 16384};

    w->canary = (struct config_canary){.name = (char *)"front",
                                       .account = (char *)"",
                                       .service = (char *)"",
                                       .url = (char *)"https://h/",
                                       .key = (char *)"k"};
    w->config = (struct config){.canaries = &w->canary, .canaries_count = 1};
    w->consumer = (struct consumer_state){.name = "articles",
                                          .condition = CONSUMER_RUNNING,
                                          .jobs = 7,
                                          .ignored = 2,
                                          .dead = 1,
                                          .lag_known = true,
                                          .lag = 12,
                                          .oldest_known = true,
                                          .oldest_ms = 1500,
                                          .committed_ms = 2500};
    w->consumers = (struct consumer_states){&w->consumer, 1};
    w->now = (struct now){.mono_ns = 1000 * NS_PER_S, .wall_ms = UINT64_C(1700000000000)};
    for (int i = 0; i < ACCOUNTS; i++) {
        struct dispatch *d = &w->d[i];

        config_account_init(&w->accounts[i]);
        rename_account(w, i, i ? "other" : "main");
        d->account = &w->accounts[i];
        assert_int_equal(config_services_add(&w->accounts[i], SPAN("S1"), SPAN("news")), 0);
        d->config = &w->config;
        d->queue = &w->queue;
        d->progress_ns = w->now.mono_ns;
        brake_init(&d->pace.brake);
        lanes_init(&d->pace.lanes, &o);
        window_init(&d->pace.window, 100, &d->pace.lanes);
        d->settle = settle_new(d->account, NULL, NULL, NULL);
        d->origin = origin_new(d->account, NULL, NULL, NULL, 0, NULL);
        d->intake = intake_new(
            d->account, &(struct intake_parts){.window = &d->pace.window, .settle = d->settle},
            NULL, NULL);
        d->verification = verification_new(d);
        d->repeats = repeats_new(d->account);
        d->trouble = trouble_new("main");
        d->endpoint = endpoint_new(&(struct endpoint_options){.api = "",
                                                              .ca_file = "",
                                                              .proxy = "",
                                                              .proxy_ca_file = "",
                                                              .proxy_auth = "",
                                                              .token = "",
                                                              .user_agent = "",
                                                              .fault = ""});
        d->canaries = canaries_new(d);
        d->event_watch = event_watch_new(d);
        d->ledgers = ledger_new(d->account, NULL, &d->pace.grant, w->now.mono_ns, NULL, NULL);
    }
    buf_init(&w->out, METRICS_MAX_BYTES(ACCOUNTS));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    struct config c = {.accounts = alloc_zeroed(ACCOUNTS, sizeof(w->accounts[0])),
                       .accounts_count = ACCOUNTS};

    for (int i = 0; i < ACCOUNTS; i++) {
        window_deinit(&w->d[i].pace.window);
        lanes_deinit(&w->d[i].pace.lanes);
        intake_free(w->d[i].intake);
        origin_free(w->d[i].origin);
        settle_free(w->d[i].settle);
        verification_free(w->d[i].verification);
        repeats_free(w->d[i].repeats);
        canaries_free(w->d[i].canaries);
        event_watch_free(w->d[i].event_watch);
        ledger_free(w->d[i].ledgers);
        trouble_free(w->d[i].trouble);
        endpoint_drop(w->d[i].endpoint);
        c.accounts[i] = w->accounts[i];
    }
    config_deinit(&c);
    buf_deinit(&w->out);
    free(w);
    return 0;
}

static const char *render(struct world *w)
{
    struct dispatch *const all[ACCOUNTS] = {&w->d[0], &w->d[1]};
    const struct metrics_backlog backlogs[ACCOUNTS] = {
        {w->accounts[0].name, &w->overview, &w->consumers},
        {w->accounts[1].name, &w->overview, NULL}};

    buf_clear(&w->out);
    metrics_render(all, ACCOUNTS, w->now, &w->out);
    metrics_render_backlog(backlogs, ACCOUNTS, true, &w->out);
    metrics_render_consumers(backlogs, ACCOUNTS, &w->out);
    return w->out.p;
}

#define assert_line(text, line) assert_non_null(strstr(text, "\n" line "\n"))
#define assert_no(text, part) assert_null(strstr(text, part))

/* -- the format ------------------------------------------------------------------------------ */

/* A parser for the text format, as strict as promtool: one HELP and one TYPE before the samples of
 * each metric, all its samples together, no duplicate series, counters named _total, cumulative
 * buckets. */
struct reader {
    char name[NAME_MAX_BYTES], type[16]; /* of the current metric */
    char bucket[256];                    /* the current histogram: its labels without le */
    double below, bound;                 /* value and bound of its last bucket */
    bool helped, complete;               /* complete: its +Inf bucket has been read */
    char **seen;                         /* names of metrics and series so far */
    size_t seen_count;
};

static void see(struct reader *r, const char *what, size_t n)
{
    char *copy = alloc_copy(what, n);

    for (size_t i = 0; i < r->seen_count; i++)
        if (strcmp(r->seen[i], copy) == 0)
            fail_msg("twice: %s", copy);
    r->seen = alloc_grow(r->seen, r->seen_count + 1, sizeof(*r->seen));
    r->seen[r->seen_count++] = copy;
}

static size_t name_length(const char *p)
{
    size_t n = 0;

    while (isalnum((unsigned char)p[n]) || p[n] == '_')
        n++;
    assert_true(n > 0 && n < NAME_MAX_BYTES && !isdigit((unsigned char)p[0]));
    return n;
}

static void read_comment(struct reader *r, const char *line)
{
    bool help = strncmp(line, "# HELP ", 7) == 0;
    size_t n = name_length(line + 7);

    assert_true(help || strncmp(line, "# TYPE ", 7) == 0);
    if (help) {
        see(r, line, 7 + n);
        memcpy(r->name, line + 7, n);
        r->name[n] = '\0';
        assert_true(strlen(line) > 7 + n + 10); /* the help is a sentence */
        assert_int_equal(line[strlen(line) - 1], '.');
    } else {
        assert_true(r->helped && strncmp(line + 7, r->name, n) == 0 && !r->name[n]);
        snprintf(r->type, sizeof(r->type), "%s", line + 7 + n + 1);
        assert_true(strcmp(r->type, "gauge") == 0 || strcmp(r->type, "counter") == 0 ||
                    strcmp(r->type, "histogram") == 0);
        assert_true((strcmp(r->type, "counter") == 0) ==
                    (n > 6 && strcmp(r->name + n - 6, "_total") == 0));
    }
    r->helped = help;
}

/* Parses {a="b",c="d"}. Returns the text after it. */
static const char *read_labels(const char *p)
{
    assert_int_equal(*p++, '{');
    for (;;) {
        p += name_length(p);
        assert_true(p[0] == '=' && p[1] == '"');
        for (p += 2; *p != '"'; p++) {
            assert_true(*p != '\0');
            if (*p == '\\') {
                p++;
                assert_non_null(strchr("\\\"n", *p));
            }
        }
        if (*++p == '}')
            return p + 1;
        assert_int_equal(*p++, ',');
    }
}

static void read_bucket(struct reader *r, const char *labels, double value)
{
    const char *le = strstr(labels, ",le=\"");
    size_t n;

    assert_non_null(le);
    n = (size_t)(le - labels);
    if (strncmp(r->bucket, labels, n) != 0 || r->bucket[n]) {
        assert_true(n < sizeof(r->bucket));
        memcpy(r->bucket, labels, n);
        r->bucket[n] = '\0';
        r->below = r->bound = 0;
    }
    assert_true(value >= r->below);
    assert_true(strtod(le + 5, NULL) > r->bound);
    r->below = value;
    r->bound = strtod(le + 5, NULL);
    r->complete = strncmp(le + 5, "+Inf\"", 5) == 0;
}

static void read_sample(struct reader *r, const char *line)
{
    size_t n = name_length(line), base = strlen(r->name);
    const char *suffix = line + base, *after = line + n;
    char *end;
    double value;

    assert_true(r->type[0] && n >= base && strncmp(line, r->name, base) == 0);
    if (*after == '{')
        after = read_labels(after);
    see(r, line, (size_t)(after - line));
    assert_int_equal(*after, ' ');
    value = strtod(after + 1, &end);
    assert_true(*end == '\0' && end > after + 1);
    if (strcmp(r->type, "histogram") != 0) {
        assert_int_equal(n, base);
    } else if (strncmp(suffix, "_bucket{", 8) == 0) {
        read_bucket(r, suffix + 7, value);
    } else {
        assert_true(r->complete);
        assert_true(strncmp(suffix, "_sum{", 5) == 0 || strncmp(suffix, "_count{", 7) == 0);
        assert_true(suffix[1] == 's' || (value == r->below));
    }
}

static void read_text(const char *text)
{
    struct reader r = {0};
    char *copy = alloc_str(text), *rest = copy, *line;

    assert_int_equal(text[strlen(text) - 1], '\n');
    while ((line = strsep(&rest, "\n")) && *line) {
        if (*line == '#') {
            r.type[0] = strncmp(line, "# HELP", 6) == 0 ? '\0' : r.type[0];
            read_comment(&r, line);
        } else {
            read_sample(&r, line);
        }
    }
    assert_true(rest == NULL && *line == '\0');
    for (size_t i = 0; i < r.seen_count; i++)
        free(r.seen[i]);
    free(r.seen);
    free(copy);
}

/* Each bucket gets fewer values than the one before, so missing cumulation is noticed. */
static void fill(struct dispatch *d)
{
    uint64_t n = 1000;

    for (uint64_t *at = (uint64_t *)&d->counts; at < (uint64_t *)(&d->counts + 1); at++)
        *at = n--;
    d->pace.window.merged = n;
    d->state = DISPATCH_LEADING;
}

static void prometheus_can_read_it(void **state)
{
    struct world *w = *state;

    read_text(render(w));
    fill(&w->d[0]);
    fill(&w->d[1]);
    w->d[1].pace.brake.state = BRAKE_HELD;
    w->accounts[0].allow_purge_all = w->accounts[0].budget.separate = true;
    read_text(render(w));
}

static void a_name_with_quotes_does_not_end_its_label(void **state)
{
    struct world *w = *state;

    rename_account(w, 0, "a\"b\\c\nd");
    read_text(render(w));
    assert_line(w->out.p, "purgeline_leading{account=\"a\\\"b\\\\c\\nd\"} 0");
}

static void the_longest_text_fits_its_ceiling(void **state)
{
    struct world *w = *state;
    char name[65];

    memset(&name, '"', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    for (int i = 0; i < ACCOUNTS; i++) {
        rename_account(w, i, name);
        memset(&w->d[i].counts, 0x3f, sizeof(w->d[i].counts));
        w->d[i].state = DISPATCH_LEADING;
    }
    render(w);
    assert_true(w->out.n < METRICS_MAX_BYTES(ACCOUNTS));
}

static void redis_that_is_away_has_no_backlog(void **state)
{
    struct world *w = *state;
    const struct metrics_backlog backlog = {"main", NULL, NULL};

    metrics_render_backlog(&backlog, 1, false, &w->out);
    read_text(w->out.p);
    assert_line(w->out.p, "purgeline_redis_up 0");
    assert_no(w->out.p, "account=");
}

/* -- contents --------------------------------------------------------------------------------- */

static void both_accounts_are_told_with_their_own_numbers(void **state)
{
    struct world *w = *state;
    const char *text;

    w->d[0].state = DISPATCH_LEADING;
    w->d[0].counts.verdicts[VERDICT_NO_SERVICE] = 3;
    w->d[1].counts.verdicts[VERDICT_NO_SERVICE] = UINT64_MAX;
    w->d[0].counts.answers[ANSWER_1XX + 3] = 4;
    w->d[0].counts.answers[ANSWER_TIMEOUT] = 5;
    w->d[0].counts.jobs[OUTCOME_DEAD] = 6;
    w->d[0].counts.requests[FORM_URL] = 7;
    w->d[1].pace.brake.state = BRAKE_HELD;
    w->d[1].pace.brake.cause = BRAKE_TOKEN;
    w->d[0].lateness.worst_ns = NS_PER_S + NS_PER_S / 4;
    text = render(w);
    assert_line(text, "purgeline_leading{account=\"main\"} 1");
    assert_line(text, "purgeline_leading{account=\"other\"} 0");
    assert_line(text, "purgeline_verdicts_total{account=\"main\",verdict=\"no_service\"} 3");
    assert_line(text, "purgeline_verdicts_total{account=\"other\",verdict=\"no_service\"} "
                      "18446744073709551615");
    assert_line(text, "purgeline_answers_total{account=\"main\",status=\"4xx\"} 4");
    assert_line(text, "purgeline_answers_total{account=\"main\",status=\"timeout\"} 5");
    assert_line(text, "purgeline_jobs_ended_total{account=\"main\",outcome=\"dead\"} 6");
    assert_line(text, "purgeline_requests_total{account=\"main\",kind=\"url\"} 7");
    assert_line(text, "purgeline_brake_state{account=\"main\",state=\"free\"} 1");
    assert_line(text, "purgeline_brake_state{account=\"other\",state=\"held\"} 1");
    assert_line(text, "purgeline_brake_cause{account=\"main\",cause=\"throttled\"} 0");
    assert_line(text, "purgeline_brake_cause{account=\"other\",cause=\"token refused\"} 1");
    assert_line(text, "purgeline_loop_stall_seconds{account=\"main\"} 1.250000000");
    assert_non_null(strstr(text, "purgeline_build_info{version=\"" PURGELINE_VERSION "\"} 1\n"));
}

#define CONSUMER "{account=\"main\",consumer=\"articles\""

static void a_consumer_is_told_as_far_as_it_is_known(void **state)
{
    struct world *w = *state;
    const char *text = render(w);

    assert_line(text, "purgeline_consumer_up" CONSUMER "} 1");
    assert_line(text, "purgeline_consumer_messages_total" CONSUMER ",result=\"job\"} 7");
    assert_line(text, "purgeline_consumer_messages_total" CONSUMER ",result=\"ignored\"} 2");
    assert_line(text, "purgeline_consumer_messages_total" CONSUMER ",result=\"dead\"} 1");
    assert_line(text, "purgeline_consumer_lag_messages" CONSUMER "} 12");
    assert_line(text, "purgeline_consumer_oldest_message_age_seconds" CONSUMER "} 1.500");
    assert_line(text, "purgeline_consumer_last_commit_age_seconds" CONSUMER "} 2.500");

    w->consumer.condition = CONSUMER_SOURCE_AWAY;
    w->consumer.lag_known = w->consumer.oldest_known = false;
    text = render(w);
    assert_line(text, "purgeline_consumer_up" CONSUMER "} 0");
    assert_no(text, "purgeline_consumer_lag_messages{");
    assert_no(text, "purgeline_consumer_oldest_message_age_seconds{");
    w->consumer.condition = CONSUMER_FULL;
    text = render(w);
    assert_line(text, "purgeline_consumer_up" CONSUMER "} 1");
    assert_line(text, "purgeline_consumer_waiting" CONSUMER ",reason=\"backlog_max\"} 1");
    assert_line(text, "purgeline_consumer_waiting" CONSUMER ",reason=\"paused\"} 0");
    w->consumer.condition = CONSUMER_PAUSED;
    text = render(w);
    assert_line(text, "purgeline_consumer_up" CONSUMER "} 1");
    assert_line(text, "purgeline_consumer_waiting" CONSUMER ",reason=\"backlog_max\"} 0");
    assert_line(text, "purgeline_consumer_waiting" CONSUMER ",reason=\"paused\"} 1");

    w->consumer =
        (struct consumer_state){.name = "articles", .committed_ms = NEVER, .heard_ms = NEVER};
    text = render(w);
    assert_line(text, "purgeline_consumer_up" CONSUMER "} 0");
    assert_no(text, "purgeline_consumer_messages_total{");
    assert_no(text, "purgeline_consumer_waiting{");
    assert_no(text, "purgeline_consumer_last_commit_age_seconds{");
}

static void only_who_leads_tells_of_a_budget_and_only_of_those_there_are(void **state)
{
    struct world *w = *state;
    const char *text;

    w->d[0].state = DISPATCH_LEADING;
    text = render(w);
    assert_line(text, "purgeline_budget_units{account=\"main\",ledger=\"purge\"} 100000");
    assert_line(text, "purgeline_budget_left{account=\"main\",ledger=\"purge\"} 100000");
    assert_no(text, "purgeline_budget_left{account=\"main\",ledger=\"write\"");
    assert_no(text, "purgeline_budget_left{account=\"main\",ledger=\"url\"");
    assert_no(text, "purgeline_budget_left{account=\"other\"");
    w->accounts[0].allow_purge_all = w->accounts[0].budget.separate = true;
    text = render(w);
    assert_line(text, "purgeline_budget_units{account=\"main\",ledger=\"write\"} 1000");
    assert_line(text, "purgeline_budget_left{account=\"main\",ledger=\"url\"} 100000");
}

static void a_histogram_has_cumulative_buckets_in_seconds(void **state)
{
    struct world *w = *state;
    const char *text;

    histogram_add(&w->d[0].counts.to_wire[LANE_URGENT], 800);
    histogram_add(&w->d[0].counts.to_wire[LANE_URGENT], 1000000);
    histogram_add(&w->d[0].counts.to_wire[LANE_URGENT], UINT64_C(9000000000));
    text = render(w);
#define SERIES(suffix) "purgeline_push_to_wire_seconds" suffix "{account=\"main\",lane=\"urgent\""
    assert_line(text, SERIES("_bucket") ",le=\"0.0005\"} 0");
    assert_line(text, SERIES("_bucket") ",le=\"0.001\"} 1");
    assert_line(text, SERIES("_bucket") ",le=\"0.5\"} 1");
    assert_line(text, SERIES("_bucket") ",le=\"1\"} 2");
    assert_line(text, SERIES("_bucket") ",le=\"5000\"} 2");
    assert_line(text, SERIES("_bucket") ",le=\"+Inf\"} 3");
    assert_line(text, SERIES("_sum") "} 9001.000800");
    assert_line(text, SERIES("_count") "} 3");
}

static void the_backlog_is_told_by_lane(void **state)
{
    struct world *w = *state;
    const char *text;

    w->overview.lanes[LANE_BULK] = (struct overview_lane){.jobs = 5, .oldest_ms = 61001};
    w->overview.later = 6;
    w->overview.dead = 7;
    text = render(w);
    assert_null(strstr(text, "\npurgeline_history_entries{"));
    w->overview.history = (struct history_reach){true, 8, 9, 3600001};
    text = render(w);
    assert_line(text, "purgeline_history_entries{account=\"main\"} 8");
    assert_line(text, "purgeline_history_jobs{account=\"main\"} 9");
    assert_line(text, "purgeline_history_age_seconds{account=\"main\"} 3600.001");
    assert_line(text, "purgeline_redis_up 1");
    assert_line(text, "purgeline_lease_held{account=\"main\"} 0");
    assert_line(text, "purgeline_backlog_jobs{account=\"main\",lane=\"bulk\"} 5");
    assert_line(text, "purgeline_oldest_job_age_seconds{account=\"main\",lane=\"bulk\"} 61.001");
    assert_line(text, "purgeline_later_jobs{account=\"main\"} 6");
    assert_line(text, "purgeline_dead_letters{account=\"other\"} 7");
}

static void the_status_has_the_names_that_people_read(void **state)
{
    static const char *const names[] = {
        "at",          "window_targets",  "window_jobs",       "in_flight",
        "budget_left", "url_budget_left", "write_budget_left", "spent",
        "jobs_taken",  "targets_taken",   "targets_merged",    "jobs_malformed",
        "requests",    "jobs_postponed",  "batches",           "batch_keys",
        "retries",     "targets_purged",  "jobs_purged",       "jobs_dead",
        "throttled",   "jobs_expired",    "bisected",          "missing_in_replies"};
    struct world *w = *state;
    char *text;
    json_t *report;

    w->d[0].counts.requests[FORM_KEYS] = 1;
    w->d[0].counts.requests[FORM_SOFT_KEYS] = 2;
    w->d[0].counts.requests[FORM_ALL] = 4;
    text = report_json(&w->d[0], w->now);
    report = json_loads(text, 0, NULL);
    for (size_t i = 0; i < array_len(names); i++)
        assert_true(json_is_integer(json_object_get(report, names[i])));
    assert_int_equal(json_integer_value(json_object_get(report, "requests")), 7);
    assert_int_equal(json_integer_value(json_object_get(report, "batches")), 3);
    assert_string_equal(json_string_value(json_object_get(report, "brake")), "free");
    assert_non_null(json_string_value(json_object_get(report, "version")));
    json_decref(report);
    free(text);
}

/* -- metrics in other files ------------------------------------------------------------------- */

static char *read_file(const char *name)
{
    const char *root = getenv("SOURCE_DIR");
    char *path = alloc_printf("%s/%s", root ? root : ".", name), *text;
    FILE *file = fopen(path, "r");
    size_t room = 1 << 20, n;

    if (!file)
        fail_msg("%s cannot be read; set SOURCE_DIR", path);
    text = alloc_zeroed(1, room);
    n = fread(text, 1, room - 1, file);
    assert_in_range(n, 1000, room - 2);
    fclose(file);
    free(path);
    return text;
}

/* Whether the name occurs in the text as a metric, followed by { or a space. */
static bool is_emitted(const char *text, const char *name, size_t n)
{
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        if (strncmp(at + 1, name, n) == 0 && (at[1 + n] == '{' || at[1 + n] == ' '))
            return true;
    return false;
}

static size_t check_names(const char *emitted, const char *file, const char *text)
{
    size_t found = 0;

    for (const char *at = text; (at = strstr(at, "purgeline_")); found++) {
        size_t n = name_length(at);

        if (!is_emitted(emitted, at, n))
            fail_msg("%s: nobody emits %.*s", file, (int)n, at);
        at += n;
    }
    return found;
}

/* Checks values like lane="urgent" and cause=\"outage\". */
static size_t check_values(const char *emitted, const char *file, const char *text)
{
    static const char *const labels[] = {"lane",    "cause", "state",  "verdict",
                                         "outcome", "kind",  "status", "ledger"};
    size_t found = 0;

    for (size_t i = 0; i < array_len(labels); i++) {
        char *begin = alloc_printf("%s=", labels[i]);

        for (const char *at = text; (at = strstr(at, begin)); found++) {
            char want[NAME_MAX_BYTES];

            at += strlen(begin) + (at[strlen(begin)] == '\\') + 1;
            snprintf(want, sizeof(want), "%s\"%.*s\"", begin, (int)strcspn(at, "\\\""), at);
            if (at[-1] == '"' && !strstr(emitted, want))
                fail_msg("%s: nobody emits %s", file, want);
        }
        free(begin);
    }
    return found;
}

static void whatever_alerts_and_dashboard_name_is_emitted(void **state)
{
    static const char *const files[] = {"deploy/prometheus/purgeline.rules.yml",
                                        "deploy/grafana/purgeline.json"};
    struct world *w = *state;
    const char *emitted;

    w->d[0].state = DISPATCH_LEADING;
    w->accounts[0].allow_purge_all = w->accounts[0].budget.separate = true;
    emitted = render(w);
    for (size_t i = 0; i < array_len(files); i++) {
        char *text = read_file(files[i]);

        assert_true(check_names(emitted, files[i], text) > 15);
        assert_true(check_values(emitted, files[i], text) > 0);
        free(text);
    }
}

static void every_alert_says_what_it_is_and_what_to_do(void **state)
{
    char *text = read_file("deploy/prometheus/purgeline.rules.yml");
    const char *at = text;
    size_t alerts = 0;

    (void)state;
    for (; (at = strstr(at, "- alert: ")); alerts++) {
        const char *next = strstr(++at, "- alert: "), *summary = strstr(at, "summary: "),
                   *description = strstr(at, "description: "), *severity = strstr(at, "severity: "),
                   *command = strstr(at, "command: ");

        assert_true(summary && description && severity && command);
        assert_true(!next ||
                    (summary < next && description < next && severity < next && command < next));
    }
    assert_true(alerts >= 10);
    free(text);
}

static void the_dashboard_is_json_with_queries_in_every_panel(void **state)
{
    char *text = read_file("deploy/grafana/purgeline.json");
    json_t *dashboard = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *panel;
    size_t i;

    (void)state;
    assert_non_null(dashboard);
    json_array_foreach(json_object_get(dashboard, "panels"), i, panel)
        assert_true(strcmp(json_string_value(json_object_get(panel, "type")), "row") == 0 ||
                    json_string_length(json_object_get(
                        json_array_get(json_object_get(panel, "targets"), 0), "expr")) > 0);
    assert_true(i > 10);
    json_decref(dashboard);
    free(text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(prometheus_can_read_it),
        TEST(a_name_with_quotes_does_not_end_its_label),
        TEST(the_longest_text_fits_its_ceiling),
        TEST(redis_that_is_away_has_no_backlog),
        TEST(both_accounts_are_told_with_their_own_numbers),
        TEST(a_consumer_is_told_as_far_as_it_is_known),
        TEST(only_who_leads_tells_of_a_budget_and_only_of_those_there_are),
        TEST(a_histogram_has_cumulative_buckets_in_seconds),
        TEST(the_backlog_is_told_by_lane),
        TEST(the_status_has_the_names_that_people_read),
        TEST(whatever_alerts_and_dashboard_name_is_emitted),
        cmocka_unit_test(every_alert_says_what_it_is_and_what_to_do),
        cmocka_unit_test(the_dashboard_is_json_with_queries_in_every_panel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
