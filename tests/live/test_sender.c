/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "alloc.h"
#include "clock.h"
#include "sender.h"
#include "web.h"

#define REPLY_MAX 65536
#define TOKEN "s3cret-token"

static struct web web;

/* -- a sender with one endpoint, and what came back -- */

struct rig {
    struct loop *loop;
    struct senders *senders;
    struct endpoint *endpoint;
    struct timer *alarm;
    struct exchange **back;
    size_t back_count, wanted;
    bool closed;
};

static void on_back(void *ctx, struct exchange *x)
{
    struct rig *r = ctx;

    r->back = alloc_grow(r->back, r->back_count + 1, sizeof(*r->back));
    r->back[r->back_count++] = x;
    if (r->back_count == r->wanted)
        loop_stop(r->loop);
}

static void on_alarm(void *ctx)
{
    (void)ctx;
    must(!"an exchange never came back");
}

static struct endpoint_options plain_options(void)
{
    return (struct endpoint_options){.ca_file = web.ca,
                                     .token = TOKEN,
                                     .user_agent = "purgeline-test/1",
                                     .connect_timeout_ms = 5000,
                                     .timeout_ms = 20000,
                                     .allow_private = true};
}

static void rig_open_with(struct rig *r, const struct endpoint_options *o, uint32_t threads,
                          uint32_t connections, uint32_t streams)
{
    const struct senders_options so = {
        .threads = threads, .max_connections = connections, .max_streams = streams};

    *r = (struct rig){.loop = loop_new()};
    r->endpoint = endpoint_new(o);
    r->alarm = timer_new(r->loop, on_alarm, r);
    r->senders = senders_new(r->loop, &so, on_back, r);
}

static void rig_open(struct rig *r)
{
    struct endpoint_options o = plain_options();

    rig_open_with(r, &o, 1, 2, 100);
}

static void await(struct rig *r, size_t count)
{
    r->wanted = count;
    if (r->back_count >= count)
        return;
    timer_start_at(r->alarm, clock_mono_ns() + 120 * NS_PER_S);
    loop_run(r->loop);
    assert_int_equal(r->back_count, count);
}

static void on_closed(void *ctx)
{
    struct rig *r = ctx;

    r->closed = true;
    timer_close(r->alarm);
}

static void rig_shut(struct rig *r)
{
    senders_close(r->senders, on_closed, r);
    assert_false(r->closed);
    r->wanted = SIZE_MAX;
    timer_start_at(r->alarm, clock_mono_ns() + 120 * NS_PER_S);
    loop_run(r->loop);
    assert_true(r->closed);
    loop_free(r->loop);
}

static void rig_clean(struct rig *r)
{
    for (size_t i = 0; i < r->back_count; i++)
        exchange_free(r->back[i]);
    free(r->back);
    endpoint_drop(r->endpoint);
}

static void rig_close(struct rig *r)
{
    rig_shut(r);
    rig_clean(r);
}

static struct exchange *ask(struct rig *r, const char *scheme, uint16_t port, const char *target,
                            const char *header)
{
    struct exchange *x = exchange_new(r->endpoint, REPLY_MAX);

    buf_printf(&x->url, "%s://127.0.0.1:%u%s", scheme, port, target);
    if (header)
        buf_put(&x->header, span_str(header));
    return x;
}

static void send_one(struct rig *r, uint16_t port, const char *target, const char *header)
{
    senders_send(r->senders, ask(r, "https", port, target, header));
}

/* Sends one, waits for it, and lends what came back. */
static struct exchange *fetch(struct rig *r, uint16_t port, const char *target, const char *header)
{
    send_one(r, port, target, header);
    await(r, r->back_count + 1);
    return r->back[r->back_count - 1];
}

static size_t count_of(const struct rig *r, enum exchange_error error)
{
    size_t n = 0;

    for (size_t i = 0; i < r->back_count; i++)
        n += r->back[i]->error == error;
    return n;
}

static bool says(const struct exchange *x, const char *line)
{
    return x->reply.n && strstr(x->reply.p, line) != NULL;
}

static void assert_ok(const struct exchange *x)
{
    if (x->error != EXCHANGE_OK)
        fail_msg("error %d: %s", x->error, x->error_text);
    assert_int_equal(x->status, 200);
}

