/* SPDX-License-Identifier: MIT
 * url_mode: direct with real sites: which of them get the API token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "await.h"
#include "buf.h"
#include "file.h"
#include "instance.h"
#include "redis_server.h"
#include "web.h"

#define TOKEN "s3cret-token-of-the-api"
#define STOP_PATIENCE_MS 20000u
#define LOG_MAX_BYTES (1024 * 1024)

static struct world {
    struct web web;
    struct redis_server *redis;
    struct instance daemon;
    char *config;
    char *said; /* the daemon's log file */
} w;

/* -- the world ------------------------------------------------------------------------------- */

/* How many times the file contains the text. */
static size_t times(const char *path, const char *text)
{
    struct buf b;
    size_t n = 0;

    buf_init(&b, LOG_MAX_BYTES);
    if (file_read(path, &b) == 0 && b.n)
        for (const char *p = b.p; (p = strstr(p, text)); p += strlen(text))
            n++;
    buf_deinit(&b);
    return n;
}

static void configure(const char *token_hosts)
{
    FILE *f = fopen(w.config, "w");

    must(f);
    fprintf(f,
            "redis: %s\nlisten: \"\"\naccounts:\n  - api: https://127.0.0.1:%u\n"
            "    ca_file: %s\n    url_mode: direct\n    attempts: 2\n"
            "    api_proxy: http://127.0.0.1:%u\n" /* unused port: sites must not be requested
                                                      through it */
            "    direct_hosts: [\"127.0.0.1:%u\", \"127.0.0.1:%u\", \"127.0.0.1:%u\", "
            "\"127.0.0.1:%u\", \"localhost:%u\"]\n"
            "    direct_token_hosts: [%s]\n",
            redis_server_unix_url(w.redis), w.web.nobody, w.web.ca, w.web.nobody, w.web.h2,
            w.web.h1, w.web.plain, w.web.few, w.web.h2, token_hosts);
    must(fclose(f) == 0);
}

static void begin(const char *token_hosts)
{
    static const char *const env[] = {"FASTLY_API_TOKEN=" TOKEN, NULL};

    web_start(&w.web);
    w.redis = redis_server_start(NULL, NULL);
    w.config = alloc_printf("%s/purgeline.yaml", w.web.dir);
    w.said = alloc_printf("%s/daemon.log", w.web.dir);
    configure(token_hosts);
    instance_start(&w.daemon, w.config, env, w.said);
    instance_await_said(&w.daemon, "leads the account", 1);
}

static int end(void **state)
{
    (void)state;
    instance_deinit(&w.daemon);
    redis_server_stop(w.redis);
    web_stop(&w.web);
    free(w.config);
    free(w.said);
    w = (struct world){0};
    return 0;
}

static void stop(void)
{
    instance_signal(&w.daemon, SIGTERM);
    assert_int_equal(instance_wait(&w.daemon, STOP_PATIENCE_MS), 0);
    assert_int_equal(times(w.said, TOKEN), 0);
}

/* Purges "<scheme>127.0.0.1:<port><target>", waits for the end, and returns the state. Allocated
 * with malloc. */
static char *purge(const char *scheme, const char *host, uint16_t port, const char *target)
{
    char *url = alloc_printf("%s%s:%u%s", scheme, host, port, target), *id, *receipt;

    id = redis_server_str(w.redis, "XADD purgeline:{main}:jobs:normal * url %s", url);
    await_until(-1, AWAIT_PATIENCE_MS,
                redis_server_int(w.redis, "EXISTS purgeline:{main}:receipt:normal-%s", id) == 1);
    receipt = redis_server_str(w.redis, "GET purgeline:{main}:receipt:normal-%s", id);
    free(url);
    free(id);
    return receipt;
}

static void ends_as(char *receipt, const char *text)
{
    if (!strstr(receipt, text))
        fail_msg("expected %s in %s", text, receipt);
    free(receipt);
}

/* Waits for this line in the site's log, which is written after the response. */
static void site_saw(uint16_t port, const char *what)
{
    char line[256];

    snprintf(line, sizeof(line), "%u %s", port, what);
    await_until(-1, AWAIT_PATIENCE_MS, times(w.web.log, line) >= 1);
}

/* -- tests ----------------------------------------------------------------------------------- */

