/* SPDX-License-Identifier: MIT
 * A client of the HTTP endpoint, with libcurl: one request after another, or many at once.
 *
 *     r = rig_open(state, "", HTTP_LISTENS);
 *     h = http_serve(r, 0);
 *     http_expect(h, 202, "POST", "/v1/purge", "{\"keys\":[\"a\"]}", NULL);
 *
 * Targets are sent unchanged. A header is "Name: value", or "Name;" for one without a value. */
#pragma once

#include "rig.h"

/* For the argument `global` of rig_open. */
#define HTTP_LISTENS "listen: 127.0.0.1:0\n"

struct http;
struct http_call;
struct json_t;

struct http_reply {
    int status;      /* 0: no response */
    const char *why; /* curl's error message in that case */
    const char *body;
    size_t body_bytes;
    struct json_t *json; /* the body; NULL if it is not JSON */
    char *head;          /* header lines, each ended by a NUL; the last one is empty */
};

/* `base` is scheme, host and port; ca_file NULL: no TLS. */
struct http *http_open(const char *base, const char *ca_file);
void http_close(struct http *h); /* also aborts requests in progress; NULL is fine */
const char *http_base(const struct http *h);
/* A client for the address where instance n of the rig listens, according to its log. */
struct http *http_of(struct rig *r, unsigned n, const char *scheme, const char *ca_file);
/* Starts instance n, waits until it leads and is ready, and returns a client for it. */
struct http *http_serve(struct rig *r, unsigned n);

/* Headers end with a NULL. The reply is valid until the next http_do or http_expect. */
const struct http_reply *http_do(struct http *h, const char *method, const char *target,
                                 const char *body, ...) __attribute__((sentinel));
/* The same, but fails the test if the status differs. */
const struct http_reply *http_expect(struct http *h, int status, const char *method,
                                     const char *target, const char *body, ...)
    __attribute__((sentinel));

/* -- many at once -- */
struct http_call *http_begin(struct http *h, const char *method, const char *target,
                             const char *body, ...) __attribute__((sentinel));
/* Waits until each request has been sent or is over. Call this before doing something else for
 * seconds, because curl counts the time during which nobody calls it, and may give up the
 * connection. */
void http_await_sent(struct http *h);
/* Waits until one of the requests is over, and returns it. */
struct http_call *http_next(struct http *h);
const struct http_reply *http_call_reply(const struct http_call *c); /* only after it is over */
void *http_call_ctx(const struct http_call *c);
void http_call_set_ctx(struct http_call *c, void *ctx);
void http_drop(struct http_call *c);        /* aborts it if it is not over */
void http_run(struct http *h, int wait_ms); /* lets the requests make progress */

/* -- reading a reply -- */
const char *http_header(const struct http_reply *r, const char *name); /* NULL: no such header */
const char *http_text(const struct http_reply *r, const char *member); /* "" if it is not a text */
long long http_number(const struct http_reply *r, const char *member); /* -1: not a number */
/* Fails the test and shows the reply, unless the member is this text. */
void http_assert_text(const struct http_reply *r, const char *member, const char *text);
void http_assert_has(const struct http_reply *r, const char *part); /* checks the body */
