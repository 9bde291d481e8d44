/* SPDX-License-Identifier: MIT
 * Producers whose programs cannot send a token are identified by their network address. */
#include "free_port.h"
#include "http_world.h"
#include "rawhttp.h"

#define PRESS                                                                                      \
    "  - name: press\n    from: [127.0.0.2, \"fd00::/8\", unix]\n    kinds: [url]\n"               \
    "    hosts: [www.gov.uk, shop.example.com, blog.example.com]\n"
#define STRANGER "127.0.0.1"
#define FRIEND "127.0.0.2"

/* The two requests that GOV.UK sends for each page: app/services/fastly_clearer.rb and purger.rb of
 * https://github.com/alphagov/cache-clearing-service , as sent by Ruby's Net::HTTP. */
#define GOVUK_HEADERS                                                                              \
    "Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3\r\n"                                 \
    "Accept: */*\r\n"                                                                              \
    "User-Agent: Ruby\r\n"                                                                         \
    "Fastly-Soft-Purge: 1\r\n"                                                                     \
    "Host: www.gov.uk\r\n\r\n"
#define GOVUK "PURGE /government/news HTTP/1.1\r\n" GOVUK_HEADERS
#define GOVUK_ACCOUNT                                                                              \
    "PURGE /government/news HTTP/1.1\r\n"                                                          \
    "Cookie: __Host-govuk_account_session=1\r\n" GOVUK_HEADERS
/* The purge of a page by Magento's module for Fastly, Model/Api.php (cleanUrl) of
 * https://github.com/fastly/fastly-magento2 , as sent by src/Client.php of
 * https://github.com/laminas/laminas-http . The token consists of its expiry time and an HMAC-SHA1
 * over the service id. It is meant for VCL, and is not a token of ours. */
#define MAGENTO                                                                                    \
    "PURGE /a-product.html HTTP/1.1\r\n"                                                           \
    "Host: shop.example.com\r\n"                                                                   \
    "Connection: close\r\n"                                                                        \
    "Accept-Encoding: gzip, deflate\r\n"                                                           \
    "User-Agent: Laminas_Http_Client\r\n"                                                          \
    "X-Purge-Token: 1700000005_bb35dbbb9ba278ec55aefe338efe00cec6ebd236\r\n"                       \
    "Fastly-Soft-Purge: 1\r\n\r\n"
/* The same request of older versions of the module, which use PHP's curl. */
#define MAGENTO_CURL                                                                               \
    "PURGE /another-product.html HTTP/1.1\r\n"                                                     \
    "Host: shop.example.com\r\n"                                                                   \
    "Accept: */*\r\n"                                                                              \
    "X-Purge-Token: 1700000005_3c30819d64e6af4202e689c9430d83a0e29390e1\r\n\r\n"

/* Magento itself treats every server that it purges as a Varnish:
 * CacheInvalidate/Model/PurgeCache.php of https://github.com/magento/magento2 . */
#define MAGENTO_PATTERN                                                                            \
    "PURGE / HTTP/1.1\r\n"                                                                         \
    "X-Magento-Tags-Pattern: ((^|,)cat_p_7(,|$))|((^|,)cat_p(,|$))\r\n"                            \
    "Host: shop.example.com\r\n\r\n"

#define MAGENTO_POOL "PURGE / HTTP/1.1\r\nX-Pool: cf\r\nHost: shop.example.com\r\n\r\n"

/* WP Rocket's add-on for Varnish empties the cache so, and purges a page with "default":
 * inc/functions/varnish.php of https://github.com/wp-media/wp-rocket . */
#define ROCKET(path, method)                                                                       \
    "PURGE " path " HTTP/1.1\r\n"                                                                  \
    "X-Purge-Method: " method "\r\n"                                                               \
    "Host: blog.example.com\r\n\r\n"

struct place {
    struct rig *r;
    char *socket, *token;
    unsigned port;
};

static void configure(struct place *p, const char *producers)
{
    char *all = alloc_printf("listen: [127.0.0.1:%u, unix:%s]\nproducers:\n%s%s", p->port,
                             p->socket, producers, p->token);

    rig_configure(p->r, "", all);
    free(all);
}

