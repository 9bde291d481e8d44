/* SPDX-License-Identifier: MIT */
#include "settle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "history_line.h"
#include "log.h"

/* Redis executes a write in one go, and whoever pushes or sends an urgent job meanwhile waits. A
 * load takes Redis about a millisecond, and two loads keep it busy. While urgent jobs come, loads
 * are written in parts, which takes Redis a twentieth longer in all. */
#define LOAD_MAX 256u   /* jobs in one write */
#define PART_MAX 64u    /* the same while urgent jobs come */
#define LOADS_FLYING 2u /* writes under way at once */
#define PARTS_FOR_NS NS_PER_S
#define TRY_AGAIN_NS NS_PER_S

/* Data that few jobs have. Jobs that died of the same target share it, because it may be 8 KiB long
 * and thousands of jobs may wait for that target. */
struct particulars {
    uint32_t shared; /* number of jobs that share it */
    uint64_t due_ms;
    struct span reason, target, proof, services;
    struct span *fields; /* of an oversized entry */
    size_t fields_count;
    size_t bytes; /* total size */
};

/* An ended job, packed: if jobs end faster than Redis confirms them, there may be a million. */
struct ended {
    uint64_t id_ms;
    uint64_t id_seq;
    struct particulars *more;   /* NULL: none */
    uint32_t purge_at, purge_n; /* its purge in the load's `purges` */
    uint32_t targets;
    unsigned lane : 2, outcome : 3, plain : 1, receipt : 1, large : 1, oversized : 1, named : 1;
};

struct load {
    struct list link;
    struct settle *settle;
    uint32_t count;
    uint32_t written, writing; /* confirmed by Redis; under way */
    struct buf purges;         /* for the history, one after the other */
    struct ended items[LOAD_MAX];
};

struct settle {
    const char *account;
    struct queue *queue;
    settle_changed_cb *changed;
    void *ctx;
    enum receipts receipts;
    struct queue_keep keep;
    struct load *open;   /* being filled, or NULL */
    struct list waiting; /* full, or to be written again */
    struct list flying;
    uint32_t flying_count;
    uint64_t not_before_ns; /* after a refusal by Redis */
    uint64_t parts_until_ns;
    uint64_t unconfirmed[LANE_N];
    struct particulars *last; /* of the job that ended last; or NULL */
    uint64_t bytes;           /* of loads and particulars */
    struct settle_counts counts;
};

struct settle *settle_new(const struct config_account *a, struct queue *q,
                          settle_changed_cb *changed, void *ctx)
{
    struct settle *s = alloc_zeroed(1, sizeof(*s));

    s->queue = q;
    s->changed = changed;
    s->ctx = ctx;
    list_init(&s->waiting);
    list_init(&s->flying);
    settle_configure(s, a);
    return s;
}

void settle_configure(struct settle *s, const struct config_account *a)
{
    s->account = a->name;
    s->receipts = a->receipts;
    s->keep = (struct queue_keep){a->receipt_ttl_s, a->history_jobs, a->history_ttl_s,
                                  a->receipts_in == RECEIPTS_IN_HISTORY};
}

static void drop_particulars(struct settle *s, struct particulars *more)
{
    if (!more || --more->shared)
        return;
    if (s->last == more)
        s->last = NULL;
    s->bytes -= more->bytes;
    for (size_t i = 0; i < more->fields_count; i++)
        free((char *)more->fields[i].p);
    free(more->fields);
    free((char *)more->reason.p);
    free((char *)more->target.p);
    free((char *)more->proof.p);
    free((char *)more->services.p);
    free(more);
}

static struct load *load_new(struct settle *s)
{
    struct load *load = alloc_bytes(sizeof(*load));

    load->settle = s;
    load->count = load->written = 0;
    list_init(&load->link);
    buf_init(&load->purges, (size_t)LOAD_MAX * HISTORY_PURGE_MAX);
    s->bytes += sizeof(*load);
    return load;
}

static void load_free(struct load *load)
{
    struct settle *s = load->settle;

    for (uint32_t i = 0; i < load->count; i++)
        drop_particulars(s, load->items[i].more);
    s->bytes -= sizeof(*load) + load->purges.room;
    buf_deinit(&load->purges);
    free(load);
}

static void free_all(struct list *loads)
{
    struct list *node;

    while ((node = list_pop_front(loads)))
        load_free(list_entry(node, struct load, link));
}

