/* SPDX-License-Identifier: MIT
 * The operator's part of the HTTP API: what it tells is what the command line tells, and what it
 * does is done once and written down. */
#include "http.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "shell.h"

#define OPS "Authorization: Bearer ops-token"
#define CMS "Authorization: Bearer cms-token"
#define BOSS "Fastly-Key: boss-token"
#define DEAD "purgeline:{main}:dead"

/* ops may do everything; cms only push keys of news; boss is an operator of one account. */
static const char producers[] = HTTP_LISTENS
    "producers:\n"
    "  - name: ops\n"
    "    token_sha256: d9310c002af91822beb0b3487d8b04f85bf6bf1f8a5496bff7d35fc7c5a29def\n"
    "    kinds: [url, key, all]\n"
    "    admin: true\n"
    "  - name: cms\n"
    "    token_sha256: 8d778b03db50d7b37c49218d15a038150fa6f880b31009e81b6252113779ed7e\n"
    "    accounts: [main]\n"
    "    services: [news]\n"
    "    kinds: [key]\n"
    "  - name: boss\n"
    "    token_sha256: 673e0b86626e1976dc1d5d4723c64674b0057b4f5b0f65f51758814a3d82c458\n"
    "    accounts: [other]\n"
    "    admin: true\n";

/* -- a service with two accounts, and who asks it -------------------------------------------- */

/* Of the test that runs, so that a failing one is cleaned up behind. */
static struct world {
    struct rig *rig;
    struct http *http;
    struct shell shell;
} world;

static struct world *begin(void **state)
{
    struct world *w = &world;
    char *other;

    w->rig = rig_open(state, "", producers);
    other = alloc_printf("  - name: other\n"
                         "    api: %s\n"
                         "    ca_file: %s\n"
                         "    services: [{id: SU3Other0000000000000, name: other}]\n",
                         sandbox_api(w->rig->sandbox), sandbox_ca(w->rig->sandbox));
    rig_configure(w->rig, other, producers);
    free(other);
    shell_open(&w->shell);
    setenv("PURGELINE_CONFIG", w->rig->config, 1);
    w->http = http_serve(w->rig, 0);
    return w;
}

static void clean_up(struct world *w)
{
    http_close(w->http);
    w->http = NULL;
    if (*w->shell.folder)
        shell_close(&w->shell);
    w->shell = (struct shell){0};
    unsetenv("PURGELINE_CONFIG");
}

static void end(struct world *w)
{
    clean_up(w);
    rig_close(w->rig);
}

static int teardown(void **state)
{
    clean_up(&world);
    return rig_teardown(state);
}

static json_t *printed(struct world *w, const char *line)
{
    json_t *j;

    shell_run(&w->shell, "%s", line);
    j = json_loads(w->shell.out, 0, NULL);
    if (!j)
        fail_msg("%s printed no JSON: %s%s", line, w->shell.out, w->shell.err);
    return j;
}

static json_t *at(json_t *j, const char *path)
{
    char *copy = alloc_str(path), *rest = copy, *name;

    while ((name = strsep(&rest, ".")))
        j = json_is_array(j) ? json_array_get(j, strtoul(name, NULL, 10))
                             : json_object_get(j, name);
    free(copy);
    if (!j)
        fail_msg("no %s", path);
    return j;
}

static long long number(json_t *j, const char *path)
{
    return json_integer_value(at(j, path));
}

static void bury(struct world *w, const char *key)
{
    redis_server_do(w->rig->redis,
                    "XADD " DEAD " * service " NEWS " keys %s dead_reason why dead_job "
                    "urgent-1700000000000-0 dead_at 1700000000000 dead_target %s",
                    key, key);
}

static size_t dead_count(struct world *w)
{
    return rig_dead_count(w->rig);
}

