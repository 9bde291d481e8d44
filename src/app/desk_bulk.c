/* SPDX-License-Identifier: MIT
 * POST /v1/purge/bulk: jobs as JSON lines, as many as one likes. They are taken as they come, so
 * many at once are on their way to Redis and no more; the results, one for each line and in their
 * order, are the answer.
 *
 *   parts ─▶ lines ─▶ job ─▶ ring of lines under way ─▶ Redis
 *     ▲                            │ oldest first
 *     └── paused when it is full   └─▶ results (a spool) ─▶ the answer */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "desk.h"
#include "json_text.h"
#include "log.h"
#include "spool.h"

#define LINE_MAX_BYTES ((size_t)1024 * 1024)
#define UNDER_WAY_MAX 4096u                           /* lines; a power of two */
#define BYTES_UNDER_WAY_MAX ((size_t)8 * 1024 * 1024) /* of lines that Redis has not answered */
#define PATIENCE_MS 30000u

enum line_state { LINE_SENT, LINE_TAKEN, LINE_REFUSED, LINE_BLANK };

struct line {
    struct bulk *bulk;
    enum line_state state;
    size_t bytes;
    char job[56];
    char *error;
    bool retry; /* nothing is wrong with the line */
};

struct bulk {
    struct errand *errand;
    const struct config_account *account; /* unless a line names another */
    struct buf rest;                      /* of a line that has not ended */
    bool skips;                           /* that line is too long */
    bool over;                            /* the body is there */
    bool paused;
    bool minimal;         /* Prefer: return=minimal: only what was refused, and the sums */
    uint64_t first, next; /* lines under way: numbers of the oldest, and of the next to come */
    size_t bytes;         /* of them */
    uint64_t taken, refused;
    struct spool results;
    int failed; /* the results cannot be kept: errno */
    struct line ring[UNDER_WAY_MAX];
};

static struct line *line_at(struct bulk *b, uint64_t number)
{
    return &b->ring[number % UNDER_WAY_MAX];
}

/* -- results -- */

