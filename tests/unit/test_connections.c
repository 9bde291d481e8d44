/* SPDX-License-Identifier: MIT
 * Queues that share connections to Redis. The linker uses the functions in this file instead of
 * io's connections: the test answers. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "buf.h"
#include "on_loop.h"
#include "queue_internal.h"
#include "redis_codec.h"

#define QUEUES 5u /* the least number that shares */
#define WRITER 0u
#define READER 1u /* and the next one */
#define WATCHER 3u
#define LINES 8u
#define NOTHING "*-1\r\n"
#define SHA "$40\r\n0123456789012345678901234567890123456789\r\n"

struct ask {
    struct list link;
    redis_reply_cb *cb;
    void *ctx;
    char *text; /* the command, with blanks */
};

struct redis {
    redis_up_cb *up;
    redis_down_cb *down;
    void *ctx;
    struct list asked;
    const struct redis_sink *sink; /* of a read; NULL: none is under way */
    void *sink_ctx;
    char *read; /* its command */
    struct timer *closing;
    loop_cb *closed;
    void *closed_ctx;
};

static struct {
    struct loop *loop;
    struct timer *pause, *patience;
    struct redis *lines[64];
    uint32_t count;
    struct queue *queues[QUEUES];
    unsigned ups[QUEUES], downs[QUEUES], answers[QUEUES], reads[QUEUES], entries[QUEUES];
    int err[QUEUES], read_err[QUEUES];
    unsigned closed;
} w;

/* -- the connections -- */

static char *text_of(size_t argc, const struct span *argv)
{
    struct buf b;

    buf_init(&b, (size_t)1 << 30);
    for (size_t i = 0; i < argc; i++)
        buf_printf(&b, "%s%.*s", i ? " " : "", (int)min_u64(argv[i].n, 100), argv[i].p);
    return b.p;
}

static void answer(uint32_t line, const char *resp)
{
    struct ask *a = list_entry(list_pop_front(&w.lines[line]->asked), struct ask, link);
    struct redisReply *reply = resp ? redis_reply_of(resp) : NULL;

    a->cb(a->ctx, reply);
    reply_free_duplicate(reply);
    free(a->text);
    free(a);
}

static bool is_asked(uint32_t line, const char *start)
{
    struct list *asked = &w.lines[line]->asked;

    return !list_empty(asked) &&
           strncmp(list_first(asked, struct ask, link)->text, start, strlen(start)) == 0;
}

static void end_read(uint32_t line, const char *resp)
{
    struct redis *r = w.lines[line];
    const struct redis_sink *sink = r->sink;
    size_t n;

    assert_non_null(sink);
    free(r->read);
    r->read = NULL;
    r->sink = NULL;
    if (resp) {
        memcpy(sink->room(r->sink_ctx, &n), resp, strlen(resp));
        assert_int_equal(sink->took(r->sink_ctx, strlen(resp)), 1);
    }
    sink->done(r->sink_ctx, resp ? 0 : -ENOTCONN);
}

static bool reads(uint32_t line, const char *what)
{
    return w.lines[line]->read && strstr(w.lines[line]->read, what);
}

/* The connection that reads or watches this; LINES: none does. */
static uint32_t line_of(const char *what)
{
    uint32_t line = 0;

    while (line < w.count && !reads(line, what))
        line++;
    return line;
}

static void lose(uint32_t line)
{
    w.lines[line]->down(w.lines[line]->ctx, "reset");
    while (!list_empty(&w.lines[line]->asked))
        answer(line, NULL);
    if (w.lines[line]->sink)
        end_read(line, NULL);
}

static void on_closing(void *ctx)
{
    struct redis *r = ctx;

    for (uint32_t i = 0; i < w.count; i++) {
        if (w.lines[i] != r)
            continue;
        while (!list_empty(&r->asked))
            answer(i, NULL);
        if (r->sink)
            end_read(i, NULL);
    }
    timer_close(r->closing);
    r->closing = NULL;
    r->closed(r->closed_ctx);
}

struct redis *redis_new(struct loop *l, const struct redis_address *a, redis_up_cb *up,
                        redis_down_cb *down, void *ctx)
{
    struct redis *r = alloc_zeroed(1, sizeof(*r));

    (void)a;
    *r = (struct redis){.up = up, .down = down, .ctx = ctx};
    r->closing = timer_new(l, on_closing, r);
    list_init(&r->asked);
    w.lines[w.count++] = r;
    return r;
}