void settle_free(struct settle *s)
{
    if (!s)
        return;
    if (s->open)
        load_free(s->open);
    free_all(&s->waiting);
    free_all(&s->flying);
    free(s);
}

static struct span keep(struct particulars *more, struct span s)
{
    if (!s.n)
        return span_of(NULL, 0);
    more->bytes += ALLOC_TAKES(s.n + 1);
    return span_of(alloc_copy(s.p, s.n), s.n);
}

static bool same_particulars(const struct particulars *more, const struct queue_settle *item)
{
    return more && more->due_ms == item->due_ms && !more->fields_count && !item->fields_count &&
           span_eq(more->reason, item->reason) && span_eq(more->target, item->target) &&
           span_eq(more->proof, item->proof) && span_eq(more->services, item->services);
}

static struct particulars *keep_particulars(struct settle *s, const struct queue_settle *item)
{
    struct particulars *more;

    if (!item->due_ms && !item->reason.n && !item->target.n && !item->proof.n)
        return NULL;
    if (same_particulars(s->last, item)) {
        s->last->shared++;
        return s->last;
    }
    more = alloc_zeroed(1, sizeof(*more));
    more->shared = 1;
    more->bytes = ALLOC_TAKES(sizeof(*more));
    more->due_ms = item->due_ms;
    more->reason = keep(more, item->reason);
    more->target = keep(more, item->target);
    more->proof = keep(more, item->proof);
    more->services = keep(more, item->services);
    if (item->fields_count) {
        more->fields = alloc_zeroed(item->fields_count, sizeof(*more->fields));
        more->fields_count = item->fields_count;
        more->bytes += ALLOC_TAKES(item->fields_count * sizeof(*more->fields));
    }
    for (size_t i = 0; i < item->fields_count; i++)
        more->fields[i] = keep(more, item->fields[i]);
    s->bytes += more->bytes;
    s->last = more;
    return more;
}

static struct queue_settle unpack(const struct load *load, const struct ended *e)
{
    struct queue_settle item = {.lane = (enum lane)e->lane,
                                .id = {e->id_ms, e->id_seq},
                                .outcome = (enum outcome)e->outcome,
                                .plain = e->plain,
                                .receipt = e->receipt,
                                .large = e->large,
                                .oversized = e->oversized,
                                .named = e->named,
                                .targets = e->targets};

    if (e->purge_n)
        item.purge = span_of(load->purges.p + e->purge_at, e->purge_n);
    if (e->more) {
        item.due_ms = e->more->due_ms;
        item.reason = e->more->reason;
        item.target = e->more->target;
        item.proof = e->more->proof;
        item.services = e->more->services;
        item.fields = e->more->fields;
        item.fields_count = e->more->fields_count;
    }
    return item;
}

static bool wants_receipt(const struct settle *s, enum outcome outcome)
{
    switch (s->receipts) {
    case RECEIPTS_NONE:
        return false;
    case RECEIPTS_FAILED:
        return outcome == OUTCOME_DEAD || outcome == OUTCOME_EXPIRED;
    default:
        return outcome != OUTCOME_LATER;
    }
}

/* Copies the text to the load, unless the job before has the same: jobs that were merged into one
 * target have, and there may be a million. Returns where it begins there. */
static uint32_t keep_purge(struct load *load, struct span purge)
{
    const struct ended *last = load->count ? &load->items[load->count - 1] : NULL;
    size_t at = load->purges.n, room = load->purges.room;

    if (!purge.n)
        return 0;
    if (last && last->purge_n &&
        span_eq(span_of(load->purges.p + last->purge_at, last->purge_n), purge))
        return last->purge_at;
    buf_put(&load->purges, purge);
    load->settle->bytes += load->purges.room - room;
    return (uint32_t)at;
}

void settle_add(struct settle *s, const struct queue_settle *item)
{
    struct ended e = {.id_ms = item->id.ms,
                      .id_seq = item->id.seq,
                      .purge_n = (uint32_t)item->purge.n,
                      .targets = item->targets,
                      .lane = (unsigned)item->lane,
                      .outcome = (unsigned)item->outcome,
                      .plain = item->plain,
                      .receipt = wants_receipt(s, item->outcome),
                      .large = item->large,
                      .oversized = item->oversized,
                      .named = item->named};

    if (!s->open)
        s->open = load_new(s);
    e.more = keep_particulars(s, item);
    e.purge_at = keep_purge(s->open, item->purge);
    s->open->items[s->open->count++] = e;
    s->unconfirmed[item->lane]++;
    if (s->open->count == LOAD_MAX) {
        list_push_back(&s->waiting, &s->open->link);
        s->open = NULL;
    }
}

