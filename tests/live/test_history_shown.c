/* SPDX-License-Identifier: MIT
 * GET /v1/history and purgeline history, over a history that the test has written. */
#include "admin_world.h"

#define HISTORY "purgeline:{main}:history"
#define KEY(n, state, key, service)                                                                \
    "{\"job\":\"normal-1700000000000-" #n "\",\"state\":\"" state "\",\"purge\":{\"keys\":[\"" key \
    "\"],\"service\":\"" service "\",\"sent\":1700000000005}}\n"
#define URL(n, url)                                                                                \
    "{\"job\":\"normal-1700000000000-" #n "\",\"state\":\"purged\",\"targets\":2,\"ref\":\"r 1\"," \
    "\"scope\":[\"url\",\"host:a.com\"],\"purge\":{\"urls\":[\"" url "\"],\"more\":1}}\n"

static void add(struct world *w, const char *id, const char *lines)
{
    char *at = alloc_copy(id, strcspn(id, "-"));

    redis_server_do(w->rig->redis, "XADD " HISTORY " %s v 1 n 1 sum 0 at %s jobs %s", id, at,
                    lines);
    free(at);
}

/* Seven jobs of news, shop and no service in three entries, and what nobody should write there. */
static struct world *with_history(void **state)
{
    struct world *w = begin(state);

    add(w, "1700000001000-0", KEY(1, "purged", "a", "news") KEY(2, "dead", "b", "news"));
    redis_server_do(w->rig->redis, "XADD " HISTORY " 1700000001500-0 jobs %s at x",
                    "\n\nno JSON\n{}x\n[1]\n{\"job\":7}\n{\"purge\":{\"keys\":[7,\"a\"]}}");
    redis_server_do(w->rig->redis, "XADD " HISTORY " 1700000001600-0 other field");
    add(w, "1700000002000-0", URL(3, "https://a.com/x") KEY(4, "purged", "a", "shop"));
    add(w, "1700000003000-0",
        KEY(5, "purged", "a", "news") KEY(6, "expired", "c\\\"", "news")
            KEY(7, "purged", "ab", "news"));
    return w;
}

/* The sequence numbers of the jobs in `list`, like "7 5". */
static void expect_jobs(const json_t *list, const char *wanted)
{
    char found[200] = "";
    const json_t *j;
    size_t i;

    json_array_foreach(list, i, j)
    {
        const char *job = json_string_value(json_object_get(j, "job"));

        snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s", *found ? " " : "",
                 job && strlen(job) > 21 ? job + 21 : "?");
    }
    assert_string_equal(found, wanted);
}

static void expect_over_http(struct world *w, const char *who, const char *query, const char *jobs)
{
    char *path = alloc_printf("/v1/history?account=main%s", query);
    const struct http_reply *r = http_expect(w->http, 200, "GET", path, NULL, who, NULL);

    expect_jobs(at(r->json, "jobs"), jobs);
    free(path);
}

static void jobs_are_found_by_what_they_say(void **state)
{
    struct world *w = with_history(state);
    const struct http_reply *r;

    expect_over_http(w, OPS, "", "7 6 5 4 3 ? ? 2 1");
    expect_over_http(w, OPS, "&target=a", "5 4 ? 1");
    expect_over_http(w, OPS, "&target=c%22", "6");
    expect_over_http(w, OPS, "&target=a.com/x", "3");
    expect_over_http(w, OPS, "&target=http://a.com/x", "3");
    expect_over_http(w, OPS, "&target=a.com/", "");
    expect_over_http(w, OPS, "&ref=r%201", "3");
    expect_over_http(w, OPS, "&ref=r+1&out%63ome=%70urged", "3"); /* as browsers write it */
    expect_over_http(w, OPS, "&outcome=dead", "2");
    expect_over_http(w, OPS, "&outcome=purged&target=a&since=1700000002000", "5 4");
    expect_over_http(w, OPS, "&until=1700000001000", "2 1");
    expect_over_http(w, OPS, "&job=normal-1700000000000-4", "4");
    r = http_expect(w->http, 200, "GET", "/v1/history?account=main&target=ab", NULL, OPS, NULL);
    assert_int_equal(number(r->json, "jobs.0.at"), 1700000003000);
    assert_int_equal(number(r->json, "jobs.0.targets"), 1);
    assert_int_equal(number(r->json, "jobs.0.purge.sent"), 1700000000005);
    assert_true(json_is_null(json_object_get(r->json, "next")));
    end(w);
}

