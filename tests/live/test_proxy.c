/* SPDX-License-Identifier: MIT
 * api_proxy: the daemon and check connect to the API through an egress proxy. */
#include "free_port.h"
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "alloc.h"
#include "egress.h"
#include "shell.h"
#include "web.h"

#define USER "purge"
#define PASSWORD "pa-ss_word-1"

static struct world {
    struct rig *r;
    struct egress egress;
    struct web web;
    struct shell shell;
    char *auth;
} w;

static unsigned api_port(void)
{
    return (unsigned)strtoul(strrchr(sandbox_api(w.r->sandbox), ':') + 1, NULL, 10);
}

static void write_auth(const char *text)
{
    FILE *f = fopen(w.auth, "w");

    must(f && fputs(text, f) >= 0 && fclose(f) == 0);
    must(chmod(w.auth, 0600) == 0);
}

static void configure(const char *scheme, unsigned port, const char *more)
{
    char *lines = alloc_printf("    api_proxy: %s127.0.0.1:%u\n"
                               "    api_proxy_auth_file: %s\n%s",
                               scheme, port, w.auth, more);

    rig_configure(w.r, lines, "");
    free(lines);
}

static void begin(void **state)
{
    w.r = rig_open(state, "", "");
    w.auth = alloc_printf("%s/proxy-auth", w.r->folder);
    egress_start(&w.egress, api_port(), USER " " PASSWORD);
    write_auth(USER ":" PASSWORD "\n");
    configure("http://", w.egress.port, "");
    shell_open(&w.shell);
}

static void finish(void)
{
    rig_close(w.r);
    w.r = NULL;
}

static int teardown(void **state)
{
    egress_stop(&w.egress);
    if (w.web.pid)
        web_stop(&w.web);
    if (*w.shell.folder)
        shell_close(&w.shell);
    free(w.auth);
    w = (struct world){0};
    return rig_teardown(state);
}

static void check(int code, const char *environment)
{
    assert_int_equal(shell_run(&w.shell, "%s $P check --config %s", environment, w.r->config),
                     code);
}

/* -- tests ----------------------------------------------------------------------------------- */

static void daemon_and_check_go_by_the_proxy(void **state)
{
    struct job j;
    size_t before;

    begin(state);
    rig_start_leading(w.r, 0);
    j = rig_push(w.r, "normal", "keys", "a", NULL);
    rig_await_ended(w.r, &j, "purged");
    before = egress_tunnels(&w.egress);
    assert_true(before >= 1);
    check(0, "");
    assert_true(egress_tunnels(&w.egress) > before);
    assert_false(egress_said(&w.egress, sandbox_token(w.r->sandbox)));
    finish();
}

/* In an older version, the daemon ignored the environment but check used it. */
static void the_environment_says_nothing_unless_it_is_asked(void **state)
{
    char *to_nobody, *to_us, *log;
    const char *env[] = {NULL, NULL};
    struct job j;

    begin(state);
    to_nobody = alloc_printf("https_proxy=http://127.0.0.1:%u", free_port());
    to_us = alloc_printf("https_proxy=http://" USER ":" PASSWORD "@127.0.0.1:%u", w.egress.port);
    rig_configure(w.r, "", "");
    env[0] = to_nobody;
    log = alloc_printf("%s/instance.log", w.r->folder);
    instance_start(&w.r->instances[0], w.r->config, env, log);
    j = rig_push(w.r, "normal", "keys", "a", NULL);
    rig_await_ended(w.r, &j, "purged");
    check(0, to_nobody);
    assert_int_equal(egress_tunnels(&w.egress), 0);
    rig_stop(w.r, 0);

    rig_configure(w.r, "    api_proxy: env\n", "");
    env[0] = to_us;
    instance_start(&w.r->instances[0], w.r->config, env, log);
    j = rig_push(w.r, "normal", "keys", "b", NULL);
    rig_await_ended(w.r, &j, "purged");
    assert_true(egress_tunnels(&w.egress) >= 1);
    check(0, to_us);
    check(1, to_nobody);
    shell_assert_out(&w.shell, "by the proxy of the environment");
    free(to_nobody);
    free(to_us);
    free(log);
    finish();
}

