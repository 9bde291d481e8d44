/* SPDX-License-Identifier: MIT
 * Connections to Redis with TLS: which certificates are accepted and what is said of the others,
 * many bytes in both directions, and connections that end in the wrong moment. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>

#include "client.h"
#include "redis_transport.h"
#include "redis_world.h"
#include "reply.h"
#include "shell.h"
#include "tls_certificates.h"

static char loopback[] = "127.0.0.1";

struct tls {
    struct redis_server *redis;
    struct shell shell;
    struct redis_address address; /* with the right CA, and without a certificate of ours */
    char ca[128], cert[128], key[128];
};

static struct tls tls;

static const char *in_folder(char out[128], const char *file)
{
    snprintf(out, 128, "%s/%s", tls.shell.folder, file);
    return out;
}

static int set_up(void **state)
{
    (void)state;
    tls.redis = redis_server_start(NULL, NULL);
    shell_open(&tls.shell);
    tls_make_authorities(&tls.shell);
    tls_make(&tls.shell, "redis", "ca", "IP:127.0.0.1", 2);
    tls_make(&tls.shell, "other", "ca", "DNS:redis.example.com,IP:10.0.0.1", 2);
    tls_make(&tls.shell, "expired", "ca", "IP:127.0.0.1", -1);
    tls_make(&tls.shell, "client", "ca", "DNS:client", 2);
    tls_make(&tls.shell, "stranger", "theirs", "DNS:client", 2);
    tls.address.port = (uint16_t)tls_listen(tls.redis, &tls.shell, "redis");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shell_close(&tls.shell);
    redis_server_stop(tls.redis);
    return 0;
}

static int reset(void **state)
{
    (void)state;
    tls.address = (struct redis_address){
        .host = loopback, .port = tls.address.port, .tls = true, .ca_file = tls.ca};
    (void)in_folder(tls.ca, "ca.pem");
    (void)in_folder(tls.cert, "client.pem");
    (void)in_folder(tls.key, "client.key");
    tls_show(tls.redis, &tls.shell, "redis");
    redis_server_do(tls.redis, "CONFIG SET tls-protocols %s", "");
    return 0;
}

static void show_ours(const char *pem, const char *key)
{
    (void)in_folder(tls.cert, pem);
    (void)in_folder(tls.key, key);
    tls.address.cert_file = tls.cert;
    tls.address.key_file = tls.key;
}

static void open_link(struct world *w)
{
    w->loop = loop_new();
    w->patience = timer_new(w->loop, out_of_patience, w);
    w->r = redis_new(w->loop, &tls.address, on_up, on_down, w);
}

static struct client *open_client(void)
{
    struct client *c;
    struct error err;

