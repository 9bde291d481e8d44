/* SPDX-License-Identifier: MIT */
#include "deadletter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "control.h"
#include "deadletter_filter.h"
#include "deadletter_internal.h"
#include "job.h"
#include "keys.h"
#include "scripts.h"

/* A page should have this size. How many letters that is, is estimated from the page before,
 * because letters can be large. */
#define PAGE_BYTES ((size_t)1024 * 1024)

/* Letters beyond these limits are moved by plain commands: converting them into Lua strings would
 * hold Redis too long. */
#define SMALL_FIELDS 40
#define SMALL_BYTES 8192

bool deadletter_id_ok(struct span id)
{
    const char *dash = id.n ? memchr(id.p, '-', id.n) : NULL;
    size_t before = dash ? (size_t)(dash - id.p) : 0;
    uint64_t n;

    return dash && span_to_plain_u64(span_of(id.p, before), &n) == 0 &&
           span_to_plain_u64(span_of(dash + 1, id.n - before - 1), &n) == 0;
}

bool deadletter_added(struct span name)
{
    return name.n > 5 && memcmp(name.p, "dead_", 5) == 0;
}

static size_t bytes_of_fields(const struct redisReply *fields)
{
    size_t bytes = 0;

    for (size_t i = 0; i < reply_count(fields); i++)
        bytes += reply_text(reply_at(fields, i)).n;
    return bytes;
}

/* -- listing -- */

static struct span *fields_of(const struct redisReply *fields, size_t count)
{
    struct span *out = alloc_zeroed(max_u64(count, 1), sizeof(*out));

    for (size_t i = 0; i < count; i++)
        out[i] = reply_text(reply_at(fields, i));
    return out;
}

/* The spans point into the entry. Release the letter with deadletter_forget. */
void deadletter_read(const struct redisReply *entry, struct deadletter *out)
{
    const struct redisReply *reply = reply_at(entry, 1);
    size_t count = reply_count(reply) / 2 * 2;
    struct span *fields = fields_of(reply, count);
    uint64_t at;

    *out = (struct deadletter){.id = reply_text(reply_at(entry, 0)),
                               .by = job_by_of(fields, count),
                               .fields = fields,
                               .fields_count = count,
                               .bytes = bytes_of_fields(reply)};
    for (size_t i = 0; i < count; i += 2) {
        struct span name = fields[i], value = fields[i + 1];

        if (span_is(name, "dead_job"))
            out->job = value;
        else if (span_is(name, "dead_reason"))
            out->reason = value;
        else if (span_is(name, "dead_target"))
            out->target = value;
        else if (span_is(name, "dead_message"))
            out->message = value;
        else if (span_is(name, "dead_at") && span_to_u64(value, &at) == 0)
            out->at_ms = at;
    }
}

void deadletter_forget(struct deadletter *letter)
{
    free((void *)letter->fields);
}

static int show(const struct redisReply *entries, deadletter_cb *cb, void *ctx)
{
    struct deadletter letter;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < reply_count(entries); i++) {
        deadletter_read(reply_at(entries, i), &letter);
        rc = cb(ctx, &letter);
        deadletter_forget(&letter);
    }
    return rc;
}

/* Sends XREVRANGE dead <from> - COUNT <n>. */
int deadletter_read_back(struct client *c, const char *account, const char *from, uint64_t n,
                         struct redisReply **out)
{
    char *key = redis_key(account, "dead");
    char *count = alloc_printf("%llu", (unsigned long long)n);
    int rc = client_ask_words(
        c, (const char *const[]){"XREVRANGE", key, from, "-", "COUNT", count, NULL}, out);

    free(key);
    free(count);
    return rc;
}

size_t deadletter_bytes_of(const struct redisReply *entries)
{
    size_t bytes = 0;

    for (size_t i = 0; i < reply_count(entries); i++)
        bytes += bytes_of_fields(reply_at(reply_at(entries, i), 1));
    return bytes;
}

/* Size of the page after a page of n letters, in letters. */
uint64_t deadletter_page(uint64_t n, size_t bytes)
{
    return max_u64(1,
                   min_u64(PAGE_BYTES / max_u64(bytes / n, 1), min_u64(n * 4, DEADLETTER_AT_ONCE)));
}

