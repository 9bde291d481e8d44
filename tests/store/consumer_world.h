/* SPDX-License-Identifier: MIT
 * A consumer with a source of the test's own and the fake Redis. */
#pragma once

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
    int failure; /* of fetches; 0: -EIO */
    int stop_fd;
    struct store_world *world; /* which must have the job of each committed message */
    bool open, group;
    int slow_ms; /* the first fetch takes so long */
    uint32_t holds;
    unsigned waits; /* so often, it waits for a message that does not come */
    char *told;     /* gets what the consumer has told in Redis before the end; NULL: not wanted */
} queue;

static inline int queue_open(const struct config *config, const struct config_consumer *c,
                             void **out, struct error *err)
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

static inline int queue_fetch(void *source, int stop_fd, uint32_t max, struct source_message *out,
                              struct error *err)
{
    static char offsets[MESSAGES_MAX][8];
    uint32_t n = 0;

    assert_ptr_equal(source, &queue);
    assert_true(stop_fd >= 0);
    assert_int_equal(queue.fetched, queue.committed); /* all before is committed */
    if (queue.fetches++ == 0 && queue.slow_ms)
        assert_int_equal(poll(NULL, 0, queue.slow_ms), 0);
    queue.largest_wish = (uint32_t)max_u64(queue.largest_wish, max);
    if (queue.fail_fetches && queue.fail_fetches--)
        return error_set(err, queue.failure ? queue.failure : -EIO, "the queue is away");
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
static inline bool is_in_redis(const char *body)
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

static inline int queue_commit(void *source, uint32_t count, struct error *err)
{
    assert_ptr_equal(source, &queue);
    assert_true(queue.committed + count <= queue.fetched);
    for (uint32_t i = queue.committed; i < queue.committed + count; i++)
        if (!is_in_redis(queue.bodies[i]))
            fail_msg("committed before Redis has it: %s", queue.bodies[i]);
    if (queue.fail_commits && queue.fail_commits--)
        return error_set(err, -EIO, "the queue is away");
    queue.committed += count;
    if (queue.group)
        queue.fetched = queue.committed; /* the others are kept */
    return 0;
}

static inline void queue_close(void *source)
{
    queue.closes += source != NULL;
    queue.open = false;
}

static inline int queue_lag(void *source, struct source_lag *out, struct error *err)
{
    assert_ptr_equal(source, &queue);
    assert_int_equal(queue.fetched, queue.committed);
    if (queue.fail_lags && queue.fail_lags--)
        return error_set(err, -EIO, "the queue is away");
    *out = (struct source_lag){.messages_known = true, .messages = queue.count - queue.committed};
    return 0;
}

static inline int queue_hold(void *s, int stop_fd, uint64_t ms, struct error *err)
{
    (void)err;
    assert_ptr_equal(s, &queue);
    assert_true(stop_fd >= 0 && ms > 0);
    queue.holds++;
    return 0;
}

static const struct message_source source = {"queue",     queue_open, queue_fetch, queue_commit,
                                             queue_close, NULL,       queue_lag,   NULL};
static const struct message_source group = {"queue",     queue_open, queue_fetch, queue_commit,
                                            queue_close, NULL,       queue_lag,   queue_hold};

/* -- the world -- */

struct consumer_world {
    struct store_world store;
    struct config config;
    struct config_consumer *consumer;
    struct redis_address address;
    struct consumer_counts counts;
};

static inline void set(enum setting_scope scope, void *base, const char *name, const char *value)
{
    struct error err;

    if (setting_set(setting_find(scope, name), base, value, &err) < 0)
        fail_msg("%s: %s", name, err.text);
}

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
{
    struct consumer_world *w = *state;

    close(queue.stop_fd);
    config_deinit(&w->config);
    store_close(&w->store);
    free(w);
    return 0;
}

static inline void add(const char *body)
{
    assert_true(queue.count < MESSAGES_MAX);
    queue.bodies[queue.count++] = body;
}

static inline void consume(struct consumer_world *w)
{
    const struct consumer_options o = {.config = &w->config,
                                       .consumer = w->consumer,
                                       .source = queue.group ? &group : &source,
                                       .redis = &w->address,
                                       .stop_fd = queue.stop_fd};
    struct error err;

    assert_int_equal(consumer_run(&o, &w->counts, &err), 0);
    assert_false(queue.open);
    assert_int_equal(queue.opens, queue.closes);
}

/* The keys of all jobs, in order, each followed by a blank. */
static inline void assert_jobs(struct consumer_world *w, const char *expected)
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