void redis_command(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb,
                   void *ctx)
{
    struct ask *a = alloc_zeroed(1, sizeof(*a));

    *a = (struct ask){.cb = cb, .ctx = ctx, .text = text_of(argc, argv)};
    assert_null(r->sink);
    list_push_back(&r->asked, &a->link);
}

void redis_stream(struct redis *r, uint32_t block_ms, size_t argc, const struct span *argv,
                  const struct redis_sink *sink, void *ctx)
{
    (void)block_ms;
    assert_null(r->sink);
    r->sink = sink;
    r->sink_ctx = ctx;
    r->read = text_of(argc, argv);
}

void redis_close(struct redis *r, loop_cb *closed, void *ctx)
{
    r->closed = closed;
    r->closed_ctx = ctx;
    timer_start_at(r->closing, 0);
}

bool redis_is_up(const struct redis *r)
{
    return r && !r->closed;
}

void redis_set_patience(struct redis *r, uint32_t ms)
{
    (void)r, (void)ms;
}

/* -- the queues -- */

static void on_pause_over(void *ctx)
{
    (void)ctx;
    loop_stop(w.loop);
}

/* Lets all happen that is due. */
static void turn(void)
{
    for (int i = 0; i < 3; i++) {
        timer_start_at(w.pause, 0);
        loop_run(w.loop);
    }
}

static size_t number(const unsigned *of)
{
    return (size_t)(of - w.ups);
}

static void on_up(void *ctx)
{
    ++*(unsigned *)ctx;
}

static void on_down(void *ctx, const char *why)
{
    assert_non_null(why);
    w.downs[number(ctx)]++;
}

static void set_up_writer(uint32_t line)
{
    w.lines[line]->up(w.lines[line]->ctx);
    assert_true(is_asked(line, "CLIENT SETNAME purgeline:shared:writer:me"));
    answer(line, "+OK\r\n");
    while (is_asked(line, "SCRIPT LOAD"))
        answer(line, SHA);
    while (is_asked(line, "EVALSHA"))
        answer(line, "*3\r\n:0\r\n:0\r\n:0\r\n");
}

static void set_up_reader(uint32_t line)
{
    w.lines[line]->up(w.lines[line]->ctx);
    answer(line, "+OK\r\n");
}

static void open_with(uint32_t replicas)
{
    static const char *const names[QUEUES] = {"a", "b", "c", "d", "e"};
    static const struct queue_callbacks cb = {on_up, on_down, NULL, NULL};
    struct redis_address at = {.host = (char[]){"h"}, .replicas = replicas};
    struct connections *c;

    memset(&w, 0, sizeof(w));
    w.loop = loop_new();
    w.pause = timer_new(w.loop, on_pause_over, NULL);
    w.patience = timer_new(w.loop, out_of_patience, NULL);
    c = connections_new(w.loop, &at, "me", QUEUES);
    assert_int_equal(w.count, LINES);
    assert_int_equal(connections_most(QUEUES, NULL), LINES);
    for (size_t i = 0; i < QUEUES; i++)
        w.queues[i] = queue_new_shared(c, names[i], "me", &cb, &w.ups[i]);
    set_up_writer(WRITER);
    for (uint32_t line = READER; line < LINES; line++)
        set_up_reader(line);
    for (size_t i = 0; i < QUEUES; i++)
        assert_int_equal(w.ups[i], 1);
    turn();
}

static int set_up(void **state)
{
    (void)state;
    open_with(0);
    return 0;
}

static void on_closed(void *ctx)
{
    *(struct queue **)ctx = NULL;
    w.closed++;
    loop_stop(w.loop);
}

static void close_queue(size_t i)
{
    queue_close(w.queues[i], on_closed, &w.queues[i]);
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < QUEUES; i++)
        if (w.queues[i] && !w.queues[i]->closed)
            close_queue(i);
    for (uint32_t line = READER; line < WATCHER; line++)
        if (w.lines[line]->sink)
            end_read(line, NOTHING);
    run_until(&w, w.closed == QUEUES);
    timer_close(w.pause);
    timer_close(w.patience);
    loop_run(w.loop);
    loop_free(w.loop);
    for (uint32_t i = 0; i < w.count; i++) {
        assert_null(w.lines[i]->closing); /* it is closed */
        free(w.lines[i]);
    }
    return 0;
}

