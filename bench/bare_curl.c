/* SPDX-License-Identifier: MIT
 * The limit for programs that use libcurl: one thread, one libuv loop, one curl multi handle,
 * nothing else. It repeats one POST with an empty body as fast as it can, and saves libcurl the
 * same work as purgeline does (src/io/fastly).
 *
 *   bare_curl --url U --ca FILE --header 'H: v' --count N --in-flight M [--connections C]
 *
 * The host must be an address. With --manual as well, it uses libcurl as its manual shows it, and
 * saves nothing. It prints
 * {"requests": N, "seconds": s, "per_s": r, "cpu_s": c, "errors": e}. */
#include <curl/curl.h>
#include <uv.h>

#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct run {
    const char *url, *ca;
    CURLU *parsed; /* url, unless manual */
    struct curl_slist *headers;
    long count, in_flight, connections;
    bool manual;

    uv_loop_t loop;
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_idle_t awake;
    CURLM *multi;
    bool kick; /* curl has set a timeout of 0: call it at once */
    struct watched *watched;
    long started, finished, errors;
    long written; /* requests in this turn of the loop */
};

struct watched {
    struct watched *next;
    uv_poll_t poll;
    struct run *run;
    curl_socket_t fd;
    int wanted, told; /* UV_READABLE and UV_WRITABLE: by curl; to epoll */
};

static void quit(const char *why)
{
    fprintf(stderr, "bare_curl: %s\n", why);
    exit(1);
}

static size_t on_reply(char *p, size_t one, size_t n, void *ctx)
{
    (void)p;
    (void)ctx;
    return one * n;
}

/* A POST for libcurl 7.88 has a DATA frame of its own in h2, even if it is empty. */
static void set_method(const struct run *r, CURL *easy)
{
    if (r->manual) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "POST");
    }
}

static void watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void unwatch(struct run *r, curl_socket_t fd)
{
    for (struct watched **at = &r->watched, *w; (w = *at); at = &w->next)
        if (w->fd == fd) {
            *at = w->next;
            uv_close((uv_handle_t *)&w->poll, watch_closed);
            return;
        }
}

static int on_close(void *ctx, curl_socket_t fd)
{
    unwatch(ctx, fd);
    return close(fd);
}

static void cork(struct run *r, int on)
{
    for (struct watched *w = r->watched; w; w = w->next)
        if (w->told)
            setsockopt(w->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

/* From the second request in a turn of the loop on, the kernel sends them together. */
static int on_request(void *ctx, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
    struct run *r = ctx;

    (void)peer_ip;
    (void)own_ip;
    (void)peer_port;
    (void)own_port;
    if (++r->written == 2 && !r->manual)
        cork(r, 1);
    return CURL_PREREQFUNC_OK;
}

static CURL *easy_new(struct run *r)
{
    CURL *easy = curl_easy_init();

    if (!easy)
        quit("out of memory");
    if (r->manual)
        curl_easy_setopt(easy, CURLOPT_URL, r->url);
    else
        curl_easy_setopt(easy, CURLOPT_CURLU, r->parsed);
    if (r->ca)
        curl_easy_setopt(easy, CURLOPT_CAINFO, r->ca);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, r->headers);
    set_method(r, easy);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_reply);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, r);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, r);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    return easy;
}

static void collect_finished(struct run *r)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(r->multi, &left))) {
        CURL *easy = message->easy_handle;
        long status = 0;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        r->finished++;
        r->errors += message->data.result != CURLE_OK || status != 200;
        curl_multi_remove_handle(r->multi, easy);
        if (r->started < r->count) {
            r->started++;
            curl_multi_add_handle(r->multi, easy);
        } else {
            curl_easy_cleanup(easy);
        }
    }
    if (r->finished == r->count)
        uv_stop(&r->loop);
}

static void act(struct run *r, curl_socket_t fd, int events)
{
    int running;

    curl_multi_socket_action(r->multi, fd, events, &running);
    collect_finished(r);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct watched *w = poll->data;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;

    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    act(w->run, w->fd, flags);
}

static struct watched *watched_of(struct run *r, curl_socket_t fd)
{
    struct watched *w = r->watched;

    while (w && w->fd != fd)
        w = w->next;
    if (w)
        return w;
    w = calloc(1, sizeof(*w));
    if (!w || uv_poll_init_socket(&r->loop, &w->poll, fd) < 0)
        quit("cannot watch a socket");
    w->poll.data = w;
    w->run = r;
    w->fd = fd;
    w->next = r->watched;
    r->watched = w;
    return w;
}

static void tell_epoll(struct watched *w)
{
    if (w->wanted)
        uv_poll_start(&w->poll, w->wanted, on_event);
    else
        uv_poll_stop(&w->poll);
    w->told = w->wanted;
}

