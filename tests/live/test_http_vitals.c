/* SPDX-License-Identifier: MIT
 * Routes for monitoring. Redis is asked once for many requests, each route has the right answer
 * when Redis is late, and there is an estimate when one is possible. */
#include "http_world.h"

#include "clock.h"
#include "config_file.h"
#include "file.h"
#include "on_loop.h"
#include "rawhttp.h"
#include "route.h"
#include "server.h"

#define PURGE "/v1/purge"

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    must(f && fputs(text, f) >= 0);
    must(fclose(f) == 0);
}

/* The page wraps long sentences, so lines are joined. */
static bool text_has(const char *path, const char *part)
{
    struct buf text;
    char *to;
    bool has;

    buf_init(&text, 1024 * 1024);
    must(file_read(path, &text) == 0);
    to = text.p;
    for (const char *from = text.p; *from; from++)
        if (*from != '\n' && !(*from == ' ' && to > text.p && to[-1] == ' '))
            *to++ = *from;
        else if (*from == '\n' && to > text.p && to[-1] != ' ')
            *to++ = ' ';
    *to = '\0';
    has = strstr(text.p, part) != NULL;
    buf_deinit(&text);
    return has;
}

static struct world opened(void **state)
{
    return world_open(state, "", "");
}

/* -- many accounts -- */

/* Their metrics could need more memory than one request may ever have. */
static void metrics_of_many_accounts_fit_into_little_memory(void **state)
{
    struct world w;
    struct buf accounts;

    buf_init(&accounts, 1024 * 1024);
    for (int i = 1; i < 256; i++)
        buf_printf(&accounts,
                   "  - name: n%d\n    api: %s\n    ca_file: %s\n"
                   "    services: [{id: SU3Other0000000000000, name: other}]\n",
                   i, sandbox_api(*state), sandbox_ca(*state));
    w = world_open(state, accounts.p, "memory_max: 32MiB\n");
    for (int i = 0; i < 2; i++) {
        const struct http_reply *r = http_expect(w.h, 200, "GET", "/metrics", NULL, NULL);

        assert_non_null(strstr(r->body, "account=\"main\""));
        assert_non_null(strstr(r->body, "account=\"n255\""));
    }
    buf_deinit(&accounts);
    world_close(&w);
}

/* -- one question for many requests -- */

static long long scripts_asked(struct world *w)
{
    char *info = redis_server_str(w->r->redis, "INFO commandstats");
    const char *at = strstr(info, "cmdstat_eval:calls=");
    long long calls = at ? atoll(at + strlen("cmdstat_eval:calls=")) : 0;

    free(info);
    return calls;
}

#define SCRIPTS_A_LOOK 3 /* the state, the reads and the history of the account */

/* Anybody may send this request at any rate. */
static void however_many_ask_redis_is_asked_once_a_second(void **state)
{
    static const char *const routes[] = {"/readyz", "/metrics"};
    struct world w = opened(state);

    for (size_t i = 0; i < array_len(routes); i++) {
        long long before = scripts_asked(&w);
        uint64_t began_ns = clock_mono_ns(), took_s;

        for (int k = 0; k < 500; k++)
            http_expect(w.h, 200, "GET", routes[i], NULL, NULL);
        took_s = (clock_mono_ns() - began_ns) / NS_PER_S + 1;
        assert_true(scripts_asked(&w) - before <= (long long)(took_s + 1) * SCRIPTS_A_LOOK);
    }
    world_close(&w);
}

static void a_redis_that_went_away_is_no_readiness_that_was_cached(void **state)
{
    struct world w = opened(state);

    http_expect(w.h, 200, "GET", "/readyz", NULL, NULL);
    redis_server_kill(w.r->redis);
    rig_await(w.r, http_do(w.h, "GET", "/readyz", NULL, NULL)->status == 503);
    world_assert_problem(http_do(w.h, "GET", "/readyz", NULL, NULL), 503, "Redis is away");
    http_expect(w.h, 503, "GET", "/readyz?for=push", NULL, NULL);
    redis_server_restart(w.r->redis);
    rig_await(w.r, http_do(w.h, "GET", "/readyz", NULL, NULL)->status == 200);
    world_close(&w);
}

