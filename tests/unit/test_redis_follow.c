/* SPDX-License-Identifier: MIT
 * What a connection on a loop does when a Cluster moves keys: each node is a list of bytes that
 * must have been written, and what it says then. The linker uses the functions in this file instead
 * of io's transport. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uv.h>

#include "alloc.h"
#include "clock.h"
#include "redis.h"
#include "redis_transport.h"
#include "reply.h"
#include "unit.h"

#define CONNECTIONS_MAX 4
#define PATIENCE_NS (30 * NS_PER_S)
#define GREETED "+OK\r\n*0\r\n:0\r\n*1\r\n$6\r\nmaster\r\n+PONG\r\n"
#define GREETED_GUEST "+OK\r\n*1\r\n$6\r\nmaster\r\n+PONG\r\n"
#define MOVED "-MOVED 5 127.0.0.1:7001\r\n"
#define ASK "-ASK 5 127.0.0.1:7001\r\n"
#define TRYAGAIN "-TRYAGAIN Multiple keys request during rehashing of slot\r\n"

struct step {
    const char *expected; /* NULL: the end */
    const char *reply;
};

struct redis_transport {
    const struct step *next;
    char written[4096]; /* since the last step */
    const char *reply;  /* rest of it */
    int fd;             /* always ready */
};

#include "ready_transport.h"

static struct {
    const struct step *scripts[CONNECTIONS_MAX];
    uint16_t ports[CONNECTIONS_MAX]; /* that were connected to */
    unsigned opened;
    struct loop *loop;
    struct redis *r;
    unsigned owed;
    char told[1024]; /* "<command>=<reply> " in the order of the callbacks */
    char stream[64];
    unsigned ups, downs;
    bool closed;
} w;

/* -- the transport -- */

int redis_transport_open(const struct redis_address *a, const struct addrinfo *to,
                         struct redis_transport **out, struct error *err)
{
    struct redis_transport *t = alloc_zeroed(1, sizeof(*t));

    (void)to, (void)err;
    assert_true(w.opened < CONNECTIONS_MAX && w.scripts[w.opened]);
    w.ports[w.opened] = a->port;
    t->next = w.scripts[w.opened++];
    t->reply = "";
    t->fd = eventfd(1, EFD_CLOEXEC);
    *out = t;
    return 0;
}

void redis_transport_free(struct redis_transport *t)
{
    if (t)
        close(t->fd);
    free(t);
}

bool redis_transport_pending(const struct redis_transport *t)
{
    (void)t;
    return false;
}

static void take_steps(struct redis_transport *t)
{
    const char *found;

    while (!*t->reply && t->next->expected && (found = strstr(t->written, t->next->expected))) {
        found += strlen(t->next->expected);
        memmove(t->written, found, strlen(found) + 1);
        t->reply = t->next->reply;
        t->next++;
    }
}

ssize_t redis_transport_read(struct redis_transport *t, char *p, size_t room, struct error *err)
{
    size_t n;

    (void)err;
    take_steps(t);
    n = min_u64(strlen(t->reply), room);
    if (n == 0)
        return -EAGAIN;
    memcpy(p, t->reply, n);
    t->reply += n;
    return (ssize_t)n;
}

ssize_t redis_transport_write(struct redis_transport *t, const char *p, size_t n, struct error *err)
{
    size_t before = strlen(t->written);

    (void)err;
    assert_true(before + n < sizeof(t->written));
    memcpy(t->written + before, p, n);
    return (ssize_t)n;
}

/* -- the connection -- */

static void paid(void)
{
    assert_true(w.owed > 0);
    w.owed--;
}

static void on_reply(void *ctx, struct redisReply *reply)
{
    size_t at = strlen(w.told);

    snprintf(w.told + at, sizeof(w.told) - at, "%s=%.12s ", (const char *)ctx,
             !reply                    ? "NULL"
             : reply_is_array(reply)   ? "array"
             : reply_is_integer(reply) ? "number"
                                       : reply_text(reply).p);
    paid();
}

static void on_up(void *ctx)
{
    (void)ctx;
    w.ups++;
}

