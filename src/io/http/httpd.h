/* SPDX-License-Identifier: MIT
 * An HTTP/1.1 server on a loop. libmicrohttpd does parsing, keep-alive and TLS, and is used only in
 * this folder, which adds deadlines, streaming and delayed replies. A request of a client is called
 * a visit (a request is what we send to Fastly).
 *
 *   head ─▶ body … ─▶ whole ─▶ (Redis is asked) ─▶ visit_answer ─▶ gone
 *     └─ may answer at any of these; `late` comes if there was no answer */
#pragma once

#include "buf.h"
#include "error.h"
#include "loop.h"
#include "quota.h"
#include "span.h"

struct httpd;
struct visit;

/* A head larger than this is refused with 431, its first line with 414. Fastly takes 69 KB, and 256
 * keys of 256 bytes in one header are 64 KiB.
 * https://www.fastly.com/documentation/reference/vcl/constraints-and-limitations/ */
#define HTTPD_HEAD_MAX_BYTES (72 * 1024)

/* Callbacks, on the loop's thread, with the context given to httpd_new. */
struct httpd_calls {
    /* The head has arrived. The callback chooses how the body is received (visit_collect,
     * visit_stream) or answers. By default the body is collected, up to body_max_bytes. */
    void (*head)(void *ctx, struct visit *v);
    /* A part of a streamed body. Returns how many bytes were accepted. If fewer than all, no more
     * parts come until visit_continue. */
    size_t (*part)(void *ctx, struct visit *v, struct span part);
    /* The body is complete. If it was collected, visit_body has it. */
    void (*whole)(void *ctx, struct visit *v);
    /* The time limit of the visit is over; it must be answered during this call. */
    void (*late)(void *ctx, struct visit *v);
    /* The visit has ended, answered or not, and must not be used any more. Called once, after all
     * other callbacks. */
    void (*gone)(void *ctx, struct visit *v);
    /* The visit's bill has no room for the body or its next part; it must be answered during this
     * call. NULL: the server answers a plain 503. */
    void (*full)(void *ctx, struct visit *v);
};

struct httpd_tls {
    const char *cert_pem, *key_pem;
    const char *client_ca_pem; /* NULL: clients need no certificate */
};

struct httpd_options {
    /* Comma-separated: "127.0.0.1:8126", "[::1]:8126", "unix:/path"; port 0: any free port. */
    const char *listen;
    uint32_t unix_mode;     /* permission bits of Unix sockets, which do not use TLS */
    const char *unix_group; /* a group's name; "" or NULL: not changed */
    const struct httpd_tls *tls;
    /* The maximum number of connections. Beyond it, an existing one is dropped for each new one:
     * the unauthenticated one that has been in its current phase for the longest, or the one that
     * has been idle for the longest. If all are waiting for an answer, the new one must wait. */
    uint32_t connections;
    /* The maximum number of connections from one IPv4 address or IPv6 network (/64); more are
     * closed at once. 127.0.0.1, ::1 and Unix sockets are not counted. 0 = no limit. */
    uint32_t per_address;
    /* Time limits. idle_s: until the first line of a request. request_s: from there to the complete
     * request, and for sending the answer. Progress of a streamed body or of an answer renews
     * request_s. */
    uint32_t idle_s, request_s;
    /* The maximum memory of all heads and kept connections (httpd_heads.c). Beyond it the oldest
     * unauthenticated connection is dropped, then idle ones. 0 = no limit. */
    uint64_t heads_max_bytes;
    uint64_t body_max_bytes; /* of one body; visit_bill limits all bodies together */
    uint32_t patience_ms;    /* from the complete body to `late`; visit_set_patience changes it */
    /* Accepts no connection before httpd_accept. Clients can connect, and wait in the kernel. */
    bool accepts_later;
    const struct httpd_calls *calls;
    void *ctx;
};

struct httpd_counts {
    uint64_t connections; /* open now */
    /* Totals since httpd_new. A timeout is a request that did not arrive, or an answer that was not
     * read. */
    uint64_t accepted, visits, timeouts;
    uint64_t turned_away; /* beyond per_address, or, with several addresses, beyond the total */
};

/* Starts listening. NULL, with a sentence in err, on failure. */
struct httpd *httpd_new(struct loop *l, const struct httpd_options *o, struct error *err);
void httpd_accept(struct httpd *h);
/* The addresses listened on, comma-separated, with the actual ports instead of 0. */
const char *httpd_address(const struct httpd *h);
const struct httpd_counts *httpd_counts(const struct httpd *h);
/* Sets the certificate for new connections (NULL: no TLS). Existing connections keep the old one,
 * unless TLS is turned on or off or client_ca_pem changes; then idle ones end at once and others
 * after their answer. 0, or -EINVAL with a sentence and nothing changed. */
must_use int httpd_set_tls(struct httpd *h, const struct httpd_tls *tls, struct error *err);
/* Marks all connections as not authenticated (visit_prove), because the permissions have
 * changed. */
void httpd_forget_proven(struct httpd *h);
/* Listens on the addresses of the options, with their unix_mode and unix_group, and stops listening
 * on others, whose connections end after their visit. 0 (also if nothing changes), or negative
 * errno with a sentence about one address; then the other new addresses are open, and no old
 * address is closed. */
