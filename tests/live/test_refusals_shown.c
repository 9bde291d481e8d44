/* SPDX-License-Identifier: MIT
 * What commands that only read say, and with which exit code, when a real Redis is away or refuses:
 * one line each, with what is wrong and what to do. */
#include "command_world.h"

#include "await.h"
#include "free_port.h"

#define P "purgeline:{main}:"
#define JOB "normal-1700000000000-0"

static const char *const commands[] = {"job " JOB, "history", "status", "dead list"};

/* A job that waits, one that has ended, and a dead letter, so that each command has to look. */
static void fill(struct world *w)
{
    redis_server_do(w->redis, "XADD " NORMAL " 1700000000000-0 keys a");
    bury(w, "normal-1600000000000-0", "b");
}

static void expect_line(struct world *w, const char *command, int code, const char *what,
                        const char *to_do)
{
    const char *end;

    assert_int_equal(shell_run(&w->shell, "$P %s", command), code);
    shell_assert_err(&w->shell, what);
    shell_assert_err(&w->shell, to_do);
    end = strchr(w->shell.err, '\n');
    if (!end || end[1])
        fail_msg("not one line: %s", w->shell.err);
}

static void expect_lines(struct world *w, int code, const char *what, const char *to_do)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        expect_line(w, commands[i], code, what, to_do);
}

/* All commands from the given one on show what they should. `purgeline status` says with 1 that
 * nobody leads, which is the case here. */
static void expect_all_is_shown(struct world *w, size_t from)
{
    for (size_t i = from; i < sizeof(commands) / sizeof(*commands); i++) {
        int code = strcmp(commands[i], "status") == 0;

        assert_int_equal(shell_run(&w->shell, "$P %s", commands[i]), code);
        assert_string_equal(w->shell.err, "");
    }
}

static void redis_is_away(void **state)
{
    struct world *w = *state;

    redis_server_kill(w->redis);
    expect_lines(w, 3, "Redis at ", "(start it there, or name another one with --redis");
    setenv("PURGELINE_REDIS", redis_server_url(w->redis), 1);
    expect_lines(w, 3, "Connection refused", "(start it there, or name another one with --redis");
    unsetenv("PURGELINE_REDIS");
}

static void a_user_may_not_run_a_command(void **state)
{
    static const struct {
        const char *without, *command, *what;
    } rows[] = {
        {"xlen", "job " JOB, "NOPERM"},
        {"exists", "job " JOB, "NOPERM this user may not run a command that a script"},
        {"xclaim", "job " JOB, "NOPERM this user may not run a command that a script"},
        {"eval", "job " JOB, "NOPERM"},
        {"hget", "status", "NOPERM"},
        {"xlen", "status", "NOPERM"},
        {"xrevrange", "history", "NOPERM"},
        {"xlen", "dead list", "NOPERM"},
        {"xrevrange", "dead list", "NOPERM"},
    };
    struct world *w = *state;

    fill(w);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        redis_server_do(w->redis, "ACL SETUSER default -%s", rows[i].without);
        expect_line(w, rows[i].command, 1, rows[i].what, "purgeline check says which are missing)");
        assert_null(strstr(w->shell.err, "user_script"));
        redis_server_do(w->redis, "ACL SETUSER default +@all");
    }
    expect_all_is_shown(w, 0);
}

/* Looking needs no memory, and writes nothing that stays. */
static void redis_is_out_of_memory(void **state)
{
    struct world *w = *state;

    fill(w);
    redis_server_do(w->redis, "CONFIG SET maxmemory 1");
    expect_all_is_shown(w, 0);
    expect_line(w, "dead retry --all", 1, "OOM", "raise maxmemory of Redis");
}

static bool has_failed_to_save(struct world *w)
{
    char *info = redis_server_str(w->redis, "INFO persistence");
    bool failed = strstr(info, "rdb_last_bgsave_status:err") != NULL;

    free(info);
    return failed;
}

/* The folder of its snapshots has vanished. Finding a job in its lane writes for a moment
 * (store/scripts/shared/there.lua). */
