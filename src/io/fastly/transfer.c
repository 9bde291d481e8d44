/* SPDX-License-Identifier: MIT */
#include "transfer.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "endpoint.h"
#include "octets.h"
#include "peer.h"
#include "setting.h"
#include "sockets.h"
#include "target.h"

struct transfer_inside {
    struct sockets *sockets;

    /* current settings of the easy handle; setting only what changes saves a tenth of the work */
    uint64_t endpoint_number;
    uint64_t proxy_number; /* number of the endpoint whose proxy is set; 0: none */
    const char *method;    /* of requests without a body; NULL: has_body, or none yet */
    char origin[TRANSFER_ORIGIN_MAX];
    CURLU *parsed;                         /* origin; NULL: curl cannot parse it */
    char *system_ca_file, *system_ca_path; /* libcurl's defaults */
    bool has_body;
    bool page;    /* the headers of the reply are kept */
    bool has_via; /* CURLOPT_CONNECT_TO is set */

    /* for the current exchange */
    struct curl_slist line; /* the exchange's own header, in front of the endpoint's headers */
    bool opened;            /* a new socket was opened for it */
    bool issued;       /* curl was about to write the request, so part of it may have been sent */
    bool lost;         /* curl wanted to send it again */
    bool late;         /* start_before_ns had passed when the connection was ready */
    bool blocked;      /* a peer's address was refused */
    bool too_long;     /* the reply exceeded its limit */
    bool cut;          /* more of the body came than is wanted */
    size_t body_bytes; /* of a page */
    struct curl_slist connect_to; /* its text is `via` */
    char *via;                    /* NULL: none */
    char curl_words[CURL_ERROR_SIZE];
};

#define set(easy, option, value)                                                                   \
    do {                                                                                           \
        CURLcode set_code = curl_easy_setopt((easy), (option), (value));                           \
        must(set_code == CURLE_OK);                                                                \
    } while (0)

/* A page's head is called for line by line. A reply that is followed by another one (status 100) is
 * forgotten. */
static size_t on_head(char *p, size_t one, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    struct span line = span_of(p, one * n);

    if (span_starts_nocase(line, "HTTP/"))
        buf_clear(&t->x->reply);
    if (buf_try_put(&t->x->reply, line) == 0)
        return n;
    t->inside->too_long = true;
    return 0;
}

static size_t on_page_body(struct transfer *t, size_t bytes)
{
    t->inside->body_bytes += bytes;
    t->inside->cut = t->inside->body_bytes > EXCHANGE_PAGE_BODY_MAX_BYTES;
    return t->inside->cut ? 0 : bytes;
}

static size_t on_reply(char *p, size_t one, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    struct buf *reply = &t->x->reply;

    if (t->x->page)
        return on_page_body(t, one * n);
    if (buf_try_put(reply, span_of(p, one * n)) == 0)
        return n;
    t->inside->cut = t->x->look != NULL;
    t->inside->too_long = !t->inside->cut;
    if (t->inside->cut)
        buf_put(reply, span_of(p, reply->max - reply->n));
    return 0;
}

/* Checks the address just before connecting, because a name may resolve to anything. A transfer
 * that was already issued gets no second connection: curl must not decide to send it again. */
static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct transfer *t = ctx;

    (void)purpose;
    if (t->inside->issued) {
        t->inside->lost = true;
        return CURL_SOCKET_BAD;
    }
    if (t->x->peer == EXCHANGE_STRANGER && !peer_is_public(&to->addr)) {
        t->inside->blocked = true;
        return CURL_SOCKET_BAD;
    }
    t->inside->opened = true;
    return sockets_open(t->inside->sockets, to->family, to->socktype, to->protocol);
}

/* Limits how long bytes may stay unacknowledged, so that a dead peer is detected sooner than by
 * TCP's own timeout of a quarter of an hour. */