static void write_part(struct settle *s, struct load *load);

static void on_written(void *ctx, int err)
{
    struct load *load = ctx;
    struct settle *s = load->settle;
    bool later = false;

    log_debug("Redis answered a write of job outcomes", "account=%s jobs=%u why=\"%s\"", s->account,
              load->writing, err ? strerror(-err) : "");
    load->written += load->writing;
    if (err == 0 && load->written < load->count) {
        write_part(s, load);
        return;
    }
    list_remove(&load->link);
    s->flying_count--;
    if (err) {
        load->written = 0; /* a part that is written twice does no harm */
        s->counts.failed++;
        list_push_front(&s->waiting, &load->link);
        if (err != -ENOTCONN) /* the queue's owner reports refusals */
            s->not_before_ns = clock_mono_ns() + TRY_AGAIN_NS;
    } else {
        for (uint32_t i = 0; i < load->count; i++) {
            s->unconfirmed[load->items[i].lane]--;
            later |= load->items[i].outcome == OUTCOME_LATER || !load->items[i].plain;
        }
        s->counts.writes++;
        s->counts.jobs += load->count;
        load_free(load);
    }
    s->changed(s->ctx, later);
}

static void write_part(struct settle *s, struct load *load)
{
    uint32_t most = clock_mono_ns() < s->parts_until_ns ? PART_MAX : LOAD_MAX;
    struct queue_settle items[LOAD_MAX];

    load->writing = (uint32_t)min_u64(load->count - load->written, most);
    for (uint32_t i = 0; i < load->writing; i++)
        items[i] = unpack(load, &load->items[load->written + i]);
    queue_settle(s->queue, items, load->writing, &s->keep, on_written, load);
}

static void write_load(struct settle *s, struct load *load)
{
    list_push_back(&s->flying, &load->link);
    s->flying_count++;
    write_part(s, load);
}

void settle_make_way(struct settle *s, uint64_t now_ns)
{
    s->parts_until_ns = now_ns + PARTS_FOR_NS;
}

void settle_flush(struct settle *s, bool queue_up, uint64_t now_ns)
{
    if (!queue_up || now_ns < s->not_before_ns)
        return;
    while (s->flying_count < LOADS_FLYING && !list_empty(&s->waiting)) {
        struct list *node = list_pop_front(&s->waiting);

        write_load(s, list_entry(node, struct load, link));
    }
    /* A load that is not full is sent only when no other is on its way. Under pressure loads fill
     * up; when it is quiet, no job waits. */
    if (s->open && s->flying_count == 0) {
        struct load *load = s->open;

        s->open = NULL;
        write_load(s, load);
    }
}

uint64_t settle_unconfirmed(const struct settle *s, enum lane lane)
{
    return s->unconfirmed[lane];
}

/* The audit sometimes lists these jobs (known_jobs.c). */
#define LISTED_BYTES 16

uint64_t settle_bytes(const struct settle *s)
{
    uint64_t jobs = 0;

    for (int lane = 0; lane < LANE_N; lane++)
        jobs += s->unconfirmed[lane];
    return s->bytes + jobs * LISTED_BYTES;
}

const struct settle_counts *settle_counts(const struct settle *s)
{
    return &s->counts;
}

bool settle_idle(const struct settle *s)
{
    return !s->open && s->flying_count == 0 && list_empty(&s->waiting);
}

uint64_t settle_due(const struct settle *s)
{
    bool any = s->open || !list_empty(&s->waiting);

    return any && s->flying_count == 0 ? s->not_before_ns : NEVER;
}

static void each_in(const struct load *load, settle_id_cb *cb, void *ctx)
{
    for (uint32_t i = 0; i < load->count; i++)
        cb(ctx, (enum lane)load->items[i].lane,
           (struct entry_id){load->items[i].id_ms, load->items[i].id_seq});
}

void settle_each_unconfirmed(const struct settle *s, settle_id_cb *cb, void *ctx)
{
    if (s->open)
        each_in(s->open, cb, ctx);
    list_each(it, &s->waiting)
        each_in(list_entry(it, struct load, link), cb, ctx);
    list_each(it, &s->flying)
        each_in(list_entry(it, struct load, link), cb, ctx);
}