static void rest(unsigned ms)
{
    const struct timespec pause = {.tv_nsec = (long)ms * 1000000};

    nanosleep(&pause, NULL);
}

/* -- what goes out -- */

static void a_reply_comes_back_over_h2(void **state)
{
    struct rig r;
    struct exchange *x;
    uint64_t before_ns = clock_mono_ns();

    (void)state;
    rig_open(&r);
    x = fetch(&r, web.h2, "/service/SU1/purge", NULL);
    assert_ok(x);
    assert_true(says(x, "POST /service/SU1/purge HTTP/2.0\n"));
    assert_true(before_ns <= x->started_ns && x->started_ns <= x->done_ns);
    assert_false(x->reused);
    assert_true(fetch(&r, web.h2, "/again", NULL)->reused);
    rig_close(&r);
}

static void a_reply_comes_back_over_http_1_1(void **state)
{
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    x = fetch(&r, web.h1, "/service/SU1/purge", NULL);
    assert_ok(x);
    assert_true(says(x, "POST /service/SU1/purge HTTP/1.1\n"));
    assert_false(x->reused);
    assert_true(fetch(&r, web.h1, "/again", NULL)->reused);
    rig_close(&r);
}

static void the_headers_are_these_and_no_others(void **state)
{
    static const char want[] = "accept: application/json\n"
                               "content-length: 0\n"
                               "fastly-key: " TOKEN "\n"
                               "host: 127.0.0.1:%u\n"
                               "surrogate-key: article-17 home\n"
                               "user-agent: purgeline-test/1\n\n";
    struct rig r;
    char text[512];

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 2; i++) {
        uint16_t port = i ? web.h1 : web.h2;
        struct exchange *x = fetch(&r, port, "/", "Surrogate-Key: article-17 home");

        assert_ok(x);
        snprintf(text, sizeof(text), want, port);
        assert_string_equal(strchr(x->reply.p, '\n') + 1, text);
    }
    rig_close(&r);
}

static void soft_is_said_only_when_it_is_soft(void **state)
{
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 4; i++) { /* the same handle, back and forth */
        x = ask(&r, "https", web.h2, "/", NULL);
        x->soft = i % 2;
        senders_send(r.senders, x);
        await(&r, (size_t)i + 1);
        assert_ok(x);
        assert_int_equal(says(x, "\nfastly-soft-purge: 1\n"), i % 2);
    }
    rig_close(&r);
}

static void a_body_is_json_and_leaves_no_trace_on_the_next_request(void **state)
{
    static const char body[] = "{\"surrogate_keys\":[\"a\",\"b\"]}";
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 2; i++) {
        uint16_t port = i ? web.h1 : web.h2;

        x = ask(&r, "https", port, "/", NULL);
        buf_put(&x->body, span_str(body));
        senders_send(r.senders, x);
        await(&r, r.back_count + 1);
        assert_ok(x);
        assert_true(says(x, "\ncontent-type: application/json\n"));
        assert_string_equal(strstr(x->reply.p, "\n\n") + 2, body);
        x = fetch(&r, port, "/", NULL);
        assert_true(says(x, "\ncontent-length: 0\n"));
        assert_false(says(x, "content-type"));
    }
    rig_close(&r);
}

static void a_content_type_of_ones_own_is_sent_once(void **state)
{
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    x = ask(&r, "https", web.h1, "/", "Content-Type: application/json");
    buf_put(&x->body, SPAN("{}"));
    senders_send(r.senders, x);
    await(&r, 1);
    assert_ok(x);
    assert_true(says(x, "\ncontent-type: application/json\n"));
    rig_close(&r);
}

static void a_large_body_does_not_wait_for_leave_to_continue(void **state)
{
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 2; i++) {
        x = ask(&r, "https", i ? web.h1 : web.h2, "/", NULL);
        x->body.max = 2000000;
        while (x->body.n < 1048577 - 64)
            buf_put(&x->body, SPAN("0123456789012345678901234567890123456789012345678901234567890123"));
        buf_clear(&x->reply);
        senders_send(r.senders, x);
        await(&r, r.back_count + 1);
        /* The echo is longer than a reply may be; that it came at all is the point. */
        assert_int_equal(x->error, EXCHANGE_BROKEN);
        assert_true(says(x, "content-length: 1048"));
        assert_false(says(x, "expect"));
    }
    rig_close(&r);
}