/* libuv makes two system calls for each change. Without --manual, only what differs at the end of a
 * turn of the loop is a change. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct run *r = ctx;
    struct watched *w;

    (void)easy;
    (void)socket_ctx;
    if (what == CURL_POLL_REMOVE && r->manual) {
        unwatch(r, fd);
        return 0;
    }
    w = watched_of(r, fd);
    w->wanted = what == CURL_POLL_REMOVE ? 0
                                         : (what & CURL_POLL_IN ? UV_READABLE : 0) |
                                               (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    if (r->manual)
        tell_epoll(w);
    return 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct run *r = timer->data;

    r->kick = true;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct run *r = ctx;

    (void)multi;
    r->kick = timeout_ms == 0;
    if (timeout_ms > 0)
        uv_timer_start(&r->timer, on_timer, (uint64_t)timeout_ms, 0);
    else
        uv_timer_stop(&r->timer);
    return 0;
}

static void on_awake(uv_idle_t *awake)
{
    (void)awake;
}

/* Calls curl once for all the handles that were added in this turn of the loop. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct run *r = prepare->data;

    if (r->kick) {
        r->kick = false;
        act(r, CURL_SOCKET_TIMEOUT, 0);
    }
    if (r->written >= 2 && !r->manual)
        cork(r, 0);
    r->written = 0;
    for (struct watched *w = r->watched; w; w = w->next)
        if (w->wanted != w->told)
            tell_epoll(w);
    if (r->kick)
        uv_idle_start(&r->awake, on_awake);
    else
        uv_idle_stop(&r->awake);
}

static void open_run(struct run *r)
{
    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    uv_loop_init(&r->loop);
    uv_timer_init(&r->loop, &r->timer);
    uv_prepare_init(&r->loop, &r->prepare);
    uv_idle_init(&r->loop, &r->awake);
    r->timer.data = r->prepare.data = r;
    uv_prepare_start(&r->prepare, on_prepare);
    r->multi = curl_multi_init();
    curl_multi_setopt(r->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(r->multi, CURLMOPT_SOCKETDATA, r);
    curl_multi_setopt(r->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(r->multi, CURLMOPT_TIMERDATA, r);
    curl_multi_setopt(r->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(r->multi, CURLMOPT_MAX_HOST_CONNECTIONS, r->connections);
}

static void parse(struct run *r, int argc, char **argv)
{
    static const struct option options[] = {
        {"url", 1, NULL, 'u'},    {"ca", 1, NULL, 'a'},        {"header", 1, NULL, 'h'},
        {"count", 1, NULL, 'n'},  {"in-flight", 1, NULL, 'm'}, {"connections", 1, NULL, 'c'},
        {"manual", 0, NULL, 'x'}, {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'u')
            r->url = optarg;
        else if (c == 'a')
            r->ca = optarg;
        else if (c == 'h')
            r->headers = curl_slist_append(r->headers, optarg);
        else if (c == 'n')
            r->count = atol(optarg);
        else if (c == 'm')
            r->in_flight = atol(optarg);
        else if (c == 'c')
            r->connections = atol(optarg);
        else if (c == 'x')
            r->manual = true;
        else
            exit(2);
    }
    if (!r->url || r->count < 1 || r->in_flight < 1 || r->connections < 1)
        quit("--url, --count and --in-flight are needed");
    if (r->manual)
        return;
    r->headers = curl_slist_append(r->headers, "Content-Length: 0");
    r->parsed = curl_url();
    if (curl_url_set(r->parsed, CURLUPART_URL, r->url, 0) != CURLUE_OK)
        quit("--url is no URL");
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void report(const struct run *r, double seconds)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    printf("{\"requests\": %ld, \"seconds\": %.4f, \"per_s\": %.0f, \"cpu_s\": %.4f, "
           "\"errors\": %ld}\n",
           r->finished, seconds, (double)r->finished / seconds,
           seconds_of(used.ru_utime) + seconds_of(used.ru_stime), r->errors);
}

int main(int argc, char **argv)
{
    static struct run r = {.connections = 1}; /* its loop is never closed */
    uint64_t from_ns;

    parse(&r, argc, argv);
    open_run(&r);
    from_ns = uv_hrtime();
    while (r.started < r.in_flight && r.started < r.count) {
        r.started++;
        curl_multi_add_handle(r.multi, easy_new(&r));
    }
    uv_run(&r.loop, UV_RUN_DEFAULT);
    report(&r, (double)(uv_hrtime() - from_ns) / 1e9);
    curl_multi_cleanup(r.multi);
    curl_slist_free_all(r.headers);
    curl_url_cleanup(r.parsed);
    return r.errors ? 1 : 0;
}