/* The endpoint listens before it is connected to Redis. */
static bool is_ready(const struct place *p)
{
    struct rawhttp r;
    int status;

    rawhttp_open_from(&r, STRANGER, p->port);
    rawhttp_say(&r, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    status = rawhttp_await_any(&r);
    rawhttp_close(&r);
    return status == 200;
}

static struct place open_place(void **state)
{
    struct place p = {.r = rig_open(state, "", ""),
                      .port = free_port(),
                      .token = world_producer("cms", TOKEN, "")};

    p.socket = alloc_printf("%s/http.sock", p.r->folder);
    configure(&p, PRESS);
    rig_start_leading(p.r, 0);
    instance_await_said(&p.r->instances[0], "The HTTP endpoint listens", 1);
    await_until(-1, AWAIT_PATIENCE_MS, is_ready(&p));
    return p;
}

static void close_place(struct place *p)
{
    rig_close(p->r);
    free(p->socket);
    free(p->token);
}

static void say(const struct place *p, const char *from, int status, const char *bytes)
{
    struct rawhttp r;
    int got;

    if (from)
        rawhttp_open_from(&r, from, p->port);
    else
        rawhttp_open_unix(&r, p->socket);
    rawhttp_send(&r, bytes, strlen(bytes));
    got = rawhttp_await_any(&r);
    if (got != status)
        fail_msg("%d and not %d from %s: %s", got, status, from ? from : "unix", bytes);
    rawhttp_close(&r);
}

static char *push_key(const char *header)
{
    return alloc_printf("POST /v1/purge HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: 14\r\n\r\n"
                        "{\"keys\":[\"a\"]}",
                        header);
}

static void say_push(const struct place *p, const char *from, int status, const char *header)
{
    char *bytes = push_key(header);

    say(p, from, status, bytes);
    free(bytes);
}

static void await_purge(const struct place *p, const char *url, bool soft)
{
    rig_await(p->r, requests_naming(&p->r->requests, url, 200) == 1);
    assert_int_equal(requests_find(&p->r->requests, url, 0)->soft, soft);
}

static void a_purge_without_any_token_is_taken_from_where_it_may_come(void **state)
{
    struct place p = open_place(state);

    say(&p, STRANGER, 401, GOVUK);
    say(&p, STRANGER, 401, MAGENTO);
    say(&p, FRIEND, 200, GOVUK);
    say(&p, FRIEND, 200, MAGENTO);
    say(&p, FRIEND, 200, MAGENTO_CURL);
    await_purge(&p, "www.gov.uk/government/news", true);
    await_purge(&p, "shop.example.com/a-product.html", true);
    await_purge(&p, "shop.example.com/another-product.html", false);
    requests_forget(&p.r->requests);
    say(&p, FRIEND, 200, GOVUK_ACCOUNT); /* the page for signed-in users */
    await_purge(&p, "www.gov.uk/government/news", true);
    say(&p, NULL, 200, "PURGE /over-a-socket HTTP/1.1\r\nHost: www.gov.uk\r\n\r\n");
    rig_await(p.r, requests_naming(&p.r->requests, "www.gov.uk/over-a-socket", 200) == 1);
    close_place(&p);
}

/* The answer "OK" would mean that all pages with these tags are fresh. */
static void what_is_no_purge_of_a_page_is_refused(void **state)
{
    struct place p = open_place(state);

    say(&p, FRIEND, 400, MAGENTO_PATTERN);
    say(&p, FRIEND, 400, MAGENTO_POOL);
    say(&p, FRIEND, 400, ROCKET("/.*", "regex"));
    say(&p, FRIEND, 400, ROCKET("/news/.*", "Regex"));
    say(&p, FRIEND, 200, ROCKET("/news/", "default"));
    await_purge(&p, "blog.example.com/news/", false);
    say(&p, FRIEND, 200, "PURGE / HTTP/1.1\r\nHost: shop.example.com\r\n\r\n");
    await_purge(&p, "shop.example.com/", false);
    close_place(&p);
}

static void its_scopes_are_those_of_any_producer(void **state)
{
    struct place p = open_place(state);

    say(&p, FRIEND, 403, "PURGE /x HTTP/1.1\r\nHost: other.example\r\n\r\n");
    say_push(&p, FRIEND, 403, "");
    say(&p, FRIEND, 403, "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    instance_await_said(&p.r->instances[0], "producer=\"press\" peer=127.0.0.2", 3);
    close_place(&p);
}

static void a_token_that_is_shown_must_be_right(void **state)
{
    struct place p = open_place(state);

    say_push(&p, FRIEND, 202, KEY_HEADER "\r\n"); /* it is cms, which may push keys */
    say_push(&p, FRIEND, 401, "Fastly-Key: wrong\r\n");
    say_push(&p, NULL, 401, "Authorization: Bearer wrong\r\n");
    say(&p, FRIEND, 401, "PURGE /x HTTP/1.1\r\nHost: www.gov.uk\r\nFastly-Key: wrong\r\n\r\n");
    say(&p, FRIEND, 401, "PURGE /x HTTP/1.1\r\nHost: www.gov.uk\r\nFastly-Key:\r\n\r\n");
    close_place(&p);
}

static void what_a_header_says_of_the_address_is_not_believed(void **state)
{
    struct place p = open_place(state);

    say(&p, STRANGER, 401,
        "PURGE /x HTTP/1.1\r\nHost: www.gov.uk\r\nX-Forwarded-For: 127.0.0.2\r\n"
        "Forwarded: for=127.0.0.2\r\nX-Real-IP: 127.0.0.2\r\n\r\n");
    say(&p, FRIEND, 200,
        "PURGE /y HTTP/1.1\r\nHost: www.gov.uk\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n");
    close_place(&p);
}

/* A web page can make a browser at this address send requests. */
static void no_page_may_push_from_there(void **state)
{
    struct place p = open_place(state);

    say(&p, FRIEND, 403,
        "PURGE /x HTTP/1.1\r\nHost: www.gov.uk\r\nOrigin: http://evil.example\r\n\r\n");
    say(&p, FRIEND, 403,
        "PURGE /x HTTP/1.1\r\nHost: www.gov.uk\r\nSec-Fetch-Site: cross-site\r\n\r\n");
    say_push(&p, FRIEND, 202, KEY_HEADER "\r\nOrigin: http://evil.example\r\n");
    close_place(&p);
}

static void a_reload_withdraws_an_address_also_from_a_stream_under_way(void **state)
{
    struct place p = open_place(state);
    struct rawhttp_answer a;
    struct rawhttp r;

    configure(&p, "  - {name: press, from: [127.0.0.2]}\n");
    instance_signal(&p.r->instances[0], SIGHUP);
    instance_await_said(&p.r->instances[0], "were reloaded", 1);
    await_until(-1, AWAIT_PATIENCE_MS, instance_said(&p.r->instances[0], "changed=") > 0);
    rawhttp_open_from(&r, FRIEND, p.port);
    rawhttp_say(&r, "POST /v1/purge/bulk HTTP/1.1\r\nHost: localhost\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n"
                    "14\r\n{\"keys\":[\"before\"]}\n\r\n");
    rig_await(p.r, requests_naming(&p.r->requests, "before", 200) == 1);
    configure(&p, "  - {name: press, from: [127.0.0.0/29, \"::1\"]}\n"); /* still in it */
    instance_signal(&p.r->instances[0], SIGHUP);
    instance_await_said(&p.r->instances[0], "were reloaded", 2);
    rawhttp_say(&r, "14\r\n{\"keys\":[\"middle\"]}\n\r\n");
    rig_await(p.r, requests_naming(&p.r->requests, "middle", 200) == 1);
    configure(&p, "  - {name: press, from: [127.0.0.3]}\n");
    instance_signal(&p.r->instances[0], SIGHUP);
    a = rawhttp_await(&r);
    assert_int_equal(a.status, 401);
    rawhttp_close(&r);
    say(&p, FRIEND, 401, GOVUK);
    say(&p, "127.0.0.3", 200, GOVUK);
    close_place(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_purge_without_any_token_is_taken_from_where_it_may_come),
        rig_test(what_is_no_purge_of_a_page_is_refused),
        rig_test(its_scopes_are_those_of_any_producer),
        rig_test(a_token_that_is_shown_must_be_right),
        rig_test(what_a_header_says_of_the_address_is_not_believed),
        rig_test(no_page_may_push_from_there),
        rig_test(a_reload_withdraws_an_address_also_from_a_stream_under_way),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
