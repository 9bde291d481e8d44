/* SPDX-License-Identifier: MIT
 * Clients of Fastly's API from npm (Fastly's JavaScript client and command line, Adobe's client)
 * with the endpoint. The programs in live/clients check the answers, this test checks what was sent
 * to Fastly. Skipped if npm cannot reach its registry. */
#include "http_world.h"

#define SKIPPED 77
#define PURGE_ALL "    allow_purge_all: true\n"
#define PRODUCER_OF_ALL PRODUCER "    kinds: [url, key, all]\n"
#define PRODUCER                                                                                   \
    "producers:\n  - name: cms\n    token_sha256: \"" TOKEN_SHA256 "\"\n    services: [news]\n"

static int run(const char *fmt, ...) print_like(1, 2);

static int run(const char *fmt, ...)
{
    char command[4096];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    must(n > 0 && (size_t)n < sizeof(command));
    return system(command);
}

static const char *clients(void)
{
    const char *folder = getenv("CLIENTS_DIR"); /* set by ctest */

    must(folder);
    return folder;
}

static void assert_everything_arrived(struct world *w)
{
    char key[32];

    world_assert_sent(w, "blog/2024/a:b", false);
    world_assert_sent(w, "100%", true);
    world_assert_sent(w, "json/1", false);
    world_assert_sent(w, "json-2", false);
    world_assert_sent(w, "head/1", true);
    world_assert_sent(w, "head-2", true);
    world_assert_sent(w, "www.example.com/a//b?x=1&x=2", false);
    world_assert_sent(w, "https://www.example.com/soft", true);
    for (unsigned i = 0; i < 600; i++) {
        snprintf(key, sizeof(key), "many-%u", i);
        world_assert_sent(w, key, false);
    }
    assert_int_equal(requests_naming(&w->r->requests, "no-token", ANY_STATUS), 0);
    assert_int_equal(world_count(w, "all"), 0);
}

static void the_client_of_npm_led_here_by_a_plugin_purges(void **state)
{
    struct world w = world_open(state, "", PRODUCER);

    assert_int_equal(run("NODE_PATH=%s/node_modules timeout 60 env -u FASTLY_API_TOKEN node "
                         "%s/tests/live/clients/fastly.js"
                         " plugin %s " NEWS " " TOKEN,
                         clients(), getenv("SOURCE_DIR"), http_base(w.h)),
                     0);
    assert_everything_arrived(&w);
    world_close(&w);
}

/* The client connects to the name api.fastly.com over TLS, and trusts our CA. */
static void the_client_of_npm_led_here_by_name_purges(void **state)
{
    struct world w = {.r = rig_open(state, "", "")};
    const char *d = w.r->folder, *port;
    char *global;

    assert_int_equal(
        run("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
            " -subj /CN=api.fastly.com -addext subjectAltName=DNS:api.fastly.com,IP:127.0.0.1"
            " -keyout server.key -out server.pem >openssl.log 2>&1",
            d),
        0);
    global = alloc_printf(
        HTTP_LISTENS "http: {tls_cert_file: %s/server.pem, tls_key_file: %s/server.key}\n" PRODUCER,
        d, d);
    rig_configure(w.r, "", global);
    free(global);
    instance_await_said(rig_start_leading(w.r, 0), "The HTTP endpoint listens", 1);
    global = alloc_printf("%s/server.pem", d);
    w.h = http_of(w.r, 0, "https", global);
    free(global);
    await_until(-1, AWAIT_PATIENCE_MS, http_do(w.h, "GET", "/readyz", NULL, NULL)->status == 200);
    port = strrchr(http_base(w.h), ':') + 1;
    assert_int_equal(run("NODE_EXTRA_CA_CERTS=%s/server.pem NODE_PATH=%s/node_modules timeout 60 "
                         "env -u FASTLY_API_TOKEN node"
                         " %s/tests/live/clients/fastly.js agent %s " NEWS " " TOKEN,
                         d, clients(), getenv("SOURCE_DIR"), port),
                     0);
    assert_everything_arrived(&w);
    world_close(&w);
}

static void run_cli(struct world *w, const char *more)
{
    assert_int_equal(run("timeout 120 %s/tests/live/clients/cli.sh %s/node_modules %s " NEWS
                         " " TOKEN " %s %s",
                         getenv("SOURCE_DIR"), clients(), http_base(w->h), w->r->folder, more),
                     0);
}

/* The official binary, redirected as the README describes. npm has it only for some architectures.
 */
static void the_command_line_of_fastly_purges(void **state)
{
    struct world w;
    char key[300];

    if (run("test \"$(uname -m)\" = x86_64") != 0)
        skip();
    w = world_open(state, PURGE_ALL, PRODUCER_OF_ALL);
    run_cli(&w, "");
    world_assert_sent(&w, "blog/2024?a#b", false);
    world_assert_sent(&w, "by-name", true);
    world_assert_sent(&w, "older", false);
    world_assert_sent(&w, "https://www.example.com/a//b?x=1", false);
    for (unsigned i = 1; i <= 256; i++) {
        snprintf(key, sizeof(key), "line-%0250u", i);
        world_assert_sent(&w, key, false);
    }
    run_cli(&w, "all");
    rig_await(w.r, world_count(&w, "all") == 1);
    world_close(&w);
}

static void run_adobe(struct world *w, const char *more)
{
    assert_int_equal(run("timeout 60 node %s/tests/live/clients/adobe.mjs %s/node_modules %s " NEWS
                         " " TOKEN " %s",
                         getenv("SOURCE_DIR"), clients(), http_base(w->h), more),
                     0);
}

static void the_client_of_adobe_purges(void **state)
{
    struct world w = world_open(state, PURGE_ALL, PRODUCER_OF_ALL);

    run_adobe(&w, "");
    world_assert_sent(&w, "adobe/key", false);
    world_assert_sent(&w, "adobe-soft", true);
    world_assert_sent(&w, "www.example.com/adobe//a?b=1&b=2", false);
    world_assert_sent(&w, "https://www.example.com/adobe-soft", true);
    world_assert_sent(&w, "adobe-2", false);
    world_assert_sent(&w, "adobe-3", true);
    run_adobe(&w, "all");
    rig_await(w.r, world_count(&w, "all") == 1);
    world_close(&w);
}

/* Installs the versions of the lock file, outside of the source tree. */
static int install_clients(void)
{
    const char *from = getenv("SOURCE_DIR"), *to = clients();

    if (run("mkdir -p %s && cd %s && cp %s/tests/live/clients/package*.json . && timeout 300 npm ci"
            " --ignore-scripts --no-audit --no-fund --prefer-offline --fetch-retry-mintimeout=1000 "
            ">npm.log 2>&1",
            to, to, from) == 0)
        return 0;
    if (run("cd %s && timeout 60 npm ping --fetch-retries=0 >ping.log 2>&1", to) == 0 ||
        run("node --version >/dev/null && command -v npm >/dev/null") != 0) {
        (void)run("tail -n 20 %s/npm.log >&2", to);
        return 1;
    }
    fprintf(stderr, "skipped: npm cannot reach its registry, and its cache lacks a client\n");
    return SKIPPED;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(the_client_of_npm_led_here_by_a_plugin_purges),
        rig_test(the_client_of_npm_led_here_by_name_purges),
        rig_test(the_command_line_of_fastly_purges),
        rig_test(the_client_of_adobe_purges),
    };
    int code = install_clients();

    return code ? code : cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
