/* SPDX-License-Identifier: MIT
 *
 *             put                       answer
 *   RELAY_NEW ────▶ RELAY_PENDING ────────────▶ RELAY_ACCEPTED ──▶ printed and forgotten, when all
 *     │   ▲               │                          │             before it are
 *     │   └───────────────┴── refused, or lost ◀─────┘ one before it was
 *     └──▶ RELAY_WRONG: not a job; printed in its turn
 */
#include "push_relay.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc.h"
#include "lines.h"
#include "redis_error.h"

#define AGAIN_MS 500
#define FLUSH_BYTES 4096

enum push_relay_state { RELAY_NEW, RELAY_PENDING, RELAY_ACCEPTED, RELAY_WRONG };

struct relayed {
    enum push_relay_state state;
    uint64_t line;
    struct span text; /* malloc'ed; kept for sending it again */
    char *answer;     /* malloc'ed; the job's id, or an error */
};

struct relay {
    const struct push_relay_options *o;
    struct push_relay_counts *counts;
    struct pipe *pipe;
    struct push_connection *producer;
    struct jobform form;
    struct relayed ring[RELAY_LINES_MAX];
    uint64_t first, next; /* lines in the ring; also used as tags */
    size_t bytes;
    bool away;
    struct error why; /* the last error from Redis */
};

static struct relayed *at(struct relay *r, uint64_t tag)
{
    return &r->ring[tag % RELAY_LINES_MAX];
}

static void answered(struct relayed *e, enum push_relay_state state, const char *answer)
{
    free(e->answer);
    e->answer = alloc_str(answer);
    e->state = state;
}

static void on_answer(void *ctx, uint64_t tag, const char *job, const char *refusal)
{
    struct relay *r = ctx;

    (void)refusal; /* push_connection_put and push_connection_finish return it, too */
    if (job)
        answered(at(r, tag), RELAY_ACCEPTED, job);
    else
        at(r, tag)->state = RELAY_NEW;
}

/* -- output -- */

/* Prints the answers to the oldest lines, up to the first line without an answer. */
static int print(struct relay *r, size_t unflushed_max)
{
    struct buf *out = pipe_out(r->pipe);

    for (; r->first < r->next && at(r, r->first)->state >= RELAY_ACCEPTED; r->first++) {
        struct relayed *e = at(r, r->first);
        bool good = e->state == RELAY_ACCEPTED;

        r->counts->accepted += good;
        r->counts->wrong += !good;
        r->o->answer(r->o->ctx, e->line, good ? e->answer : NULL, good ? NULL : e->answer, out);
        r->bytes -= e->text.n;
        free((char *)e->text.p);
        free(e->answer);
        *e = (struct relayed){0};
    }
    return out->n > unflushed_max ? pipe_flush(r->pipe) : 0;
}

/* -- sending -- */

static int fill(struct relay *r, struct span text, struct error *err)
{
    int rc;

    jobform_clear(&r->form, r->o->lane);
    rc = text.p[0] == '{' ? jobform_add_json(&r->form, text, err)
                          : jobform_add_targets(&r->form, r->o->kind, text, err);
    if (rc == 0)
        jobform_add_missing(&r->form, r->o->defaults);
    return rc;
}

/* Sends one line. Returns 0 or the error of push_connection_put; also 0 if the line is not a job,
 * because it then has its answer. */
static int put(struct relay *r, uint64_t tag)
{
    struct relayed *e = at(r, tag);
    const struct span *fields;
    struct error err;
    size_t count;
    int rc = fill(r, e->text, &err);

    if (rc == 0) {
        e->state = RELAY_PENDING;
        fields = jobform_fields(&r->form, &count);
        rc = push_connection_put(r->producer, r->form.lane, fields, count, tag, &err);
    }
    if (rc == -EINVAL) {
        answered(e, RELAY_WRONG, err.text);
        return 0;
    }
    if (rc < 0) {
        e->state = RELAY_NEW;
        r->why = err;
    }
    return rc;
}

/* Sends again all lines from the first one that Redis has not stored. This includes later lines
 * that Redis has stored; otherwise the stream would not have the order of the input. */