/* A load balancer sends producers elsewhere, and here again when a job was taken, or after 5 s. */
static void a_redis_that_takes_no_job_is_no_readiness_to_push(void **state)
{
    static const char key[] = "{\"keys\":[\"k\"]}";
    struct world w = opened(state);

    http_expect(w.h, 200, "GET", "/readyz?for=push", NULL, NULL);
    redis_server_do(w.r->redis, "CONFIG SET maxmemory 1");
    http_expect(w.h, 503, "POST", PURGE, key, NULL);
    world_assert_problem(http_do(w.h, "GET", "/readyz?for=push", NULL, NULL), 503,
                         "Redis refuses jobs: OOM");
    rig_await(w.r, http_do(w.h, "GET", "/readyz?for=push", NULL, NULL)->status == 200);
    http_expect(w.h, 503, "POST", PURGE, key, NULL);
    redis_server_do(w.r->redis, "CONFIG SET maxmemory 0");
    http_expect(w.h, 202, "POST", PURGE, key, NULL);
    http_expect(w.h, 200, "GET", "/readyz?for=push", NULL, NULL);
    world_close(&w);
}

/* An account that cannot be purged is known at the start, before its first purge would tell. */
static void without_a_token_it_is_not_ready_until_there_is_one(void **state)
{
    char account[200];
    struct rig *r = rig_open(state, "", HTTP_LISTENS);
    const char *status[] = {"status", "--config", r->config, NULL};
    char *token = alloc_printf("%s/token", r->folder), *page = alloc_printf("%s/page", r->folder);
    struct http *h;

    snprintf(account, sizeof(account), "    token_file: %s\n    token_env: \"\"\n", token);
    rig_configure(r, account, HTTP_LISTENS);
    rig_start_leading(r, 0);
    instance_await_said(&r->instances[0], "The HTTP endpoint listens", 1);
    h = http_of(r, 0, "http", NULL);
    world_assert_problem(http_do(h, "GET", "/readyz", NULL, NULL), 503,
                         "account main: The account has no token");
    http_assert_has(http_do(h, "GET", "/metrics", NULL, NULL),
                    "purgeline_trouble{account=\"main\",kind=\"endpoint\"} 1");
    rig_await(r, instance_command(status, NULL, page) == 1 && text_has(page, "has no token"));
    http_expect(h, 202, "POST", PURGE, "{\"keys\":[\"more\"]}", NULL);
    write_text(token, sandbox_token(r->sandbox));
    instance_signal(&r->instances[0], SIGHUP);
    rig_await(r, requests_naming(&r->requests, "more", 200) == 1);
    rig_await(r, http_do(h, "GET", "/readyz", NULL, NULL)->status == 200);
    http_close(h);
    free(token);
    free(page);
    rig_close(r);
}

/* The documented rotation of the token: the log says what to do, status and readiness show that it
 * has not been done yet, jobs are accepted all the time, and a reload is enough. */
static void a_refused_token_is_no_readiness_until_the_file_is_mended_and_reloaded(void **state)
{
    char said[200], account[200];
    struct rig *r = rig_open(state, "", HTTP_LISTENS);
    const char *status[] = {"status", "--config", r->config, NULL};
    char *token = alloc_printf("%s/token", r->folder), *page = alloc_printf("%s/page", r->folder);
    struct http *h;
    struct job j;

    write_text(token, "an-old-token\n");
    snprintf(account, sizeof(account), "    token_file: %s\n    token_env: \"\"\n", token);
    rig_configure(r, account, HTTP_LISTENS);
    h = http_serve(r, 0);
    j = rig_push(r, "normal", "keys", "k", NULL);
    snprintf(said, sizeof(said), "put a valid one into %s, then: systemctl reload purgeline",
             token);
    instance_await_said(&r->instances[0], said, 1);
    rig_await(r, http_do(h, "GET", "/readyz", NULL, NULL)->status == 503);
    world_assert_problem(http_do(h, "GET", "/readyz", NULL, NULL), 503,
                         "Fastly refuses the token of account main");
    /* Who pushes is not sent elsewhere: the job is accepted and kept. */
    http_expect(h, 200, "GET", "/readyz?for=push", NULL, NULL);
    http_expect(h, 503, "GET", "/readyz?for=purging", NULL, NULL);
    http_expect(h, 202, "POST", PURGE, "{\"keys\":[\"more\"]}", NULL);
    assert_int_equal(instance_command(status, NULL, page), 1);
    assert_true(text_has(page, "main: NOT SENDING: Fastly refuses the token (401) for "));
    assert_true(text_has(page, said));
    write_text(token, sandbox_token(r->sandbox));
    instance_signal(&r->instances[0], SIGHUP);
    rig_await_ended(r, &j, "purged");
    rig_await(r, http_do(h, "GET", "/readyz", NULL, NULL)->status == 200);
    rig_await(r, instance_command(status, NULL, page) == 0);
    free(token);
    free(page);
    http_close(h);
    rig_close(r);
}

