/* SPDX-License-Identifier: MIT
 * The inside of the HTTP server, shared by its files: httpd.c listens and keeps the deadlines,
 * visit.c carries a visit from its head to its answer, httpd_tls.c looks at certificates. */
#pragma once

#include <microhttpd.h>

#include "heap.h"
#include "httpd.h"
#include "list.h"

/* Every phase but the last two has a deadline in the heap. */
enum conn_phase {
    CONN_AWAIT,   /* idle, or the head is coming. next: BODY, GONE */
    CONN_BODY,    /* the head was seen. next: ANSWER, SENDING, GONE */
    CONN_ANSWER,  /* suspended until visit_answer or visit_continue. next: BODY, SENDING */
    CONN_SENDING, /* libmicrohttpd has the answer, and times it. next: AWAIT, GONE */
    CONN_GONE,
};

struct visit {
    struct conn *conn;
    struct MHD_Connection *mhd;
    const char *method; /* libmicrohttpd's */
    char *target;
    size_t target_bytes;
    struct buf body;
    void *ctx;
    struct MHD_Response *response; /* ready, not queued yet */
    int status;
    uint32_t patience_ms;
    uint64_t got_bytes, renewed_bytes; /* of the body; at the last renewal of the deadline */
    bool begun;                        /* its head has come */
    bool known;                        /* head was called: without a certificate it is not */
    bool complete;                     /* whole was called */
    bool streams;
    bool discards; /* it is answered already: what else comes of the body is dropped */
    bool answered;
    bool queued;
};

struct conn {
    struct heap_node deadline;
    struct list link; /* in the httpd's */
    struct slot *slot;
    struct MHD_Connection *mhd;
    struct visit *visit; /* NULL between two */
    enum conn_phase phase;
    int fd;
    bool suspended;
    bool proven; /* its client certificate was looked at */
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
    struct heap deadlines;
    struct timer *timer; /* the first of the deadlines */
    struct timer *turn;  /* libmicrohttpd has something to do without being asked */
    loop_cb *closed;     /* httpd_close was called */
    void *closed_ctx;
    uint32_t polls_open; /* not closed by libuv yet */
};

/* httpd.c */
void conn_set_phase(struct conn *c, enum conn_phase phase, uint64_t wait_ms); /* 0: no deadline */
void httpd_run_soon(struct httpd *h);

/* visit.c: libmicrohttpd's callbacks, and the ends that the deadlines bring. */
void *visit_on_target(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result visit_on_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_bytes, void **con_cls);
void visit_on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                        enum MHD_RequestTerminationCode how);
void visit_expire(struct visit *v);

/* httpd_tls.c */
bool httpd_tls_client_proven(struct MHD_Connection *mhd); /* its certificate is of our authority */
