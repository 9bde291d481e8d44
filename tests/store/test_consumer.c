/* SPDX-License-Identifier: MIT
 * The consumer with a source of the test's own and the fake Redis: what is committed, and when. */
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "store_world.h"

#include "consumer.h"
#include "setting.h"

#define LANE P "jobs:normal"
#define MESSAGES_MAX 64
#define TOLD_ROOM 1024

/* What the source has, and what the consumer did with it. */
static struct queue {
    const char *bodies[MESSAGES_MAX];
    uint32_t count, committed, fetched; /* of these messages */
    uint32_t most_at_once, opens, closes, fetches, largest_wish;
    int fail_fetches, fail_commits, fail_lags;
    int stop_fd;
    struct store_world *world; /* which must have the job of each committed message */
    bool open;
    unsigned waits; /* so often, it waits for a message that does not come */
    char *told;     /* gets what the consumer has told in Redis before the end; NULL: not wanted */
} queue;

static int queue_open(const struct config *config, const struct config_consumer *c, void **out,
                      struct error *err)
{
    (void)config;
    (void)c;
    (void)err;
    assert_false(queue.open);
    queue.open = true;
    queue.opens++;
    queue.fetched = queue.committed; /* what was not committed comes again */
    *out = &queue;
    return 0;
}

static int queue_fetch(void *source, int stop_fd, uint32_t max, struct source_message *out,
                       struct error *err)
{
    static char offsets[MESSAGES_MAX][8];
    uint32_t n = 0;

    assert_ptr_equal(source, &queue);
    assert_true(stop_fd >= 0);
    assert_int_equal(queue.fetched, queue.committed); /* all before is committed */
    queue.fetches++;
    queue.largest_wish = (uint32_t)max_u64(queue.largest_wish, max);
    if (queue.fail_fetches && queue.fail_fetches--)
        return error_set(err, -EIO, "the queue is away");
    for (; n < max && n < queue.most_at_once && queue.fetched < queue.count; queue.fetched++) {
        snprintf(offsets[queue.fetched], sizeof(offsets[0]), "%u", queue.fetched);
        out[n++] = (struct source_message){.body = span_str(queue.bodies[queue.fetched]),
                                           .partition = SPAN("3"),
                                           .offset = span_str(offsets[queue.fetched])};
    }
    if (n == 0 && queue.waits) {
        struct pollfd woken = {.fd = stop_fd, .events = POLLIN};

        queue.waits--;
        assert_int_equal(poll(&woken, 1, 60000), 1);
        return 0;
    }
    if (n == 0 && queue.told)
        snprintf(queue.told, TOLD_ROOM, "%s", store_ask(queue.world, "HGETALL " P "consumers"));
    if (n == 0)
        assert_int_equal(eventfd_write(queue.stop_fd, 1), 0);
    return (int)n;
}

/* Whether Redis has what became of the message: a job, a dead letter, or nothing to purge. */
static bool is_in_redis(const char *body)
{
    char key[64];

    if (strstr(body, "ignore"))
        return true;
    if (sscanf(body, "{\"keys\": \"%60[a-z0-9]\"", key) == 1)
        return strstr(store_ask(queue.world, "XRANGE " P "jobs:bulk - +"), key) != NULL;
    if (sscanf(body, "{\"id\": \"%60[a-z0-9]\"", key) == 1)
        return strstr(store_ask(queue.world, "XRANGE " LANE " - +"), key) != NULL;
    return strstr(store_ask(queue.world, "XRANGE " P "dead - +"), body) != NULL;
}

static int queue_commit(void *source, uint32_t count, struct error *err)
{
    assert_ptr_equal(source, &queue);
    assert_true(queue.committed + count <= queue.fetched);
    for (uint32_t i = queue.committed; i < queue.committed + count; i++)
        if (!is_in_redis(queue.bodies[i]))
            fail_msg("committed before Redis has it: %s", queue.bodies[i]);
    if (queue.fail_commits && queue.fail_commits--)
        return error_set(err, -EIO, "the queue is away");
    queue.committed += count;
    return 0;
}

