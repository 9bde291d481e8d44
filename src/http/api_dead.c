/* SPDX-License-Identifier: MIT
 * /v1/dead: lists, retries and drops dead letters, the jobs that were given up. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "api_dead_filter.h"
#include "deadletter_json.h"
#include "json_text.h"
#include "log.h"
#include "worker.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 1000
/* Limit for the contents of the listed letters, because a letter can have any size. */
#define LIST_MAX_BYTES ((size_t)8 * 1024 * 1024)

/* -- GET /v1/dead -- */

struct listing {
    const struct config_account *account;
    struct dead_filter filter;
    char before[DEADLETTER_ID_ROOM]; /* "": from the newest */
    uint64_t limit;
    size_t bytes;
    json_t *letters;
    bool more;
};

static int on_letter(void *ctx, const struct deadletter *l)
{
    struct listing *g = ctx;
    size_t held = json_array_size(g->letters);

    g->bytes += l->bytes;
    g->more = held == g->limit || (held > 0 && g->bytes > LIST_MAX_BYTES);
    if (!g->more)
        json_array_append_new(g->letters, deadletter_json(l));
    return g->more;
}

static void list(struct task *c)
{
    struct listing *g = c->order;
    int rc;

    g->letters = json_array();
    rc = deadletter_find(c->client, g->account->name, &g->filter.as, *g->before ? g->before : NULL,
                         on_letter, g);
    if (rc < 0) {
        task_redis_failed(c, rc, "");
        json_decref(g->letters);
        return;
    }
    task_say(c, 200,
             json_pack("{sososb}", "account", json_text_of(g->account->name), "letters", g->letters,
                       "more", (int)g->more));
}

static void free_listing(void *order)
{
    struct listing *g = order;

    dead_filter_deinit(&g->filter);
    free(g);
}

/* NULL, or what is wrong with the query. */
static const char *read_listing(const struct request *e, struct listing *g)
{
    struct span limit = request_query(e, "limit"), before = request_query(e, "before");

    g->limit = LIMIT_DEFAULT;
    if (limit.p && (span_to_u64(limit, &g->limit) < 0 || g->limit < 1 || g->limit > LIMIT_MAX))
        return "limit: expected a number from 1 to 1000";
    if (before.p && (!deadletter_id_ok(before) || before.n >= sizeof(g->before)))
        return "before: expected an id as 1700000000000-0";
    if (before.p)
        memcpy(g->before, before.p, before.n);
    return dead_filter_of_query(e, g->account, &g->filter);
}

void api_dead_list(struct request *e)
{
    const struct config_account *a = request_account(e, request_query(e, "account"));
    const char *wrong;
    struct listing *g;

    if (!a)
        return;
    g = alloc_zeroed(1, sizeof(*g));
    g->account = a;
    wrong = read_listing(e, g);
    if (wrong) {
        request_refuse(e, 400, wrong);
        free_listing(g);
    } else {
        task_begin(e, TASK_ADMIN, list, g, free_listing);
    }
}

/* -- POST /v1/dead/retry and /v1/dead/drop -- */

enum verb { VERB_RETRY, VERB_DROP };

static const char *const done_names[] = {[VERB_RETRY] = "retried", [VERB_DROP] = "dropped"};
static const char *const would_names[] = {[VERB_RETRY] = "would_retry", [VERB_DROP] = "would_drop"};

struct act {
    const struct config_account *account;
    enum verb verb;
    bool all; /* that pass the filter */
    struct dead_filter filter;
    enum deadletter_how how;
    char newest[DEADLETTER_ID_ROOM]; /* that was looked at */
    char up_to[DEADLETTER_ID_ROOM];  /* the newest letter that is meant; "": that of now */
    char **ids;
    size_t count;
};

static void free_act(void *order)
{
    struct act *a = order;

    for (size_t i = 0; i < a->count; i++)
        free(a->ids[i]);
    free(a->ids);
    dead_filter_deinit(&a->filter);
    free(a);
}

static int act_on(const struct task *t, struct act *a, uint64_t *done)
{
    const char *const *ids = (const char *const *)a->ids;
    const struct actor who = {a->account, t->by};
    struct client *c = t->client;

    *done = 0;
    if (a->all) {
        a->filter.as.up_to = *a->up_to ? a->up_to : NULL;
        return deadletter_act_all(c, &who, &a->filter.as,
                                  a->verb == VERB_RETRY ? DEADLETTER_RETRY : DEADLETTER_DROP,
                                  a->how, done, a->newest);
    }
    return (a->verb == VERB_RETRY ? deadletter_retry : deadletter_drop)(c, &who, ids, a->count,
                                                                        done);
}