/* -- late answers -- */

static void late_answers_say_what_is_true_for_their_route(void **state)
{
    static const struct {
        const char *method, *target, *body, *says;
    } late[] = {
        {"GET", "/v1/jobs/normal-1700000000000-0", NULL, "Redis does not answer; ask again"},
        {"DELETE", "/v1/jobs/normal-1700000000000-0", NULL, "whether the job is cancelled"},
        {"POST", PURGE, "{\"keys\":[\"a\"]}",
         "so it is unknown whether it stored the job; push it again"},
        {"POST", "/service/" NEWS "/purge/a", NULL, "so it is unknown whether it stored the job"},
    };
    struct world w = opened(state);
    struct http *h = http_open(http_base(w.h), NULL);
    pid_t pid = redis_server_pid(w.r->redis);

    kill(pid, SIGSTOP);
    for (size_t i = 0; i < array_len(late); i++)
        http_call_set_ctx(http_begin(h, late[i].method, late[i].target, late[i].body, NULL),
                          (void *)late[i].says);
    for (size_t i = 0; i < array_len(late); i++) {
        struct http_call *c = http_next(h);

        assert_int_equal(http_call_reply(c)->status, 503);
        http_assert_has(http_call_reply(c), http_call_ctx(c));
    }
    kill(pid, SIGCONT);
    http_close(h);
    rig_await(w.r, http_do(w.h, "GET", "/readyz", NULL, NULL)->status == 200);
    world_close(&w);
}

static void on_vitals(void *ctx, struct vitals *v, enum vitals_wanted wanted)
{
    (void)ctx;
    (void)v;
    (void)wanted;
}

static struct loop *dispatch_loop;

static void on_stopped(void *ctx)
{
    *(bool *)ctx = true;
    loop_stop(dispatch_loop);
}