static void queue_close(void *source)
{
    queue.closes += source != NULL;
    queue.open = false;
}

static int queue_lag(void *source, struct source_lag *out, struct error *err)
{
    assert_ptr_equal(source, &queue);
    assert_int_equal(queue.fetched, queue.committed);
    if (queue.fail_lags && queue.fail_lags--)
        return error_set(err, -EIO, "the queue is away");
    *out = (struct source_lag){.messages_known = true, .messages = queue.count - queue.committed};
    return 0;
}

static const struct message_source source = {"queue",     queue_open, queue_fetch, queue_commit,
                                             queue_close, NULL,       queue_lag};

/* -- the world -- */

struct consumer_world {
    struct store_world store;
    struct config config;
    struct config_consumer *consumer;
    struct redis_address address;
    struct consumer_counts counts;
};

static void set(enum setting_scope scope, void *base, const char *name, const char *value)
{
    struct error err;

    if (setting_set(setting_find(scope, name), base, value, &err) < 0)
        fail_msg("%s: %s", name, err.text);
}

static int set_up(void **state)
{
    struct consumer_world *w = alloc_zeroed(1, sizeof(*w));
    struct config_account *a;

    store_open(&w->store);
    config_init(&w->config);
    a = setting_list_add(SETTING_ACCOUNT, &w->config);
    set(SETTING_ACCOUNT, a, "name", "main");
    assert_int_equal(config_services_add(a, SPAN("S1"), SPAN("")), 0);
    w->consumer = setting_list_add(SETTING_CONSUMER, &w->config);
    set(SETTING_CONSUMER, w->consumer, "name", "articles");
    set(SETTING_CONSUMER, w->consumer, "topic", "changes");
    set(SETTING_CONSUMER, w->consumer, "keys", "{id}");
    set(SETTING_CONSUMER, w->consumer, "when", "ignore!=yes");
    queue = (struct queue){.most_at_once = MESSAGES_MAX, .world = &w->store};
    queue.stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(queue.stop_fd >= 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct consumer_world *w = *state;

    close(queue.stop_fd);
    config_deinit(&w->config);
    store_close(&w->store);
    free(w);
    return 0;
}

static void add(const char *body)
{
    assert_true(queue.count < MESSAGES_MAX);
    queue.bodies[queue.count++] = body;
}

static void consume(struct consumer_world *w)
{
    const struct consumer_options o = {.config = &w->config,
                                       .consumer = w->consumer,
                                       .source = &source,
                                       .redis = &w->address,
                                       .stop_fd = queue.stop_fd};
    struct error err;

    assert_int_equal(consumer_run(&o, &w->counts, &err), 0);
    assert_false(queue.open);
    assert_int_equal(queue.opens, queue.closes);
}

/* The keys of all jobs, in order, each followed by a blank. */
static void assert_jobs(struct consumer_world *w, const char *expected)
{
    const char *at = store_ask(&w->store, "XRANGE " LANE " - +");
    char keys[1024] = "";
    size_t n = 0;

    while ((at = strstr(at, "$4\r\nkeys\r\n"))) {
        at = strchr(strchr(at + 10, '\n'), '\n') + 1;
        n += (size_t)snprintf(keys + n, sizeof(keys) - n, "%.*s ", (int)strcspn(at, "\r"), at);
    }
    assert_string_equal(keys, expected);
}

/* -- tests -- */

static void each_message_becomes_a_job_in_its_order_and_is_then_committed(void **state)
{
    struct consumer_world *w = *state;

    queue.most_at_once = 2;
    add("{\"id\": \"a\"}");
    add("{\"id\": \"b\"}");
    add("{\"id\": \"c\"}");
    consume(w);
    assert_jobs(w, "a b c ");
    assert_int_equal(queue.committed, 3);
    assert_int_equal(w->counts.jobs, 3);
    assert_int_equal(queue.opens, 1);
}

static void a_lost_connection_pushes_again_in_order_what_has_no_yes(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    add("{\"id\": \"b\"}");
    fakeio_fail_next("XADD", FAKEIO_LOST_AFTER, NULL);
    consume(w);
    assert_jobs(w, "a a b ");
    assert_int_equal(queue.committed, 2);
    assert_int_equal(w->counts.jobs, 2);
}

static unsigned third;

/* Executes nothing: the third command is refused. */
static void refuse_the_third(size_t argc, const struct span *argv, struct buf *out)
{
    (void)argc;
    (void)argv;
    if (++third == 3)
        buf_printf(out, "-" OOM "\r\n");
    else
        buf_printf(out, "$3\r\n1-1\r\n");
}

static void a_refused_job_and_those_behind_it_are_pushed_again_and_those_before_it_not(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    add("{\"id\": \"b\"}");
    add("{\"id\": \"c\"}");
    add("{\"id\": \"d\"}");
    store_do(&w->store, "XADD " LANE " * keys a");
    store_do(&w->store, "XADD " LANE " * keys b");
    store_do(&w->store, "XADD " LANE " * keys c");
    store_do(&w->store, "XADD " LANE " * keys d");
    third = 0;
    fakeio_lie("XADD", refuse_the_third);
    consume(w);
    assert_int_equal(third, 6); /* a b c d, then c d */
    assert_int_equal(queue.committed, 4);
}

static void refuse_the_third_and_stop(size_t argc, const struct span *argv, struct buf *out)
{
    refuse_the_third(argc, argv, out);
    assert_int_equal(eventfd_write(queue.stop_fd, 1), 0);
}

static void when_stopped_while_redis_refuses_only_what_it_has_is_committed(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    add("{\"id\": \"b\"}");
    add("{\"id\": \"c\"}");
    store_do(&w->store, "XADD " LANE " * keys a");
    store_do(&w->store, "XADD " LANE " * keys b");
    third = 0;
    fakeio_lie("XADD", refuse_the_third_and_stop);
    consume(w);
    assert_int_equal(queue.committed, 2);
    assert_int_equal(w->counts.jobs, 2);
}

static void
a_message_that_cannot_be_understood_becomes_a_dead_letter_that_names_its_place(void **state)
{
    struct consumer_world *w = *state;
    const char *letters;

    add("{\"id\": \"a\"}");
    add("<xml/>");
    add("{\"id\": \"b\"}");
    consume(w);
    assert_jobs(w, "a b ");
    assert_int_equal(queue.committed, 3);
    assert_int_equal(w->counts.jobs, 2);
    assert_int_equal(w->counts.dead, 1);
    letters = store_ask(&w->store, "XRANGE " P "dead - +");
    assert_non_null(strstr(letters, "consumer articles, queue changes, partition 3, offset 1\r\n"));
    assert_non_null(strstr(letters, "not JSON: "));
    assert_non_null(strstr(letters, "<xml/>"));
}

static void a_key_that_is_none_becomes_a_dead_letter_with_the_reason(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a b\"}");
    add("{\"id\": \"b\"}");
    queue.bodies[0] = "{ \"id\": \"a b\"}"; /* not the form that has a job */
    consume(w);
    assert_jobs(w, "b ");
    assert_int_equal(queue.committed, 2);
    assert_non_null(strstr(store_ask(&w->store, "XRANGE " P "dead - +"), "keys[0]"));
}