int deadletter_list(struct client *c, const char *account, uint64_t limit, deadletter_cb *cb,
                    void *ctx)
{
    char *from = alloc_str("+");
    uint64_t page = DEADLETTER_PAGE_FIRST;
    struct redisReply *entries;
    int rc = 0;

    while (limit > 0) {
        uint64_t n = min_u64(limit, page);
        struct span last;

        rc = deadletter_read_back(c, account, from, n, &entries);
        if (rc < 0 || show(entries, cb, ctx) != 0 || reply_count(entries) < n)
            break;
        limit -= n;
        page = deadletter_page(n, deadletter_bytes_of(entries));
        last = reply_text(reply_at(reply_at(entries, n - 1), 0));
        free(from);
        from = alloc_printf("(%.*s", (int)last.n, last.p);
    }
    free(from);
    return rc;
}

struct finding_letters {
    const struct deadletter_filter *filter;
    deadletter_cb *cb;
    void *ctx;
    bool over;
};

static int on_found_letter(void *ctx, const struct deadletter *l)
{
    struct finding_letters *g = ctx;

    if (g->filter->since_ms &&
        !deadletter_filter_passes(&(struct deadletter_filter){.since_ms = g->filter->since_ms}, l))
        g->over = true; /* all others are older */
    else if (deadletter_filter_passes(g->filter, l))
        g->over = g->cb(g->ctx, l) != 0;
    return g->over;
}

static int read_length(struct client *c, const char *account, uint64_t *length)
{
    char *key = redis_key(account, "dead");
    struct redisReply *r;
    int rc = client_ask_words(c, (const char *const[]){"XLEN", key, NULL}, &r);

    free(key);
    if (rc == 0)
        *length = (uint64_t)reply_number(r);
    return rc;
}

/* Letters that are added meanwhile are newer, so there are never more than at the beginning. */
int deadletter_find(struct client *c, const char *account, const struct deadletter_filter *f,
                    const char *before, deadletter_cb *cb, void *ctx)
{
    char *from = before ? alloc_printf("(%s", before) : alloc_str("+");
    struct finding_letters g = {f, cb, ctx, false};
    uint64_t page = DEADLETTER_PAGE_FIRST, left = 0;
    struct redisReply *entries;
    struct span last;
    int rc = read_length(c, account, &left);

    while (rc == 0 && !g.over && left) {
        uint64_t n = min_u64(left, page);

        rc = deadletter_read_back(c, account, from, n, &entries);
        if (rc < 0 || reply_count(entries) == 0)
            break;
        (void)show(entries, on_found_letter, &g);
        left = minus_u64(left, reply_count(entries));
        page = deadletter_page(reply_count(entries), deadletter_bytes_of(entries));
        last = reply_text(reply_at(reply_at(entries, reply_count(entries) - 1), 0));
        free(from);
        from = alloc_printf("(%.*s", (int)last.n, last.p);
    }
    free(from);
    return rc;
}

/* -- adding -- */

int deadletter_add(struct client *c, const char *account, const struct deadletter_message *m)
{
    char *key = redis_key(account, "dead");
    char *at = alloc_printf("%llu", (unsigned long long)m->at_ms);
    const struct span argv[] = {
        SPAN("XADD"),
        span_str(key),
        SPAN("*"),
        SPAN("dead_reason"),
        span_str(m->reason),
        SPAN("dead_job"),
        SPAN(""),
        SPAN("dead_at"),
        span_str(at),
        SPAN("dead_target"),
        m->where,
        SPAN(JOB_FIELD_BY),
        m->by,
        SPAN("dead_message"),
        span_of(m->body.p, min_u64(m->body.n, DEADLETTER_BODY_MAX_BYTES)),
    };
    struct redisReply *reply;
    int rc = client_ask(c, array_len(argv), argv, &reply);

    free(key);
    free(at);
    return rc;
}

/* -- a letter too large for the script is moved by a transaction -- */

#define TRIES_MAX 20

/* Queues XADD <lane> * <own fields> and the removal of the letter inside MULTI. False if the letter
 * has no field of its own. */
