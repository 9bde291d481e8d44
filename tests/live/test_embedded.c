/* SPDX-License-Identifier: MIT
 * `purgeline run` without a configuration starts its own Redis, which ends with it. The jobs are
 * kept. */
#include "rig.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "alloc.h"
#include "weather_disk.h"

struct home {
    struct rig *rig; /* the rig's own Redis is not used */
    char *env[8];
    char *socket, *log;
};

static void open_home(struct home *h, void **state)
{
    h->rig = rig_open(state, "", "");
    h->env[0] = alloc_printf("PURGELINE_DATA_DIR=%s/data", h->rig->folder);
    h->env[1] = alloc_printf("PURGELINE_API=%s", sandbox_api(h->rig->sandbox));
    h->env[2] = alloc_printf("PURGELINE_CA_FILE=%s", sandbox_ca(h->rig->sandbox));
    h->env[3] = alloc_str("FASTLY_SERVICE_ID=" NEWS); /* the rig sets FASTLY_API_TOKEN */
    h->env[4] = alloc_str("PURGELINE_LISTEN=");
    h->env[5] = NULL;
    h->socket = alloc_printf("%s/data/redis.sock", h->rig->folder);
    h->log = alloc_printf("%s/instance-0.log", h->rig->folder);
}

static void close_home(struct home *h)
{
    for (char **e = h->env; *e; e++)
        free(*e);
    free(h->socket);
    free(h->log);
    rig_close(h->rig);
}

static void start(struct home *h)
{
    struct instance *i = &h->rig->instances[0];
    size_t before = i->log ? instance_said(i, "leads the account") : 0;

    instance_start(i, NULL, (const char *const *)h->env, h->log);
    instance_await_said(i, "leads the account", before + 1);
}

/* Runs a Redis command. Returns the reply as text, also if it is a number. Allocated with malloc.
 */
static char *ask(struct home *h, const char *fmt, const char *arg)
{
    redisContext *c = redisConnectUnix(h->socket);
    redisReply *reply;
    char *out;

    must(c && !c->err);
    reply = redisCommand(c, fmt, arg);
    must(reply && reply->type != REDIS_REPLY_ERROR);
    out = reply->str ? alloc_copy(reply->str, reply->len) : alloc_printf("%lld", reply->integer);
    freeReplyObject(reply);
    redisFree(c);
    return out;
}

static bool is_zero(struct home *h, const char *command, const char *arg)
{
    char *answer = ask(h, command, arg);
    bool zero = strcmp(answer, "0") == 0;

    free(answer);
    return zero;
}

static pid_t redis_pid(struct home *h)
{
    char *info = ask(h, "INFO %s", "server"), *at = strstr(info, "process_id:");
    pid_t pid;

    must(at);
    pid = (pid_t)atol(at + strlen("process_id:"));
    free(info);
    return pid;
}

/* A zombie counts as gone, because its new parent may not collect it. */
static bool is_gone(pid_t pid)
{
    char path[64], state = '?';
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    f = fopen(path, "r");
    if (!f)
        return true;
    must(fscanf(f, "%*d (%*[^)]) %c", &state) == 1);
    fclose(f);
    return state == 'Z' || state == 'X';
}

/* Whether Redis has confirmed the push; false if the connection fails. */
static bool is_pushed(struct home *h, const char *key)
{
    redisContext *c = redisConnectUnix(h->socket);
    redisReply *reply =
        c->err ? NULL : redisCommand(c, "XADD purgeline:{main}:jobs:normal * keys %s", key);
    bool yes = reply && reply->type == REDIS_REPLY_STRING;

    if (reply)
        freeReplyObject(reply);
    redisFree(c);
    return yes;
}

static void push(struct home *h, const char *key)
{
    free(ask(h, "XADD purgeline:{main}:jobs:normal * keys %s", key));
}

static void await_purged(struct home *h, const char *key)
{
    rig_await(h->rig, requests_naming(&h->rig->requests, key, 200) >= 1);
    rig_await(h->rig, is_zero(h, "XLEN %s", "purgeline:{main}:jobs:normal"));
}

static void without_configuration_it_works_and_takes_its_redis_along(void **state)
{
    struct home h;
    pid_t redis;

    open_home(&h, state);
    start(&h);
    redis = redis_pid(&h);
    push(&h, "k");
    await_purged(&h, "k");
    rig_stop(h.rig, 0);
    assert_true(is_gone(redis));
    close_home(&h);
}

