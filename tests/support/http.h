/* SPDX-License-Identifier: MIT
 * A visitor of the HTTP endpoint: requests over libcurl, one after the other or many at once.
 *
 *     r = rig_open(state, "", HTTP_LISTENS);
 *     h = http_serve(r, 0);
 *     http_expect(h, 202, "POST", "/v1/purge", "{\"keys\":[\"a\"]}", NULL);
 *
 * Targets travel byte for byte. A header is "Name: value", or "Name;" for one without a value. */
#pragma once

#include "rig.h"

/* For the global lines of rig_open. */
#define HTTP_LISTENS "listen: 127.0.0.1:0\n"

struct http;
struct http_call;
struct json_t;

struct http_reply {
    int status;      /* 0: there was none */
    const char *why; /* then, in curl's words */
    const char *body;
    size_t body_bytes;
    struct json_t *json; /* the body; NULL: it is no JSON */
    char *head;          /* its lines, each with a NUL; an empty one at the end */
};

/* `base` is scheme, host and port; ca_file NULL: no TLS. */
struct http *http_open(const char *base, const char *ca_file);
void http_close(struct http *h); /* and cuts what is under way; NULL is fine */
const char *http_base(const struct http *h);
/* Where instance n of the rig listens, as it said last. */
struct http *http_of(struct rig *r, unsigned n, const char *scheme, const char *ca_file);
/* Starts instance n, waits until it leads and is ready, and returns a visitor. */
struct http *http_serve(struct rig *r, unsigned n);

/* Headers up to a NULL. The reply is valid until the next http_do or http_expect. */
const struct http_reply *http_do(struct http *h, const char *method, const char *target,
                                 const char *body, ...) __attribute__((sentinel));
/* The same, and fails the test when the status is another one. */
const struct http_reply *http_expect(struct http *h, int status, const char *method,
                                     const char *target, const char *body, ...)
    __attribute__((sentinel));

/* -- many at once -- */
struct http_call *http_begin(struct http *h, const char *method, const char *target,
                             const char *body, ...) __attribute__((sentinel));
/* Until each of those begun is sent, or over. Who does something else for seconds begins with it:
 * curl counts the time for which nobody runs it, and may give up a connection that was never slow.
 */
void http_await_sent(struct http *h);
/* Waits until one of those begun is over and returns it. */
struct http_call *http_next(struct http *h);
const struct http_reply *http_call_reply(const struct http_call *c); /* once it is over */
void *http_call_ctx(const struct http_call *c);
void http_call_set_ctx(struct http_call *c, void *ctx);
void http_drop(struct http_call *c);        /* over or not: then its connection is cut */
void http_run(struct http *h, int wait_ms); /* lets those begun go on */

/* -- looking at a reply -- */
const char *http_header(const struct http_reply *r, const char *name); /* NULL: there is none */
const char *http_text(const struct http_reply *r, const char *member); /* "" when it is no text */
long long http_number(const struct http_reply *r, const char *member); /* -1 when it is none */
/* Fails the test, showing the reply, unless the member is that text. */
void http_assert_text(const struct http_reply *r, const char *member, const char *text);
void http_assert_has(const struct http_reply *r, const char *part); /* of the body */
