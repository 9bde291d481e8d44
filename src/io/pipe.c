/* SPDX-License-Identifier: MIT */
#include "pipe.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "alloc.h"
#include "buf.h"
#include "clock.h"

#define READ_BYTES ((size_t)64 * 1024)
#define WRITE_BYTES                                                                                \
    PIPE_BUF /* a pipe that polls as writable accepts this much without blocking: pipe(7) */

struct pipe {
    int in, out, signals; /* signals: -1 after a request to stop */
    sigset_t wanted, before;
    size_t line_max;
    char *bytes; /* bytes read but not yet returned: from `start` up to `end` */
    size_t start, scanned, end, room;
    uint64_t number;
    bool passing_over; /* skipping the rest of a line that is too long */
    bool ended;
    int error;
    struct buf text;
};

struct pipe *pipe_new(int in_fd, int out_fd, size_t line_max_bytes)
{
    struct pipe *p = alloc_zeroed(1, sizeof(*p));

    p->in = in_fd;
    p->out = out_fd;
    p->line_max = line_max_bytes;
    buf_init(&p->text, SIZE_MAX / 2);
    sigemptyset(&p->wanted);
    sigaddset(&p->wanted, SIGTERM);
    sigaddset(&p->wanted, SIGINT);
    sigaddset(&p->wanted, SIGHUP);
    sigprocmask(SIG_BLOCK, &p->wanted, &p->before);
    p->signals = signalfd(-1, &p->wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    must(p->signals >= 0);
    return p;
}

/* Consumes the signal and restores the default behaviour for the next one. */
static void note_signal(struct pipe *p)
{
    struct signalfd_siginfo info;

    if (read(p->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    p->ended = true;
    close(p->signals);
    p->signals = -1;
    sigprocmask(SIG_SETMASK, &p->before, NULL);
}

void pipe_free(struct pipe *p)
{
    if (!p)
        return;
    if (p->signals >= 0) {
        close(p->signals);
        sigprocmask(SIG_SETMASK, &p->before, NULL);
    }
    buf_deinit(&p->text);
    free(p->bytes);
    free(p);
}

/* Waits for events of `fd`, at most `ms`, and returns them; 0 after the timeout or a signal. A
 * negative fd is ignored; a negative time means no timeout. */
static short wait_for(struct pipe *p, int fd, short events, int ms)
{
    struct pollfd fds[] = {{.fd = fd, .events = events}, {.fd = p->signals, .events = POLLIN}};

    if (poll(fds, array_len(fds), ms) <= 0)
        return 0;
    if (fds[1].revents)
        note_signal(p);
    return fds[0].revents;
}

/* -- input -- */

static void make_room(struct pipe *p)
{
    if (p->start) {
        memmove(p->bytes, p->bytes + p->start, p->end - p->start);
        p->scanned -= p->start;
        p->end -= p->start;
        p->start = 0;
    }
    if (p->room - p->end < READ_BYTES) {
        p->room = p->room ? p->room * 2 : 2 * READ_BYTES;
        p->bytes = alloc_grow(p->bytes, p->room, 1);
    }
}

/* Reads more input without blocking. Returns whether anything was read. */
static bool read_more(struct pipe *p)
{
    ssize_t n;

    if (p->ended || !wait_for(p, p->in, POLLIN, 0) || p->ended)
        return false;
    make_room(p);
    n = read(p->in, p->bytes + p->end, READ_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n < 0)
        p->error = -errno;
    p->ended = n <= 0;
    p->end += n > 0 ? (size_t)n : 0;
    return n > 0;
}

/* Discards a line that exceeds the maximum length. */
static void bound(struct pipe *p)
{
    if (p->end - p->start <= p->line_max && !p->passing_over)
        return;
    p->passing_over = true;
    p->start = p->scanned = p->end;
}

static enum pipe_event cut(struct pipe *p, size_t length, size_t with_end, struct span *line,
                           uint64_t *number)
{
    bool long_one = p->passing_over || length > p->line_max;

    *line = span_of(p->bytes + p->start, length);
    *number = ++p->number;
    p->start += with_end;
    p->scanned = p->start;
    p->passing_over = false;
    return long_one ? PIPE_TOO_LONG : PIPE_LINE;
}

enum pipe_event pipe_next(struct pipe *p, struct span *line, uint64_t *number)
{
    bool stopped;

    do {
        const char *lf =
            p->end > p->scanned ? memchr(p->bytes + p->scanned, '\n', p->end - p->scanned) : NULL;
        size_t length = lf ? (size_t)(lf - p->bytes) - p->start : 0;

        stopped = p->signals < 0; /* after a stop request, no further line is returned */
        if (lf && !stopped)
            return cut(p, length, length + 1, line, number);
        p->scanned = p->end;
        bound(p);
    } while (!stopped && read_more(p));
    if (!p->ended)
        return PIPE_PAUSED;
    if (p->signals < 0 || p->error || (p->end == p->start && !p->passing_over))
        return PIPE_ENDED;
    return cut(p, p->end - p->start, p->end - p->start, line, number);
}

void pipe_wait(struct pipe *p)
{
    if (!p->ended)
        (void)wait_for(p, p->in, POLLIN, -1);
}

int pipe_error(const struct pipe *p)
{
    return p->error;
}

bool pipe_sleep(struct pipe *p, int ms)
{
    uint64_t until = clock_mono_ns() + (uint64_t)ms * NS_PER_MS, now;

    while (p->signals >= 0 && (now = clock_mono_ns()) < until)
        (void)wait_for(p, -1, 0, (int)((until - now) / NS_PER_MS) + 1);
    return p->signals < 0;
}

/* -- output -- */

struct buf *pipe_out(struct pipe *p)
{
    return &p->text;
}

int pipe_flush(struct pipe *p)
{
    size_t done = 0;
    ssize_t n;
    int rc = 0;

    while (rc == 0 && done < p->text.n) {
        if (!wait_for(p, p->out, POLLOUT, -1))
            continue;
        n = write(p->out, p->text.p + done, min_u64(p->text.n - done, WRITE_BYTES));
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EAGAIN && errno != EINTR)
            rc = -errno;
    }
    buf_clear(&p->text);
    return rc;
}