static void log_dead_order(const struct task *c, uint64_t done, int rc)
{
    const struct act *a = c->order;

    log_warn(a->verb == VERB_RETRY ? "A producer retries dead letters"
                                   : "A producer drops dead letters",
             "account=%s by=\"%s\" asked=%s outcome=%s done=%" PRIu64, a->account->name, c->by,
             dead_filter_is_empty(&a->filter) ? a->all ? "all" : "ids" : "filter", task_outcome(rc),
             done);
}

static void say_count(struct task *c, const struct act *a, uint64_t count)
{
    json_t *j = json_pack("{sI}", would_names[a->verb], (json_int_t)count);

    if (count)
        json_object_set_new(j, "up_to", json_text_of(a->newest));
    task_say(c, 200, j);
}

static void act(struct task *c)
{
    struct act *a = c->order;
    uint64_t done;
    int rc = act_on(c, a, &done);
    char so_far[64] = "";

    if (a->how == DEADLETTER_DO)
        log_dead_order(c, done, rc);
    if (rc < 0) {
        if (done && a->how == DEADLETTER_DO)
            snprintf(so_far, sizeof(so_far), "%" PRIu64 " were %s", done, done_names[a->verb]);
        task_redis_failed(c, rc, so_far);
    } else if (a->how == DEADLETTER_COUNT) {
        say_count(c, a, done);
    } else if (!a->all && done == 0) {
        task_refuse(c, 404, "ids: none of them is there");
    } else if (a->all || done == a->count) {
        task_say(c, 200, json_pack("{sI}", done_names[a->verb], (json_int_t)done));
    } else {
        task_say(c, 200,
                 json_pack("{sIsI}", done_names[a->verb], (json_int_t)done, "missing",
                           (json_int_t)(a->count - done)));
    }
}

static bool take_id(struct act *a, const json_t *id)
{
    if (!json_is_string(id) ||
        !deadletter_id_ok(span_of(json_string_value(id), json_string_length(id))))
        return false;
    a->ids[a->count++] = alloc_str(json_string_value(id));
    return true;
}

/* What belongs to an order about all letters, or all that pass a filter. NULL, or what is wrong. */
static const char *take_all(struct act *a, const json_t *order)
{
    const json_t *filter = json_object_get(order, "filter"),
                 *up_to = json_object_get(order, "up_to"),
                 *dry_run = json_object_get(order, "dry_run");
    struct span id = span_of(json_string_value(up_to), json_string_length(up_to));

    a->all = true;
    if (dry_run && !json_is_boolean(dry_run))
        return "dry_run: expected true or false";
    if (up_to && (!id.p || !deadletter_id_ok(id) || id.n >= sizeof(a->up_to)))
        return "up_to: expected an id as 1700000000000-0";
    if (up_to)
        memcpy(a->up_to, id.p, id.n);
    a->how = json_is_true(dry_run) ? DEADLETTER_COUNT : DEADLETTER_DO;
    return filter ? dead_filter_of_json(filter, a->account, &a->filter) : NULL;
}

/* NULL, or what is wrong with the order. */
static const char *take_order(struct act *a, const json_t *order)
{
    const json_t *ids = json_object_get(order, "ids"), *all = json_object_get(order, "all"),
                 *filter = json_object_get(order, "filter");

    if (all && !json_is_true(all))
        return "all: expected true, or nothing";
    if (!!all + !!ids + !!filter != 1)
        return "ids: expected a list of ids, or all: true, or a filter";
    if (!ids)
        return take_all(a, order);
    if (json_object_get(order, "up_to") || json_object_get(order, "dry_run"))
        return "ids: dry_run and up_to are for all: true, or for a filter";
    if (json_array_size(ids) == 0) /* also if it is not a list */
        return "ids: expected a list of ids";
    a->ids = alloc_zeroed(json_array_size(ids), sizeof(*a->ids));
    for (size_t i = 0; i < json_array_size(ids); i++)
        if (!take_id(a, json_array_get(ids, i)))
            return "ids: expected ids as 1700000000000-0";
    return NULL;
}

static void act_by_order(struct request *e, enum verb verb)
{
    json_t *order = api_read_order(
        e, (const char *const[]){"account", "ids", "all", "filter", "up_to", "dry_run", NULL});
    const struct config_account *account = order ? api_order_account(e, order) : NULL;
    const char *wrong;
    struct act *a;

    if (account) {
        a = alloc_zeroed(1, sizeof(*a));
        a->account = account;
        a->verb = verb;
        wrong = take_order(a, order);
        if (wrong) {
            request_refuse(e, 400, wrong);
            free_act(a);
        } else {
            task_begin(e, TASK_ADMIN, act, a, free_act);
        }
    }
    json_decref(order);
}

void api_dead_retry(struct request *e)
{
    act_by_order(e, VERB_RETRY);
}

void api_dead_drop(struct request *e)
{
    act_by_order(e, VERB_DROP);
}
