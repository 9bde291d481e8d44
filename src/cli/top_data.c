/* SPDX-License-Identifier: MIT */
#include "top_data.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "client.h"
#include "clock.h"
#include "cmd.h"
#include "control.h"
#include "deadletter.h"
#include "redis_config.h"
#include "show.h"

#define PATIENCE_S 5
#define STOP_MS 300 /* how long stopping waits for the thread */
#define LETTERS_OF_ACCOUNT 100
#define FIELDS_MAX 8192 /* bytes of a dead letter that are shown, about */

struct history { /* of an account */
    struct top_rates sent, errors;
    char *leader; /* whose counters these are; NULL: nobody's */
};

struct top_data {
    const struct config *config;
    const struct config_account **accounts;
    uint32_t count;
    struct redis_address address;
    pthread_t thread;
    int pipe[2];

    /* only of the thread */
    struct client *client;
    struct history *histories;

    /* of both, under the lock */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct top_view *view; /* NULL: taken */
    char trouble[400], result[400];
    uint64_t trouble_since_ms;
    struct top_order order;
    bool ordered, stop, hurry;
    enum top_letters letters;
};

/* -- views -- */

static void free_letters(struct top_view *v)
{
    for (uint32_t i = 0; i < v->letters_count; i++) {
        free(v->letters[i].id);
        free(v->letters[i].job);
        free(v->letters[i].reason);
        free(v->letters[i].target);
        free(v->letters[i].fields);
    }
    free(v->letters);
}

void top_view_free(struct top_view *v)
{
    if (!v)
        return;
    for (uint32_t i = 0; i < v->count; i++)
        overview_deinit(&v->accounts[i].overview);
    free(v->accounts);
    overview_instances_free(v->instances);
    free_letters(v);
    free(v);
}

/* -- reading -- */

/* Counters of another leader begin anew. Without a report, nothing is sent. */
static void count(struct history *h, struct top_account *a)
{
    uint64_t now_ms = clock_mono_ns() / NS_PER_MS;
    const char *leader = a->overview.leader ? a->overview.leader : "";

    if (!overview_counts(&a->overview, &a->counts)) {
        top_rates_add(&h->sent, h->sent.last, now_ms);
        top_rates_add(&h->errors, h->errors.last, now_ms);
        return;
    }
    if (!h->leader || strcmp(h->leader, leader) != 0) {
        free(h->leader);
        h->leader = alloc_str(leader);
        top_rates_break(&h->sent, a->counts.sent);
        top_rates_break(&h->errors, a->counts.errors);
    }
    top_rates_add(&h->sent, a->counts.sent, now_ms);
    top_rates_add(&h->errors, a->counts.errors, now_ms);
}

/* 0 or negative errno, see client_error. */
static int read_account(struct top_data *d, uint32_t i, struct top_view *v)
{
    struct top_account *a = &v->accounts[v->count];
    int rc = overview_read_any(d->client, d->accounts[i], &a->overview);

    if (rc < 0)
        return rc;
    v->count++;
    a->account = d->accounts[i];
    consumer_states_expect(&a->overview.consumers, d->config, a->account->name);
    a->mood = overview_words(&a->overview, a->words, sizeof(a->words));
    count(&d->histories[i], a);
    for (int s = 0; s < TOP_SPAN_N; s++) {
        a->sent[s] = top_rates_of(&d->histories[i].sent, (enum top_span)s);
        a->errors[s] = top_rates_of(&d->histories[i].errors, (enum top_span)s);
    }
    overview_instances_add(v->instances, a->account->name, &a->overview);
    return 0;
}

struct letters {
    struct top_view *view;
    const struct config_account *account;
};

static char *text_of(struct span s)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    show_for_terminal(&text, s);
    return text.p ? buf_take(&text) : alloc_str("");
}

static int on_letter(void *ctx, const struct deadletter *l)
{
    const struct letters *to = ctx;
    struct top_view *v = to->view;
    struct top_letter *letter;
    struct buf fields;

    if (v->letters_count == TOP_LETTERS_MAX)
        return 1;
    v->letters = alloc_grow(v->letters, v->letters_count + 1, sizeof(*v->letters));
    letter = &v->letters[v->letters_count++];
    buf_init(&fields, SIZE_MAX);
    for (size_t i = 0; i + 1 < l->fields_count && fields.n < FIELDS_MAX; i += 2) {
        struct span value = l->fields[i + 1];

        show_for_terminal(&fields, l->fields[i]);
        buf_printf(&fields, ": ");
        show_for_terminal(&fields, span_of(value.p, min_u64(value.n, FIELDS_MAX)));
        buf_putc(&fields, '\n');
    }
    *letter = (struct top_letter){.account = to->account,
                                  .id = text_of(l->id),
                                  .job = text_of(l->job),
                                  .reason = text_of(l->reason),
                                  .target = text_of(l->target),
                                  .fields = fields.p ? buf_take(&fields) : alloc_str(""),
                                  .at_ms = l->at_ms};
    return 0;
}

