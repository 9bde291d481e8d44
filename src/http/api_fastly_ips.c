/* SPDX-License-Identifier: MIT
 * GET /public-ip-list: the addresses of Fastly's caches. The list is fetched from Fastly at most
 * once an hour, and the last list stays valid while Fastly cannot be reached. Fastly requires no
 * token for it, so clients send none; and it counts against the limit of none.
 * https://www.fastly.com/documentation/reference/api/utils/public-ip-list/ */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "alloc.h"
#include "config_file.h"
#include "fetch.h"
#include "http_internal.h"
#include "log.h"
#include "thread.h"
#include "worker.h"

#define FRESH_NS (3600 * NS_PER_S)
#define AGAIN_NS                                                                                   \
    (5 * NS_PER_S) /* after a failure, so that clients cannot make us flood Fastly                 \
                    */
#define LIST_MAX_BYTES ((size_t)1024 * 1024)
#define WAITING_MAX 64u

struct api_ips {
    struct http_server *in;
    json_t *list;                         /* NULL: never read */
    uint64_t read_ns, asked_ns;           /* NEVER: not yet */
    struct error why;                     /* why the last query failed; "": it did not */
    bool said;                            /* failure logged since the last success */
    struct request *waiting[WAITING_MAX]; /* for the query in progress */
    uint32_t waiting_count;
    bool asking;
    /* used by the thread during the query */
    const struct config *config; /* held */
    const struct config_account *account;
    json_t *answer;
    uint64_t wait_ms; /* before the next query, as a 429 says */
};

struct api_ips *api_ips_new(struct http_server *in)
{
    struct api_ips *ips = alloc_zeroed(1, sizeof(*ips));

    ips->in = in;
    ips->read_ns = ips->asked_ns = NEVER;
    return ips;
}

void api_ips_free(struct api_ips *ips)
{
    if (!ips)
        return;
    must(!ips->asking);
    json_decref(ips->list);
    free(ips);
}

/* -- on a thread -- */

static bool is_list_of_texts(const json_t *list)
{
    const json_t *value;
    size_t i;

    json_array_foreach(list, i, value)
    {
        if (!json_is_string(value))
            return false;
    }
    return json_is_array(list);
}

/* NULL if the reply does not have the documented format. */
static json_t *list_of_ips(struct span body)
{
    json_t *doc = json_loadb(body.n ? body.p : "", body.n, 0, NULL), *list = NULL;
    json_t *four = json_object_get(doc, "addresses"), *six = json_object_get(doc, "ipv6_addresses");

    if (is_list_of_texts(four) && (!six || is_list_of_texts(six)))
        list = json_pack("{sOsO*}", "addresses", four, "ipv6_addresses", six);
    json_decref(doc);
    return list;
}

static void ask(void *ctx)
{
    struct api_ips *ips = ctx;
    struct fetch_secrets secrets = {NULL, NULL};
    struct buf body;
    char *auth;
    struct fetch_answer told = {0};

    ips->wait_ms = 0;
    ips->why.text[0] = '\0';
    ips->answer = NULL;
    if (config_read_proxy_auth(ips->account, &auth, &ips->why) < 0)
        return;
    secrets.proxy_auth = auth;
    buf_init(&body, LIST_MAX_BYTES);
    if (fetch(ips->account, &secrets, "/public-ip-list", &body, &told, &ips->why) < 0)
        ips->answer = NULL;
    else if (told.status != 200 || !(ips->answer = list_of_ips(buf_span(&body))))
        error_set(&ips->why, -EPROTO, "its answer is %d, or no list of addresses", told.status);
    ips->wait_ms = told.wait_ms;
    buf_deinit(&body);
    explicit_bzero(auth, strlen(auth));
    free(auth);
}

/* -- on the loop -- */

/* Anybody may send this request, so the reason of a failure is logged but not in the reply. */
static void answer_ips(struct api_ips *ips, struct request *e)
{
    if (ips->list)
        request_say_json(e, 200, json_incref(ips->list));
    else
        request_refuse(e, 503, "Fastly does not return its list of addresses");
}

static void take_answer(struct api_ips *ips)
{
    if (!ips->answer) {
        if (!ips->said)
            log_warn("The list of Fastly's addresses cannot be read", "account=%s why=\"%s\"",
                     ips->account->name, ips->why.text);
        ips->said = true;
        return;
    }
    json_decref(ips->list);
    ips->list = ips->answer;
    ips->answer = NULL;
    ips->read_ns = clock_mono_ns();
    ips->said = false;
}

static void on_asked(void *ctx)
{
    struct api_ips *ips = ctx;
    struct http_server *in = ips->in;

    ips->asking = false;
    take_answer(ips);
    config_drop(ips->config);
    for (uint32_t i = 0; i < ips->waiting_count; i++) {
        answer_ips(ips, ips->waiting[i]);
        request_drop(ips->waiting[i]);
    }
    ips->waiting_count = 0;
    in->tasks--;
    http_server_task_over(in);
}

static bool is_older(uint64_t then_ns, uint64_t age_ns)
{
    return then_ns == NEVER || clock_mono_ns() - then_ns > age_ns;
}

static void ask_fastly(struct api_ips *ips)
{
    ips->asking = true;
    ips->asked_ns = clock_mono_ns();
    ips->config = config_hold(ips->in->config);
    ips->account = &ips->config->accounts[0]; /* any account has access to the list */
    ips->in->tasks++;
    thread_work(ips->in->loop, ask, on_asked, ips);
}

static void answer_ips_late(struct request *e)
{
    request_refuse(e, 503, "Fastly does not answer");
}

static void await(struct api_ips *ips, struct request *e)
{
    if (ips->waiting_count == WAITING_MAX) {
        request_refuse(e, 503, "too many requests are waiting for the list already");
        return;
    }
    e->late = answer_ips_late;
    visit_set_patience(e->visit, ips->account->connect_timeout_ms + ips->account->timeout_ms);
    ips->waiting[ips->waiting_count++] = request_hold(e);
}

void api_fastly_ips(struct request *e)
{
    struct api_ips *ips = e->in->ips;

    if (!ips->asking && is_older(ips->read_ns, FRESH_NS) &&
        is_older(ips->asked_ns, max_u64(AGAIN_NS, ips->wait_ms * NS_PER_MS)) &&
        task_has_room(e->in))
        ask_fastly(ips);
    if (ips->list || (!ips->asking && ips->why.text[0]))
        answer_ips(ips, e);
    else if (ips->asking)
        await(ips, e);
    else
        request_refuse(e, 503, "too many requests of this kind are in progress");
}
