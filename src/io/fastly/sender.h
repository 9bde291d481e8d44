/* SPDX-License-Identifier: MIT
 * Runs HTTP exchanges on N threads, each with a libuv loop and a curl multi handle. The thread that
 * owns the senders hands exchanges in and gets each back exactly once: answered, failed or never
 * sent. Only the files of this folder use libcurl. */
#pragma once

#include "buf.h"
#include "list.h"
#include "loop.h"

/* The destination and credentials of exchanges: immutable, reference-counted, shared by exchanges
 * on all loops. */
struct endpoint;

struct endpoint_options {
    const char *api;     /* the API's base URL; only used for comparison */
    const char *ca_file; /* "" = the system's */
    const char *proxy;   /* proxy for the API: "" = none, "env", or http(s)://host:port */
    const char *proxy_ca_file, *proxy_auth; /* "" = the system's CA; "user:password", "" = none */
    const char *token; /* sent as Fastly-Key by exchanges that ask for it; "" = none */
    const char *user_agent;
    const char *accept; /* value of the Accept header; NULL: application/json */
    uint32_t connect_timeout_ms;
    uint32_t timeout_ms;
    const char *fault; /* why its requests cannot succeed, and what to do; "" = they can */
};

struct endpoint *endpoint_new(const struct endpoint_options *o);
const char *endpoint_fault(const struct endpoint *e); /* that of the options */
struct endpoint *endpoint_hold(struct endpoint *e);
/* Whether both have the same destination and credentials, so that Fastly treats both in the same
 * way. */
bool endpoint_same(const struct endpoint *a, const struct endpoint *b);
bool endpoint_same_token(const struct endpoint *a, const struct endpoint *b);
void endpoint_drop(
    struct endpoint *e); /* the last drop wipes the token; any thread; NULL is fine */

enum exchange_error {
    EXCHANGE_OK,      /* an HTTP status arrived */
    EXCHANGE_UNSENT,  /* nothing can have been sent: no connection, no address, too late */
    EXCHANGE_TIMEOUT, /* sent, but no complete answer in time */
    EXCHANGE_BROKEN,  /* sent, perhaps partly; then reset, GOAWAY, TLS or protocol error */
    EXCHANGE_BLOCKED, /* refused by us: peer address not allowed, redirect, bad certificate */
};

/* The kind of server of an exchange. The first value is the strictest. */
enum exchange_peer {
    EXCHANGE_STRANGER, /* a host of a producer's URL: private, link-local and loopback addresses are
                          refused, even if its name resolves to one */
    EXCHANGE_CHOSEN,   /* an address that the operator configured: any address is fine */
    EXCHANGE_API,      /* the account's own API: any address is fine */
};

/* A page is fetched as its visitors fetch it, without the token and without the endpoint's headers
 * for the API. `reply` gets the status line and the headers of the reply, and of the body only so
 * much is read. */
#define EXCHANGE_PAGE_HEAD_MAX_BYTES ((size_t)64 * 1024)
#define EXCHANGE_PAGE_BODY_MAX_BYTES ((size_t)256 * 1024)

/* What the caller of a GET request wants to see of the answer. */
struct exchange_look {
    const char *header; /* name of a header; "" = none */
    char value[1024];   /* its values, separated by commas; cut if it is longer */
    bool found;         /* the answer has that header */
};

struct exchange;
typedef void exchange_cb(struct exchange *x);

struct exchange {
    struct list link;             /* used by the sender between send and reply */
    void *ctx;                    /* for the caller's use */
    exchange_cb *answered;        /* takes the exchange back, instead of the senders' callback;
                                     NULL: that one does */
    struct exchange_look *look;   /* lent until then; the reply is cut where it exceeds its limit.
                                     NULL: nothing */
    struct endpoint *endpoint;    /* one reference, released by exchange_free */
    const char *method;           /* static: "POST", "PURGE", "GET" */
    struct buf url, header, body; /* header: one line without CRLF, or empty */
    struct buf via; /* connect to this "host:port" instead of the URL's, whose host remains the one
                       of the request and of the certificate; without a port, to the URL's port;
                       empty = to the URL's host */
    bool page;      /* a page of a site: see above. Its header must be empty */
    bool soft;      /* adds Fastly-Soft-Purge: 1 */
    enum exchange_peer peer;
    bool show_token; /* adds the endpoint's token as Fastly-Key. Over plain HTTP only to this
                        machine; anywhere else it is EXCHANGE_BLOCKED. */
    uint64_t
        start_before_ns; /* monotonic; not sent later than this (EXCHANGE_UNSENT). Protects against
                            a process that was stopped and resumes without its lease. */
    /* the answer */
    enum exchange_error error;
    char error_text[160]; /* for users: curl's message, never one of our headers */
    int status;
    bool reused;      /* sent on a connection that had been used before */
    struct buf reply; /* limited by exchange_new; a larger reply is EXCHANGE_BROKEN */
    char retry_after[64], rate_remaining[24], rate_reset[24]; /* header values; "" when absent, and
                                                                 with a 2xx, where none matters */
    uint64_t started_ns; /* just before its first byte was written; if none was, when it was handed
                            to libcurl */
    uint64_t done_ns;
};

struct exchange *exchange_new(struct endpoint *e, size_t reply_max); /* takes its own reference */
void exchange_free(struct exchange *x);                              /* NULL is fine */
/* Resets a returned exchange for reuse. Unlike a new one, it has no endpoint until the caller sets
 * one (its reference is released), and its buffers keep their memory. */
void exchange_reset(struct exchange *x);

struct senders;
typedef void senders_cb(void *ctx, struct exchange *x); /* the receiver must free x */

struct senders_options {
    uint32_t threads;         /* >= 1 */
    uint32_t max_connections; /* per thread and host; h2 multiplexes over them */
    uint32_t max_streams;     /* concurrent h2 streams per connection */
};

/* Replies arrive on `l`'s thread, never from within senders_send. */
struct senders *senders_new(struct loop *l, const struct senders_options *o, senders_cb *cb,
                            void *ctx);
void senders_send(struct senders *s, struct exchange *x); /* takes ownership of x */
/* Returns all pending exchanges as EXCHANGE_BROKEN or EXCHANGE_UNSENT, stops the threads, then
 * calls done (on l's thread, after this returned). */
void senders_close(struct senders *s, loop_cb *done, void *ctx);
