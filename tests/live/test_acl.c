/* SPDX-License-Identifier: MIT
 * The users of deploy/redis-acl.conf can do everything that they need, and nothing else. A missing
 * permission is reported. */
#include "http_world.h"

#include "clock.h"
#include "purgeline.h"
#include "shell.h"

#define P "purgeline:{main}:"

static struct shell sh;

static FILE *open_rules(void)
{
    char *path = alloc_printf("%s/deploy/redis-acl.conf", getenv("SOURCE_DIR"));
    FILE *f = fopen(path, "r");

    must(f);
    free(path);
    return f;
}

/* Converts "user NAME RULES..." into ACL SETUSER NAME RULES... */
static void set_user(struct redis_server *s, char *line)
{
    char *words[128], *save;
    redisContext *c = redisConnect("127.0.0.1", (int)redis_server_port(s));
    redisReply *r;
    int n = 0;

    must(c && !c->err);
    words[n++] = (char *)"ACL";
    words[n++] = (char *)"SETUSER";
    for (char *w = strtok_r(line + 5, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
        words[n++] = w;
    r = redisCommandArgv(c, n, (const char **)words, NULL);
    must(r && r->type != REDIS_REPLY_ERROR);
    freeReplyObject(r);
    redisFree(c);
}

static void set_users(struct redis_server *s)
{
    FILE *f = open_rules();
    char line[4096];

    while (fgets(line, sizeof(line), f))
        if (strncmp(line, "user ", 5) == 0)
            set_user(s, line);
    fclose(f);
}

/* The daemon's configuration, with the daemon's Redis user. */
static struct world open_users(void **state, const char *account)
{
    struct world w = {.r = rig_open(state, account, HTTP_LISTENS)};
    unsigned port = redis_server_port(w.r->redis);

    shell_open(&sh);
    set_users(w.r->redis);
    assert_int_equal(
        shell_run(
            &sh, "sed -i 's|^redis: .*|redis: redis://purgeline:change-me-daemon@127.0.0.1:%u|' %s",
            port, w.r->config),
        0);
    setenv("PURGELINE_CONFIG", w.r->config, 1);
    return w;
}

static void as(const struct world *w, const char *user)
{
    char *url = alloc_printf("redis://purgeline-%s:change-me-%s@127.0.0.1:%u", user, user,
                             redis_server_port(w->r->redis));

    setenv("R", url, 1);
    free(url);
}

static void close_all(struct world *w)
{
    unsetenv("PURGELINE_CONFIG");
    unsetenv("R");
    shell_close(&sh);
    world_close(w);
}

/* Checks in Redis' ACL log that no command of any user was denied. */
static void assert_nothing_was_denied(struct world *w)
{
    redisReply *log = redis_server_try(w->r->redis, "ACL LOG");

    for (size_t i = 0; i < log->elements; i++)
        for (size_t k = 0; k + 1 < log->element[i]->elements; k += 2)
            if (log->element[i]->element[k + 1]->type == REDIS_REPLY_STRING)
                print_message("%s: %s\n", log->element[i]->element[k]->str,
                              log->element[i]->element[k + 1]->str);
    assert_int_equal(log->elements, 0);
    freeReplyObject(log);
    assert_int_equal(instance_said(&w->r->instances[0], "NOPERM"), 0);
}

static void push_with_the_library(const struct world *w)
{
    const char *keys[] = {"of-the-library"};
    struct purgeline_job job = PURGELINE_JOB;
    char why[PURGELINE_WHY_ROOM] = "";
    struct purgeline *p = NULL;
    char id[PURGELINE_ID_ROOM];

    (void)w;
    job.keys = keys;
    job.keys_count = 1;
    if (purgeline_open(getenv("R"), "main", &p, why, sizeof(why)) != PURGELINE_OK)
        fail_msg("%s", why);
    assert_int_equal(purgeline_push(p, &job, id, sizeof(id)), PURGELINE_OK);
    purgeline_close(p);
}

static void the_daemon_does_its_whole_job(void **state)
{
    struct world w = open_users(state, "    allow_purge_all: true\n    attempts: 1\n");
    char *path, soon[32];

    w.h = http_serve(w.r, 0);
    http_expect(w.h, 200, "POST", "/v1/purge", "{\"keys\":[\"waited\"]}", "Prefer: wait=20", NULL);
    http_expect(w.h, 202, "POST", "/v1/purge", "{\"keys\":[\"once\"]}", "Idempotency-Key: x1",
                NULL);
    http_expect(w.h, 202, "POST", "/v1/purge", "{\"keys\":[\"once\"]}", "Idempotency-Key: x1",
                NULL);
    http_expect(w.h, 202, "POST", "/v1/purge", "{\"keys\":[\"again\"],\"repeat_after\":300}", NULL);
    snprintf(soon, sizeof(soon), "%llu", (unsigned long long)clock_wall_ms() + 3600000);
    path = alloc_printf("{\"keys\":[\"postponed\"],\"not_before\":%s}", soon);
    {
        struct job j = world_job(http_expect(w.h, 202, "POST", "/v1/purge", path, NULL));
        char *of = alloc_printf("/v1/jobs/%s", j.id);

        rig_await(w.r, redis_server_int(w.r->redis, "ZCARD " P "postponed") >= 1);
        http_expect(w.h, 200, "GET", of, NULL, NULL);
        http_expect(w.h, 200, "DELETE", of, NULL, NULL);
        free(of);
    }
    free(path);
    rig_push(w.r, "normal", "nonsense", "x", NULL);
    rig_await(w.r, rig_dead_count(w.r) == 1);
    http_expect(w.h, 200, "GET", "/metrics", NULL, NULL);
    http_expect(w.h, 200, "GET", "/readyz", NULL, NULL);
    rig_await(w.r, requests_naming(&w.r->requests, "again", 200) == 2);
    rig_await_empty(w.r);
    rig_stop(w.r, 0);
    assert_nothing_was_denied(&w);
    close_all(&w);
}

/* The answer comes long before the waiting time is over. */
static void a_waiting_client_is_answered_without_subscribe(void **state)
{
    struct world w = open_users(state, "");

    redis_server_do(w.r->redis, "ACL SETUSER purgeline -subscribe");
    w.h = http_serve(w.r, 0);
    for (int i = 0; i < 3; i++)
        http_expect(w.h, 200, "POST", "/v1/purge", "{\"keys\":[\"waited\"]}", "Prefer: wait=25",
                    NULL);
    assert_int_equal(instance_said(&w.r->instances[0], "does not permit SUBSCRIBE"), 1);
    close_all(&w);
}

static void a_producer_pushes_and_waits_and_does_nothing_else(void **state)
{
    struct world w = open_users(state, "");

    w.h = http_serve(w.r, 0);
    as(&w, "producer");
    assert_int_equal(shell_run(&sh, "$P push -r $R --wait=20 article-17"), 0);
    shell_assert_err(&sh, "1 purged, 0 not, 0 open");
    assert_int_equal(shell_run(&sh, "echo line | $P push -r $R -"), 0);
    assert_int_equal(shell_run(&sh, "redis-cli -u $R XADD '" P "jobs:normal' '*' keys by-hand"), 0);
    push_with_the_library(&w);
    rig_await(w.r, requests_naming(&w.r->requests, "by-hand", 200) == 1);
    rig_await(w.r, requests_naming(&w.r->requests, "of-the-library", 200) == 1);
    rig_await(w.r, requests_naming(&w.r->requests, "line", 200) == 1);
    assert_nothing_was_denied(&w);
    static const char *const forbidden[] = {"FLUSHALL",           "XRANGE '" P "jobs:normal' - +",
                                            "GET '" P "budget'",  "DEL '" P "lease'",
                                            "XADD other '*' a b", "CONFIG GET '*'",
                                            "KEYS '*'",           "SUBSCRIBE other"};
    for (size_t i = 0; i < array_len(forbidden); i++) {
        assert_int_equal(shell_run(&sh, "timeout 5 redis-cli -u $R %s", forbidden[i]), 0);
        shell_assert_out(&sh, "NOPERM");
    }
    close_all(&w);
}

/* Without access to the channel, the client is told so, and polls for its receipts. */
static void push_wait_without_the_channel_looks_for_receipts(void **state)
{
    struct world w = open_users(state, "");

    w.h = http_serve(w.r, 0);
    as(&w, "producer");
    redis_server_do(w.r->redis, "ACL SETUSER purgeline-producer resetchannels");
    assert_int_equal(shell_run(&sh, "timeout 20 $P push -r $R --wait article-17"), 0);
    shell_assert_out(&sh, " purged");
    shell_assert_err(&sh, "polling receipts twice a second");
    assert_int_equal(shell_run(&sh, "$P pause"), 0);
    instance_await_said(&w.r->instances[0], "paused", 1);
    assert_int_equal(shell_run(&sh, "timeout 20 $P push -r $R --wait=300ms b"), 4);
    assert_int_equal(shell_run(&sh, "$P resume"), 0);
    close_all(&w);
}

static void push_wait_without_receipts_fails_with_a_sentence(void **state)
{
    struct world w = open_users(state, "");

    w.h = http_serve(w.r, 0);
    as(&w, "producer");
    redis_server_do(w.r->redis, "ACL SETUSER purgeline-producer -mget");
    assert_int_equal(shell_run(&sh, "timeout 20 $P push -r $R --wait article-17"), 3);
    shell_assert_err(&sh, "Redis refuses to show receipts: NOPERM");
    close_all(&w);
}

static void an_operator_looks_pauses_and_repairs(void **state)
{
    struct world w = open_users(state, "");
    struct job waits;

    w.h = http_serve(w.r, 0);
    as(&w, "operator");
    rig_push(w.r, "normal", "nonsense", "x", NULL);
    rig_await(w.r, rig_dead_count(w.r) == 1);
    rig_await(w.r, shell_run(&sh, "$P status -r $R") == 0);
    redis_server_do(w.r->redis, "CONFIG SET maxmemory 1");
    assert_int_equal(shell_run(&sh, "$P pause -r $R"), 0);
    instance_await_said(&w.r->instances[0], "paused", 1);
    redis_server_do(w.r->redis, "CONFIG SET maxmemory 0");
    waits = rig_push(w.r, "normal", "keys", "k", NULL);
    assert_int_equal(shell_run(&sh, "$P job -r $R %s", waits.id), 0);
    shell_assert_out(&sh, "in the lane normal");
    assert_int_equal(shell_run(&sh, "$P resume -r $R"), 0);
    rig_await_ended(w.r, &waits, "purged");
    assert_int_equal(shell_run(&sh, "$P history -r $R --acts"), 0);
    shell_assert_out(&sh, " resumed ");
    shell_assert_out(&sh, " paused ");
    assert_int_equal(shell_run(&sh, "$P job -r $R normal-1-0"), 1);
    shell_assert_err(&sh, "not there");
    /* The last thing that is written: two jobs that have ended, and two acts. */
    assert_int_equal(redis_server_int(w.r->redis, "HINCRBY purgeline:{main}:history:size total 0"),
                     4);
    assert_int_equal(shell_run(&sh, "$P plan -r $R --backlog"), 0);
    assert_int_equal(shell_run(&sh, "$P dead -r $R list"), 0);
    shell_assert_out(&sh, "nonsense");
    assert_int_equal(shell_run(&sh, "$P dead -r $R retry --all"), 0);
    assert_int_equal(shell_run(&sh, "$P dead -r $R drop --all --yes || $P dead -r $R drop --all"),
                     0);
    redis_server_do(w.r->redis, "SET " P "later surprise");
    assert_int_equal(shell_run(&sh, "$P check -r $R --repair --yes"), 0);
    redis_server_do(w.r->redis, "SET " P "budget surprise");
    assert_int_equal(shell_run(&sh, "$P check -r $R --repair --yes"), 0);
    redis_server_do(w.r->redis, "XADD " P "jobs:bulk 281474976710656-7 keys far");
    assert_int_equal(shell_run(&sh, "$P check -r $R --repair --yes"), 0);
    assert_nothing_was_denied(&w);
    close_all(&w);
}

static void check_is_content_with_the_daemons_user(void **state)
{
    struct world w = open_users(state, "");

    (void)shell_run(&sh, "$P check");
    shell_assert_out(&sh, "ok    main permissions: Redis permits all that purgeline does");
    close_all(&w);
}

/* If a permission is missing, the instance reports it and is not ready, and check names the rule.
 */
static void a_missing_permission_is_said_and_check_names_the_rule(void **state)
{
    static const char *const rules[] = {"info", "evalsha",   "xread",
                                        "hset", "subscribe", "xinfo|stream"};

    for (size_t i = 0; i < array_len(rules); i++) {
        struct world w = open_users(state, "");
        const char *rule = rules[i];
        char *missing = alloc_printf("+%s", rule);

        print_message("%s\n", rule);
        redis_server_do(w.r->redis, "ACL SETUSER purgeline -%s", rule);
        if (strcmp(rule, "evalsha") == 0)
            redis_server_do(w.r->redis, "ACL SETUSER purgeline -eval");
        assert_int_equal(shell_run(&sh, "$P check"), 1);
        shell_assert_out(&sh, missing);
        shell_assert_out(&sh, "redis-acl.conf");
        if (i < 4) {
            rig_start(w.r, 0);
            instance_await_said(&w.r->instances[0], "endpoint listens", 1);
            w.h = http_of(w.r, 0, "http", NULL);
            rig_await(w.r, instance_said(&w.r->instances[0], "NOPERM") ||
                               instance_said(&w.r->instances[0], "redis-acl.conf"));
            rig_await(w.r, http_do(w.h, "GET", "/readyz", NULL, NULL)->status == 503);
            http_expect(w.h, 200, "GET", "/livez", NULL, NULL);
            redis_server_do(w.r->redis, "ACL SETUSER purgeline +%s +eval", rule);
            rig_await(w.r, http_do(w.h, "GET", "/readyz", NULL, NULL)->status == 200);
        }
        free(missing);
        close_all(&w);
    }
}

/* Includes the file in redis.conf, as described at the head of the file. */
static void redis_takes_the_file_as_it_is(void **state)
{
    (void)state;
    shell_open(&sh);
    assert_int_equal(
        shell_run(
            &sh,
            "printf 'include %%s/deploy/redis-acl.conf\\nport 0\\nunixsocket %%s/s\\ndaemonize "
            "yes\\npidfile %%s/pid\\ndir %%s\\nsave \"\"\\n' $SOURCE_DIR $D $D $D > $D/r.conf; "
            "redis-server $D/r.conf > /dev/null; until redis-cli -s $D/s PING > /dev/null "
            "2>&1; do :; done; redis-cli -s $D/s ACL LIST; redis-cli -s $D/s SHUTDOWN NOSAVE"),
        0);
    shell_assert_out(&sh, "user purgeline on");
    shell_assert_out(&sh, "user purgeline-producer on");
    shell_assert_out(&sh, "user purgeline-operator on");
    shell_close(&sh);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(the_daemon_does_its_whole_job),
        rig_test(a_waiting_client_is_answered_without_subscribe),
        rig_test(a_producer_pushes_and_waits_and_does_nothing_else),
        rig_test(push_wait_without_the_channel_looks_for_receipts),
        rig_test(push_wait_without_receipts_fails_with_a_sentence),
        rig_test(an_operator_looks_pauses_and_repairs),
        rig_test(check_is_content_with_the_daemons_user),
        rig_test(a_missing_permission_is_said_and_check_names_the_rule),
        rig_test(redis_takes_the_file_as_it_is),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
