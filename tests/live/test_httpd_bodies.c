/* SPDX-License-Identifier: MIT
 * Request bodies that the HTTP server collects or streams, and bodies that it refuses. */
#include "httpd_world.h"

/* -- bodies -- */

static void a_body_may_be_as_long_as_was_said_and_no_longer(void **state)
{
    struct world *w = plain_world();

    (void)state;
    for (int more = -1; more <= 1; more++) {
        for (int chunked = 0; chunked < 2; chunked++) {
            size_t n = BODY_MAX + (size_t)more;
            struct rawhttp r;

            visit_world(w, &r);
            rawhttp_say(&r, "POST /later HTTP/1.1\r\n" HOST);
            if (chunked)
                rawhttp_say(&r, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", n);
            else
                rawhttp_say(&r, "Content-Length: %zu\r\n\r\n", n);
            fill(&r, n);
            if (chunked)
                rawhttp_say(&r, "\r\n0\r\n\r\n");
            if (more > 0) {
                rawhttp_await_status(&r, 413);
                rawhttp_await_end(&r);
            } else {
                struct seen *s = &w->seen[w->seen_count];

                pump_until(w, s->wholes == 1);
                assert_int_equal(s->body_bytes, n);
                answer_text(s->visit, 200, "");
                rawhttp_await_status(&r, 200);
            }
            rawhttp_close(&r);
        }
    }
    close_world(w);
}

static void a_visit_may_be_told_a_ceiling_of_its_own(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "POST /little HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n0123456789");
    assert_answer(&r, 200, "POST /little 0123456789");
    rawhttp_say(&r, "POST /little HTTP/1.1\r\n" HOST "Content-Length: 11\r\n\r\n0123456789a");
    rawhttp_await_status(&r, 413);
    rawhttp_await_end(&r);
    rawhttp_close(&r);
    close_world(w);
}

static void two_gibibytes_announced_are_refused_before_they_come(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "POST /a HTTP/1.1\r\n" HOST "Content-Length: 2147483648\r\n\r\n");
    rawhttp_await_status(&r, 413);
    rawhttp_await_end(&r);
    rawhttp_close(&r);
    close_world(w);
}

/* Closing a connection with unread bytes causes a reset, which must not destroy the answer. */
static void a_client_that_sends_all_of_a_refused_body_gets_the_answer(void **state)
{
    struct world *w = plain_world();

    (void)state;
    for (int i = 0; i < 5; i++) {
        struct rawhttp r;

        visit_world(w, &r);
        rawhttp_say(&r, "POST /a HTTP/1.1\r\n" HOST "Content-Length: 9000000\r\n\r\n");
        fill(&r, 9000000);
        assert_false(r.ended);
        rawhttp_await_status(&r, 413);
        rawhttp_await_end(&r);
        assert_false(r.reset);
        rawhttp_close(&r);
    }
    close_world(w);
}

static void say_chunked(struct world *w, struct rawhttp *r, const char *target, const char *chunks)
{
    visit_world(w, r);
    rawhttp_say(r,
                "POST %s HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%s"
                "GET /smuggled HTTP/1.1\r\n" HOST "\r\n",
                target, chunks);
}

static void a_lone_lf_in_the_framing_of_chunks_is_refused(void **state)
{
    static const char *const chunks[] = {
        "5\nhello\r\n0\r\n\r\n",
        "5;x=y\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n5\r\nworld\r\n0\r\n\r\n",
        "5\r\nhello\n5;x=y\r\nworld\r\n0\r\n\r\n",
        "5\r\nhello\r\n5\nworld\r\n0\r\n\r\n",
        "5\r\nhello5\r\nworld\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
    };
    static const char *const targets[] = {"/a", "/stream"};
    struct world *w = plain_world();

    (void)state;
    for (size_t i = 0; i < array_len(chunks) * array_len(targets); i++) {
        struct rawhttp r;
        int status;

        say_chunked(w, &r, targets[i % 2], chunks[i / 2]);
        status = rawhttp_await_any(&r);
        if (status != 400 && status != 413)
            fail_msg("%d for %s", status, chunks[i / 2]);
        rawhttp_await_end(&r);
        rawhttp_close(&r);
    }
    for (size_t i = 0; i < w->seen_count; i++) {
        assert_int_equal(w->seen[i].wholes, 0);
        assert_string_not_equal(w->seen[i].target, "/smuggled");
    }
    close_world(w);
}

/* Old versions of libmicrohttpd treat these as the end of the body. A proxy in front may not, so
 * the following bytes must not be treated as a request. */