static void pages_follow_each_other_without_gaps(void **state)
{
    struct world *w = with_history(state);
    char jobs[200] = "", *next = alloc_str("");

    for (int i = 0; i < 20 && next; i++) {
        char *path = alloc_printf("/v1/history?account=main&limit=1&outcome=purged%s%s",
                                  *next ? "&cursor=" : "", next);
        const struct http_reply *r = http_expect(w->http, 200, "GET", path, NULL, OPS, NULL);
        const char *cursor = json_string_value(json_object_get(r->json, "next"));

        if (json_array_size(at(r->json, "jobs")))
            strcat(jobs, json_string_value(at(r->json, "jobs.0.job")) + 21);
        free(next);
        next = cursor ? alloc_str(cursor) : NULL;
        free(path);
    }
    assert_null(next);
    assert_string_equal(jobs, "75431");
    end(w);
}

static void a_producer_sees_what_it_might_have_pushed(void **state)
{
    struct world *w = with_history(state);

    expect_over_http(w, CMS, "", "7 6 5 2 1");
    http_expect(w->http, 404, "GET", "/v1/history?account=other", NULL, CMS, NULL);
    http_expect(w->http, 401, "GET", "/v1/history?account=main", NULL, NULL, NULL);
    end(w);
}

/* -- who pushed -- */

static void push_over_http(struct world *w, const char *who, const char *body)
{
    http_expect(w->http, 202, "POST", "/v1/purge", body, who, NULL);
}

static void push_by_all(struct world *w)
{
    push_over_http(w, CMS, "{\"account\":\"main\",\"keys\":\"by-cms\",\"dead_by\":\"ops\"}");
    push_over_http(w, CMS, "{\"account\":\"main\",\"keys\":\"by-cms\",\"ref\":\"r\"}");
    push_over_http(w, OPS, "{\"account\":\"main\",\"service\":\"news\",\"keys\":\"by-ops\"}");
    http_expect(w->http, 200, "POST", "/v1/purge/bulk?account=main", "{\"keys\":[\"b1\",\"b2\"]}\n",
                CMS, NULL);
    http_expect(w->http, 400, "POST", "/v1/purge",
                "{\"account\":\"main\",\"keys\":\"a\",\"by\":\"ops\"}", CMS, NULL);
    http_expect(w->http, 200, "POST", "/v1/pause", "{\"account\":\"main\"}", OPS, NULL);
    http_expect(w->http, 200, "POST", "/v1/resume", "{\"account\":\"main\"}", OPS, NULL);
    rig_await_empty(w->rig);
}

static size_t count_over_http(struct world *w, const char *who, const char *query, const char *list)
{
    char *path = alloc_printf("/v1/history?account=main%s", query);
    const struct http_reply *r = http_expect(w->http, 200, "GET", path, NULL, who, NULL);
    size_t n = json_array_size(at(r->json, list));

    free(path);
    return n;
}

static void one_name_finds_what_somebody_pushed_and_did(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;

    push_by_all(w);
    rig_push(w->rig, "normal", "keys", "by-hand", "service", "news", "by", "a hand", NULL);
    rig_await_empty(w->rig);
    assert_int_equal(count_over_http(w, OPS, "&producer=cms", "jobs"), 3);
    assert_int_equal(count_over_http(w, OPS, "&producer=cms", "acts"), 0);
    assert_int_equal(count_over_http(w, OPS, "&producer=ops", "jobs"), 1);
    assert_int_equal(count_over_http(w, OPS, "&producer=ops", "acts"), 2);
    assert_int_equal(count_over_http(w, OPS, "&producer=ops&acts=true", "jobs"), 0);
    assert_int_equal(count_over_http(w, OPS, "&producer=a%20hand", "jobs"), 1);
    assert_int_equal(count_over_http(w, OPS, "&producer=op", "jobs"), 0);
    r = http_expect(w->http, 200, "GET", "/v1/history?account=main&ref=r", NULL, OPS, NULL);
    assert_string_equal(json_string_value(at(r->json, "jobs.0.by")), "cms");
    shell_run(&w->shell, "$P history -a main --producer ops");
    shell_assert_out(&w->shell, "  by-ops (news)  by ops  id=");
    shell_assert_out(&w->shell, "Z  paused    by ops from 127.");
    assert_null(strstr(w->shell.out, "by-cms"));
    end(w);
}

