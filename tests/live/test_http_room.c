/* SPDX-License-Identifier: MIT
 * Limits for requests in progress: incomplete bodies, from unauthenticated clients and from a
 * producer, do not lock out other producers. */
#include "http_world.h"

#include "rawhttp.h"

#define PURGE "/v1/purge"
#define BODY ((size_t)8 * 1024 * 1024)
#define MANY 40 /* more than all bodies together could hold once */

/* sha256 of "another-token" */
#define OTHER_HEADER "Fastly-Key: another-token\r\n"
#define TWO_PRODUCERS                                                                              \
    CMS "  - name: shop\n    token_sha256: "                                                       \
        "\"9e78bcb94091b75109fd6773524fc8d6a4f8a6dfb3dae39a9c26c5001879bcf3\"\n"
#define ONE_HOOK                                                                                   \
    "hooks:\n  - name: cms\n    secret_env: SECRET_OF_CMS\n"                                       \
    "    signature: {scheme: hmac-sha256, encoding: hex, header: x-signature}\n"                   \
    "    keys: [\"{id}\"]\n"

struct crowd {
    struct rawhttp at[MANY];
    char *half;
};

/* Sends a body without its last bytes. The answer is not read. */
static void begin_half(struct crowd *c, struct world *w, const char *target, const char *header)
{
    unsigned port = rawhttp_port(&w->r->instances[0]);

    c->half = alloc_zeroed(1, BODY);
    memset(c->half, ' ', BODY);
    for (size_t i = 0; i < MANY; i++) {
        rawhttp_open(&c->at[i], port);
        rawhttp_say(&c->at[i],
                    "POST %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n", target,
                    header, BODY);
        rawhttp_send(&c->at[i], c->half, BODY - 10);
    }
}

/* The number of connections that have been answered with this status so far. */
static size_t count_answers(struct rawhttp *at, size_t count, int status)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        size_t taken = at[i].taken;
        struct rawhttp_answer a;

        rawhttp_read(&at[i]);
        if (!rawhttp_next(&at[i], &a))
            continue;
        at[i].taken = taken; /* so that it is counted again next time */
        assert_int_equal(a.status, status);
        n++;
    }
    return n;
}

static void end_crowd(struct crowd *c)
{
    for (size_t i = 0; i < MANY; i++)
        rawhttp_close(&c->at[i]);
    free(c->half);
}

static struct world opened(void **state)
{
    setenv("SECRET_OF_CMS", "a secret that nobody guesses", 1);
    return world_open(state, "", TWO_PRODUCERS ONE_HOOK);
}

static void assert_may_push(struct world *w)
{
    http_expect(w->h, 202, "POST", PURGE, "{\"keys\":[\"a\"]}", KEY_HEADER, NULL);
}

/* -- unauthenticated clients -- */

static void half_sent_bodies_to_a_hook_keep_no_producer_out(void **state)
{
    struct world w = opened(state);
    struct crowd c;

    begin_half(&c, &w, "/hooks/cms", "");
    assert_may_push(&w);
    rig_await(w.r, count_answers(c.at, MANY, 503) >= MANY - 4); /* refused at the head */
    end_crowd(&c);
    world_close(&w);
}

static void an_unknown_hook_is_not_there_before_its_body(void **state)
{
    struct world w = opened(state);
    struct rawhttp r;

    rawhttp_open(&r, rawhttp_port(&w.r->instances[0]));
    rawhttp_say(&r, "POST /hooks/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n");
    rawhttp_await_status(&r, 404);
    rawhttp_close(&r);
    world_close(&w);
}

static void a_route_that_is_open_takes_no_body(void **state)
{
    static const char *const routes[] = {"/livez", "/readyz"};
    struct world w = opened(state);

    for (size_t i = 0; i < array_len(routes); i++) {
        struct rawhttp r;

        rawhttp_open(&r, rawhttp_port(&w.r->instances[0]));
        rawhttp_say(&r, "GET %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", routes[i]);
        rawhttp_await_status(&r, 413);
        rawhttp_close(&r);
        rawhttp_open(&r, rawhttp_port(&w.r->instances[0]));
        rawhttp_say(&r,
                    "GET %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "5\r\nhello\r\n0\r\n\r\n",
                    routes[i]);
        rawhttp_await_status(&r, 413);
        rawhttp_close(&r);
        rawhttp_open(&r, rawhttp_port(&w.r->instances[0]));
        rawhttp_say(&r, "GET %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", routes[i]);
        rawhttp_await_status(&r, 200);
        rawhttp_close(&r);
    }
    assert_may_push(&w);
    world_close(&w);
}

/* There is a limit for all bodies together, and the log says once that it was reached. */
static void unproven_bodies_of_unknown_length_have_their_ceiling_too(void **state)
{
    struct world w = opened(state);
    struct rawhttp r[4];
    struct buf chunk;

    buf_init(&chunk, SIZE_MAX);
    buf_printf(&chunk, "400000\r\n%*s\r\n", 0x400000, "");
    for (size_t i = 0; i < array_len(r); i++) {
        rawhttp_open(&r[i], rawhttp_port(&w.r->instances[0]));
        rawhttp_say(&r[i], "POST /hooks/cms HTTP/1.1\r\nHost: x\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n");
        rawhttp_send(&r[i], chunk.p, chunk.n);
        assert_may_push(&w);
    }
    rig_await(w.r, count_answers(r, array_len(r), 503) > 0);
    assert_int_equal(instance_said(&w.r->instances[0], "HTTP requests in progress have used all"),
                     1);
    for (size_t i = 0; i < array_len(r); i++)
        rawhttp_close(&r[i]);
    buf_deinit(&chunk);
    world_close(&w);
}

/* -- a producer -- */

static void half_sent_bodies_of_one_producer_do_not_starve_another(void **state)
{
    struct world w = opened(state);
    struct crowd c;
    struct buf job;

    begin_half(&c, &w, PURGE, OTHER_HEADER);
    assert_may_push(&w);
    buf_init(&job, SIZE_MAX);
    buf_printf(&job, "{\"keys\":[\"b\"]%*s}", 4000000, "");
    http_expect(w.h, 202, "POST", PURGE, job.p, KEY_HEADER, NULL);
    rig_await(w.r, count_answers(c.at, MANY, 503) >= MANY - 8);
    end_crowd(&c);
    rig_await(w.r,
              http_do(w.h, "POST", PURGE, "{\"keys\":[\"c\"]}", "Fastly-Key: another-token", NULL)
                      ->status == 202);
    http_assert_has(http_expect(w.h, 200, "GET", "/metrics", NULL, KEY_HEADER, NULL),
                    "\npurgeline_http_full_total ");
    buf_deinit(&job);
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(half_sent_bodies_to_a_hook_keep_no_producer_out),
        rig_test(an_unknown_hook_is_not_there_before_its_body),
        rig_test(a_route_that_is_open_takes_no_body),
        rig_test(unproven_bodies_of_unknown_length_have_their_ceiling_too),
        rig_test(half_sent_bodies_of_one_producer_do_not_starve_another),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
