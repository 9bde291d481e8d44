/* SPDX-License-Identifier: MIT
 * Which connections are closed to make room for others: those of clients that have finished
 * sending, and those of clients that have not shown a valid token. */
#include "httpd_world.h"

static void say_and_end(struct world *w, const char *text)
{
    struct rawhttp r;

    visit_world(w, &r);
    rawhttp_say(&r, "%s", text);
    rawhttp_half_close(&r);
    rawhttp_close(&r);
}

/* request_s, idle_s and the patience of pump_until are one minute each, so the awaited events are
 * caused by the FIN. */
static void half_a_request_and_a_fin_hold_no_connection(void **state)
{
    static const char *const halves[] = {
        "G",
        "GET /a HTTP/1.1\r\nHost: x\r\nX: y",
        "POST /a HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nhalf",
        "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        "POST /stream HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nhalf",
        "GET /a HTTP/1.1\r\n" HOST "\r\nGET /b HTT",
        "GET /a HTTP/1.1\r\n" HOST "\r\n",
    };
    struct world *w = plain_world();

    (void)state;
    for (size_t i = 0; i < array_len(halves); i++) {
        uint64_t before = httpd_counts(w->httpd)->accepted, until_ns;

        say_and_end(w, halves[i]);
        pump_until(w, httpd_counts(w->httpd)->accepted == before + 1);
        until_ns = clock_mono_ns() + 10 * NS_PER_S;
        while (httpd_counts(w->httpd)->connections && clock_mono_ns() < until_ns)
            pump(w);
        if (httpd_counts(w->httpd)->connections)
            fail_msg("still there after ten seconds: %s", halves[i]);
    }
    close_world(w);
}

/* The FIN is seen while libmicrohttpd has not yet read most of the requests. */
static void all_requests_before_a_fin_are_answered(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;
    char want[32];

    (void)state;
    visit_world(w, &r);
    for (int i = 0; i < 200; i++)
        rawhttp_say(&r, "GET /%d HTTP/1.1\r\n" HOST "X: %02000d\r\n\r\n", i, 0);
    rawhttp_half_close(&r);
    for (int i = 0; i < 200; i++) {
        snprintf(want, sizeof(want), "GET /%d ", i);
        assert_answer(&r, 200, want);
    }
    rawhttp_await_end(&r);
    rawhttp_close(&r);
    close_world(w);
}

static void a_refusal_is_told_although_the_body_never_comes(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "POST /refuse HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nhalf");
    rawhttp_half_close(&r);
    rawhttp_await_status(&r, 401);
    rawhttp_await_end(&r);
    rawhttp_close(&r);
    close_world(w);
}

/* -- too many connections -- */

static void unfinished_requests_make_room_for_who_comes(void **state)
{
    static const char *const halves[] = {
        "GET /a HTTP/1.1\r\nHost: x\r\nX: y",
        "POST /a HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nhalf",
        "POST /refuse HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nhalf",
    };
    SPECIAL_WORLD(w, connections, 3);
    struct rawhttp r[3], other;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        visit_world(w, &r[i]);
        rawhttp_say(&r[i], "%s", halves[i]);
        pump_until(w, httpd_counts(w->httpd)->visits == i + 1);
    }
    visit_world(w, &other);
    rawhttp_say(&other, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    rawhttp_await_status(&other, 200);
    rawhttp_await_end(&r[0]); /* the oldest is closed first */
    for (size_t i = 0; i < 3; i++)
        rawhttp_close(&r[i]);
    rawhttp_close(&other);
    close_world(w);
}

static void a_known_client_keeps_its_connection_while_strangers_come(void **state)
{
    SPECIAL_WORLD(w, connections, 400);
    struct rawhttp known, busy, r[500];

    (void)state;
    visit_world(w, &known);
    rawhttp_say(&known, "GET /known HTTP/1.1\r\n" HOST "\r\n");
    rawhttp_await_status(&known, 200);
    visit_world(w, &busy);
    rawhttp_say(&busy, "POST /known HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nha");
    for (size_t i = 0; i < array_len(r); i++) {
        visit_world(w, &r[i]);
        rawhttp_say(&r[i], "GET /a HTTP/1.1\r\n");
        pump_until(w, httpd_counts(w->httpd)->accepted == i + 3);
    }
    rawhttp_say(&busy, "lf");
    rawhttp_await_status(&busy, 200);
    rawhttp_say(&known, "GET /known HTTP/1.1\r\n" HOST "\r\n");
    rawhttp_await_status(&known, 200);
    for (size_t i = 0; i < array_len(r); i++)
        rawhttp_close(&r[i]);
    rawhttp_close(&busy);
    rawhttp_close(&known);
    close_world(w);
}

/* Otherwise a thousand of them, with endless requests, would take turns with the producers. */
static void of_many_strangers_each_is_answered_once(void **state)
{
    SPECIAL_WORLD(w, connections, 400);
    struct rawhttp known, r[300];
    char value[32];

    (void)state;
    visit_world(w, &known);
    rawhttp_say(&known, "GET /known HTTP/1.1\r\n" HOST "\r\n");
    rawhttp_await_status(&known, 200);
    for (size_t i = 0; i < array_len(r); i++)
        visit_world(w, &r[i]);
    pump_until(w, httpd_counts(w->httpd)->connections == array_len(r) + 1);
    for (int i = 0; i < 3; i++)
        rawhttp_say(&r[0], "GET /a HTTP/1.1\r\n" HOST "\r\n");
    {
        struct rawhttp_answer a = rawhttp_await(&r[0]);

        assert_string_equal(rawhttp_header(&a, "Connection", value, sizeof(value)), "close");
    }
    rawhttp_await_end(&r[0]);
    for (int i = 0; i < 3; i++) {
        rawhttp_say(&known, "GET /a HTTP/1.1\r\n" HOST "\r\n");
        rawhttp_await_status(&known, 200);
    }
    for (size_t i = 0; i < array_len(r); i++)
        rawhttp_close(&r[i]);
    rawhttp_close(&known);
    close_world(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_a_request_and_a_fin_hold_no_connection),
        cmocka_unit_test(all_requests_before_a_fin_are_answered),
        cmocka_unit_test(a_refusal_is_told_although_the_body_never_comes),
        cmocka_unit_test(unfinished_requests_make_room_for_who_comes),
        cmocka_unit_test(a_known_client_keeps_its_connection_while_strangers_come),
        cmocka_unit_test(of_many_strangers_each_is_answered_once),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