static bool send_move(struct client *c, const char *stream, const char *dead,
                      const struct deadletter *letter)
{
    const struct span drop[] = {SPAN("EVAL"),     span_str(scripts[SCRIPT_DROP_LETTER].text),
                                SPAN("2"),        span_str(dead),
                                span_str(stream), letter->id};
    size_t n = 3;
    const struct span *by = NULL; /* name and value of the field that says who pushed the job */
    struct span *argv = alloc_zeroed(letter->fields_count + 3, sizeof(*argv));

    argv[0] = SPAN("XADD");
    argv[1] = span_str(stream);
    argv[2] = SPAN("*");
    for (size_t i = 0; i < letter->fields_count; i += 2) {
        struct span name = letter->fields[i];

        if (span_is(name, JOB_FIELD_BY) && !by)
            by = &letter->fields[i];
        if (deadletter_added(name) || span_is(name, "job"))
            continue;
        argv[n++] = name;
        argv[n++] = letter->fields[i + 1];
    }
    if (n > 3 && by) { /* there is room: it was left out above */
        argv[n++] = by[0];
        argv[n++] = by[1];
    }
    if (n > 3) {
        client_send(c, 1, (struct span[]){SPAN("MULTI")});
        client_send(c, n, argv);
        client_send(c, array_len(drop), drop);
        client_send(c, 1, (struct span[]){SPAN("EXEC")});
    }
    free(argv);
    return n > 3;
}

static char *stream_of(const char *account, const struct deadletter *letter)
{
    struct span job = letter->job, name;
    enum lane lane = LANE_NORMAL;

    if (span_next_word(&job, '-', &name) && lane_parse(name, &lane) < 0)
        lane = LANE_NORMAL;
    return redis_key_lane(account, lane);
}

/* Reads the replies to the four commands of send_move. Returns the same as move_once. EXEC does not
 * say why a part of it failed, so the lane is asked. */
static int receive_move(struct client *c, const char *stream)
{
    struct redisReply *reply;
    int rc = 0;

    for (int i = 0; rc == 0 && i < 4; i++) /* OK, QUEUED, QUEUED, and the reply of EXEC */
        rc = client_receive(c, &reply);
    if (rc < 0)
        return rc;
    if (reply_nil(reply))
        return -EAGAIN;
    if (reply_refused(reply))
        return -EIO;
    if (!reply_refused(reply_at(reply, 0))) {
        rc = client_confirm(c);
        return rc < 0 ? rc : 1;
    }
    rc = client_ask_words(c, (const char *const[]){"XLEN", stream, NULL}, &reply);
    return rc < 0 ? rc : -EAGAIN;
}

/* Returns 1: moved; 0: there is no such letter; -EAGAIN: somebody changed the stream meanwhile. */
static int move_once(struct client *c, const char *account, const char *dead, const char *id)
{
    struct deadletter letter;
    struct redisReply *reply;
    char *stream;
    int rc = client_ask_words(c, (const char *const[]){"WATCH", dead, NULL}, &reply);

    if (rc == 0)
        rc = client_ask_words(c, (const char *const[]){"XRANGE", dead, id, id, NULL}, &reply);
    if (rc < 0 || reply_count(reply) == 0)
        return rc;
    deadletter_read(reply_at(reply, 0), &letter);
    stream = stream_of(account, &letter);
    if (send_move(c, stream, dead, &letter))
        rc = receive_move(c, stream);
    deadletter_forget(&letter);
    free(stream);
    return rc;
}

static int move_large(struct client *c, const char *account, const char *dead, const char *id,
                      uint64_t *done)
{
    int rc = -EAGAIN;

    for (int i = 0; rc == -EAGAIN && i < TRIES_MAX; i++)
        rc = move_once(c, account, dead, id);
    if (rc > 0)
        (*done)++;
    return rc > 0 ? 0 : rc;
}

/* -- retry and drop -- */

struct letter_id deadletter_id_of(const struct redisReply *entry)
{
    const struct redisReply *fields = reply_at(entry, 1);
    struct span id = reply_text(reply_at(entry, 0));

    return (struct letter_id){alloc_copy(id.p, id.n), reply_count(fields) / 2 > SMALL_FIELDS ||
                                                          bytes_of_fields(fields) > SMALL_BYTES};
}