static void no_site_is_shown_the_token_by_default(void **state)
{
    (void)state;
    begin("");
    ends_as(purge("https://", "127.0.0.1", w.web.h2, "/a"), "\"purged\"");
    ends_as(purge("https://", "127.0.0.1", w.web.h1, "/b"), "\"purged\"");
    ends_as(purge("http://", "127.0.0.1", w.web.plain, "/c"), "\"purged\"");
    ends_as(purge("", "127.0.0.1", w.web.h2, "/d"), "\"purged\"");
    site_saw(w.web.h2, "HTTP/2.0 /a key=- agent=purgeline/");
    site_saw(w.web.h1, "HTTP/1.1 /b key=- agent=purgeline/");
    site_saw(w.web.plain, "HTTP/1.1 /c key=- agent=purgeline/");
    site_saw(w.web.h2, "HTTP/2.0 /d key=- agent=purgeline/");
    assert_int_equal(times(w.web.log, TOKEN), 0);
    stop();
}

static void a_listed_site_is_shown_the_token_over_https_and_never_over_http(void **state)
{
    char *hosts;

    (void)state;
    begin("");
    hosts = alloc_printf("\"127.0.0.1:%u\", \"127.0.0.1:%u\", \"127.0.0.1:%u\"", w.web.h2, w.web.h1,
                         w.web.plain);
    configure(hosts);
    free(hosts);
    instance_signal(&w.daemon, SIGHUP);
    instance_await_said(&w.daemon, "were reloaded", 1);
    ends_as(purge("https://", "127.0.0.1", w.web.h2, "/a"), "\"purged\"");
    ends_as(purge("https://", "127.0.0.1", w.web.h1, "/b"), "\"purged\"");
    ends_as(purge("", "127.0.0.1", w.web.h1, "/c"), "\"purged\"");
    ends_as(purge("http://", "127.0.0.1", w.web.plain, "/d"), "direct_token_hosts");
    ends_as(purge("http://", "127.0.0.1", w.web.h2, "/d"), "direct_token_hosts");
    ends_as(purge("https://", "127.0.0.1", w.web.few, "/e"), "\"purged\"");
    site_saw(w.web.h2, "HTTP/2.0 /a key=" TOKEN);
    site_saw(w.web.h1, "HTTP/1.1 /b key=" TOKEN);
    site_saw(w.web.h1, "HTTP/1.1 /c key=" TOKEN);
    site_saw(w.web.few, "HTTP/2.0 /e key=- ");
    assert_int_equal(times(w.web.log, "/d"), 0);
    assert_int_equal(times(w.web.log, TOKEN), 3);

    configure(""); /* removed again, which also affects open connections */
    instance_signal(&w.daemon, SIGHUP);
    instance_await_said(&w.daemon, "were reloaded", 2);
    ends_as(purge("https://", "127.0.0.1", w.web.h2, "/f"), "\"purged\"");
    site_saw(w.web.h2, "HTTP/2.0 /f key=- ");
    stop();
}

static void neither_a_redirect_nor_a_retry_takes_the_token_elsewhere(void **state)
{
    char *hosts;

    (void)state;
    begin("");
    hosts = alloc_printf("\"127.0.0.1:%u\"", w.web.h1);
    configure(hosts);
    free(hosts);
    instance_signal(&w.daemon, SIGHUP);
    instance_await_said(&w.daemon, "were reloaded", 1);
    ends_as(purge("https://", "127.0.0.1", w.web.h1, "/r?do=redirect"), "\"dead\"");
    ends_as(purge("https://", "127.0.0.1", w.web.h1, "/s?do=cut"), "\"dead\"");
    site_saw(w.web.h1, "HTTP/1.1 /r?do=redirect key=" TOKEN);
    assert_int_equal(times(w.web.log, "/elsewhere"), 0);
    await_until(-1, AWAIT_PATIENCE_MS, times(w.web.log, "/s?do=cut key=" TOKEN) == 2);
    stop();
}

/* A name may resolve to another address tomorrow; an address in the configuration is explicit. */
static void a_listed_name_that_resolves_to_a_private_address_is_not_contacted(void **state)
{
    (void)state;
    begin("");
    ends_as(purge("https://", "localhost", w.web.h2, "/a"), "private");
    assert_int_equal(times(w.web.log, "/a"), 0);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(no_site_is_shown_the_token_by_default, end),
        cmocka_unit_test_teardown(a_listed_site_is_shown_the_token_over_https_and_never_over_http,
                                  end),
        cmocka_unit_test_teardown(neither_a_redirect_nor_a_retry_takes_the_token_elsewhere, end),
        cmocka_unit_test_teardown(a_listed_name_that_resolves_to_a_private_address_is_not_contacted,
                                  end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
