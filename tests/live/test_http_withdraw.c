/* SPDX-License-Identifier: MIT
 * A permission that a reload removes is gone at once, even for requests in progress. */
#include "http_world.h"

#include "clock.h"
#include "rawhttp.h"

#define A "{\"keys\":[\"a\"]}"
#define BULK "POST /v1/purge/bulk HTTP/1.1\r\nHost: localhost\r\n"
#define CMS_KEY "Fastly-Key: cms-token"
/* Much shorter than all timeouts of the server. */
#define SOON_MS 5000

static void reconfigure(struct world *w, const char *lines)
{
    struct instance *i = &w->r->instances[0];
    char *global = alloc_printf(HTTP_LISTENS "producers:\n%s", lines);

    rig_configure(w->r, "", global);
    free(global);
    instance_signal(i, SIGHUP);
    instance_await_said(i, "Configuration and tokens were reloaded", 1);
}

/* The producer "cms" with a stream in progress that has sent one line. */
struct scene {
    struct world w;
    struct rawhttp r;
    char *other; /* lines of the remaining producer */
};

static void chunk(struct rawhttp *r, const char *text)
{
    rawhttp_say(r, "%zx\r\n%s\r\n", strlen(text), text);
}

static void open_scene(struct scene *s, void **state, const char *more)
{
    char *cms = world_producer("cms", "cms-token", more), *global;

    s->other = world_producer("other", "other-token", "");
    global = alloc_printf("producers:\n%s%s", s->other, cms);
    s->w = world_open(state, "", global);
    free(global);
    free(cms);
    rawhttp_open(&s->r, rawhttp_port(&s->w.r->instances[0]));
}

static void begin_stream(struct scene *s, const char *header)
{
    rawhttp_say(&s->r, BULK "%sTransfer-Encoding: chunked\r\n\r\n", header);
    chunk(&s->r, "{\"keys\":[\"before\"]}\n");
    (void)world_sent(&s->w, "before");
}

static void close_scene(struct scene *s)
{
    rawhttp_close(&s->r);
    free(s->other);
    world_close(&s->w);
}

/* The answer arrives although the producer sends nothing more. */
static void assert_ended(struct scene *s, int status, const char *words)
{
    uint64_t begun_ns = clock_mono_ns();
    struct rawhttp_answer a = rawhttp_await(&s->r);

    assert_int_equal(a.status, status);
    if (!rawhttp_says(&a, words))
        fail_msg("expected \"%s\": %.*s", words, (int)a.body.n, a.body.p);
    rawhttp_say(&s->r, "14\r\n{\"keys\":[\"after\"]}\n\r\n");
    rawhttp_await_end(&s->r);
    assert_in_range((clock_mono_ns() - begun_ns) / NS_PER_MS, 0, SOON_MS);
    world_flush(&s->w);
    assert_int_equal(requests_naming(&s->w.r->requests, "after", ANY_STATUS), 0);
}

/* -- removed producers -- */

static void a_stream_ends_when_its_producer_is_removed(void **state)
{
    struct scene s;

    open_scene(&s, state, "    jobs_per_minute: 5\n");
    begin_stream(&s, CMS_KEY "\r\n");
    reconfigure(&s.w, s.other);
    assert_ended(&s, 401, "nothing behind line 1 was taken; of the lines before, 1 are known");
    close_scene(&s);
}

static void a_stream_ends_when_the_token_changes(void **state)
{
    struct scene s;
    char *lines = world_producer("cms", "a-new-token", "");

    open_scene(&s, state, "");
    begin_stream(&s, CMS_KEY "\r\n");
    reconfigure(&s.w, lines);
    assert_ended(&s, 401, "the producer or its token was withdrawn");
    free(lines);
    close_scene(&s);
}

static void a_stream_of_anybody_ends_when_producers_are_introduced(void **state)
{
    struct scene s = {.other = world_producer("other", "other-token", "")};

    s.w = world_open(state, "", "");
    rawhttp_open(&s.r, rawhttp_port(&s.w.r->instances[0]));
    begin_stream(&s, "");
    reconfigure(&s.w, s.other);
    assert_ended(&s, 401, "the producer or its token was withdrawn");
    close_scene(&s);
}