static int read_letters(struct top_data *d, struct top_view *v)
{
    int rc = 0;

    for (uint32_t i = 0; rc >= 0 && i < v->count; i++) {
        struct letters to = {v, v->accounts[i].account};

        if (v->accounts[i].overview.dead)
            rc = deadletter_list(d->client, to.account->name, LETTERS_OF_ACCOUNT, on_letter, &to);
    }
    return rc < 0 ? rc : 0;
}

static int read_all(struct top_data *d, enum top_letters letters, struct top_view **out)
{
    struct top_view *v = alloc_zeroed(1, sizeof(*v));
    int rc = 0;

    v->accounts = alloc_zeroed(d->count, sizeof(*v->accounts));
    v->instances = overview_instances_new();
    for (uint32_t i = 0; rc == 0 && i < d->count; i++)
        rc = read_account(d, i, v);
    if (rc == 0 && letters == TOP_WITH_LETTERS)
        rc = read_letters(d, v);
    if (rc < 0)
        top_view_free(v);
    else
        *out = v;
    return rc;
}

/* -- orders -- */

static int act(struct client *c, const struct top_order *o, uint64_t *done)
{
    const char *ids[] = {o->text};
    char by[CMD_WHO_ROOM];
    const struct actor who = {o->account, by};

    cmd_who(by, sizeof(by));
    *done = 1;
    switch (o->act) {
    case TOP_PAUSE:
    case TOP_RESUME:
        return control_set(c, &who, o->act == TOP_PAUSE ? CONTROL_PAUSED : CONTROL_GOES_ON,
                           o->act == TOP_PAUSE ? o->text : "");
    case TOP_RETRY:
        return deadletter_retry(c, &who, ids, 1, done);
    case TOP_DROP:
        return deadletter_drop(c, &who, ids, 1, done);
    }
    return -EINVAL;
}

static void carry_out(struct top_data *d, const struct top_order *o, char *result, size_t room)
{
    static const char *const done_words[] = {[TOP_PAUSE] = "is paused",
                                             [TOP_RESUME] = "goes on",
                                             [TOP_RETRY] = "has the job again",
                                             [TOP_DROP] = "has lost the dead letter"};
    uint64_t done;
    int rc = d->client ? act(d->client, o, &done) : -ENOTCONN;

    if (rc < 0)
        snprintf(result, room, "%s: not done: %s", o->account->name,
                 d->client ? client_error(d->client) : "Redis is away");
    else if (done == 0)
        snprintf(result, room, "%s: there is no such dead letter any more", o->account->name);
    else
        snprintf(result, room, "%s %s", o->account->name, done_words[o->act]);
}

/* -- the thread -- */

static void tell(struct top_data *d)
{
    if (write(d->pipe[1], "", 1) < 0)
        return; /* it is full, so there is news already */
}

static void set_trouble(struct top_data *d, const char *why)
{
    pthread_mutex_lock(&d->lock);
    if (*why && !*d->trouble)
        d->trouble_since_ms = clock_wall_ms();
    snprintf(d->trouble, sizeof(d->trouble), "%s", why);
    pthread_mutex_unlock(&d->lock);
    tell(d);
}

static bool connected(struct top_data *d)
{
    struct error err;

    if (d->client)
        return true;
    if (client_open(&d->address, &d->client, &err) == 0) {
        client_set_patience(d->client, PATIENCE_S);
        return true;
    }
    d->client = NULL;
    set_trouble(d, err.text);
    return false;
}

static void look(struct top_data *d, enum top_letters letters)
{
    struct top_view *view = NULL, *old;
    int rc;

    if (!connected(d))
        return;
    rc = read_all(d, letters, &view);
    if (rc < 0) {
        set_trouble(d, client_error(d->client));
        client_close(d->client);
        d->client = NULL;
        return;
    }
    pthread_mutex_lock(&d->lock);
    old = d->view;
    d->view = view;
    *d->trouble = '\0';
    pthread_mutex_unlock(&d->lock);
    top_view_free(old);
    tell(d);
}

/* Under the lock. Waits for an order, a wish or the next second. */
static void await_work(struct top_data *d, uint64_t next_ns)
{
    struct timespec until = {.tv_sec = (time_t)(next_ns / NS_PER_S),
                             .tv_nsec = (long)(next_ns % NS_PER_S)};

    while (!d->stop && !d->hurry && !d->ordered)
        if (pthread_cond_timedwait(&d->wake, &d->lock, &until) != 0)
            return;
}