static void nothing_is_served_behind_chunks_that_end_oddly(void **state)
{
    static const char *const chunks[] = {
        "5\r\nhello\r\n0\n\n",       "5\r\nhello\r\n0\r\n\n",         "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\n0\r\n\r\n",     "5\r\nhello\r\n0\r\nX: y\n\r\n", "5\r\nhello\r\n0\r\nX: y\n\n",
        "5\r\nhello\r\n0;x\n\r\n",   "5;x\r\nhello\r\n0\r\n\r\n",     "6;x\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0;x\r\n\r\n",
    };
    struct world *w = plain_world();

    (void)state;
    for (size_t i = 0; i < array_len(chunks); i++) {
        struct rawhttp r;
        int status;

        say_chunked(w, &r, "/a", chunks[i]);
        status = rawhttp_await_any(&r);
        if (status != 400 && status != 200)
            fail_msg("%d for %s", status, chunks[i]);
        rawhttp_await_end(&r);
        rawhttp_close(&r);
    }
    for (size_t i = 0; i < w->seen_count; i++)
        assert_string_not_equal(w->seen[i].target, "/smuggled");
    close_world(w);
}

/* Many chunks of different sizes, split at arbitrary places. The check of their framing must handle
 * this. */
static void chunks_may_be_cut_anywhere(void **state)
{
    static const char chunks[] = "5\r\nhello\r\n1\r\n,\r\n7\r\n\r\nworld\r\n0\r\n\r\n";
    struct world *w = plain_world();

    (void)state;
    for (size_t cut = 1; cut < sizeof(chunks) - 1; cut++) {
        struct rawhttp r;
        size_t seen = w->seen_count;

        visit_world(w, &r);
        rawhttp_say(&r, "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
        rawhttp_send(&r, chunks, cut);
        pump_until(w, w->seen_count == seen + 1);
        for (int i = 0; i < 5; i++)
            pump(w);
        rawhttp_send(&r, chunks + cut, sizeof(chunks) - 1 - cut);
        assert_answer(&r, 200, "POST /a hello,\r\nworld");
        rawhttp_close(&r);
    }
    close_world(w);
}

static void a_chunked_body_without_end_is_answered_and_ended(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 10000 && !r.ended && r.got.n == 0; i++) {
        rawhttp_say(&r, "400\r\n");
        fill(&r, 1024);
        rawhttp_say(&r, "\r\n");
        pump(w);
        rawhttp_read(&r);
    }
    rawhttp_await_status(&r, 413);
    rawhttp_await_end(&r);
    rawhttp_close(&r);
    close_world(w);
}

static void after_a_refusal_a_short_body_is_dropped_and_the_connection_goes_on(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "POST /refuse HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n");
    fill(&r, 1000);
    assert_answer(&r, 401, "no");
    rawhttp_say(&r, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    assert_answer(&r, 200, "GET /a ");
    assert_int_equal(w->seen[0].wholes, 0);
    rawhttp_close(&r);
    close_world(w);
}

/* Each request may have the largest body, but not all at once. Further requests are refused at the
 * head. */
static void bodies_together_have_a_ceiling(void **state)
{
    SPECIAL_WORLD(w, body_max_bytes, 2 * 1024 * 1024);
    struct rawhttp r[40];
    size_t refused = 0;

    (void)state;
    for (size_t i = 0; i < array_len(r); i++) {
        visit_world(w, &r[i]);
        rawhttp_say(&r[i], "POST /a HTTP/1.1\r\n" HOST "Content-Length: 2000001\r\n\r\n");
        fill(&r[i], 2000000);
    }
    for (size_t i = 0; i < array_len(r); i++) {
        int status;

        rawhttp_say(&r[i], "x");
        status = rawhttp_await_any(&r[i]);
        assert_true(status == 200 || status == 503);
        refused += status == 503;
        rawhttp_close(&r[i]);
    }
    assert_int_equal(refused, array_len(r) - quota_most(&w->room) / 2000001);
    assert_int_equal(w->room.used, 0);
    close_world(w);
}

/* -- streams -- */

static void a_stream_comes_in_parts_that_make_the_whole(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "POST /stream HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n");
    fill(&r, 1000000); /* longer than any collected body */
    rawhttp_await_status(&r, 200);
    assert_int_equal(w->seen[0].streamed.n, 1000000);
    assert_true(w->seen[0].parts > 1);
    rawhttp_close(&r);
    close_world(w);
}