static void a_job_larger_than_the_dispatcher_can_hold_becomes_a_dead_letter(void **state)
{
    struct consumer_world *w = *state;

    add("{ \"id\": \"larger\"}");
    w->config.memory_max = 8 * 8;
    consume(w);
    assert_int_equal(w->counts.dead, 1);
    assert_non_null(strstr(store_ask(&w->store, "XRANGE " P "dead - +"), "memory_max"));
}

static void a_service_that_the_account_has_not_makes_a_dead_letter(void **state)
{
    struct consumer_world *w = *state;

    set(SETTING_CONSUMER, w->consumer, "job", "json");
    add("{ \"keys\": \"x\", \"service\": \"S2\"}");
    add("{\"keys\": \"y\", \"lane\": \"bulk\"}");
    consume(w);
    assert_int_equal(w->counts.dead, 1);
    assert_int_equal(w->counts.jobs, 1);
    store_expect_number(&w->store, "XLEN " P "jobs:bulk", 1);
}

static void a_message_is_not_committed_before_redis_has_its_dead_letter(void **state)
{
    struct consumer_world *w = *state;

    add("<xml/>");
    fakeio_fail_next("XADD", FAKEIO_REFUSED, OOM);
    consume(w);
    assert_int_equal(queue.committed, 1);
    assert_int_equal(w->counts.dead, 1);
    store_expect_number(&w->store, "XLEN " P "dead", 1);
}

