/* SPDX-License-Identifier: MIT
 * Requests that the sender sends, and how it handles responses. */
#include "sender_rig.h"

/* -- requests -- */

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
    for (int i = 0; i < 4; i++) { /* the same handle, alternating */
        x = ask(&r, "https", web.h2, "/", NULL);
        x->soft = i % 2;
        senders_send(r.senders, x);
        await(&r, (size_t)i + 1);
        assert_ok(x);
        assert_int_equal(says(x, "\nfastly-soft-purge: 1\n"), i % 2);
    }
    rig_close(&r);
}

static void the_token_goes_only_with_what_asks_for_it(void **state)
{
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 32; i++) { /* the same handles and connections in all combinations */
        x = ask(&r, "https", i & 1 ? web.h1 : web.h2, "/", i & 2 ? "Surrogate-Key: a" : NULL);
        x->soft = i & 4;
        x->show_token = i & 8;
        if (i & 16)
            buf_put(&x->body, SPAN("{}"));
        senders_send(r.senders, x);
        await(&r, (size_t)i + 1);
        assert_ok(x);
        assert_int_equal(says(x, "\nfastly-key: " TOKEN "\n"), x->show_token);
        assert_int_equal(says(x, TOKEN), x->show_token);
        assert_true(says(x, "\nuser-agent: purgeline-test/1\n"));
    }
    rig_close(&r);
}

static void the_token_does_not_leave_this_machine_unencrypted(void **state)
{
    static const char *const urls[] = {"http://192.0.2.1/", "HTTP://www.example.com/",
                                       "http://127.0.0.1.example.com/", "http://[2001:db8::1]:80/"};
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    for (size_t i = 0; i < array_len(urls); i++) {
        x = exchange_new(r.endpoint, REPLY_MAX);
        x->peer = EXCHANGE_API;
        x->show_token = true;
        buf_put(&x->url, span_str(urls[i]));
        senders_send(r.senders, x);
        await(&r, i + 1);
        assert_int_equal(x->error, EXCHANGE_BLOCKED);
        assert_string_equal(x->error_text, "the token is not sent over plain HTTP");
    }
    x = ask(&r, "http", web.plain, "/", NULL);
    senders_send(r.senders, x);
    await(&r, array_len(urls) + 1);
    assert_ok(x);
    rig_close(&r);
}

/* -- pages ----------------------------------------------------------------------------------- */

static struct exchange *ask_page(struct rig *r, const char *method, uint16_t port,
                                 const char *target)
{
    struct exchange *x = exchange_new(r->endpoint, EXCHANGE_PAGE_HEAD_MAX_BYTES);

    x->method = method;
    x->peer = EXCHANGE_CHOSEN;
    x->page = true;
    buf_printf(&x->url, "https://localhost:%u%s", web.nobody, target);
    buf_printf(&x->via, "127.0.0.1:%u", port);
    senders_send(r->senders, x);
    await(r, r->back_count + 1);
    return x;
}

/* The name of the URL's host is in the certificate, and only the address serves anything. */
static void a_page_comes_from_the_address_given_and_only_its_head_is_kept(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 8; i++) { /* the same handles, alternating */
        struct exchange *x = ask_page(&r, "GET", i & 1 ? web.h1 : web.h2, "/page");

        assert_int_equal(x->error, EXCHANGE_OK);
        assert_int_equal(x->status, 200);
        assert_memory_equal(x->reply.p, "HTTP/", 5);
        assert_true(says(x, "\r\n\r\n"));
        assert_false(says(x, "/page")); /* which the body repeats */
        x = fetch(&r, i & 1 ? web.h1 : web.h2, "/api", NULL);
        assert_ok(x);
        assert_true(says(x, "/api"));
        assert_false(says(x, "fastly-debug"));
    }
    rig_close(&r);
}

static void of_a_long_page_no_more_is_read_than_needed(void **state)
{
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    x = ask_page(&r, "GET", web.h2, "/?do=bytes+10000000");
    assert_int_equal(x->error, EXCHANGE_OK);
    assert_int_equal(x->status, 200);
    x = ask_page(&r, "GET", web.h1, "/?do=redirect");
    assert_int_equal(x->status, 302);
    rig_close(&r);
}

/* The server writes down what PURGE requests have. */
static void a_page_is_asked_for_without_the_token(void **state)
{
    char line[512], wanted[64];
    FILE *log;
    struct rig r;
    int seen = 0;

    (void)state;
    rig_open(&r);
    assert_ok(fetch(&r, web.h1, "/", NULL)); /* with the token, on the same handle */
    assert_int_equal(ask_page(&r, "PURGE", web.h1, "/secret-page")->status, 200);
    rig_close(&r);
    snprintf(wanted, sizeof(wanted), "/secret-page key=- agent=purgeline-test/1");
    log = fopen(web.log, "re");
    assert_non_null(log);
    while (fgets(line, sizeof(line), log))
        seen += strstr(line, wanted) != NULL;
    fclose(log);
    assert_int_equal(seen, 1);
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
            buf_put(&x->body,
                    SPAN("0123456789012345678901234567890123456789012345678901234567890123"));
        buf_clear(&x->reply);
        senders_send(r.senders, x);
        await(&r, r.back_count + 1);
        /* The response is longer than allowed, but it shows that the request arrived. */
        assert_int_equal(x->error, EXCHANGE_BROKEN);
        assert_true(says(x, "content-length: 1048"));
        assert_false(says(x, "expect"));
    }
    rig_close(&r);
}

