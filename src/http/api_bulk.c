/* SPDX-License-Identifier: MIT
 * POST /v1/purge/bulk: any number of jobs as JSON lines. They are pushed as they arrive, and the
 * number of lines that Redis has not answered yet is limited. The reply has one result for each
 * line, in the order of the lines.
 *
 *   parts ─▶ lines ─▶ job ─▶ ring of lines in progress ─▶ Redis
 *     ▲                            │ oldest first
 *     └── paused when it is full   └─▶ results (a spill) ─▶ the reply */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "http_internal.h"
#include "json_text.h"
#include "log.h"
#include "spill.h"

#define LINE_MAX_BYTES ((size_t)1024 * 1024)
#define PENDING_MAX 4096u                           /* lines */
#define PENDING_MAX_BYTES ((size_t)8 * 1024 * 1024) /* of lines that Redis has not answered */
#define REST_KEPT_BYTES ((size_t)64 * 1024)
#define LINE_BYTES ((size_t)768)       /* of each line, in addition to its text */
#define STREAMS_FED 16u                /* at once, each up to bytes_max; more streams take turns */
#define FAIR_BYTES ((size_t)64 * 1024) /* a stream with more in progress lets others go first */
#define PATIENCE_MS 30000u

enum line_state { LINE_SENT, LINE_TAKEN, LINE_REFUSED, LINE_BLANK };

struct line {
    struct list link; /* in the bulk's list, oldest first */
    struct bulk *bulk;
    enum line_state state;
    size_t bytes; /* on the bulk's bill */
    char job[56];
    char *error;
    bool retry; /* the line is valid and may be sent again */
};

struct bulk {
    struct request *request;
    const struct config_account *account; /* unless a line names another */
    struct list waiting;                  /* in in->bulks_waiting while there is no room for it */
    struct buf rest;                      /* the beginning of an incomplete line; on the bill */
    bool skips;                           /* the incomplete line is too long */
    bool over;                            /* the body is complete */
    bool paused;                          /* it has reached the limits of one stream */
    bool stopped;                         /* there is no room for results: the rest is dropped */
    bool minimal;           /* Prefer: return=minimal: only refused lines and the sums */
    struct list lines;      /* in progress */
    uint64_t first, next;   /* line numbers: of the oldest, and of the next to come */
    size_t bytes;           /* of the lines in progress */
    size_t bytes_max;       /* limit for the bytes of this stream */
    struct quota_bill bill; /* for these bytes */
    uint64_t taken, refused;
    struct spill results;
    int failed; /* negative errno: the results cannot be stored */
};

/* -- results -- */

static void put_result(struct bulk *b, struct span text)
{
    if (b->failed == 0)
        b->failed = spill_put(&b->results, text);
}

static void tell_refused(struct bulk *b, uint64_t number, const struct line *l)
{
    json_t *j = json_pack("{sIso}", "line", (json_int_t)number, "error", json_text_of(l->error));
    char *text;

    if (l->retry)
        json_object_set_new(j, "retry", json_true());
    text = json_text_line(j);
    put_result(b, span_str(text));
    put_result(b, SPAN("\n"));
    free(text);
    json_decref(j);
}

static void tell_taken(struct bulk *b, uint64_t number, const struct line *l)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "{\"line\":%" PRIu64 ",\"job\":\"%s\"}\n", number, l->job);

    must(n > 0 && (size_t)n < sizeof(text));
    put_result(b, span_of(text, (size_t)n));
}

static void log_bulk(const struct bulk *b)
{
    char why[80];

    snprintf(why, sizeof(why), "%" PRIu64 " of %" PRIu64 " jobs were refused", b->refused,
             b->refused + b->taken);
    if (b->refused)
        request_audit(b->request, 200, why);
}

static void put_sums(struct bulk *b, struct answer *a)
{
    char sums[400];
    int n = snprintf(sums, sizeof(sums), "{\"accepted\":%" PRIu64 ",\"refused\":%" PRIu64, b->taken,
                     b->refused);

    if (b->stopped) {
        bool own = b->results.file_bytes > quota_most(&b->request->in->files) / 2;

        a->status = own ? 413 : 503;
        a->headers[0] =
            own ? (struct answer_header){0} : (struct answer_header){"Retry-After", "10"};
        n += snprintf(sums + n, sizeof(sums) - (size_t)n,
                      ",\"error\":\"there is no room for more results (http.results_max): push the "
                      "rest from next_line on, in another push or with Prefer: return=minimal\","
                      "\"next_line\":%" PRIu64,
                      b->next);
    }
    must(n > 0 && (size_t)n < sizeof(sums) - 2);
    memcpy(sums + n, "}\n", sizeof("}\n"));
    put_result(b, span_str(sums));
}