    if (client_open(&tls.address, &c, &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

static void assert_works(void)
{
    struct world w = {0};
    struct client *c = open_client();
    struct redisReply *reply;

    assert_int_equal(client_ask_words(c, (const char *const[]){"ECHO", "a", NULL}, &reply), 0);
    assert_true(span_is(reply_text(reply), "a"));
    client_close(c);
    open_link(&w);
    run_until(&w, w.ups == 1);
    command(&w, "ECHO", "hello");
    run_until(&w, w.replies == 1);
    assert_string_equal(w.text, "hello");
    assert_int_equal(w.downs, 0);
    close_world(&w);
}

/* Both kinds of connections give the same reason. */
static void assert_fails(const char *why)
{
    struct world w = {0};
    struct client *c;
    struct error err;

    assert_int_equal(client_open(&tls.address, &c, &err), -ENOTCONN);
    if (!strstr(err.text, why))
        fail_msg("%s: not in: %s", why, err.text);
    open_link(&w);
    run_until(&w, w.downs == 1);
    if (!strstr(w.why, why))
        fail_msg("%s: not in: %s", why, w.why);
    assert_int_equal(w.ups, 0);
    close_world(&w);
}

/* -- certificates -- */

static void a_private_authority_is_enough(void **state)
{
    (void)state;
    assert_works();
}

static void an_unknown_authority_is_named_as_the_reason(void **state)
{
    (void)state;
    tls.address.ca_file = NULL; /* the system's */
    assert_fails("give its CA in redis_tls.ca_file");
    tls.address.ca_file = tls.ca;
    (void)in_folder(tls.ca, "theirs.pem");
    assert_fails("its CA is not in /");
}

static void a_certificate_for_others_is_refused_with_their_names(void **state)
{
    static char localhost[] = "localhost";

    (void)state;
    tls_show(tls.redis, &tls.shell, "other");
    assert_fails("IP address mismatch: expected 127.0.0.1, but it is for redis.example.com, "
                 "10.0.0.1");
    tls.address.host = localhost;
    assert_fails("hostname mismatch: expected localhost, but it is for redis.example.com");
}

static void an_expired_certificate_is_refused(void **state)
{
    (void)state;
    tls_show(tls.redis, &tls.shell, "expired");
    assert_fails("certificate has expired");
}

static void a_certificate_of_ours_is_shown_if_it_is_demanded(void **state)
{
    static const char *const protocols[] = {"TLSv1.2", "TLSv1.3"};

    (void)state;
    redis_server_do(tls.redis, "CONFIG SET tls-auth-clients yes");
    for (size_t i = 0; i < array_len(protocols); i++) {
        redis_server_do(tls.redis, "CONFIG SET tls-protocols %s", protocols[i]);
        show_ours("client.pem", "client.key");
        assert_works();
        show_ours("stranger.pem", "stranger.key");
        assert_fails("the server refuses our certificate /");
        tls.address.cert_file = tls.address.key_file = NULL;
        assert_fails("the server demands a certificate of us: give it in redis_tls.cert_file");
    }
}

static void an_old_version_of_tls_is_not_spoken(void **state)
{
    (void)state;
    /* Redis offers nothing but TLS 1.1, if its OpenSSL still can. */
    redis_server_do(tls.redis, "CONFIG SET tls-protocols TLSv1.1");
    assert_fails("TLS: ");
}

static void a_file_that_cannot_be_used_is_named(void **state)
{
    (void)state;
    (void)in_folder(tls.ca, "none.pem");
    assert_fails("none.pem: No such file or directory");
    (void)in_folder(tls.ca, "ca.key");
    assert_fails("ca.key: no certificates in PEM format");
    (void)in_folder(tls.ca, "ca.pem");
    show_ours("client.key", "client.key");
    assert_fails("redis_tls.cert_file /");
    show_ours("client.pem", "none.key");
    assert_fails("none.key: No such file or directory");
    show_ours("client.pem", "stranger.key");
    assert_fails("stranger.key: not the key of cert_file /");
    show_ours("client.pem", "client.pem");
    assert_fails("client.pem: no key in PEM format");
}

static void a_key_with_a_password_is_refused_without_a_question(void **state)
{
    (void)state;
    tls_run(&tls.shell, "openssl ec -aes128 -passout pass:secret -in $D/client.key "
                        "-out $D/locked.key");
    show_ours("client.pem", "locked.key");
    assert_fails("locked.key: no key in PEM format without a password");
}

static void files_are_read_anew_for_each_connection(void **state)
{
    struct world w = {0};

    (void)state;
    tls_run(&tls.shell, "cp $D/theirs.pem $D/changing.pem");
    (void)in_folder(tls.ca, "changing.pem");
    open_link(&w);
    run_until(&w, w.downs == 1);
    tls_run(&tls.shell, "cp $D/ca.pem $D/changing.pem");
    run_until(&w, w.ups == 1);
    close_world(&w);
}

/* -- one side without TLS -- */

static void a_port_without_tls_is_said_to_be_one(void **state)
{
    struct redis_address secure = tls.address;

    (void)state;
    tls.address.port = (uint16_t)redis_server_port(tls.redis);
    assert_fails("does not speak TLS on this port");
    tls.address.port = secure.port;
}

static void a_tls_port_is_recognized_without_tls(void **state)
{
    (void)state;
    tls.address.tls = false;
    assert_fails("if the server expects TLS, its address begins with rediss://");
}

/* -- many bytes -- */

#define BIG ((size_t)3 * 1000 * 1000)
#define BIGS 8

static char *big_text(char c)
{
    char *p = alloc_bytes(BIG);

    memset(p, c, BIG);
    return p;
}

static void assert_big(struct span s, char c)
{
    assert_int_equal(s.n, BIG);
    for (size_t i = 0; i < BIG; i++)
        if (s.p[i] != c)
            fail_msg("byte %zu is %c", i, s.p[i]);
}

/* The answers to the first commands come while the last are still being sent. */
static void a_client_sends_and_receives_megabytes_at_once(void **state)
{
    struct client *c = open_client();
    struct redisReply *reply;

    (void)state;
    for (int i = 0; i < BIGS; i++) {
        char *text = big_text((char)('a' + i));
        struct span argv[] = {SPAN("ECHO"), span_of(text, BIG)};

        client_send(c, 2, argv);
        free(text);
    }
    assert_int_equal(client_flush(c), 0);
    for (int i = 0; i < BIGS; i++) {
        assert_int_equal(client_receive(c, &reply), 0);
        assert_big(reply_text(reply), (char)('a' + i));
    }
    client_close(c);
}

static void on_big(void *ctx, struct redisReply *reply)
{
    struct world *w = ctx;

    assert_big(reply_text(reply), (char)('a' + w->replies));
    w->replies++;
    loop_stop(w->loop);
}

static void a_loop_sends_and_receives_megabytes_at_once(void **state)
{
    struct world w = {0};

    (void)state;
    open_link(&w);
    run_until(&w, w.ups == 1);
    for (int i = 0; i < BIGS; i++) {
        char *text = big_text((char)('a' + i));
        struct span argv[] = {SPAN("ECHO"), span_of(text, BIG)};

        redis_command(w.r, 2, argv, on_big, &w);
        free(text);
    }
    run_until(&w, w.replies == BIGS);
    close_world(&w);
}

/* Who polls the descriptor may not be left waiting for bytes that have been read already. */
static void the_descriptor_tells_of_every_answer(void **state)
{
    struct client *c = open_client();
    struct redisReply *reply;
    int answers = 0;

    (void)state;
    for (int i = 0; i < 5000; i++)
        client_send(c, 2, (const struct span[]){SPAN("ECHO"), SPAN("twenty bytes of text")});
    assert_int_equal(client_flush(c), 0);
    while (answers < 5000) {
        struct pollfd p = {.fd = client_fd(c), .events = POLLIN};

        assert_int_equal(poll(&p, 1, 60000), 1);
        while (client_wait(c, 0, &reply) == 0)
            answers++;
    }
    client_close(c);
}

static struct redis_transport *open_transport(void)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *to;
    struct redis_transport *t;
    struct error err;
    int rc;

    assert_int_equal(getaddrinfo(loopback, NULL, &hints, &to), 0);
    rc = redis_transport_open(&tls.address, to, &t, &err);
    freeaddrinfo(to);
    while (rc == 0 && (rc = redis_transport_connect(t, &err)) == -EAGAIN) {
        unsigned wants = redis_transport_reading_wants(t);
        struct pollfd p = {.fd = redis_transport_fd(t),
                           .events = wants & REDIS_WANTS_READABLE ? POLLIN : POLLOUT};

        rc = poll(&p, 1, 60000) == 1 ? 0 : -1;
    }
    if (rc < 0)
        fail_msg("%s", err.text);
    return t;
}

/* Reads with a small buffer, and waits for the socket only if nothing is pending. */
static void what_is_decrypted_already_is_not_waited_for(void **state)
{
    struct redis_transport *t = open_transport();
    char text[50001] = "", small[7];
    struct pollfd p = {.fd = redis_transport_fd(t), .events = POLLIN};
    char *command;
    struct error err;
    size_t got = 0;
    bool pending = false;

    (void)state;
    memset(text, 'x', 50000);
    command = alloc_printf("ECHO %s\r\n", text);
    assert_int_equal(redis_transport_write(t, command, strlen(command), &err), strlen(command));
    while (got < strlen("$50000\r\n") + 50002) {
        ssize_t n;

        if (!redis_transport_pending(t))
            assert_int_equal(poll(&p, 1, 60000), 1);
        n = redis_transport_read(t, small, sizeof(small), &err);
        assert_true(n > 0 || n == -EAGAIN);
        got += n > 0 ? (size_t)n : 0;
        pending = pending || redis_transport_pending(t);
    }
    assert_true(pending);
    free(command);
    redis_transport_free(t);
}

/* -- other ways to use a connection -- */

static void on_message(void *ctx, const struct span *text)
{
    struct world *w = ctx;

    if (text)
        snprintf(w->text, sizeof(w->text), "%.*s", (int)text->n, text->p);
    w->replies += text != NULL;
    w->nulls += text == NULL;
    loop_stop(w->loop);
}

static void messages_of_a_channel_come_over_tls(void **state)
{
    struct world w = {0};

    (void)state;
    open_link(&w);
    run_until(&w, w.ups == 1);
    redis_subscribe(w.r, SPAN("c"), on_message, &w);
    run_until(&w, w.replies == 1);
    redis_server_do(tls.redis, "PUBLISH c first");
    redis_server_do(tls.redis, "PUBLISH c second");
    run_until(&w, w.replies == 3);
    assert_string_equal(w.text, "second");
    redis_server_do(tls.redis, "CLIENT KILL TYPE pubsub");
    run_until(&w, w.nulls == 1);
    close_world(&w);
}

static struct {
    char room[1000];
    size_t got, expected;
    bool kill; /* Redis, after the first bytes */
} stream;

static char *stream_room(void *ctx, size_t *n)
{
    (void)ctx;
    *n = sizeof(stream.room);
    return stream.room;
}

static int stream_took(void *ctx, size_t n)
{
    (void)ctx;
    if (stream.kill && stream.got == 0)
        redis_server_kill(tls.redis);
    stream.got += n;
    return stream.got == stream.expected;
}

static const char *stream_error(void *ctx)
{
    (void)ctx;
    return NULL;
}

static void stream_done(void *ctx, int err)
{
    struct world *w = ctx;

    w->replies++;
    w->number = err;
    loop_stop(w->loop);
}

static const struct redis_sink sink = {stream_room, stream_took, stream_error, stream_done};

static void stream_big(struct world *w, size_t bytes, bool and_kill)
{
    redis_server_do(tls.redis, "SETRANGE big %d x", (int)bytes - 1);
    open_link(w);
    run_until(w, w->ups == 1);
    stream.got = 0;
    stream.expected = (size_t)snprintf(NULL, 0, "$%zu\r\n", bytes) + bytes + 2;
    stream.kill = and_kill;
    redis_stream(w->r, 0, 2, (const struct span[]){SPAN("GET"), SPAN("big")}, &sink, w);
    run_until(w, w->replies == 1);
}

/* Every size around that of a TLS record, with a room that is smaller than it. */
static void a_reply_is_streamed_over_tls(void **state)
{
    static const size_t sizes[] = {1, 16000, 16384, 16385, 5000000};

    (void)state;
    for (size_t i = 0; i < array_len(sizes); i++) {
        struct world w = {0};

        redis_server_do(tls.redis, "DEL big");
        stream_big(&w, sizes[i], false);
        assert_int_equal(w.number, 0);
        command(&w, "ECHO", "and then");
        run_until(&w, w.replies == 2);
        assert_string_equal(w.text, "and then");
        close_world(&w);
    }
}

/* -- the wrong moment to close -- */

static void reopen(void)
{
    void *none = NULL;

    redis_server_restart(tls.redis);
    tls_show(tls.redis, &tls.shell, "redis");
    redis_server_do(tls.redis, "CONFIG SET tls-port %u", (unsigned)tls.address.port);
    (void)reset(&none);
}

static void a_server_killed_in_a_reply_ends_the_stream(void **state)
{
    struct world w = {0};

    (void)state;
    stream_big(&w, 50 * 1000 * 1000, true);
    assert_int_equal(w.number, -ENOTCONN);
    assert_true(stream.got < stream.expected);
    run_until(&w, w.downs == 1);
    reopen();
    run_until(&w, w.ups == 2);
    close_world(&w);
}

/* SIGPIPE has its default action, which would end this process. */
static void a_server_killed_in_a_reply_is_a_loss_for_a_client(void **state)
{
    void (*before)(int) = signal(SIGPIPE, SIG_DFL);
    struct client *c = open_client();
    struct pollfd p = {.fd = client_fd(c), .events = POLLIN};
    struct redisReply *reply;
    struct world w = {0};

    (void)state;
    redis_server_do(tls.redis, "SETRANGE big %d x", 50 * 1000 * 1000);
    open_link(&w);
    run_until(&w, w.ups == 1);
    client_send(c, 2, (const struct span[]){SPAN("GET"), SPAN("big")});
    assert_int_equal(client_flush(c), 0);
    assert_int_equal(poll(&p, 1, 60000), 1);
    redis_server_kill(tls.redis);
    command(&w, "INCR", "n");
    assert_int_equal(client_receive(c, &reply), -ENOTCONN);
    for (int i = 0; i < 3; i++) {
        client_send(c, 1, (const struct span[]){SPAN("PING")});
        assert_int_equal(client_receive(c, &reply), -ENOTCONN);
    }
    client_close(c);
    run_until(&w, w.nulls == 1 && w.downs == 1);
    reopen();
    close_world(&w);
    signal(SIGPIPE, before);
}

/* A server that reads the first bytes, says something, and closes. */
static pid_t start_brusque(const char *says, uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t n = sizeof(a);
    char in[4096];
    pid_t child;

    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
    *port = ntohs(a.sin_port);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            int fd = accept(listener, NULL, NULL);

            if (read(fd, in, sizeof(in)) > 0 && write(fd, says, strlen(says)) < 0)
                _exit(1);
            close(fd);
        }
    }
    close(listener);
    return child;
}

