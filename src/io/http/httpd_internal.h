/* SPDX-License-Identifier: MIT
 * The internals of the HTTP server, shared by its files: httpd.c runs libmicrohttpd; httpd_conn.c
 * manages connections, their deadlines and their number; visit.c handles a visit from its head to
 * its answer; visit_live.c sends answers without an end; visit_request.c gives access to its parts;
 * httpd_heads.c limits the memory of all heads; httpd_head.c refuses invalid heads that
 * libmicrohttpd accepts; httpd_linger.c closes connections with unread data; httpd_ends.c detects
 * that a peer has sent everything; httpd_address.c counts connections per address; httpd_listen.c
 * opens sockets; httpd_tls.c checks certificates. */
#pragma once

#include <microhttpd.h>

#include "digest.h"
#include "heap.h"
#include "httpd.h"
#include "list.h"

/* Every phase except the last two has a deadline in the heap. */
enum conn_phase {
    CONN_AWAIT,   /* idle, or receiving the first line. next: HEAD, GONE */
    CONN_HEAD,    /* the first line has arrived. next: BODY, GONE */
    CONN_BODY,    /* the head has arrived. next: ANSWER, SENDING, GONE */
    CONN_ANSWER,  /* suspended until visit_answer or visit_continue. next: BODY, SENDING */
    CONN_SENDING, /* libmicrohttpd has the answer. next: AWAIT, GONE */
    /* An answer without an end; a deadline only while bytes wait for the peer. next: GONE */
    CONN_LIVE,
    CONN_GONE, /* libmicrohttpd will find the end */
};

/* The memory pool of one connection, for the head as received, the parsed head (about 60 bytes per
 * header, however short) and the answer's head. libmicrohttpd maps the pool when the connection
 * opens and first touches only what the head fills. After the first request it clears the pool and
 * thereby touches all of it. So connections use at most their number times this. */
#define POOL_BYTES ((size_t)HTTPD_HEAD_MAX_BYTES + 16 * 1024)

struct visit {
    struct conn *conn;
    struct MHD_Connection *mhd;
    const char *method; /* libmicrohttpd's */
    size_t head_bytes;  /* length of the head as received, which starts at `method` */
    char *target;
    size_t target_bytes;
    struct buf body;
    struct quota_bill *bill; /* the caller's; NULL: the body is not counted */
    uint64_t billed_bytes;   /* counted on the bill for the body */
    void *ctx;
    struct MHD_Response *response; /* ready but not queued yet */
    struct span text;              /* its body, unless it is a file; owned by `response` */
    int status;
    char own_sentence[80]; /* text of an answer that this server gave by itself; "" = none */
    uint32_t patience_ms;
    uint64_t late_ns;                  /* monotonic, from visit_await; 0: not called */
    uint64_t got_bytes, renewed_bytes; /* bytes of the body: now; at the last deadline */
    uint64_t dropped_bytes;            /* bytes of the body dropped since the answer */
    bool begun;                        /* `head` was called */
    bool chunked;
    bool complete; /* `whole` was called */
    bool streams;
    bool discards; /* already answered: the rest of the body is dropped */
    bool answered;
    bool queued;
    bool goes_on;        /* visit_continue was called while a part was handed over */
    visit_more_cb *more; /* of an answer without an end; NULL: it has one */
    void *more_ctx;
    bool live_over; /* visit_live_end was called */
};

struct conn {
    struct heap_node deadline;
    struct list link;     /* in the httpd's list */
    struct list rest;     /* in `strangers` or `rested`, while it may be dropped for another */
    struct list end;      /* in `ends`, while it is checked */
    struct list heavy;    /* in `heavy`, while it may be dropped for its memory */
    uint32_t heavy_bytes; /* memory of its pool, as httpd_heads.c counts it */
    struct slot *slot;
    struct MHD_Connection *mhd;
    struct visit *visit; /* NULL between visits */
    enum conn_phase phase;
    int fd;
    uint64_t acked_bytes; /* acknowledged bytes at the last check */
    bool suspended;
    bool hung_up;
    bool own_timeout;           /* a timeout is set in libmicrohttpd */
    bool used;                  /* a first line has arrived */
    bool had_head;              /* a complete head has arrived */
    bool fills_pool;            /* it has a body or had a request, so its whole pool is in use */
    bool had_request;           /* a request has ended */
    bool known;                 /* a visit on it was authenticated */
    bool resting;               /* it is in `rested` */
    bool ended;                 /* its peer has closed its sending side */
    bool proven;                /* its client certificate was verified */
    bool lingers;               /* its peer may still send data that is not read */
    bool cut;                   /* it was answered without libmicrohttpd */
    uint8_t shown;              /* how often the end was shown to libmicrohttpd */
    uint8_t turns, quiet_turns; /* turns while in `ends`; those with nothing to read */
    struct address *address;    /* NULL: not counted */
    char peer[64];
};

/* An address that the server listens on. */
struct listener {
    struct list link;
    char *name;        /* as configured */
    char address[128]; /* with the actual port instead of 0 */
    int fd;
    bool local;    /* a Unix socket */
    bool only_six; /* another listener has IPv4 */
    bool leaves;   /* not wanted any more; set by each listen_open */
    dev_t device;  /* of the socket's file, to remove it at the end */
    ino_t inode;
};

/* One daemon of libmicrohttpd: the current one, or one with an older certificate that only serves
 * the connections it has. */
struct slot {
    struct list link;
    struct httpd *httpd;
    struct MHD_Daemon *daemon;
    void *poll;                /* uv_poll_t */
    struct listener *listener; /* NULL: closed */
    uint32_t connections;
    bool local; /* its connections come over a Unix socket */
    bool quiesced, tls, wants_client_cert;
    bool outdated; /* its connections must end */
    uint8_t client_ca[DIGEST_SHA256_BYTES];
    bool left; /* its address is no longer listened on: connections end after their visit */
};

