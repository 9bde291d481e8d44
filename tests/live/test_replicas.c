/* SPDX-License-Identifier: MIT
 * With redis_replicas, nothing counts that a failover of Redis could lose: a real master with a
 * real replica, which is frozen, and which takes the place of a master that is killed. */
#include "http_world.h"

#include <unistd.h>

#include "clock.h"
#include "purgeline.h"
#include "shell.h"

#define PURGE "/v1/purge"
#define ONCE "Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324"
#define JOBS 300

struct pair {
    struct world w; /* its Redis is the master */
    struct redis_server *replica;
    struct shell shell;
};

/* `words` is in what INFO tells about replication. */
static bool is_replicating(struct redis_server *s, const char *words)
{
    char *info = redis_server_str(s, "INFO replication");
    bool is = strstr(info, words) != NULL;

    free(info);
    return is;
}

static void await_replication(struct redis_server *s, const char *words)
{
    uint64_t until = clock_mono_ns() + 60 * NS_PER_S;

    while (!is_replicating(s, words)) { /* Redis tells nobody when it is so far */
        assert_true(clock_mono_ns() < until);
        usleep(10000);
    }
}

static struct redis_server *new_replica(struct redis_server *master)
{
    struct redis_server *s = redis_server_start("--repl-diskless-sync-delay", "0");

    redis_server_do(s, "REPLICAOF 127.0.0.1 %u", redis_server_port(master));
    await_replication(s, "master_link_status:up");
    await_replication(master, "state=online");
    return s;
}

static void open_pair(struct pair *p, void **state)
{
    p->w.r = rig_open(state, "", HTTP_LISTENS "redis_replicas: 1\n" CMS);
    p->replica = new_replica(p->w.r->redis);
    shell_open(&p->shell);
    p->w.h = http_serve(p->w.r, 0);
}

static void close_pair(struct pair *p)
{
    shell_close(&p->shell);
    world_close(&p->w);
    redis_server_stop(p->replica);
}

/* The endpoint of a second instance. It has written nothing on its own connection to Redis, so
 * since Redis 8 its WAIT counts nothing that it has not written first. */
static struct http *second_endpoint(struct pair *p)
{
    struct http *h;

    instance_await_said(rig_start(p->w.r, 1), "The HTTP endpoint listens", 1);
    h = http_of(p->w.r, 1, "http", NULL);
    rig_await(p->w.r, http_do(h, "GET", "/readyz", NULL, NULL)->status == 200);
    return h;
}

static const struct http_reply *post(struct pair *p, const char *key)
{
    char *body = alloc_printf("{\"keys\":[\"%s\"]}", key);
    const struct http_reply *r = http_do(p->w.h, "POST", PURGE, body, KEY_HEADER, NULL);

    free(body);
    return r;
}

static int push_by_command(struct pair *p)
{
    return shell_run(&p->shell,
                     "PURGELINE_REDIS=%s PURGELINE_REDIS_REPLICAS=1 $P push --service " NEWS " c",
                     redis_server_unix_url(p->w.r->redis));
}

static int push_by_library(struct pair *p)
{
    struct purgeline *l;
    char why[PURGELINE_WHY_ROOM];
    int code;

    assert_int_equal(purgeline_open(redis_server_url(p->w.r->redis), "main", &l, why, sizeof(why)),
                     PURGELINE_OK);
    assert_int_equal(purgeline_need_replicas(l, 6), PURGELINE_INVALID);
    assert_int_equal(purgeline_need_replicas(l, 1), PURGELINE_OK);
    code = purgeline_push_key(l, "l");
    if (code != PURGELINE_OK)
        assert_string_equal(purgeline_error(l), "too few replicas have the job");
    purgeline_close(l);
    return code;
}

/* More than one WAIT covers. */
static void push_many_by_command(struct pair *p)
{
    assert_int_equal(shell_run(&p->shell,
                               "seq 1 1500 | PURGELINE_REDIS=%s PURGELINE_REDIS_REPLICAS=1 $P push "
                               "--service " NEWS " - | sort -u | wc -l",
                               redis_server_unix_url(p->w.r->redis)),
                     0);
    assert_string_equal(p->shell.out, "1500\n");
}

static void assert_check_says(struct pair *p, unsigned replicas, const char *text)
{
    (void)shell_run(&p->shell, "PURGELINE_REDIS=%s PURGELINE_REDIS_REPLICAS=%u $P check",
                    redis_server_unix_url(p->w.r->redis), replicas);
    shell_assert_out(&p->shell, text);
}

