/* SPDX-License-Identifier: MIT */
#include "ends.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "fake_link.h"
#include "fake_redis.h"
#include "inside.h"
#include "reply.h"

#define KEYS_AT 3

struct change { /* an entry of a lane that the command under way adds or removes */
    char account[72];
    enum lane lane;
    struct entry_id id;
    char job[160];
    struct fields *fields; /* NULL: it is removed */
};

struct ends_watch ends_watch;

static struct {
    const char *name; /* NULL: no command is under way */
    enum ends_asker asker;
    size_t argc;
    const struct span *argv;
    struct change *changes;
    size_t count, room;
} es;

/* ARGV[n] of the script under way. */
static struct span script_arg(size_t n)
{
    uint64_t keys = 0;
    size_t at;

    must(es.argc > 2 && span_to_u64(es.argv[2], &keys) == 0);
    at = KEYS_AT + keys + n - 1;
    return at < es.argc ? es.argv[at] : SPAN("");
}

/* -- what happens within a command -- */

static struct span field(const struct fakeredis_entry *e, const char *name)
{
    for (size_t i = 0; i + 1 < e->count; i += 2)
        if (span_is(e->fields[i], name))
            return e->fields[i + 1];
    return span_of(NULL, 0);
}

/* NULL: it is not of a lane. */
static struct change *note(struct span key, const struct fakeredis_entry *e)
{
    struct change *c;

    if (es.count == es.room) {
        es.room = es.room ? es.room * 2 : 64;
        es.changes = alloc_grow(es.changes, es.room, sizeof(*es.changes));
    }
    c = &es.changes[es.count];
    if (!inside_is_lane(key, c->account, sizeof(c->account), &c->lane))
        return NULL;
    es.count++;
    c->id = (struct entry_id){e->ms, e->seq};
    c->fields = NULL;
    return c;
}

static void on_removed(void *ctx, struct span key, const struct fakeredis_entry *e)
{
    struct span job = field(e, "job");
    struct change *c = es.name ? note(key, e) : NULL;

    (void)ctx;
    if (!c)
        return;
    if (job.n)
        snprintf(c->job, sizeof(c->job), "%.*s", (int)job.n, job.p);
    else
        snprintf(c->job, sizeof(c->job), "%s-%" PRIu64 "-%" PRIu64, lane_names[c->lane], e->ms,
                 e->seq);
}

static bool is_of_api(void)
{
    return es.asker == ENDS_API || es.asker == ENDS_API_CUT_OFF;
}

static bool is_cut_off(void)
{
    return es.asker == ENDS_API_CUT_OFF || es.asker == ENDS_DAEMON_CUT_OFF;
}

static void on_added(void *ctx, struct span key, const struct fakeredis_entry *e)
{
    struct change *c = es.name && is_of_api() ? note(key, e) : NULL;
    char account[72];

    (void)ctx;
    if (ends_watch.history && !(es.name && is_cut_off()) &&
        inside_is_history(key, account, sizeof(account)))
        ends_watch.history(account, e);
    if (c)
        c->fields = fields_copy(e->fields, e->count);
    fake_link_added(key);
}

static void on_written(void *ctx, struct span key, struct span text)
{
    char account[72];
    struct span job;

    (void)ctx;
    if (es.name && is_cut_off())
        return;
    if (ends_watch.receipt && inside_is_receipt(key, account, sizeof(account), &job))
        ends_watch.receipt(account, job, text);
    else if (ends_watch.status && inside_is_status(key, account, sizeof(account)))
        ends_watch.status(account, text);
}

void ends_look_at(struct fakeredis *f)
{
    static const struct fakeredis_watch watch = {on_added, on_removed, on_written};

    fakeredis_watch(f, &watch, NULL);
}

void ends_begin_all(struct fakeredis *f)
{
    free(es.changes);
    memset(&es, 0, sizeof(es));
    ends_watch = (struct ends_watch){NULL};
    ends_look_at(f);
}

/* -- what it was -- */

static bool outcome_named(struct span name, enum outcome *out)
{
    for (int i = 0; i < OUTCOME_N; i++) {
        if (!span_is(name, outcome_names[i]))
            continue;
        *out = (enum outcome)i;
        return true;
    }
    return false;
}

/* The item of settle.lua for this entry: id, outcome, receipt, targets, due_ms, reason, target,
 * services, purge. */
static bool look_in_settle(const struct change *r, struct ended *out)
{
    char id[48];

    snprintf(id, sizeof(id), "%" PRIu64 "-%" PRIu64, r->id.ms, r->id.seq);
    for (size_t n = 6; script_arg(n).n; n += 9) {
        if (!span_is(script_arg(n), id))
            continue;
        out->reason = script_arg(n + 5);
        return outcome_named(script_arg(n + 1), &out->outcome);
    }
    return false;
}

/* False: that entry has gone for another reason than that its job has ended. */
static bool look(const struct change *r, struct ended *out)
{
    if (strcmp(es.name, "purged") == 0 || strcmp(es.name, "drop") == 0) {
        out->outcome = OUTCOME_PURGED;
        return true;
    }
    if (strcmp(es.name, "settle") == 0)
        return look_in_settle(r, out);
    if (strcmp(es.name, "end_large") == 0) {
        out->reason = script_arg(9);
        return outcome_named(script_arg(6), &out->outcome);
    }
    out->outcome = OUTCOME_DEAD;
    out->reason = script_arg(7);
    return strcmp(es.name, "oversized") == 0;
}

static void tell_end(const struct change *c)
{
    struct ended e = {.account = c->account, .job = span_str(c->job)};

    if (!look(c, &e) || e.outcome == OUTCOME_LATER)
        return;
    e.repeats = e.outcome == OUTCOME_PURGED && inside_is_postponed(c->account, c->job, "+r");
    if (ends_watch.ended)
        ends_watch.ended(&e);
}

static bool is_removed_again(const struct change *c)
{
    for (size_t i = 0; i < es.count; i++) {
        const struct change *other = &es.changes[i];

        if (!other->fields && other->lane == c->lane && strcmp(other->account, c->account) == 0 &&
            other->id.ms == c->id.ms && other->id.seq == c->id.seq)
            return true;
    }
    return false;
}

void ends_begin(const char *name, enum ends_asker asker, size_t argc, const struct span *argv)
{
    es.name = name;
    es.asker = asker;
    es.argc = argc;
    es.argv = argv;
    es.count = 0;
}

void ends_finish(void)
{
    ends_added_cb *added = is_cut_off() ? ends_watch.added_cut_off : ends_watch.added;

    for (size_t i = 0; i < es.count; i++) {
        struct change *c = &es.changes[i];

        if (es.asker == ENDS_DAEMON)
            tell_end(c);
        else if (c->fields && added && !is_removed_again(c))
            added(c->account, c->lane, c->id, c->fields);
        free(c->fields);
    }
    es.name = NULL;
    es.count = 0;
}
