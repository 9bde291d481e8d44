/* SPDX-License-Identifier: MIT
 * /v1/dead: lists, retries and drops dead letters, the jobs that were given up. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
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
    rc = deadletter_list(c->client, g->account->name, g->limit + 1, on_letter, g);
    if (rc < 0) {
        task_redis_failed(c, rc, "");
        json_decref(g->letters);
        return;
    }
    task_say(c, 200,
             json_pack("{sososb}", "account", json_text_of(g->account->name), "letters", g->letters,
                       "more", (int)g->more));
}

void api_dead_list(struct request *e)
{
    const struct config_account *a = request_account(e, request_query(e, "account"));
    struct span limit = request_query(e, "limit");
    uint64_t n = LIMIT_DEFAULT;
    struct listing *g;

    if (!a)
        return;
    if (limit.p && (span_to_u64(limit, &n) < 0 || n < 1 || n > LIMIT_MAX)) {
        request_refuse(e, 400, "limit: expected a number from 1 to 1000");
        return;
    }
    g = alloc_zeroed(1, sizeof(*g));
    g->account = a;
    g->limit = n;
    task_begin(e, TASK_ADMIN, list, g, free);
}

/* -- POST /v1/dead/retry and /v1/dead/drop -- */

enum verb { VERB_RETRY, VERB_DROP };

static const char *const done_names[] = {[VERB_RETRY] = "retried", [VERB_DROP] = "dropped"};

struct act {
    const struct config_account *account;
    enum verb verb;
    bool all;
    char **ids;
    size_t count;
};

static void free_act(void *order)
{
    struct act *a = order;

    for (size_t i = 0; i < a->count; i++)
        free(a->ids[i]);
    free(a->ids);
    free(a);
}

static int act_on(struct client *c, const struct act *a, uint64_t *done)
{
    const char *account = a->account->name, *const *ids = (const char *const *)a->ids;

    *done = 0;
    if (a->all)
        return (a->verb == VERB_RETRY ? deadletter_retry_all : deadletter_drop_all)(c, account,
                                                                                    done);
    return (a->verb == VERB_RETRY ? deadletter_retry : deadletter_drop)(c, account, ids, a->count,
                                                                        done);
}

static void log_dead_order(const struct task *c, uint64_t done, int rc)
{
    const struct act *a = c->order;

    log_warn(a->verb == VERB_RETRY ? "A producer retries dead letters"
                                   : "A producer drops dead letters",
             "account=%s by=\"%s\" asked=%s outcome=%s done=%" PRIu64, a->account->name, c->by,
             a->all ? "all" : "ids", task_outcome(rc), done);
}

static void act(struct task *c)
{
    const struct act *a = c->order;
    uint64_t done;
    int rc = act_on(c->client, a, &done);
    char so_far[64] = "";

    log_dead_order(c, done, rc);
    if (rc < 0) {
        if (done)
            snprintf(so_far, sizeof(so_far), "%" PRIu64 " were %s", done, done_names[a->verb]);
        task_redis_failed(c, rc, so_far);
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

/* NULL, or what is wrong with the order. */
static const char *take_order(struct act *a, const json_t *order)
{
    const json_t *ids = json_object_get(order, "ids"), *all = json_object_get(order, "all");

    if (all && !json_is_true(all))
        return "all: expected true, or nothing";
    if (!all == !ids)
        return "ids: expected a list of ids, or all: true";
    a->all = all != NULL;
    if (a->all)
        return NULL;
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
    json_t *order = api_read_order(e, (const char *const[]){"account", "ids", "all", NULL});
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
