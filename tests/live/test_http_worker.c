/* SPDX-License-Identifier: MIT
 * Requests of operators while Redis is down, refuses commands or is busy: they delay nothing else,
 * and none is forgotten. */
#include "admin_world.h"

#include <signal.h>

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
    assert_int_equal(instance_said(&w->rig->instances[0], "outcome=refused"), 1);
    redis_server_do(w->rig->redis, "DEL purgeline:{other}:control");
    end(w);
}

static void assert_status(const struct http_reply *r, const char *path, const char *text)
{
    assert_string_equal(json_string_value(at(r->json, path)), text);
}

static bool metrics_have(struct world *w, const char *text)
{
    return strstr(http_expect(w->http, 200, "GET", "/metrics", NULL, OPS, NULL)->body, text);
}

/* The accounts of a Redis are often of different people. */
static void a_broken_key_of_one_account_hides_no_other(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;

    redis_server_do(w->rig->redis, "SET purgeline:{other}:postponed text");
    r = http_expect(w->http, 200, "GET", "/v1/status", NULL, OPS, NULL);
    assert_status(r, "accounts.0.account", "main");
    assert_true(json_is_object(at(r->json, "accounts.0.lanes")));
    assert_status(r, "accounts.1.account", "other");
    assert_status(r, "accounts.1.mood", "trouble");
    http_assert_has(r, "unknown: Redis refuses to read it: WRONGTYPE");
    await_until(-1, AWAIT_PATIENCE_MS, !metrics_have(w, "lease_held{account=\"other\"}"));
    assert_true(metrics_have(w, "purgeline_redis_up 1"));
    assert_true(metrics_have(w, "lease_held{account=\"main\"} 1"));
    assert_int_equal(shell_run(&w->shell, "$P status"), 1);
    shell_assert_out(&w->shell, "other: unknown: Redis refuses to read it: WRONGTYPE");
    shell_assert_out(&w->shell, "\nmain: ");
    shell_assert_err(&w->shell, "Redis refuses: WRONGTYPE");
    redis_server_do(w->rig->redis, "DEL purgeline:{other}:postponed");
    end(w);
}

#define PAUSE_OTHER "{\"account\":\"other\",\"why\":\"full\"}"

/* While it is held, Redis executes no writes. */
static void hold_writes(struct world *w, bool hold)
{
    redis_server_do(w->rig->redis, hold ? "CLIENT PAUSE 20000 WRITE" : "CLIENT UNPAUSE");
}

/* Whether this many requests of operators wait for Redis: connections without the name that those
 * of the dispatcher have. */
static bool waiting(struct world *w, unsigned n)
{
    char *list = redis_server_str(w->rig->redis, "CLIENT LIST"), *rest = list;
    unsigned found = 0;

    for (const char *line; (line = strsep(&rest, "\n"));)
        found += strstr(line, " name= ") && strstr(line, " flags=b") && strstr(line, " cmd=eval ");
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
    http_assert_has(r, "in progress");
    assert_non_null(http_header(r, "Retry-After"));
    http_expect(w->http, 200, "GET", "/livez", NULL, NULL);
    hold_writes(w, false);
    for (int i = 0; i < 3; i++)
        assert_int_equal(http_call_reply(http_next(w->http))->status, 200);
    http_expect(w->http, 200, "GET", "/v1/status", NULL, OPS, NULL);
    end(w);
}

static void a_redis_that_says_nothing_is_given_up(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;

    hold_writes(w, true);
    r = http_expect(w->http, 503, "POST", "/v1/pause", PAUSE_OTHER, OPS, NULL);
    http_assert_has(r, "whether it is done is not known");
    assert_non_null(http_header(r, "Retry-After"));
    assert_int_equal(instance_said(&w->rig->instances[0], "why=\"full\" outcome=unknown"), 1);
    hold_writes(w, false);
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

static void a_request_is_carried_out_after_its_client_has_left(void **state)
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

static void waiting_clients_are_answered_before_it_stops(void **state)
{
    struct world *w = begin(state);
    struct instance *i = &w->rig->instances[0];

    hold_writes(w, true);
    http_begin(w->http, "POST", "/v1/pause", PAUSE_OTHER, OPS, NULL);
    await_until(-1, AWAIT_PATIENCE_MS, (http_run(w->http, 10), waiting(w, 1)));
    instance_signal(i, SIGTERM);
    instance_await_said(i, "Stopping", 1);
    hold_writes(w, false);
    assert_int_equal(http_call_reply(http_next(w->http))->status, 200);
    assert_int_equal(instance_wait(i, AWAIT_PATIENCE_MS), 0);
    assert_int_equal(instance_said(i, "A producer pauses an account"), 1);
    end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(without_redis_everything_is_for_later),
        T(a_redis_that_refuses_is_quoted),
        T(a_broken_key_of_one_account_hides_no_other),
        T(only_so_many_are_served_at_once),
        T(a_redis_that_says_nothing_is_given_up),
        T(a_plan_leaves_room_for_operators),
        T(a_request_is_carried_out_after_its_client_has_left),
        T(waiting_clients_are_answered_before_it_stops),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
