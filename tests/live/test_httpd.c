/* SPDX-License-Identifier: MIT
 * The HTTP server: responses, connection limits, and requests that are refused before the
 * application sees them. */
#include "httpd_world.h"

/* -- requests and answers -- */

static void a_request_is_answered_and_the_connection_goes_on(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    for (int i = 0; i < 3; i++) {
        rawhttp_say(&r, "POST /a?b=c HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello");
        assert_answer(&r, 200, "POST /a?b=c hello");
    }
    assert_int_equal(httpd_counts(w->httpd)->accepted, 1);
    assert_int_equal(httpd_counts(w->httpd)->connections, 1);
    assert_int_equal(httpd_counts(w->httpd)->visits, 3);
    rawhttp_close(&r);
    pump_until(w, httpd_counts(w->httpd)->connections == 0);
    close_world(w);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;
    char want[32];

    (void)state;
    visit_world(w, &r);
    for (int i = 0; i < 100; i++)
        rawhttp_say(&r, "GET /%d HTTP/1.1\r\n" HOST "\r\n", i);
    for (int i = 0; i < 100; i++) {
        snprintf(want, sizeof(want), "GET /%d ", i);
        assert_answer(&r, 200, want);
    }
    rawhttp_close(&r);
    close_world(w);
}

static void a_pipelined_request_waits_until_the_one_before_is_answered(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /next HTTP/1.1\r\n" HOST "\r\n");
    pump_until(w, w->seen_count == 1 && w->seen[0].wholes == 1);
    for (int i = 0; i < 20; i++)
        pump(w);
    assert_int_equal(w->seen_count, 1);
    answer_text(w->seen[0].visit, 200, "first");
    assert_answer(&r, 200, "first");
    assert_answer(&r, 200, "GET /next ");
    rawhttp_close(&r);
    close_world(w);
}

static void what_is_asked_with_head_is_answered_without_a_body(void **state)
{
    struct world *w = plain_world();
    struct rawhttp_answer a;
    struct rawhttp r;
    char length[16];

    (void)state;
    visit_world(w, &r);
    r.bodiless = true;
    rawhttp_say(&r, "HEAD /a HTTP/1.1\r\n" HOST "\r\n");
    a = rawhttp_await(&r);
    assert_int_equal(a.status, 200);
    assert_string_equal(rawhttp_header(&a, "Content-Length", length, sizeof(length)), "8");
    rawhttp_say(&r, "HEAD /b HTTP/1.1\r\n" HOST "\r\n");
    rawhttp_await_status(&r, 200);
    rawhttp_close(&r);
    close_world(w);
}

static void http_1_0_is_answered_and_closed_unless_it_asks_to_be_kept(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_answer(&r, 200, "GET /a ");
    rawhttp_say(&r, "GET /b HTTP/1.0\r\n\r\n");
    assert_answer(&r, 200, "GET /b ");
    rawhttp_await_end(&r);
    rawhttp_close(&r);
    close_world(w);
}

static void a_target_arrives_as_it_came(void **state)
{
    static const char *const targets[] = {"//a//b/",       "/%2f%00%zz%", "/a/../b/./c",
                                          "/?a=%26&b=+&&", "http://x/y",  "*",
                                          "/\xc3\xa9\xff"};
    struct world *w = plain_world();
    struct rawhttp r;
    char want[64];

    (void)state;
    visit_world(w, &r);
    for (size_t i = 0; i < array_len(targets); i++) {
        rawhttp_say(&r, "GET %s HTTP/1.1\r\n" HOST "\r\n", targets[i]);
        snprintf(want, sizeof(want), "GET %s ", targets[i]);
        assert_answer(&r, 200, want);
    }
    rawhttp_close(&r);
    close_world(w);
}

static void count_header(void *ctx, struct span value)
{
    struct buf *all = ctx;

    buf_put(all, value);
    buf_putc(all, ';');
}