/* The ids of all dead letters as members of an order, oldest first. malloc'ed. */
static char *order_of_all(struct world *w)
{
    const struct http_reply *r =
        http_expect(w->http, 200, "GET", "/v1/dead?account=main", NULL, OPS, NULL);
    json_t *ids = json_array(), *order, *letter;
    char *text;
    size_t i;

    json_array_foreach(json_object_get(r->json, "letters"), i, letter)
        json_array_insert(ids, 0, json_object_get(letter, "id"));
    order = json_pack("{ssso}", "account", "main", "ids", ids);
    text = json_dumps(order, JSON_COMPACT);
    json_decref(order);
    return text;
}

/* -- the same JSON --------------------------------------------------------------------------- */

/* What goes on while one looks: ages, and what the dispatcher says of itself. */
static bool moves(const char *name)
{
    size_t n = strlen(name);

    return strcmp(name, "dispatcher") == 0 || strcmp(name, "at") == 0 ||
           (n > 3 && (strcmp(name + n - 3, "_ms") == 0 || strcmp(name + n - 3, "_at") == 0));
}

/* The same members with the same values, but for those that move: these are of the same kind. */
static void assert_alike(json_t *ours, json_t *theirs, const char *where)
{
    const char *name;
    json_t *value;
    size_t i;

    if (json_typeof(ours) != json_typeof(theirs))
        fail_msg("%s: another kind of value", where);
    if (json_is_object(ours) && json_object_size(ours) != json_object_size(theirs))
        fail_msg("%s: other members", where);
    if (json_is_array(ours))
        assert_int_equal(json_array_size(ours), json_array_size(theirs));
    json_object_foreach(ours, name, value)
    {
        json_t *their = json_object_get(theirs, name);

        if (!their)
            fail_msg("%s.%s: only in one of them", where, name);
        if (!moves(name))
            assert_alike(value, their, name);
        else if (json_typeof(value) != json_typeof(their))
            fail_msg("%s.%s: another kind of value", where, name);
    }
    json_array_foreach(ours, i, value) assert_alike(value, json_array_get(theirs, i), where);
    if (!json_is_object(ours) && !json_is_array(ours) && !json_equal(ours, theirs))
        fail_msg("%s: another value", where);
}

/* -- status ---------------------------------------------------------------------------------- */

static void the_status_is_what_the_command_prints(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    json_t *theirs;

    http_expect(w->http, 200, "POST", "/v1/pause", "{\"account\":\"main\",\"why\":\"x\"}", OPS,
                NULL);
    instance_await_said(&w->rig->instances[0], "Dispatch is paused", 1);
    rig_push_keys(w->rig, "bulk", "k", 1, 7);
    rig_push(w->rig, "urgent", "keys", "a", "not_before", "4000000000000", NULL);
    bury(w, "gone");
    rig_await(w->rig, redis_server_int(w->rig->redis, "ZCARD purgeline:{main}:later") == 1);
    theirs = printed(w, "$P status --json");
    r = http_expect(w->http, 200, "GET", "/v1/status", NULL, OPS, NULL);
    assert_alike(r->json, theirs, "status");
    assert_int_equal(number(r->json, "accounts.0.lanes.bulk.jobs"), 7);
    assert_int_equal(number(r->json, "accounts.0.dead"), 1);
    assert_int_equal(number(r->json, "accounts.0.later"), 1);
    assert_string_equal(json_string_value(at(r->json, "accounts.1.account")), "other");
    json_decref(theirs);
    end(w);
}

static void a_status_is_of_the_accounts_one_may_see(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;

    r = http_expect(w->http, 200, "GET", "/v1/status", NULL, BOSS, NULL);
    assert_int_equal(json_array_size(at(r->json, "accounts")), 1);
    assert_string_equal(json_string_value(at(r->json, "accounts.0.account")), "other");
    r = http_expect(w->http, 200, "GET", "/v1/status?account=main", NULL, OPS, NULL);
    assert_int_equal(json_array_size(at(r->json, "accounts")), 1);
    assert_string_equal(json_string_value(at(r->json, "accounts.0.account")), "main");
    http_expect(w->http, 404, "GET", "/v1/status?account=main", NULL, BOSS, NULL);
    http_expect(w->http, 404, "GET", "/v1/status?account=nobody", NULL, OPS, NULL);
    end(w);
}