static void a_cancelled_job_says_who_pushed_it(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r = http_expect(
        w->http, 202, "POST", "/v1/purge",
        "{\"account\":\"main\",\"keys\":\"a\",\"not_before\":1900000000000}", CMS, NULL);
    char *path = alloc_printf("/v1/jobs/%s?account=main", json_string_value(at(r->json, "job")));

    http_expect(w->http, 200, "DELETE", path, NULL, OPS, NULL);
    free(path);
    assert_int_equal(count_over_http(w, OPS, "&producer=cms&outcome=cancelled", "jobs"), 1);
    end(w);
}

static void a_producer_is_not_told_who_else_pushes(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    const json_t *j;
    size_t i, own = 0;

    push_by_all(w);
    r = http_expect(w->http, 200, "GET", "/v1/history?account=main", NULL, CMS, NULL);
    assert_int_equal(json_array_size(at(r->json, "jobs")), 4);
    json_array_foreach(at(r->json, "jobs"), i, j)
    {
        const char *by = json_string_value(json_object_get(j, "by"));

        assert_true(!by || strcmp(by, "cms") == 0);
        own += by != NULL;
    }
    assert_int_equal(own, 3);
    assert_int_equal(count_over_http(w, CMS, "&producer=cms", "jobs"), 3);
    http_expect(w->http, 403, "GET", "/v1/history?account=main&producer=ops", NULL, CMS, NULL);
    end(w);
}

#define OF(n, by)                                                                                  \
    "{\"job\":\"normal-1700000000000-" #n "\",\"state\":\"purged\",\"purge\":{\"all\":true,"       \
    "\"service\":\"shop\",\"by\":\"" by "\"}}\n"

/* A history with one entry from 2023. */
static void expect_reach(struct world *w)
{
    const struct http_reply *r =
        http_expect(w->http, 200, "GET", "/v1/status?account=main", NULL, OPS, NULL);

    assert_int_equal(number(r->json, "accounts.0.history.entries"), 1);
    assert_true(number(r->json, "accounts.0.history.oldest_ms") > 86400000);
    shell_run(&w->shell, "$P status -a main --all");
    shell_assert_out(&w->shell, " jobs in 1 entry, the oldest from ");
    /* What Redis said up to a second ago may be told once more. */
    rig_await(w->rig, strstr(http_do(w->http, "GET", "/metrics", NULL, OPS, NULL)->body,
                             "\npurgeline_history_entries{account=\"main\"} 1\n"));
    r = http_expect(w->http, 200, "GET", "/metrics", NULL, OPS, NULL);
    assert_non_null(strstr(r->body, "\npurgeline_history_age_seconds{account=\"other\"} 0"));
}

/* Whatever it may push now; but hooks, consumers and other spellings are other names. */
static void a_producer_sees_the_jobs_that_it_pushed(void **state)
{
    struct world *w = begin(state);

    add(w, "1700000001000-0",
        OF(1, "cms") OF(2, "CMS") OF(3, "hook cms") OF(4, "consumer cms") OF(5, "cms ") OF(6, "ops")
            OF(7, "cms"));
    expect_over_http(w, CMS, "", "7 1");
    expect_over_http(w, CMS, "&producer=cms", "7 1");
    expect_reach(w);
    expect_over_http(w, OPS, "", "7 6 5 4 3 2 1");
    end(w);
}