static int ready(struct pair *p)
{
    return http_do(p->w.h, "GET", "/readyz", NULL, NULL)->status;
}

static void without_its_replica_nothing_is_accepted(void **state)
{
    struct pair p;
    const struct http_reply *r;
    char *first, *second;
    struct http *other;

    open_pair(&p, state);
    other = second_endpoint(&p);
    first = alloc_str(world_job(post(&p, "a")).id);
    assert_int_equal(push_by_command(&p), 0);
    assert_int_equal(push_by_library(&p), PURGELINE_OK);
    push_many_by_command(&p);
    assert_check_says(&p, 0, "may lose what was accepted in the last moments");
    assert_check_says(&p, 1, "a failover to one of these loses nothing");
    assert_check_says(&p, 2, "redis_replicas is 2, and 1 replicas are connected");
    rig_await(p.w.r, requests_naming(&p.w.r->requests, "a", 200) == 1);

    kill(redis_server_pid(p.replica), SIGSTOP);
    world_assert_problem(post(&p, "b"), 503, "0 of 1 replicas have the job");
    for (int i = 0; i < 2; i++) {
        r = http_do(p.w.h, "POST", PURGE, "{\"keys\":[\"o\"]}", KEY_HEADER, ONCE, NULL);
        world_assert_problem(r, 503, "0 of 1 replicas have the job");
    }
    r = http_do(other, "POST", PURGE, "{\"keys\":[\"o\"]}", KEY_HEADER, ONCE, NULL);
    world_assert_problem(r, 503, "0 of 1 replicas have the job");
    http_close(other);
    assert_int_not_equal(push_by_command(&p), 0);
    shell_assert_err(&p.shell, "0 of 1 replicas have the job");
    assert_int_equal(push_by_library(&p), PURGELINE_UNKNOWN);
    rig_await(p.w.r, ready(&p) == 503);
    instance_await_said(&p.w.r->instances[0], "No job is accepted and none sent until", 1);

    kill(redis_server_pid(p.replica), SIGCONT);
    rig_await(p.w.r, post(&p, "d")->status == 202);
    rig_await(p.w.r, ready(&p) == 200);
    assert_int_equal(instance_said(&p.w.r->instances[0], "No job is accepted and none sent until"),
                     1 + instance_said(&p.w.r->instances[0], "No longer: No job is accepted"));
    r = http_do(p.w.h, "POST", PURGE, "{\"keys\":[\"o\"]}", KEY_HEADER, ONCE, NULL);
    assert_int_equal(r->status, 202);
    second = alloc_str(world_job(r).id);
    assert_string_not_equal(first, second);
    world_flush(&p.w);
    assert_true(requests_naming(&p.w.r->requests, "d", 200) >= 1);
    free(first);
    free(second);
    close_pair(&p);
}

/* -- operators, and producers that take something back -- */

#define OPERATOR                                                                                   \
    "producers:\n  - name: ops\n    token_sha256: \"" TOKEN_SHA256                                 \
    "\"\n    kinds: [url, key, all]\n    admin: true\n"
#define FEW "0 of 1 replicas have this: it is not confirmed"
#define LETTERS 6

static const struct http_reply *ask(struct pair *p, const char *method, const char *path,
                                    const char *body)
{
    return http_do(p->w.h, method, path, body, KEY_HEADER, NULL);
}

static void bury(struct pair *p)
{
    for (int i = 1; i <= LETTERS; i++)
        redis_server_do(p->w.r->redis,
                        "XADD purgeline:{main}:dead %d-1 url https://www.example.com/%d "
                        "dead_reason old dead_job normal-1-%d dead_at 7 dead_target a",
                        i, i, i);
}

static void assert_few(struct pair *p, const char *path, const char *body)
{
    world_assert_problem(ask(p, "POST", path, body), 503, FEW);
}

static void assert_command_says_few(struct pair *p, const char *command)
{
    assert_int_equal(shell_run(&p->shell, "PURGELINE_REDIS=%s PURGELINE_REDIS_REPLICAS=1 $P %s",
                               redis_server_unix_url(p->w.r->redis), command),
                     1);
    shell_assert_err(&p->shell, FEW);
}

static void assert_command_does(struct pair *p, const char *command)
{
    assert_int_equal(shell_run(&p->shell, "PURGELINE_REDIS=%s PURGELINE_REDIS_REPLICAS=1 $P %s",
                               redis_server_unix_url(p->w.r->redis), command),
                     0);
}

