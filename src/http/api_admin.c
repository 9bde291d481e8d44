/* SPDX-License-Identifier: MIT
 * GET /v1/status, POST /v1/pause and /v1/resume, for operators. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "control.h"
#include "log.h"
#include "overview_instances.h"
#include "overview_json.h"
#include "suggest.h"
#include "worker.h"

#define JSON_DEPTH_MAX 8
#define ORDER_MAX_BYTES ((uint64_t)1024 * 1024)

/* -- orders -- */

void api_order_head(struct request *e)
{
    visit_collect(e->visit, ORDER_MAX_BYTES);
}

static bool is_member(const char *const *members, const char *name)
{
    while (*members && strcmp(*members, name) != 0)
        members++;
    return *members;
}

static const char *meant_by(const char *const *members, const char *name)
{
    size_t count = 0;

    while (members[count])
        count++;
    return suggest_word(name, members, count);
}

json_t *api_read_order(struct request *e, const char *const *members)
{
    struct span body = visit_body(e->visit);
    const char *flaw = api_json_flaw(body, JSON_DEPTH_MAX, NULL);
    json_error_t where = {.text = ""};
    json_t *order = NULL;
    json_t *value;
    const char *name, *meant;
    char why[300], shown[64];

    if (flaw)
        snprintf(where.text, sizeof(where.text), "%s", flaw);
    else if (body.n)
        order = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &where);
    else
        order = json_object();
    if (!json_is_object(order)) {
        snprintf(why, sizeof(why), "not a JSON object: %s",
                 order ? "another kind of value" : where.text);
        goto refuse;
    }
    json_object_foreach(order, name, value)
    {
        if (is_member(members, name))
            continue;
        meant = meant_by(members, name);
        snprintf(why, sizeof(why), "%s: unknown field%s%s%s",
                 log_quote(shown, sizeof(shown), name, strlen(name)),
                 meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
        goto refuse;
    }
    return order;

refuse:
    request_refuse(e, 400, why);
    json_decref(order);
    return NULL;
}

const struct config_account *api_order_account(struct request *e, const json_t *order)
{
    const json_t *name = json_object_get(order, "account");

    if (!name)
        return request_account(e, request_query(e, "account"));
    if (json_is_string(name))
        return request_account(e, span_of(json_string_value(name), json_string_length(name)));
    request_refuse(e, 400, "account: expected a text");
    return NULL;
}

/* -- status -- */

struct status_order {
    const struct config *config; /* the request holds it */
    const struct config_account **accounts;
    uint32_t count;
};

static void free_status_order(void *order)
{
    struct status_order *l = order;

    free(l->accounts);
    free(l);
}

static void read_status(struct task *c)
{
    struct overview_instances *instances = overview_instances_new();
    const struct status_order *l = c->order;
    json_t *list = json_array();
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < l->count; i++) {
        struct overview o;

        rc = overview_read_any(c->client, l->accounts[i], &o);
        if (rc < 0)
            break;
        consumer_states_expect(&o.consumers, l->config, l->accounts[i]->name);
        json_array_append_new(list, overview_json(l->accounts[i], &o));
        overview_instances_add(instances, l->accounts[i]->name, &o);
        overview_deinit(&o);
    }
    if (rc < 0)
        task_redis_failed(c, rc, "");
    else
        task_say(
            c, 200,
            json_pack("{sOso}", "accounts", list, "instances", overview_instances_json(instances)));
    json_decref(list);
    overview_instances_free(instances);
}

void api_status(struct request *e)
{
    const struct config *config = e->config;
    struct span name = request_query(e, "account");
    const struct config_account *one = name.p ? request_account(e, name) : NULL;
    struct status_order *l;

    if (name.p && !one)
        return;
    l = alloc_zeroed(1, sizeof(*l));
    l->config = config;
    l->accounts = alloc_zeroed(config->accounts_count + 1, sizeof(*l->accounts));
    for (uint32_t i = 0; i < config->accounts_count; i++) {
        const struct config_account *a = &config->accounts[i];

        if (one ? a == one : auth_may_account(e->who, a))
            l->accounts[l->count++] = a;
    }
    task_begin(e, TASK_ADMIN, read_status, l, free_status_order);
}

/* -- pause and resume -- */

struct flip {
    const struct config_account *account;
    enum control_state state;
    char why[CONTROL_WHY_MAX_BYTES + 1];
};

/* Shorter than in the command: an HTTP client does not wait for requests in flight as long as a
 * person at a terminal. */
#define HOLD_WAIT_MS 5000

static void say_paused(struct task *c, const struct flip *f)
{
    enum control_held held = CONTROL_SENDING;
    uint64_t in_flight = 0;
    json_t *j = control_json(f->account->name, f->state, f->why);
    int rc = control_await_held(c->client, f->account->name, HOLD_WAIT_MS, &held, &in_flight);

    json_object_set_new(j, "holds", json_boolean(rc == 0 && held != CONTROL_SENDING));
    task_say(c, 200, j);
}

static void flip(struct task *c)
{
    const struct flip *f = c->order;
    bool pauses = f->state == CONTROL_PAUSED;
    int rc = control_set(c->client, &(struct actor){f->account, c->by}, f->state, f->why);

    log_warn(pauses ? "A producer pauses an account" : "A producer resumes an account",
             "account=%s by=\"%s\" why=\"%s\" outcome=%s", f->account->name, c->by, f->why,
             task_outcome(rc));
    if (rc < 0)
        task_redis_failed(c, rc, "");
    else if (pauses)
        say_paused(c, f);
    else
        task_say(c, 200, control_json(f->account->name, f->state, f->why));
}

/* 0, or negative if the request was refused. */
static int read_why(struct request *e, const json_t *order, char out[CONTROL_WHY_MAX_BYTES + 1])
{
    const json_t *why = json_object_get(order, "why");

    *out = '\0';
    if (!why)
        return 0;
    if (!json_is_string(why) || json_string_length(why) > CONTROL_WHY_MAX_BYTES) {
        request_refuse(e, 400, "why: expected a text of at most 149 bytes");
        return -1;
    }
    memcpy(out, json_string_value(why), json_string_length(why) + 1);
    control_clean(out);
    return 0;
}

static void control(struct request *e, enum control_state state, const char *const *members)
{
    json_t *order = api_read_order(e, members);
    const struct config_account *a = order ? api_order_account(e, order) : NULL;
    struct flip *f;

    if (a) {
        f = alloc_zeroed(1, sizeof(*f));
        f->account = a;
        f->state = state;
        if (read_why(e, order, f->why) == 0)
            task_begin(e, TASK_ADMIN, flip, f, free);
        else
            free(f);
    }
    json_decref(order);
}

void api_pause(struct request *e)
{
    control(e, CONTROL_PAUSED, (const char *const[]){"account", "why", NULL});
}

void api_resume(struct request *e)
{
    control(e, CONTROL_GOES_ON, (const char *const[]){"account", NULL});
}