/* The endpoint without a running dispatch loop. */
static void a_dispatcher_that_hangs_is_said_to_hang(void **state)
{
    static char no_socket[] = "/nonexistent/redis.sock";
    struct redis_address nowhere = {.unix_path = no_socket};
    struct config config;
    struct http_server_options o = {
        .redis = &nowhere, .routes = &http_routes, .files = 1000, .vitals = on_vitals};
    struct rawhttp_answer a;
    struct http_server *in;
    struct rawhttp r;
    bool stopped = false;
    struct error err;

    (void)state;
    setenv("PURGELINE_LISTEN", "127.0.0.1:0", 1);
    assert_int_equal(config_load(NULL, NULL, &config, &err), 0);
    unsetenv("PURGELINE_LISTEN");
    o.config = config_share(&config);
    o.loop = dispatch_loop = loop_new();
    in = http_server_new(&o, &err);
    assert_non_null(in);
    rawhttp_open(&r, (unsigned)atoi(strrchr(http_server_address(in), ':') + 1));
    rawhttp_say(&r, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
    a = rawhttp_await(&r);
    assert_int_equal(a.status, 503);
    assert_true(rawhttp_says(&a, "the dispatcher does not answer"));
    rawhttp_close(&r);
    http_server_stop(in, on_stopped, &stopped);
    while (!stopped)
        loop_run(o.loop);
    http_server_free(in);
    loop_run(o.loop);
    loop_free(o.loop);
    config_drop(o.config);
}

/* -- the estimate -- */

static bool has_eta(const struct http_reply *r)
{
    assert_int_equal(r->status, 202);
    return json_is_integer(json_object_get(r->json, "eta_ms"));
}

static const struct http_reply *push(struct http *h)
{
    return http_do(h, "POST", PURGE, "{\"keys\":[\"a\"]}", NULL);
}

static void the_first_push_of_all_is_answered_with_an_estimate(void **state)
{
    struct rig *r = rig_open(state, "", HTTP_LISTENS);
    struct http *h;

    rig_start_leading(r, 0);
    h = http_of(r, 0, "http", NULL);
    rig_await(r, push(h)->status != 503); /* the endpoint has its own connection to Redis */
    assert_true(has_eta(push(h)));
    http_close(h);
    rig_close(r);
}

static void the_first_push_after_a_while_knows_how_it_is_now(void **state)
{
    struct world w = opened(state);

    assert_true(has_eta(push(w.h)));
    rig_dispatch_pause(w.r, true);
    instance_await_said(&w.r->instances[0], "Dispatch is paused", 1);
    rig_await(w.r, !has_eta(push(w.h)));
    for (int i = 0; i < 20; i++)
        assert_false(has_eta(push(w.h)));
    rig_dispatch_pause(w.r, false);
    rig_await(w.r, has_eta(push(w.h)));
    world_close(&w);
}

static void what_is_to_wait_is_estimated_with_its_wait(void **state)
{
    struct world w = opened(state);
    char *body = alloc_printf("{\"keys\":[\"a\"],\"not_before\":%llu}",
                              (unsigned long long)clock_wall_ms() + 3600000);
    const struct http_reply *r = http_expect(w.h, 202, "POST", PURGE, body, NULL);

    assert_in_range(http_number(r, "eta_ms"), 3500000, 3700000);
    free(body);
    world_close(&w);
}

static void a_refused_token_leaves_no_estimate(void **state)
{
    struct rig *r = rig_open(state, "    attempts: 1\n", HTTP_LISTENS);
    struct http *h;

    setenv("FASTLY_API_TOKEN", "a-token-that-nobody-knows", 1);
    h = http_serve(r, 0);
    assert_int_equal(push(h)->status, 202);
    instance_await_said(&r->instances[0], "refuses the token", 1);
    rig_await(r, !has_eta(push(h)));
    for (int i = 0; i < 20; i++)
        assert_false(has_eta(push(h)));
    http_close(h);
    rig_close(r);
}

/* The leader cannot record what it spends. */
static void a_broken_budget_leaves_no_estimate(void **state)
{
    struct world w = opened(state);

    assert_true(has_eta(push(w.h)));
    world_flush(&w);
    redis_server_do(w.r->redis, "DEL purgeline:{main}:budget");
    redis_server_do(w.r->redis, "SET purgeline:{main}:budget nonsense");
    rig_await(w.r, !has_eta(push(w.h)));
    redis_server_do(w.r->redis, "DEL purgeline:{main}:budget");
    rig_await(w.r, has_eta(push(w.h)));
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(without_a_token_it_is_not_ready_until_there_is_one),
        rig_test(a_refused_token_is_no_readiness_until_the_file_is_mended_and_reloaded),
        rig_test(metrics_of_many_accounts_fit_into_little_memory),
        rig_test(however_many_ask_redis_is_asked_once_a_second),
        rig_test(a_redis_that_went_away_is_no_readiness_that_was_cached),
        rig_test(a_redis_that_takes_no_job_is_no_readiness_to_push),
        rig_test(late_answers_say_what_is_true_for_their_route),
        cmocka_unit_test(a_dispatcher_that_hangs_is_said_to_hang),
        rig_test(the_first_push_of_all_is_answered_with_an_estimate),
        rig_test(the_first_push_after_a_while_knows_how_it_is_now),
        rig_test(what_is_to_wait_is_estimated_with_its_wait),
        rig_test(a_refused_token_leaves_no_estimate),
        rig_test(a_broken_budget_leaves_no_estimate),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