/* -- commands -- */

static void on_released(void *ctx, int err)
{
    size_t i = number(ctx);

    w.answers[i]++;
    w.err[i] = err;
}

static void release(size_t i)
{
    queue_release(w.queues[i], QUEUE_LEAVES, on_released, &w.ups[i]);
}

static void a_few_accounts_do_not_share(void **state)
{
    struct redis_address cluster = {.cluster = true};

    (void)state;
    assert_null(connections_new(NULL, NULL, "me", CONNECTIONS_FEW));
    assert_null(connections_new(NULL, &cluster, "me", 1000));
    assert_int_equal(connections_most(CONNECTIONS_FEW, NULL), 8);
    assert_int_equal(connections_most(1000, &cluster), 2000);
}

static void connections_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(connections_most(300, NULL), 33);
    assert_int_equal(connections_most(1024, NULL), 44);
    for (uint32_t n = CONNECTIONS_FEW + 1; n < 1024; n++)
        assert_true(connections_most(n, NULL) < 2 * n);
}

static void each_queue_gets_its_own_answer(void **state)
{
    (void)state;
    release(0);
    release(1);
    answer(WRITER, "-NOPERM no\r\n");
    answer(WRITER, ":1\r\n");
    assert_int_equal(w.err[0], -EIO);
    assert_int_equal(w.err[1], 0);
}

static void a_connection_that_breaks_breaks_for_all(void **state)
{
    (void)state;
    release(0);
    release(1);
    answer(WRITER, ":1\r\n");
    lose(WRITER);
    assert_int_equal(w.err[0], 0);
    assert_int_equal(w.err[1], -ENOTCONN);
    for (size_t i = 0; i < QUEUES; i++)
        assert_int_equal(w.downs[i], 1);
    set_up_writer(WRITER);
    for (size_t i = 0; i < QUEUES; i++)
        assert_int_equal(w.ups[i], 2);
}

static void a_closed_queue_does_not_wait_for_others(void **state)
{
    (void)state;
    release(0);
    release(1);
    close_queue(0);
    assert_int_equal(w.answers[0], 0);
    run_until(&w, w.closed == 1);
    assert_int_equal(w.answers[0], 1);
    assert_int_equal(w.err[0], -ENOTCONN);
    answer(WRITER, ":1\r\n");
    answer(WRITER, ":1\r\n");
    assert_int_equal(w.answers[0], 1);
    assert_int_equal(w.err[1], 0);
    assert_true(list_empty(&w.lines[WRITER]->asked));
}

static void again(void *ctx, int err)
{
    on_released(ctx, err);
    if (w.answers[0] < 3)
        queue_release(w.queues[0], QUEUE_LEAVES, again, ctx);
}

static void a_closed_queue_sends_nothing(void **state)
{
    (void)state;
    close_queue(0);
    queue_release(w.queues[0], QUEUE_LEAVES, again, &w.ups[0]);
    assert_true(list_empty(&w.lines[WRITER]->asked));
    run_until(&w, w.closed == 1);
    assert_int_equal(w.answers[0], 3);
    assert_int_equal(w.err[0], -ENOTCONN);
    assert_true(list_empty(&w.lines[WRITER]->asked));
}

static void one_wait_speaks_for_all(void **state)
{
    (void)state;
    open_with(1);
    for (size_t i = 0; i < 2; i++) {
        struct queue_spend s = {.open = 1, .window_ms = 1000};

        queue_spend(w.queues[i], &s, on_released, &w.ups[i]);
    }
    answer(WRITER, ":1\r\n");
    assert_true(is_asked(WRITER, "WAIT 1"));
    answer(WRITER, ":1\r\n");
    assert_int_equal(w.answers[0], 1);
    assert_int_equal(w.answers[1], 0);
    answer(WRITER, ":1\r\n");
    assert_true(is_asked(WRITER, "WAIT 1"));
    answer(WRITER, ":0\r\n");
    assert_int_equal(w.answers[1], 1);
    assert_int_equal(w.err[0], 0);
    assert_int_equal(w.err[1], -ENOMEM);
    assert_true(list_empty(&w.lines[WRITER]->asked));
}

/* -- reading -- */