/* -- who may --------------------------------------------------------------------------------- */

static const struct {
    const char *method, *target, *body;
} admin_routes[] = {
    {"GET", "/v1/status", NULL},
    {"GET", "/v1/dead?account=main", NULL},
    {"POST", "/v1/dead/retry", "{\"account\":\"main\",\"all\":true}"},
    {"POST", "/v1/dead/drop", "{\"account\":\"main\",\"all\":true}"},
    {"POST", "/v1/pause", "{\"account\":\"main\"}"},
    {"POST", "/v1/resume", "{\"account\":\"main\"}"},
    {"POST", "/v1/plan?backlog=1&account=main", NULL},
};

static void only_operators_are_let_in(void **state)
{
    struct world *w = begin(state);

    bury(w, "gone");
    for (size_t i = 0; i < array_len(admin_routes); i++) {
        const char *method = admin_routes[i].method, *target = admin_routes[i].target;
        const char *body = admin_routes[i].body;
        const struct http_reply *r;

        r = http_expect(w->http, 403, method, target, body, CMS, NULL);
        http_assert_has(r, "this needs a producer with admin: true");
        r = http_expect(w->http, 401, method, target, body, NULL);
        assert_non_null(http_header(r, "WWW-Authenticate"));
        http_expect(w->http, 401, method, target, body, "Authorization: Bearer ops", NULL);
        if (i > 0)
            http_expect(w->http, 404, method, target, body, BOSS, NULL);
    }
    assert_int_equal(dead_count(w), 1);
    assert_int_equal(redis_server_int(w->rig->redis, "EXISTS purgeline:{main}:control"), 0);
    end(w);
}

/* -- dead letters ---------------------------------------------------------------------------- */

static void dead_letters_are_listed_as_the_command_does(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    json_t *theirs;

    bury(w, "first");
    bury(w, "last");
    redis_server_do(w->rig->redis, "XADD " DEAD " * keys \xff url http://a/1 url http://a/2");
    r = http_expect(w->http, 200, "GET", "/v1/dead?account=main&limit=2", NULL, OPS, NULL);
    theirs = printed(w, "$P dead list -a main --json --limit 2 | jq -s '{letters: .}'");
    assert_alike(at(r->json, "letters"), at(theirs, "letters"), "letters");
    http_assert_text(r, "account", "main");
    assert_true(json_is_true(at(r->json, "more")));
    json_decref(theirs);
    r = http_expect(w->http, 200, "GET", "/v1/dead?account=main&limit=3", NULL, OPS, NULL);
    assert_int_equal(json_array_size(at(r->json, "letters")), 3);
    assert_string_equal(json_string_value(at(r->json, "letters.2.target")), "first");
    assert_true(json_is_false(at(r->json, "more")));
    r = http_expect(w->http, 200, "GET", "/v1/dead", NULL, BOSS, NULL);
    assert_int_equal(json_array_size(at(r->json, "letters")), 0);
    http_expect(w->http, 400, "GET", "/v1/dead", NULL, OPS, NULL);
    http_expect(w->http, 400, "GET", "/v1/dead?account=main&limit=0", NULL, OPS, NULL);
    http_expect(w->http, 400, "GET", "/v1/dead?account=main&limit=1001", NULL, OPS, NULL);
    http_expect(w->http, 400, "GET", "/v1/dead?account=main&limit=some", NULL, OPS, NULL);
    end(w);
}

static void a_list_of_large_letters_ends_early_and_says_so(void **state)
{
    struct world *w = begin(state);
    char *key = alloc_bytes(3 * 1024 * 1024 + 1);
    const struct http_reply *r;

    memset(key, 'k', 3 * 1024 * 1024);
    key[3 * 1024 * 1024] = '\0';
    for (int i = 0; i < 4; i++)
        redis_server_do(w->rig->redis, "XADD " DEAD " * keys %s dead_reason large", key);
    r = http_expect(w->http, 200, "GET", "/v1/dead?account=main", NULL, OPS, NULL);
    assert_int_equal(json_array_size(at(r->json, "letters")), 2);
    assert_true(json_is_true(at(r->json, "more")));
    free(key);
    end(w);
}