static void expect_receipt_of(struct world *w, const char *who, const char *n, const char *by,
                              const char *ref)
{
    char *path = alloc_printf("/v1/jobs/normal-1700000000000-%s?account=main", n);
    const struct http_reply *r = http_expect(w->http, 200, "GET", path, NULL, who, NULL);
    const json_t *name = json_object_get(r->json, "by"), *told = json_object_get(r->json, "ref");

    assert_string_equal(name ? json_string_value(name) : "", by);
    assert_string_equal(told ? json_string_value(told) : "", ref);
    free(path);
}

static void a_receipt_says_who_pushed_to_whom_may_know_it(void **state)
{
    static const char *const names[] = {"cms", "ops", "hook x"};
    struct world *w = begin(state);

    for (int i = 0; i < 3; i++) {
        char *key = alloc_printf("purgeline:{main}:receipt:normal-1700000000000-%d", i);
        char *text =
            alloc_printf("{\"job\":\"normal-1700000000000-%d\",\"state\":\"purged\",\"at\":5,"
                         "\"ref\":\"r\",\"scope\":[\"large\"],\"by\":\"%s\"}",
                         i, names[i]);

        redis_server_do(w->rig->redis, "SET %s %s", key, text);
        free(key);
        free(text);
    }
    expect_receipt_of(w, CMS, "0", "cms", "r");
    expect_receipt_of(w, CMS, "1", "", "");
    expect_receipt_of(w, CMS, "2", "", "");
    expect_receipt_of(w, OPS, "0", "cms", "r");
    expect_receipt_of(w, OPS, "2", "hook x", "r");
    end(w);
}

static void a_waiting_job_says_who_pushed_it(void **state)
{
    struct world *w = begin(state);
    json_t *told;

    http_expect(w->http, 200, "POST", "/v1/pause", "{\"account\":\"main\"}", OPS, NULL);
    redis_server_do(w->rig->redis,
                    "XADD purgeline:{main}:jobs:normal 1700000000000-0 keys a service "
                    "news dead_by cms");
    redis_server_do(w->rig->redis,
                    "XADD purgeline:{main}:jobs:normal 1700000000000-1 keys a service "
                    "shop by ops");
    redis_server_do(w->rig->redis,
                    "XADD purgeline:{main}:jobs:normal 1700000000000-2 keys a service "
                    "news not_before 1900000000000 dead_by cms");
    rig_await(w->rig, redis_server_int(w->rig->redis, "ZCARD purgeline:{main}:postponed") == 1);
    expect_receipt_of(w, CMS, "0", "cms", "");
    expect_receipt_of(w, CMS, "1", "", "");
    expect_receipt_of(w, CMS, "2", "cms", "");
    expect_receipt_of(w, OPS, "0", "cms", "");
    expect_receipt_of(w, OPS, "1", "ops", "");
    for (int i = 0; i < 3; i++) {
        char *command = alloc_printf("$P job -a main --json normal-1700000000000-%d", i);

        told = printed(w, command);
        free(command);
        assert_string_equal(json_string_value(at(told, "by")), i == 1 ? "ops" : "cms");
        json_decref(told);
    }
    shell_run(&w->shell, "$P job -a main normal-1700000000000-2");
    shell_assert_out(&w->shell, "  waiting\n  by cms\n");
    end(w);
}

/* -- the ids that Fastly gave -- */

/* What the sandbox gave to the purge of this key or URL. The caller frees it. */
static char *id_given(struct world *w, const char *target)
{
    const struct request *q = requests_find(&w->rig->requests, target, 0);

    assert_non_null(q);
    assert_true(*q->id);
    for (unsigned i = 0; i < q->n; i++)
        if (strcmp(q->kind, "keys") == 0 && strcmp(q->keys[i], target) == 0)
            return alloc_printf("%s-%u", q->id, i + 1);
    return alloc_str(q->id);
}

static size_t count_with_id(struct world *w, const char *id)
{
    char *query = alloc_printf("&id=%s", id);
    size_t n = count_over_http(w, OPS, query, "jobs");

    free(query);
    return n;
}