static int on_socket(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    struct transfer *t = ctx;
    unsigned ms = t->x->endpoint->timeout_ms;

    (void)purpose;
    /* Failure is harmless: a dead peer is only detected later. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
    return CURL_SOCKOPT_OK;
}

/* Called when the connection is ready, just before the request is written: the last chance to stop
 * it. curl calls this again if it lost a reused connection and wants to repeat the request by
 * itself. The first request may have arrived, so repeating it could use the budget twice. */
static int on_issue(void *ctx, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
    struct transfer *t = ctx;
    struct transfer_inside *in = t->inside;
    uint64_t now_ns = clock_mono_ns();

    (void)own_ip;
    (void)peer_port;
    in->lost = in->issued;
    in->late = !in->issued && now_ns > t->x->start_before_ns;
    in->blocked = t->x->peer == EXCHANGE_STRANGER && !peer_text_is_public(peer_ip);
    if (in->lost || in->late || in->blocked)
        return CURL_PREREQFUNC_ABORT;
    in->issued = true;
    if (in->opened)
        memcpy(t->connected, in->origin, sizeof(in->origin));
    t->x->started_ns = now_ns;
    sockets_before_request(in->sockets, own_port);
    return CURL_PREREQFUNC_OK;
}

static void set_callbacks(struct transfer *t)
{
    set(t->easy, CURLOPT_PRIVATE, t);
    set(t->easy, CURLOPT_ERRORBUFFER, t->inside->curl_words);
    set(t->easy, CURLOPT_WRITEFUNCTION, on_reply);
    set(t->easy, CURLOPT_WRITEDATA, t);
    set(t->easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    set(t->easy, CURLOPT_OPENSOCKETDATA, t);
    set(t->easy, CURLOPT_CLOSESOCKETFUNCTION, sockets_close);
    set(t->easy, CURLOPT_CLOSESOCKETDATA, t->inside->sockets);
    set(t->easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
    set(t->easy, CURLOPT_SOCKOPTDATA, t);
    set(t->easy, CURLOPT_PREREQFUNCTION, on_issue);
    set(t->easy, CURLOPT_PREREQDATA, t);
}

/* QUICK_EXIT is needed because otherwise a transfer that times out during name resolution waits for
 * the resolver's thread, and blocks all other transfers of this loop. */
static void set_constants(CURL *easy)
{
    set(easy, CURLOPT_NOSIGNAL, 1L);
    set(easy, CURLOPT_QUICK_EXIT, 1L);
    proxy_apply(easy, NULL);
    set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    set(easy, CURLOPT_FOLLOWLOCATION, 0L);
    set(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    set(easy, CURLOPT_PIPEWAIT, 1L);
    set(easy, CURLOPT_PATH_AS_IS, 1L);
    set(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    set(easy, CURLOPT_TCP_NODELAY, 1L);
    set(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    set(easy, CURLOPT_TCP_KEEPIDLE, 15L);
    set(easy, CURLOPT_TCP_KEEPINTVL, 5L);
}

struct transfer *transfer_new(struct sockets *sockets)
{
    struct transfer *t = alloc_zeroed(1, sizeof(*t));

    list_init(&t->link);
    t->inside = alloc_zeroed(1, sizeof(*t->inside));
    t->inside->sockets = sockets;
    t->easy = curl_easy_init();
    must(t->easy != NULL);
    curl_easy_getinfo(t->easy, CURLINFO_CAINFO, &t->inside->system_ca_file);
    curl_easy_getinfo(t->easy, CURLINFO_CAPATH, &t->inside->system_ca_path);
    set_constants(t->easy);
    set_callbacks(t);
    return t;
}

void transfer_free(struct transfer *t)
{
    if (!t)
        return;
    must(t->x == NULL);
    curl_easy_cleanup(t->easy);
    curl_url_cleanup(t->inside->parsed);
    free(t->inside->via);
    free(t->inside);
    free(t);
}

/* A configured CA file replaces the system's, rather than being added to it. */
static void use_endpoint(struct transfer *t, const struct endpoint *e)
{
    struct transfer_inside *in = t->inside;

    if (in->endpoint_number == e->number)
        return;
    set(t->easy, CURLOPT_CAINFO, *e->ca_file ? e->ca_file : in->system_ca_file);
    set(t->easy, CURLOPT_CAPATH, *e->ca_file ? NULL : in->system_ca_path);
    set(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)e->connect_timeout_ms);
    set(t->easy, CURLOPT_TIMEOUT_MS, (long)e->timeout_ms);
    in->endpoint_number = e->number;
}

static const struct proxy *proxy_of(const struct exchange *x)
{
    const struct proxy *p = &x->endpoint->proxy;

    return x->peer == EXCHANGE_API && proxy_is_used(p) ? p : NULL;
}

static void use_proxy(struct transfer *t, const struct exchange *x)
{
    const struct proxy *p = proxy_of(x);
    uint64_t number = p ? x->endpoint->number : 0;

    if (t->inside->proxy_number == number)
        return;
    proxy_apply(t->easy, p);
    t->inside->proxy_number = number;
}

/* For curl, an empty POST is a GET by another name, whose headers say Content-Length: 0. As a POST
 * it would get an empty DATA frame of its own in h2, which costs curl and the server another TLS
 * record, and a fifth of the processor time of a request. */
static void use_method(struct transfer *t, const struct exchange *x)
{
    struct transfer_inside *in = t->inside;

    if (!in->has_body && in->method == x->method)
        return;
    if (in->has_body)
        set(t->easy, CURLOPT_POSTFIELDS, NULL);
    set(t->easy, CURLOPT_HTTPGET, 1L);
    set(t->easy, CURLOPT_CUSTOMREQUEST, strcmp(x->method, "GET") == 0 ? NULL : x->method);
    in->method = x->method;
    in->has_body = false;
}

static void use_body(struct transfer *t, const struct exchange *x)
{
    struct transfer_inside *in = t->inside;

    must(strcmp(x->method, "POST") == 0);
    if (!in->has_body) {
        set(t->easy, CURLOPT_POST, 1L);
        set(t->easy, CURLOPT_CUSTOMREQUEST, NULL);
    }
    set(t->easy, CURLOPT_POSTFIELDSIZE, (long)x->body.n);
    set(t->easy, CURLOPT_POSTFIELDS, x->body.p);
    in->method = NULL;
    in->has_body = true;
}

/* An exchange that brings its own Content-Type gets the lines that have none. */
static enum endpoint_body body_of(const struct exchange *x)
{
    if (x->body.n == 0)
        return strcmp(x->method, "POST") == 0 ? ENDPOINT_EMPTY : ENDPOINT_PLAIN;
    return span_starts_nocase(buf_span(&x->header), "content-type:") ? ENDPOINT_PLAIN
                                                                     : ENDPOINT_JSON;
}

static void use_headers(struct transfer *t, const struct exchange *x)
{
    enum endpoint_token token = x->show_token ? ENDPOINT_WITH_TOKEN : ENDPOINT_WITHOUT_TOKEN;
    enum endpoint_body body = body_of(x);
    enum endpoint_soft soft = x->soft ? ENDPOINT_SOFT : ENDPOINT_HARD;
    struct curl_slist *shared =
        x->page ? x->endpoint->page : x->endpoint->headers[token][body][soft];

    if (x->header.n == 0) {
        set(t->easy, CURLOPT_HTTPHEADER, shared);
        return;
    }
    t->inside->line = (struct curl_slist){.data = x->header.p, .next = shared};
    set(t->easy, CURLOPT_HTTPHEADER, &t->inside->line);
}

static void use_page(struct transfer *t, const struct exchange *x)
{
    struct transfer_inside *in = t->inside;

    must(!x->page || (x->header.n == 0 && !x->show_token));
    in->body_bytes = 0;
    in->cut = false;
    if (in->page == x->page)
        return;
    set(t->easy, CURLOPT_HEADERFUNCTION, x->page ? on_head : (curl_write_callback)NULL);
    set(t->easy, CURLOPT_HEADERDATA, x->page ? t : NULL);
    in->page = x->page;
}

/* "::host:port" holds for every host and port of a URL. */
static void use_via(struct transfer *t, const struct buf *via)
{
    struct transfer_inside *in = t->inside;

    if (via->n == 0 && !in->has_via)
        return;
    free(in->via);
    in->via = NULL;
    if (via->n)
        in->via = alloc_printf(host_name(buf_span(via)).n < via->n ? "::%s" : "::%s:", via->p);
    in->connect_to = (struct curl_slist){.data = in->via};
    set(t->easy, CURLOPT_CONNECT_TO, via->n ? &in->connect_to : NULL);
    in->has_via = via->n > 0;
}

/* Only "scheme://host:port/" is given to curl as the URL, because curl rewrites paths (dots,
 * spaces, braces, bytes above 0x7f), and a purge must send the exact bytes. The path is sent as the
 * request target. */
static size_t origin_bytes(struct span url)
{
    size_t scheme = span_starts_nocase(url, "https://")  ? 8
                    : span_starts_nocase(url, "http://") ? 7
                                                         : 0;
    size_t n = scheme;

    if (!scheme)
        return 0;
    while (n < url.n && !strchr("/?#@\\", url.p[n]))
        n++;
    if (n == scheme || n + 2 > TRANSFER_ORIGIN_MAX ||
        (n < url.n && (url.p[n] == '@' || url.p[n] == '\\')))
        return 0;
    return n;
}

/* A URL that is text is parsed again for every request. A handle that has one ignores its CURLU. A
 * text that cannot be parsed is left to curl, which then says why. */
static void set_origin(struct transfer *t)
{
    struct transfer_inside *in = t->inside;
    CURLU *before = in->parsed;

    in->parsed = curl_url();
    must(in->parsed != NULL);
    if (curl_url_set(in->parsed, CURLUPART_URL, in->origin, 0) != CURLUE_OK) {
        curl_url_cleanup(in->parsed);
        in->parsed = NULL;
    }
    set(t->easy, CURLOPT_URL, in->parsed ? NULL : in->origin);
    set(t->easy, CURLOPT_CURLU, in->parsed);
    curl_url_cleanup(before);
}

/* Sets the URL's origin in the easy handle, if it has changed. Returns its length, like
 * origin_bytes(). */
static size_t use_origin(struct transfer *t, const struct buf *url)
{
    char *now = t->inside->origin; /* ends with a slash; "" at first */
    size_t n = strlen(now);

    if (n && n <= url->n && memcmp(url->p, now, n) == 0)
        return n - 1;
    n = origin_bytes(buf_span(url));
    if (!n)
        return 0;
    memcpy(now, url->p, n);
    memcpy(now + n, "/", 2);
    set_origin(t);
    return n;
}

static int use_url(struct transfer *t, const struct buf *url)
{
    size_t n;
    char *target;

    if (octets_any(buf_span(url), octets_blank))
        return -EINVAL;
    n = use_origin(t, url);
    if (!n)
        return -EINVAL;
    if (url->p[n] == '/') {
        set(t->easy, CURLOPT_REQUEST_TARGET, url->p + n);
        return 0;
    }
    target = alloc_printf("/%s", url->p + n);
    set(t->easy, CURLOPT_REQUEST_TARGET, target);
    free(target);
    return 0;
}

/* A last check; callers that request the token check the URL as well. */
static bool would_leak_token(const struct exchange *x)
{
    struct span url = buf_span(&x->url), host, rest;

    if (!x->show_token || span_starts_nocase(url, "https://"))
        return false;
    url_split(url, &host, &rest);
    return !setting_host_is_loopback(host_name(host));
}

static bool is_one_line(const struct buf *header)
{
    return header->n == 0 || (strlen(header->p) == header->n && !strpbrk(header->p, "\r\n") &&
                              strchr(header->p, ':'));
}

void exchange_fail(struct exchange *x, enum exchange_error error, const char *why)
{
    x->error = error;
    snprintf(x->error_text, sizeof(x->error_text), "%.*s", (int)sizeof(x->error_text) - 1, why);
    x->done_ns = clock_mono_ns();
}

int transfer_begin(struct transfer *t, struct exchange *x, uint64_t now_ns)
{
    struct transfer_inside *in = t->inside;

    if (now_ns > x->start_before_ns) {
        exchange_fail(x, EXCHANGE_UNSENT, "too late to start");
        return -ETIME;
    }
    if (!is_one_line(&x->header) || use_url(t, &x->url) < 0) {
        exchange_fail(x, EXCHANGE_BLOCKED, "no request can be made of this URL or header");
        return -EINVAL;
    }
    if (would_leak_token(x)) {
        exchange_fail(x, EXCHANGE_BLOCKED, "the token is not sent over plain HTTP");
        return -EINVAL;
    }
    use_endpoint(t, x->endpoint);
    use_proxy(t, x);
    if (x->body.n)
        use_body(t, x);
    else
        use_method(t, x);
    use_headers(t, x);
    use_page(t, x);
    use_via(t, &x->via);
    in->opened = in->issued = in->lost = in->late = in->blocked = in->too_long = false;
    in->cut = false;
    in->curl_words[0] = '\0';
    x->started_ns = now_ns;
    t->x = x;
    return 0;
}

static bool is_untrusted(int result)
{
    return result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE ||
           result == CURLE_SSL_ISSUER_ERROR || result == CURLE_SSL_INVALIDCERTSTATUS;
}

static enum exchange_error error_of(const struct transfer_inside *in, int result)
{
    if (!in->issued && (in->blocked || is_untrusted(result)))
        return EXCHANGE_BLOCKED;
    if (!in->issued)
        return EXCHANGE_UNSENT;
    return result == CURLE_OPERATION_TIMEDOUT ? EXCHANGE_TIMEOUT : EXCHANGE_BROKEN;
}

static const char *words_of(const struct transfer_inside *in, int result)
{
    if (in->lost)
        return "the connection was lost before an answer came";
    if (in->late)
        return "too late to start when the connection was ready";
    if (in->blocked)
        return "the peer's address is private and not allowed";
    if (in->too_long)
        return "the reply is longer than allowed";
    return in->curl_words[0] ? in->curl_words : curl_easy_strerror((CURLcode)result);
}

/* A value that does not fit cannot be a number or a date, so it is ignored. */
static void copy_header(CURL *easy, const char *name, char *out, size_t room)
{
    struct curl_header *h;

    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK &&
        strlen(h->value) < room)
        memcpy(out, h->value, strlen(h->value) + 1);
}

/* A header that comes more than once has the same meaning as one with all values, separated by
 * commas: RFC 9110, section 5.3. */
static void look_at_header(CURL *easy, struct exchange_look *look)
{
    struct curl_header *h;
    size_t used = 0, count = 1;

    look->found = false;
    look->value[0] = '\0';
    for (size_t i = 0; *look->header && i < count && used < sizeof(look->value); i++) {
        if (curl_easy_header(easy, look->header, i, CURLH_HEADER, -1, &h) != CURLHE_OK)
            return;
        look->found = true;
        count = h->amount;
        used += (size_t)snprintf(look->value + used, sizeof(look->value) - used, "%s%s",
                                 i ? ", " : "", h->value);
    }
}

static void read_answer(CURL *easy, struct exchange *x)
{
    long status = 0;

    x->error = EXCHANGE_OK;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    x->status = (int)status;
    if (x->look)
        look_at_header(easy, x->look);
    if (status / 100 == 2)
        return;
    endpoint_hide_token(x->endpoint, &x->reply);
    copy_header(easy, "Retry-After", x->retry_after, sizeof(x->retry_after));
    copy_header(easy, "Fastly-RateLimit-Remaining", x->rate_remaining, sizeof(x->rate_remaining));
    copy_header(easy, "Fastly-RateLimit-Reset", x->rate_reset, sizeof(x->rate_reset));
}

static struct exchange *release(struct transfer *t)
{
    struct exchange *x = t->x;

    t->x = NULL;
    return x;
}

static void fail(struct transfer *t, int result)
{
    const struct transfer_inside *in = t->inside;
    struct exchange *x = t->x;
    const char *words = words_of(in, result);
    struct error text;

    if (proxy_of(x) && !in->issued && !in->late && !in->blocked) {
        proxy_explain(t->easy, proxy_of(x), words, &text);
        words = text.text;
    }
    exchange_fail(x, error_of(in, result), words);
}

struct exchange *transfer_end(struct transfer *t, int result)
{
    struct exchange *x = t->x;
    long connects = 1;

    curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
    x->reused = t->inside->issued && (t->inside->lost || connects == 0);
    x->done_ns = clock_mono_ns();
    if (result == CURLE_OK || (result == CURLE_WRITE_ERROR && t->inside->cut))
        read_answer(t->easy, x);
    else
        fail(t, result);
    return release(t);
}

struct exchange *transfer_abandon(struct transfer *t, const char *why)
{
    exchange_fail(t->x, t->inside->issued ? EXCHANGE_BROKEN : EXCHANGE_UNSENT, why);
    return release(t);
}

bool transfer_is_parked(const struct transfer *t, const char *origin)
{
    const struct transfer_inside *in = t->inside;

    return !in->opened && !in->issued && strcmp(in->origin, origin) == 0;
}

int transfer_socket(struct transfer *t)
{
    curl_socket_t fd = CURL_SOCKET_BAD;

    if (curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK)
        return -1;
    return fd == CURL_SOCKET_BAD ? -1 : fd;
}