static void redis_cannot_write_to_its_disk(void **state)
{
    struct world *w = *state;

    fill(w);
    assert_int_equal(shell_run(&w->shell, "mkdir $D/gone"), 0);
    redis_server_do(w->redis, "CONFIG SET save %s", "3600 1000000");
    redis_server_do(w->redis, "CONFIG SET dir %s/gone", w->shell.folder);
    assert_int_equal(shell_run(&w->shell, "rmdir $D/gone"), 0);
    redis_server_do(w->redis, "BGSAVE");
    await_until(-1, AWAIT_PATIENCE_MS, has_failed_to_save(w));
    expect_line(w, commands[0], 1, "MISCONF", "free space on the disk of Redis");
    expect_all_is_shown(w, 1);
    expect_line(w, "dead retry --all", 1, "MISCONF", "free space on the disk of Redis");
    redis_server_do(w->redis, "CONFIG SET dir %s", redis_server_folder(w->redis));
}

static void redis_is_a_replica(void **state)
{
    struct world *w = *state;

    fill(w);
    redis_server_do(w->redis, "REPLICAOF 127.0.0.1 1");
    expect_line(w, "job " JOB, 3, "this Redis has become a replica", "name its master");
    assert_int_equal(shell_run(&w->shell, "$P history"), 0);
    assert_int_equal(shell_run(&w->shell, "$P dead list"), 0);
    redis_server_do(w->redis, "CONFIG SET replica-serve-stale-data no");
    expect_lines(w, 1, "Redis refuses: MASTERDOWN", "name its master in its place");
    redis_server_do(w->redis, "REPLICAOF NO ONE");
    expect_all_is_shown(w, 0);
}

static void redis_has_too_many_clients(void **state)
{
    struct world *w = *state;

    redis_server_do(w->redis, "CONFIG SET maxclients 1");
    expect_lines(w, 3, "max number of clients reached", "(raise maxclients of Redis");
}

/* Another server reads the data of this one, with a pause for each key. */
static void redis_has_just_started(void **state)
{
    struct world *w = *state;
    unsigned port = free_port();
    char url[64];

    redis_server_do(w->redis, "DEBUG POPULATE 30000");
    redis_server_do(w->redis, "SAVE");
    assert_int_equal(
        shell_run(
            &w->shell,
            "mkdir $D/new && cp %s/dump.rdb $D/new && redis-server --port %u --bind 127.0.0.1 "
            "--dir $D/new --key-load-delay 5000 --loading-process-events-interval-bytes "
            "1024 --daemonize yes --pidfile $D/new/pid --logfile $D/new/log",
            redis_server_folder(w->redis), port),
        0);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u", port);
    await_until(-1, AWAIT_PATIENCE_MS,
                shell_run(&w->shell, "redis-cli -p %u PING 2>&1 | grep LOADING", port) == 0);
    setenv("PURGELINE_REDIS", url, 1);
    expect_lines(w, 1, "Redis refuses: LOADING", "try again when it has read its data)");
    assert_int_equal(shell_run(&w->shell, "kill -9 $(cat $D/new/pid)"), 0);
}

static int setup_movable(void **state)
{
    static struct world w;

    open_world(&w, state, "--enable-protected-configs", "yes");
    return 0;
}

static int setup_debugged(void **state)
{
    static struct world w;

    open_world(&w, state, "--enable-debug-command", "yes");
    return 0;
}

static int setup_cluster(void **state)
{
    static struct world w;

    open_world(&w, state, "--cluster-enabled", "yes");
    return 0;
}

/* No node has the slots. */
static void a_cluster_is_down(void **state)
{
    struct world *w = *state;
    char url[64];

    setenv("PURGELINE_REDIS", redis_server_url(w->redis), 1);
    expect_lines(w, 1, "CLUSTERDOWN", "bring the missing nodes of the Cluster back");
    snprintf(url, sizeof(url), "redis+cluster://127.0.0.1:%u", redis_server_port(w->redis));
    setenv("PURGELINE_REDIS", url, 1);
    expect_lines(w, 1, "CLUSTERDOWN", "bring the missing nodes of the Cluster back");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(redis_is_away),
        T(a_user_may_not_run_a_command),
        T(redis_is_out_of_memory),
        cmocka_unit_test_setup_teardown(redis_cannot_write_to_its_disk, setup_movable, teardown),
        T(redis_is_a_replica),
        T(redis_has_too_many_clients),
        cmocka_unit_test_setup_teardown(redis_has_just_started, setup_debugged, teardown),
        cmocka_unit_test_setup_teardown(a_cluster_is_down, setup_cluster, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