static void a_retried_letter_is_purged(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    char *order;

    bury(w, "one");
    bury(w, "two");
    order = order_of_all(w);
    bury(w, "three");
    r = http_expect(w->http, 200, "POST", "/v1/dead/retry", order, OPS, NULL);
    assert_string_equal(r->body, "{\"retried\":2}");
    rig_await(w->rig, requests_naming(&w->rig->requests, "one", 200) == 1 &&
                          requests_naming(&w->rig->requests, "two", 200) == 1);
    assert_int_equal(dead_count(w), 1);
    http_expect(w->http, 404, "POST", "/v1/dead/retry", order, OPS, NULL);
    r = http_expect(w->http, 200, "POST", "/v1/dead/retry?account=main", "{\"all\":true}", OPS,
                    NULL);
    assert_int_equal(http_number(r, "retried"), 1);
    rig_await(w->rig, requests_naming(&w->rig->requests, "three", 200) == 1);
    rig_await_empty(w->rig);
    assert_int_equal(requests_naming(&w->rig->requests, "one", ANY_STATUS), 1);
    assert_int_equal(dead_count(w), 0);
    assert_int_equal(instance_said(&w->rig->instances[0],
                                   "\"A producer retries dead letters\" account=main "
                                   "by=\"ops from 127.0.0.1\" asked=ids done=2"),
                     1);
    free(order);
    end(w);
}

static void a_dropped_letter_is_forgotten(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    char *order, *more;

    bury(w, "one");
    order = order_of_all(w);
    bury(w, "two");
    /* One that is not there beside one that is. */
    more = alloc_printf("%.*s,\"1-1\"]}", (int)strlen(order) - 2, order);
    r = http_expect(w->http, 200, "POST", "/v1/dead/drop", more, OPS, NULL);
    assert_int_equal(http_number(r, "dropped"), 1);
    assert_int_equal(http_number(r, "missing"), 1);
    assert_int_equal(dead_count(w), 1);
    r = http_expect(w->http, 200, "POST", "/v1/dead/drop", "{\"account\":\"main\",\"all\":true}",
                    OPS, NULL);
    assert_string_equal(r->body, "{\"dropped\":1}");
    assert_int_equal(dead_count(w), 0);
    assert_int_equal(redis_server_int(w->rig->redis, "XLEN purgeline:{main}:jobs:urgent"), 0);
    assert_int_equal(requests_with_status(&w->rig->requests, ANY_STATUS), 0);
    free(order);
    free(more);
    end(w);
}

static void an_order_that_is_not_clear_does_nothing(void **state)
{
    static const struct {
        const char *target, *body, *says;
    } orders[] = {
        {"/v1/dead/drop", "{\"account\":\"main\"}", "ids: expected a list of ids, or all: true"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"all\":true,\"ids\":[\"1-1\"]}", "ids: expected"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"all\":false}", "all: expected true"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"ids\":[]}", "ids: expected a list"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"ids\":\"1-1\"}", "ids: expected a list"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"ids\":[\"1-1\",\"-\"]}", "1700000000000-0"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"ids\":[7]}", "1700000000000-0"},
        {"/v1/dead/drop", "{\"account\":\"main\",\"al\":true}", "al: unknown field"},
        {"/v1/dead/drop", "{\"account\":7,\"all\":true}", "account: expected a text"},
        {"/v1/dead/drop", "{\"all\":true}", "account: missing"},
        {"/v1/dead/drop", "[]", "not a JSON object"},
        {"/v1/dead/drop", "{\"all\":true,\"all\":true}", "not a JSON object"},
        {"/v1/pause", "{\"account\":\"main\",\"why\":1}", "why: expected a text"},
        {"/v1/pause", "{\"account\":\"main\",\"all\":true}", "all: unknown field"},
        {"/v1/resume", "{\"account\":\"main\",\"why\":\"x\"}", "why: unknown field"},
        {"/v1/resume", "", "account: missing"},
    };
    struct world *w = begin(state);
    char *body;

    bury(w, "one");
    for (size_t i = 0; i < array_len(orders); i++)
        http_assert_has(
            http_expect(w->http, 400, "POST", orders[i].target, orders[i].body, OPS, NULL),
            orders[i].says);
    body = alloc_printf("{\"account\":\"main\",\"why\":\"%0150d\"}", 0);
    http_expect(w->http, 400, "POST", "/v1/pause", body, OPS, NULL);
    free(body);
    body = alloc_printf("{\"account\":\"main\",\"all\":true}%0*d", 1024 * 1024, 0);
    http_expect(w->http, 413, "POST", "/v1/dead/drop", body, OPS, NULL);
    free(body);
    http_expect(w->http, 405, "GET", "/v1/dead/drop", NULL, OPS, NULL);
    assert_int_equal(dead_count(w), 1);
    assert_int_equal(redis_server_int(w->rig->redis, "EXISTS purgeline:{main}:control"), 0);
    end(w);
}