struct httpd {
    struct loop *loop;
    struct httpd_options options;
    struct httpd_counts counts;
    struct httpd_tls tls; /* kept for the next slot, malloc'ed; cert_pem NULL: none */
    char *address;        /* of all listeners */
    struct list listeners;
    struct list slots; /* current ones last, one for each listener */
    bool accepts;      /* slots take connections; otherwise these wait in the kernel */
    struct list conns;
    /* Connections that may be dropped when there are too many, oldest first: those of
     * unauthenticated peers, except while they wait for our answer, and idle ones of authenticated
     * peers. */
    struct list strangers, rested;
    uint32_t strangers_count, rested_count, known_count, hung_up;
    struct list heavy;    /* unauthenticated, with a head in memory; oldest first */
    uint64_t heavy_bytes; /* of all connections */
    struct heap deadlines;
    struct timer *timer; /* for the earliest deadline */
    struct list ends;    /* connections whose peer has sent everything, while they are checked */
    int ends_fd;         /* an epoll that reports them */
    void *ends_poll;     /* uv_poll_t */
    void *addresses;     /* a tree of tsearch(3) */
    struct list lingering;
    uint32_t lingering_count;
    struct timer *linger_timer;
    struct timer *turn; /* runs libmicrohttpd without an event */
    loop_cb *closed;    /* not NULL: httpd_close was called */
    void *closed_ctx;
    uint64_t
        close_by_ns; /* closing: incomplete requests and unread answers are given up at this time */
    uint32_t polls_open; /* polls that libuv has not closed yet */
};

/* httpd.c */
void httpd_run_soon(struct httpd *h);
void httpd_poll_closed(struct httpd *h);

/* httpd_conn.c */
void conn_set_phase(struct conn *c, enum conn_phase phase, uint64_t wait_ms); /* 0: no deadline */
void conn_hang_up(struct conn *c);
void conn_end(struct conn *c);    /* sends its answer or 408, without libmicrohttpd */
void conn_forget(struct conn *c); /* its peer is no longer authenticated */

/* httpd_heads.c */
void heads_weigh(struct conn *c);    /* counts it again after its phase has changed */
void heads_on_bytes(struct conn *c); /* its peer has sent bytes */
void heads_forget(struct conn *c);
void heads_make_room(struct httpd *h);
/* Whether there is memory for its complete head; drops other connections if necessary. */
must_use bool heads_admit(struct conn *c);
void conn_open(struct slot *s, struct MHD_Connection *mhd, void **socket_ctx);
void conn_close(struct slot *s, void **socket_ctx);
void conn_rest(struct conn *c); /* its visit has ended */
void conn_prove(struct conn *c);
bool conn_is_unwelcome(const struct conn *c); /* too many strangers: close after the answer */
void conn_on_deadline(void *ctx);

/* httpd_ends.c */
void ends_open(struct httpd *h);
void ends_close(struct httpd *h);
void ends_add(struct conn *c);
void ends_ignore_bytes(struct conn *c);
void ends_remove(struct conn *c);
void ends_watch(struct conn *c); /* its phase has changed, so the peer's end may matter */
void ends_look(struct httpd *h); /* to be called after each turn of libmicrohttpd */

/* httpd_listen.c */
/* Marks listeners that are not wanted any more and opens new ones. 0, or the first error with a
 * sentence; the others are open nevertheless. */
must_use int listen_open(struct httpd *h, const struct httpd_options *o, struct error *err);
void listen_close(struct httpd *h, struct listener *l);
void listen_close_all(struct httpd *h);
void listen_name(struct httpd *h); /* for httpd_address */

/* httpd_address.c */
struct sockaddr;
bool address_is_full(const struct httpd *h, const struct sockaddr *a);
struct address *address_enter(struct httpd *h, const struct sockaddr *a);
void address_leave(struct httpd *h, struct address *a); /* NULL is fine */

/* httpd_head.c: what is wrong with the head, or NULL. */
const char *httpd_head_flaw(const struct visit *v, const char *method, const char *version);

/* Cuts off the query before libmicrohttpd parses it. */
void httpd_head_hide_query(const char *uri);
/* False if the lines before this part of a body visibly have an invalid end. */
bool httpd_head_is_chunk_sound(const struct visit *v, const char *part);
bool httpd_is_lenient(void); /* libmicrohttpd is an old version */

/* httpd_linger.c */
/* Sends the answer, or 408 if there is none, without libmicrohttpd, when libmicrohttpd would not
 * accept it. Sends only what fits without waiting. The connection must then end. */
void conn_cut(struct conn *c);
void linger_begin(struct httpd *h, int fd); /* uses a dup of fd */
void linger_on_timer(void *ctx);
void linger_end_all(struct httpd *h);

/* visit.c: libmicrohttpd's callbacks, and the end of a visit. */
void *visit_on_target(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result visit_on_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_bytes, void **con_cls);
void visit_on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                        enum MHD_RequestTerminationCode how);
void visit_expire(struct visit *v);
void visit_end(struct visit *v);
void visit_resume(struct conn *c); /* if it is suspended */

/* visit_live.c */
struct MHD_Response *visit_live_response(struct visit *v, const struct answer *a);
void visit_live_begin(struct visit *v); /* libmicrohttpd has the response */

/* httpd_tls.c */
bool httpd_tls_client_proven(struct MHD_Connection *mhd); /* its certificate is from our CA */
void httpd_tls_client_names(struct MHD_Connection *mhd, visit_name_cb *cb, void *ctx);
void httpd_tls_send(struct MHD_Connection *mhd, struct span text);