static void on_down(void *ctx, const char *why)
{
    (void)ctx, (void)why;
    w.downs++;
}

static void on_closed(void *ctx)
{
    (void)ctx;
    w.closed = true;
}

#define run_until(condition)                                                                       \
    for (uint64_t end_ns = clock_mono_ns() + PATIENCE_NS; !(condition);) {                         \
        uv_run(loop_uv(w.loop), UV_RUN_ONCE);                                                      \
        assert_true(clock_mono_ns() < end_ns);                                                     \
    }

static void connect_to_cluster(uint32_t replicas)
{
    struct redis_place node = {(char *)"127.0.0.1", 7000};
    const struct redis_address a = {
        .cluster = true, .nodes = &node, .nodes_count = 1, .replicas = replicas, .home = "home"};

    w.loop = loop_new();
    w.r = redis_new(w.loop, &a, on_up, on_down, NULL);
    run_until(w.ups);
}

static void give(const char *word)
{
    const struct span one[] = {span_str(word)}, set[] = {SPAN("SET"), span_str(word), SPAN("x")};
    const struct span wait[] = {SPAN("WAIT"), SPAN("1"), SPAN("1000")};

    w.owed++;
    if (strcmp(word, "MULTI") == 0 || strcmp(word, "EXEC") == 0)
        redis_command(w.r, 1, one, on_reply, (void *)word);
    else if (strcmp(word, "WAIT") == 0)
        redis_command(w.r, 3, wait, on_reply, (void *)word);
    else
        redis_command(w.r, 3, set, on_reply, (void *)word);
}

static int set_up(void **state)
{
    (void)state;
    memset(&w, 0, sizeof(w));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    redis_close(w.r, on_closed, NULL);
    run_until(w.closed);
    loop_run(w.loop);
    loop_free(w.loop);
    return 0;
}

/* -- the tests -- */

static void moved_commands_are_sent_to_the_new_node_in_order(void **state)
{
    static const struct step old[] = {
        {"PING", GREETED}, {"one", "+OK\r\n"}, {"two", MOVED}, {"three", MOVED}, {NULL, NULL}};
    static const struct step new[] = {
        {"PING", GREETED}, {"$3\r\ntwo", ""}, {"$5\r\nthree", "+A\r\n+B\r\n"}, {NULL, NULL}};

    (void)state;
    w.scripts[0] = old;
    w.scripts[1] = new;
    connect_to_cluster(0);
    give("one");
    give("two");
    give("three");
    run_until(w.owed == 0);
    assert_string_equal(w.told, "one=OK two=A three=B ");
    assert_int_equal(w.ports[1], 7001);
    assert_int_equal(w.ups, 1);
    assert_int_equal(w.downs, 0);
}

static void a_command_given_meanwhile_comes_last(void **state)
{
    static const struct step old[] = {{"PING", GREETED}, {"two", MOVED}, {NULL, NULL}};
    static const struct step new[] = {
        {"PING", GREETED}, {"$3\r\ntwo", ""}, {"$4\r\nlate", "+A\r\n+B\r\n"}, {NULL, NULL}};

    (void)state;
    w.scripts[0] = old;
    w.scripts[1] = new;
    connect_to_cluster(0);
    give("two");
    run_until(w.opened == 2);
    assert_true(redis_is_up(w.r));
    give("late");
    run_until(w.owed == 0);
    assert_string_equal(w.told, "two=A late=B ");
}

static void wait_speaks_only_for_the_new_node(void **state)
{
    static const struct step old[] = {
        {"PING", GREETED}, {"two", MOVED}, {"WAIT", ":1\r\n"}, {NULL, NULL}};
    static const struct step new[] = {
        {"PING", GREETED}, {"$3\r\ntwo", ""}, {"$4\r\nWAIT", "+A\r\n:1\r\n"}, {NULL, NULL}};

    (void)state;
    w.scripts[0] = old;
    w.scripts[1] = new;
    connect_to_cluster(1);
    give("two");
    give("WAIT");
    run_until(w.owed == 0);
    assert_string_equal(w.told, "two=A WAIT=number ");
}