static bool on_entry(void *ctx, const struct queue_entry *e)
{
    (void)e;
    w.entries[number(ctx)]++;
    return true;
}

static bool on_room(void *ctx, enum lane lane, uint64_t bytes)
{
    (void)ctx, (void)lane, (void)bytes;
    return true;
}

static void on_read(void *ctx, int err, bool all)
{
    (void)all;
    w.reads[number(ctx)]++;
    w.read_err[number(ctx)] = err;
    loop_stop(w.loop);
}

static void read_lanes(size_t i)
{
    const struct queue_read how = {.lanes = {true, true, true},
                                   .count = 10,
                                   .block_ms = 3600000,
                                   .entry_max_bytes = 1000,
                                   .room = on_room,
                                   .entry = on_entry,
                                   .done = on_read};

    queue_read(w.queues[i], &how, &w.ups[i]);
}

#define ENTRY_OF(account)                                                                          \
    "*1\r\n*2\r\n$25\r\npurgeline:{" account "}:jobs:normal\r\n*1\r\n*2\r\n$3\r\n7-0\r\n*2\r\n"    \
    "$4\r\nkeys\r\n$1\r\nk\r\n"

/* Lets the queue read; there is nothing, and it is watched. */
static void idle(size_t i)
{
    read_lanes(i);
    for (uint32_t line = READER; line < WATCHER; line++)
        if (w.lines[line]->sink)
            end_read(line, NOTHING);
    turn();
}

/* The time of a queue that waits for new entries is over. */
static void let_time_pass(size_t i)
{
    struct queue *q = w.queues[i];

    heap_remove(&q->connections->waiting, &q->wait_until);
    heap_insert(&q->connections->waiting, &q->wait_until, 1);
    timer_start_at(q->connections->due, 0);
    run_until(&w, w.reads[i] == 1);
    assert_int_equal(w.read_err[i], 0);
}

static void the_lanes_of_idle_queues_are_watched_together(void **state)
{
    uint32_t line;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        read_lanes(i);
    assert_true(reads(READER, "COUNT 10 STREAMS purgeline:{a}:jobs:urgent"));
    assert_true(reads(READER + 1, "{b}"));
    assert_int_equal(line_of("{c}"), LINES); /* it waits for a reader */
    end_read(READER, NOTHING);
    assert_true(reads(READER, "{c}"));
    end_read(READER, NOTHING);
    end_read(READER + 1, NOTHING);
    turn();
    line = line_of("{a}");
    assert_true(line >= WATCHER && line < LINES);
    assert_true(reads(line, "XREAD COUNT 1 BLOCK "));
    assert_true(reads(line, "{b}"));
    assert_true(reads(line, "{c}"));
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(w.reads[i], 0);
}

static void only_the_queue_with_a_new_entry_reads(void **state)
{
    uint32_t line;

    (void)state;
    idle(0);
    idle(1);
    line = line_of("{b}");
    end_read(line, ENTRY_OF("b"));
    assert_true(reads(READER, "{b}"));
    assert_false(reads(READER, "{a}"));
    end_read(READER, ENTRY_OF("b"));
    assert_int_equal(w.reads[1], 1);
    assert_int_equal(w.entries[1], 1);
    turn();
    assert_true(line_of("{a}") >= WATCHER && line_of("{a}") < LINES);
    assert_int_equal(line_of("{b}"), LINES);
    idle(1);
    assert_true(reads(line_of("{b}"), "7-0"));
    assert_int_equal(w.reads[0], 0);
}

static void a_read_ends_when_its_time_is_over(void **state)
{
    uint32_t line;

    (void)state;
    idle(0);
    let_time_pass(0);
    line = line_of("{a}");
    assert_true(line >= WATCHER && line < LINES);
    read_lanes(0); /* it is still watched: no reader is needed */
    turn();
    assert_null(w.lines[READER]->sink);
    end_read(line, ENTRY_OF("a"));
    assert_true(reads(READER, "{a}"));
}

static void a_read_without_time_left_is_not_watched(void **state)
{
    (void)state;
    read_lanes(0);
    w.queues[0]->read_until_ns = 1;
    end_read(READER, NOTHING);
    assert_int_equal(w.reads[0], 1);
    assert_int_equal(w.read_err[0], 0);
    turn();
    assert_int_equal(line_of("{a}"), LINES);
}