/* A header line of the largest batch there is. */
static void a_header_of_16_384_bytes_arrives_whole(void **state)
{
    struct rig r;
    struct exchange *x;
    char *line = alloc_bytes(16384 + 32);
    size_t n = (size_t)sprintf(line, "Surrogate-Key: ");

    (void)state;
    memset(line + n, 'k', 16384);
    line[n + 16384] = '\0';
    rig_open(&r);
    for (int i = 0; i < 2; i++) {
        x = fetch(&r, i ? web.h1 : web.h2, "/", line);
        assert_ok(x);
        assert_true(says(x, line + n));
    }
    free(line);
    rig_close(&r);
}

/* https://github.com/fastly/fastly-magento2/issues/759: a URL lost its query on the way. */
static void targets_go_out_byte_for_byte(void **state)
{
    static const char *const targets[] = {
        "/purge/https://host//a/b?x=%2F&x=1",
        "/purge/https://host/a/../b/./c//d/",
        "/purge/https://host/%7euser/%41%2f?b=2&a=1&b=1",
        "/purge/host/caf\xc3\xa9?q=\xff\x80",
        "/purge/host/a\"b{c}d|e\\f^g`h<i>j[k]l",
        "/purge/host/?",
        "/purge/host/a?b?c=d??",
        "/purge/host/:80/@x;y=z,w'*()!$~",
        "//two/slashes",
        "/a%20b+c",
        "/{1..9}[a-c]",
    };
    struct rig r;
    char want[256];

    (void)state;
    rig_open(&r);
    for (size_t i = 0; i < array_len(targets) * 3; i++) {
        const char *target = targets[i / 3];
        const char *proto = i % 3 ? "HTTP/1.1" : "HTTP/2.0";
        const uint16_t ports[] = {web.h2, web.h1, web.plain};
        struct exchange *x = ask(&r, i % 3 == 2 ? "http" : "https", ports[i % 3], target, NULL);

        senders_send(r.senders, x);
        await(&r, i + 1);
        assert_ok(x);
        snprintf(want, sizeof(want), "POST %s %s\n", target, proto);
        assert_memory_equal(x->reply.p, want, strlen(want));
    }
    rig_close(&r);
}

static void a_url_without_a_path_asks_for_the_root(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r);
    assert_true(says(fetch(&r, web.h1, "", NULL), "POST / HTTP/1.1\n"));
    assert_true(says(fetch(&r, web.h2, "?a=1", NULL), "POST /?a=1 HTTP/2.0\n"));
    rig_close(&r);
}

static void methods_change_from_one_exchange_to_the_next(void **state)
{
    static const char *const methods[] = {"PURGE", "POST", "GET", "PURGE", "GET", "POST"};
    struct rig r;
    char want[64];

    (void)state;
    rig_open(&r);
    for (size_t i = 0; i < array_len(methods) * 2; i++) {
        struct exchange *x = ask(&r, "https", i % 2 ? web.h1 : web.h2, "/p", NULL);

        x->method = methods[i / 2];
        senders_send(r.senders, x);
        await(&r, i + 1);
        assert_ok(x);
        snprintf(want, sizeof(want), "%s /p HTTP/", methods[i / 2]);
        assert_memory_equal(x->reply.p, want, strlen(want));
        assert_int_equal(says(x, "content-length"), strcmp(x->method, "POST") == 0);
        assert_false(says(x, "content-type"));
    }
    rig_close(&r);
}

static void what_can_be_no_request_is_given_back_as_blocked(void **state)
{
    static const char *const urls[] = {
        "",          "/path",         "ftp://127.0.0.1/", "https://",          "https:///x",
        "https://u:p@127.0.0.1/", "https://127.0.0.1/a b", "https://127.0.0.1/a\r\nX: y",
        "https://127.0.0.1/\x7f", "https://127.0.0.1\\@x/",
    };
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    for (size_t i = 0; i < array_len(urls); i++) {
        x = exchange_new(r.endpoint, REPLY_MAX);
        buf_put(&x->url, span_str(urls[i]));
        senders_send(r.senders, x);
        await(&r, i + 1);
        assert_int_equal(x->error, EXCHANGE_BLOCKED);
    }
    x = fetch(&r, web.h2, "/", "Surrogate-Key: a\r\nFastly-Soft-Purge: 1");
    assert_int_equal(x->error, EXCHANGE_BLOCKED);
    rig_close(&r);
}

