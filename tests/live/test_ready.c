/* SPDX-License-Identifier: MIT
 * `purgeline ready`, the health check of containers. */
#include "free_port.h"
#include "http_world.h"
#include "shell.h"

struct checked {
    struct rig *r;
    struct shell shell;
    unsigned port;
};

static struct checked open_checked(void **state)
{
    struct checked c = {.r = rig_open(state, "", ""), .port = free_port()};

    shell_open(&c.shell);
    return c;
}

static void close_checked(struct checked *c)
{
    shell_close(&c->shell);
    rig_close(c->r);
}

/* Starts it, and waits until it is ready. Takes the lines. */
static void serve(struct checked *c, char *lines)
{
    rig_configure(c->r, "", lines);
    free(lines);
    rig_start_leading(c->r, 0);
    instance_await_said(&c->r->instances[0], "The HTTP endpoint listens", 1);
}

static int ask(struct checked *c, const char *options)
{
    return shell_run(&c->shell, "$P ready --config %s %s", c->r->config, options);
}

static void await_ready(struct checked *c)
{
    rig_await(c->r, ask(c, "") == 0);
    assert_string_equal(c->shell.out, "ok\n");
    assert_string_equal(c->shell.err, "");
}

static void it_is_ready_when_the_endpoint_says_so(void **state)
{
    struct checked c = open_checked(state);

    serve(&c, alloc_printf("listen: 127.0.0.1:%u\n", c.port));
    await_ready(&c);
    assert_int_equal(ask(&c, "--json"), 0);
    assert_string_equal(c.shell.out, "{\"status\":\"ok\"}\n");
    close_checked(&c);
}

static void without_redis_it_is_not_ready_but_alive(void **state)
{
    struct checked c = open_checked(state);

    serve(&c, alloc_printf("listen: 127.0.0.1:%u\n", c.port));
    await_ready(&c);
    redis_server_kill(c.r->redis);
    rig_await(c.r, ask(&c, "") == 1);
    shell_assert_err(&c.shell, "purgeline ready: ");
    shell_assert_err(&c.shell, "Redis");
    assert_int_equal(ask(&c, "--json"), 1);
    assert_int_equal(ask(&c, "--live"), 0);
    redis_server_restart(c.r->redis);
    await_ready(&c);
    close_checked(&c);
}

static void without_a_daemon_it_names_the_address_that_it_asked(void **state)
{
    struct checked c = open_checked(state);
    char *lines = alloc_printf("listen: 127.0.0.1:%u\n", c.port), *url;

    rig_configure(c.r, "", lines);
    assert_int_equal(ask(&c, ""), 1);
    url = alloc_printf("http://127.0.0.1:%u/readyz", c.port);
    shell_assert_err(&c.shell, url);
    free(lines);
    free(url);
    close_checked(&c);
}

static void an_endpoint_on_all_addresses_is_asked_over_loopback(void **state)
{
    struct checked c = open_checked(state);

    serve(&c, alloc_printf("listen: 0.0.0.0:%u\n" CMS, c.port));
    await_ready(&c);
    rig_stop(c.r, 0);
    serve(&c, alloc_printf("listen: \"[::]:%u\"\n" CMS, c.port));
    await_ready(&c);
    close_checked(&c);
}

static void a_unix_socket_is_asked_too(void **state)
{
    struct checked c = open_checked(state);

    serve(&c, alloc_printf("listen: unix:%s/http.sock\n", c.r->folder));
    await_ready(&c);
    rig_stop(c.r, 0);
    assert_int_equal(ask(&c, ""), 1);
    shell_assert_err(&c.shell, "/http.sock: ");
    close_checked(&c);
}

/* The certificate names a host that is not loopback. */
static void with_tls_no_certificate_authority_is_needed(void **state)
{
    struct checked c = open_checked(state);

    assert_int_equal(shell_run(&c.shell,
                               "cd %s && openssl req -x509 -newkey ec -pkeyopt "
                               "ec_paramgen_curve:P-256 -nodes -keyout key -out pem -days 2 "
                               "-subj /CN=purge.example.com",
                               c.r->folder),
                     0);
    serve(&c, alloc_printf("listen: 127.0.0.1:%u\nhttp:\n  tls_cert_file: %s/pem\n"
                           "  tls_key_file: %s/key\n",
                           c.port, c.r->folder, c.r->folder));
    await_ready(&c);
    rig_stop(c.r, 0);
    serve(&c, alloc_printf("listen: unix:%s/http.sock\nhttp:\n  tls_cert_file: %s/pem\n"
                           "  tls_key_file: %s/key\n",
                           c.r->folder, c.r->folder, c.r->folder));
    await_ready(&c); /* sockets speak no TLS */
    close_checked(&c);
}

static void a_proxy_of_the_environment_is_not_used(void **state)
{
    struct checked c = open_checked(state);

    serve(&c, alloc_printf("listen: 127.0.0.1:%u\n", c.port));
    await_ready(&c);
    assert_int_equal(
        shell_run(&c.shell, "http_proxy=http://127.0.0.1:1 $P ready -c %s", c.r->config), 0);
    close_checked(&c);
}

static void what_cannot_be_asked_is_a_mistake(void **state)
{
    struct checked c = open_checked(state);

    rig_configure(c.r, "", HTTP_LISTENS);
    assert_int_equal(ask(&c, ""), 2);
    shell_assert_err(&c.shell, "listen has port 0");
    assert_int_equal(ask(&c, "--timeout 0s"), 2);
    shell_assert_err(&c.shell, "--timeout: expected a time from 1ms to 1h, not '0s'");
    assert_int_equal(ask(&c, "now"), 2);
    shell_assert_err(&c.shell, "unexpected argument 'now'");
    assert_int_equal(shell_run(&c.shell, "$P ready -c %s/none.yaml", c.r->folder), 2);
    close_checked(&c);
}

/* Its connection is accepted, but nobody answers. */
static void a_daemon_that_does_not_answer_is_waited_for_no_longer_than_allowed(void **state)
{
    struct checked c = open_checked(state);
    char *lines = alloc_printf("listen: 127.0.0.1:%u\n", c.port);

    rig_configure(c.r, "", lines);
    free(lines);
    assert_int_equal(
        shell_run(
            &c.shell,
            "python3 -c 'import socket, subprocess, sys\n"
            "s = socket.create_server((\"127.0.0.1\", %u))\n"
            "sys.exit(subprocess.call([\"'$P'\", \"ready\", \"--timeout\", \"300ms\", \"-c\", "
            "\"%s\"]))'",
            c.port, c.r->config),
        1);
    shell_assert_err(&c.shell, "timed out");
    close_checked(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(it_is_ready_when_the_endpoint_says_so),
        rig_test(without_redis_it_is_not_ready_but_alive),
        rig_test(without_a_daemon_it_names_the_address_that_it_asked),
        rig_test(an_endpoint_on_all_addresses_is_asked_over_loopback),
        rig_test(a_unix_socket_is_asked_too),
        rig_test(with_tls_no_certificate_authority_is_needed),
        rig_test(a_proxy_of_the_environment_is_not_used),
        rig_test(what_cannot_be_asked_is_a_mistake),
        rig_test(a_daemon_that_does_not_answer_is_waited_for_no_longer_than_allowed),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