/* Each of these writes something, or finds it written by a call that was not confirmed. */
static void assert_nobody_is_told_done(struct pair *p, const char *job)
{
    const struct http_reply *r;

    for (int i = 0; i < 2; i++)
        world_assert_problem(ask(p, "DELETE", job, NULL), 503, FEW);
    assert_few(p, "/v1/pause", "{}");
    assert_few(p, "/v1/resume", "{}");
    for (int i = 0; i < 2; i++)
        assert_few(p, "/v1/dead/retry", "{\"ids\":[\"1-1\"]}");
    for (int i = 0; i < 2; i++)
        assert_few(p, "/v1/dead/drop", "{\"ids\":[\"2-1\"]}");
    r = ask(p, "POST", "/service/" NEWS "/purge_all", NULL);
    assert_int_equal(r->status, 503);
    http_assert_has(r, "0 of 1 replicas have the job");
    assert_command_says_few(p, "resume");
    assert_command_says_few(p, "pause");
    for (int i = 0; i < 2; i++)
        assert_command_says_few(p, "dead retry 3-1");
    assert_command_says_few(p, "dead drop 4-1");
    for (int i = 0; i < 2; i++)
        assert_command_says_few(p, "dead drop --all");
    redis_server_do(p->w.r->redis, "SET purgeline:{main}:places broken");
    assert_command_says_few(p, "check --repair --yes");
}

static void without_its_replica_nobody_is_told_done(void **state)
{
    struct http *other;
    struct pair p;
    char *job;

    p.w.r =
        rig_open(state, "    allow_purge_all: true\n", HTTP_LISTENS "redis_replicas: 1\n" OPERATOR);
    p.replica = new_replica(p.w.r->redis);
    shell_open(&p.shell);
    p.w.h = http_serve(p.w.r, 0);
    other = second_endpoint(&p);
    assert_int_equal(ask(&p, "POST", "/v1/pause", "{}")->status, 200);
    job = alloc_printf("/v1/jobs/%s", world_job(post(&p, "a")).id);
    bury(&p);
    assert_command_does(&p, "pause");

    kill(redis_server_pid(p.replica), SIGSTOP);
    assert_nobody_is_told_done(&p, job);
    world_assert_problem(http_do(other, "DELETE", job, NULL, KEY_HEADER, NULL), 503, FEW);
    http_close(other);
    assert_command_does(&p, "dead list");
    assert_int_equal(ask(&p, "GET", job, NULL)->status, 200);

    kill(redis_server_pid(p.replica), SIGCONT);
    rig_await(p.w.r, ask(&p, "DELETE", job, NULL)->status == 409);
    assert_int_equal(ask(&p, "POST", "/v1/resume", "{}")->status, 200);
    assert_int_equal(ask(&p, "POST", "/v1/dead/retry", "{\"all\":true}")->status, 200);
    assert_command_does(&p, "dead drop --all");
    assert_command_does(&p, "resume");
    free(job);
    close_pair(&p);
}

/* The replica is now where the clients look for Redis. */
static void take_the_masters_place(struct pair *p)
{
    const char *at = redis_server_unix_url(p->w.r->redis) + strlen("unix://");
    const char *to = redis_server_unix_url(p->replica) + strlen("unix://");

    redis_server_do(p->replica, "REPLICAOF NO ONE");
    (void)unlink(at);
    assert_int_equal(symlink(to, at), 0);
}

static void after_a_failover_all_acknowledged_jobs_are_there(void **state)
{
    struct pair p;
    struct job jobs[JOBS];
    struct redis_server *master, *second;
    int count = 0;

    open_pair(&p, state);
    master = p.w.r->redis;
    rig_dispatch_pause(p.w.r, true);
    instance_await_said(&p.w.r->instances[0], "Dispatch is paused", 1);
    for (int i = 0; i < JOBS; i++) {
        char *key = alloc_printf("f%d", i);
        const struct http_reply *r = post(&p, key);

        free(key);
        if (r->status == 202)
            jobs[count++] = world_job(r);
    }
    assert_int_equal(count, JOBS);
    redis_server_kill(master);
    take_the_masters_place(&p);
    second = new_replica(p.replica);
    p.w.r->redis = p.replica;
    rig_dispatch_pause(p.w.r, false);
    for (int i = 0; i < count; i++)
        rig_await_ended(p.w.r, &jobs[i], "purged");
    p.w.r->redis = master;
    close_pair(&p);
    redis_server_stop(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(without_its_replica_nothing_is_accepted),
        rig_test(without_its_replica_nobody_is_told_done),
        rig_test(after_a_failover_all_acknowledged_jobs_are_there),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