/* -- what comes back -- */

static void a_status_and_its_hints_are_passed_on(void **state)
{
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 2; i++) {
        x = fetch(&r, i ? web.h1 : web.h2, "/", "X-Do: status 429");
        assert_int_equal(x->error, EXCHANGE_OK);
        assert_int_equal(x->status, 429);
        assert_string_equal(x->retry_after, "7");
        assert_string_equal(x->rate_remaining, "41");
        assert_string_equal(x->rate_reset, "1700000000");
        assert_string_equal(x->reply.p, "so be it");
        x = fetch(&r, i ? web.h1 : web.h2, "/", NULL);
        assert_string_equal(x->retry_after, "");
    }
    rig_close(&r);
}

static void a_redirect_is_a_status_and_is_not_followed(void **state)
{
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    x = fetch(&r, web.h2, "/", "X-Do: redirect");
    assert_int_equal(x->error, EXCHANGE_OK);
    assert_int_equal(x->status, 302);
    assert_false(says(x, "/elsewhere HTTP"));
    rig_close(&r);
}

static void a_reply_may_be_as_long_as_its_ceiling_and_no_longer(void **state)
{
    struct rig r;
    struct exchange *x;
    char line[64];

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 6; i++) {
        int bytes = REPLY_MAX - 1 + i % 3;

        snprintf(line, sizeof(line), "X-Do: bytes %d", bytes);
        x = fetch(&r, i < 3 ? web.h2 : web.h1, "/", line);
        assert_int_equal(x->error, bytes <= REPLY_MAX ? EXCHANGE_OK : EXCHANGE_BROKEN);
        assert_true(x->reply.n <= REPLY_MAX);
        if (bytes <= REPLY_MAX)
            assert_int_equal(x->reply.n, bytes);
    }
    assert_ok(fetch(&r, web.h2, "/", NULL));
    rig_close(&r);
}

static void an_answer_that_is_cut_off_is_broken(void **state)
{
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 2; i++) {
        uint16_t port = i ? web.h1 : web.h2;

        x = fetch(&r, port, "/", "X-Do: cut");
        assert_int_equal(x->error, EXCHANGE_BROKEN);
        assert_int_equal(x->status, 0);
        assert_true(*x->error_text);
        assert_null(strstr(x->error_text, TOKEN));
        assert_ok(fetch(&r, port, "/", NULL));
    }
    rig_close(&r);
}

static void no_answer_in_time_is_a_timeout_and_disturbs_nobody(void **state)
{
    struct endpoint_options o = plain_options();
    struct rig r;

    (void)state;
    o.timeout_ms = 300;
    rig_open_with(&r, &o, 1, 2, 100);
    for (int i = 0; i < 2; i++) {
        uint16_t port = i ? web.h1 : web.h2;
        uint64_t before_ns = clock_mono_ns();
        struct exchange *slow = ask(&r, "https", port, "/", "X-Do: sleep 2000");
        struct exchange *quick = ask(&r, "https", port, "/", "X-Do: sleep 100");

        senders_send(r.senders, slow);
        senders_send(r.senders, quick);
        await(&r, r.back_count + 2);
        assert_ok(quick);
        assert_int_equal(slow->error, EXCHANGE_TIMEOUT);
        assert_true(slow->done_ns - before_ns >= 300 * NS_PER_MS);
    }
    rig_close(&r);
}

/* -- connections -- */

static void many_in_flight_share_few_connections(void **state)
{
    struct rig r;
    size_t fresh = 0;

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 100; i++)
        send_one(&r, web.h2, "/", "X-Do: sleep 50");
    await(&r, 100);
    for (int i = 0; i < 100; i++) {
        assert_ok(r.back[i]);
        fresh += !r.back[i]->reused;
    }
    assert_int_equal(fresh, 1);
    rig_close(&r);
}