static void headers_are_found_in_any_case_the_first_or_all(void **state)
{
    struct world *w = plain_world();
    struct visit *v;
    struct rawhttp r;
    struct buf all;

    (void)state;
    buf_init(&all, 100);
    visit_world(w, &r);
    rawhttp_say(&r, "GET /later HTTP/1.1\r\n" HOST "X-Key: one\r\nx-kEY:two\r\nX-Empty:\r\n\r\n");
    pump_until(w, w->seen_count == 1 && w->seen[0].wholes == 1);
    v = w->seen[0].visit;
    assert_true(span_is(visit_header(v, "x-key"), "one"));
    visit_headers_named(v, "X-KEY", count_header, &all);
    assert_string_equal(all.p, "one;two;");
    assert_non_null(visit_header(v, "X-Empty").p);
    assert_null(visit_header(v, "X-None").p);
    assert_string_equal(visit_peer(v), "127.0.0.1");
    assert_true(visit_from_loopback(v));
    answer_text(v, 200, "");
    rawhttp_await_status(&r, 200);
    rawhttp_close(&r);
    buf_deinit(&all);
    close_world(w);
}

static void a_file_is_an_answer_too(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    for (int i = 0; i < 2; i++) {
        rawhttp_say(&r, "GET /file HTTP/1.1\r\n" HOST "\r\n");
        assert_answer(&r, 200, "hello, file");
    }
    rawhttp_close(&r);
    close_world(w);
}

static void leave_to_continue_is_given_when_the_body_is_wanted(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r,
                "POST /a HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    rawhttp_await_status(&r, 100);
    rawhttp_say(&r, "ok");
    assert_answer(&r, 200, "POST /a ok");
    rawhttp_say(&r, "POST /refuse HTTP/1.1\r\n" HOST
                    "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    rawhttp_await_status(&r, 401);
    rawhttp_await_end(&r); /* the body may still come, so no request is expected after it */
    rawhttp_close(&r);
    close_world(w);
}

static void a_half_closed_peer_is_answered(void **state)
{
    struct world *w = plain_world();
    struct rawhttp older, r;

    (void)state;
    visit_world(w, &older); /* with a single connection, the server would check it more often */
    pump_until(w, httpd_counts(w->httpd)->connections == 1);
    visit_world(w, &r);
    rawhttp_say(&r, "POST /later HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nok");
    rawhttp_half_close(&r);
    pump_until(w, w->seen_count == 1 && w->seen[0].wholes == 1);
    answer_text(w->seen[0].visit, 200, "here");
    assert_answer(&r, 200, "here");
    rawhttp_await_end(&r);
    rawhttp_close(&r);
    rawhttp_close(&older);
    close_world(w);
}

static void an_idle_client_makes_room_for_another(void **state)
{
    SPECIAL_WORLD(w, connections, 4);
    struct rawhttp idle[4], r;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        visit_world(w, &idle[i]);
        pump_until(w, httpd_counts(w->httpd)->accepted == i + 1);
    }
    visit_world(w, &r);
    rawhttp_say(&r, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    rawhttp_await_status(&r, 200);
    rawhttp_await_end(&idle[0]); /* the one that has been idle for longest */
    assert_int_equal(httpd_counts(w->httpd)->connections, 4);
    rawhttp_say(&idle[1], "GET /b HTTP/1.1\r\n" HOST "\r\n");
    rawhttp_await_status(&idle[1], 200);
    rawhttp_close(&r);
    for (size_t i = 0; i < 4; i++)
        rawhttp_close(&idle[i]);
    close_world(w);
}

static void when_all_are_busy_a_new_one_waits(void **state)
{
    SPECIAL_WORLD(w, connections, 2);
    struct rawhttp busy[3], r;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        visit_world(w, &busy[i]);
        rawhttp_say(&busy[i], "GET /later HTTP/1.1\r\n" HOST "\r\n");
        pump_until(w, w->seen[i].wholes == 1);
    }
    visit_world(w, &r);
    rawhttp_say(&r, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 50; i++)
        pump(w);
    assert_int_equal(w->seen_count, 3);
    answer_text(w->seen[0].visit, 200, "");
    rawhttp_await_status(&busy[0], 200);
    rawhttp_await_status(&r, 200);
    for (size_t i = 1; i < 3; i++) {
        answer_text(w->seen[i].visit, 200, "");
        rawhttp_await_status(&busy[i], 200);
    }
    for (size_t i = 0; i < 3; i++)
        rawhttp_close(&busy[i]);
    rawhttp_close(&r);
    close_world(w);
}

