/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "audit.h"
#include "http_internal.h"
#include "json_text.h"
#include "log.h"
#include "query.h"

#define ANSWER_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define RETRY_MS 1000 /* what is unavailable may be back by then */
#define FULL_SAID_NS (60 * NS_PER_S)
/* The memory for any request: its own state, its Redis commands, its short reply. */
#define VISIT_BYTES ((uint64_t)4096)

struct request *request_hold(struct request *e)
{
    e->holds++;
    return e;
}

void request_drop(struct request *e)
{
    must(e->holds > 0);
    if (--e->holds)
        return;
    if (e->end)
        e->end(e);
    buf_deinit(&e->params);
    config_drop(e->config);
    quota_bill_close(&e->bill);
    e->in->requests--;
    list_remove(&e->link);
    free(e);
}

void request_renew(struct request *e)
{
    const struct config *old = e->config;

    e->config = config_hold(e->in->config);
    e->who = NULL;
    config_drop(old);
}

/* Logs the route instead of the path, because an id or a query in the path may be secret. */
static void say_answered(const struct request *e, const struct answer *a)
{
    struct span method = visit_method(e->visit);

    log_debug("HTTP request answered",
              "status=%d method=%.*s route=\"%s\" producer=\"%s\" peer=%s bytes=%zu", a->status,
              (int)method.n, method.p, e->route ? e->route->path : "", e->who ? e->who->name : "",
              visit_peer(e->visit), a->body_bytes);
}

void request_answer(struct request *e, const struct answer *a)
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

void request_say(struct request *e, int status, const char *json_fmt, ...)
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
    request_answer(e, &a);
}

void request_say_json(struct request *e, int status, struct json_t *j)
{
    request_say_with(e, status, j, NULL);
}

void request_say_with(struct request *e, int status, struct json_t *j,
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
    request_answer(e, &a);
}

/* -- refusing -- */

static const char *title_of(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {{400, "Bad Request"},         {401, "Unauthorized"},
                  {403, "Forbidden"},           {404, "Not Found"},
                  {405, "Method Not Allowed"},  {409, "Conflict"},
                  {413, "Content Too Large"},   {415, "Unsupported Media Type"},
                  {421, "Misdirected Request"}, {422, "Unprocessable Content"},
                  {429, "Too Many Requests"},   {500, "Internal Server Error"},
                  {503, "Service Unavailable"}};

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
void request_audit(const struct request *e, int status, const char *sentence)
{
    if (!e->route || e->route->access != ROUTE_OPEN)
        audit_refused(e->in->audit, e, status, sentence);
}

static void answer_refusal(struct request *e, int status, uint64_t retry_ms, const char *sentence)
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
    request_answer(e, &a);
}

void request_refuse_later(struct request *e, int status, uint64_t retry_ms, const char *sentence)
{
    if (!e->visit || visit_answered(e->visit))
        return;
    request_audit(e, status, e->audited ? e->audited : sentence);
    answer_refusal(e, status, retry_ms, sentence);
}

void request_refuse(struct request *e, int status, const char *sentence)
{
    request_refuse_later(e, status, status == 503 || status == 429 ? RETRY_MS : 0, sentence);
}

/* -- memory -- */

static void open_request_bill(struct request *e)
{
    struct http_server *in = e->in;
    bool unproven = e->route->access == ROUTE_OPEN || e->route->access == ROUTE_SIGNED;
    char party[160];

    if (unproven || auth_open(in->auth))
        snprintf(party, sizeof(party), "%s", visit_peer(e->visit));
    else
        snprintf(party, sizeof(party), "%.150s", e->who->name);
    quota_bill_open(unproven ? &in->unproven : &in->proven, party, &e->bill);
}

/* The largest body for which there can ever be enough memory. */
static uint64_t body_most(const struct request *e, uint64_t most)
{
    uint64_t wanted = e->in->config->http.body_max_bytes;

    return min_u64(wanted, most - min_u64(most, VISIT_BYTES));
}

bool request_enter(struct request *e)
{
    open_request_bill(e);
    visit_bill(e->visit, &e->bill);
    if (e->route->access == ROUTE_SIGNED)
        visit_collect(e->visit, body_most(e, quota_most(&e->in->unproven)));
    else if (e->route->access != ROUTE_OPEN)
        visit_collect(e->visit, body_most(e, quota_most(&e->in->proven)));
    return request_take(e, VISIT_BYTES);
}