static void more_than_fits_on_a_connection_waits_or_takes_another(void **state)
{
    struct endpoint_options o = plain_options();
    struct rig r;
    size_t fresh = 0;

    (void)state;
    rig_open_with(&r, &o, 1, 2, 8);
    for (int i = 0; i < 100; i++)
        send_one(&r, web.h2, "/", "X-Do: sleep 10");
    await(&r, 100);
    for (int i = 0; i < 100; i++) {
        assert_ok(r.back[i]);
        fresh += !r.back[i]->reused;
    }
    assert_true(fresh <= 2);
    rig_close(&r);
}

static void a_refused_connection_leaves_them_unsent(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 20; i++)
        send_one(&r, web.nobody, "/", NULL);
    await(&r, 20);
    assert_int_equal(count_of(&r, EXCHANGE_UNSENT), 20);
    assert_true(*r.back[0]->error_text);
    rig_close(&r);
}

static void a_name_that_does_not_resolve_leaves_it_unsent(void **state)
{
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    x = exchange_new(r.endpoint, REPLY_MAX);
    buf_put(&x->url, SPAN("https://no-such-host.invalid/x"));
    senders_send(r.senders, x);
    await(&r, 1);
    assert_int_equal(x->error, EXCHANGE_UNSENT);
    rig_close(&r);
}

static void a_handshake_that_fails_leaves_it_unsent(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r);
    assert_int_equal(fetch(&r, web.plain, "/", NULL)->error, EXCHANGE_UNSENT);
    rig_close(&r);
}

static void a_certificate_of_another_authority_blocks(void **state)
{
    struct endpoint_options o = plain_options();
    struct rig r;

    (void)state;
    o.ca_file = web.other_ca;
    rig_open_with(&r, &o, 1, 2, 100);
    assert_int_equal(fetch(&r, web.h2, "/", NULL)->error, EXCHANGE_BLOCKED);
    assert_int_equal(fetch(&r, web.h1, "/", NULL)->error, EXCHANGE_BLOCKED);
    rig_close(&r);
}

static void a_private_authority_is_not_trusted_by_default(void **state)
{
    struct endpoint_options o = plain_options();
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    assert_ok(fetch(&r, web.h2, "/", NULL));
    o.ca_file = "";
    endpoint_drop(r.endpoint); /* the same handle, and a connection that is open already */
    r.endpoint = endpoint_new(&o);
    x = fetch(&r, web.h2, "/", NULL);
    assert_int_equal(x->error, EXCHANGE_BLOCKED);
    rig_close(&r);
}

static void a_certificate_for_another_name_blocks(void **state)
{
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    x = exchange_new(r.endpoint, REPLY_MAX);
    buf_printf(&x->url, "https://127.0.0.2:%u/", web.h2);
    senders_send(r.senders, x);
    await(&r, 1);
    assert_true(x->error == EXCHANGE_BLOCKED || x->error == EXCHANGE_UNSENT);
    rig_close(&r);
}

static void a_connection_closed_while_idle_is_replaced_unnoticed(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 3; i++) {
        struct exchange *x = fetch(&r, web.hasty, "/", NULL);

        assert_ok(x);
        assert_false(x->reused);
        rest(150); /* the closing is the server's, and there is no event of ours to wait for */
    }
    rig_close(&r);
}

/* nginx says GOAWAY after the 20th request of a connection. */
static void what_a_goaway_cuts_off_is_given_back_once_and_can_be_repeated(void **state)
{
    struct rig r;
    size_t answered = 0;

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 200; i++)
        send_one(&r, web.few, "/", NULL);
    await(&r, 200);
    for (int i = 0; i < 200; i++) {
        const struct exchange *x = r.back[i];

        answered += x->error == EXCHANGE_OK;
        assert_true(x->error == EXCHANGE_OK || x->error == EXCHANGE_BROKEN ||
                    x->error == EXCHANGE_UNSENT);
        if (x->error == EXCHANGE_BROKEN)
            assert_true(x->reused);
    }
    assert_true(answered >= 20);
    rig_close(&r);
}

static void requests_one_after_another_survive_every_goaway(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 70; i++)
        assert_ok(fetch(&r, web.few, "/", NULL));
    rig_close(&r);
}