static void *run(void *ctx)
{
    struct top_data *d = ctx;
    uint64_t next_ns = clock_mono_ns();

    pthread_mutex_lock(&d->lock);
    while (!d->stop) {
        struct top_order order = d->order;
        enum top_letters letters = d->letters;
        bool ordered = d->ordered;
        char result[sizeof(d->result)] = "";

        d->hurry = false;
        pthread_mutex_unlock(&d->lock);
        if (ordered)
            carry_out(d, &order, result, sizeof(result));
        look(d, letters);
        pthread_mutex_lock(&d->lock);
        if (ordered) {
            memcpy(d->result, result, sizeof(result));
            d->ordered = false;
            tell(d);
        }
        next_ns = max_u64(next_ns + NS_PER_S, clock_mono_ns() + NS_PER_S / 4);
        await_work(d, next_ns);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* -- starting and stopping -- */

static void release(struct top_data *d)
{
    client_close(d->client);
    for (uint32_t i = 0; i < d->count; i++)
        free(d->histories[i].leader);
    free(d->histories);
    free(d->accounts);
    top_view_free(d->view);
    redis_address_deinit(&d->address);
    close(d->pipe[0]);
    close(d->pipe[1]);
    free(d);
}

int top_data_start(const struct config *config, const char *only, struct top_data **out)
{
    struct top_data *d = alloc_zeroed(1, sizeof(*d));
    pthread_condattr_t attributes;
    int rc = cmd_redis_address(config, &d->address);

    if (rc != 0) {
        free(d);
        return rc;
    }
    d->config = config;
    d->accounts = alloc_zeroed(config->accounts_count, sizeof(const struct config_account *));
    for (uint32_t i = 0; i < config->accounts_count; i++)
        if (!only || strcmp(only, config->accounts[i].name) == 0)
            d->accounts[d->count++] = &config->accounts[i];
    d->histories = alloc_zeroed(d->count, sizeof(*d->histories));
    must(pipe2(d->pipe, O_CLOEXEC | O_NONBLOCK) == 0);
    must(pthread_mutex_init(&d->lock, NULL) == 0);
    must(pthread_condattr_init(&attributes) == 0);
    must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(&d->wake, &attributes) == 0);
    must(pthread_create(&d->thread, NULL, run, d) == 0);
    *out = d;
    return 0;
}

bool top_data_stop(struct top_data *d)
{
    struct timespec until;
    uint64_t end_ms;

    pthread_mutex_lock(&d->lock);
    d->stop = true;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
    end_ms = clock_wall_ms() + STOP_MS;
    until = (struct timespec){.tv_sec = (time_t)(end_ms / 1000),
                              .tv_nsec = (long)(end_ms % 1000 * NS_PER_MS)};
    if (pthread_timedjoin_np(d->thread, NULL, &until) != 0)
        return false;
    release(d);
    return true;
}

/* -- for the screen -- */

int top_data_fd(const struct top_data *d)
{
    return d->pipe[0];
}

struct top_view *top_data_take(struct top_data *d)
{
    struct top_view *v;
    char news[64];

    while (read(d->pipe[0], news, sizeof(news)) > 0)
        ;
    pthread_mutex_lock(&d->lock);
    v = d->view;
    d->view = NULL;
    pthread_mutex_unlock(&d->lock);
    return v;
}

void top_data_trouble(struct top_data *d, char *out, size_t room, uint64_t *since_ms)
{
    pthread_mutex_lock(&d->lock);
    snprintf(out, room, "%s", d->trouble);
    *since_ms = d->trouble_since_ms;
    pthread_mutex_unlock(&d->lock);
}

void top_data_result(struct top_data *d, char *out, size_t room)
{
    pthread_mutex_lock(&d->lock);
    snprintf(out, room, "%s", d->result);
    *d->result = '\0';
    pthread_mutex_unlock(&d->lock);
}

void top_data_want(struct top_data *d, enum top_letters letters)
{
    pthread_mutex_lock(&d->lock);
    d->hurry = d->hurry || d->letters != letters;
    d->letters = letters;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
}

bool top_data_order(struct top_data *d, const struct top_order *o)
{
    bool taken;

    pthread_mutex_lock(&d->lock);
    taken = !d->ordered;
    if (taken) {
        d->order = *o;
        d->ordered = true;
        pthread_cond_signal(&d->wake);
    }
    pthread_mutex_unlock(&d->lock);
    return taken;
}
