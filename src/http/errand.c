/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "audit.h"
#include "desk.h"
#include "json_text.h"
#include "log.h"

#define ANSWER_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define RETRY_MS 1000 /* what is unavailable may be back by then */
#define FULL_SAID_NS (60 * NS_PER_S)
/* The memory for any request: its own state, its Redis commands, its short reply. */
#define VISIT_BYTES ((uint64_t)4096)

struct errand *errand_hold(struct errand *e)
{
    e->holds++;
    return e;
}

void errand_drop(struct errand *e)
{
    must(e->holds > 0);
    if (--e->holds)
        return;
    if (e->end)
        e->end(e);
    config_drop(e->config);
    quota_bill_close(&e->bill);
    e->in->errands--;
    list_remove(&e->link);
    free(e);
}

void errand_renew(struct errand *e)
{
    const struct config *old = e->config;

    e->config = config_hold(e->in->config);
    e->who = NULL;
    config_drop(old);
}

/* Logs the route instead of the path, because an id or a query in the path may be secret. */
static void say_answered(const struct errand *e, const struct answer *a)
{
    struct span method = visit_method(e->visit);

    log_debug("HTTP request answered",
              "status=%d method=%.*s route=\"%s\" producer=\"%s\" peer=%s bytes=%zu", a->status,
              (int)method.n, method.p, e->route ? e->route->path : "", e->who ? e->who->name : "",
              visit_peer(e->visit), a->body_bytes);
}

void errand_answer(struct errand *e, const struct answer *a)
{
    if (!e->visit || visit_answered(e->visit)) {
        free(a->body);
        return;
    }
    say_answered(e, a);
    e->answered = true;
    e->in->counts.by_status[a->status / 100]++;
    visit_answer(e->visit, a);
}

static struct answer json_answer(int status, char *text)
{
    return (struct answer){.status = status,
                           .type = "application/json",
                           .body = text,
                           .body_bytes = strlen(text),
                           .file = -1};
}

void errand_say(struct errand *e, int status, const char *json_fmt, ...)
{
    struct buf text;
    struct answer a;
    va_list ap;
    char few[512];
    int n;

    va_start(ap, json_fmt);
    n = vsnprintf(few, sizeof(few), json_fmt, ap);
    va_end(ap);
    must(n >= 0 && (size_t)n < sizeof(few)); /* longer replies are built with jansson */
    buf_init(&text, sizeof(few));
    buf_put(&text, span_of(few, (size_t)n));
    a = json_answer(status, buf_take(&text));
    errand_answer(e, &a);
}

void errand_say_json(struct errand *e, int status, struct json_t *j)
{
    errand_say_with(e, status, j, NULL);
}

void errand_say_with(struct errand *e, int status, struct json_t *j,
                     const struct answer_header *headers)
{
    char *text = json_text_line(j);
    struct answer a;

    json_decref(j);
    a = json_answer(status, text);
    for (size_t i = 0; headers && headers[i].name; i++) {
        must(i < ANSWER_HEADERS_MAX);
        a.headers[i] = headers[i];
    }
    errand_answer(e, &a);
}

/* -- refusing -- */

