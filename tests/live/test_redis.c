/* SPDX-License-Identifier: MIT */
#include "free_port.h"
#include "redis_world.h"

#include "redis_error.h"

static char loopback[] = "127.0.0.1";

static void tcp_comes_up_and_answers(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};

    (void)state;
    open_world(&w, redis_server_url(w.server));
    assert_int_equal(w.ups, 0);
    run_until(&w, w.ups == 1);
    assert_true(redis_is_up(w.r));
    command(&w, "ECHO", "hello");
    assert_int_equal(w.replies, 0);
    run_until(&w, w.replies == 1);
    assert_string_equal(w.text, "hello");
    assert_int_equal(w.downs, 0);
    close_world(&w);
}

static void a_unix_socket_comes_up_and_selects_its_database(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};
    char *url = alloc_printf("%s?db=3", redis_server_unix_url(w.server));

    (void)state;
    redis_server_do(w.server, "SELECT 3");
    redis_server_do(w.server, "SET here yes");
    open_world(&w, url);
    run_until(&w, w.ups == 1);
    command(&w, "GET", "here");
    run_until(&w, w.replies == 1);
    assert_string_equal(w.text, "yes");
    close_world(&w);
    free(url);
}

static void a_host_name_is_resolved(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};
    char *url = alloc_printf("redis://localhost:%u", redis_server_port(w.server));

    (void)state;
    open_world(&w, url);
    run_until(&w, w.ups == 1);
    assert_int_equal(w.downs, 0); /* 127.0.0.1 is tried before the failure of ::1 is reported */
    close_world(&w);
    free(url);
}

static void bytes_travel_exactly(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};
    char odd[] = "a\0\r\n\xff*1\r\n b";
    struct span argv[] = {SPAN("STRLEN"), span_of(odd, sizeof(odd) - 1)};

    (void)state;
    redis_server_do(w.server, "SET %b %b", odd, sizeof(odd) - 1, odd, sizeof(odd) - 1);
    open_world(&w, redis_server_url(w.server));
    run_until(&w, w.ups == 1);
    redis_command(w.r, 2, argv, on_reply, &w);
    run_until(&w, w.replies == 1);
    assert_int_equal(w.number, sizeof(odd) - 1);
    close_world(&w);
}

/* The loop does not run while Redis gets them. */
static void when_there_are_many_commands_the_first_are_sent_at_once(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};
    uint64_t until_ns = clock_mono_ns() + 30 * NS_PER_S;
    char most[3000];

    (void)state;
    memset(most, 'x', sizeof(most) - 1);
    most[sizeof(most) - 1] = '\0';
    open_world(&w, redis_server_url(w.server));
    run_until(&w, w.ups == 1);
    command(&w, "INCR", "first");
    assert_int_equal(redis_server_int(w.server, "EXISTS first"), 0);
    command(&w, "ECHO", most);
    while (!redis_server_int(w.server, "EXISTS first"))
        assert_true(clock_mono_ns() < until_ns);
    command(&w, "ECHO", "last");
    run_until(&w, w.replies == 3);
    assert_string_equal(w.text, "last");
    close_world(&w);
}

static void an_absent_server_is_reported_once_and_found_when_it_comes(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};

    (void)state;
    redis_server_kill(w.server);
    open_world(&w, redis_server_url(w.server));
    run_until(&w, w.downs == 1);
    assert_non_null(strstr(w.why, "refused"));
    run_for(&w, 400);
    assert_int_equal(w.downs, 1);
    redis_server_restart(w.server);
    run_until(&w, w.ups == 1);
    assert_int_equal(w.downs, 1);
    close_world(&w);
}

static void an_absent_unix_socket_is_reported_once(void **state)
{
    struct world w = {0};

    (void)state;
    open_world(&w, "unix:///nonexistent/redis.sock");
    run_until(&w, w.downs == 1);
    assert_non_null(strstr(w.why, "No such file"));
    run_for(&w, 300);
    assert_int_equal(w.downs, 1);
    close_world(&w);
}

static void while_down_a_command_is_answered_null_later(void **state)
{
    struct world w = {0};

    (void)state;
    open_world(&w, "unix:///nonexistent/redis.sock");
    command(&w, "PING", NULL);
    assert_int_equal(w.replies, 0);
    run_until(&w, w.replies == 1);
    assert_int_equal(w.nulls, 1);
    close_world(&w);
}