static void one_address_has_a_limit_of_its_own(void **state)
{
    SPECIAL_WORLD(w, per_address, 2);
    struct rawhttp r[3];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        visit_world_from(w, "127.0.0.2", &r[i]);
        pump_until(w, i == 2 || httpd_counts(w->httpd)->accepted == i + 1);
    }
    rawhttp_await_end(&r[2]);
    assert_int_equal(httpd_counts(w->httpd)->turned_away, 1);
    rawhttp_close(&r[0]);
    pump_until(w, httpd_counts(w->httpd)->connections == 1);
    rawhttp_close(&r[2]);
    visit_world_from(w, "127.0.0.2", &r[2]);
    rawhttp_say(&r[2], "GET /a HTTP/1.1\r\n" HOST "\r\n");
    rawhttp_await_status(&r[2], 200);
    rawhttp_close(&r[1]);
    rawhttp_close(&r[2]);
    close_world(w);
}

static void the_limit_of_one_address_is_not_that_of_its_neighbours_or_of_this_machine(void **state)
{
    static const char *const from[] = {"127.0.0.2", "127.0.0.3", "127.0.0.1", "127.0.0.1"};
    SPECIAL_WORLD(w, per_address, 1);
    struct rawhttp r[4];

    (void)state;
    for (size_t i = 0; i < array_len(r); i++)
        visit_world_from(w, from[i], &r[i]);
    for (size_t i = 0; i < array_len(r); i++) {
        rawhttp_say(&r[i], "GET /a HTTP/1.1\r\n" HOST "\r\n");
        rawhttp_await_status(&r[i], 200);
    }
    for (size_t i = 0; i < array_len(r); i++)
        rawhttp_close(&r[i]);
    close_world(w);
}

/* -- requests that the server refuses itself -- */

static void a_head_of_72_kib_is_read_and_a_longer_one_is_refused(void **state)
{
    static const char begin[] = "GET /a HTTP/1.1\r\n" HOST "X: ";
    struct world *w = plain_world();

    (void)state;
    for (int more = -1; more <= 1; more++) {
        size_t n = HTTPD_HEAD_MAX_BYTES - strlen(begin) - 4 + (size_t)more;
        struct rawhttp r;

        visit_world(w, &r);
        rawhttp_say(&r, "%s", begin);
        fill(&r, n);
        rawhttp_say(&r, "\r\n\r\n");
        rawhttp_await_status(&r, more > 0 ? 431 : 200);
        rawhttp_close(&r);
    }
    close_world(w);
}