static int put_again(struct relay *r)
{
    uint64_t tag = r->first;
    int rc = 0;

    while (tag < r->next && at(r, tag)->state != RELAY_NEW)
        tag++;
    for (uint64_t i = tag; i < r->next; i++)
        if (at(r, i)->state != RELAY_WRONG)
            at(r, i)->state = RELAY_NEW;
    for (; rc == 0 && tag < r->next; tag++)
        if (at(r, tag)->state == RELAY_NEW)
            rc = put(r, tag);
    return rc;
}

/* Waits before the next try. Returns 0, or a negative errno if there should be no next try. */
static int wait_for_redis(struct relay *r, int rc)
{
    if (rc == -EACCES || (rc == -EIO && !redis_error_passes(redis_error_of(r->why.text))))
        return rc;
    if (!r->away)
        r->o->away(r->o->ctx, r->why.text, (size_t)(r->next - r->first));
    r->away = true;
    return pipe_sleep(r->pipe, AGAIN_MS) ? -ENOTCONN : 0;
}

/* Sends until Redis has stored all lines taken so far, and writes their acknowledgements. */
static int settle(struct relay *r)
{
    int rc, printed;

    for (;;) {
        rc = put_again(r);
        if (rc == 0)
            rc = push_connection_finish(r->producer, &r->why);
        printed = print(r, 0);
        if (printed < 0)
            return printed;
        if (r->first == r->next)
            break;
        rc = wait_for_redis(r, rc);
        if (rc < 0)
            return rc;
    }
    if (r->away)
        r->o->back(r->o->ctx);
    r->away = false;
    return 0;
}

/* -- taking -- */

static int take(struct relay *r, enum pipe_event event, struct span line, uint64_t number)
{
    struct relayed *e = at(r, r->next);
    uint64_t tag = r->next;

    line = lines_trimmed(line);
    if (event == PIPE_LINE && line.n == 0)
        return 0;
    if (event == PIPE_TOO_LONG)
        line = SPAN("");
    *e = (struct relayed){.line = number, .text = {alloc_copy(line.p, line.n), line.n}};
    r->bytes += line.n;
    r->next++;
    if (event == PIPE_TOO_LONG)
        answered(e, RELAY_WRONG, "longer than 16 MiB");
    else if (put(r, tag) < 0)
        return settle(r);
    if (r->next - r->first == RELAY_LINES_MAX || r->bytes > RELAY_BYTES_MAX)
        return settle(r);
    return print(r, FLUSH_BYTES);
}

static int run(struct relay *r)
{
    enum pipe_event event;
    struct span line;
    uint64_t number;
    int rc = 0;

    do {
        event = pipe_next(r->pipe, &line, &number);
        if (event == PIPE_LINE || event == PIPE_TOO_LONG)
            rc = take(r, event, line, number);
        else
            rc = settle(r);
        if (rc == 0 && event == PIPE_PAUSED)
            pipe_wait(r->pipe);
    } while (rc == 0 && event != PIPE_ENDED);
    return rc;
}

static const char *reason(const struct relay *r, int rc)
{
    return rc == -EACCES || rc == -EIO || rc == -ENOTCONN ? r->why.text : strerror(-rc);
}

int push_relay_run(struct pipe *pipe, struct redis_address *address,
                   const struct config_account *account, const struct push_relay_options *options,
                   struct push_relay_counts *counts, struct error *err)
{
    struct relay *r = alloc_zeroed(1, sizeof(*r));
    int rc;

    *counts = (struct push_relay_counts){0};
    r->o = options;
    r->counts = counts;
    r->pipe = pipe;
    r->producer = push_connection_new(address, account, on_answer, r);
    jobform_init(&r->form, options->lane);
    r->form.takes_by = true;
    rc = run(r);
    if (rc == 0)
        rc = pipe_error(pipe);
    counts->open = r->next - r->first;
    if (rc < 0)
        error_set(err, rc, "%s", reason(r, rc));
    push_connection_free(r->producer);
    for (; r->first < r->next; r->first++) {
        free((char *)at(r, r->first)->text.p);
        free(at(r, r->first)->answer);
    }
    jobform_deinit(&r->form);
    free(r);
    return rc;
}
