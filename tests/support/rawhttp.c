/* SPDX-License-Identifier: MIT */
#include "rawhttp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "clock.h"

#define LOOK_MS 100
#define GOT_MAX_BYTES ((size_t)256 * 1024 * 1024)

void rawhttp_open_from(struct rawhttp *r, const char *source, unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in from = {.sin_family = AF_INET};
    int on = 1;

    *r = (struct rawhttp){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    must(r->fd >= 0 && inet_pton(AF_INET, source, &from.sin_addr) == 1);
    /* Chooses the port when the destination is known; otherwise all connections share 28,000 ports.
     */
    (void)setsockopt(r->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(r->fd, (struct sockaddr *)&from, sizeof(from)) < 0)
        fail_msg("bind to %s: %s", source, strerror(errno));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(r->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        fail_msg("connect to port %u: %s", port, strerror(errno));
    buf_init(&r->got, GOT_MAX_BYTES);
}

void rawhttp_open(struct rawhttp *r, unsigned port)
{
    rawhttp_open_from(r, "127.0.0.1", port);
}

void rawhttp_open_unix(struct rawhttp *r, const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    *r = (struct rawhttp){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    if (connect(r->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        fail_msg("connect to %s: %s", path, strerror(errno));
    buf_init(&r->got, GOT_MAX_BYTES);
}

void rawhttp_open_six(struct rawhttp *r, unsigned port)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6,
                             .sin6_port = htons((uint16_t)port),
                             .sin6_addr = IN6ADDR_LOOPBACK_INIT};

    *r = (struct rawhttp){.fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (connect(r->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        fail_msg("connect to [::1]:%u: %s", port, strerror(errno));
    buf_init(&r->got, GOT_MAX_BYTES);
}

void rawhttp_close(struct rawhttp *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    buf_deinit(&r->got);
}

void rawhttp_reset(struct rawhttp *r)
{
    const struct linger hard = {1, 0};

    must(setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)) == 0);
    rawhttp_close(r);
}

void rawhttp_half_close(struct rawhttp *r)
{
    must(shutdown(r->fd, SHUT_WR) == 0);
}

/* -- sending --------------------------------------------------------------------------------- */

/* Waits. The condition may have changed when it returns. */
static void rest(struct rawhttp *r, short events, const struct await *a)
{
    struct pollfd p = {.fd = r->fd, .events = events};

    if (r->pump)
        r->pump(r->pump_ctx);
    else
        poll(&p, 1, LOOK_MS);
    if (clock_mono_ns() > a->until_ns)
        fail_msg("waited in vain for: %s", a->what);
}

size_t rawhttp_try_send(struct rawhttp *r, const void *p, size_t n)
{
    ssize_t sent = send(r->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent >= 0)
        return (size_t)sent;
    if (errno != EAGAIN && errno != EINTR)
        r->ended = true;
    return 0;
}

void rawhttp_send(struct rawhttp *r, const void *p, size_t n)
{
    struct await a = await_begin("the other side reads", -1, AWAIT_PATIENCE_MS);
    size_t sent = 0;

    while (sent < n && !r->ended) {
        size_t now = rawhttp_try_send(r, (const char *)p + sent, n - sent);

        sent += now;
        if (now)
            a = await_begin(a.what, -1, AWAIT_PATIENCE_MS);
        else
            rest(r, POLLOUT, &a);
    }
}

void rawhttp_say(struct rawhttp *r, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    must(n >= 0);
    rawhttp_send(r, text, (size_t)n);
    free(text);
}

/* -- reading --------------------------------------------------------------------------------- */

void rawhttp_read(struct rawhttp *r)
{
    char some[65536];
    ssize_t n;

    while ((n = recv(r->fd, some, sizeof(some), MSG_DONTWAIT)) > 0)
        buf_put(&r->got, span_of(some, (size_t)n));
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        r->ended = true;
    if (n < 0 && errno == ECONNRESET)
        r->reset = true;
}

static bool find_header(struct span head, const char *name, struct span *value)
{
    struct span line;

    while (span_next_word(&head, '\n', &line)) {
        size_t n = strlen(name);

        if (!span_starts_nocase(line, name) || line.n <= n || line.p[n] != ':')
            continue;
        *value = span_of(line.p + n + 1, line.n - n - 1);
        if (value->n && value->p[value->n - 1] == '\r')
            value->n--;
        *value = span_trim(*value);
        return true;
    }
    return false;
}

bool rawhttp_next(struct rawhttp *r, struct rawhttp_answer *a)
{
    struct span rest_of = span_of(r->got.p ? r->got.p + r->taken : "", r->got.n - r->taken), length;
    const char *end = rest_of.n ? memmem(rest_of.p, rest_of.n, "\r\n\r\n", 4) : NULL;
    uint64_t n = 0;

    if (!end)
        return false;
    must(rest_of.n > 12 && memcmp(rest_of.p, "HTTP/1.", 7) == 0);
    a->status = atoi(rest_of.p + 9);
    a->head = span_of(rest_of.p, (size_t)(end + 4 - rest_of.p));
    if (!r->bodiless && find_header(a->head, "Content-Length", &length))
        must(span_to_u64(length, &n) == 0);
    if (rest_of.n - a->head.n < n)
        return false;
    a->body = span_of(a->head.p + a->head.n, (size_t)n);
    r->taken += a->head.n + a->body.n;
    return true;
}

static bool await_answer(struct rawhttp *r, struct rawhttp_answer *a)
{
    struct await left = await_begin("an answer, or the end", -1, AWAIT_PATIENCE_MS);

    while (!rawhttp_next(r, a)) {
        if (r->ended)
            return false;
        rest(r, POLLIN, &left);
        rawhttp_read(r);
    }
    return true;
}

struct rawhttp_answer rawhttp_await(struct rawhttp *r)
{
    struct rawhttp_answer a;

    if (!await_answer(r, &a))
        fail_msg("the connection ended without an answer");
    return a;
}

void rawhttp_await_status(struct rawhttp *r, int status)
{
    struct rawhttp_answer a = rawhttp_await(r);

    if (a.status != status)
        fail_msg("expected %d: %.*s", status, (int)(a.head.n + a.body.n), a.head.p);
}

int rawhttp_await_any(struct rawhttp *r)
{
    struct rawhttp_answer a;

    return await_answer(r, &a) ? a.status : 0;
}

void rawhttp_await_end(struct rawhttp *r)
{
    struct rawhttp_answer a;

    if (await_answer(r, &a))
        fail_msg("expected the end: %.*s", (int)(a.head.n + a.body.n), a.head.p);
}

const char *rawhttp_header(const struct rawhttp_answer *a, const char *name, char *out, size_t room)
{
    struct span value = {"", 0};

    if (!find_header(a->head, name, &value))
        value = SPAN("");
    must(value.n < room);
    memcpy(out, value.p, value.n);
    out[value.n] = '\0';
    return out;
}

bool rawhttp_says(const struct rawhttp_answer *a, const char *text)
{
    return a->body.n && memmem(a->body.p, a->body.n, text, strlen(text));
}

/* -- address ---------------------------------------------------------------------------------- */

unsigned rawhttp_port(const struct instance *i)
{
    static const char said[] = "The HTTP endpoint listens\"";
    char line[1024];
    unsigned port = 0;
    FILE *f;

    instance_await_said(i, said, 1);
    f = fopen(i->log, "r");
    must(f);
    while (fgets(line, sizeof(line), f)) { /* the last one counts: it may have been restarted */
        const char *at = strstr(line, said) ? strstr(line, "address=") : NULL;

        if (at)
            port = (unsigned)atoi(strrchr(strtok(strdupa(at), " \n"), ':') + 1);
    }
    fclose(f);
    must(port);
    return port;
}
