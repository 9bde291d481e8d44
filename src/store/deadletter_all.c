/* SPDX-License-Identifier: MIT
 * Retries, drops or counts all dead letters that pass a filter, page by page. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "control.h"
#include "deadletter_internal.h"
#include "json_text.h"
#include "keys.h"
#include "page_guard.h"

/* What a call of deadletter_act_all has to do. */
struct acting {
    const char *account;
    const struct deadletter_filter *filter;
    enum deadletter_act act;
    enum deadletter_how how;
    const char *last; /* the newest letter that may be meant */
    uint64_t page;
    struct page_guard guard;
    uint64_t done;
};

/* Those of the page that are meant. The next command frees the entries. */
static size_t meant_of(const struct acting *x, const struct redisReply *entries,
                       struct letter_id ids[DEADLETTER_AT_ONCE])
{
    size_t n = 0;

    for (size_t i = 0; i < reply_count(entries); i++) {
        struct deadletter letter;

        deadletter_read(reply_at(entries, i), &letter);
        if (deadletter_filter_passes(x->filter, &letter) &&
            (x->act == DEADLETTER_DROP || deadletter_has_job(&letter)))
            ids[n++] = deadletter_id_of(reply_at(entries, i));
        deadletter_forget(&letter);
    }
    return n;
}

static int read_page(struct client *c, struct acting *x, const char *from,
                     struct redisReply **entries)
{
    char *key = redis_key(x->account, "dead"),
         *most = alloc_printf("%llu", (unsigned long long)x->page);
    int rc = client_ask_words(
        c, (const char *const[]){"XRANGE", key, from, x->last, "COUNT", most, NULL}, entries);

    free(key);
    free(most);
    return rc == 0 ? page_guard_check(&x->guard, c, *entries) : rc;
}

/* Handles letters from the oldest to `last`. Letters that are added meanwhile are newer and stay.
 */
static int act_page(struct client *c, struct acting *x, const char *from, char **next)
{
    struct letter_id ids[DEADLETTER_AT_ONCE] = {0};
    struct redisReply *entries;
    struct span id;
    size_t n;
    int rc = read_page(c, x, from, &entries);

    *next = NULL;
    if (rc < 0 || reply_count(entries) == 0)
        return rc;
    if (reply_count(entries) > DEADLETTER_AT_ONCE)
        return client_distrust(c);
    x->page = deadletter_page(reply_count(entries), deadletter_bytes_of(entries));
    id = reply_text(reply_at(reply_at(entries, reply_count(entries) - 1), 0));
    *next = alloc_printf("(%.*s", (int)id.n, id.p);
    n = meant_of(x, entries, ids);
    if (x->how == DEADLETTER_COUNT)
        x->done += n;
    else
        rc = deadletter_act_some(c, x->account, x->act, ids, n, &x->done);
    deadletter_free_ids(ids, n);
    return rc;
}

static int act_pages(struct client *c, struct acting *x)
{
    char *from =
             x->filter->since_ms ? alloc_printf("%" PRIu64, x->filter->since_ms) : alloc_str("-"),
         *next;
    int rc;

    do {
        rc = act_page(c, x, from, &next);
        free(from);
        from = next;
    } while (rc == 0 && next);
    free(from);
    return rc;
}

/* The newest letter; "" if there is none. */
static int read_newest(struct client *c, const char *account, char newest[DEADLETTER_ID_ROOM])
{
    struct redisReply *r;
    struct span id;
    int rc = deadletter_read_back(c, account, "+", 1, &r);

    *newest = '\0';
    if (rc < 0 || reply_count(r) == 0)
        return rc;
    id = reply_text(reply_at(reply_at(r, 0), 0));
    snprintf(newest, DEADLETTER_ID_ROOM, "%.*s", (int)id.n, id.p);
    return 0;
}

/* -- the line of the history -- */

static void filter_text(json_t *j, const char *name, struct span text)
{
    if (text.n)
        json_object_set_new(j, name, json_text(text));
}

static void filter_ms(json_t *j, const char *name, uint64_t ms)
{
    if (ms)
        json_object_set_new(j, name, json_integer((json_int_t)ms));
}

static json_t *filter_json(const struct deadletter_filter *f)
{
    json_t *j = json_object();

    filter_text(j, "reason", f->reason);
    filter_text(j, "target", f->target);
    filter_text(j, "service", f->service);
    filter_text(j, "producer", f->producer);
    filter_ms(j, "since", f->since_ms);
    filter_ms(j, "until", f->until_ms);
    return j;
}

void deadletter_note(struct client *c, const struct actor *who, enum deadletter_act act,
                     const struct deadletter_filter *meant, uint64_t done, int rc)
{
    json_t *line, *filter;

    if (done == 0 || rc == -ENOTCONN || !act_is_noted(who))
        return;
    line = act_line(who, act == DEADLETTER_RETRY ? "dead_retry" : "dead_drop");
    json_object_set_new(line, "count", json_integer((json_int_t)done));
    filter = meant ? filter_json(meant) : NULL;
    if (filter && json_object_size(filter) == 0)
        json_object_set_new(line, "all", json_true());
    else if (filter)
        json_object_set(line, "filter", filter);
    json_decref(filter);
    act_note(c, who, line);
}

int deadletter_act_all(struct client *c, const struct actor *who, const struct deadletter_filter *f,
                       enum deadletter_act act, enum deadletter_how how, uint64_t *done,
                       char up_to[DEADLETTER_ID_ROOM])
{
    const char *account = who->account->name;
    struct acting x = {
        .account = account, .filter = f, .act = act, .how = how, .page = DEADLETTER_PAGE_FIRST};
    char *key = redis_key(account, "dead"), newest[DEADLETTER_ID_ROOM] = "";
    int rc = page_guard_begin(&x.guard, c, key);

    free(key);
    *done = 0;
    if (rc == 0)
        rc = read_newest(c, account, newest);
    x.last = f->up_to ? f->up_to : newest;
    if (rc == 0 && *newest)
        rc = act_pages(c, &x);
    *done = x.done;
    if (up_to)
        snprintf(up_to, DEADLETTER_ID_ROOM, "%s", *newest ? x.last : "");
    if (how == DEADLETTER_DO)
        deadletter_note(c, who, act, f, x.done, rc);
    return rc == 0 && x.done == 0 && how == DEADLETTER_DO ? control_confirm(c, account) : rc;
}