/* A header line with the size of the largest batch. */
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

/* In another program, the query was lost: https://github.com/fastly/fastly-magento2/issues/759 */
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
        "",
        "/path",
        "ftp://127.0.0.1/",
        "https://",
        "https:///x",
        "https://u:p@127.0.0.1/",
        "https://127.0.0.1/a b",
        "https://127.0.0.1/a\r\nX: y",
        "https://127.0.0.1/\x7f",
        "https://127.0.0.1\\@x/",
    };
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    for (size_t i = 0; i < array_len(urls); i++) {
        x = exchange_new(r.endpoint, REPLY_MAX);
        x->peer = EXCHANGE_API;
        buf_put(&x->url, span_str(urls[i]));
        senders_send(r.senders, x);
        await(&r, i + 1);
        assert_int_equal(x->error, EXCHANGE_BLOCKED);
    }
    x = fetch(&r, web.h2, "/", "Surrogate-Key: a\r\nFastly-Soft-Purge: 1");
    assert_int_equal(x->error, EXCHANGE_BLOCKED);
    rig_close(&r);
}

/* -- responses -- */

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

/* A value that is not reset would be sent with another purge. */
static void a_reset_exchange_is_like_new_and_can_be_sent_again(void **state)
{
    struct rig r;
    struct exchange *x, *fresh;

    (void)state;
    rig_open(&r);
    x = fetch(&r, web.h2, "/", "X-Do: status 429");
    assert_int_equal(x->error, EXCHANGE_OK);
    buf_put(&x->body, SPAN("{}"));
    x->ctx = &r;
    x->soft = x->show_token = true;
    x->start_before_ns = 1;
    snprintf(x->error_text, sizeof(x->error_text), "x");
    exchange_reset(x);
    fresh = exchange_new(r.endpoint, REPLY_MAX);
    assert_true(x->url.n == 0 && x->header.n == 0 && x->body.n == 0 && x->reply.n == 0);
    assert_null(x->endpoint);
    assert_null(x->ctx);
    assert_string_equal(x->method, fresh->method);
    assert_false(x->soft || x->show_token || x->reused);
    assert_int_equal(x->peer, EXCHANGE_STRANGER);
    assert_int_equal(x->start_before_ns, fresh->start_before_ns);
    assert_int_equal(x->error, fresh->error);
    assert_int_equal(x->status, 0);
    assert_string_equal(x->error_text, "");
    assert_string_equal(x->retry_after, "");
    assert_string_equal(x->rate_remaining, "");
    assert_string_equal(x->rate_reset, "");
    assert_true(x->started_ns == 0 && x->done_ns == 0);
    exchange_free(fresh);

    x->endpoint = endpoint_hold(r.endpoint);
    x->peer = EXCHANGE_API;
    buf_printf(&x->url, "https://127.0.0.1:%u/again", web.h2);
    r.back_count = 0;
    senders_send(r.senders, x);
    await(&r, 1);
    assert_ok(x);
    assert_true(says(x, "/again HTTP"));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_comes_back_over_h2),
        cmocka_unit_test(a_reply_comes_back_over_http_1_1),
        cmocka_unit_test(the_headers_are_these_and_no_others),
        cmocka_unit_test(soft_is_said_only_when_it_is_soft),
        cmocka_unit_test(the_token_goes_only_with_what_asks_for_it),
        cmocka_unit_test(a_page_comes_from_the_address_given_and_only_its_head_is_kept),
        cmocka_unit_test(of_a_long_page_no_more_is_read_than_needed),
        cmocka_unit_test(a_page_is_asked_for_without_the_token),
        cmocka_unit_test(the_token_does_not_leave_this_machine_unencrypted),
        cmocka_unit_test(a_body_is_json_and_leaves_no_trace_on_the_next_request),
        cmocka_unit_test(a_content_type_of_ones_own_is_sent_once),
        cmocka_unit_test(a_large_body_does_not_wait_for_leave_to_continue),
        cmocka_unit_test(a_header_of_16_384_bytes_arrives_whole),
        cmocka_unit_test(targets_go_out_byte_for_byte),
        cmocka_unit_test(a_url_without_a_path_asks_for_the_root),
        cmocka_unit_test(methods_change_from_one_exchange_to_the_next),
        cmocka_unit_test(what_can_be_no_request_is_given_back_as_blocked),
        cmocka_unit_test(a_status_and_its_hints_are_passed_on),
        cmocka_unit_test(a_reset_exchange_is_like_new_and_can_be_sent_again),
        cmocka_unit_test(a_redirect_is_a_status_and_is_not_followed),
        cmocka_unit_test(a_reply_may_be_as_long_as_its_ceiling_and_no_longer),
        cmocka_unit_test(an_answer_that_is_cut_off_is_broken),
        cmocka_unit_test(no_answer_in_time_is_a_timeout_and_disturbs_nobody),
    };

    return cmocka_run_group_tests(tests, start_web, stop_web);
}