/* -- pause and resume ------------------------------------------------------------------------ */

static void a_pause_holds_until_it_is_resumed(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    uint64_t resumed_ms;
    struct job j;

    r = http_expect(w->http, 200, "POST", "/v1/pause",
                    "{\"account\":\"main\",\"why\":\"origin\\nis \\\"rebuilt\\\"\"}", OPS, NULL);
    assert_string_equal(
        r->body, "{\"account\":\"main\",\"paused\":true,\"why\":\"origin is \\\"rebuilt\\\"\"}");
    instance_await_said(&w->rig->instances[0], "Dispatch is paused", 1);
    j = rig_push(w->rig, "urgent", "keys", "held", NULL);
    r = http_expect(w->http, 200, "GET", "/v1/status?account=main", NULL, OPS, NULL);
    assert_true(json_is_true(at(r->json, "accounts.0.paused")));
    assert_string_equal(json_string_value(at(r->json, "accounts.0.paused_by")),
                        "ops from 127.0.0.1");
    assert_string_equal(json_string_value(at(r->json, "accounts.0.paused_why")),
                        "origin is \"rebuilt\"");
    resumed_ms = clock_wall_ms();
    r = http_expect(w->http, 200, "POST", "/v1/resume?account=main", NULL, OPS, NULL);
    assert_string_equal(r->body, "{\"account\":\"main\",\"paused\":false,\"why\":\"\"}");
    rig_await_ended(w->rig, &j, "purged");
    rig_await(w->rig, requests_naming(&w->rig->requests, "held", 200) == 1);
    assert_true(requests_find(&w->rig->requests, "held", 0)->begin_ms >= resumed_ms);
    assert_int_equal(instance_said(&w->rig->instances[0],
                                   "\"A producer pauses an account\" account=main "
                                   "by=\"ops from 127.0.0.1\" why=\"origin is \\x22rebuilt"),
                     1);
    assert_int_equal(instance_said(&w->rig->instances[0], "\"A producer lets an account go on\""),
                     1);
    end(w);
}

/* -- plan ------------------------------------------------------------------------------------ */

static const char jobs[] = "{\"keys\":\"a b\"}\n"
                           "\r\n"
                           "{\"urls\":[\"http://example.com/1\",\"http://example.com/2\"],"
                           "\"lane\":\"urgent\"}\n"
                           "{\"keys\":[\"a\"],\"lane\":\"bulk\",\"repeat_after\":1000}";

