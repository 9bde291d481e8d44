/* SPDX-License-Identifier: MIT
 * What the sender writes to an HTTP/2 connection, frame by frame (RFC 9113, section 4.1). A process
 * of the test takes one connection, counts what comes, and answers every request with 200. */
#include "sender_rig.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRAME_HEAD 9
#define PREFACE_BYTES 24

enum frame { FRAME_DATA = 0, FRAME_HEADERS = 1, FRAME_SETTINGS = 4 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

/* Shared by both processes. The test reads it after its answers came. */
struct seen {
    size_t headers, data, data_bytes;
    size_t ended_by_headers; /* requests without any DATA */
    size_t segments;         /* of TCP, with data */
};

struct wire {
    pid_t pid;
    uint16_t port;
    struct seen *seen;
};

/* -- the server, in a process of its own -- */

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in,
                     unsigned in_n, void *ctx)
{
    (void)ssl;
    (void)in;
    (void)in_n;
    (void)ctx;
    *out = (const unsigned char *)"h2";
    *n = 2;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *server_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    char path[128];

    must(ctx != NULL);
    snprintf(path, sizeof(path), "%s/leaf.pem", web.dir);
    must(SSL_CTX_use_certificate_chain_file(ctx, path) == 1);
    snprintf(path, sizeof(path), "%s/leaf.key", web.dir);
    must(SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) == 1);
    SSL_CTX_set_alpn_select_cb(ctx, choose_h2, NULL);
    return ctx;
}

static void read_all(SSL *ssl, uint8_t *to, size_t n)
{
    for (size_t got = 0; got < n;) {
        int rc = SSL_read(ssl, to + got, (int)(n - got));

        if (rc <= 0)
            _exit(0); /* the sender has closed the connection */
        got += (size_t)rc;
    }
}

/* Stream numbers are below 256 in these tests. */
static void write_frame(SSL *ssl, enum frame type, int flags, uint8_t stream, const char *payload)
{
    uint8_t bytes[FRAME_HEAD + 8] = {0};
    size_t n = strlen(payload);

    bytes[2] = (uint8_t)n;
    bytes[3] = (uint8_t)type;
    bytes[4] = (uint8_t)flags;
    bytes[8] = stream;
    memcpy(bytes + FRAME_HEAD, payload, n);
    must(SSL_write(ssl, bytes, (int)(FRAME_HEAD + n)) > 0);
}

/* TCP_INFO as Linux has it since 4.6; libc's header ends before: <linux/tcp.h>. */
struct info {
    struct tcp_info known;
    uint64_t rates[2], bytes[2];
    uint32_t segments_out, segments_in, unsent_bytes, min_rtt, data_segments_in;
};

static size_t segments_of(int fd)
{
    struct info info = {0};
    socklen_t n = sizeof(info);

    must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 && n == sizeof(info));
    return info.data_segments_in;
}

/* 0x88 is ":status: 200" (RFC 7541, appendix A). */
static void take_frame(SSL *ssl, struct seen *seen)
{
    static uint8_t payload[1 << 16];
    uint8_t head[FRAME_HEAD];
    size_t n;

    read_all(ssl, head, sizeof(head));
    n = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    must(n <= sizeof(payload));
    read_all(ssl, payload, n);
    if (head[3] == FRAME_SETTINGS && !(head[4] & ACK))
        write_frame(ssl, FRAME_SETTINGS, ACK, 0, "");
    if (head[3] != FRAME_DATA && head[3] != FRAME_HEADERS)
        return;
    seen->segments = segments_of(SSL_get_fd(ssl));
    seen->headers += head[3] == FRAME_HEADERS;
    seen->data += head[3] == FRAME_DATA;
    seen->data_bytes += head[3] == FRAME_DATA ? n : 0;
    seen->ended_by_headers += head[3] == FRAME_HEADERS && head[4] & END_STREAM;
    if (head[4] & END_STREAM)
        write_frame(ssl, FRAME_HEADERS, END_STREAM | END_HEADERS, head[8], "\x88");
}

static void serve(int listener, struct seen *seen)
{
    uint8_t preface[PREFACE_BYTES];
    SSL *ssl = SSL_new(server_context());
    int fd = accept(listener, NULL, NULL);

    must(fd >= 0 && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1);
    write_frame(ssl, FRAME_SETTINGS, 0, 0, "");
    read_all(ssl, preface, sizeof(preface));
    for (;;)
        take_frame(ssl, seen);
}

static void wire_start(struct wire *w)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(fd >= 0 && bind(fd, (struct sockaddr *)&in, n) == 0 && listen(fd, 8) == 0);
    must(getsockname(fd, (struct sockaddr *)&in, &n) == 0);
    w->port = ntohs(in.sin_port);
    w->seen =
        mmap(NULL, sizeof(*w->seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(w->seen != MAP_FAILED);
    w->pid = fork();
    must(w->pid >= 0);
    if (w->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(fd, w->seen);
    }
    close(fd);
}

static void wire_stop(struct wire *w)
{
    int status;

    must(waitpid(w->pid, &status, 0) == w->pid);
    munmap(w->seen, sizeof(*w->seen));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* -- the tests -- */

/* An empty POST that is a POST for libcurl 7.88 is followed by an empty DATA frame, for which both
 * sides work as much as for the request itself. */
static void an_empty_post_is_one_frame(void **state)
{
    static const char body[] = "{\"surrogate_keys\":[\"a\"]}";
    struct wire w;
    struct exchange *x;
    struct rig r;

    (void)state;
    wire_start(&w);
    rig_open(&r);
    for (size_t i = 1; i <= 3; i++) {
        assert_ok(fetch(&r, w.port, "/purge/a", i == 2 ? "Surrogate-Key: a" : NULL));
        assert_int_equal(w.seen->headers, i);
        assert_int_equal(w.seen->ended_by_headers, i);
        assert_int_equal(w.seen->data, 0);
    }
    x = ask(&r, "https", w.port, "/purge", NULL);
    buf_put(&x->body, span_str(body));
    senders_send(r.senders, x);
    await(&r, 4);
    assert_ok(x);
    assert_int_equal(w.seen->ended_by_headers, 3);
    assert_int_equal(w.seen->data_bytes, strlen(body));
    assert_ok(fetch(&r, w.port, "/purge/b", NULL));
    assert_int_equal(w.seen->ended_by_headers, 4);
    rig_close(&r);
    wire_stop(&w);
}

/* Every segment wakes the server. The first leaves at once, because it might be the only one. If
 * the sender is stopped for 200 ms meanwhile, the kernel sends what it has collected. */
static void requests_of_one_turn_leave_in_few_segments(void **state)
{
    enum { AT_ONCE = 16 }; /* which the sender's loop gets together */
    struct wire w;
    struct rig r;
    size_t before;

    (void)state;
    wire_start(&w);
    rig_open(&r);
    assert_ok(fetch(&r, w.port, "/purge/a", NULL));
    before = w.seen->segments;
    for (int i = 0; i < AT_ONCE; i++)
        send_one(&r, w.port, "/purge/b", NULL);
    await(&r, 1 + AT_ONCE);
    assert_int_equal(w.seen->ended_by_headers, 1 + AT_ONCE);
    assert_in_range(w.seen->segments - before, 1, AT_ONCE / 2);
    rig_close(&r);
    wire_stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_post_is_one_frame),
        cmocka_unit_test(requests_of_one_turn_leave_in_few_segments),
    };

    return cmocka_run_group_tests(tests, start_web, stop_web);
}
