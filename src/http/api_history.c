/* SPDX-License-Identifier: MIT
 * GET /v1/history: jobs that have ended, newest first, and for operators what people did. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "history_read.h"
#include "json_text.h"
#include "outcome.h"
#include "target.h"
#include "worker.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 500
/* Entries of the history that one request looks at, with up to 256 jobs each. If there are more, it
 * is told where to go on. */
#define ENTRIES_MAX 1000

enum text { TEXT_TARGET, TEXT_REF, TEXT_OUTCOME, TEXT_JOB, TEXT_ID, TEXT_PRODUCER, TEXT_N };
static const char *const text_names[TEXT_N] = {"target", "ref", "outcome", "job", "id", "producer"};

struct looking {
    const struct config *config; /* a reference, for the next two */
    const struct config_producer *who;
    const struct config_account *account;
    char *texts[TEXT_N];
    uint64_t limit;
    bool only_acts;
    struct history_query query;
    json_t *jobs, *acts;
};

static void free_looking(void *order)
{
    struct looking *g = order;

    for (int i = 0; i < TEXT_N; i++)
        free(g->texts[i]);
    config_drop(g->config);
    free(g);
}

/* -- what a producer may see -- */

static void add_word(json_t *scope, const char *before, const char *text)
{
    char *word = alloc_printf("%s%s", before, text);

    json_array_append_new(scope, json_text_of(word));
    free(word);
}

static void add_urls(json_t *scope, const json_t *urls)
{
    const json_t *url;
    size_t i;

    if (json_array_size(urls))
        add_word(scope, "url", "");
    json_array_foreach(urls, i, url)
    {
        struct span host, rest, text = span_of(json_string_value(url), json_string_length(url));
        char *name;

        url_split(text.p ? text : SPAN(""), &host, &rest);
        name = alloc_copy(host.p ? host.p : "", host.n);
        add_word(scope, "host:", name);
        free(name);
    }
}

static void add_services(json_t *scope, const json_t *purge)
{
    const json_t *service;
    size_t i;

    if (json_string_value(json_object_get(purge, "service")))
        add_word(scope, "service:", json_string_value(json_object_get(purge, "service")));
    json_array_foreach(json_object_get(purge, "services"), i, service)
        add_word(scope, "service:", json_string_value(service) ? json_string_value(service) : "");
}

/* The scope of a line that has none, because it shows nothing that another producer wrote but the
 * targets. If not all of these are there, only those may see it who may push anything. */
static json_t *scope_of_purge(const json_t *purge)
{
    json_t *scope = json_array();

    if (json_object_get(purge, "more"))
        add_word(scope, "large", "");
    if (json_array_size(json_object_get(purge, "keys")))
        add_word(scope, "key", "");
    if (json_is_true(json_object_get(purge, "all")))
        add_word(scope, "all", "");
    add_urls(scope, json_object_get(purge, "urls"));
    add_services(scope, purge);
    return scope;
}

static bool may_see(const struct looking *g, const json_t *j)
{
    const char *job = json_string_value(json_object_get(j, "job"));
    json_t *scope = json_object_get(j, "scope");
    enum lane lane = LANE_NORMAL;
    bool may;

    if (g->who->admin)
        return true;
    if (!job || history_is_act(j) || !job_id_ok(span_str(job), &lane))
        return false;
    if (request_pushed(g->who, j))
        return true;
    scope = scope ? json_incref(scope) : scope_of_purge(json_object_get(j, "purge"));
    may = request_may_see(g->who, g->account, lane, scope);
    json_decref(scope);
    return may;
}

static int on_line(void *ctx, json_t *j)
{
    struct looking *g = ctx;

    if (may_see(g, j)) {
        json_object_del(j, "scope");
        request_hide_pusher(g->who, j);
        json_array_append(history_is_act(j) ? g->acts : g->jobs, j);
    }
    json_decref(j);
    return json_array_size(g->jobs) + json_array_size(g->acts) == g->limit;
}

/* -- the request -- */

static json_t *found_json(const struct looking *g)
{
    json_t *j = json_pack("{sosOso}", "account", json_text_of(g->account->name), "jobs", g->jobs,
                          "next", json_text_of(*g->query.cursor ? g->query.cursor : NULL));

    if (g->who->admin)
        json_object_set(j, "acts", g->acts);
    return j;
}