static void wait_says_no_for_what_the_old_node_has(void **state)
{
    static const struct step old[] = {
        {"PING", GREETED}, {"one", "+OK\r\n"}, {"two", MOVED}, {"WAIT", ":1\r\n"}, {NULL, NULL}};
    static const struct step new[] = {{"PING", GREETED},
                                      {"$3\r\ntwo", ""},
                                      {"$4\r\nWAIT", "+A\r\n:1\r\n"},
                                      {"WAIT", ":1\r\n"},
                                      {NULL, NULL}};

    (void)state;
    w.scripts[0] = old;
    w.scripts[1] = new;
    connect_to_cluster(1);
    give("one");
    give("two");
    give("WAIT");
    run_until(w.owed == 0);
    assert_string_equal(w.told, "one=OK two=A WAIT=UNREPLICATED ");
    give("WAIT");
    run_until(w.owed == 0);
    assert_string_equal(w.told, "one=OK two=A WAIT=UNREPLICATED WAIT=number ");
}

static void tryagain_is_repeated_until_it_succeeds(void **state)
{
    static const struct step node[] = {{"PING", GREETED},       {"two", TRYAGAIN},
                                       {"three", "+B\r\n"},     {"$3\r\ntwo", TRYAGAIN},
                                       {"$3\r\ntwo", "+A\r\n"}, {NULL, NULL}};

    (void)state;
    w.scripts[0] = node;
    connect_to_cluster(1);
    give("two");
    give("three");
    run_until(w.owed == 0);
    assert_string_equal(w.told, "three=B two=A ");
    assert_int_equal(w.opened, 1);
}

static void ask_goes_to_the_other_node_for_this_command_only(void **state)
{
    static const struct step home[] = {
        {"PING", GREETED}, {"two", ASK}, {"three", "+B\r\n"}, {"four", "+C\r\n"}, {NULL, NULL}};
    static const struct step guest[] = {{"PING", GREETED_GUEST},
                                        {"ASKING\r\n*3\r\n$3\r\nSET\r\n$3\r\ntwo", "+OK\r\n+A\r\n"},
                                        {NULL, NULL}};

    (void)state;
    w.scripts[0] = home;
    w.scripts[1] = guest;
    connect_to_cluster(0);
    give("two");
    give("three");
    run_until(w.owed == 0);
    give("four");
    run_until(w.owed == 0);
    assert_string_equal(w.told, "three=B two=A four=C ");
    assert_int_equal(w.ports[1], 7001);
}

static void with_replicas_ask_waits_for_the_move(void **state)
{
    static const struct step home[] = {
        {"PING", GREETED}, {"two", ASK}, {"two", MOVED}, {NULL, NULL}};
    static const struct step new[] = {{"PING", GREETED}, {"$3\r\ntwo", "+A\r\n"}, {NULL, NULL}};

    (void)state;
    w.scripts[0] = home;
    w.scripts[1] = new;
    connect_to_cluster(1);
    give("two");
    run_until(w.owed == 0);
    assert_string_equal(w.told, "two=A ");
    assert_int_equal(w.opened, 2);
}

static void a_transaction_is_sent_again_as_a_whole(void **state)
{
    static const struct step old[] = {{"MULTI", "+OK\r\n"},
                                      {"one", "+QUEUED\r\n"},
                                      {"two", MOVED},
                                      {"EXEC", "-EXECABORT x\r\n"},
                                      {NULL, NULL}};
    static const struct step begin[] = {{"PING", GREETED}};
    struct step all[6];
    static const struct step new[] = {
        {"PING", GREETED},
        {"MULTI\r\n*3\r\n$3\r\nSET\r\n$3\r\none", "+OK\r\n+QUEUED\r\n"},
        {"$3\r\ntwo\r\n$1\r\nx\r\n*1\r\n$4\r\nEXEC", "+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n"},
        {NULL, NULL}};

    (void)state;
    all[0] = begin[0];
    memcpy(all + 1, old, sizeof(old));
    w.scripts[0] = all;
    w.scripts[1] = new;
    connect_to_cluster(0);
    give("MULTI");
    give("one");
    give("two");
    give("EXEC");
    run_until(w.owed == 0);
    assert_string_equal(w.told, "MULTI=OK one=QUEUED two=QUEUED EXEC=array ");
}