/* Handles all these letters (at most DEADLETTER_AT_ONCE) with one command. */
static int act_together(struct client *c, const char *account, enum deadletter_act act,
                        const struct span *ids, size_t count, uint64_t *done)
{
    struct span argv[DEADLETTER_AT_ONCE + 7];
    char *keys[1 + LANE_N] = {redis_key(account, "dead")};
    struct redisReply *reply;
    size_t n = 0;
    int rc;

    for (int lane = 0; lane < LANE_N; lane++)
        keys[1 + lane] = redis_key_lane(account, (enum lane)lane);
    if (act == DEADLETTER_RETRY) {
        argv[n++] = SPAN("EVAL");
        argv[n++] = span_str(scripts[SCRIPT_RETRY_DEAD].text);
        argv[n++] = SPAN("4");
        for (size_t i = 0; i < array_len(keys); i++)
            argv[n++] = span_str(keys[i]);
    } else {
        argv[n++] = SPAN("XDEL");
        argv[n++] = span_str(keys[0]);
    }
    memcpy(argv + n, ids, count * sizeof(*ids));
    rc = client_ask(c, n + count, argv, &reply);
    if (rc == 0)
        *done += (uint64_t)reply_number(reply);
    for (size_t i = 0; i < array_len(keys); i++)
        free(keys[i]);
    return rc;
}

/* Handles at most DEADLETTER_AT_ONCE letters. */
int deadletter_act_some(struct client *c, const char *account, enum deadletter_act act,
                        const struct letter_id *ids, size_t count, uint64_t *done)
{
    struct span together[DEADLETTER_AT_ONCE];
    char *dead = redis_key(account, "dead");
    size_t n = 0;
    int rc = 0;

    for (size_t i = 0; i < count; i++)
        if (act == DEADLETTER_DROP || !ids[i].large)
            together[n++] = span_str(ids[i].id);
    if (n)
        rc = act_together(c, account, act, together, n, done);
    for (size_t i = 0; rc == 0 && i < count && act == DEADLETTER_RETRY; i++)
        if (ids[i].large)
            rc = move_large(c, account, dead, ids[i].id, done);
    free(dead);
    return rc;
}

void deadletter_free_ids(const struct letter_id *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(ids[i].id);
}

/* Finds those of the named letters that exist, and whether they are large. */
static int look_at_ids(struct client *c, const char *account, const char *const *names,
                       size_t count, struct letter_id *out, size_t *found)
{
    char *dead = redis_key(account, "dead");
    struct redisReply *r;
    int rc = 0;

    *found = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = client_ask_words(c, (const char *const[]){"XRANGE", dead, names[i], names[i], NULL},
                              &r);
        if (rc == 0 && reply_count(r))
            out[(*found)++] = deadletter_id_of(reply_at(r, 0));
    }
    free(dead);
    return rc;
}

static int act_each(struct client *c, const struct actor *who, enum deadletter_act act,
                    const char *const *ids, size_t count, uint64_t *done)
{
    const char *account = who->account->name;
    struct letter_id some[DEADLETTER_AT_ONCE];
    int rc = 0;

    *done = 0;
    for (size_t at = 0; rc == 0 && at < count; at += DEADLETTER_AT_ONCE) {
        size_t found;

        rc = look_at_ids(c, account, ids + at, min_u64(DEADLETTER_AT_ONCE, count - at), some,
                         &found);
        if (rc == 0)
            rc = deadletter_act_some(c, account, act, some, found, done);
        deadletter_free_ids(some, found);
    }
    deadletter_note(c, who, act, NULL, *done, rc);
    return rc == 0 && *done == 0 ? control_confirm(c, account) : rc;
}

int deadletter_retry(struct client *c, const struct actor *who, const char *const *ids,
                     size_t count, uint64_t *done)
{
    return act_each(c, who, DEADLETTER_RETRY, ids, count, done);
}

int deadletter_drop(struct client *c, const struct actor *who, const char *const *ids, size_t count,
                    uint64_t *done)
{
    return act_each(c, who, DEADLETTER_DROP, ids, count, done);
}