static void look_back(struct task *c)
{
    struct looking *g = c->order;
    const struct history_filter filter = {.target = span_str(g->texts[TEXT_TARGET]),
                                          .ref = span_str(g->texts[TEXT_REF]),
                                          .outcome = span_str(g->texts[TEXT_OUTCOME]),
                                          .job = span_str(g->texts[TEXT_JOB]),
                                          .purge_id = span_str(g->texts[TEXT_ID]),
                                          .producer = span_str(g->texts[TEXT_PRODUCER]),
                                          .acts = g->only_acts};
    struct history_wanted *wanted = history_wanted_new(&filter);
    int rc;

    g->jobs = json_array();
    g->acts = json_array();
    g->query.account = g->account->name;
    g->query.wanted = wanted;
    rc = history_read(c->client, &g->query, on_line, g);
    history_wanted_free(wanted);
    if (rc < 0)
        task_redis_failed(c, rc, "");
    else
        task_say(c, 200, found_json(g));
    json_decref(g->jobs);
    json_decref(g->acts);
}

static char *text_of(struct span s)
{
    return alloc_copy(s.p ? s.p : "", s.n);
}

static int take_number_of(struct request *e, const char *name, uint64_t least, uint64_t most,
                          uint64_t *out)
{
    struct span text = request_query(e, name);
    char why[120];

    if (!text.p || (span_to_u64(text, out) == 0 && *out >= least && *out <= most))
        return 0;
    snprintf(why, sizeof(why), "%s: expected a number from %llu to %llu", name,
             (unsigned long long)least, (unsigned long long)most);
    request_refuse(e, 400, why);
    return -1;
}

static int take_acts(struct request *e, struct looking *g)
{
    struct span acts = request_query(e, "acts");

    g->only_acts = span_is(acts, "true");
    if (acts.p && !g->only_acts && !span_is(acts, "false")) {
        request_refuse(e, 400, "acts: expected true or false");
        return -1;
    }
    if (g->only_acts && !e->who->admin) {
        request_refuse(e, 403, "acts: this needs a producer with admin: true");
        return -1;
    }
    return 0;
}

static int check_producer(struct request *e, const char *name)
{
    if (!*name || e->who->admin || strcmp(name, e->who->name) == 0)
        return 0;
    request_refuse(e, 403, "producer: a name other than yours needs a producer with admin: true");
    return -1;
}

static int take_filter(struct request *e, struct looking *g)
{
    struct span cursor = request_query(e, "cursor");

    for (int i = 0; i < TEXT_N; i++)
        g->texts[i] = text_of(request_query(e, text_names[i]));
    if (take_acts(e, g) < 0 || check_producer(e, g->texts[TEXT_PRODUCER]) < 0 ||
        take_number_of(e, "limit", 1, LIMIT_MAX, &g->limit) < 0 ||
        take_number_of(e, "since", 0, INT64_MAX, &g->query.since_ms) < 0 ||
        take_number_of(e, "until", 0, INT64_MAX, &g->query.until_ms) < 0)
        return -1;
    if (*g->texts[TEXT_OUTCOME] && !outcome_is_end(g->texts[TEXT_OUTCOME])) {
        request_refuse(e, 400, "outcome: expected purged, dead, expired or cancelled");
        return -1;
    }
    if (cursor.n && !history_cursor_ok(cursor)) {
        request_refuse(e, 400, "cursor: expected what `next` said");
        return -1;
    }
    snprintf(g->query.cursor, sizeof(g->query.cursor), "%.*s", (int)cursor.n,
             cursor.n ? cursor.p : "");
    return 0;
}

void api_history(struct request *e)
{
    const struct config_account *a = request_account(e, request_query(e, "account"));
    struct looking *g;

    if (!a)
        return;
    g = alloc_zeroed(1, sizeof(*g));
    g->config = config_hold(e->config);
    g->who = e->who;
    g->account = a;
    g->limit = LIMIT_DEFAULT;
    g->query.entries_max = ENTRIES_MAX;
    if (take_filter(e, g) == 0)
        task_begin(e, e->who->admin ? TASK_ADMIN : TASK_PLAN, look_back, g, free_looking);
    else
        free_looking(g);
}
