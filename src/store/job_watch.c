/* SPDX-License-Identifier: MIT */
#include "job_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#include "alloc.h"
#include "clock.h"
#include "job.h"
#include "jobplace.h"
#include "keys.h"
#include "list.h"
#include "log.h"
#include "redis_error.h"

#define POLL_NS NS_PER_S
#define NAME_MAX_BYTES (JOB_ID_ROOM + 66) /* an account's name has at most 64 bytes */

/* All waiters for one job. */
struct job {
    UT_hash_handle hh;
    struct job_watch *waiters;
    struct list list;
    bool looking;
    bool heard;   /* its end was announced */
    bool delayed; /* WAITER_DELAYED */
    bool again;   /* a message about it came during the look-up */
    char *account;
    size_t name_bytes;
    char name[]; /* "<account> <job>", the key */
};

struct job_watcher {
    struct list link;
    struct job *job;
    waiter_cb *cb;
    void *ctx;
};

struct job_watch {
    struct loop *loop;
    const struct redis_address *address;
    struct submit *submit;
    char **accounts;
    uint32_t accounts_count;
    struct redis *listener; /* NULL until the first client waits */
    struct timer *poll;     /* runs while clients wait and no message can come */
    bool deaf;              /* the listener is away, or may not subscribe */
    bool polling;
    bool refusal_said;
    struct job *jobs; /* hash table */
    uint32_t looks;   /* that Redis has not answered; they outlive job_watch_close */
    bool over;
    loop_cb *closed;
    void *closed_ctx;
};

/* The channel of one account. */
struct channel {
    struct job_watch *waiters;
    const char *account;
};

static void on_poll(void *ctx);

struct job_watch *job_watch_new(struct loop *l, const struct redis_address *a,
                                const struct config *c, struct submit *t)
{
    struct job_watch *w = alloc_zeroed(1, sizeof(*w));

    w->loop = l;
    w->address = a;
    w->submit = t;
    w->poll = timer_new(l, on_poll, w);
    w->accounts_count = c->accounts_count;
    w->accounts = alloc_zeroed(w->accounts_count, sizeof(*w->accounts));
    for (uint32_t i = 0; i < w->accounts_count; i++)
        w->accounts[i] = alloc_str(c->accounts[i].name);
    return w;
}

/* -- waiters -- */

static void free_job(struct job *j)
{
    HASH_DEL(j->waiters->jobs, j);
    free(j->account);
    free(j);
}

static void look_up(struct job *j);

/* A look-up carries the name of the job, because the job may leave the table meanwhile. */
struct job_lookup {
    struct job_watch *waiters;
    size_t name_bytes;
    char name[];
};

static void tell_all(struct job *j, struct span receipt)
{
    struct list told, *node;

    list_init(&told);
    list_splice_back(&told, &j->list);
    free_job(j);
    while ((node = list_pop_front(&told))) {
        struct job_watcher *w = list_entry(node, struct job_watcher, link);

        w->cb(w->ctx, receipt);
        free(w);
    }
}

static void free_when_over(struct job_watch *w)
{
    if (!w->over || w->looks)
        return;
    for (uint32_t i = 0; i < w->accounts_count; i++)
        free(w->accounts[i]);
    free(w->accounts);
    free(w);
}

static void on_looked(void *ctx, enum job_state state, struct span receipt,
                      const struct jobplace *place)
{
    struct job_lookup *k = ctx;
    struct job_watch *w = k->waiters;
    struct job *j;

    (void)place;
    HASH_FIND(hh, w->jobs, k->name, k->name_bytes, j);
    free(k);
    w->looks--;
    if (!j) {
        free_when_over(w);
        return;
    }
    j->looking = false;
    if (state == JOB_ENDED || (state == JOB_UNKNOWN && (j->heard || !j->delayed)))
        tell_all(j, receipt);
    else if (j->again)
        look_up(j);
}

static void look_up(struct job *j)
{
    struct job_lookup *k;

    j->again = j->looking;
    if (j->looking)
        return;
    j->looking = true;
    j->waiters->looks++;
    k = alloc_zeroed(1, sizeof(*k) + j->name_bytes);
    k->waiters = j->waiters;
    k->name_bytes = j->name_bytes;
    memcpy(k->name, j->name, j->name_bytes);
    jobplace_find(submit_redis(j->waiters->submit, j->account), j->account,
                  j->name + strlen(j->account) + 1, on_looked, k);
}

enum job_missing { JOB_LEAVE_IT, JOB_MAKE_IT };