/* https://phabricator.wikimedia.org/T249583: one connection that hangs held all purges up. */
static void a_connection_that_went_silent_is_left_after_its_first_timeout(void **state)
{
    struct endpoint_options o = plain_options();
    struct rig r;
    struct exchange *x;

    (void)state;
    o.timeout_ms = 300;
    rig_open_with(&r, &o, 1, 2, 100);
    assert_ok(fetch(&r, web.h2, "/", NULL));
    kill(web.pid, SIGSTOP);
    x = fetch(&r, web.h2, "/", NULL);
    kill(web.pid, SIGCONT);
    assert_int_equal(x->error, EXCHANGE_TIMEOUT);
    x = fetch(&r, web.h2, "/", NULL);
    assert_ok(x);
    assert_false(x->reused);
    rig_close(&r);
}

/* -- what is held back -- */

static void a_private_peer_is_refused_unless_allowed(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "0.0.0.0", "[::1]",
                                        "[::ffff:127.0.0.1]", "169.254.169.254"};
    struct endpoint_options o = plain_options();
    struct rig r;

    (void)state;
    rig_open(&r);
    assert_ok(fetch(&r, web.h2, "/", NULL)); /* leaves a connection that must not be taken */
    endpoint_drop(r.endpoint);
    o.allow_private = false;
    r.endpoint = endpoint_new(&o);
    for (size_t i = 0; i < array_len(hosts); i++) {
        struct exchange *x = exchange_new(r.endpoint, REPLY_MAX);

        x->method = "PURGE";
        buf_printf(&x->url, "https://%s:%u/", hosts[i], web.h2);
        senders_send(r.senders, x);
        await(&r, i + 2);
        assert_int_equal(x->error, EXCHANGE_BLOCKED);
    }
    rig_close(&r);
}

static void too_late_at_the_start_is_unsent(void **state)
{
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    x = ask(&r, "https", web.h2, "/", NULL);
    x->start_before_ns = clock_mono_ns() - 1;
    senders_send(r.senders, x);
    await(&r, 1);
    assert_int_equal(x->error, EXCHANGE_UNSENT);
    rig_close(&r);
}

/* They wait inside curl for the only stream there is, and their time passes. */
static void too_late_when_a_stream_is_free_is_unsent(void **state)
{
    struct endpoint_options o = plain_options();
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open_with(&r, &o, 1, 1, 1);
    assert_ok(fetch(&r, web.h1, "/", NULL));
    send_one(&r, web.h1, "/", "X-Do: sleep 200");
    x = ask(&r, "https", web.h1, "/", NULL);
    x->start_before_ns = clock_mono_ns() + 100 * NS_PER_MS;
    senders_send(r.senders, x);
    await(&r, 3);
    assert_int_equal(x->error, EXCHANGE_UNSENT);
    assert_int_equal(count_of(&r, EXCHANGE_OK), 2);
    assert_ok(fetch(&r, web.h1, "/", NULL));
    rig_close(&r);
}

/* -- the end -- */

static void closing_gives_each_back_once(void **state)
{
    struct endpoint_options o = plain_options();
    struct rig r;

    (void)state;
    rig_open_with(&r, &o, 2, 1, 16);
    assert_ok(fetch(&r, web.h2, "/", NULL));
    for (int i = 0; i < 3000; i++)
        send_one(&r, web.h2, "/", "X-Do: sleep 900");
    await(&r, 1);
    rig_shut(&r);
    assert_int_equal(r.back_count, 3001);
    assert_int_equal(count_of(&r, EXCHANGE_BROKEN) + count_of(&r, EXCHANGE_UNSENT), 3000);
    assert_true(count_of(&r, EXCHANGE_UNSENT) > 0);
    rig_clean(&r);
}

static void closing_with_some_on_the_wire_calls_these_broken(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 10; i++)
        send_one(&r, web.h2, "/", "X-Do: sleep 2000");
    send_one(&r, web.h2, "/", NULL);
    await(&r, 1);
    rig_shut(&r);
    assert_int_equal(r.back_count, 11);
    assert_int_equal(count_of(&r, EXCHANGE_BROKEN), 10);
    rig_clean(&r);
}