static const char *title_of(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {
        {400, "Bad Request"},       {401, "Unauthorized"},          {403, "Forbidden"},
        {404, "Not Found"},         {405, "Method Not Allowed"},    {409, "Conflict"},
        {413, "Content Too Large"}, {421, "Misdirected Request"},   {422, "Unprocessable Content"},
        {429, "Too Many Requests"}, {500, "Internal Server Error"}, {503, "Service Unavailable"}};

    for (size_t i = 0; i < array_len(titles); i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Error";
}

/* The error format that clients of Fastly's API expect: "msg" and "detail"; for an invalid batch,
 * "status" and "reason". */
static json_t *in_fastlys_voice(int status, const char *sentence)
{
    if (status == 401)
        return json_pack("{so}", "msg",
                         json_text_of("Provided credentials are missing or invalid"));
    if (status == 404)
        return json_pack("{soso}", "msg", json_text_of("Record not found"), "detail",
                         json_text_of(sentence));
    if (status == 400)
        return json_pack("{sosososo}", "status", json_text_of("fail"), "reason",
                         json_text_of(sentence), "msg", json_text_of("Bad request"), "detail",
                         json_text_of(sentence));
    return json_pack("{soso}", "msg", json_text_of(title_of(status)), "detail",
                     json_text_of(sentence));
}

static json_t *in_our_voice(int status, const char *sentence)
{
    return json_pack("{sososiso}", "type", json_text_of("about:blank"), "title",
                     json_text_of(title_of(status)), "status", status, "detail",
                     json_text_of(sentence));
}

/* Open routes are not audited: a failing health probe is no break-in attempt. */
void errand_audit(const struct errand *e, int status, const char *sentence)
{
    if (!e->route || e->route->access != ROUTE_OPEN)
        audit_refused(e->in->audit, e, status, sentence);
}

static void refuse(struct errand *e, int status, uint64_t retry_ms, const char *sentence)
{
    bool ours = !e->route || e->route->voice == ROUTE_OURS;
    char seconds[24], *text;
    struct answer a;
    size_t n = 0;
    json_t *j;

    if (!e->visit || visit_answered(e->visit))
        return;
    j = ours ? in_our_voice(status, sentence) : in_fastlys_voice(status, sentence);
    text = json_text_line(j);
    json_decref(j);
    a = json_answer(status, text);
    if (ours)
        a.type = "application/problem+json";
    if (status == 401)
        a.headers[n++] = (struct answer_header){"WWW-Authenticate", "Bearer"};
    if (retry_ms) {
        snprintf(seconds, sizeof(seconds), "%" PRIu64, (retry_ms + 999) / 1000);
        a.headers[n++] = (struct answer_header){"Retry-After", seconds};
    }
    errand_answer(e, &a);
}

void errand_refuse_later(struct errand *e, int status, uint64_t retry_ms, const char *sentence)
{
    if (!e->visit || visit_answered(e->visit))
        return;
    errand_audit(e, status, e->audited ? e->audited : sentence);
    refuse(e, status, retry_ms, sentence);
}

void errand_refuse(struct errand *e, int status, const char *sentence)
{
    errand_refuse_later(e, status, status == 503 || status == 429 ? RETRY_MS : 0, sentence);
}

/* -- memory -- */

static void open_bill(struct errand *e)
{
    struct ingress *in = e->in;
    bool unproven = e->route->access == ROUTE_OPEN || e->route->access == ROUTE_SIGNED;
    char party[160];

    if (unproven || gate_open(in->gate))
        snprintf(party, sizeof(party), "%s", visit_peer(e->visit));
    else
        snprintf(party, sizeof(party), "%.150s", e->who->name);
    quota_bill_open(unproven ? &in->unproven : &in->proven, party, &e->bill);
}

/* The largest body for which there can ever be enough memory. */
static uint64_t body_most(const struct errand *e, uint64_t most)
{
    uint64_t wanted = e->in->config->http.body_max_bytes;

    return min_u64(wanted, most - min_u64(most, VISIT_BYTES));
}

bool errand_enter(struct errand *e)
{
    open_bill(e);
    visit_bill(e->visit, &e->bill);
    if (e->route->access == ROUTE_SIGNED)
        visit_collect(e->visit, body_most(e, quota_most(&e->in->unproven)));
    else if (e->route->access != ROUTE_OPEN)
        visit_collect(e->visit, body_most(e, quota_most(&e->in->proven)));
    return errand_take(e, VISIT_BYTES);
}

bool errand_prove(struct errand *e, const struct config_producer *who, const char *party)
{
    e->who = who;
    return errand_move(e, party);
}

bool errand_move(struct errand *e, const char *party)
{
    uint64_t bytes = e->bill.bytes;
    bool fits;

    quota_bill_close(&e->bill);
    quota_bill_open(&e->in->proven, party, &e->bill);
    fits = quota_take(&e->bill, bytes);
    if (!fits) {
        quota_take_over(&e->bill, bytes); /* it uses memory until it is answered */
        errand_refuse_full(e);
    }
    return fits;
}

bool errand_take(struct errand *e, uint64_t bytes)
{
    if (quota_take(&e->bill, bytes))
        return true;
    errand_refuse_full(e);
    return false;
}

/* Not every refusal is logged, because many clients could then fill the log. */
void errand_refuse_full(struct errand *e)
{
    struct ingress *in = e->in;
    uint64_t now_ns = clock_mono_ns();

    in->counts.full++;
    if (in->full_said_ns == 0 || now_ns - in->full_said_ns > FULL_SAID_NS) {
        in->full_said_ns = now_ns;
        log_warn("HTTP requests in progress have used all their memory: new ones get 503",
                 "refused=%" PRIu64 " producers_bytes=%" PRIu64 " producers_max=%" PRIu64
                 " others_bytes=%" PRIu64 " others_max=%" PRIu64,
                 in->counts.full, in->proven.used, in->proven.max, in->unproven.used,
                 in->unproven.max);
    }
    refuse(e, 503, RETRY_MS,
           "too much is under way for the memory there is (memory_max); try again");
}

/* -- query and account -- */

struct span errand_query(const struct errand *e, const char *name)
{
    struct span rest = e->query, pair, want = span_str(name);

    while (span_next_word(&rest, '&', &pair)) {
        if (pair.n > want.n && pair.p[want.n] == '=' && span_eq(span_of(pair.p, want.n), want))
            return span_of(pair.p + want.n + 1, pair.n - want.n - 1);
    }
    return span_of(NULL, 0);
}

static const struct config_account *only_account(const struct errand *e)
{
    const struct config *c = e->config;
    const struct config_account *found = NULL;

    for (uint32_t i = 0; i < c->accounts_count; i++) {
        if (!gate_may_account(e->who, &c->accounts[i]))
            continue;
        if (found)
            return NULL;
        found = &c->accounts[i];
    }
    return found;
}

const struct config_account *errand_find_account(const struct errand *e, struct span name)
{
    const struct config *c = e->config;

    if (!name.p)
        return only_account(e);
    for (uint32_t i = 0; i < c->accounts_count; i++)
        if (span_is(name, c->accounts[i].name) && gate_may_account(e->who, &c->accounts[i]))
            return &c->accounts[i];
    return NULL;
}

const struct config_account *errand_account(struct errand *e, struct span name)
{
    const struct config_account *a = errand_find_account(e, name);

    if (a)
        return a;
    if (name.p)
        errand_refuse(e, 404, "account: no such account, or not for this producer");
    else
        errand_refuse(e, 400, "account: missing, and there is more than one");
    return NULL;
}
