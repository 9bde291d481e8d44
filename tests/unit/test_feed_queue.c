/* SPDX-License-Identifier: MIT
 * What a reader of server-sent events gets, in which order, and what it loses when it is slow. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed_queue.h"

static struct feed_frame *state; /* that the pull returns, once; NULL: none */

static struct feed_frame *pull(void *ctx)
{
    struct feed_frame *f = state;

    (void)ctx;
    state = NULL;
    return f;
}

static void put(struct feed_queue *q, const char *data)
{
    struct feed_frame *f = feed_frame_new("job", "1-2", span_str(data));

    feed_queue_put(q, f);
    feed_frame_drop(f);
}

/* Everything that there is now, read in pieces of at most this size. */
static const char *all_of(struct feed_queue *q, size_t piece)
{
    static char text[400000];
    size_t n = 0, got;

    while ((got = feed_queue_take(q, text + n, piece, pull, NULL)) > 0) {
        assert_true(got <= piece);
        n += got;
        assert_true(n < sizeof(text) - piece);
    }
    text[n] = '\0';
    return text;
}

static size_t count_of(const char *text, const char *what)
{
    size_t n = 0;

    for (; (text = strstr(text, what)); text++)
        n++;
    return n;
}

static void an_event_has_its_lines(void **unused)
{
    struct feed_queue q = {.count = 0};
    struct feed_frame *f;

    (void)unused;
    put(&q, "{}");
    assert_string_equal(all_of(&q, 1000), "event: job\nid: 1-2\ndata: {}\n\n");
    f = feed_frame_new("status", NULL, SPAN("{\"a\":1}"));
    feed_queue_put(&q, f);
    feed_frame_drop(f);
    f = feed_frame_comment("still here");
    feed_queue_put(&q, f);
    feed_frame_drop(f);
    f = feed_frame_retry(3000);
    feed_queue_put(&q, f);
    feed_frame_drop(f);
    assert_string_equal(all_of(&q, 1000),
                        "event: status\ndata: {\"a\":1}\n\n: still here\n\nretry: 3000\n\n");
    feed_queue_deinit(&q);
}

static void pieces_of_any_size_give_the_same_text(void **unused)
{
    char *whole;

    (void)unused;
    for (size_t piece = 1; piece < 80; piece++) {
        struct feed_queue q = {.count = 0};

        for (int i = 0; i < 3; i++)
            put(&q, "{\"job\":\"normal-1700000000000-0\"}");
        whole = strdup(all_of(&q, piece));
        assert_int_equal(count_of(whole, "event: job\nid: 1-2\ndata: {\"job\":\"normal-17000000000"
                                         "00-0\"}\n\n"),
                         3);
        assert_int_equal(strlen(whole), 3 * strlen("event: job\nid: 1-2\ndata: {\"job\":\"normal-17"
                                                   "00000000000-0\"}\n\n"));
        free(whole);
        feed_queue_deinit(&q);
    }
}

static void a_slow_reader_is_told_how_many_events_it_has_lost(void **unused)
{
    struct feed_queue q = {.count = 0};
    const char *text;

    (void)unused;
    for (unsigned i = 0; i < FEED_QUEUE_MAX + 5; i++)
        put(&q, "{}");
    text = all_of(&q, 100);
    assert_int_equal(count_of(text, "event: job\n"), FEED_QUEUE_MAX);
    assert_true(strstr(text, "event: lost\ndata: {\"jobs\":5}\n\n") > strstr(text, "event: job\n"));
    put(&q, "{}");
    assert_null(strstr(all_of(&q, 100), "event: lost"));
    feed_queue_deinit(&q);
}

/* Otherwise the reader would take the newer event for the next after those that it got. */
static void nothing_newer_overtakes_the_news_of_a_loss(void **unused)
{
    struct feed_queue q = {.count = 0};
    char some[40];
    const char *text;

    (void)unused;
    for (unsigned i = 0; i < FEED_QUEUE_MAX + 1; i++)
        put(&q, "{}");
    assert_int_equal(feed_queue_take(&q, some, sizeof(some), pull, NULL), 40);
    put(&q, "\"new\"");
    text = all_of(&q, 100);
    assert_non_null(strstr(text, "data: {\"jobs\":2}\n"));
    assert_null(strstr(text, "\"new\""));
    feed_queue_deinit(&q);
}

static void the_bytes_that_wait_are_bounded(void **unused)
{
    struct feed_queue q = {.count = 0};
    char *large = malloc(20001);

    (void)unused;
    memset(large, 'x', 20000);
    large[20000] = '\0';
    for (int i = 0; i < 10; i++)
        put(&q, large);
    assert_true(q.bytes <= FEED_QUEUE_BYTES);
    assert_int_equal(q.count, 3);
    assert_non_null(strstr(all_of(&q, 1000), "data: {\"jobs\":7}\n"));
    assert_int_equal(q.bytes, 0);
    free(large);
    feed_queue_deinit(&q);
}

static void a_loss_of_unknown_size_is_told_as_null(void **unused)
{
    struct feed_queue q = {.count = 0};

    (void)unused;
    feed_queue_miss(&q);
    assert_string_equal(all_of(&q, 100), "event: lost\ndata: {\"jobs\":null}\n\n");
    assert_string_equal(all_of(&q, 100), "");
    feed_queue_deinit(&q);
}

static void a_state_and_events_take_turns(void **unused)
{
    struct feed_queue q = {.count = 0};
    const char *text;

    (void)unused;
    for (int i = 0; i < 3; i++)
        put(&q, "{}");
    state = feed_frame_new("status", NULL, SPAN("{}"));
    text = all_of(&q, 1000);
    assert_true(strncmp(text, "event: status\n", 14) == 0);
    assert_int_equal(count_of(text, "event: job\n"), 3);
    for (int i = 0; i < 3; i++)
        put(&q, "{}");
    q.pulled = true;
    state = feed_frame_new("status", NULL, SPAN("{}"));
    text = all_of(&q, 1000);
    assert_true(strncmp(text, "event: job\nid: 1-2\ndata: {}\n\nevent: status\n", 43) == 0);
    feed_queue_deinit(&q);
}

static void what_a_reader_leaves_unread_is_freed(void **unused)
{
    struct feed_queue q = {.count = 0};
    struct feed_frame *f = feed_frame_new("job", NULL, SPAN("{}"));
    char one;

    (void)unused;
    feed_queue_put(&q, f);
    feed_queue_put(&q, f);
    assert_int_equal(feed_queue_take(&q, &one, 1, pull, NULL), 1);
    assert_int_equal(f->holds, 3);
    feed_queue_deinit(&q);
    assert_int_equal(f->holds, 1);
    feed_frame_drop(f);
    feed_frame_drop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_has_its_lines),
        cmocka_unit_test(pieces_of_any_size_give_the_same_text),
        cmocka_unit_test(a_slow_reader_is_told_how_many_events_it_has_lost),
        cmocka_unit_test(nothing_newer_overtakes_the_news_of_a_loss),
        cmocka_unit_test(the_bytes_that_wait_are_bounded),
        cmocka_unit_test(a_loss_of_unknown_size_is_told_as_null),
        cmocka_unit_test(a_state_and_events_take_turns),
        cmocka_unit_test(what_a_reader_leaves_unread_is_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