static void ten_thousand_over_two_threads_come_back_exactly_once(void **state)
{
    struct endpoint_options o = plain_options();
    enum { N = 10000 };
    static unsigned char seen[N];
    struct rig r;
    char target[32];

    (void)state;
    rig_open_with(&r, &o, 2, 4, 100);
    memset(seen, 0, sizeof(seen));
    for (size_t i = 0; i < N; i++) {
        struct exchange *x;

        snprintf(target, sizeof(target), "/n/%zu", i);
        x = ask(&r, "https", web.h2, target, NULL);
        x->ctx = &seen[i];
        x->soft = i % 2;
        senders_send(r.senders, x);
    }
    await(&r, N);
    rig_shut(&r);
    assert_int_equal(r.back_count, N);
    for (size_t i = 0; i < N; i++) {
        const struct exchange *x = r.back[i];
        unsigned char *mark = x->ctx;

        assert_ok(x);
        assert_int_equal(++*mark, 1);
        snprintf(target, sizeof(target), "POST /n/%zu HTTP", (size_t)(mark - seen));
        assert_true(says(x, target));
    }
    rig_clean(&r);
}

static void senders_that_did_nothing_close(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r);
    rig_close(&r);
    exchange_free(NULL);
    endpoint_drop(NULL);
}

static int start_web(void **state)
{
    (void)state;
    web_start(&web);
    return 0;
}

static int stop_web(void **state)
{
    (void)state;
    web_stop(&web);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_comes_back_over_h2),
        cmocka_unit_test(a_reply_comes_back_over_http_1_1),
        cmocka_unit_test(the_headers_are_these_and_no_others),
        cmocka_unit_test(soft_is_said_only_when_it_is_soft),
        cmocka_unit_test(a_body_is_json_and_leaves_no_trace_on_the_next_request),
        cmocka_unit_test(a_content_type_of_ones_own_is_sent_once),
        cmocka_unit_test(a_large_body_does_not_wait_for_leave_to_continue),
        cmocka_unit_test(a_header_of_16_384_bytes_arrives_whole),
        cmocka_unit_test(targets_go_out_byte_for_byte),
        cmocka_unit_test(a_url_without_a_path_asks_for_the_root),
        cmocka_unit_test(methods_change_from_one_exchange_to_the_next),
        cmocka_unit_test(what_can_be_no_request_is_given_back_as_blocked),
        cmocka_unit_test(a_status_and_its_hints_are_passed_on),
        cmocka_unit_test(a_redirect_is_a_status_and_is_not_followed),
        cmocka_unit_test(a_reply_may_be_as_long_as_its_ceiling_and_no_longer),
        cmocka_unit_test(an_answer_that_is_cut_off_is_broken),
        cmocka_unit_test(no_answer_in_time_is_a_timeout_and_disturbs_nobody),
        cmocka_unit_test(many_in_flight_share_few_connections),
        cmocka_unit_test(more_than_fits_on_a_connection_waits_or_takes_another),
        cmocka_unit_test(a_refused_connection_leaves_them_unsent),
        cmocka_unit_test(a_name_that_does_not_resolve_leaves_it_unsent),
        cmocka_unit_test(a_handshake_that_fails_leaves_it_unsent),
        cmocka_unit_test(a_certificate_of_another_authority_blocks),
        cmocka_unit_test(a_private_authority_is_not_trusted_by_default),
        cmocka_unit_test(a_certificate_for_another_name_blocks),
        cmocka_unit_test(a_connection_closed_while_idle_is_replaced_unnoticed),
        cmocka_unit_test(what_a_goaway_cuts_off_is_given_back_once_and_can_be_repeated),
        cmocka_unit_test(requests_one_after_another_survive_every_goaway),
        cmocka_unit_test(a_connection_that_went_silent_is_left_after_its_first_timeout),
        cmocka_unit_test(a_private_peer_is_refused_unless_allowed),
        cmocka_unit_test(too_late_at_the_start_is_unsent),
        cmocka_unit_test(too_late_when_a_stream_is_free_is_unsent),
        cmocka_unit_test(closing_gives_each_back_once),
        cmocka_unit_test(closing_with_some_on_the_wire_calls_these_broken),
        cmocka_unit_test(ten_thousand_over_two_threads_come_back_exactly_once),
        cmocka_unit_test(senders_that_did_nothing_close),
    };

    return cmocka_run_group_tests(tests, start_web, stop_web);
}
