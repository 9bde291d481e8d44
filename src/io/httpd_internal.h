/* SPDX-License-Identifier: MIT
 * The inside of the HTTP server, shared by its files: httpd.c listens and runs libmicrohttpd,
 * httpd_conn.c keeps connections, their deadlines and their number, visit.c carries a visit from
 * its head to its answer, httpd_head.c refuses what libmicrohttpd lets pass, httpd_linger.c ends
 * what was not read to its end, httpd_tls.c looks at certificates. */
#pragma once

#include <microhttpd.h>

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

/* Of one connection: its head twice over (as it came, and taken apart) and the answer's head. */
#define POOL_BYTES ((size_t)HTTPD_HEAD_MAX_BYTES * 2)

struct visit {
    struct conn *conn;
    struct MHD_Connection *mhd;
    const char *method; /* libmicrohttpd's */
    char *target;
    size_t target_bytes;
    struct buf body;
    struct quota_bill *bill; /* lent; NULL: the body counts nowhere */
    uint64_t billed_bytes;   /* on it, for the body */
    void *ctx;
    struct MHD_Response *response; /* ready, not queued yet */
    struct span text;              /* its body, when it is no file; the response's */
    int status;
    uint32_t patience_ms;
    uint64_t late_ns;                  /* visit_await: monotonic; 0: not called */
    uint64_t got_bytes, renewed_bytes; /* of the body; at the last renewal of the deadline */
    uint64_t dropped_bytes;            /* of the body, since it is answered */
    bool begun;                        /* head was called */
    bool complete;                     /* whole was called */
    bool streams;
    bool discards; /* it is answered already: what else comes of the body is dropped */
    bool answered;
    bool queued;
    bool goes_on; /* visit_continue was called while a part was handed over */
};

struct conn {
    struct heap_node deadline;
    struct list link; /* in the httpd's */
    struct list rest; /* in its fresh or rested, while nothing is asked */
    struct slot *slot;
    struct MHD_Connection *mhd;
    struct visit *visit; /* NULL between two */
    enum conn_phase phase;
    int fd;
    uint64_t acked_bytes; /* of what was sent, when that was looked at last */
    bool suspended;
    bool hung_up;
    bool own_timeout; /* set in libmicrohttpd */
    bool used;        /* it had a visit */
    bool proven;      /* its client certificate was looked at */
    bool lingers;     /* its peer may still be sending what nobody reads */
    bool cut;         /* it had its answer past libmicrohttpd */
    uint8_t shown;    /* how often the end was, to libmicrohttpd */
    char peer[64];
};

/* One daemon of libmicrohttpd: the current one, or one with an older certificate that only serves
 * the connections it has. */
struct slot {
    struct list link;
    struct httpd *httpd;
    struct MHD_Daemon *daemon;
    void *poll; /* uv_poll_t */
    uint32_t connections;
    bool quiesced, tls, wants_client_cert;
};

struct httpd {
    struct loop *loop;
    struct httpd_options options;
    struct httpd_counts counts;
    int listen_fd;
    char address[96];
    struct list slots; /* the current one last */
    struct list conns;
    struct list fresh, rested; /* that nothing is asked on: never was, not any more; oldest first */
    uint32_t rested_count, hung_up;
    struct heap deadlines;
    struct timer *timer; /* the first of the deadlines */
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
void conn_open(struct slot *s, struct MHD_Connection *mhd, void **socket_ctx);
void conn_close(struct slot *s, void **socket_ctx);
void conn_rest(struct conn *c); /* its visit is over */
void conn_on_deadline(void *ctx);

/* httpd_head.c: what is wrong with the head, or NULL. */
const char *httpd_head_flaw(const struct visit *v, const char *method, const char *version);

/* An old libmicrohttpd takes the query apart after this; now there is none. */
void httpd_head_hide_query(const char *uri);

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
void httpd_tls_send(struct MHD_Connection *mhd, struct span text);
