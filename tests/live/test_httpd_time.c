/* SPDX-License-Identifier: MIT
 * How long the HTTP server waits for its clients and for the application, and how it shuts down. */
#include "httpd_world.h"

/* -- patience and timeouts -- */

static void late_comes_when_nobody_answers(void **state)
{
    SPECIAL_WORLD(w, patience_ms, 1);
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    assert_answer(&r, 503, "late");
    assert_int_equal(w->seen[0].lates, 1);
    rawhttp_close(&r);
    close_world(w);
}

static void a_stream_that_nobody_continues_is_late_too(void **state)
{
    SPECIAL_WORLD(w, patience_ms, 1);
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    w->take = 4;
    rawhttp_say(&r, "POST /stream HTTP/1.1\r\n" HOST "Content-Length: 8\r\n\r\n01234567");
    assert_answer(&r, 503, "late");
    rawhttp_close(&r);
    close_world(w);
}

static void a_visit_may_ask_for_more_patience(void **state)
{
    SPECIAL_WORLD(w, patience_ms, 1);
    struct rawhttp r[2];

    (void)state;
    w->patience = 60000;
    visit_world(w, &r[0]);
    rawhttp_say(&r[0], "GET /later/patient HTTP/1.1\r\n" HOST "\r\n");
    pump_until(w, w->seen[0].wholes == 1);
    w->patience = 0;
    visit_world(w, &r[1]);
    rawhttp_say(&r[1], "GET /later HTTP/1.1\r\n" HOST "\r\n");
    assert_answer(&r[1], 503, "late"); /* the other request's timeout has measured the time */
    assert_int_equal(w->seen[0].lates, 0);
    visit_set_patience(w->seen[0].visit, 1); /* a shorter one, set later */
    assert_answer(&r[0], 503, "late");
    rawhttp_close(&r[0]);
    rawhttp_close(&r[1]);
    close_world(w);
}

static void an_idle_client_is_disconnected(void **state)
{
    SPECIAL_WORLD(w, idle_s, 1);
    struct rawhttp r[2];

    (void)state;
    visit_world(w, &r[0]);
    visit_world(w, &r[1]);
    rawhttp_say(&r[0], "GET /a HTTP/1.1\r\n" HOST "\r\n");
    rawhttp_await_status(&r[0], 200);
    rawhttp_await_end(&r[0]);
    rawhttp_await_end(&r[1]);
    rawhttp_close(&r[0]);
    rawhttp_close(&r[1]);
    close_world(w);
}

static void an_unfinished_request_is_answered_with_408(void **state)
{
    static const char *const begun[] = {
        "POST /a HTTP/1.1\r\nHost: ", "POST /a HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nhell",
        "POST /stream HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhel"};
    SPECIAL_WORLD(w, request_s, 1);

    (void)state;
    for (size_t i = 0; i < array_len(begun); i++) {
        struct rawhttp r;

        visit_world(w, &r);
        rawhttp_say(&r, "%s", begun[i]);
        rawhttp_await_status(&r, 408);
        rawhttp_await_end(&r);
        rawhttp_close(&r);
    }
    assert_int_equal(httpd_counts(w->httpd)->timeouts, array_len(begun));
    close_world(w);
}

static void a_client_that_does_not_send_a_refused_body_gets_the_answer(void **state)
{
    SPECIAL_WORLD(w, request_s, 1);
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "POST /refuse HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nhell");
    assert_answer(&r, 401, "no");
    rawhttp_await_end(&r);
    rawhttp_close(&r);
    close_world(w);
}

static void a_slow_stream_lives_while_it_brings_something(void **state)
{
    SPECIAL_WORLD(w, request_s, 1);
    uint64_t until = clock_mono_ns() + 2500 * NS_PER_MS;
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "POST /stream HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    while (clock_mono_ns() < until) {
        struct await some = await_begin("", -1, AWAIT_PATIENCE_MS);

        rawhttp_say(&r, "100\r\n");
        fill(&r, 256);
        rawhttp_say(&r, "\r\n");
        pump(w);
        await_more(&some);
    }
    rawhttp_say(&r, "0\r\n\r\n");
    rawhttp_await_status(&r, 200);
    rawhttp_close(&r);
    close_world(w);
}