static void what_was_not_taken_comes_again_and_only_when_asked_for(void **state)
{
    struct world *w = plain_world();
    struct seen *s = &w->seen[0];
    struct rawhttp r;

    (void)state;
    for (int chunked = 0; chunked < 2; chunked++, s++) {
        unsigned parts;

        visit_world(w, &r);
        w->take = 4;
        rawhttp_say(&r, "POST /stream HTTP/1.1\r\n" HOST "%s0123456789abcdef%s",
                    chunked ? "Transfer-Encoding: chunked\r\n\r\n10\r\n"
                            : "Content-Length: 16\r\n\r\n",
                    chunked ? "\r\n0\r\n\r\n" : "");
        pump_until(w, s->parts == 1);
        do {
            parts = s->parts;
            for (int i = 0; i < 20; i++)
                pump(w);
            assert_int_equal(s->parts, parts);
            assert_int_equal(s->streamed.n, parts * 4);
            visit_continue(s->visit);
            pump_until(w, s->parts > parts || s->wholes);
        } while (!s->wholes);
        rawhttp_await_status(&r, 200);
        assert_string_equal(s->streamed.p, "0123456789abcdef");
        rawhttp_close(&r);
    }
    close_world(w);
}

static void to_go_on_may_be_said_while_the_part_is_handed_over(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    w->take = 3;
    w->goes_on = true;
    rawhttp_say(&r, "POST /stream HTTP/1.1\r\n" HOST "Content-Length: 16\r\n\r\n0123456789abcdef");
    rawhttp_await_status(&r, 200);
    assert_string_equal(w->seen[0].streamed.p, "0123456789abcdef");
    rawhttp_close(&r);
    close_world(w);
}

static void a_stream_of_a_half_closed_peer_is_read_to_its_end(void **state)
{
    struct world *w = plain_world();
    struct rawhttp older, r;

    (void)state;
    visit_world(w, &older);
    pump_until(w, httpd_counts(w->httpd)->connections == 1);
    visit_world(w, &r);
    w->take = 4;
    rawhttp_say(&r, "POST /stream HTTP/1.1\r\n" HOST "Content-Length: 16\r\n\r\n0123456789abcdef");
    rawhttp_half_close(&r);
    for (unsigned parts = 1; parts <= 3; parts++) {
        pump_until(w, w->seen[0].parts == parts);
        visit_continue(w->seen[0].visit);
    }
    rawhttp_await_status(&r, 200);
    rawhttp_close(&r);
    rawhttp_close(&older);
    close_world(w);
}

static void a_stream_without_end_that_is_answered_is_ended(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    rawhttp_say(&r, "POST /stream/enough HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 10000 && !r.ended && r.got.n == 0; i++) {
        rawhttp_say(&r, "400\r\n");
        fill(&r, 1024);
        rawhttp_say(&r, "\r\n");
        pump(w);
        rawhttp_read(&r);
    }
    assert_answer(&r, 422, "enough");
    rawhttp_await_end(&r);
    assert_int_equal(w->seen[0].wholes, 0);
    rawhttp_close(&r);
    close_world(w);
}

static void a_stream_that_waits_may_be_answered_instead(void **state)
{
    struct world *w = plain_world();
    struct rawhttp r;

    (void)state;
    visit_world(w, &r);
    w->take = 4;
    rawhttp_say(&r, "POST /stream HTTP/1.1\r\n" HOST "Content-Length: 16\r\n\r\n0123456789abcdef");
    pump_until(w, w->seen[0].parts == 1);
    answer_text(w->seen[0].visit, 422, "no");
    assert_answer(&r, 422, "no");
    rawhttp_say(&r, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    assert_answer(&r, 200, "GET /a ");
    rawhttp_close(&r);
    close_world(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_may_be_as_long_as_was_said_and_no_longer),
        cmocka_unit_test(a_visit_may_be_told_a_ceiling_of_its_own),
        cmocka_unit_test(two_gibibytes_announced_are_refused_before_they_come),
        cmocka_unit_test(a_client_that_sends_all_of_a_refused_body_gets_the_answer),
        cmocka_unit_test(a_lone_lf_in_the_framing_of_chunks_is_refused),
        cmocka_unit_test(nothing_is_served_behind_chunks_that_end_oddly),
        cmocka_unit_test(chunks_may_be_cut_anywhere),
        cmocka_unit_test(a_chunked_body_without_end_is_answered_and_ended),
        cmocka_unit_test(after_a_refusal_a_short_body_is_dropped_and_the_connection_goes_on),
        cmocka_unit_test(bodies_together_have_a_ceiling),
        cmocka_unit_test(a_stream_comes_in_parts_that_make_the_whole),
        cmocka_unit_test(what_was_not_taken_comes_again_and_only_when_asked_for),
        cmocka_unit_test(to_go_on_may_be_said_while_the_part_is_handed_over),
        cmocka_unit_test(a_stream_of_a_half_closed_peer_is_read_to_its_end),
        cmocka_unit_test(a_stream_without_end_that_is_answered_is_ended),
        cmocka_unit_test(a_stream_that_waits_may_be_answered_instead),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
