/* SPDX-License-Identifier: MIT
 * Ways in which secrets can leak from a process: its children, its TLS libraries, the permissions
 * of its files. */
#include "http_world.h"
#include "shell.h"
#include "web.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static void put(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* -- the environment of children ------------------------------------------------------------- */

/* A fake redis-server that first saves its environment, which the real one overwrites. */
static void the_embedded_redis_does_not_inherit_the_token(void **state)
{
    struct rig *r = rig_open(state, "", "");
    char *data = alloc_printf("PURGELINE_DATA_DIR=%s/data", r->folder);
    char *path = alloc_printf("PATH=%s:%s", r->folder, getenv("PATH"));
    char *log = alloc_printf("%s/embedded.log", r->folder), *program, *text;
    const char *env[] = {data,         path, "PURGELINE_LISTEN=", "FASTLY_SERVICE_ID=" NEWS,
                         "A_SECRET=x", NULL};
    struct shell shell;

    program = alloc_printf("%s/redis-server", r->folder);
    text = alloc_printf("#!/bin/sh\nenv >%s/inherited\nPATH=${PATH#*:}\nexec redis-server \"$@\"\n",
                        r->folder);
    put(program, text, 0755);
    instance_start(&r->instances[0], NULL, env, log);
    instance_await_said(&r->instances[0], "leads the account", 1);
    shell_open(&shell);
    assert_int_equal(shell_run(&shell, "cat %s/inherited", r->folder), 0);
    shell_assert_out(&shell, "PATH=");
    assert_null(strstr(shell.out, sandbox_token(r->sandbox)));
    assert_null(strstr(shell.out, "FASTLY"));
    assert_null(strstr(shell.out, "A_SECRET"));
    shell_close(&shell);
    free(data);
    free(path);
    free(log);
    free(program);
    free(text);
    rig_close(r);
}

/* -- TLS session keys ------------------------------------------------------------------------- */

/* libcurl and GnuTLS both write this file. With tcpdump, it would reveal the token. */
static void keys_of_tls_connections_are_written_nowhere(void **state)
{
    struct web web = {0};
    struct rig *r;
    char *lines, *keylog, *log;
    const char *env[] = {NULL, NULL};
    struct shell shell;
    struct http *h;
    struct job j;

    web_start(&web); /* only for its certificate */
    assert_int_equal(chmod(web.ca, 0644), 0);
    lines = alloc_printf(HTTP_LISTENS "http: {tls_cert_file: %s/leaf.pem, "
                                      "tls_key_file: %s/leaf.key}\n" CMS,
                         web.dir, web.dir);
    r = rig_open(state, "", lines);
    keylog = alloc_printf("SSLKEYLOGFILE=%s/keys", r->folder);
    log = alloc_printf("%s/instance.log", r->folder);
    env[0] = keylog;
    instance_start(&r->instances[0], r->config, env, log);
    instance_await_said(&r->instances[0], "leads the account", 1);
    h = http_of(r, 0, "https", web.ca);
    http_expect(h, 202, "POST", "/v1/purge", "{\"keys\":[\"a\"]}", KEY_HEADER, NULL);
    j = rig_push(r, "normal", "keys", "b", NULL);
    rig_await_ended(r, &j, "purged");
    shell_open(&shell);
    assert_int_equal(shell_run(&shell, "%s $P check --config %s", keylog, r->config), 0);
    assert_int_equal(access(strchr(keylog, '=') + 1, F_OK), -1);
    assert_int_equal(errno, ENOENT);
    shell_close(&shell);
    http_close(h);
    free(lines);
    free(keylog);
    free(log);
    rig_close(r);
    web_stop(&web);
}

/* -- permissions of files --------------------------------------------------------------------- */

static void a_token_file_that_others_may_read_is_said_and_one_they_may_change_refused(void **state)
{
    struct rig *r = rig_open(state, "", "");
    char *token = alloc_printf("%s/token", r->folder), *lines;
    struct shell shell;
    struct job j;

    lines = alloc_printf("    token_file: %s\n", token);
    rig_configure(r, lines, "");
    put(token, sandbox_token(r->sandbox), 0644);
    rig_start_leading(r, 0);
    instance_await_said(&r->instances[0], "setting=accounts[0].token_file", 1);
    assert_int_equal(instance_said(&r->instances[0], "what=\"others may read\""), 1);
    shell_open(&shell);
    assert_int_equal(shell_run(&shell, "$P check --config %s", r->config), 0);
    shell_assert_out(&shell, "warn  privacy: accounts[0].token_file: others may read");
    rig_stop(r, 0);

    put(token, sandbox_token(r->sandbox),
        0440); /* the mode that systemd and configuration management use */
    rig_start_leading(r, 0);
    assert_int_equal(shell_run(&shell, "$P check --config %s", r->config), 0);
    assert_null(strstr(shell.out, "privacy"));
    assert_int_equal(instance_said(&r->instances[0], "should be private"), 1);

    put(token, sandbox_token(r->sandbox), 0646);
    assert_int_equal(shell_run(&shell, "$P check --config %s", r->config), 1);
    shell_assert_out(&shell, "anybody may change it, so it is not read");
    instance_signal(&r->instances[0], SIGHUP);
    instance_await_said(&r->instances[0], "The account has no token", 1);
    put(token, sandbox_token(r->sandbox), 0640);
    instance_signal(&r->instances[0], SIGHUP);
    instance_await_said(&r->instances[0], "were reloaded", 2);
    j = rig_push(r, "normal", "keys", "a", NULL);
    rig_await_ended(r, &j, "purged");
    shell_close(&shell);
    free(token);
    free(lines);
    rig_close(r);
}

static void a_data_folder_that_anybody_may_change_gets_no_redis(void **state)
{
    struct rig *r = rig_open(state, "", "");
    char *data = alloc_printf("%s/data", r->folder), *env0, *log;
    const char *env[] = {NULL, "PURGELINE_LISTEN=", "FASTLY_SERVICE_ID=" NEWS, NULL};

    env[0] = env0 = alloc_printf("PURGELINE_DATA_DIR=%s", data);
    log = alloc_printf("%s/embedded.log", r->folder);
    assert_int_equal(mkdir(data, 0700), 0);
    assert_int_equal(chmod(data, 01777), 0);
    instance_start(&r->instances[0], NULL, env, log);
    assert_int_equal(instance_wait(&r->instances[0], AWAIT_PATIENCE_MS), 1);
    assert_int_equal(instance_said(&r->instances[0], "Other users may write to the data folder"),
                     1);
    assert_int_equal(chmod(data, 0755), 0);
    instance_start(&r->instances[0], NULL, env, log);
    instance_await_said(&r->instances[0], "leads the account", 1);
    assert_int_equal(instance_said(&r->instances[0], "setting=data_dir"), 2);
    free(env0);
    free(data);
    free(log);
    rig_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(the_embedded_redis_does_not_inherit_the_token),
        rig_test(keys_of_tls_connections_are_written_nowhere),
        rig_test(a_token_file_that_others_may_read_is_said_and_one_they_may_change_refused),
        rig_test(a_data_folder_that_anybody_may_change_gets_no_redis),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