/* -- a stream -- */

static char *stream_room(void *ctx, size_t *n)
{
    (void)ctx;
    *n = sizeof(w.stream) - strlen(w.stream) - 1;
    return w.stream + strlen(w.stream);
}

static int stream_took(void *ctx, size_t n)
{
    (void)ctx, (void)n;
    return strchr(w.stream, '\n') != NULL;
}

static const char *stream_error(void *ctx)
{
    (void)ctx;
    return NULL;
}

static void stream_done(void *ctx, int err)
{
    (void)ctx;
    assert_int_equal(err, 0);
    paid();
}

static void a_stream_does_not_see_redirects(void **state)
{
    static const struct step old[] = {
        {"PING", GREETED}, {"XREAD", TRYAGAIN}, {"XREAD", MOVED}, {NULL, NULL}};
    static const struct step new[] = {{"PING", GREETED}, {"XREAD", "*-1\r\n"}, {NULL, NULL}};
    static const struct redis_sink sink = {stream_room, stream_took, stream_error, stream_done};
    static const struct span xread[] = {SPAN("XREAD"), SPAN("STREAMS"), SPAN("home"), SPAN("0")};

    (void)state;
    w.scripts[0] = old;
    w.scripts[1] = new;
    connect_to_cluster(0);
    w.owed = 1;
    redis_stream(w.r, 0, array_len(xread), xread, &sink, NULL);
    run_until(w.owed == 0);
    assert_string_equal(w.stream, "*-1\r\n");
    assert_int_equal(w.downs, 0);
}

static void the_owner_is_found_before_the_connection_is_up(void **state)
{
    static const struct step seed[] = {
        {"PING", "+OK\r\n*0\r\n" MOVED "*1\r\n$5\r\nslave\r\n+PONG\r\n"}, {NULL, NULL}};
    static const struct step owner[] = {
        {"EXISTS\r\n$4\r\nhome", ""}, {"PING", GREETED}, {NULL, NULL}};

    (void)state;
    w.scripts[0] = seed;
    w.scripts[1] = owner;
    connect_to_cluster(0);
    assert_int_equal(w.ports[1], 7001);
    assert_int_equal(w.downs, 0);
}

static void clusterdown_is_said_once(void **state)
{
    static const struct step down[] = {
        {"PING",
         "+OK\r\n*0\r\n-CLUSTERDOWN The cluster is down\r\n*1\r\n$6\r\nmaster\r\n+PONG\r\n"},
        {NULL, NULL}};
    static const struct step up[] = {{"PING", GREETED}, {NULL, NULL}};

    (void)state;
    w.scripts[0] = w.scripts[1] = w.scripts[2] = down;
    w.scripts[3] = up;
    connect_to_cluster(0);
    assert_int_equal(w.opened, 4);
    assert_int_equal(w.downs, 1);
}

int main(void)
{
#define FOLLOW_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FOLLOW_TEST(moved_commands_are_sent_to_the_new_node_in_order),
        FOLLOW_TEST(a_command_given_meanwhile_comes_last),
        FOLLOW_TEST(wait_speaks_only_for_the_new_node),
        FOLLOW_TEST(wait_says_no_for_what_the_old_node_has),
        FOLLOW_TEST(tryagain_is_repeated_until_it_succeeds),
        FOLLOW_TEST(ask_goes_to_the_other_node_for_this_command_only),
        FOLLOW_TEST(with_replicas_ask_waits_for_the_move),
        FOLLOW_TEST(a_transaction_is_sent_again_as_a_whole),
        FOLLOW_TEST(a_stream_does_not_see_redirects),
        FOLLOW_TEST(the_owner_is_found_before_the_connection_is_up),
        FOLLOW_TEST(clusterdown_is_said_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