static void expect_its_id(struct world *w, const char *target, size_t count)
{
    char *id = id_given(w, target), *path;
    const struct http_reply *r;
    char job[64] = "";
    json_t *j;
    size_t i;

    path = alloc_printf("/v1/history?account=main&target=%s", target);
    r = http_expect(w->http, 200, "GET", path, NULL, OPS, NULL);
    assert_int_equal(json_array_size(at(r->json, "jobs")), count);
    json_array_foreach(at(r->json, "jobs"), i, j)
    {
        assert_string_equal(json_string_value(at(j, "purge.id")), id);
        snprintf(job, sizeof(job), "%s", json_string_value(at(j, "job")));
    }
    assert_int_equal(count_with_id(w, id), count);
    free(path);
    path = alloc_printf("/v1/jobs/%s?account=main", job);
    r = http_expect(w->http, 200, "GET", path, NULL, OPS, NULL);
    assert_string_equal(json_string_value(at(r->json, "timeline.1.purge_id")), id);
    free(path);
    free(id);
}

/* Three keys in one request, two URLs, and a purge-all, to which Fastly gives no id. */
static void purge_all_kinds(struct world *w)
{
    rig_dispatch_pause(w->rig, true);
    instance_await_said(&w->rig->instances[0], "Dispatch is paused", 1);
    rig_push(w->rig, "normal", "keys", "one", "service", "news", NULL);
    rig_push(w->rig, "normal", "keys", "two", "service", "news", "ref", "not plain", NULL);
    rig_push(w->rig, "normal", "keys", "one", "service", "news", NULL);
    rig_push(w->rig, "urgent", "keys", "three", "service", "news", NULL);
    rig_push(w->rig, "normal", "url", "www.example.com/1", NULL);
    rig_push(w->rig, "normal", "url", "www.example.com/2", NULL);
    rig_push(w->rig, "normal", "all", "1", "service", "shop", NULL);
    rig_await(w->rig, rig_status(w->rig, "window_jobs") == 7);
    rig_dispatch_pause(w->rig, false);
    rig_await_empty(w->rig);
}

static void each_job_has_the_id_that_fastly_gave_to_its_purge(void **state)
{
    struct world *w = begin_with(state, "    allow_purge_all: true\n");
    const struct http_reply *r;
    char *id, *line;

    purge_all_kinds(w);
    expect_its_id(w, "one", 2);
    expect_its_id(w, "two", 1);
    expect_its_id(w, "three", 1);
    expect_its_id(w, "www.example.com/1", 1);
    expect_its_id(w, "www.example.com/2", 1);
    r = http_expect(w->http, 200, "GET", "/v1/history?account=main", NULL, OPS, NULL);
    assert_int_equal(json_array_size(at(r->json, "jobs")), 7);
    id = id_given(w, "two");
    line = alloc_printf("  two (news)  ref=not plain  id=%s\n", id);
    shell_run(&w->shell, "$P history -a main");
    shell_assert_out(&w->shell, line);
    shell_assert_out(&w->shell, "  everything (shop)\n");
    free(line);
    shell_run(&w->shell, "$P history -a main --json --id %s | wc -l", id);
    assert_string_equal(w->shell.out, "1\n");
    assert_int_equal(count_with_id(w, "1"), 0);
    free(id);
    end(w);
}

/* -- what people did -- */

static void push_and_pull(struct world *w)
{
    http_expect(w->http, 200, "POST", "/v1/pause",
                "{\"account\":\"main\",\"why\":\"a \\\"new\\\" origin\"}", OPS, NULL);
    shell_run(&w->shell, "$P resume -a main");
    for (const char *const *key = (const char *const[]){"a1", "a2", "b", "c", NULL}; *key; key++)
        bury(w, *key);
    http_expect(w->http, 200, "POST", "/v1/dead/drop",
                "{\"account\":\"main\",\"filter\":{\"target\":\"a\",\"since\":1000}}", OPS, NULL);
    shell_run(&w->shell, "$P dead drop -a main --reason no --until 1h");
    shell_run(&w->shell, "$P dead drop -a main --all");
}