static void a_plan_is_what_the_command_prints_and_sends_nothing(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    json_t *theirs;
    struct job j;

    theirs = printed(w, "printf '%s' '{\"keys\":\"a b\"}\n{\"urls\":[\"http://example.com/1\","
                        "\"http://example.com/2\"],\"lane\":\"urgent\"}\n"
                        "{\"keys\":[\"a\"],\"lane\":\"bulk\",\"repeat_after\":1000}' "
                        "| $P plan -a main --json --requests=3 --reply-ms 70 -f -");
    r = http_expect(w->http, 200, "POST", "/v1/plan?account=main&requests=3&reply_ms=70", jobs, OPS,
                    NULL);
    assert_alike(r->json, theirs, "plan");
    assert_int_equal(number(r->json, "total.jobs"), 3);
    assert_int_equal(json_array_size(at(r->json, "requests")), 3);
    json_decref(theirs);
    theirs = printed(w, "$P plan -a main --json a");
    r = http_expect(w->http, 200, "POST", "/v1/plan", "{\n\"account\":\"main\",\n\"keys\":\"a\"}",
                    OPS, NULL);
    assert_alike(r->json, theirs, "plan");
    r = http_expect(w->http, 200, "POST", "/v1/plan",
                    "{\"jobs\":[{\"keys\":\"a\"}],\"account\":\"main\"}", OPS, NULL);
    assert_alike(r->json, theirs, "plan");
    json_decref(theirs);
    theirs = printed(w, "$P plan -a main --json --fresh a");
    r = http_expect(w->http, 200, "POST", "/v1/plan?fresh=1", "{\"keys\":\"a\"}", CMS, NULL);
    assert_alike(r->json, theirs, "plan");
    json_decref(theirs);
    j = rig_push(w->rig, "bulk", "keys", "canary", NULL);
    rig_await_ended(w->rig, &j, "purged");
    rig_await(w->rig, requests_naming(&w->rig->requests, "canary", 200) == 1);
    assert_int_equal(requests_with_status(&w->rig->requests, ANY_STATUS), 1);
    end(w);
}

static void a_plan_of_the_backlog_is_what_the_command_prints(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;
    json_t *theirs;

    http_expect(w->http, 200, "POST", "/v1/pause", "{\"account\":\"main\"}", OPS, NULL);
    instance_await_said(&w->rig->instances[0], "Dispatch is paused", 1);
    rig_push_keys(w->rig, "bulk", "k", 1, 1200);
    rig_push_keys(w->rig, "normal", "k", 1, 3);
    theirs = printed(w, "$P plan -a main --json --backlog");
    r = http_expect(w->http, 200, "POST", "/v1/plan?backlog=1&account=main", NULL, OPS, NULL);
    assert_alike(r->json, theirs, "plan");
    http_assert_text(r, "of", "backlog");
    assert_int_equal(number(r->json, "total.jobs"), 1203);
    json_decref(theirs);
    http_expect(w->http, 400, "POST", "/v1/plan?backlog=1", NULL, OPS, NULL);
    http_expect(w->http, 400, "POST", "/v1/plan?backlog=yes&account=main", NULL, OPS, NULL);
    end(w);
}