static void a_message_with_nothing_to_purge_is_committed_without_a_job(void **state)
{
    struct consumer_world *w = *state;

    add("{\"ignore\": \"yes\", \"id\": \"a\"}");
    add("{\"id\": \"b\"}");
    fakeio_fail_next("XADD", FAKEIO_LOST_BEFORE, NULL);
    consume(w);
    assert_jobs(w, "b ");
    assert_int_equal(queue.committed, 2);
    assert_int_equal(w->counts.ignored, 1);
    store_expect_number(&w->store, "XLEN " P "dead", 0);
}

static void a_source_that_fails_is_opened_again(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    queue.fail_fetches = 1;
    consume(w);
    assert_jobs(w, "a ");
    assert_int_equal(queue.opens, 2);
}

static void what_the_source_could_not_commit_comes_again(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    queue.fail_commits = 1;
    consume(w);
    assert_jobs(w, "a a ");
    assert_int_equal(queue.committed, 1);
    assert_int_equal(queue.opens, 2);
}

static void nothing_is_fetched_without_redis(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    fakeio_serve(NULL);
    assert_int_equal(eventfd_write(queue.stop_fd, 1), 0);
    consume(w);
    assert_int_equal(queue.fetches, 0);
    assert_int_equal(queue.opens, 0);
}

static unsigned refusals;

static void refuse_for_a_while(size_t argc, const struct span *argv, struct buf *out)
{
    (void)argc;
    (void)argv;
    if (queue.opens == 1 && ++refusals)
        buf_printf(out, "-" OOM "\r\n");
    else
        buf_printf(out, "$3\r\n1-1\r\n");
}

static void messages_are_given_back_when_redis_refuses_their_jobs_for_long(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    store_do(&w->store, "XADD " LANE " * keys a");
    refusals = 0;
    fakeio_lie("XADD", refuse_for_a_while);
    consume(w);
    assert_true(refusals >= 2);
    assert_int_equal(queue.opens, 2);
    assert_int_equal(queue.committed, 1);
}

static unsigned lengths;

/* The first three answers are those for a backlog of 6, all later ones for one of 7. After a while
 * somebody takes 4 jobs. */
static void length(size_t argc, const struct span *argv, struct buf *out)
{
    (void)argc;
    (void)argv;
    buf_printf(out, ":%d\r\n", lengths < 3 ? 2 : lengths == 3 ? 8 : lengths < 6 ? 0 : 1);
    if (lengths >= 3 && lengths < 6)
        assert_int_equal(queue.committed, 2); /* full: nothing is fetched */
    lengths++;
}

static void no_more_is_fetched_than_the_backlog_may_hold(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    add("{\"id\": \"b\"}");
    add("{\"id\": \"c\"}");
    w->config.http.backlog_max = 8;
    lengths = 0;
    fakeio_lie("XLEN", length);
    consume(w);
    assert_jobs(w, "a b c ");
    assert_int_equal(queue.committed, 3);
    assert_int_equal(queue.largest_wish, 5);
    assert_int_equal(queue.opens, 2); /* closed while it was full */
    assert_true(lengths >= 9);
}

static unsigned waits;

static void replicas(size_t argc, const struct span *argv, struct buf *out)
{
    (void)argc;
    (void)argv;
    if (waits++ == 0) {
        assert_int_equal(queue.committed, 0);
        buf_printf(out, ":0\r\n");
    } else {
        buf_printf(out, ":1\r\n");
    }
}

static void a_message_is_committed_when_the_replicas_have_its_job(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    w->address.replicas = 1;
    waits = 0;
    fakeio_lie("WAIT", replicas);
    consume(w);
    assert_jobs(w, "a a ");
    assert_int_equal(queue.committed, 1);
    assert_int_equal(waits, 2);
}

