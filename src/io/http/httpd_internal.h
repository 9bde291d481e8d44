/* SPDX-License-Identifier: MIT
 * The inside of the HTTP server, shared by its files: httpd.c listens and runs libmicrohttpd,
 * httpd_conn.c keeps connections, their deadlines and their number, visit.c carries a visit from
 * its head to its answer, visit_request.c says what it brings, httpd_heads.c bounds the memory of
 * all heads, httpd_head.c refuses what libmicrohttpd lets pass, httpd_linger.c ends what was not
 * read to its end, httpd_ends.c sees that a peer has sent all, httpd_address.c counts addresses,
 * httpd_listen.c opens them, httpd_tls.c looks at certificates. */
#pragma once

#include <microhttpd.h>

#include "digest.h"
#include "heap.h"
#include "httpd.h"
#include "list.h"

/* Every phase but the last has a deadline in the heap. */
enum conn_phase {
    CONN_AWAIT,   /* idle, or its first line is coming. next: HEAD, GONE */
    CONN_HEAD,    /* the first line was seen. next: BODY, GONE */
    CONN_BODY,    /* the head was seen. next: ANSWER, SENDING, GONE */
    CONN_ANSWER,  /* suspended until visit_answer or visit_continue. next: BODY, SENDING */
    CONN_SENDING, /* libmicrohttpd has the answer. next: AWAIT, GONE */
    CONN_GONE,    /* libmicrohttpd will find its end */
};

/* Of one connection: its head as it came, and room for the head taken apart (some 60 bytes for each
 * header, however short) and for the answer's head. libmicrohttpd maps the pool when the connection
 * comes and touches of it only what the head fills; after the first request it clears, and so
 * touches, all of it. So the most that connections can cost is their number times this. */
#define POOL_BYTES ((size_t)HTTPD_HEAD_MAX_BYTES + 16 * 1024)

struct visit {
    struct conn *conn;
    struct MHD_Connection *mhd;
    const char *method; /* libmicrohttpd's */
    size_t head_bytes;  /* from there on, as it was read */
    char *target;
    size_t target_bytes;
    struct buf body;
    struct quota_bill *bill; /* lent; NULL: the body counts nowhere */
    uint64_t billed_bytes;   /* on it, for the body */
    void *ctx;
    struct MHD_Response *response; /* ready, not queued yet */
    struct span text;              /* its body, when it is no file; the response's */
    int status;
    char own_sentence[80]; /* of an answer that nobody but this server gave; "" = there is none */
    uint32_t patience_ms;
    uint64_t late_ns;                  /* visit_await: monotonic; 0: not called */
    uint64_t got_bytes, renewed_bytes; /* of the body; at the last renewal of the deadline */
    uint64_t dropped_bytes;            /* of the body, since it is answered */
    bool begun;                        /* head was called */
    bool chunked;
    bool complete; /* whole was called */
    bool streams;
    bool discards; /* it is answered already: what else comes of the body is dropped */
    bool answered;
    bool queued;
    bool goes_on; /* visit_continue was called while a part was handed over */
};

struct conn {
    struct heap_node deadline;
    struct list link;     /* in the httpd's */
    struct list rest;     /* in its strangers or rested, while it may be dropped for another */
    struct list end;      /* in its ends, while it is looked at */
    struct list heavy;    /* in its heavy, while it may be dropped for the memory it takes */
    uint32_t heavy_bytes; /* of its pool, as httpd_heads.c counts them */
    struct slot *slot;
    struct MHD_Connection *mhd;
    struct visit *visit; /* NULL between two */
    enum conn_phase phase;
    int fd;
    uint64_t acked_bytes; /* of what was sent, when that was looked at last */
    bool suspended;
    bool hung_up;
    bool own_timeout;           /* set in libmicrohttpd */
    bool used;                  /* a first line has come */
    bool had_head;              /* a first head has come whole */
    bool fills_pool;            /* it has a body, or had a request: all of its pool is touched */
    bool known;                 /* a visit on it has proven who it is */
    bool resting;               /* it is in rested */
    bool ended;                 /* its peer has sent all it will */
    bool proven;                /* its client certificate was looked at */
    bool lingers;               /* its peer may still be sending what nobody reads */
    bool cut;                   /* it had its answer past libmicrohttpd */
    uint8_t shown;              /* how often the end was, to libmicrohttpd */
    uint8_t turns, quiet_turns; /* while in ends: of the loop; of these, with nothing to read */
    struct address *address;    /* NULL: not counted */
    char peer[64];
};

/* An address that is listened on. */
struct listener {
    struct list link;
    char *name;        /* as it was asked for */
    char address[128]; /* with the port that was found for 0 */
    int fd;
    bool local;    /* a Unix socket */
    bool only_six; /* IPv4 is another one's */
    bool leaves;   /* it is not asked for any more; said anew by each listen_open */
    dev_t device;  /* of the socket's file, which is removed with it */
    ino_t inode;
};

/* One daemon of libmicrohttpd: the current one, or one with an older certificate that only serves
 * the connections it has. */