static void what_may_not_be_pushed_is_not_planned(void **state)
{
    static const char mixed[] = "{\"keys\":\"a\"}\n"
                                "{\"urls\":\"http://example.com/\"}\n"
                                "{\"keys\":\"a\",\"service\":\"shop\"}\n"
                                "{\"keys\"\n"
                                "{\"keys\":\"b\",\"account\":\"other\"}\n"
                                "{\"kyes\":\"b\"}\n";
    static const struct {
        int status;
        const char *body, *says;
    } bad[] = {
        {403, "{\"urls\":\"http://example.com/\"}", "url: this producer may not purge URLs"},
        {403, "{\"jobs\":[{\"keys\":\"a\",\"service\":\"shop\"}]}",
         "service: this producer may not"},
        {404, "{\"keys\":\"a\",\"account\":\"other\"}", "account: no such account"},
        {404, "{\"jobs\":[{\"keys\":\"a\"}],\"account\":\"other\"}", "account: no such account"},
        {400, "{\"keys\":7,\"kyes\":8}", "unknown field"},
        {400, "{\"jobs\":7}", "jobs: expected a list"},
        {400, "{\"jobs\":[],\"keys\":\"a\"}", "jobs: expected a list"},
        {400, "{\"jobs\":[]}", "a job is expected"},
        {400, "{\"jobs\":[7]}", "not a JSON object"},
        {400, "[{\"keys\":\"a\"}]", "not a JSON object"},
        {400, "\n\n", "a job is expected"},
        {400, NULL, "a job is expected"},
    };
    struct world *w = begin(state);
    const struct http_reply *r;

    r = http_expect(w->http, 200, "POST", "/v1/plan", mixed, CMS, NULL);
    assert_int_equal(number(r->json, "total.jobs"), 1);
    assert_int_equal(number(r->json, "exceptions.refused"), 5);
    assert_int_equal(json_array_size(at(r->json, "errors")), 5);
    assert_int_equal(number(r->json, "errors.0.line"), 2);
    assert_int_equal(number(r->json, "errors.4.line"), 6);
    for (size_t i = 0; i < array_len(bad); i++)
        http_assert_has(
            http_expect(w->http, bad[i].status, "POST", "/v1/plan", bad[i].body, CMS, NULL),
            bad[i].says);
    http_expect(w->http, 400, "POST", "/v1/plan", "{\"keys\":\"a\"}", OPS, NULL);
    http_expect(w->http, 400, "POST", "/v1/plan?requests=1001", "{\"keys\":\"a\"}", CMS, NULL);
    http_expect(w->http, 400, "POST", "/v1/plan?reply_ms=x", "{\"keys\":\"a\"}", CMS, NULL);
    end(w);
}

/* -- Redis is away, or busy ------------------------------------------------------------------ */

static void without_redis_everything_is_for_later(void **state)
{
    struct world *w = begin(state);

    redis_server_kill(w->rig->redis);
    for (size_t i = 0; i <= array_len(admin_routes); i++) {
        bool plan = i == array_len(admin_routes);
        const struct http_reply *r =
            plan ? http_expect(w->http, 503, "POST", "/v1/plan?fresh=1", "{\"keys\":\"a\"}", CMS,
                               NULL)
                 : http_expect(w->http, 503, admin_routes[i].method, admin_routes[i].target,
                               admin_routes[i].body, OPS, NULL);

        http_assert_text(r, "title", "Service Unavailable");
        assert_non_null(http_header(r, "Retry-After"));
    }
    redis_server_restart(w->rig->redis);
    await_until(-1, AWAIT_PATIENCE_MS,
                http_do(w->http, "GET", "/v1/status", NULL, OPS, NULL)->status == 200);
    end(w);
}

static void a_redis_that_refuses_is_quoted(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;

    redis_server_do(w->rig->redis, "SET purgeline:{other}:control text");
    r = http_expect(w->http, 503, "POST", "/v1/pause", "{\"account\":\"other\"}", OPS, NULL);
    http_assert_has(r, "Redis refuses: WRONGTYPE");
    assert_non_null(http_header(r, "Retry-After"));
    redis_server_do(w->rig->redis, "DEL purgeline:{other}:control");
    end(w);
}

#define PAUSE_OTHER "{\"account\":\"other\",\"why\":\"full\"}"

/* Nothing is written until then. */
static void hold_writes(struct world *w, bool hold)
{
    redis_server_do(w->rig->redis, hold ? "CLIENT PAUSE 20000 WRITE" : "CLIENT UNPAUSE");
}

/* So many wait for Redis to write for them; the dispatcher's own are not of that account. */
static bool waiting(struct world *w, unsigned n)
{
    char *list = redis_server_str(w->rig->redis, "CLIENT LIST");
    unsigned found = 0;

    for (const char *p = list; (p = strstr(p, "cmd=hset")); p++)
        found++;
    free(list);
    return found == n;
}

