/* SPDX-License-Identifier: MIT
 * The server at Redis' address does not follow the protocol. The connection is closed with a
 * reason, and another one is tried. */
#include <errno.h>
#include <fcntl.h>

#include "client.h"
#include "redis_error.h"
#include "redis_world.h"

#define GREETING 3 /* CLIENT SETNAME, ROLE, PING; a blocking client sends SELECT */

static char loopback[] = "127.0.0.1";

static int listen_on_loopback(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static int count_commands(const char *p, ssize_t n)
{
    int count = 0;

    for (ssize_t i = 0; i < n; i++)
        count += p[i] == '*' && (i == 0 || p[i - 1] == '\n');
    return count;
}

/* Answers each command with OK. On its first connection, it sends strange bytes right after the
 * answer to the greeting, or as the answer to the next command. */
struct stranger {
    const char *says;
    bool asked;
    bool first; /* at once, instead of any answer */
};

static void say(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) < 0)
        return; /* the client has disconnected, which is allowed */
}

static void serve(int fd, const struct stranger *s)
{
    char in[4096];
    int seen = 0;
    ssize_t n;

    while ((n = read(fd, in, sizeof(in))) > 0) {
        for (int i = count_commands(in, n); i > 0; i--) {
            seen++;
            if (s && (s->first || (s->asked && seen == GREETING + 1)))
                say(fd, s->says);
            else
                say(fd, "+OK\r\n");
            if (s && !s->asked && !s->first && seen == GREETING)
                say(fd, s->says);
        }
    }
    close(fd);
}

static pid_t start_stranger(const struct stranger *s, uint16_t *port)
{
    int listener = listen_on_loopback(port);
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        for (int served = 0;; served++)
            serve(accept(listener, NULL, NULL), served == 0 ? s : NULL);
    }
    close(listener);
    return child;
}

static pid_t open_stranger(struct world *w, const struct stranger *s)
{
    struct redis_address a = {.host = loopback};
    pid_t child = start_stranger(s, &a.port);

    w->loop = loop_new();
    w->patience = timer_new(w->loop, out_of_patience, w);
    w->r = redis_new(w->loop, &a, on_up, on_down, w);
    return child;
}

