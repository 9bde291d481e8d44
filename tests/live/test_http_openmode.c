/* SPDX-License-Identifier: MIT
 * Without producers, only this machine may push: neither web pages with a name that resolves to
 * 127.0.0.1, nor clients of a proxy. */
#include "http_world.h"

#define PURGE "/v1/purge"
#define KEYS "/service/" NEWS "/purge"
#define A "{\"keys\":[\"a\"]}"

/* A browser treats a page whose name resolves to 127.0.0.1 as having the same origin as the
 * endpoint. */
static void without_producers_the_host_must_be_this_machine(void **state)
{
    static const char *const ours[] = {
        "Host: localhost",   "Host: LOCALHOST:8126", "Host: 127.0.0.1",  "Host: 127.0.0.1:1",
        "Host: 127.9.8.255", "Host: [::1]",          "Host: [::1]:8126",
    };
    static const char *const others[] = {
        "Host: evil.example",
        "Host: evil.example:8126",
        "Host: localhost.evil.example",
        "Host: 127.0.0.1.nip.io",
        "Host: 0.0.0.0",
        "Host: 0.0.0.0:8126",
        "Host: 128.0.0.1",
        "Host: 127.0.0",
        "Host: 127.0.0.256",
        "Host: 127.0.0.1.1",
        "Host: 127.0.0.",
        "Host: 127..0.1",
        "Host: 127.0.0.1@evil.de",
        "Host: localhost@evil.de",
        "Host: [::1].evil.example",
        "Host: [::]",
        "Host: [::1",
        "Host: evil.example, localhost",
        "Host: localhost evil.de",
        "Host: 127.0.0.1:80@evil",
        "Host: 192.168.0.1",
        "Host: 127.0.0.1.",
        "Host: 127..0.0.1",
        "Host;",
    };
    struct world w = world_open(state, "", "");

    for (size_t i = 0; i < array_len(ours); i++) {
        http_expect(w.h, 202, "POST", PURGE, A, ours[i], NULL);
        http_expect(w.h, 200, "GET", "/v1/status", NULL, ours[i], NULL);
    }
    for (size_t i = 0; i < array_len(others); i++) {
        const struct http_reply *r = http_do(w.h, "POST", PURGE, A, others[i], NULL);

        if (r->status != 421)
            fail_msg("%d for %s", r->status, others[i]);
        http_assert_has(r, "configure `producers:`");
        http_expect(w.h, 421, "POST", KEYS "/a", NULL, others[i], NULL);
        http_expect(w.h, 421, "GET", "/v1/status", NULL, others[i], NULL);
        http_expect(w.h, 421, "GET", "/metrics", NULL, others[i], NULL);
    }
    http_expect(w.h, 200, "GET", "/livez", NULL, "Host: probe.example", NULL);
    world_close(&w);
}

/* This is how a program purges a page of a site. A browser would send Origin. */
static void without_producers_a_purge_may_name_a_site(void **state)
{
    struct world w = world_open(state, "", "");

    http_expect(w.h, 200, "PURGE", "/a-page", NULL, "Host: www.example.com", NULL);
    (void)world_sent(&w, "www.example.com/a-page");
    http_expect(w.h, 403, "PURGE", "/b", NULL, "Host: www.example.com",
                "Origin: http://www.example.com", NULL);
    http_expect(w.h, 403, "PURGE", "/b", NULL, "Host: www.example.com", "Via: 1.1 proxy", NULL);
    world_close(&w);
}

static void without_producers_nothing_comes_through_a_proxy(void **state)
{
    static const char *const headers[] = {
        "Via: 1.1 proxy.example",       "Forwarded: for=192.0.2.60",
        "X-Forwarded-For: 192.0.2.60",  "x-forwarded-for;",
        "X-Real-IP: 192.0.2.60",        "X-Forwarded-Host: purge.example.com",
        "X-Forwarded-Proto: https",     "CF-Connecting-IP: 192.0.2.60",
        "Fastly-Client-IP: 192.0.2.60",
    };
    struct world w = world_open(state, "", "");

    for (size_t i = 0; i < array_len(headers); i++) {
        const struct http_reply *r = http_do(w.h, "POST", PURGE, A, headers[i], NULL);

        if (r->status != 403)
            fail_msg("%d for %s", r->status, headers[i]);
        http_assert_has(r, "configure `producers:`");
    }
    http_expect(w.h, 202, "POST", PURGE, A, NULL);
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(without_producers_the_host_must_be_this_machine),
        rig_test(without_producers_a_purge_may_name_a_site),
        rig_test(without_producers_nothing_comes_through_a_proxy),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