static void refuse_failed(struct bulk *b)
{
    char why[300];

    log_error("The results of a bulk push cannot be stored", "why=\"%s\"", strerror(-b->failed));
    snprintf(why, sizeof(why),
             "the results cannot be kept: %.80s; of the lines before %" PRIu64 " %" PRIu64
             " were accepted, push those and the rest again, with Prefer: return=minimal",
             strerror(-b->failed), b->next, b->taken);
    request_refuse(b->request, 500, why);
}

static void answer_if_done(struct bulk *b)
{
    struct request *e = b->request;
    struct answer a = {.status = 200, .type = "application/x-ndjson", .file = -1};

    if (!(b->over || b->failed) || b->first < b->next || !e->visit || visit_answered(e->visit))
        return;
    put_sums(b, &a);
    if (b->failed == 0)
        b->failed = spill_answer(&b->results, &a);
    if (b->failed) {
        refuse_failed(b);
        return;
    }
    log_bulk(b);
    request_answer(e, &a);
}

static void free_line(struct line *l)
{
    struct bulk *b = l->bulk;

    list_remove(&l->link);
    b->bytes -= l->bytes;
    quota_give(&b->bill, l->bytes);
    free(l->error);
    free(l);
}

static void go_on(struct bulk *b)
{
    b->paused = false;
    if (b->request->visit)
        visit_continue(b->request->visit);
}

/* Writes the results of the oldest lines, up to the first line without an answer, and continues
 * reading when there is room again. */
static void advance(struct bulk *b)
{
    while (!list_empty(&b->lines)) {
        struct line *l = list_first(&b->lines, struct line, link);

        if (l->state == LINE_SENT)
            break;
        b->taken += l->state == LINE_TAKEN;
        b->refused += l->state == LINE_REFUSED;
        if (l->state == LINE_REFUSED)
            tell_refused(b, b->first, l);
        else if (l->state == LINE_TAKEN && !b->minimal)
            tell_taken(b, b->first, l);
        free_line(l);
        b->first++;
    }
    if (b->paused && b->next - b->first <= PENDING_MAX / 2 && b->bytes <= b->bytes_max / 2)
        go_on(b);
    answer_if_done(b);
}

/* Memory was returned: the waiting streams try again, in the order in which they began to wait. */
void api_bulk_room(struct http_server *in)
{
    struct list waiting, *node;

    list_init(&waiting);
    list_splice_back(&waiting, &in->bulks_waiting);
    while ((node = list_pop_front(&waiting)))
        go_on(list_entry(node, struct bulk, waiting));
}

/* -- lines -- */

enum line_retry { LINE_IS_WRONG, LINE_MAY_COME_AGAIN };

static void refuse_line(struct line *l, const char *why, enum line_retry retry)
{
    l->state = LINE_REFUSED;
    l->error = alloc_str(why);
    l->retry = retry == LINE_MAY_COME_AGAIN;
}

static void on_line_put(void *ctx, const struct submit_result *r)
{
    struct line *l = ctx;
    struct bulk *b = l->bulk;
    char why[200];

    if (r->outcome == SUBMIT_ACCEPTED) {
        l->state = LINE_TAKEN;
        snprintf(l->job, sizeof(l->job), "%s", r->job);
    } else if (r->outcome == SUBMIT_REFUSED) {
        refuse_line(l, r->why, LINE_MAY_COME_AGAIN);
    } else if (r->outcome == SUBMIT_UNREPLICATED) {
        snprintf(why, sizeof(why), "%.120s: it is not accepted, though it may be purged", r->why);
        refuse_line(l, why, LINE_MAY_COME_AGAIN);
    } else {
        refuse_line(l, "Redis gave no answer: whether it has the job is not known",
                    LINE_MAY_COME_AGAIN);
    }
    advance(b);
    request_drop(b->request);
}