static void what_comes_while_nobody_reads_is_read_next(void **state)
{
    (void)state;
    idle(0);
    let_time_pass(0);
    end_read(line_of("{a}"), ENTRY_OF("a"));
    turn();
    assert_int_equal(line_of("{a}"), LINES);
    read_lanes(0);
    assert_true(reads(READER, "{a}"));
}

static void who_begins_anew_is_not_watched_on(void **state)
{
    (void)state;
    idle(0);
    end_read(line_of("{a}"), ENTRY_OF("a"));
    end_read(READER, ENTRY_OF("a"));
    idle(0);
    queue_rewind(w.queues[0]);
    turn();
    assert_true(reads(READER, "{a}:jobs:bulk 0-0 0-0 0-0"));
}

static void a_refused_watch_asks_each_by_itself(void **state)
{
    (void)state;
    idle(0);
    end_read(line_of("{a}"), NOTHING);
    read_lanes(1);
    end_read(READER, NOTHING);
    turn();
    assert_true(reads(line_of("{a}"), "{b}"));
    end_read(line_of("{a}"), "-WRONGTYPE no\r\n");
    assert_true(reads(READER, "{"));
    assert_true(reads(READER + 1, "{"));
    end_read(line_of("{a}"), NOTHING);
    end_read(line_of("{b}"), "-WRONGTYPE no\r\n");
    assert_int_equal(w.reads[0], 0);
    assert_int_equal(w.reads[1], 1);
    assert_int_equal(w.read_err[1], -EIO);
}

static void a_lost_watcher_is_replaced(void **state)
{
    uint32_t line;

    (void)state;
    idle(0);
    line = line_of("{a}");
    lose(line);
    turn();
    assert_true(line_of("{a}") > line && line_of("{a}") < LINES);
    for (size_t i = 0; i < QUEUES; i++)
        assert_int_equal(w.downs[i], 0);
}

static void without_a_reader_all_reads_fail(void **state)
{
    (void)state;
    idle(0);
    read_lanes(1);
    lose(READER);
    assert_int_equal(w.read_err[1], -ENOTCONN);
    assert_int_equal(w.downs[0], 0);
    lose(READER + 1);
    turn();
    assert_int_equal(w.read_err[0], -ENOTCONN);
    for (size_t i = 0; i < QUEUES; i++)
        assert_int_equal(w.downs[i], 1);
    read_lanes(2);
    turn();
    assert_int_equal(w.read_err[2], -ENOTCONN);
    set_up_reader(READER);
    for (size_t i = 0; i < QUEUES; i++)
        assert_int_equal(w.ups[i], 2);
}

static void a_queue_is_closed_while_it_reads(void **state)
{
    (void)state;
    read_lanes(0);
    idle(1); /* which also ends the first read */
    read_lanes(2);
    close_queue(0);
    close_queue(1);
    close_queue(2);
    run_until(&w, w.closed == 2);
    assert_int_equal(w.read_err[0], -ENOTCONN);
    assert_int_equal(w.read_err[1], -ENOTCONN);
    assert_non_null(w.queues[2]); /* a reader is busy with it */
    end_read(READER, ENTRY_OF("c"));
    run_until(&w, w.closed == 3);
    assert_int_equal(w.reads[2], 1);
}

#define on_connections(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_accounts_do_not_share),
        cmocka_unit_test(connections_are_bounded),
        on_connections(each_queue_gets_its_own_answer),
        on_connections(a_connection_that_breaks_breaks_for_all),
        on_connections(a_closed_queue_does_not_wait_for_others),
        on_connections(a_closed_queue_sends_nothing),
        cmocka_unit_test_teardown(one_wait_speaks_for_all, tear_down),
        on_connections(the_lanes_of_idle_queues_are_watched_together),
        on_connections(only_the_queue_with_a_new_entry_reads),
        on_connections(a_read_ends_when_its_time_is_over),
        on_connections(a_read_without_time_left_is_not_watched),
        on_connections(what_comes_while_nobody_reads_is_read_next),
        on_connections(who_begins_anew_is_not_watched_on),
        on_connections(a_refused_watch_asks_each_by_itself),
        on_connections(a_lost_watcher_is_replaced),
        on_connections(without_a_reader_all_reads_fail),
        on_connections(a_queue_is_closed_while_it_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