static void killed_its_redis_dies_too_and_the_jobs_are_there_after_the_restart(void **state)
{
    struct home h;
    pid_t redis;

    open_home(&h, state);
    start(&h);
    for (int round = 0; round < 3; round++) {
        char key[8];

        snprintf(key, sizeof(key), "k%d", round);
        sandbox_fault(h.rig->sandbox, "hang=1&count=1");
        redis = redis_pid(&h);
        push(&h, key);
        rig_await(h.rig, requests_naming(&h.rig->requests, key, 0) == 1);
        instance_kill(&h.rig->instances[0]);
        if (round < 2) /* the first times it is restarted at once */
            await_until(-1, 5000, is_gone(redis));
        start(&h);
        await_purged(&h, key);
    }
    assert_true(is_gone(redis));
    close_home(&h);
}

static void its_redis_killed_is_started_again_and_no_job_is_lost(void **state)
{
    struct home h;

    open_home(&h, state);
    start(&h);
    sandbox_fault(h.rig->sandbox, "latency_ms=1000&count=1");
    push(&h, "k");
    rig_await(h.rig, sandbox_faults_used_up(h.rig->sandbox));
    kill(redis_pid(&h), SIGKILL);
    instance_await_said(&h.rig->instances[0], "Connected to Redis", 2);
    await_purged(&h, "k");
    push(&h, "l");
    await_purged(&h, "l");
    close_home(&h);
}

static void two_of_them_do_not_share_a_data_folder(void **state)
{
    struct home h;

    open_home(&h, state);
    start(&h);
    instance_start(&h.rig->instances[1], NULL, (const char *const *)h.env, h.log);
    assert_int_equal(instance_wait(&h.rig->instances[1], AWAIT_PATIENCE_MS), 1);
    assert_int_equal(instance_said(&h.rig->instances[1], "uses this data folder"), 1);
    push(&h, "k");
    await_purged(&h, "k");
    close_home(&h);
}

/* The number of confirmed pushes: as many as fit on the last page of the full disk. */
static unsigned push_until_refused(struct home *h)
{
    char key[16];
    unsigned n = 0;

    do
        snprintf(key, sizeof(key), "full-%u", n);
    while (is_pushed(h, key) && ++n < 1000);
    assert_true(n < 1000);
    return n;
}

static void what_it_said_yes_to_is_purged_once_its_full_disk_has_room(void **state)
{
    struct weather_disk disk;
    struct home h;
    unsigned accepted;

    if (weather_mounts_hide() < 0 || weather_disk_open(&disk, 8) < 0)
        skip(); /* this needs root */
    open_home(&h, state);
    free(h.env[0]);
    h.env[0] = alloc_printf("PURGELINE_DATA_DIR=%s", disk.folder);
    free(h.socket);
    h.socket = alloc_printf("%s/redis.sock", disk.folder);
    start(&h);
    sandbox_fault(h.rig->sandbox, "latency_ms=1000&count=1");
    push(&h, "before");
    rig_await(h.rig, sandbox_faults_used_up(h.rig->sandbox));
    weather_disk_fill(&disk);
    accepted = push_until_refused(&h);
    instance_await_said(&h.rig->instances[0], "the disk of the data folder is full", 1);
    weather_disk_free(&disk);
    await_until(-1, AWAIT_PATIENCE_MS, is_pushed(&h, "after"));
    await_purged(&h, "before");
    await_purged(&h, "after");
    for (unsigned n = 0; n < accepted; n++) {
        char key[16];

        snprintf(key, sizeof(key), "full-%u", n);
        assert_true(requests_naming(&h.rig->requests, key, 200) >= 1);
    }
    rig_stop(h.rig, 0);
    close_home(&h);
    weather_disk_close(&disk);
}

/* -- with fake programs in PATH -- */

/* Replaces `redis-server` by this script; NULL: there is none. setpriv stays the real one. */
static void use_path(struct home *h, const char *script)
{
    char *bin = alloc_printf("%s/bin", h->rig->folder),
         *file = alloc_printf("%s/redis-server", bin);
    char *command =
        alloc_printf("mkdir -p %s && ln -sf $(command -v setpriv) %s/setpriv", bin, bin);
    FILE *f;

    must(system(command) == 0);
    if (script) {
        f = fopen(file, "w");
        must(f && fprintf(f, "#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n%s", script) > 0);
        must(fclose(f) == 0 && chmod(file, 0755) == 0);
    }
    h->env[5] = alloc_printf("PATH=%s", bin);
    h->env[6] = NULL;
    free(bin);
    free(file);
    free(command);
}

