/* SPDX-License-Identifier: MIT
 * The sender when connections fail, when it must not send, and when it is closed. */
#include "sender_rig.h"

#include <curl/curl.h>

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
    x->peer = EXCHANGE_API;
    buf_put(&x->url, SPAN("https://no-such-host.invalid/x"));
    senders_send(r.senders, x);
    await(&r, 1);
    assert_int_equal(x->error, EXCHANGE_UNSENT);
    rig_close(&r);
}

/* The same handle each time: none may keep the host or the port of the one before. */
static void a_url_that_cannot_be_parsed_is_unsent_and_leaves_no_trace(void **state)
{
    struct rig r;
    struct exchange *x;

    (void)state;
    rig_open(&r);
    for (int i = 0; i < 4; i++) {
        x = exchange_new(r.endpoint, REPLY_MAX);
        x->peer = EXCHANGE_API;
        buf_put(&x->url, i % 2 ? SPAN("https://127.0.0.1:99999/x") : SPAN("https://[::1/x"));
        senders_send(r.senders, x);
        await(&r, r.back_count + 1);
        assert_int_equal(x->error, EXCHANGE_UNSENT);
        assert_true(*x->error_text);
        assert_ok(fetch(&r, i % 2 ? web.h1 : web.h2, "/", NULL));
        assert_ok(fetch(&r, i % 2 ? web.h2 : web.h1, "/", NULL));
    }
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
    endpoint_drop(r.endpoint); /* the same handle, and a connection that is already open */
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
    x->peer = EXCHANGE_API;
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
        rest(150); /* the server closes it, which causes no event that the test could await */
    }
    rig_close(&r);
}

/* nginx sends GOAWAY after the 20th request of a connection. */
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

/* In another program, one hanging connection delayed all purges:
 * https://phabricator.wikimedia.org/T249583 */
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
    /* By then the server continues, and its late data may reach a newer libcurl before the next
     * request. Then libcurl considers the connection usable. */
    if (curl_version_info(CURLVERSION_NOW)->version_num < 0x080000)
        assert_false(x->reused);
    rig_close(&r);
}

/* -- requests that must not be sent -- */

static void a_private_peer_is_refused_unless_allowed(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost",          "0.0.0.0",
                                        "[::1]",     "[::ffff:127.0.0.1]", "169.254.169.254"};
    struct rig r;

    (void)state;
    rig_open(&r);
    assert_ok(fetch(&r, web.h2, "/", NULL)); /* leaves an open connection, which must not be used */
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

/* The requests wait inside curl for the only stream until they expire. */
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

/* -- closing -- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_in_flight_share_few_connections),
        cmocka_unit_test(more_than_fits_on_a_connection_waits_or_takes_another),
        cmocka_unit_test(a_refused_connection_leaves_them_unsent),
        cmocka_unit_test(a_name_that_does_not_resolve_leaves_it_unsent),
        cmocka_unit_test(a_url_that_cannot_be_parsed_is_unsent_and_leaves_no_trace),
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