static void it_tells_its_state_until_it_ends(void **state)
{
    struct consumer_world *w = *state;
    char told[TOLD_ROOM];

    queue.told = told;
    consume(w);
    assert_non_null(strstr(told, "articles/"));
    assert_non_null(strstr(told, "\"state\":\"running\""));
    assert_non_null(strstr(told, "\"source\":\"queue\""));
    assert_non_null(strstr(told, "\"topic\":\"changes\""));
    assert_non_null(strstr(told, "\"lag\":0"));
    assert_string_equal(store_ask(&w->store, "EXISTS " P "consumers"), ":0\r\n");
}

static void what_has_changed_is_told_while_the_source_waits(void **state)
{
    struct consumer_world *w = *state;
    char told[TOLD_ROOM];

    add("{\"id\": \"a\"}");
    queue.told = told;
    queue.waits = 1;
    consume(w);
    assert_int_equal(queue.waits, 0);
    assert_non_null(strstr(told, "\"fetched\":1"));
    assert_non_null(strstr(told, "\"jobs\":1"));
    assert_non_null(strstr(told, "\"committed_at\""));
}

static void a_source_that_does_not_tell_what_waits_is_opened_again(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    queue.fail_lags = 1;
    consume(w);
    assert_jobs(w, "a ");
    assert_int_equal(queue.opens, 2);
}

static void refuse_noperm(size_t argc, const struct span *argv, struct buf *out)
{
    (void)argc;
    (void)argv;
    buf_printf(out, "-NOPERM no permissions to run the 'hset' command\r\n");
}

static void a_state_that_redis_refuses_stops_nothing(void **state)
{
    struct consumer_world *w = *state;

    add("{\"id\": \"a\"}");
    fakeio_lie("HSET", refuse_noperm);
    consume(w);
    assert_jobs(w, "a ");
    assert_int_equal(queue.committed, 1);
    assert_int_equal(queue.opens, 1);
}

static void a_mapping_that_cannot_be_compiled_is_refused(void **state)
{
    struct consumer_world *w = *state;
    const struct consumer_options o = {.config = &w->config,
                                       .consumer = w->consumer,
                                       .source = &source,
                                       .redis = &w->address,
                                       .stop_fd = queue.stop_fd};
    struct error err;

    set(SETTING_CONSUMER, w->consumer, "keys", "{id");
    assert_int_equal(consumer_run(&o, &w->counts, &err), -EINVAL);
    assert_non_null(strstr(err.text, "keys[0]"));
    assert_int_equal(queue.opens, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_message_becomes_a_job_in_its_order_and_is_then_committed),
        T(a_lost_connection_pushes_again_in_order_what_has_no_yes),
        T(a_refused_job_and_those_behind_it_are_pushed_again_and_those_before_it_not),
        T(when_stopped_while_redis_refuses_only_what_it_has_is_committed),
        T(a_message_that_cannot_be_understood_becomes_a_dead_letter_that_names_its_place),
        T(a_key_that_is_none_becomes_a_dead_letter_with_the_reason),
        T(a_job_larger_than_the_dispatcher_can_hold_becomes_a_dead_letter),
        T(a_service_that_the_account_has_not_makes_a_dead_letter),
        T(a_message_is_not_committed_before_redis_has_its_dead_letter),
        T(a_message_with_nothing_to_purge_is_committed_without_a_job),
        T(a_source_that_fails_is_opened_again),
        T(what_the_source_could_not_commit_comes_again),
        T(nothing_is_fetched_without_redis),
        T(messages_are_given_back_when_redis_refuses_their_jobs_for_long),
        T(no_more_is_fetched_than_the_backlog_may_hold),
        T(a_message_is_committed_when_the_replicas_have_its_job),
        T(it_tells_its_state_until_it_ends),
        T(what_has_changed_is_told_while_the_source_waits),
        T(a_source_that_does_not_tell_what_waits_is_opened_again),
        T(a_state_that_redis_refuses_stops_nothing),
        T(a_mapping_that_cannot_be_compiled_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
