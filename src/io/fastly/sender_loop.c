/* SPDX-License-Identifier: MIT
 *
 * One turn of a sender's loop:
 *
 *      inbox ──▶ waiting ──▶ curl multi ◀──▶ sockets
 *                               │  ▲
 *                      finished │  │ kick: curl wants to act at once
 *                               ▼  │
 *              before the loop sleeps: one kick for all that was added, one post of all that is
 *              done, and epoll is told once which sockets to watch
 *
 * curl's example for libuv reads finished transfers only while others are running, and so misses
 * the last one. Here they are read after every action
 * (https://curl.se/libcurl/c/curl_multi_socket_action.html). */
#include "sender_loop.h"

#include <curl/curl.h>
#include <uv.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "sockets.h"
#include "transfer.h"

/* The maximum number of easy handles, which use about 25 kB each. Further exchanges wait. */
#define TRANSFERS_MAX 1024
#define IDLE_MAX 128
#define CONNECTIONS_MAX 256

struct sender_loop {
    uint32_t number;
    uint32_t max_connections, max_streams;
    uv_thread_t thread;
    struct loop *loop;
    CURLM *multi;
    struct mailbox *inbox, *replies;
    uv_timer_t timer;                    /* curl's timeout */
    uv_prepare_t prepare;                /* before the loop sleeps */
    uv_idle_t awake;                     /* while it is started, the loop does not sleep */
    bool kick;                           /* curl wants to act now */
    char connected[TRANSFER_ORIGIN_MAX]; /* origin of the newest connection, or "" */
    struct list waiting;                 /* exchanges */
    struct list in_flight, idle;         /* transfers */
    uint32_t in_flight_count, idle_count;
    struct sockets *sockets;
    struct list done;   /* exchanges to give back */
    struct list stop;   /* posted into the inbox as the last message */
    struct list *ended; /* posted into replies as the last message */
};

static void start_waiting(struct sender_loop *s);

/* -- finished transfers -- */

static void put_idle(struct sender_loop *s, struct transfer *t)
{
    list_remove(&t->link);
    s->in_flight_count--;
    if (s->idle_count >= IDLE_MAX) {
        transfer_free(t);
        return;
    }
    list_push_front(&s->idle, &t->link);
    s->idle_count++;
}

static void finish(struct sender_loop *s, CURL *easy, CURLcode result)
{
    struct transfer *t = NULL;
    struct exchange *x;
    CURLMcode code;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
    x = transfer_end(t, (int)result);
    /* h2 would keep a silent connection open and new requests would prefer it, so they would time
     * out as well. curl drops a connection only when it sees its end. */
    if (x->error == EXCHANGE_TIMEOUT)
        sockets_hang_up_if_silent(s->sockets, transfer_socket(t), x->started_ns);
    code = curl_multi_remove_handle(s->multi, easy);
    must(code == CURLM_OK);
    put_idle(s, t);
    list_push_back(&s->done, &x->link);
}

static void collect_finished(struct sender_loop *s)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(s->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            finish(s, message->easy_handle, message->data.result);
    start_waiting(s);
}

/* Newer libcurl resumes transfers that wait for a connection if it turns out to be h2. If it is
 * HTTP/1.1, they would wait until the first answer, even if more connections are allowed
 * (https://github.com/LadybirdBrowser/ladybird/pull/10655). Removing and adding them makes curl try
 * again. */
static void wake_parked(struct sender_loop *s)
{
    list_each(node, &s->in_flight) {
        struct transfer *t = list_entry(node, struct transfer, link);

        if (!transfer_is_parked(t, s->connected))
            continue;
        curl_multi_remove_handle(s->multi, t->easy);
        curl_multi_add_handle(s->multi, t->easy);
    }
    s->connected[0] = '\0';
}

static void act(struct sender_loop *s, curl_socket_t fd, int events)
{
    int running;
    CURLMcode code = curl_multi_socket_action(s->multi, fd, events, &running);

    /* Curl may have closed that socket earlier in this turn. */
    must(code == CURLM_OK || code == CURLM_BAD_SOCKET);
    collect_finished(s); /* must come first: removing a finished transfer would lose its result */
    if (s->connected[0])
        wake_parked(s);
}

/* -- new exchanges -- */

static struct transfer *take_idle(struct sender_loop *s)
{
    struct list *node = list_pop_front(&s->idle);

    if (!node)
        return transfer_new(s->sockets);
    s->idle_count--;
    return list_entry(node, struct transfer, link);
}

static void start(struct sender_loop *s, struct exchange *x, uint64_t now_ns)
{
    struct transfer *t = take_idle(s);
    CURLMcode code;

    list_push_back(&s->in_flight, &t->link);
    s->in_flight_count++;
    t->connected = s->connected;
    if (transfer_begin(t, x, now_ns) < 0) {
        put_idle(s, t);
        list_push_back(&s->done, &x->link);
        return;
    }
    code = curl_multi_add_handle(s->multi, t->easy);
    must(code == CURLM_OK);
}

static void start_waiting(struct sender_loop *s)
{
    uint64_t now_ns;

    if (list_empty(&s->waiting))
        return;
    now_ns = clock_mono_ns();
    while (s->in_flight_count < TRANSFERS_MAX && !list_empty(&s->waiting))
        start(s, list_entry(list_pop_front(&s->waiting), struct exchange, link), now_ns);
}