static void only_so_many_are_served_at_once(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;

    hold_writes(w, true);
    for (int i = 0; i < 3; i++)
        http_begin(w->http, "POST", "/v1/pause", PAUSE_OTHER, OPS, NULL);
    await_until(-1, AWAIT_PATIENCE_MS, (http_run(w->http, 10), waiting(w, 3)));
    r = http_expect(w->http, 503, "GET", "/v1/status", NULL, OPS, NULL);
    http_assert_has(r, "at once");
    assert_non_null(http_header(r, "Retry-After"));
    http_expect(w->http, 200, "GET", "/livez", NULL, NULL);
    hold_writes(w, false);
    for (int i = 0; i < 3; i++)
        assert_int_equal(http_call_reply(http_next(w->http))->status, 200);
    http_expect(w->http, 200, "GET", "/v1/status", NULL, OPS, NULL);
    end(w);
}

static void a_plan_leaves_room_for_operators(void **state)
{
    struct world *w = begin(state);
    unsigned statuses[2] = {0};

    redis_server_do(w->rig->redis, "CLIENT PAUSE 1500 ALL");
    for (int i = 0; i < 2; i++)
        http_begin(w->http, "POST", "/v1/plan", "{\"keys\":\"a\"}", CMS, NULL);
    statuses[0] = (unsigned)http_call_reply(http_next(w->http))->status;
    http_begin(w->http, "GET", "/v1/status", NULL, OPS, NULL);
    statuses[1] = (unsigned)http_call_reply(http_next(w->http))->status;
    assert_int_equal(statuses[0], 503);
    assert_int_equal(statuses[1], 200);
    assert_int_equal(http_call_reply(http_next(w->http))->status, 200);
    end(w);
}

static void who_left_has_asked_all_the_same(void **state)
{
    struct world *w = begin(state);
    struct http_call *c;

    hold_writes(w, true);
    c = http_begin(w->http, "POST", "/v1/pause", PAUSE_OTHER, OPS, NULL);
    await_until(-1, AWAIT_PATIENCE_MS, (http_run(w->http, 10), waiting(w, 1)));
    http_drop(c);
    http_expect(w->http, 200, "GET", "/livez", NULL, NULL);
    hold_writes(w, false);
    instance_await_said(&w->rig->instances[0], "A producer pauses an account", 1);
    http_expect(w->http, 200, "GET", "/v1/status", NULL, OPS, NULL);
    end(w);
}

/* The visitor has left, so nothing else holds it up. */
static void stopping_waits_for_what_is_under_way(void **state)
{
    struct world *w = begin(state);
    struct instance *i = &w->rig->instances[0];
    struct http_call *c;

    hold_writes(w, true);
    c = http_begin(w->http, "POST", "/v1/pause", PAUSE_OTHER, OPS, NULL);
    await_until(-1, AWAIT_PATIENCE_MS, (http_run(w->http, 10), waiting(w, 1)));
    http_drop(c);
    instance_signal(i, SIGTERM);
    await_until(-1, AWAIT_PATIENCE_MS, http_do(w->http, "GET", "/livez", NULL, NULL)->status == 0);
    hold_writes(w, false);
    assert_int_equal(instance_wait(i, AWAIT_PATIENCE_MS), 0);
    assert_int_equal(instance_said(i, "A producer pauses an account"), 1);
    end(w);
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_status_is_what_the_command_prints),
        T(a_status_is_of_the_accounts_one_may_see),
        T(only_operators_are_let_in),
        T(dead_letters_are_listed_as_the_command_does),
        T(a_list_of_large_letters_ends_early_and_says_so),
        T(a_retried_letter_is_purged),
        T(a_dropped_letter_is_forgotten),
        T(an_order_that_is_not_clear_does_nothing),
        T(a_pause_holds_until_it_is_resumed),
        T(a_plan_is_what_the_command_prints_and_sends_nothing),
        T(a_plan_of_the_backlog_is_what_the_command_prints),
        T(what_may_not_be_pushed_is_not_planned),
        T(without_redis_everything_is_for_later),
        T(a_redis_that_refuses_is_quoted),
        T(only_so_many_are_served_at_once),
        T(a_plan_leaves_room_for_operators),
        T(who_left_has_asked_all_the_same),
        T(stopping_waits_for_what_is_under_way),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
