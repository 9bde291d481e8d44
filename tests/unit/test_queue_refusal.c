/* SPDX-License-Identifier: MIT
 * Every error that Redis returns to the queue is reported, and so is the end of the problem. This
 * also holds for scripts that are added later. */
#include "unit.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "queue_internal.h"

/* Replaces the functions of io. The test answers. */
static struct {
    redis_reply_cb *cb;
    void *ctx;
} sent;

void redis_command(struct redis *r, size_t argc, const struct span *argv, redis_reply_cb *cb,
                   void *ctx)
{
    (void)r, (void)argc, (void)argv;
    sent.cb = cb;
    sent.ctx = ctx;
}

void redis_set_patience(struct redis *r, uint32_t ms)
{
    (void)r, (void)ms;
}

static const struct redis_sink *streamed;
static void *streamed_ctx;

void redis_stream(struct redis *r, uint32_t block_ms, size_t argc, const struct span *argv,
                  const struct redis_sink *sink, void *ctx)
{
    (void)r, (void)block_ms, (void)argc, (void)argv;
    streamed = sink;
    streamed_ctx = ctx;
}

static void answer_read(const char *bytes)
{
    size_t n;

    memcpy(streamed->room(streamed_ctx, &n), bytes, strlen(bytes));
    assert_int_equal(streamed->took(streamed_ctx, strlen(bytes)), 1);
    streamed->done(streamed_ctx, 0);
}

bool redis_is_up(const struct redis *r)
{
    (void)r;
    return true;
}

struct redis *redis_new(struct loop *l, const struct redis_address *a, redis_up_cb *up,
                        redis_down_cb *down, void *ctx)
{
    (void)l, (void)a, (void)up, (void)down, (void)ctx;
    return NULL;
}

void redis_close(struct redis *r, loop_cb *closed, void *ctx)
{
    (void)r, (void)closed, (void)ctx;
}

static struct {
    unsigned refused, accepted;
    uint64_t question;
    char doing[64], words[64];
} told;

static void on_refused(void *ctx, const struct queue_refusal *r)
{
    (void)ctx;
    told.refused++;
    told.question = r->question;
    snprintf(told.doing, sizeof(told.doing), "%s", r->doing);
    snprintf(told.words, sizeof(told.words), "%s", r->words);
}

static void on_accepted(void *ctx, uint64_t question)
{
    (void)ctx;
    assert_int_equal(question, told.question);
    told.accepted++;
}

static int last_err;

static void on_answer(struct queue *q, void *ctx, int err, struct redisReply *reply)
{
    (void)q, (void)ctx, (void)reply;
    last_err = err;
}

static void on_read(void *ctx, int err, bool all)
{
    (void)ctx, (void)all;
    last_err = err;
}

static struct queue *make(void)
{
    static struct queue_writer writer;
    static struct queue_reader reader;
    static struct connections connections = {.readers = &reader, .writers = &writer};
    struct queue *q = alloc_zeroed(1, sizeof(*q));

    memset(&told, 0, sizeof(told));
    list_init(&q->calls);
    q->connections = &connections;
    q->writer = &writer;
    q->cb = (struct queue_callbacks){.refused = on_refused, .accepted = on_accepted};
    for (int i = 0; i < KEY_N; i++)
        q->keys[i] = alloc_printf("key-%d", i);
    q->entries = queue_entries_new(q);
    writer.replicated = replicated_new(NULL, 0);
    return q;
}

static void drop(struct queue *q)
{
    for (int i = 0; i < KEY_N; i++)
        free(q->keys[i]);
    redis_entries_free(q->entries);
    replicated_free(q->writer->replicated);
    free(q);
}

static void answer(int type, const char *words)
{
    char copy[64];
    struct redisReply reply = {.type = type, .str = copy, .len = strlen(words)};

    snprintf(copy, sizeof(copy), "%s", words);
    sent.cb(sent.ctx, &reply);
}

static void ask(struct queue *q, enum script script, const char *key)
{
    struct queue_args a;

    queue_args_init(&a);
    queue_key(&a, key);
    queue_call_script(q, script, &a, on_answer, NULL);
}

static void every_script_that_is_refused_is_reported(void **state)
{
    (void)state;
    for (int s = 0; s < SCRIPT_QUEUE_N; s++) {
        struct queue *q = make();

        if (s == SCRIPT_LANES || s == SCRIPT_EXAMINE) { /* reported elsewhere: see queue_call.c */
            drop(q);
            continue;
        }
        ask(q, (enum script)s, "key");
        answer(REDIS_REPLY_ERROR, "WRONGTYPE no");
        assert_int_equal(last_err, -EIO);
        assert_int_equal(told.refused, 1);
        assert_true(strlen(told.doing) > 3);
        assert_string_equal(told.words, "WRONGTYPE no");
        ask(q, (enum script)s, "key");
        answer(REDIS_REPLY_INTEGER, "");
        assert_int_equal(told.accepted, 1);
        ask(q, (enum script)s, "key");
        answer(REDIS_REPLY_INTEGER, "");
        assert_int_equal(told.accepted, 1);
        drop(q);
    }
}

static void the_same_script_about_other_keys_is_another_question(void **state)
{
    struct queue *q = make();
    uint64_t first;

    (void)state;
    ask(q, SCRIPT_SETTLE, "urgent");
    answer(REDIS_REPLY_ERROR, "ERR no");
    first = told.question;
    ask(q, SCRIPT_SETTLE, "normal");
    answer(REDIS_REPLY_INTEGER, "");
    assert_int_equal(told.accepted, 0);
    ask(q, SCRIPT_SETTLE, "normal");
    answer(REDIS_REPLY_ERROR, "ERR no");
    assert_true(told.question != first);
    drop(q);
}

static void a_refused_read_is_reported(void **state)
{
    static const struct queue_read how = {
        .lanes = {true, true, true}, .count = 1, .entry_max_bytes = 1000, .done = on_read};
    struct queue *q = make();

    (void)state;
    queue_read(q, &how, NULL);
    answer_read("-NOPERM no\r\n");
    assert_int_equal(last_err, -EIO);
    assert_int_equal(told.refused, 1);
    queue_read(q, &how, NULL);
    answer_read("*-1\r\n");
    assert_int_equal(told.accepted, 1);
    drop(q);
}

static void a_refused_command_is_reported_and_a_courtesy_is_not(void **state)
{
    const struct span info = SPAN("INFO");
    struct queue *q = make();

    (void)state;
    queue_call_courtesy(q, 1, &info, on_answer, NULL);
    answer(REDIS_REPLY_ERROR, "NOPERM no");
    assert_int_equal(told.refused, 0);
    queue_call(q, 1, &info, on_answer, NULL);
    answer(REDIS_REPLY_ERROR, "NOPERM no");
    assert_int_equal(told.refused, 1);
    assert_string_equal(told.doing, "run INFO");
    drop(q);
}

static void a_lost_connection_is_no_refusal(void **state)
{
    struct queue *q = make();

    (void)state;
    ask(q, SCRIPT_LEAD, "key");
    sent.cb(sent.ctx, NULL);
    assert_int_equal(last_err, -ENOTCONN);
    assert_int_equal(told.refused, 0);
    drop(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_script_that_is_refused_is_reported),
        cmocka_unit_test(the_same_script_about_other_keys_is_another_question),
        cmocka_unit_test(a_refused_read_is_reported),
        cmocka_unit_test(a_refused_command_is_reported_and_a_courtesy_is_not),
        cmocka_unit_test(a_lost_connection_is_no_refusal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