static void reload(void)
{
    size_t before = instance_said(&w.r->instances[0], "were reloaded");

    instance_signal(&w.r->instances[0], SIGHUP);
    instance_await_said(&w.r->instances[0], "were reloaded", before + 1);
}

/* A problem with the proxy is logged with a reason, costs no attempt, and loses no job. */
static void an_unknown_user_is_said_and_the_right_one_taken_by_a_reload(void **state)
{
    struct job j;

    begin(state);
    configure("http://", w.egress.port, "    attempts: 1\n");
    write_auth(USER ":wrong");
    rig_start_leading(w.r, 0);
    rig_push_keys(w.r, "normal", "k", 0, 300);
    j = rig_push(w.r, "normal", "keys", "a", NULL);
    check(1, "");
    shell_assert_out(&w.shell, "wants a user and password that it knows (40");
    for (int i = 0; i < 12; i++) { /* failures are logged only after several in a row */
        char url[64];

        snprintf(url, sizeof(url), "https://www.example.com/%d", i);
        (void)rig_push(w.r, "urgent", "url", url, NULL);
    }
    instance_await_said(&w.r->instances[0], "wants a user and password that it knows (40", 1);
    write_auth(USER ":" PASSWORD);
    reload();
    rig_await_ended(w.r, &j, "purged");
    rig_await_empty(w.r);
    assert_int_equal(rig_dead_count(w.r), 0);
    assert_int_equal(instance_said(&w.r->instances[0], PASSWORD), 0);
    check(0, "");
    finish();
}

static void a_proxy_that_refuses_or_is_away_is_said_and_loses_nothing(void **state)
{
    char away[64];

    begin(state);
    configure("http://", w.egress.port, "    attempts: 1\n");
    egress_kill(&w.egress);
    w.egress.to = 1;
    egress_restart(&w.egress);
    rig_start_leading(w.r, 0);
    for (int i = 0; i < 12; i++) {
        char url[64];

        snprintf(url, sizeof(url), "https://www.example.com/%d", i);
        (void)rig_push(w.r, "urgent", "url", url, NULL);
    }
    check(1, "");
    shell_assert_out(&w.shell, "refuses to connect to the API: status 403");
    instance_await_said(&w.r->instances[0], "refuses to connect to the API: status 403", 1);

    egress_kill(&w.egress);
    snprintf(away, sizeof(away), "by the proxy http://127.0.0.1:%u: Failed to connect",
             w.egress.port);
    check(1, "");
    shell_assert_out(&w.shell, away);
    instance_await_said(&w.r->instances[0], away, 1);
    w.egress.to = api_port();
    egress_restart(&w.egress);
    rig_await_empty(w.r);
    assert_int_equal(rig_dead_count(w.r), 0);
    finish();
}

static void a_proxy_may_be_reached_by_tls_and_must_prove_itself(void **state)
{
    char cert[96], key[96], *more;
    struct job j;

    begin(state);
    web_start(&w.web); /* only for its certificate */
    snprintf(cert, sizeof(cert), "%s/leaf.pem", w.web.dir);
    snprintf(key, sizeof(key), "%s/leaf.key", w.web.dir);
    egress_add_tls(&w.egress, cert, key);
    configure("https://", w.egress.tls_port, "");
    check(1, "");
    shell_assert_out(&w.shell, "by the proxy https://127.0.0.1");
    assert_int_equal(egress_tunnels(&w.egress), 0);
    more = alloc_printf("    api_proxy_ca_file: %s\n", w.web.ca);
    configure("https://", w.egress.tls_port, more);
    free(more);
    check(0, "");
    rig_start_leading(w.r, 0);
    j = rig_push(w.r, "normal", "keys", "a", NULL);
    rig_await_ended(w.r, &j, "purged");
    assert_true(egress_tunnels(&w.egress) >= 2);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(daemon_and_check_go_by_the_proxy, teardown),
        cmocka_unit_test_teardown(the_environment_says_nothing_unless_it_is_asked, teardown),
        cmocka_unit_test_teardown(an_unknown_user_is_said_and_the_right_one_taken_by_a_reload,
                                  teardown),
        cmocka_unit_test_teardown(a_proxy_that_refuses_or_is_away_is_said_and_loses_nothing,
                                  teardown),
        cmocka_unit_test_teardown(a_proxy_may_be_reached_by_tls_and_must_prove_itself, teardown),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