static void a_killed_server_answers_null_then_reconnects(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};

    (void)state;
    open_world(&w, redis_server_url(w.server));
    run_until(&w, w.ups == 1);
    redis_server_do(w.server, "SET kept yes");
    for (int i = 0; i < 3; i++) {
        struct span argv[] = {SPAN("BLPOP"), SPAN("nothing"), SPAN("0")};

        redis_command(w.r, 3, argv, on_reply, &w);
    }
    run_for(&w, 30);
    redis_server_kill(w.server);
    run_until(&w, w.replies == 3 && w.downs == 1);
    assert_int_equal(w.nulls, 3);
    assert_false(redis_is_up(w.r));
    redis_server_restart(w.server);
    run_until(&w, w.ups == 2);
    command(&w, "GET", "kept");
    run_until(&w, w.replies == 4);
    assert_string_equal(w.text, "yes");
    assert_int_equal(w.downs, 1);
    close_world(&w);
}

static void a_killed_client_reconnects_at_once(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};

    (void)state;
    open_world(&w, redis_server_url(w.server));
    run_until(&w, w.ups == 1);
    for (int i = 0; i < 5; i++) {
        redis_server_do(w.server, "CLIENT KILL TYPE normal SKIPME yes");
        run_until(&w, w.ups == 2 + i);
        assert_int_equal(w.downs, 1 + i);
    }
    close_world(&w);
}

static void a_wrong_password_is_said_and_the_right_one_let_in(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};
    char *url = alloc_printf("redis://:s3cret@127.0.0.1:%u", redis_server_port(w.server));

    (void)state;
    redis_server_do(w.server, "CONFIG SET requirepass other");
    open_world(&w, url);
    run_until(&w, w.downs == 1);
    assert_non_null(strstr(w.why, "WRONGPASS"));
    assert_null(strstr(w.why, "s3cret"));
    redis_server_do(w.server, "CONFIG SET requirepass s3cret");
    run_until(&w, w.ups == 1);
    assert_int_equal(w.downs, 1);
    close_world(&w);
    free(url);
}

static void a_missing_password_is_said(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};

    (void)state;
    redis_server_do(w.server, "CONFIG SET requirepass other");
    open_world(&w, redis_server_url(w.server));
    run_until(&w, w.downs == 1);
    assert_non_null(strstr(w.why, "NOAUTH"));
    close_world(&w);
}

static void a_user_logs_in_by_name(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};
    char *url = alloc_printf("redis://ann:p%%40ss@127.0.0.1:%u", redis_server_port(w.server));

    (void)state;
    redis_server_do(w.server, "ACL SETUSER ann on >p@ss ~* &* +@all");
    open_world(&w, url);
    run_until(&w, w.ups == 1);
    command(&w, "ACL", "WHOAMI");
    run_until(&w, w.replies == 1);
    assert_string_equal(w.text, "ann");
    close_world(&w);
    free(url);
}

static void a_replica_is_not_up(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};

    (void)state;
    redis_server_do(w.server, "REPLICAOF 127.0.0.1 1");
    open_world(&w, redis_server_url(w.server));
    run_until(&w, w.downs == 1);
    assert_non_null(strstr(w.why, "replica"));
    redis_server_do(w.server, "REPLICAOF NO ONE");
    run_until(&w, w.ups == 1);
    close_world(&w);
}

static void a_master_that_becomes_a_replica_goes_down_at_the_first_write(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};

    (void)state;
    open_world(&w, redis_server_url(w.server));
    run_until(&w, w.ups == 1);
    redis_server_do(w.server, "REPLICAOF 127.0.0.1 1");
    command(&w, "INCR", "n");
    run_until(&w, w.replies == 1 && w.downs == 1);
    assert_int_equal(w.nulls, 1);
    assert_non_null(strstr(w.why, "READONLY"));
    close_world(&w);
}