must_use int httpd_set_listen(struct httpd *h, const struct httpd_options *o, struct error *err);
/* Sets the limits and times of the options for new visits and connections. Returns the same as
 * httpd_set_tls. */
must_use int httpd_set_limits(struct httpd *h, const struct httpd_options *o, struct error *err);
/* Stops accepting connections, closes idle ones, and lets current visits be answered, each within
 * its time limit. Requests that are still incomplete, and answers that are still unread, after some
 * seconds are dropped. Then calls closed and frees the server. */
void httpd_close(struct httpd *h, loop_cb *closed, void *ctx);

/* -- the parts of a visit; spans are valid until `gone` -- */
struct span visit_method(const struct visit *v);
struct span visit_target(const struct visit *v); /* as received, nothing decoded */
/* The first header of that name; p == NULL if there is none. */
struct span visit_header(struct visit *v, const char *name);
typedef void visit_header_cb(void *ctx, struct span value);
void visit_headers_named(struct visit *v, const char *name, visit_header_cb *cb, void *ctx);
struct span visit_body(const struct visit *v);
/* The peer's address as text, without port, or "unix" for a Unix socket; and whether the peer is on
 * this machine (loopback or a Unix socket). */
const char *visit_peer(const struct visit *v);
bool visit_is_unix(const struct visit *v);
/* Calls `cb` for the names in a client certificate that TLS has verified: the subject's CN and the
 * DNS names. */
typedef void visit_name_cb(void *ctx, struct span name);
void visit_client_names(const struct visit *v, visit_name_cb *cb, void *ctx);
bool visit_from_loopback(const struct visit *v);
bool visit_is_tls(const struct visit *v);

void visit_set_ctx(struct visit *v, void *ctx); /* for the caller's use; NULL at first */
void *visit_ctx(const struct visit *v);

/* -- in `head` -- */
void visit_collect(struct visit *v, uint64_t max_bytes); /* a larger body gets 413; 0: no body */
void visit_stream(struct visit *v);
/* Counts the collected body on this bill, which must stay valid until `gone`. A body with a known
 * length is counted when the head arrives, others as they arrive. Without a bill the body is not
 * counted. */
void visit_bill(struct visit *v, struct quota_bill *bill);

/* Marks the connection as authenticated. Such connections are dropped last when there are too many,
 * and are kept after the answer, however many unauthenticated ones there are. */
void visit_prove(struct visit *v);

/* Whether the connection must end because httpd_set_tls has changed the TLS settings since. */
bool visit_is_outdated(const struct visit *v);

/* -- after `head` -- */
void visit_drop_body(struct visit *v); /* frees the collected body; visit_body is then empty */
void visit_continue(struct visit *v);  /* asks for more parts; may be called during `part` */
void visit_set_patience(struct visit *v, uint32_t ms);
/* Like visit_set_patience, but `late` is also called within about a second after the peer has
 * closed its side. It may have left or may just have finished sending, so it gets an answer. */
void visit_await(struct visit *v, uint32_t ms);

/* -- the answer: once per visit, during any callback or at another time on the loop -- */
struct answer_header {
    const char *name, *value;
};

#define ANSWER_HEADERS_MAX 8

/* Writes the next bytes of an answer without an end, at most `room`, and returns how many; 0: there
 * are none now. Called on the loop's thread whenever the peer can take more. */
typedef size_t visit_more_cb(void *ctx, char *out, size_t room);

struct answer {
    int status;
    const char *type; /* Content-Type; NULL: none */
    char *body;       /* malloc'ed, the server frees it; NULL: empty */
    size_t body_bytes;
    int file; /* -1, or a file with body_bytes of body; the server closes it */
    struct answer_header headers[ANSWER_HEADERS_MAX];
    bool close; /* close the connection afterwards */
    /* Makes the body while it is sent, instead of `body`; see visit_live_wake. */
    visit_more_cb *more;
    void *more_ctx;
};

void visit_answer(struct visit *v, const struct answer *a);
bool visit_answered(const struct visit *v);
/* The sentence and status of an answer that the server itself gave; NULL if there is none. */
const char *visit_own_answer(const struct visit *v, int *status);
/* Ends the connection of an answered visit without waiting for the rest of the body. */
void visit_cut(struct visit *v);

/* -- an answer without an end (`more`) --
 * It may be silent for any time, but while there are bytes for it the peer must read at least 1 KiB
 * within each request_s. Little is kept for it on the way: about 64 KiB in the kernel. It is not
 * dropped for other connections. */
/* There are bytes again, so `more` is called soon. */
void visit_live_wake(struct visit *v);
/* Ends the answer when `more` has no bytes left, and the connection with it. */
void visit_live_end(struct visit *v);
bool visit_is_live(const struct visit *v);
/* Whether the peer has closed its sending side: most have left then, which is only certain when
 * bytes sent to it are refused. */
bool visit_peer_ended(const struct visit *v);
/* Whether the connection must end because its address is no longer listened on. */
bool visit_is_left(const struct visit *v);