static void put_result(struct bulk *b, struct span text)
{
    if (b->failed == 0)
        b->failed = spool_put(&b->results, text);
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

static void audit(const struct bulk *b)
{
    char why[80];

    snprintf(why, sizeof(why), "%" PRIu64 " of %" PRIu64 " jobs were refused", b->refused,
             b->refused + b->taken);
    if (b->refused)
        errand_audit(b->errand, 200, why);
}

static void answer_if_done(struct bulk *b)
{
    struct errand *e = b->errand;
    struct answer a = {.status = 200, .type = "application/x-ndjson", .file = -1};
    char sums[128];

    if (!b->over || b->first < b->next || !e->visit || visit_answered(e->visit))
        return;
    snprintf(sums, sizeof(sums), "{\"accepted\":%" PRIu64 ",\"refused\":%" PRIu64 "}\n", b->taken,
             b->refused);
    put_result(b, span_str(sums));
    if (b->failed == 0)
        b->failed = spool_answer(&b->results, &a);
    if (b->failed) {
        log_error("The results of a bulk push cannot be kept", "why=\"%s\"", strerror(-b->failed));
        errand_refuse(e, 500,
                      "the results cannot be kept: the disk is full; what was accepted is "
                      "not known, push again");
        return;
    }
    audit(b);
    errand_answer(e, &a);
}

/* Tells what is known of the oldest lines, and lets more come when there is room again. */
static void advance(struct bulk *b)
{
    while (b->first < b->next && line_at(b, b->first)->state != LINE_SENT) {
        struct line *l = line_at(b, b->first);

        b->taken += l->state == LINE_TAKEN;
        b->refused += l->state == LINE_REFUSED;
        if (l->state == LINE_REFUSED)
            tell_refused(b, b->first, l);
        else if (l->state == LINE_TAKEN && !b->minimal)
            tell_taken(b, b->first, l);
        b->bytes -= l->bytes;
        free(l->error);
        l->error = NULL;
        b->first++;
    }
    if (b->paused && b->next - b->first <= UNDER_WAY_MAX / 2 &&
        b->bytes <= BYTES_UNDER_WAY_MAX / 2) {
        b->paused = false;
        if (b->errand->visit)
            visit_continue(b->errand->visit);
    }
    answer_if_done(b);
}

/* -- lines -- */

static void refuse_line(struct line *l, const char *why, bool retry)
{
    l->state = LINE_REFUSED;
    l->error = alloc_str(why);
    l->retry = retry;
}

static void on_put(void *ctx, const struct intray_result *r)
{
    struct line *l = ctx;
    struct bulk *b = l->bulk;

    if (r->outcome == INTRAY_ACCEPTED) {
        l->state = LINE_TAKEN;
        snprintf(l->job, sizeof(l->job), "%s", r->job);
    } else if (r->outcome == INTRAY_REFUSED) {
        refuse_line(l, r->why, true);
    } else {
        refuse_line(l, "Redis gave no answer: whether it has the job is not known", true);
    }
    advance(b);
    errand_drop(b->errand);
}

static void push_line(struct bulk *b, struct line *l, struct span text)
{
    struct errand *e = b->errand;
    struct jobform *f = &e->in->form;
    const struct config_account *a = b->account;
    struct job_spec spec;
    uint64_t retry_ms;
    char err[300];
    int status = 400;

    if (desk_read_form(e->in, text, err, sizeof(err)) == 0) {
        if (f->account.p)
            a = errand_find_account(e, f->account);
        if (a)
            status = desk_check(e, a, f, &spec, &retry_ms, err, sizeof(err));
        else
            snprintf(err, sizeof(err), "account: missing or not known");
    }
    if (status == 0 && !intray_is_up(e->in->intray)) {
        status = 503;
        snprintf(err, sizeof(err), "Redis is away");
    }
    if (status) {
        refuse_line(l, err, status == 503 || status == 429);
        return;
    }
    desk_audit_all(e, a, &spec);
    l->state = LINE_SENT;
    errand_hold(e);
    desk_put(e, a, f, on_put, l);
}

static void take_line(struct bulk *b, struct span text)
{
    struct line *l = line_at(b, b->next++);

    *l = (struct line){.bulk = b, .state = LINE_REFUSED, .bytes = text.n};
    b->bytes += text.n;
    text = span_trim(text);
    if (b->skips)
        refuse_line(l, "longer than 1 MiB", false);
    else if (text.n)
        push_line(b, l, text);
    else
        l->state = LINE_BLANK;
    b->skips = false;
}

/* `head` is the end of the line, behind what came of it before. */
static void end_line(struct bulk *b, struct span head)
{
    if (b->rest.n == 0 && !b->skips) {
        take_line(b, head);
        return;
    }
    if (!b->skips && buf_try_put(&b->rest, head) < 0)
        b->skips = true;
    take_line(b, buf_span(&b->rest));
    buf_clear(&b->rest);
}

static bool has_room(const struct bulk *b)
{
    return b->next - b->first < UNDER_WAY_MAX && b->bytes < BYTES_UNDER_WAY_MAX;
}

static void on_part(struct errand *e, struct span part, size_t *taken)
{
    struct bulk *b = e->state;
    struct span left = part;

    while (left.n && has_room(b)) {
        const char *end = memchr(left.p, '\n', left.n);
        size_t n = end ? (size_t)(end - left.p) : left.n;

        if (end)
            end_line(b, span_of(left.p, n));
        else if (!b->skips && buf_try_put(&b->rest, left) < 0)
            b->skips = true;
        n += end ? 1 : 0;
        left = span_of(left.p + n, left.n - n);
    }
    *taken = part.n - left.n;
    b->paused = left.n > 0;
    advance(b);
}

void desk_bulk_end(struct errand *e)
{
    struct bulk *b = e->state;

    if (b->rest.n || b->skips)
        end_line(b, SPAN(""));
    b->over = true;
    advance(b);
}

/* -- from beginning to end -- */

static void on_late(struct errand *e)
{
    errand_refuse(e, 503, "Redis does not answer: what of this it has is not known; push it again");
}

/* The results of single lines are lost: it gets no 200, and pushes again what it did not see done.
 */
static void on_withdrawn(struct errand *e, int status, const char *why)
{
    const struct bulk *b = e->state;
    char sentence[300];

    snprintf(sentence, sizeof(sentence),
             "%s; nothing behind line %" PRIu64 " was taken; of the lines before, %" PRIu64
             " are known to be accepted",
             why, b->next - 1, b->taken);
    errand_refuse(e, status, sentence);
}

/* Under new scopes: the account that lines mean when they name none may be another, or none. */
static void on_renewed(struct errand *e)
{
    struct bulk *b = e->state;

    b->account = errand_find_account(e, errand_query(e, "account"));
}

static void end_bulk(struct errand *e)
{
    struct bulk *b = e->state;

    for (; b->first < b->next; b->first++)
        free(line_at(b, b->first)->error);
    buf_deinit(&b->rest);
    spool_deinit(&b->results);
    free(b);
}

static void take_prefer(void *ctx, struct span value)
{
    struct bulk *b = ctx;
    struct span part;

    while (span_next_word(&value, ',', &part))
        b->minimal |= span_eq_nocase(span_trim(part), SPAN("return=minimal"));
}

void desk_bulk_begin(struct errand *e)
{
    struct span name = errand_query(e, "account");
    struct bulk *b;

    if (name.p && !errand_find_account(e, name)) {
        errand_refuse(e, 404, "account: no such account, or not for this producer");
        return;
    }
    b = alloc_zeroed(1, sizeof(*b));
    b->errand = e;
    b->account = errand_find_account(e, name);
    b->first = b->next = 1;
    buf_init(&b->rest, LINE_MAX_BYTES);
    spool_init(&b->results);
    visit_headers_named(e->visit, "Prefer", take_prefer, b);
    e->state = b;
    e->part = on_part;
    e->late = on_late;
    e->withdrawn = on_withdrawn;
    e->renewed = on_renewed;
    e->end = end_bulk;
    visit_stream(e->visit);
    visit_set_patience(e->visit, PATIENCE_MS);
}