static void a_reader_that_takes_nothing_is_given_up(void **state)
{
    SPECIAL_WORLD(w, request_s, 1);
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "GET /long HTTP/1.1\r\n" HOST "\r\n");
    pump_until(w, w->seen[0].gones == 1);
    assert_int_equal(httpd_counts(w->httpd)->timeouts, 1);
    rawhttp_close(&r);
    close_world(w);
}

static void a_reader_that_takes_its_time_gets_it_all(void **state)
{
    SPECIAL_WORLD(w, request_s, 1);
    struct rawhttp r;
    size_t got = 0;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "GET /long HTTP/1.1\r\n" HOST "\r\n");
    while (got < (size_t)64 * 1024 * 1024) {
        struct await some = await_begin("", -1, AWAIT_PATIENCE_MS);
        static char part[256 * 1024];
        ssize_t n = recv(r.fd, part, sizeof(part), MSG_DONTWAIT);

        assert_int_not_equal(n, 0);
        got += n > 0 ? (size_t)n : 0;
        pump(w);
        await_more(&some);
    }
    pump_until(w, w->seen[0].gones == 1);
    assert_int_equal(httpd_counts(w->httpd)->timeouts, 0);
    rawhttp_close(&r);
    close_world(w);
}

static void a_peer_that_leaves_is_gone_once(void **state)
{
    static const char *const begun[] = {
        "POST /a HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nhell",
        "GET /later HTTP/1.1\r\n" HOST "\r\n",
        "GET /long HTTP/1.1\r\n" HOST "\r\n",
    };
    struct world *w = plain_world();

    (void)state;
    for (size_t i = 0; i < array_len(begun); i++) {
        struct rawhttp r;

        visit_world(w, &r);
        rawhttp_say(&r, "%s", begun[i]);
        pump_until(w, w->seen_count == i + 1);
        rawhttp_reset(&r);
        if (i == 1) { /* this is noticed when it is answered */
            pump_until(w, w->seen[i].wholes == 1);
            answer_text(w->seen[i].visit, 200, "");
        }
        pump_until(w, w->seen[i].gones == 1);
    }
    close_world(w); /* and is not counted twice */
}

/* -- closing -- */