static void half_a_body_is_not_waited_for(void **state)
{
    struct scene s;

    open_scene(&s, state, "");
    rawhttp_say(&s.r, "POST /v1/purge HTTP/1.1\r\nHost: localhost\r\n" CMS_KEY
                      "\r\nContent-Length: 1000\r\n\r\n{\"keys\":");
    /* This is processed after the head before it, so when it is answered, that head has been seen.
     */
    http_expect(s.w.h, 202, "POST", "/v1/purge", A, CMS_KEY, NULL);
    reconfigure(&s.w, s.other);
    assert_ended(&s, 401, "the producer or its token was withdrawn");
    close_scene(&s);
}

static void a_client_that_waits_for_a_receipt_is_told_of_the_job_only(void **state)
{
    struct scene s;

    open_scene(&s, state, "");
    rawhttp_say(&s.r, "POST /v1/purge HTTP/1.1\r\nHost: localhost\r\n" CMS_KEY
                      "\r\nPrefer: wait=60\r\nContent-Length: 46\r\n\r\n"
                      "{\"keys\":[\"later\"],\"not_before\":4102444800000}  ");
    http_expect(s.w.h, 202, "POST", "/v1/purge", A, CMS_KEY, NULL);
    reconfigure(&s.w, s.other);
    rawhttp_await_status(&s.r, 202);
    close_scene(&s);
}

/* -- producers with fewer permissions -- */

/* The stream continues: its next line gets this error, and its last line is accepted. */
static void assert_next_line_refused(struct scene *s, const char *more, const char *line,
                                     const char *last, const char *error)
{
    char *lines = world_producer("cms", "cms-token", more);
    struct rawhttp_answer a;

    reconfigure(&s->w, lines);
    free(lines);
    /* The endpoint has been told, and then the new scopes are in force. */
    rig_await(s->w.r,
              http_do(s->w.h, "POST", "/v1/purge", A, "Fastly-Key: other-token", NULL)->status ==
                  401);
    chunk(&s->r, line);
    chunk(&s->r, last);
    rawhttp_say(&s->r, "0\r\n\r\n");
    a = rawhttp_await(&s->r);
    assert_int_equal(a.status, 200);
    if (!rawhttp_says(&a, error))
        fail_msg("expected \"%s\": %.*s", error, (int)a.body.n, a.body.p);
}

static void a_stream_goes_on_under_narrower_scopes(void **state)
{
    struct scene s;

    open_scene(&s, state, "    kinds: [url, key]\n    lanes: [normal, urgent]\n");
    begin_stream(&s, CMS_KEY "\r\n");
    assert_next_line_refused(&s, "    kinds: [url, key]\n    lanes: [normal]\n",
                             "{\"keys\":[\"after\"],\"lane\":\"urgent\"}\n",
                             "{\"keys\":[\"last\"]}\n",
                             "lane: this producer may not use this lane");
    (void)world_sent(&s.w, "last");
    assert_int_equal(requests_naming(&s.w.r->requests, "after", ANY_STATUS), 0);
    close_scene(&s);
}

static void a_stream_goes_on_at_a_slower_pace(void **state)
{
    struct scene s;

    open_scene(&s, state, "");
    begin_stream(&s, CMS_KEY "\r\n");
    assert_next_line_refused(&s, "    jobs_per_minute: 1\n", "{\"keys\":[\"first\"]}\n",
                             "{\"keys\":[\"second\"]}\n", "more than 1 jobs a minute");
    close_scene(&s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_stream_ends_when_its_producer_is_removed),
        rig_test(a_stream_ends_when_the_token_changes),
        rig_test(a_stream_of_anybody_ends_when_producers_are_introduced),
        rig_test(half_a_body_is_not_waited_for),
        rig_test(a_client_that_waits_for_a_receipt_is_told_of_the_job_only),
        rig_test(a_stream_goes_on_under_narrower_scopes),
        rig_test(a_stream_goes_on_at_a_slower_pace),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