/* A Redis command may be longer than its line, because it contains the name of each field. */
static void count_command(struct line *l, size_t bytes)
{
    size_t more = bytes > l->bytes ? bytes - l->bytes : 0;

    quota_take_over(&l->bulk->bill, more);
    l->bytes += more;
    l->bulk->bytes += more;
}

static void push_line(struct bulk *b, struct line *l, struct span text)
{
    struct request *e = b->request;
    struct jobform *f = &e->in->form;
    const struct config_account *a = b->account;
    struct job_spec spec;
    uint64_t retry_ms;
    struct error err;
    int status = 400;

    if (api_read_form(e->in, text, &err) == 0) {
        if (f->account.p)
            a = request_find_account(e, f->account);
        if (a)
            status = api_check(e, a, f, &spec, &retry_ms, &err);
        else
            error_set(&err, -ENOENT, "account: missing or not known");
    }
    if (status == 0 && api_redis_fault(e, a)) {
        status = 503;
        error_set(&err, -ENOTCONN, "%s", api_redis_fault(e, a));
    }
    if (status) {
        refuse_line(l, err.text,
                    status == 503 || status == 429 ? LINE_MAY_COME_AGAIN : LINE_IS_WRONG);
        return;
    }
    api_audit_all(e, a, &spec);
    count_command(l, api_put_bytes(f));
    l->state = LINE_SENT;
    request_hold(e);
    api_put(e, a, f, on_line_put, l);
}

/* `bytes` are already on the bill. */
static void take_line(struct bulk *b, struct span text, size_t bytes)
{
    struct line *l = alloc_zeroed(1, sizeof(*l));

    *l = (struct line){.bulk = b, .state = LINE_REFUSED, .bytes = bytes};
    list_push_back(&b->lines, &l->link);
    b->next++;
    b->bytes += bytes;
    text = span_trim(text);
    if (b->skips)
        refuse_line(l, "longer than 1 MiB", LINE_IS_WRONG);
    else if (text.n)
        push_line(b, l, text);
    else
        l->state = LINE_BLANK;
    b->skips = false;
}

/* `head` is the last part of the line; the parts before it are in b->rest. It is already on the
 * bill. */
static void end_line(struct bulk *b, struct span head)
{
    size_t bytes = b->rest.n + head.n + LINE_BYTES;

    if (b->rest.n == 0 && !b->skips) {
        take_line(b, head, bytes);
        return;
    }
    if (!b->skips && buf_try_put(&b->rest, head) < 0)
        b->skips = true;
    take_line(b, buf_span(&b->rest), bytes);
    if (b->rest.room > REST_KEPT_BYTES)
        buf_deinit(&b->rest);
    buf_clear(&b->rest);
}

/* Keeps a part of a line that has not ended. The part stays on the bill, unless the line is too
 * long and the part is dropped. */
static void keep_rest(struct bulk *b, struct span text)
{
    if (b->skips || buf_try_put(&b->rest, text) < 0) {
        b->skips = true;
        quota_give(&b->bill, text.n);
    }
}

/* Whether there is room for one more line, or for another part of one: for its result, within the
 * stream's limits, and on the bill. If not, the stream notes what it waits for. */
static bool has_room_to_read(struct bulk *b, size_t bytes)
{
    struct list *waiting = &b->request->in->bulks_waiting;
    bool others_first = !list_empty(waiting) && b->bytes > FAIR_BYTES;

    b->stopped = b->stopped || b->results.full || b->failed;
    b->paused = b->next - b->first >= PENDING_MAX || b->bytes >= b->bytes_max;
    if (b->stopped || b->paused)
        return false;
    if (!others_first && quota_take(&b->bill, bytes))
        return true;
    list_push_back(waiting, &b->waiting);
    return false;
}

static void on_bulk_part(struct request *e, struct span part, size_t *taken)
{
    struct bulk *b = e->state;
    struct span left = part;

    while (left.n) {
        const char *end = memchr(left.p, '\n', left.n);
        size_t n = end ? (size_t)(end - left.p) : left.n;

        if (!has_room_to_read(b, n + (end ? LINE_BYTES : 0)))
            break;
        if (end)
            end_line(b, span_of(left.p, n));
        else
            keep_rest(b, left);
        n += end ? 1 : 0;
        left = span_of(left.p + n, left.n - n);
    }
    /* A long reply can only be sent after the whole body: the rest is read and dropped. */
    *taken = b->stopped ? part.n : part.n - left.n;
    advance(b);
}