bool request_prove(struct request *e, const struct config_producer *who, const char *party)
{
    e->who = who;
    return request_move(e, party);
}

bool request_move(struct request *e, const char *party)
{
    uint64_t bytes = e->bill.bytes;
    bool fits;

    quota_bill_close(&e->bill);
    quota_bill_open(&e->in->proven, party, &e->bill);
    fits = quota_take(&e->bill, bytes);
    if (!fits) {
        quota_take_over(&e->bill, bytes); /* it uses memory until it is answered */
        request_refuse_full(e);
    }
    return fits;
}

static bool take(struct request *e, uint64_t bytes, const char *what)
{
    uint64_t room;
    char why[160];

    if (quota_take(&e->bill, bytes))
        return true;
    room = quota_bill_room(&e->bill);
    if (bytes <= room) {
        request_refuse_full(e);
        return false;
    }
    snprintf(why, sizeof(why),
             "%s %" PRIu64 " bytes of memory in addition to its text, and %" PRIu64
             " is the most (a part of memory_max)",
             what, bytes, room);
    request_refuse(e, 413, why);
    return false;
}

bool request_take(struct request *e, uint64_t bytes)
{
    return take(e, bytes, "the request needs");
}

bool request_take_parsed(struct request *e, uint64_t bytes)
{
    return take(e, bytes, "the JSON needs");
}

/* Not every refusal is logged, because many clients could then fill the log. */
void request_refuse_full(struct request *e)
{
    struct http_server *in = e->in;
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
    answer_refusal(e, 503, RETRY_MS,
                   "too much is under way for the memory there is (memory_max); try again");
}

/* -- query and account -- */

static bool is_compression(struct span coding)
{
    static const char *const names[] = {"gzip",       "x-gzip", "deflate", "compress",
                                        "x-compress", "br",     "zstd"};

    for (size_t i = 0; i < array_len(names); i++)
        if (span_eq_nocase(coding, span_str(names[i])))
            return true;
    return false;
}

/* What else stands there is no coding: some clients write "utf-8". */
bool request_body_is_plain(struct request *e)
{
    struct span codings = visit_header(e->visit, "Content-Encoding"), one;

    while (span_next_word(&codings, ',', &one)) {
        if (!is_compression(span_trim(one)))
            continue;
        request_refuse(e, 415,
                       "Content-Encoding: send the body as it is, without gzip or the like");
        return false;
    }
    return true;
}

/* Fastly's clients may send parameters that only Fastly knows. */
bool request_read_query(struct request *e)
{
    const struct route *r = e->route;
    char why[160];

    if (!r->query || e->query.n == 0)
        return true;
    if (!request_take(e, 2 * e->query.n))
        return false;
    if (query_decode(e->query, &e->params) < 0)
        request_refuse(e, 400, "the query contains a NUL byte (%00)");
    else if (r->voice == ROUTE_OURS && r->access != ROUTE_OPEN &&
             query_fault(buf_span(&e->params), r->query, why, sizeof(why)))
        request_refuse(e, 400, why);
    else
        return true;
    return false;
}

struct span request_query(const struct request *e, const char *name)
{
    return query_find(buf_span(&e->params), name);
}

static const struct config_account *only_account(const struct request *e)
{
    const struct config *c = e->config;
    const struct config_account *found = NULL;

    for (uint32_t i = 0; i < c->accounts_count; i++) {
        if (!auth_may_account(e->who, &c->accounts[i]))
            continue;
        if (found)
            return NULL;
        found = &c->accounts[i];
    }
    return found;
}

const struct config_account *request_find_account(const struct request *e, struct span name)
{
    const struct config *c = e->config;

    if (!name.p)
        return only_account(e);
    for (uint32_t i = 0; i < c->accounts_count; i++)
        if (span_is(name, c->accounts[i].name) && auth_may_account(e->who, &c->accounts[i]))
            return &c->accounts[i];
    return NULL;
}

const struct config_account *request_account(struct request *e, struct span name)
{
    const struct config_account *a = request_find_account(e, name);

    if (a)
        return a;
    if (name.p)
        request_refuse(e, 404, "account: no such account, or not for this producer");
    else
        request_refuse(e, 400, "account: missing, and there is more than one");
    return NULL;
}
