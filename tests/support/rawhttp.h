/* SPDX-License-Identifier: MIT
 * A visitor without manners: bytes on a socket as the test writes them, and the answers that come
 * back, one after the other. Everything is on 127.0.0.1, and every wait has an end. */
#pragma once

#include "await.h"
#include "base.h"
#include "buf.h"
#include "instance.h"

struct rawhttp {
    int fd;
    struct buf got;
    size_t taken; /* of it, by rawhttp_next */
    bool ended;   /* the other side closed, or reset */
    bool reset;
    bool bodiless; /* what is asked is answered without a body: HEAD */
    /* Called while something is awaited: for a server on this very thread. NULL: none. */
    void (*pump)(void *ctx);
    void *pump_ctx;
};

struct rawhttp_answer {
    int status;
    struct span head, body; /* lent until more is read */
};

void rawhttp_open(struct rawhttp *r, unsigned port);
/* From another address of this machine, like "127.0.0.2". */
void rawhttp_open_from(struct rawhttp *r, const char *source, unsigned port);
void rawhttp_open_unix(struct rawhttp *r, const char *path);
void rawhttp_open_six(struct rawhttp *r, unsigned port); /* to ::1 */
void rawhttp_close(struct rawhttp *r);                   /* also when closed */
void rawhttp_reset(struct rawhttp *r);                   /* so that the other side gets an RST */
void rawhttp_half_close(struct rawhttp *r);

/* All of it, unless the other side is gone, which `ended` says then. */
void rawhttp_send(struct rawhttp *r, const void *p, size_t n);
void rawhttp_say(struct rawhttp *r, const char *fmt, ...) print_like(2, 3);
size_t rawhttp_try_send(struct rawhttp *r, const void *p, size_t n); /* what goes now */

void rawhttp_read(struct rawhttp *r);                                /* what is there now */
bool rawhttp_next(struct rawhttp *r, struct rawhttp_answer *answer); /* the next complete one */
/* Waits for the next answer; fails the test when the connection ends instead. */
struct rawhttp_answer rawhttp_await(struct rawhttp *r);
void rawhttp_await_status(struct rawhttp *r, int status); /* of the next answer */
void rawhttp_await_end(struct rawhttp *r);                /* no answer, but the end */
/* The next answer's status, or 0 when the connection ends without one. */
int rawhttp_await_any(struct rawhttp *r);

/* The value of a header of the answer, "" when it has none; copied into `out`. */
const char *rawhttp_header(const struct rawhttp_answer *a, const char *name, char *out,
                           size_t room);
bool rawhttp_says(const struct rawhttp_answer *a, const char *text); /* in its body */

/* The port on which the instance said that its HTTP endpoint listens; waits for it. */
unsigned rawhttp_port(const struct instance *i);
