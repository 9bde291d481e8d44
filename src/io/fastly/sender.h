/* SPDX-License-Identifier: MIT
 * HTTP exchanges on loops of their own: N threads, each a libuv loop with a curl multi handle. The
 * thread that owns the senders hands exchanges in and gets every one back exactly once, answered,
 * failed or never sent. libcurl ends here. */
#pragma once

#include "buf.h"
#include "list.h"
#include "loop.h"

/* The destination and credentials of exchanges: immutable, reference-counted, shared by exchanges
 * on all loops. */
struct endpoint;

struct endpoint_options {
    const char *api;     /* the base URL it stands for; only compared */
    const char *ca_file; /* "" = the system's */
    const char *proxy;   /* on the way to the API: "" = none, "env", or http(s)://host:port */
    const char *proxy_ca_file, *proxy_auth; /* "" = the system's; "user:password", "" = none */
    const char *token; /* sent as Fastly-Key by exchanges that ask for it; "" = none */
    const char *user_agent;
    uint32_t connect_timeout_ms;
    uint32_t timeout_ms;
};

struct endpoint *endpoint_new(const struct endpoint_options *o);
struct endpoint *endpoint_hold(struct endpoint *e);
/* Whether both have the same destination and credentials, so that Fastly treats both in the same
 * way. */
bool endpoint_same(const struct endpoint *a, const struct endpoint *b);
void endpoint_drop(
    struct endpoint *e); /* the last drop wipes the token; any thread; NULL is fine */

enum exchange_error {
    EXCHANGE_OK,      /* an HTTP status arrived */
    EXCHANGE_UNSENT,  /* no byte of it can have left: not connected, not resolved, too late to start
                       */
    EXCHANGE_TIMEOUT, /* sent, no full answer in time */
    EXCHANGE_BROKEN,  /* sent (perhaps partly), then reset, GOAWAY, TLS or protocol error */
    EXCHANGE_BLOCKED, /* refused by us: peer address not allowed, redirect, bad certificate */
};

/* The kind of server of an exchange. The first value is the strictest. */
enum exchange_peer {
    EXCHANGE_STRANGER, /* a host of a producer's URL: private, link-local and loopback addresses
                          are refused, whatever its name resolves to */
    EXCHANGE_CHOSEN,   /* the operator wrote this very address down: any address is fine */
    EXCHANGE_API,      /* the account's own API: any address is fine */
};

struct exchange {
    struct list link;             /* the sender's between send and reply */
    void *ctx;                    /* the caller's, untouched */
    struct endpoint *endpoint;    /* one hold, released by exchange_free */
    const char *method;           /* static: "POST", "PURGE", "GET" */
    struct buf url, header, body; /* header: one line without CRLF, or empty */
    bool soft;                    /* adds Fastly-Soft-Purge: 1 */
    enum exchange_peer peer;
    bool show_token; /* adds the endpoint's token as Fastly-Key. Over plain HTTP only to this
                        machine; anywhere else it is EXCHANGE_BLOCKED. */
    uint64_t
        start_before_ns; /* monotonic; not handed to the wire later (EXCHANGE_UNSENT). The fence
                            for a process that was stopped and wakes without its lease. */
    /* the answer */
    enum exchange_error error;
    char error_text[160]; /* for people: curl's words, never a header of ours */
    int status;
    bool reused;      /* it travelled on a connection that had carried others before */
    struct buf reply; /* at most the ceiling of exchange_new; more is EXCHANGE_BROKEN */
    char retry_after[64], rate_remaining[24], rate_reset[24]; /* header values, "" when absent, and
                                                                 beside a 2xx, where none matters */
    uint64_t started_ns; /* just before its first byte was written; when it came to none, when it
                            was handed to libcurl */
    uint64_t done_ns;
};

struct exchange *exchange_new(struct endpoint *e, size_t reply_max); /* takes its own hold */
void exchange_free(struct exchange *x);                              /* NULL is fine */
/* Made as new but for two things: its hold is given back and it has no endpoint until it is given
 * one, and its buffers keep their memory. For one that came back and will be used again. */
void exchange_reset(struct exchange *x);

struct senders;
typedef void senders_cb(void *ctx, struct exchange *x); /* x is the receiver's to free */

struct senders_options {
    uint32_t threads;         /* >= 1 */
    uint32_t max_connections; /* per thread and host; h2 multiplexes over them */
    uint32_t max_streams;     /* concurrent h2 streams per connection */
};

/* Replies arrive on `l`'s thread, never from within senders_send. */
struct senders *senders_new(struct loop *l, const struct senders_options *o, senders_cb *cb,
                            void *ctx);
void senders_send(struct senders *s, struct exchange *x); /* takes x */
/* Returns all pending exchanges as EXCHANGE_BROKEN or EXCHANGE_UNSENT, stops the threads, then
 * calls done (on l's thread, after this returned). */
void senders_close(struct senders *s, loop_cb *done, void *ctx);