/* -- curl's callbacks -- */

static void on_socket_event(void *ctx, int fd, int flags)
{
    act(ctx, fd, flags);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct sender_loop *s = ctx;

    (void)easy;
    (void)socket_ctx;
    sockets_want(s->sockets, fd, what);
    return 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct sender_loop *s = timer->data;

    s->kick = true;
}

/* Must not call curl_multi_socket_action: curl calls this from within its own functions. */
static int on_curl_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct sender_loop *s = ctx;

    (void)multi;
    s->kick = timeout_ms == 0;
    if (timeout_ms > 0)
        uv_timer_start(&s->timer, on_timer, (uint64_t)timeout_ms, 0);
    else
        uv_timer_stop(&s->timer);
    return 0;
}

/* -- the turn -- */

static void on_awake(uv_idle_t *awake)
{
    (void)awake;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct sender_loop *s = prepare->data;

    if (s->kick) {
        s->kick = false;
        act(s, CURL_SOCKET_TIMEOUT, 0);
    }
    sockets_apply(s->sockets);
    mailbox_post_all(s->replies, &s->done);
    if (s->kick)
        uv_idle_start(&s->awake, on_awake);
    else
        uv_idle_stop(&s->awake);
}

/* -- the end -- */

static void give_back_all(struct sender_loop *s)
{
    struct list *node;

    while ((node = list_pop_front(&s->in_flight))) {
        struct transfer *t = list_entry(node, struct transfer, link);

        curl_multi_remove_handle(s->multi, t->easy);
        list_push_back(&s->done, &transfer_abandon(t, "closing")->link);
        transfer_free(t);
    }
    while ((node = list_pop_front(&s->waiting))) {
        exchange_fail(list_entry(node, struct exchange, link), EXCHANGE_UNSENT, "closing");
        list_push_back(&s->done, node);
    }
}

static void shut(struct sender_loop *s)
{
    struct list *node;

    give_back_all(s);
    while ((node = list_pop_front(&s->idle)))
        transfer_free(list_entry(node, struct transfer, link));
    curl_multi_cleanup(s->multi);
    sockets_free(s->sockets);
    uv_close((uv_handle_t *)&s->timer, NULL);
    uv_close((uv_handle_t *)&s->prepare, NULL);
    uv_close((uv_handle_t *)&s->awake, NULL);
    mailbox_close(s->inbox);
}

static void on_inbox(void *ctx, struct list *posted)
{
    struct sender_loop *s = ctx;
    bool stopping = posted->prev == &s->stop;

    if (stopping)
        list_remove(&s->stop);
    list_splice_back(&s->waiting, posted);
    if (stopping)
        shut(s);
    else
        start_waiting(s);
}

static void run(void *ctx)
{
    struct sender_loop *s = ctx;
    char name[16];

    snprintf(name, sizeof(name), "sender-%u", s->number);
    pthread_setname_np(pthread_self(), name);
    loop_run(s->loop);
    list_push_back(&s->done, s->ended);
    mailbox_post_all(s->replies, &s->done);
}

/* -- setup, on the owner's thread -- */

static CURLM *multi_new(struct sender_loop *s, const struct senders_options *o)
{
    CURLM *multi = curl_multi_init();

    must(multi != NULL);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, s);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, s);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)o->max_connections);
    curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS_MAX);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
    curl_multi_setopt(multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)o->max_streams);
    return multi;
}

static void open_handles(struct sender_loop *s)
{
    uv_loop_t *uv = loop_uv(s->loop);

    uv_timer_init(uv, &s->timer);
    uv_prepare_init(uv, &s->prepare);
    uv_idle_init(uv, &s->awake);
    s->timer.data = s->prepare.data = s;
    uv_prepare_start(&s->prepare, on_prepare);
}

/* Blocks all signals, which are for the owner's thread. Blocking SIGPIPE also keeps OpenSSL's
 * writes to a closed socket from ending the process. */
static void start_thread(struct sender_loop *s)
{
    sigset_t all, before;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = uv_thread_create(&s->thread, run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    must(err == 0);
}

struct sender_loop *sender_loop_new(uint32_t number, const struct senders_options *o,
                                    struct mailbox *replies)
{
    struct sender_loop *s = alloc_zeroed(1, sizeof(*s));

    s->number = number;
    s->replies = replies;
    list_init(&s->waiting);
    list_init(&s->in_flight);
    list_init(&s->idle);
    list_init(&s->done);
    list_init(&s->stop);
    s->loop = loop_new();
    s->inbox = mailbox_new(s->loop, on_inbox, s);
    s->sockets = sockets_new(s->loop, on_socket_event, s);
    s->multi = multi_new(s, o);
    open_handles(s);
    start_thread(s);
    return s;
}

void sender_loop_post(struct sender_loop *s, struct list *exchanges)
{
    mailbox_post_all(s->inbox, exchanges);
}

void sender_loop_stop(struct sender_loop *s, struct list *ended)
{
    s->ended = ended; /* made visible to the thread by the mailbox's lock */
    mailbox_post(s->inbox, &s->stop);
}

void sender_loop_free(struct sender_loop *s)
{
    int err;

    if (!s)
        return;
    err = uv_thread_join(&s->thread);
    must(err == 0);
    loop_free(s->loop);
    free(s);
}