static void what_two_readers_could_read_differently_is_refused(void **state)
{
#define CHUNKS "\r\n5\r\nhello\r\n0\r\n\r\n"
#define P "POST /a HTTP/1.1\r\n" HOST
    static const struct {
        const char *text;
        size_t n;
    } heads[] = {
#define HEAD(text) {text, sizeof(text) - 1}
        HEAD(P "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" CHUNKS),
        HEAD(P "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" CHUNKS),
        HEAD(P "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        HEAD(P "Content-Length: 5, 6\r\n\r\nhello"),
        HEAD(P "Content-Length: -1\r\n\r\nhello"),
        HEAD(P "Content-Length: +5\r\n\r\nhello"),
        HEAD(P "Content-Length: 0x5\r\n\r\nhello"),
        HEAD(P "Content-Length: \r\n\r\nhello"),
        HEAD(P "Content-Length: 18446744073709551616\r\n\r\nhello"),
        HEAD(P "Content-Length : 5\r\n\r\nhello"),
        HEAD(P "Content-Length: 5\n\r\nhello"),
        HEAD(P "Transfer-Encoding: gzip, chunked\r\n" CHUNKS),
        HEAD(P "Transfer-Encoding: chunked, chunked\r\n" CHUNKS),
        HEAD(P "Transfer-Encoding: identity\r\n" CHUNKS),
        HEAD(P "Transfer-Encoding: xchunked\r\n" CHUNKS),
        HEAD(P "Transfer-Encoding : chunked\r\n" CHUNKS),
        HEAD(P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" CHUNKS),
        HEAD("POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" CHUNKS),
        HEAD(P "Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n"),
        HEAD(P "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"),
        HEAD(P "Transfer-Encoding: chunked\r\n\r\n5\r\nhellogoodbye\r\n0\r\n\r\n"),
        HEAD(P "Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\nhello\r\n0\r\n\r\n"),
        HEAD(P "X: y\r\n folded\r\n\r\n"),
        HEAD(P " X: y\r\n\r\n"),
        HEAD(P "no colon\r\n\r\n"),
        HEAD(P ": no name\r\n\r\n"),
        HEAD(P "X\0Y: z\r\n\r\n"),
        HEAD(P "X: y\0z\r\n\r\n"),
        HEAD(P "X: y\rz\r\n\r\n"),
        HEAD(P "X: \x01\r\n\r\n"),
        HEAD(P HOST "\r\n"),
        HEAD("POST /a HTTP/1.1\r\n\r\n"),
        HEAD("GET /a\0b HTTP/1.1\r\n" HOST "\r\n"),
        HEAD("GET /a\x01 HTTP/1.1\r\n" HOST "\r\n"),
        HEAD("GET /a b HTTP/1.1\r\n" HOST "\r\n"),
        HEAD("GET /a\r\n" HOST "\r\n"),
        HEAD("GET /a HTTP/2.0\r\n" HOST "\r\n"),
        HEAD("GET /a HTTP/0.9\r\n" HOST "\r\n"),
        HEAD("GET /a XTTP/1.1\r\n" HOST "\r\n"),
        HEAD("G(T /a HTTP/1.1\r\n" HOST "\r\n"),
        HEAD("GET /a HTTP/1.1\n" HOST "\n"),
        HEAD("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 \r\n\r\n"),
#undef HEAD
    };
#undef P
#undef CHUNKS
    struct world *w = plain_world();

    (void)state;
    for (size_t i = 0; i < array_len(heads); i++) {
        struct rawhttp_answer a;
        struct rawhttp r;
        int status;

        visit_world(w, &r);
        rawhttp_send(&r, heads[i].text, heads[i].n);
        rawhttp_half_close(&r);
        status = rawhttp_await_any(&r);
        if (status != 0 && status != 505 && (status < 400 || status > 499))
            fail_msg("%d for: %s", status, heads[i].text);
        if (status)
            assert_false(rawhttp_next(&r, &a));
        rawhttp_close(&r);
    }
    for (size_t i = 0; i < w->seen_count; i++)
        assert_int_equal(w->seen[i].wholes, 0);
    close_world(w);
}

/* A URL of the maximum length with as many parameters as fit. */
static void a_url_of_8_kib_may_hold_any_number_of_parameters(void **state)
{
    static const char *const parameters[] = {"a&", "a=b&", "&", "=&", "a=%26&"};
    struct world *w = plain_world();

    (void)state;
    for (size_t i = 0; i < array_len(parameters); i++) {
        struct buf target;
        struct rawhttp r;

        buf_init(&target, SIZE_MAX);
        buf_printf(&target, "/?");
        while (target.n + strlen(parameters[i]) <= 8192)
            buf_printf(&target, "%s", parameters[i]);
        buf_putc(&target, '\0');
        visit_world(w, &r);
        for (int k = 0; k < 2; k++) {
            char *want = alloc_printf("GET %s ", target.p);

            rawhttp_say(&r, "GET %s HTTP/1.1\r\n" HOST "\r\n", target.p);
            assert_answer(&r, 200, want);
            free(want);
        }
        rawhttp_close(&r);
        buf_deinit(&target);
    }
    close_world(w);
}

/* Closing the connection without an answer would be less helpful. */
static void what_is_no_request_line_is_answered_with_400(void **state)
{
    static const struct {
        const char *text;
        size_t n;
    } lines[] = {
#define LINE(text) {text, sizeof(text) - 1}
        LINE("GET /a\0b HTTP/1.1\r\n" HOST "\r\n"),
        LINE("BREW /a\0b HTTP/1.1\r\n" HOST "\r\n"),
        LINE("PURGE /\0 HTTP/1.1\r\n" HOST "\r\n"),
        LINE("GET /a HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n"),
#undef LINE
    };
    struct world *w = plain_world();

    (void)state;
    for (size_t i = 0; i < array_len(lines); i++) {
        struct rawhttp r;

        visit_world(w, &r);
        rawhttp_send(&r, lines[i].text, lines[i].n);
        rawhttp_await_status(&r, 400);
        rawhttp_await_end(&r);
        rawhttp_close(&r);
    }
    for (size_t i = 0; i < w->seen_count; i++)
        assert_int_equal(w->seen[i].wholes, 0);
    close_world(w);
}

/* Old versions of libmicrohttpd skip any number of empty lines, newer ones only one. */
static void empty_lines_before_a_request_are_passed_over_or_refused(void **state)
{
    struct world *w = plain_world();

    (void)state;
    for (int lines = 1; lines <= 3; lines++) {
        struct rawhttp r;
        int status;

        visit_world(w, &r);
        rawhttp_say(&r, "%.*sGET /a HTTP/1.1\r\n" HOST "\r\n", 2 * lines, "\r\n\r\n\r\n");
        status = rawhttp_await_any(&r);
        if (status != 200 && (lines == 1 || status != 400))
            fail_msg("%d after %d empty lines", status, lines);
        rawhttp_close(&r);
    }
    close_world(w);
}

/* Each parameter would need memory that the connection does not have. */
static void a_query_of_thousands_of_parameters_does_no_harm(void **state)
{
    struct world *w = plain_world();

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct rawhttp r, other;
        int status;

        visit_world(w, &r);
        rawhttp_say(&r, "GET /?");
        for (int k = 0; k < 5000; k++)
            rawhttp_say(&r, "a&");
        rawhttp_say(&r, " HTTP/1.1\r\n" HOST "\r\n");
        status = rawhttp_await_any(&r);
        assert_true(status == 200 || status == 414 || status == 431);
        visit_world(w, &other);
        rawhttp_say(&other, "GET /b HTTP/1.1\r\n" HOST "\r\n");
        assert_answer(&other, 200, "GET /b ");
        rawhttp_close(&other);
        rawhttp_close(&r);
    }
    close_world(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_and_the_connection_goes_on),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_pipelined_request_waits_until_the_one_before_is_answered),
        cmocka_unit_test(what_is_asked_with_head_is_answered_without_a_body),
        cmocka_unit_test(http_1_0_is_answered_and_closed_unless_it_asks_to_be_kept),
        cmocka_unit_test(a_target_arrives_as_it_came),
        cmocka_unit_test(headers_are_found_in_any_case_the_first_or_all),
        cmocka_unit_test(a_file_is_an_answer_too),
        cmocka_unit_test(leave_to_continue_is_given_when_the_body_is_wanted),
        cmocka_unit_test(a_half_closed_peer_is_answered),
        cmocka_unit_test(an_idle_client_makes_room_for_another),
        cmocka_unit_test(when_all_are_busy_a_new_one_waits),
        cmocka_unit_test(one_address_has_a_limit_of_its_own),
        cmocka_unit_test(a_head_of_72_kib_is_read_and_a_longer_one_is_refused),
        cmocka_unit_test(the_limit_of_one_address_is_not_that_of_its_neighbours_or_of_this_machine),
        cmocka_unit_test(what_two_readers_could_read_differently_is_refused),
        cmocka_unit_test(a_url_of_8_kib_may_hold_any_number_of_parameters),
        cmocka_unit_test(what_is_no_request_line_is_answered_with_400),
        cmocka_unit_test(empty_lines_before_a_request_are_passed_over_or_refused),
        cmocka_unit_test(a_query_of_thousands_of_parameters_does_no_harm),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