static void closing_answers_what_is_outstanding_first(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};

    (void)state;
    open_world(&w, redis_server_url(w.server));
    run_until(&w, w.ups == 1);
    command(&w, "ECHO", "a");
    command(&w, "ECHO", "b");
    redis_close(w.r, on_closed, &w);
    assert_int_equal(w.replies, 0);
    assert_false(w.closed);
    run_until(&w, w.replies == 2);
    assert_int_equal(w.nulls, 2);
    assert_int_equal(w.downs, 0);
    timer_close(w.patience);
    loop_run(w.loop);
    assert_true(w.closed);
    loop_free(w.loop);
    redis_server_stop(w.server);
}

static void closing_before_it_ever_was_up_is_fine(void **state)
{
    struct world w = {0};

    (void)state;
    open_world(&w, "redis://localhost:1");
    close_world(&w);
    assert_int_equal(w.ups + w.downs, 0);
}

static void on_reply_close(void *ctx, struct redisReply *reply)
{
    struct world *w = ctx;

    on_reply(ctx, reply);
    redis_close(w->r, on_closed, w);
    w->closed = false;
}

static void closing_within_a_reply_is_fine(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};
    struct span ping = SPAN("PING");

    (void)state;
    open_world(&w, redis_server_url(w.server));
    run_until(&w, w.ups == 1);
    redis_command(w.r, 1, &ping, on_reply_close, &w);
    command(&w, "ECHO", "b");
    run_until(&w, w.replies == 2);
    timer_close(w.patience);
    loop_run(w.loop);
    assert_true(w.closed);
    assert_int_equal(w.nulls, 1);
    loop_free(w.loop);
    redis_server_stop(w.server);
}

static void on_down_close(void *ctx, const char *why)
{
    struct world *w = ctx;

    on_down(ctx, why);
    redis_close(w->r, on_closed, w);
}

static void closing_within_down_is_fine(void **state)
{
    struct redis_address a = {.host = loopback, .port = (uint16_t)free_port()};
    struct world w = {.loop = loop_new()};

    (void)state;
    w.r = redis_new(w.loop, &a, on_up, on_down_close, &w);
    while (!w.closed)
        loop_run(w.loop);
    loop_run(w.loop);
    loop_free(w.loop);
    assert_int_equal(w.downs, 1);
}

static int count_commands(const char *p, ssize_t n)
{
    int count = 0;

    for (ssize_t i = 0; i < n; i++)
        count += p[i] == '*' && (i == 0 || p[i - 1] == '\n');
    return count;
}

/* Answers LOADING on its first two connections, and PONG to everything on later ones. */
static void play_a_loading_server(int listener)
{
    static const char loading[] = "-LOADING Redis is loading the dataset in memory\r\n";
    char in[4096];
    ssize_t n;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    for (int served = 0;; served++) {
        int fd = accept(listener, NULL, NULL);

        while ((n = read(fd, in, sizeof(in))) > 0)
            for (int i = count_commands(in, n); i > 0; i--)
                if (write(fd, served < 2 ? loading : "+PONG\r\n",
                          served < 2 ? sizeof(loading) - 1 : 7) < 0)
                    break;
        close(fd);
    }
}