/* Each is noted once, in its place in time; what changed nothing is not. */
static void operators_are_told_what_people_did(void **state)
{
    struct world *w = with_history(state);
    const struct http_reply *r;

    push_and_pull(w);
    assert_int_equal(dead_count(w), 0);
    add(w, "1900000000000-0", KEY(8, "purged", "a", "news"));
    r = http_expect(w->http, 200, "GET", "/v1/history?account=main&limit=3", NULL, OPS, NULL);
    expect_jobs(at(r->json, "jobs"), "8");
    assert_int_equal(json_array_size(at(r->json, "acts")), 2);
    r = http_expect(w->http, 200, "GET", "/v1/history?account=main&acts=true", NULL, OPS, NULL);
    expect_jobs(at(r->json, "jobs"), "");
    assert_int_equal(json_array_size(at(r->json, "acts")), 4);
    assert_string_equal(json_string_value(at(r->json, "acts.0.act")), "dead_drop");
    assert_int_equal(number(r->json, "acts.0.count"), 2);
    assert_true(json_is_true(at(r->json, "acts.0.all")));
    assert_int_equal(number(r->json, "acts.1.count"), 2);
    assert_string_equal(json_string_value(at(r->json, "acts.1.filter.target")), "a");
    assert_int_equal(number(r->json, "acts.1.filter.since"), 1000);
    assert_string_equal(json_string_value(at(r->json, "acts.2.act")), "resume");
    assert_non_null(strchr(json_string_value(at(r->json, "acts.2.by")), '@'));
    assert_string_equal(json_string_value(at(r->json, "acts.3.act")), "pause");
    assert_string_equal(json_string_value(at(r->json, "acts.3.why")), "a \"new\" origin");
    assert_true(number(r->json, "acts.3.at") > 1700000003000);
    r = http_expect(w->http, 200, "GET", "/v1/history?account=main&target=a", NULL, OPS, NULL);
    assert_int_equal(json_array_size(at(r->json, "acts")), 0);
    end(w);
}

static void producers_are_not_told_what_people_did(void **state)
{
    struct world *w = with_history(state);
    const struct http_reply *r;

    push_and_pull(w);
    redis_server_do(w->rig->redis, "XADD " HISTORY " * jobs %s",
                    "{\"act\":\"x\",\"job\":\"normal-1700000000000-9\",\"scope\":[]}");
    expect_over_http(w, CMS, "", "7 6 5 2 1");
    r = http_expect(w->http, 200, "GET", "/v1/history?account=main", NULL, CMS, NULL);
    assert_null(json_object_get(r->json, "acts"));
    http_expect(w->http, 403, "GET", "/v1/history?account=main&acts=true", NULL, CMS, NULL);
    end(w);
}

static void the_command_tells_acts_in_words(void **state)
{
    struct world *w = with_history(state);

    push_and_pull(w);
    redis_server_do(w->rig->redis, "XADD " HISTORY " * jobs %s",
                    "{\"act\":\"dance\",\"by\":7,\"filter\":[],\"count\":1}");
    shell_run(&w->shell, "$P history -a main");
    shell_assert_out(&w->shell, "Z  purged    normal-1700000000000-7  ab (news)\n");
    shell_assert_out(&w->shell, "Z  dance     1 dead letter, by \n");
    shell_assert_out(&w->shell, "Z  dropped   all 2 dead letters, by ");
    shell_assert_out(&w->shell,
                     "Z  dropped   2 dead letters, target 'a', since 1970-01-01T00:00:01Z, "
                     "by ops from 127.");
    shell_assert_out(&w->shell, "Z  resumed   by ");
    shell_assert_out(&w->shell, ": a \"new\" origin\n");
    assert_true(strstr(w->shell.out, "dropped") < strstr(w->shell.out, "resumed"));
    assert_true(strstr(w->shell.out, "paused") < strstr(w->shell.out, "purged "));
    shell_run(&w->shell, "$P history -a main --acts");
    shell_assert_out(&w->shell, "Z  paused    by ops from 127.");
    assert_null(strstr(w->shell.out, "normal-"));
    shell_run(&w->shell, "$P history -a main --acts --ref x");
    assert_int_equal(w->shell.code, 2);
    shell_assert_err(&w->shell, "--acts: ");
    end(w);
}

