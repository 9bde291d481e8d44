/* SPDX-License-Identifier: MIT
 * An HTTP/1.1 server on a loop: parsing, keep-alive and TLS are libmicrohttpd's, which ends here;
 * this file adds deadlines, streaming and delayed replies. A request of a client is called a visit
 * (a request is what we send to Fastly).
 *
 *   head ─▶ body … ─▶ whole ─▶ (Redis is asked) ─▶ visit_answer ─▶ gone
 *     └─ may answer at any of these; `late` comes when nobody did */
#pragma once

#include "buf.h"
#include "loop.h"
#include "quota.h"
#include "span.h"

struct httpd;
struct visit;

/* A head larger than this is refused with 431, its first line with 414. Fastly takes 69 KB, and 256
 * keys of 256 bytes in one header are 64 KiB.
 * https://www.fastly.com/documentation/reference/vcl/constraints-and-limitations/ */
#define HTTPD_HEAD_MAX_BYTES (72 * 1024)

/* All of them on the loop's thread, with the context of httpd_new. */
struct httpd_calls {
    /* The head has come: says what is to become of the body (visit_collect, visit_stream) or
     * answers; a visit for which nothing was said gets the ceiling of the options. */
    void (*head)(void *ctx, struct visit *v);
    /* A part of a streamed body. Returns how much of it was taken; if less than all, nothing more
     * comes before visit_continue. */
    size_t (*part)(void *ctx, struct visit *v, struct span part);
    /* The body is complete: visit_body when it was collected. */
    void (*whole)(void *ctx, struct visit *v);
    /* Its patience is over: it must be answered within this call. */
    void (*late)(void *ctx, struct visit *v);
    /* The visit is over, answered or not; forget it. Comes once, after any of the others. */
    void (*gone)(void *ctx, struct visit *v);
    /* The bill has no room for the body, or for more of it: must be answered within this call.
     * NULL: it is answered with a plain 503. */
    void (*full)(void *ctx, struct visit *v);
};

struct httpd_tls {
    const char *cert_pem, *key_pem;
    const char *client_ca_pem; /* NULL: clients need no certificate */
};

struct httpd_options {
    /* Comma-separated: "127.0.0.1:8126", "[::1]:8126", "unix:/path"; port 0: any. */
    const char *listen;
    uint32_t unix_mode;     /* of sockets, permission bits; on them there is no TLS */
    const char *unix_group; /* a name; "" or NULL: left as it is */
    const struct httpd_tls *tls;
    /* Beyond it another is dropped for who comes: of the peers that have not proven who they are
     * the one longest at what it does, or who has been idle for longest; while all wait for an
     * answer, who comes waits. */
    uint32_t connections;
    /* From one IPv4 address or IPv6 network (/64), more are closed at once; 127.0.0.1, ::1
     * and Unix sockets are not counted. 0 = no limit. */
    uint32_t per_address;
    /* Until a first line has come; from there to the whole request (for a stream: to some of it),
     * and for the answer to be taken (or some of it). */
    uint32_t idle_s, request_s;
    /* What heads and kept connections may take together (httpd_heads.c): beyond it the oldest that
     * has not proven who it is is dropped, then who is idle. 0 = no limit. */
    uint64_t heads_max_bytes;
    uint64_t body_max_bytes; /* of one; what all may have together is for visit_bill to say */
    uint32_t patience_ms;    /* from the whole body to `late`, unless the visit asks for more */
    const struct httpd_calls *calls;
    void *ctx;
};

struct httpd_counts {
    uint64_t connections; /* open now */
    /* Since httpd_new. A timeout is a request that did not come, or an answer not taken. */
    uint64_t accepted, visits, timeouts;
    uint64_t turned_away; /* beyond per_address; by another of several addresses, beyond all */
};

/* Listens. NULL with a sentence in err. */
struct httpd *httpd_new(struct loop *l, const struct httpd_options *o, char *err, size_t err_room);
/* What is listened on, comma-separated, with the ports that were found for 0. */
const char *httpd_address(const struct httpd *h);
const struct httpd_counts *httpd_counts(const struct httpd *h);
/* New connections get the new certificate (NULL: no TLS), those there are keep the old one; but
 * where they are without TLS, or with another client_ca_pem, they end: idle ones at once, others
 * after their answer. 0, or -EINVAL with a sentence and everything as it was. */