static void assert_brusque_fails(const char *says, const char *why)
{
    uint16_t port = tls.address.port;
    pid_t child = start_brusque(says, &tls.address.port);

    assert_fails(why);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    tls.address.port = port;
}

static void a_handshake_that_ends_early_is_said_to_have_ended(void **state)
{
    (void)state;
    assert_brusque_fails("", "the server ended the TLS handshake without a word");
    assert_brusque_fails("\x16\x03\x03", "the server ended the TLS handshake without a word");
    assert_brusque_fails("-ERR what?\r\n", "the server does not speak TLS on this port");
    assert_brusque_fails("HTTP/1.1 400 Bad Request\r\n\r\n",
                         "the server does not speak TLS on this port");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, reset)
    const struct CMUnitTest tests[] = {
        TEST(a_private_authority_is_enough),
        TEST(an_unknown_authority_is_named_as_the_reason),
        TEST(a_certificate_for_others_is_refused_with_their_names),
        TEST(an_expired_certificate_is_refused),
        TEST(a_certificate_of_ours_is_shown_if_it_is_demanded),
        TEST(an_old_version_of_tls_is_not_spoken),
        TEST(a_file_that_cannot_be_used_is_named),
        TEST(a_key_with_a_password_is_refused_without_a_question),
        TEST(files_are_read_anew_for_each_connection),
        TEST(a_port_without_tls_is_said_to_be_one),
        TEST(a_tls_port_is_recognized_without_tls),
        TEST(a_client_sends_and_receives_megabytes_at_once),
        TEST(a_loop_sends_and_receives_megabytes_at_once),
        TEST(the_descriptor_tells_of_every_answer),
        TEST(what_is_decrypted_already_is_not_waited_for),
        TEST(messages_of_a_channel_come_over_tls),
        TEST(a_reply_is_streamed_over_tls),
        TEST(a_server_killed_in_a_reply_ends_the_stream),
        TEST(a_server_killed_in_a_reply_is_a_loss_for_a_client),
        TEST(a_handshake_that_ends_early_is_said_to_have_ended),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