static void wrong_queries_are_refused(void **state)
{
    static const char *const wrong[] = {
        "limit=0",     "limit=501",  "limit=x",         "since=x",      "until=-1",
        "outcome=bad", "cursor=1-1", "cursor=1.1",      "cursor=x-1.1", "cursor=1-1.x",
        "acts=1",      "state=dead", "limit=1&limit=2", "ref=%00",      "account=main"};
    struct world *w = begin(state);

    for (size_t i = 0; i < array_len(wrong); i++) {
        char *path = alloc_printf("/v1/history?account=main&%s", wrong[i]);

        http_expect(w->http, 400, "GET", path, NULL, OPS, NULL);
        free(path);
    }
    expect_over_http(w, OPS, "", "");
    end(w);
}

static void the_command_shows_the_same(void **state)
{
    static const char *const none[] = {"2023-02-30",
                                       "2023-11-14T22:13+1",
                                       "2023-11-14T22:13Zx",
                                       "2023-11-14T22:13+01:60",
                                       "2023-11-14T22:13+2500",
                                       "2023-11-14+01:00",
                                       "1969-12-31"};
    struct world *w = with_history(state);
    json_t *j = printed(w, "$P history -a main --json --target ab");

    assert_string_equal(json_string_value(at(j, "job")), "normal-1700000000000-7");
    assert_int_equal(number(j, "at"), 1700000003000);
    json_decref(j);
    shell_run(&w->shell, "$P history -a main --since 2023-11-14T22:13:23 -n 1");
    assert_non_null(strstr(w->shell.out, "2023-11-14T22:13:23Z  purged    normal-1700000000000-7  "
                                         "ab (news)\n"));
    shell_run(&w->shell, "$P history -a main --until 2023-11-14T22:13:22 --outcome purged");
    assert_non_null(strstr(w->shell.out, "https://a.com/x and 1 more  ref=r 1\n"));
    assert_null(strstr(w->shell.out, "normal-1700000000000-5"));
    shell_run(&w->shell, "$P history -a main --since 2023-11-14T23:13:22.500+01:00 -n 9");
    assert_non_null(strstr(w->shell.out, "normal-1700000000000-5"));
    assert_null(strstr(w->shell.out, "normal-1700000000000-4"));
    shell_run(&w->shell, "$P history -a main --until '2023-11-14 17:13:22-0500' -n 9");
    assert_non_null(strstr(w->shell.out, "normal-1700000000000-4"));
    assert_null(strstr(w->shell.out, "normal-1700000000000-5"));
    shell_run(&w->shell, "$P history -a main --until 1970-01-01");
    assert_string_equal(w->shell.out, "");
    for (size_t i = 0; i < array_len(none); i++) {
        shell_run(&w->shell, "$P history -a main --since '%s'", none[i]);
        assert_int_equal(w->shell.code, 2);
    }
    end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(jobs_are_found_by_what_they_say, teardown),
        cmocka_unit_test_teardown(pages_follow_each_other_without_gaps, teardown),
        cmocka_unit_test_teardown(a_producer_sees_what_it_might_have_pushed, teardown),
        cmocka_unit_test_teardown(operators_are_told_what_people_did, teardown),
        cmocka_unit_test_teardown(producers_are_not_told_what_people_did, teardown),
        cmocka_unit_test_teardown(the_command_tells_acts_in_words, teardown),
        cmocka_unit_test_teardown(wrong_queries_are_refused, teardown),
        cmocka_unit_test_teardown(the_command_shows_the_same, teardown),
        cmocka_unit_test_teardown(one_name_finds_what_somebody_pushed_and_did, teardown),
        cmocka_unit_test_teardown(a_cancelled_job_says_who_pushed_it, teardown),
        cmocka_unit_test_teardown(a_producer_is_not_told_who_else_pushes, teardown),
        cmocka_unit_test_teardown(a_producer_sees_the_jobs_that_it_pushed, teardown),
        cmocka_unit_test_teardown(a_receipt_says_who_pushed_to_whom_may_know_it, teardown),
        cmocka_unit_test_teardown(a_waiting_job_says_who_pushed_it, teardown),
        cmocka_unit_test_teardown(each_job_has_the_id_that_fastly_gave_to_its_purge, teardown),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