void api_bulk_end(struct request *e)
{
    struct bulk *b = e->state;

    if (!b->stopped && (b->rest.n || b->skips)) {
        quota_take_over(&b->bill, LINE_BYTES); /* the body is over, so this cannot wait */
        end_line(b, SPAN(""));
    }
    b->over = true;
    advance(b);
}

/* -- begin, reload, end -- */

static void on_bulk_late(struct request *e)
{
    const struct bulk *b = e->state;

    if (!list_empty(&b->waiting))
        request_refuse_full(e);
    else
        request_refuse(
            e, 503,
            "Redis does not answer, so it is unknown which of these jobs it stored; push "
            "them again");
}

/* The results of single lines are lost. The client gets no 200 and must push again what was not
 * confirmed. */
static void on_bulk_withdrawn(struct request *e, int status, const char *why)
{
    const struct bulk *b = e->state;
    char sentence[300];

    snprintf(sentence, sizeof(sentence),
             "%s; nothing behind line %" PRIu64 " was taken; of the lines before, %" PRIu64
             " are known to be accepted",
             why, b->next - 1, b->taken);
    request_refuse(e, status, sentence);
}

/* The scopes have changed: lines that name no account may now belong to another account, or to
 * none. */
static void on_renewed(struct request *e)
{
    struct bulk *b = e->state;

    b->account = request_find_account(e, request_query(e, "account"));
}

static void end_bulk(struct request *e)
{
    struct bulk *b = e->state;

    while (!list_empty(&b->lines))
        free_line(list_first(&b->lines, struct line, link));
    list_remove(&b->waiting);
    quota_bill_close(&b->bill);
    buf_deinit(&b->rest);
    spill_deinit(&b->results);
    free(b);
}

static void take_return(void *ctx, struct span value)
{
    struct bulk *b = ctx;
    struct span part;

    while (span_next_word(&value, ',', &part))
        b->minimal |= span_eq_nocase(span_trim(part), SPAN("return=minimal"));
}

/* In the quota, a producer's streams, their lines and its single jobs are separate parties: however
 * many lines wait, there is room for another stream and for a single job. */
static void open_bulk_bill(struct bulk *b)
{
    struct request *e = b->request;
    char party[180];

    snprintf(party, sizeof(party), "lines of %.100s %.60s", e->who->name,
             auth_open(e->in->auth) ? visit_peer(e->visit) : "");
    quota_bill_open(&e->in->proven, party, &b->bill);
    b->bytes_max = min_u64(PENDING_MAX_BYTES, quota_most(&e->in->proven) / STREAMS_FED);
}

/* False if the request was refused. */
static bool enter(struct request *e)
{
    char party[180];

    snprintf(party, sizeof(party), "streams of %.100s %.60s", e->who->name,
             auth_open(e->in->auth) ? visit_peer(e->visit) : "");
    return request_move(e, party) && request_take(e, SPILL_MEMORY_BYTES);
}

void api_bulk_begin(struct request *e)
{
    struct span name = request_query(e, "account");
    struct bulk *b;

    if (name.p && !request_find_account(e, name)) {
        request_refuse(e, 404, "account: no such account, or not for this producer");
        return;
    }
    if (!enter(e))
        return;
    b = alloc_zeroed(1, sizeof(*b));
    list_init(&b->lines);
    list_init(&b->waiting);
    b->request = e;
    open_bulk_bill(b);
    b->account = request_find_account(e, name);
    b->first = b->next = 1;
    buf_init(&b->rest, LINE_MAX_BYTES);
    spill_init(&b->results, &e->in->files, e->who->name);
    visit_headers_named(e->visit, "Prefer", take_return, b);
    e->state = b;
    e->part = on_bulk_part;
    e->late = on_bulk_late;
    e->withdrawn = on_bulk_withdrawn;
    e->renewed = on_renewed;
    e->end = end_bulk;
    visit_stream(e->visit);
    visit_set_patience(e->visit, PATIENCE_MS);
}