static struct job *job_of(struct job_watch *w, const char *account, struct span id,
                          enum job_missing missing)
{
    char name[NAME_MAX_BYTES];
    int n = snprintf(name, sizeof(name), "%s %.*s", account, (int)id.n, id.p);
    struct job *j = NULL;

    if (n < 0 || (size_t)n >= sizeof(name))
        return NULL;
    HASH_FIND(hh, w->jobs, name, (size_t)n, j);
    if (j || missing == JOB_LEAVE_IT)
        return j;
    j = alloc_zeroed(1, sizeof(*j) + (size_t)n + 1);
    j->waiters = w;
    j->account = alloc_str(account);
    j->name_bytes = (size_t)n;
    memcpy(j->name, name, (size_t)n + 1);
    list_init(&j->list);
    HASH_ADD(hh, w->jobs, name, j->name_bytes, j);
    return j;
}

/* -- messages -- */

static void look_at_all(struct job_watch *w)
{
    for (struct job *j = w->jobs, *next; j; j = next) {
        next = j->hh.next;
        look_up(j);
    }
}

static void poll_soon(struct job_watch *w)
{
    if (!w->deaf || !w->jobs || w->polling)
        return;
    w->polling = true;
    timer_start_at(w->poll, clock_mono_ns() + POLL_NS);
}

static void on_poll(void *ctx)
{
    struct job_watch *w = ctx;

    w->polling = false;
    if (w->deaf)
        look_at_all(w);
    poll_soon(w);
}

static void on_message(void *ctx, const struct span *text)
{
    struct channel *c = ctx;
    struct span rest, id;

    if (!text) {
        free(c);
        return;
    }
    if (text->n == 0) { /* subscribed now; earlier ends were missed */
        c->waiters->deaf = false;
        look_at_all(c->waiters);
        return;
    }
    rest = *text;
    while (span_next_word(&rest, ' ', &id)) {
        struct job *j = job_of(c->waiters, c->account, id, JOB_LEAVE_IT);

        if (!j)
            continue;
        j->heard = true;
        look_up(j);
    }
}

static void on_up(void *ctx)
{
    struct job_watch *w = ctx;

    for (uint32_t i = 0; i < w->accounts_count; i++) {
        struct channel *c = alloc_zeroed(1, sizeof(*c));
        char *name = redis_key(w->accounts[i], "settled");

        *c = (struct channel){w, w->accounts[i]};
        redis_subscribe(w->listener, span_str(name), on_message, c);
        free(name);
    }
}

/* A refused SUBSCRIBE ends the connection, and `why` is then Redis' error. */
static void on_down(void *ctx, const char *why)
{
    struct job_watch *w = ctx;

    w->deaf = true;
    poll_soon(w);
    if (w->refusal_said || redis_error_of(why) != REDIS_ERROR_NOPERM)
        return;
    w->refusal_said = true;
    log_warn("Redis does not permit SUBSCRIBE: receipts of awaited jobs are polled every second. "
             "Grant the user +subscribe and &purgeline:*",
             "why=\"%s\"", why);
}

struct job_watcher *job_watch_add(struct job_watch *w, const struct config_account *a,
                                  const char *job, enum waiter_kind kind, waiter_cb *cb, void *ctx)
{
    struct job_watcher *x = alloc_zeroed(1, sizeof(*x));

    if (!w->listener)
        w->listener = redis_new(w->loop, w->address, on_up, on_down, w);
    x->job = job_of(w, a->name, span_str(job), JOB_MAKE_IT);
    must(x->job != NULL);
    x->job->delayed |= kind == WAITER_DELAYED;
    x->cb = cb;
    x->ctx = ctx;
    list_push_back(&x->job->list, &x->link);
    look_up(x->job);
    poll_soon(w);
    return x;
}

void job_watch_remove(struct job_watcher *x)
{
    struct job *j = x->job;

    list_remove(&x->link);
    free(x);
    if (list_empty(&j->list))
        free_job(j);
}

/* -- closing -- */

void job_watch_give_up(struct job_watch *w)
{
    while (w->jobs)
        tell_all(w->jobs, SPAN(""));
}

static void on_listener_closed(void *ctx)
{
    struct job_watch *w = ctx;
    loop_cb *closed = w->closed;
    void *closed_ctx = w->closed_ctx;

    w->over = true;
    free_when_over(w);
    closed(closed_ctx);
}

void job_watch_close(struct job_watch *w, loop_cb *closed, void *ctx)
{
    must(!w->jobs);
    timer_close(w->poll);
    w->closed = closed;
    w->closed_ctx = ctx;
    if (w->listener)
        redis_close(w->listener, on_listener_closed, w);
    else
        on_listener_closed(w);
}