static void without_redis_server_it_says_what_to_install_and_exits(void **state)
{
    struct instance *i;
    struct home h;

    open_home(&h, state);
    use_path(&h, NULL);
    i = &h.rig->instances[0];
    instance_start(i, NULL, (const char *const *)h.env, h.log);
    assert_int_equal(instance_wait(i, AWAIT_PATIENCE_MS), 1);
    assert_int_equal(instance_said(i, "apt-get install redis-server"), 1);
    assert_int_equal(instance_said(i, "redis.log"), 0);
    close_home(&h);
}

static void one_that_cannot_be_executed_is_an_end_as_well(void **state)
{
    struct instance *i;
    struct home h;

    open_home(&h, state);
    use_path(&h, "exit 126\n");
    i = &h.rig->instances[0];
    instance_start(i, NULL, (const char *const *)h.env, h.log);
    assert_int_equal(instance_wait(i, AWAIT_PATIENCE_MS), 1);
    assert_int_equal(instance_said(i, "apt-get install redis-server"), 1);
    close_home(&h);
}

static size_t starts_of(const struct home *h)
{
    char *path = alloc_printf("%s/data/starts", h->rig->folder), line[64];
    FILE *f = fopen(path, "r");
    size_t n = 0;

    while (f && fgets(line, sizeof(line), f))
        n++;
    if (f)
        fclose(f);
    free(path);
    return n;
}

/* Its last line is logged once, however often it is restarted. */
static void the_last_message_of_a_crashing_redis_is_logged_once(void **state)
{
    struct instance *i;
    struct home h;

    open_home(&h, state);
    use_path(&h, "for a in \"$@\"; do [ \"$b\" = --dir ] && dir=$a; b=$a; done\n"
                 "echo x >> $dir/starts\n"
                 "echo \"7:M 28 Nov 2026 02:44:05.123 # Fatal error: can't open the append-only "
                 "file: Permission denied\" >> $dir/redis.log\n"
                 "exit 1\n");
    i = &h.rig->instances[0];
    instance_start(i, NULL, (const char *const *)h.env, h.log);
    rig_await(h.rig, starts_of(&h) >= 3);
    assert_int_equal(instance_said(i, "embedded Redis exited; restarting"), 1);
    assert_int_equal(
        instance_said(i, "why=\"Fatal error: can't open the append-only file: Permission denied\""),
        1);
    instance_signal(i, SIGTERM);
    assert_int_equal(instance_wait(i, AWAIT_PATIENCE_MS), 0);
    close_home(&h);
}

/* The script ignores SIGTERM. When it is killed, the Redis that it started dies, too. */
static void one_that_does_not_stop_is_killed_and_nothing_is_lost(void **state)
{
    struct instance *i;
    struct home h;

    open_home(&h, state);
    use_path(&h, "trap '' TERM\nsetpriv --pdeathsig KILL redis-server \"$@\" &\n"
                 "while :; do wait; done\n");
    start(&h);
    i = &h.rig->instances[0];
    push(&h, "k");
    await_purged(&h, "k");
    instance_signal(i, SIGTERM);
    assert_int_equal(instance_wait(i, AWAIT_PATIENCE_MS), 0);
    assert_int_equal(instance_said(i, "does not stop and is killed"), 1);
    free(h.env[5]);
    h.env[5] = NULL;
    start(&h);
    push(&h, "l");
    await_purged(&h, "l");
    close_home(&h);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(without_configuration_it_works_and_takes_its_redis_along),
        rig_test(killed_its_redis_dies_too_and_the_jobs_are_there_after_the_restart),
        rig_test(its_redis_killed_is_started_again_and_no_job_is_lost),
        rig_test(two_of_them_do_not_share_a_data_folder),
        rig_test(without_redis_server_it_says_what_to_install_and_exits),
        rig_test(one_that_cannot_be_executed_is_an_end_as_well),
        rig_test(the_last_message_of_a_crashing_redis_is_logged_once),
        rig_test(one_that_does_not_stop_is_killed_and_nothing_is_lost),
        rig_test(what_it_said_yes_to_is_purged_once_its_full_disk_has_room),
    };

    signal(SIGPIPE, SIG_IGN); /* Redis ends while something is written to it */
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