struct slot {
    struct list link;
    struct httpd *httpd;
    struct MHD_Daemon *daemon;
    void *poll;                /* uv_poll_t */
    struct listener *listener; /* NULL: it is closed */
    uint32_t connections;
    bool local; /* its connections come over a Unix socket */
    bool quiesced, tls, wants_client_cert;
    bool outdated; /* its connections may not go on */
    uint8_t client_ca[DIGEST_SHA256_BYTES];
    bool left; /* its address is not listened on any more: its connections end with their visit */
};

struct httpd {
    struct loop *loop;
    struct httpd_options options;
    struct httpd_counts counts;
    struct httpd_tls tls; /* kept for the next slot, malloc'ed; cert_pem NULL: none */
    char *address;        /* of all listeners */
    struct list listeners;
    struct list slots; /* the current ones last, one for each listener */
    struct list conns;
    /* Connections that may be dropped when there are too many, oldest first: of peers that have not
     * proven who they are, whatever they are at; and of known peers those that are idle. */
    struct list strangers, rested;
    uint32_t strangers_count, rested_count, known_count, hung_up;
    struct list heavy;    /* unproven ones whose head takes memory, oldest first */
    uint64_t heavy_bytes; /* of all connections */
    struct heap deadlines;
    struct timer *timer; /* the first of the deadlines */
    struct list ends; /* connections whose peer has sent all, until it is clear what that means */
    int ends_fd;      /* an epoll that reports them */
    void *ends_poll;  /* uv_poll_t */
    void *addresses;  /* tsearch(3)'s */
    struct list lingering;
    uint32_t lingering_count;
    struct timer *linger_timer;
    struct timer *turn; /* libmicrohttpd has something to do without being asked */
    loop_cb *closed;    /* httpd_close was called */
    void *closed_ctx;
    uint64_t
        close_by_ns; /* requests that are not there, answers that are not taken by then: never */
    uint32_t polls_open; /* not closed by libuv yet */
};

/* httpd.c */
void httpd_run_soon(struct httpd *h);
void httpd_poll_closed(struct httpd *h);

/* httpd_conn.c */
void conn_set_phase(struct conn *c, enum conn_phase phase, uint64_t wait_ms); /* 0: no deadline */
void conn_hang_up(struct conn *c);
void conn_end(struct conn *c);    /* with its answer, or 408, past libmicrohttpd */
void conn_forget(struct conn *c); /* its peer is not proven any more */

/* httpd_heads.c */
void heads_weigh(struct conn *c);    /* anew: its phase has changed */
void heads_on_bytes(struct conn *c); /* its peer has sent something */
void heads_forget(struct conn *c);
void heads_make_room(struct httpd *h);
/* Whether there is room for its head, which is there; others may be dropped for it. */
must_use bool heads_admit(struct conn *c);
void conn_open(struct slot *s, struct MHD_Connection *mhd, void **socket_ctx);
void conn_close(struct slot *s, void **socket_ctx);
void conn_rest(struct conn *c); /* its visit is over */
void conn_prove(struct conn *c);
bool conn_is_unwelcome(const struct conn *c); /* one stranger too many: answer it and be done */
void conn_on_deadline(void *ctx);

/* httpd_ends.c */
void ends_open(struct httpd *h);
void ends_close(struct httpd *h);
void ends_add(struct conn *c);
void ends_remove(struct conn *c);
void ends_watch(struct conn *c); /* its phase is another: its peer's end may matter now */
void ends_look(struct httpd *h); /* after each turn of libmicrohttpd */

/* httpd_listen.c */
/* Marks those that leave and opens what is not open yet. 0, or the first failure with a sentence:
 * the others are open all the same. */
must_use int listen_open(struct httpd *h, const struct httpd_options *o, char *err,
                         size_t err_room);
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

/* libmicrohttpd takes the query apart after this; now there is none. */
void httpd_head_hide_query(const char *uri);
/* False: the lines before this part of a body do not end as they must, as far as that can be seen.
 */
bool httpd_head_is_chunk_sound(const struct visit *v, const char *part);
bool httpd_is_lenient(void); /* it is an old one */

/* httpd_linger.c */
/* Sends the answer (or that it took too long) as far as it goes without waiting: for when
 * libmicrohttpd would not take one. The connection must end then. */
void conn_cut(struct conn *c);
void linger_begin(struct httpd *h, int fd); /* keeps a dup of it */
void linger_on_timer(void *ctx);
void linger_end_all(struct httpd *h);

/* visit.c: libmicrohttpd's callbacks, and the ends that the deadlines bring. */
void *visit_on_target(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result visit_on_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_bytes, void **con_cls);
void visit_on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                        enum MHD_RequestTerminationCode how);
void visit_expire(struct visit *v);
void visit_end(struct visit *v);

/* httpd_tls.c */
bool httpd_tls_client_proven(struct MHD_Connection *mhd); /* its certificate is of our authority */
void httpd_tls_client_names(struct MHD_Connection *mhd, visit_name_cb *cb, void *ctx);
void httpd_tls_send(struct MHD_Connection *mhd, struct span text);
