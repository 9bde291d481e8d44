/* SPDX-License-Identifier: MIT
 * The ends of jobs, for all event streams. Thousands may end in a second; the receipts of a few are
 * read, and the others are counted. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "ends_watch.h"
#include "feed_internal.h"
#include "job.h"
#include "jobplace.h"
#include "json_text.h"
#include "log.h"

/* A receipt larger than this is told without the reason and the list of services. */
#define RECEIPT_MAX_BYTES 2048

/* A receipt that is being read. */
struct feed_look {
    struct feed_account *account;
    enum lane lane;
    char job[JOB_ID_ROOM];
};

static bool is_wanted(const struct feed_account *a)
{
    list_each(node, &a->feed->streams)
        if (feed_wants(list_entry(node, struct feed_stream, link), a, FEED_JOB))
            return true;
    return false;
}

/* -- an end -- */

static json_t *job_json(const struct feed_look *l, struct span receipt, json_t **scope)
{
    json_t *j = json_loadb(receipt.p, receipt.n, JSON_ALLOW_NUL, NULL);

    if (!json_is_object(j)) {
        json_decref(j);
        j = json_pack("{soso}", "job", json_text_of(l->job), "state", json_text_of("ended"));
    }
    *scope = json_incref(json_object_get(j, "scope"));
    json_object_del(j, "scope");
    if (receipt.n > RECEIPT_MAX_BYTES) {
        json_object_del(j, "reason");
        json_object_del(j, "failed_services");
    }
    json_object_set_new(j, "account", json_text_of(l->account->name));
    return j;
}

static void tell_end(const struct feed_look *l, struct span receipt)
{
    struct feed_account *a = l->account;
    struct feed *f = a->feed;
    json_t *scope, *j = job_json(l, receipt, &scope), *nobody = json_copy(j);
    struct feed_frame *named = feed_event(f, "job", json_incref(j)), *nameless;

    json_object_del(nobody, "by");
    nameless = feed_event(f, "job", nobody);
    list_each_safe(node, next, &f->streams) {
        struct feed_stream *s = list_entry(node, struct feed_stream, link);
        const struct config_producer *who = s->request->who;
        bool may_name = who->admin || request_pushed(who, j);

        if (feed_wants(s, a, FEED_JOB) &&
            (may_name || request_may_see(who, feed_config_of(a), l->lane, scope)))
            feed_put(s, may_name ? named : nameless);
    }
    feed_frame_drop(named);
    feed_frame_drop(nameless);
    json_decref(scope);
    json_decref(j);
}

static void on_receipt_seen(void *ctx, struct span receipt)
{
    struct feed_look *l = ctx;
    struct feed *f = l->account->feed;

    f->looks--;
    if (receipt.p && f->streams_count)
        tell_end(l, receipt);
    free(l);
}

static void look_at_end(struct feed_account *a, struct span id)
{
    struct feed_look *l;
    enum lane lane;

    if (id.n >= JOB_ID_ROOM || job_id_form(id, &lane) != JOB_ID_PLAIN)
        return;
    l = alloc_zeroed(1, sizeof(*l));
    l->account = a;
    l->lane = lane;
    snprintf(l->job, sizeof(l->job), "%.*s", (int)id.n, id.p);
    a->shown++;
    a->feed->shown++;
    a->feed->looks++;
    jobplace_receipt(submit_redis(a->feed->in->submit, a->name), a->name, l->job, on_receipt_seen,
                     l);
}

static void on_ended(void *ctx, uint32_t account, struct span ids)
{
    struct feed *f = ctx;
    struct feed_account *a = &f->accounts[account];
    struct span id;

    if (!a->listeners || !is_wanted(a))
        return;
    while (span_next_word(&ids, ' ', &id)) {
        a->ended++;
        if (a->shown < FEED_JOBS_MAX && f->shown < FEED_JOBS_ALL_MAX && f->looks < FEED_LOOKS_MAX)
            look_at_end(a, id);
    }
}

/* -- counting -- */

static void tell_count(struct feed_account *a, uint64_t ms)
{
    struct feed *f = a->feed;
    struct feed_frame *frame = feed_event(f, "jobs",
                                          json_pack("{sosIsIsI}", "account", json_text_of(a->name),
                                                    "ended", (json_int_t)a->ended, "shown",
                                                    (json_int_t)a->shown, "ms", (json_int_t)ms));

    list_each_safe(node, next, &f->streams) {
        struct feed_stream *s = list_entry(node, struct feed_stream, link);

        if (feed_wants(s, a, FEED_JOB) && s->request->who->admin)
            feed_put(s, frame);
    }
    feed_frame_drop(frame);
}

void feed_jobs_tick(struct feed *f)
{
    uint64_t now_ns = clock_mono_ns(), ms = (now_ns - f->second_ns) / NS_PER_MS;

    f->second_ns = now_ns;
    f->shown = 0;
    for (uint32_t i = 0; i < f->accounts_count; i++) {
        struct feed_account *a = &f->accounts[i];

        if (a->ended > a->shown)
            tell_count(a, ms);
        a->ended = a->shown = 0;
    }
}

/* -- the subscription -- */

static void miss_all(struct feed *f)
{
    list_each_safe(node, next, &f->streams) {
        struct feed_stream *s = list_entry(node, struct feed_stream, link);

        if (!(s->kinds & 1u << FEED_JOB))
            continue;
        feed_missed(s);
        feed_wake(s);
    }
}

static void on_active(void *ctx)
{
    struct feed *f = ctx;

    if (f->was_active)
        miss_all(f);
    f->was_active = true;
}

static void on_watch_refused(void *ctx, const char *why)
{
    log_warn("Redis does not permit SUBSCRIBE: event streams do not tell which jobs end. Grant the "
             "user +subscribe and &purgeline:*",
             "why=\"%s\"", why);
    miss_all(ctx);
}

void feed_jobs_begin(struct feed *f)
{
    static const struct ends_watch_calls calls = {on_ended, on_active, on_watch_refused};
    const char **names;

    if (f->watch)
        return;
    names = alloc_zeroed(f->accounts_count, sizeof(*names));
    for (uint32_t i = 0; i < f->accounts_count; i++)
        names[i] = f->accounts[i].name;
    f->was_active = false;
    f->watch =
        ends_watch_new(f->in->loop, f->in->options.redis, names, f->accounts_count, &calls, f);
    free(names);
}

static void on_watch_closed(void *ctx)
{
    struct feed *f = ctx;

    if (--f->watches_closing == 0 && f->closed)
        f->closed(f->closed_ctx);
}

void feed_jobs_end(struct feed *f)
{
    if (!f->watch)
        return;
    f->watches_closing++;
    ends_watch_close(f->watch, on_watch_closed, f);
    f->watch = NULL;
}
