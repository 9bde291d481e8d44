/* SPDX-License-Identifier: MIT
 * An HTTP client that sends any bytes: those that the test writes to the socket. It returns the
 * responses one after another. It uses only 127.0.0.1, and all waiting has a deadline. */
#pragma once

#include "await.h"
#include "base.h"
#include "buf.h"
#include "instance.h"

struct rawhttp {
    int fd;
    struct buf got;
    size_t taken; /* bytes of it that rawhttp_next has returned */
    bool ended;   /* the server has closed or reset the connection */
    bool reset;
    bool bodiless; /* the response has no body, because the request is HEAD */
    /* Called while waiting, for a server in the same thread. NULL: none. */
    void (*pump)(void *ctx);
    void *pump_ctx;
};

struct rawhttp_answer {
    int status;
    struct span head, body; /* valid until more is read */
};

void rawhttp_open(struct rawhttp *r, unsigned port);
/* Connects from another address of this machine, like "127.0.0.2". */
void rawhttp_open_from(struct rawhttp *r, const char *source, unsigned port);
void rawhttp_open_unix(struct rawhttp *r, const char *path);
void rawhttp_open_six(struct rawhttp *r, unsigned port); /* connects to ::1 */
void rawhttp_close(struct rawhttp *r);                   /* also if it is already closed */
void rawhttp_reset(struct rawhttp *r);                   /* closes with an RST */
void rawhttp_half_close(struct rawhttp *r);

/* Sends all bytes, unless the server has closed the connection, which sets `ended`. */
void rawhttp_send(struct rawhttp *r, const void *p, size_t n);
void rawhttp_say(struct rawhttp *r, const char *fmt, ...) print_like(2, 3);
size_t rawhttp_try_send(struct rawhttp *r, const void *p, size_t n); /* sends what fits now */

void rawhttp_read(struct rawhttp *r); /* reads what is available now */
bool rawhttp_next(struct rawhttp *r, struct rawhttp_answer *answer); /* next complete response */
/* Waits for the next response. Fails the test if the connection ends before. */
struct rawhttp_answer rawhttp_await(struct rawhttp *r);
void rawhttp_await_status(struct rawhttp *r, int status); /* expects it of the next response */
void rawhttp_await_end(struct rawhttp *r);                /* expects no response */
/* The status of the next response, or 0 if the connection ends without one. */
int rawhttp_await_any(struct rawhttp *r);

/* The value of a header of the response, copied into `out`; "" if there is no such header. */
const char *rawhttp_header(const struct rawhttp_answer *a, const char *name, char *out,
                           size_t room);
bool rawhttp_says(const struct rawhttp_answer *a, const char *text); /* in its body */

/* Waits until the instance has logged the address of its HTTP endpoint, and returns the port. */
unsigned rawhttp_port(const struct instance *i);