static int listen_on_loopback(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static void a_loading_server_is_not_up_until_it_has_loaded(void **state)
{
    struct redis_address a = {.host = loopback};
    struct world w = {.loop = loop_new()};
    int listener = listen_on_loopback(&a.port);
    pid_t child = fork();

    (void)state;
    if (child == 0)
        play_a_loading_server(listener);
    close(listener);
    w.patience = timer_new(w.loop, out_of_patience, &w);
    w.r = redis_new(w.loop, &a, on_up, on_down, &w);
    run_until(&w, w.ups == 1);
    assert_int_equal(w.downs, 1);
    assert_non_null(strstr(w.why, "LOADING"));
    close_world(&w);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void a_server_that_accepts_and_says_nothing_is_given_up_after_2_s(void **state)
{
    struct redis_address a = {.host = loopback};
    struct world w = {.loop = loop_new()};
    int listener = listen_on_loopback(&a.port);
    uint64_t start = clock_mono_ns(), took;

    (void)state;
    w.patience = timer_new(w.loop, out_of_patience, &w);
    w.r = redis_new(w.loop, &a, on_up, on_down, &w);
    run_until(&w, w.downs == 1);
    took = clock_mono_ns() - start;
    assert_in_range(took, 2 * NS_PER_S, 20 * NS_PER_S);
    assert_non_null(strstr(w.why, "within 2 s"));
    close_world(&w);
    close(listener);
}

/* Column tr of /proc/net/tcp: 02 = the keepalive timer runs (proc_net_tcp in the kernel's
 * documentation, networking/proc_net_tcp). */
static void an_idle_connection_is_kept_under_watch(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};
    char line[512], peer[32];
    bool watched = false;
    FILE *f;

    (void)state;
    open_world(&w, redis_server_url(w.server));
    run_until(&w, w.ups == 1);
    run_for(&w, 300); /* a delayed acknowledgement has its own timer, of at most 200 ms */
    snprintf(peer, sizeof(peer), "0100007F:%04X 01 ", redis_server_port(w.server));
    f = fopen("/proc/net/tcp", "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        watched = watched || (strstr(line, peer) && strstr(line, " 02:"));
    fclose(f);
    assert_true(watched);
    close_world(&w);
}

/* When Redis is back and refuses our login, the reported reason must change. */
static void a_password_that_is_missing_is_said_although_the_outage_began_otherwise(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};

    (void)state;
    open_world(&w, redis_server_url(w.server));
    run_until(&w, w.ups == 1);
    redis_server_kill(w.server);
    run_until(&w, w.downs == 1);
    assert_null(strstr(w.why, "NOAUTH"));
    redis_server_restart(w.server);
    redis_server_do(w.server, "CONFIG SET requirepass secret");
    redis_server_do(w.server, "CLIENT KILL TYPE normal");
    run_until(&w, w.downs + w.ups > 2 && strstr(w.why, "NOAUTH"));
    close_world(&w);
}

static void too_many_clients_are_said_in_redis_words(void **state)
{
    struct world w = {.server = redis_server_start(NULL, NULL)};

    (void)state;
    redis_server_do(w.server, "CONFIG SET maxclients 1");
    open_world(&w, redis_server_url(w.server));
    run_until(&w, w.downs == 1);
    assert_non_null(strstr(w.why, "max number of clients"));
    close_world(&w);
}

static void words_of_redis_are_told_from_those_of_the_network(void **state)
{
    (void)state;
    assert_true(redis_says("NOAUTH Authentication required."));
    assert_true(redis_says("ERR max number of clients reached"));
    assert_true(redis_says("TLS: certificate verify failed: certificate has expired"));
    assert_false(redis_says("Connection refused"));
    assert_false(redis_says("no connection within 2 s"));
    assert_false(redis_says(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_that_is_missing_is_said_although_the_outage_began_otherwise),
        cmocka_unit_test(too_many_clients_are_said_in_redis_words),
        cmocka_unit_test(words_of_redis_are_told_from_those_of_the_network),
        cmocka_unit_test(tcp_comes_up_and_answers),
        cmocka_unit_test(a_unix_socket_comes_up_and_selects_its_database),
        cmocka_unit_test(a_host_name_is_resolved),
        cmocka_unit_test(bytes_travel_exactly),
        cmocka_unit_test(when_there_are_many_commands_the_first_are_sent_at_once),
        cmocka_unit_test(an_absent_server_is_reported_once_and_found_when_it_comes),
        cmocka_unit_test(an_absent_unix_socket_is_reported_once),
        cmocka_unit_test(while_down_a_command_is_answered_null_later),
        cmocka_unit_test(a_killed_server_answers_null_then_reconnects),
        cmocka_unit_test(a_killed_client_reconnects_at_once),
        cmocka_unit_test(a_wrong_password_is_said_and_the_right_one_let_in),
        cmocka_unit_test(a_missing_password_is_said),
        cmocka_unit_test(a_user_logs_in_by_name),
        cmocka_unit_test(a_replica_is_not_up),
        cmocka_unit_test(a_master_that_becomes_a_replica_goes_down_at_the_first_write),
        cmocka_unit_test(closing_answers_what_is_outstanding_first),
        cmocka_unit_test(closing_before_it_ever_was_up_is_fine),
        cmocka_unit_test(closing_within_a_reply_is_fine),
        cmocka_unit_test(closing_within_down_is_fine),
        cmocka_unit_test(a_loading_server_is_not_up_until_it_has_loaded),
        cmocka_unit_test(a_server_that_accepts_and_says_nothing_is_given_up_after_2_s),
        cmocka_unit_test(an_idle_connection_is_kept_under_watch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
