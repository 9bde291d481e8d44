/* SPDX-License-Identifier: MIT */
#include "sink.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "buf.h"

#define CONNECTIONS_MAX 256
#define BYTES_MAX ((size_t)1 << 20)

struct connection {
    int fd;
    struct buf in, out;
};

static struct connection connections[CONNECTIONS_MAX];
static size_t count;

/* The value of a header in `head`. */
static struct span header(struct span head, const char *name)
{
    struct span line, value;

    while (span_next_word(&head, '\n', &line)) {
        size_t n = strlen(name);

        if (line.n <= n || strncasecmp(line.p, name, n) != 0 || line.p[n] != ':')
            continue;
        value = span_of(line.p + n + 1, line.n - n - 1);
        if (value.n && value.p[value.n - 1] == '\r')
            value.n--;
        return span_trim(value);
    }
    return span_of(NULL, 0);
}

static void answer(struct connection *c, struct span keys)
{
    struct buf body;
    struct span key;

    buf_init(&body, BYTES_MAX);
    buf_printf(&body, "{\"status\":\"ok\",\"id\":\"1-1-1\"");
    if (keys.n)
        buf_clear(&body);
    for (const char *before = "{"; span_next_word(&keys, ' ', &key); before = ",")
        buf_printf(&body, "%s\"%.*s\":\"1-1-1\"", before, (int)key.n, key.p);
    buf_putc(&body, '}');
    buf_printf(&c->out,
               "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n",
               body.n);
    buf_put(&c->out, buf_span(&body));
    buf_deinit(&body);
}

/* Answers the first request if it is complete. */
static bool take_request(struct connection *c)
{
    char *end = c->in.n ? memmem(c->in.p, c->in.n, "\r\n\r\n", 4) : NULL;
    struct span head;
    uint64_t body = 0;
    size_t n;

    if (!end)
        return false;
    head = span_of(c->in.p, (size_t)(end - c->in.p) + 2);
    if (span_to_u64(header(head, "content-length"), &body) < 0)
        body = 0;
    n = head.n + 2 + (size_t)body;
    if (c->in.n < n)
        return false;
    answer(c, header(head, "surrogate-key"));
    memmove(c->in.p, c->in.p + n, c->in.n - n + 1);
    c->in.n -= n;
    return true;
}

/* Returns false when the connection is over. */
static bool serve(struct connection *c)
{
    char bytes[65536];
    ssize_t n = read(c->fd, bytes, sizeof(bytes));

    if (n <= 0 || buf_try_put(&c->in, span_of(bytes, (size_t)n)) < 0)
        return false;
    while (take_request(c))
        ;
    for (size_t sent = 0; sent < c->out.n; sent += (size_t)n) {
        n = write(c->fd, c->out.p + sent, c->out.n - sent);
        if (n <= 0)
            return false;
    }
    buf_clear(&c->out);
    return true;
}

static void hang_up(size_t i)
{
    close(connections[i].fd);
    buf_deinit(&connections[i].in);
    buf_deinit(&connections[i].out);
    connections[i] = connections[--count];
}

static void accept_one(int listener)
{
    int fd = accept(listener, NULL, NULL);

    if (fd < 0)
        return;
    if (count == CONNECTIONS_MAX) {
        close(fd);
        return;
    }
    connections[count].fd = fd;
    buf_init(&connections[count].in, BYTES_MAX);
    buf_init(&connections[count++].out, BYTES_MAX);
}

__attribute__((noreturn)) static void run(int listener)
{
    struct pollfd fds[CONNECTIONS_MAX + 1];

    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        size_t n = count;

        fds[n] = (struct pollfd){listener, POLLIN, 0};
        for (size_t i = 0; i < n; i++)
            fds[i] = (struct pollfd){connections[i].fd, POLLIN, 0};
        if (poll(fds, n + 1, -1) < 0)
            continue;
        for (size_t i = n; i-- > 0;) /* backwards: the last one replaces a closed one */
            if (fds[i].revents && !serve(&connections[i]))
                hang_up(i);
        if (fds[n].revents)
            accept_one(listener);
    }
}

void sink_start(struct sink *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(listener >= 0 && bind(listener, (struct sockaddr *)&a, size) == 0);
    must(listen(listener, CONNECTIONS_MAX) == 0);
    must(getsockname(listener, (struct sockaddr *)&a, &size) == 0);
    snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", ntohs(a.sin_port));
    s->pid = fork();
    must(s->pid >= 0);
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run(listener);
    }
    close(listener);
}

void sink_stop(struct sink *s)
{
    if (s->pid <= 0)
        return;
    kill(s->pid, SIGKILL);
    must(waitpid(s->pid, NULL, 0) == s->pid);
    s->pid = 0;
}