static void closing_waits_for_the_visits_under_way_and_for_nobody_else(void **state)
{
    struct world *w = plain_world();
    struct rawhttp idle, used, busy;

    (void)state;
    visit_world(w, &idle);
    visit_world(w, &used);
    rawhttp_say(&used, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    rawhttp_await_status(&used, 200);
    visit_world(w, &busy);
    rawhttp_say(&busy, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    pump_until(w, w->seen_count == 2 && w->seen[1].wholes == 1);
    httpd_close(w->httpd, on_closed, w);
    rawhttp_await_end(&idle);
    rawhttp_await_end(&used);
    assert_false(w->closed);
    answer_text(w->seen[1].visit, 200, "still");
    assert_answer(&busy, 200, "still");
    rawhttp_await_end(&busy);
    pump_until(w, w->closed);
    free_world(w);
    rawhttp_close(&idle);
    rawhttp_close(&used);
    rawhttp_close(&busy);
}

static void closing_ends_at_the_patience_of_who_is_not_answered(void **state)
{
    SPECIAL_WORLD(w, patience_ms, 1);
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    pump_until(w, w->seen_count == 1 && w->seen[0].wholes == 1);
    close_world(w);
    rawhttp_close(&r);
}

static void closing_waits_seconds_for_a_request_that_does_not_come(void **state)
{
    static const char *const begun[] = {
        "GET /a HTT",
        "POST /a HTTP/1.1\r\nHost: ", "POST /a HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nhell",
        "GET /long HTTP/1.1\r\n" HOST "\r\n"};
    struct world *w = plain_world();
    struct rawhttp r[array_len(begun)];

    (void)state;
    for (size_t i = 0; i < array_len(begun); i++) {
        visit_world(w, &r[i]);
        rawhttp_say(&r[i], "%s", begun[i]);
    }
    pump_until(w, httpd_counts(w->httpd)->visits == 3); /* the first one has no complete line */
    for (int i = 0; i < 20; i++)
        pump(w);
    close_world(w);
    for (size_t i = 0; i < array_len(begun); i++)
        rawhttp_close(&r[i]);
}

static void closing_ends_a_stream_that_does_not_end(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "POST /stream HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    pump_until(w, w->seen_count == 1);
    httpd_close(w->httpd, on_closed, w);
    while (!r.ended) {
        rawhttp_say(&r, "400\r\n");
        fill(&r, 1024);
        rawhttp_say(&r, "\r\n");
        pump(w);
        rawhttp_read(&r);
        assert_true(w->seen[0].streamed.n < (size_t)1 << 32); /* that would take minutes */
    }
    pump_until(w, w->closed);
    free_world(w);
    rawhttp_close(&r);
}

static void an_answer_that_is_being_read_is_read_to_its_end_when_closing(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "GET /long HTTP/1.1\r\n" HOST "\r\n");
    pump_until(w, w->seen_count == 1 && w->seen[0].wholes == 1);
    httpd_close(w->httpd, on_closed, w);
    assert_int_equal(rawhttp_await(&r).body.n, 64 * 1024 * 1024);
    for (int i = 0; i < 10000 && !w->closed; i++) /* closed, although the answer did not say so */
        pump(w);
    assert_true(w->closed);
    free_world(w);
    rawhttp_close(&r);
}

/* A reload may come before. */
static void connections_wait_until_they_are_accepted(void **state)
{
    SPECIAL_WORLD(w, accepts_later, true);
    struct httpd_options o = options(w);
    struct error err;
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    o.connections = 32;
    assert_int_equal(httpd_set_limits(w->httpd, &o, &err), 0);
    for (int i = 0; i < 100; i++)
        pump(w);
    assert_int_equal(httpd_counts(w->httpd)->accepted, 0);
    httpd_accept(w->httpd);
    assert_answer(&r, 200, "GET /a ");
    httpd_accept(w->httpd);
    rawhttp_close(&r);
    close_world(w);
}

static void a_server_that_accepts_nothing_yet_can_be_closed(void **state)
{
    SPECIAL_WORLD(w, accepts_later, true);
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    close_world(w);
    rawhttp_close(&r);
}

static void a_place_where_one_cannot_listen_is_said(void **state)
{
    static const char *const places[] = {"127.0.0.1", "192.0.2.1:80", "127.0.0.1:http-no", "[::1"};

    (void)state;
    for (size_t i = 0; i < array_len(places); i++) {
        struct world w = {.loop = loop_new()};
        struct httpd_options o = options(&w);
        struct error err = {""};

        o.listen = places[i];
        assert_null(httpd_new(w.loop, &o, &err));
        assert_true(strlen(err.text) > 5);
        loop_run(w.loop);
        loop_free(w.loop);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_comes_when_nobody_answers),
        cmocka_unit_test(a_stream_that_nobody_continues_is_late_too),
        cmocka_unit_test(a_visit_may_ask_for_more_patience),
        cmocka_unit_test(an_idle_client_is_disconnected),
        cmocka_unit_test(connections_wait_until_they_are_accepted),
        cmocka_unit_test(a_server_that_accepts_nothing_yet_can_be_closed),
        cmocka_unit_test(an_unfinished_request_is_answered_with_408),
        cmocka_unit_test(a_client_that_does_not_send_a_refused_body_gets_the_answer),
        cmocka_unit_test(a_slow_stream_lives_while_it_brings_something),
        cmocka_unit_test(a_reader_that_takes_nothing_is_given_up),
        cmocka_unit_test(a_reader_that_takes_its_time_gets_it_all),
        cmocka_unit_test(a_peer_that_leaves_is_gone_once),
        cmocka_unit_test(closing_waits_for_the_visits_under_way_and_for_nobody_else),
        cmocka_unit_test(closing_ends_at_the_patience_of_who_is_not_answered),
        cmocka_unit_test(closing_waits_seconds_for_a_request_that_does_not_come),
        cmocka_unit_test(closing_ends_a_stream_that_does_not_end),
        cmocka_unit_test(an_answer_that_is_being_read_is_read_to_its_end_when_closing),
        cmocka_unit_test(a_place_where_one_cannot_listen_is_said),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