static void close_stranger(struct world *w, pid_t child)
{
    close_world(w);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* -- answers without a command -- */

static void an_answer_to_nothing_ends_the_connection(void **state)
{
    static const char *const answers[] = {"+OK\r\n",
                                          ":1\r\n",
                                          "$1\r\nx\r\n",
                                          "$-1\r\n",
                                          "*0\r\n",
                                          "*-1\r\n",
                                          "*2\r\n+a\r\n+b\r\n",
                                          "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n",
                                          "-ERR what?\r\n"};

    (void)state;
    for (size_t i = 0; i < array_len(answers); i++) {
        const struct stranger s = {answers[i], false, false};
        struct world w = {0};
        pid_t child = open_stranger(&w, &s);

        run_until(&w, w.downs == 1);
        if (answers[i][0] == '-')
            assert_string_equal(w.why, "ERR what?");
        else
            assert_non_null(strstr(w.why, "nobody asked"));
        run_until(&w, w.ups >= 1 && redis_is_up(w.r));
        command(&w, "ECHO", "a");
        run_until(&w, w.replies == 1);
        assert_string_equal(w.text, "OK");
        close_stranger(&w, child);
    }
}

/* -- invalid messages -- */

static void on_message(void *ctx, const struct span *text)
{
    struct world *w = ctx;

    if (text)
        w->replies++;
    else
        w->nulls++;
    loop_stop(w->loop);
}

static void a_message_of_another_form_ends_the_subscription(void **state)
{
    static const char *const answers[] = {
        "+OK\r\n",
        ":1\r\n",
        "$-1\r\n",
        "*0\r\n",
        "*-1\r\n",
        "*1\r\n$7\r\nmessage\r\n",
        "*2\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n",
        "*3\r\n:1\r\n$1\r\nc\r\n:1\r\n",
        "*3\r\n+subscribe\r\n$1\r\nc\r\n:1\r\n",
        "*3\r\n*0\r\n$1\r\nc\r\n:1\r\n",
        "*3\r\n$9\r\nsubscribe\r\n:1\r\n:1\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$-1\r\n:1\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$5\r\nother\r\n:1\r\n",
        "*3\r\n$7\r\nmessage\r\n*1\r\n:1\r\n$1\r\nx\r\n",
        "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n$1\r\nx\r\n",
        "*3\r\n$12\r\npunsubscribe\r\n$1\r\nc\r\n*0\r\n",
    };

    (void)state;
    for (size_t i = 0; i < array_len(answers); i++) {
        const struct stranger s = {answers[i], true, false};
        struct world w = {0};
        pid_t child = open_stranger(&w, &s);

        run_until(&w, w.ups == 1);
        redis_subscribe(w.r, SPAN("c"), on_message, &w);
        run_until(&w, w.downs == 1 && w.nulls == 1);
        assert_int_equal(w.replies, 0);
        assert_non_null(strstr(w.why, "nobody asked"));
        close_stranger(&w, child);
    }
}

/* Only the third element is the message. */
static void whatever_a_message_says_is_handed_over(void **state)
{
    static const char says[] = "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n*1\r\n*0\r\n"
                               "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n:1\r\n"
                               "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$-1\r\n"
                               "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\na\nb\r\n";
    const struct stranger s = {says, true, false};
    struct world w = {0};
    pid_t child = open_stranger(&w, &s);

    (void)state;
    run_until(&w, w.ups == 1);
    redis_subscribe(w.r, SPAN("c"), on_message, &w);
    run_until(&w, w.replies == 4);
    assert_int_equal(w.downs, 0);
    close_stranger(&w, child);
}

/* -- blocking commands -- */

/* A few bytes that promise hundreds of megabytes. */
static void an_answer_that_promises_too_much_is_refused(void **state)
{
    const struct stranger s = {"*9000000\r\n*9000000\r\n", false, true};
    struct redis_address a = {.host = loopback};
    pid_t child = start_stranger(&s, &a.port);
    struct client *c;
    struct error err;

    (void)state;
    assert_int_equal(client_open(&a, &c, &err), -ENOTCONN);
    assert_string_equal(err.text, "Out of memory");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* Each byte comes in time, but the answer never ends. */
static pid_t start_trickle(uint16_t *port)
{
    int listener = listen_on_loopback(port);
    pid_t child = fork();
    char in[4096];

    assert_true(child >= 0);
    if (child == 0) {
        int fd;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        fd = accept(listener, NULL, NULL);
        if (read(fd, in, sizeof(in)) > 0)
            say(fd, "+OK\r\n"); /* to SELECT */
        if (read(fd, in, sizeof(in)) > 0)
            say(fd, "$1000000\r\n");
        while (write(fd, "x", 1) == 1)
            usleep(50000); /* the pace of the answer is what is tested */
        _exit(0);
    }
    close(listener);
    return child;
}

static void an_answer_that_trickles_ends_nevertheless(void **state)
{
    struct redis_address a = {.host = loopback};
    pid_t child = start_trickle(&a.port);
    struct redisReply *reply;
    struct client *c;
    struct error err;

    (void)state;
    assert_int_equal(client_open(&a, &c, &err), 0);
    client_set_patience(c, 1);
    client_send(c, 1, (const struct span[]){SPAN("PING")});
    assert_int_equal(client_receive(c, &reply), -ENOTCONN);
    assert_string_equal(client_error(c), "the answer does not end");
    client_close(c);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void assert_readonly(struct redisReply *reply)
{
    assert_true(reply_refused(reply));
    assert_true(span_starts_nocase(reply_text(reply), "READONLY"));
}

/* All refusals are delivered, so that their jobs are known to be refused; then the connection is
 * over, and its owner looks for the master. */
static void a_server_that_becomes_a_replica_is_left(void **state)
{
    struct redis_server *server = redis_server_start(NULL, NULL);
    const struct span set[] = {SPAN("SET"), SPAN("k"), SPAN("v")};
    struct redis_address a = {.host = loopback, .port = (uint16_t)redis_server_port(server)};
    struct redisReply *reply;
    struct client *c;
    struct error err;

    (void)state;
    assert_int_equal(client_open(&a, &c, &err), 0);
    assert_int_equal(client_ask(c, 3, set, &reply), 0);
    redis_server_do(server, "REPLICAOF 127.0.0.1 1");
    client_send(c, 3, set);
    client_send(c, 3, set);
    assert_int_equal(client_receive(c, &reply), 0);
    assert_readonly(reply);
    assert_int_equal(client_receive(c, &reply), 0);
    assert_readonly(reply);
    assert_int_equal(client_receive(c, &reply), -ENOTCONN);
    assert_int_equal(client_wait(c, 0, &reply), -ENOTCONN);
    assert_int_equal(client_ask(c, 3, set, &reply), -ENOTCONN);
    assert_string_equal(client_error(c), redis_became_replica);
    client_close(c);
    assert_int_equal(client_open(&a, &c, &err), 0);
    assert_int_equal(client_ask(c, 3, set, &reply), -ENOTCONN);
    client_close(c);
    redis_server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_to_nothing_ends_the_connection),
        cmocka_unit_test(a_message_of_another_form_ends_the_subscription),
        cmocka_unit_test(whatever_a_message_says_is_handed_over),
        cmocka_unit_test(an_answer_that_promises_too_much_is_refused),
        cmocka_unit_test(an_answer_that_trickles_ends_nevertheless),
        cmocka_unit_test(a_server_that_becomes_a_replica_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