must_use int httpd_set_tls(struct httpd *h, const struct httpd_tls *tls, char *err,
                           size_t err_room);
/* Marks all connections as not authenticated (visit_prove), because the permissions have
 * changed. */
void httpd_forget_proven(struct httpd *h);
/* Listens where the options say, with their unix_mode and unix_group, and no more elsewhere:
 * connections from there end with their visit. 0 (also when all is the same), or negative errno
 * with a sentence about one address; then what could be opened is, and nothing is left. */
must_use int httpd_set_listen(struct httpd *h, const struct httpd_options *o, char *err,
                              size_t err_room);
/* The limits and times of the options, for visits and connections from now on. As httpd_set_tls. */
must_use int httpd_set_limits(struct httpd *h, const struct httpd_options *o, char *err,
                              size_t err_room);
/* Accepts nothing more, lets visits under way be answered (each at its patience's end at the
 * latest; what has not come whole, or is not taken, within some seconds is given up), closes idle
 * connections, then calls closed; frees itself. */
void httpd_close(struct httpd *h, loop_cb *closed, void *ctx);

/* -- what a visit brings; spans are lent until it is gone -- */
struct span visit_method(const struct visit *v);
struct span visit_target(const struct visit *v); /* as it came: nothing decoded, nothing folded */
/* The first header of that name, p == NULL when there is none. */
struct span visit_header(struct visit *v, const char *name);
typedef void visit_header_cb(void *ctx, struct span value);
void visit_headers_named(struct visit *v, const char *name, visit_header_cb *cb, void *ctx);
struct span visit_body(const struct visit *v);
/* The peer's address as text, without port ("unix": over a Unix socket); and whether it is of this
 * machine: loopback or a Unix socket. */
const char *visit_peer(const struct visit *v);
bool visit_is_unix(const struct visit *v);
/* The names in the client certificate, when TLS has verified it: the subject's CN, and those for
 * DNS. */
typedef void visit_name_cb(void *ctx, struct span name);
void visit_client_names(const struct visit *v, visit_name_cb *cb, void *ctx);
bool visit_from_loopback(const struct visit *v);
bool visit_is_tls(const struct visit *v);

void visit_set_ctx(struct visit *v, void *ctx); /* the caller's, NULL at first */
void *visit_ctx(const struct visit *v);

/* -- in `head` -- */
void visit_collect(struct visit *v, uint64_t max_bytes); /* more is answered with 413; 0: none */
void visit_stream(struct visit *v);
/* The collected body counts on this bill, which is lent until the visit is gone: whole from the
 * head on when its length is announced, else as it comes. Without one it counts nowhere. */
void visit_bill(struct visit *v, struct quota_bill *bill);

/* The visitor has proven who it is. Its connection is dropped last when there are too many, and
 * kept after the answer however many strangers there are. */
void visit_prove(struct visit *v);

/* The connection is from before a change of httpd_set_tls that ends it. */
bool visit_is_outdated(const struct visit *v);

/* -- later -- */
void visit_drop_body(struct visit *v); /* it is not needed any more; visit_body is empty then */
void visit_continue(struct visit *v);  /* more parts may come; also said within `part` */
void visit_set_patience(struct visit *v, uint32_t ms);
/* The same for an answer that may as well come early: `late` also comes, within about a second,
 * when the peer has closed its side. Whether it has gone or only said all it had to say cannot be
 * told, so it is answered. */
void visit_await(struct visit *v, uint32_t ms);

/* -- the answer: once per visit, from within any call or from elsewhere on the loop -- */
struct answer_header {
    const char *name, *value;
};

#define ANSWER_HEADERS_MAX 8

struct answer {
    int status;
    const char *type; /* Content-Type; NULL: none */
    char *body;       /* malloc'ed, taken; NULL: empty */
    size_t body_bytes;
    int file; /* -1, or a file that is the body, body_bytes long; taken */
    struct answer_header headers[ANSWER_HEADERS_MAX];
    bool close; /* the connection ends after it */
};

void visit_answer(struct visit *v, const struct answer *a);
bool visit_answered(const struct visit *v);
/* Of an answer that the server gave by itself: its sentence, and its status. NULL: it did not. */
const char *visit_own_answer(const struct visit *v, int *status);
/* For one that is answered: what is missing of its body is not waited for; the connection ends. */
void visit_cut(struct visit *v);
