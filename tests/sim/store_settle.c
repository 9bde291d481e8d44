/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "store.h"

#define JOB_MAX 160

/* One settle, as its scripts see it. */
struct settling {
    struct store *s;
    uint32_t ttl_s;
    uint64_t wall_ms, now_ms;
    uint64_t skipped;
};

struct looked { /* what an entry says about its end */
    char job[JOB_MAX];
    struct span ref;
    bool repeats;
    uint64_t repeat_after_ms;
};

static void job_name(char out[JOB_MAX], enum lane lane, struct entry_id id)
{
    snprintf(out, JOB_MAX, "%s-%" PRIu64 "-%" PRIu64, lane_names[lane], id.ms, id.seq);
}

/* -- receipts -- */

static void write_receipt(struct settling *w, const char *job, const struct queue_settle *item,
                          struct span ref)
{
    struct receipt *r = map_get(&w->s->receipts, span_str(job));

    if (w->s->out_of_memory) {
        w->skipped++;
        return;
    }
    if (!r) {
        r = alloc_zeroed(1, sizeof(*r));
        map_put(&w->s->receipts, span_str(job), r);
    }
    free(r->ref);
    free(r->reason);
    r->writes++;
    r->at_ms = w->now_ms;
    r->expires_ms = w->now_ms + w->ttl_s * UINT64_C(1000);
    r->targets = item->targets;
    r->ref = ref.p ? alloc_copy(ref.p, ref.n) : NULL;
    r->reason = item->reason.n ? alloc_copy(item->reason.p, item->reason.n) : NULL;
    snprintf(r->state, sizeof(r->state), "%s", outcome_names[item->outcome]);
}

static void tell(struct settling *w, const char *job, const struct queue_settle *item, bool repeats)
{
    struct store_ended end = {.job = span_str(job),
                              .outcome = item->outcome,
                              .reason = item->reason,
                              .target = item->target,
                              .repeats = repeats,
                              .receipt = item->receipt};

    if (w->s->ended)
        w->s->ended(w->s->ctx, &end);
}

/* -- later -- */

static void put_string(struct buf *b, struct span s)
{
    if (s.n < 32) {
        buf_putc(b, (char)(0xa0 | s.n));
    } else if (s.n < 256) {
        buf_putc(b, (char)0xd9);
        buf_putc(b, (char)s.n);
    } else {
        buf_putc(b, (char)0xda);
        buf_putc(b, (char)(s.n >> 8));
        buf_putc(b, (char)s.n);
    }
    buf_put(b, s);
}

/* https://github.com/msgpack/msgpack/blob/master/spec.md , as Redis' cmsgpack writes it. */
static void pack(struct later *l)
{
    char id[48];

    snprintf(id, sizeof(id), "%" PRIu64 "-%" PRIu64, l->id.ms, l->id.seq);
    buf_init(&l->member, SIZE_MAX / 2);
    buf_putc(&l->member, (char)0x94);
    put_string(&l->member, span_str(lane_names[l->lane]));
    put_string(&l->member, span_str(l->job));
    put_string(&l->member, span_str(id));
    buf_putc(&l->member, (char)0xdc);
    for (size_t i = 0; i < l->fields->count; i++)
        put_string(&l->member, l->fields->at[i]);
}

static int compare_later(const struct later *a, const struct later *b)
{
    size_t n = min_u64(a->member.n, b->member.n);
    int order;

    if (a->due_ms != b->due_ms)
        return a->due_ms < b->due_ms ? -1 : 1;
    order = memcmp(a->member.p, b->member.p, n);
    if (order == 0 && a->member.n != b->member.n)
        order = a->member.n < b->member.n ? -1 : 1;
    return order;
}

/* ZADD of a member that is there only moves it. */
static void drop_same_member(struct store *s, const struct later *fresh)
{
    for (size_t i = 0; i < s->later_count; i++) {
        const struct later *l = &s->later[i];

        if (entry_id_compare(l->id, fresh->id) == 0 &&
            span_eq(buf_span(&l->member), buf_span(&fresh->member))) {
            store_drop_later(s, i);
            return;
        }
    }
}

void store_postpone(struct store *s, const struct later *l)
{
    struct later fresh = *l;
    size_t at;

    pack(&fresh);
    drop_same_member(s, &fresh);
    at = s->later_count;
    if (s->later_count == s->later_room) {
        s->later_room = s->later_room ? s->later_room * 2 : 64;
        s->later = alloc_grow(s->later, s->later_room, sizeof(*s->later));
    }
    while (at > 0 && compare_later(&fresh, &s->later[at - 1]) < 0)
        at--;
    memmove(s->later + at + 1, s->later + at, (s->later_count - at) * sizeof(*s->later));
    s->later[at] = fresh;
    s->later_count++;
}

void store_drop_later(struct store *s, size_t i)
{
    free(s->later[i].job);
    free(s->later[i].fields);
    buf_deinit(&s->later[i].member);
    s->later_count--;
    memmove(s->later + i, s->later + i + 1, (s->later_count - i) * sizeof(*s->later));
}

static struct fields *kept_fields(const struct fields *f, bool once, const char *due)
{
    struct span *kept = alloc_bytes((f->count + 2) * sizeof(*kept));
    struct fields *out;
    size_t n = 0;

    for (size_t i = 0; i + 1 < f->count; i += 2) {
        struct span name = f->at[i];

        if (span_is(name, "job") ||
            (once && (span_is(name, "repeat_after") || span_is(name, "not_before"))))
            continue;
        kept[n++] = name;
        kept[n++] = f->at[i + 1];
    }
    if (once) {
        kept[n++] = SPAN("not_before");
        kept[n++] = span_str(due);
    }
    out = fields_copy(kept, n);
    free(kept);
    return out;
}

static void postpone(struct settling *w, const struct queue_settle *item, const struct fields *f,
                     const char *job, uint64_t due_ms, bool once)
{
    char due[24];
    struct later l = {.due_ms = due_ms, .lane = item->lane, .id = item->id};

    snprintf(due, sizeof(due), "%" PRIu64, due_ms);
    l.job = once ? alloc_printf("%s+r", job) : alloc_str(job);
    l.fields = kept_fields(f, once, due);
    store_postpone(w->s, &l);
}

/* -- one item -- */

static bool is_job_name(struct span v)
{
    if (v.n == 0 || v.n > 128)
        return false;
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '-'))
            return false;
    }
    return true;
}

static void look(const struct queue_settle *item, const struct fields *f, struct looked *out)
{
    job_name(out->job, item->lane, item->id);
    out->ref = span_of(NULL, 0);
    out->repeats = false;
    for (size_t i = 0; i + 1 < f->count; i += 2) {
        struct span value = f->at[i + 1];

        if (span_is(f->at[i], "ref"))
            out->ref = value;
        else if (span_is(f->at[i], "repeat_after"))
            out->repeats =
                span_to_u64(value, &out->repeat_after_ms) == 0 && out->repeat_after_ms > 0;
        else if (span_is(f->at[i], "job") && is_job_name(value))
            snprintf(out->job, JOB_MAX, "%.*s", (int)value.n, value.p);
    }
}

static void bury(struct settling *w, const struct queue_settle *item, const struct fields *f,
                 const char *job)
{
    struct span *spans = alloc_bytes((f->count + 8) * sizeof(*spans));
    char at[24];
    size_t n = f->count;

    snprintf(at, sizeof(at), "%" PRIu64, w->now_ms);
    memcpy(spans, f->at, f->count * sizeof(*spans));
    spans[n++] = SPAN("dead_reason");
    spans[n++] = item->reason;
    spans[n++] = SPAN("dead_job");
    spans[n++] = span_str(job);
    spans[n++] = SPAN("dead_at");
    spans[n++] = span_str(at);
    spans[n++] = SPAN("dead_target");
    spans[n++] = item->target;
    stream_add(&w->s->dead, fields_copy(spans, n), w->now_ms);
    free(spans);
}

/* As store/queue_settle.c cuts it: by lane and kind, plain ones so many at a time. */
#define PLAIN_MAX 256

static bool is_plain(const struct queue_settle *item)
{
    return item->plain && item->outcome == OUTCOME_PURGED && !item->due_ms;
}

static void finish(struct settling *w, const struct queue_settle *item)
{
    struct stream *lane = &w->s->lanes[item->lane];
    struct stream_entry *e = stream_find(lane, item->id);
    struct looked l;
    bool again;

    if (!e || !e->fields)
        return;
    look(item, e->fields, &l);
    again = item->outcome == OUTCOME_PURGED && l.repeats;
    if (item->outcome == OUTCOME_DEAD)
        bury(w, item, e->fields, l.job);
    else if (item->outcome == OUTCOME_LATER)
        postpone(w, item, e->fields, l.job, item->due_ms, false);
    else if (again)
        postpone(w, item, e->fields, l.job,
                 item->due_ms ? item->due_ms : w->wall_ms + l.repeat_after_ms, true);
    if (item->outcome == OUTCOME_LATER)
        return;
    if (item->receipt)
        write_receipt(w, l.job, item, l.ref);
    tell(w, l.job, item, again);
}

static void finish_others(struct settling *w, const struct queue_settle *items, size_t count,
                          enum lane lane)
{
    struct stream *stream = &w->s->lanes[lane];

    for (size_t i = 0; i < count; i++) {
        if (items[i].lane != lane || is_plain(&items[i]))
            continue;
        finish(w, &items[i]);
        stream_delete(stream, items[i].id);
    }
}

/* Plain purges go by the load: when some of it were gone already, a receipt that is there is the
 * true one. */
static void finish_plain(struct settling *w, const struct queue_settle *const *items, size_t count)
{
    struct stream *lane = &w->s->lanes[items[0]->lane];
    bool was_there[PLAIN_MAX], writes;
    size_t deleted = 0;
    char job[JOB_MAX];

    for (size_t i = 0; i < count; i++)
        deleted += was_there[i] = stream_delete(lane, items[i]->id);
    if (deleted == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        job_name(job, items[i]->lane, items[i]->id);
        writes = items[i]->receipt && (was_there[i] || !w->s->out_of_memory) &&
                 (deleted == count || !map_get(&w->s->receipts, span_str(job)));
        if (writes)
            write_receipt(w, job, items[i], span_of(NULL, 0));
        if (was_there[i] || writes)
            tell(w, job, items[i], false);
    }
}

static void finish_kind(struct settling *w, const struct queue_settle *items, size_t count,
                        enum lane lane, bool receipt)
{
    const struct queue_settle *chunk[PLAIN_MAX];
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        if (items[i].lane != lane || !is_plain(&items[i]) || items[i].receipt != receipt)
            continue;
        chunk[n++] = &items[i];
        if (n == array_len(chunk)) {
            finish_plain(w, chunk, n);
            n = 0;
        }
    }
    if (n)
        finish_plain(w, chunk, n);
}

int store_settle(struct store *s, const struct queue_settle *items, size_t count, uint32_t ttl_s,
                 uint64_t wall_ms, uint64_t now_ms, uint64_t *skipped)
{
    struct settling w = {.s = s, .ttl_s = ttl_s ? ttl_s : 1, .wall_ms = wall_ms, .now_ms = now_ms};

    if (s->disk_full)
        return -ENOMEM;
    for (int lane = 0; lane < LANE_N; lane++) {
        finish_kind(&w, items, count, (enum lane)lane, false);
        finish_kind(&w, items, count, (enum lane)lane, true);
        finish_others(&w, items, count, (enum lane)lane);
    }
    *skipped += w.skipped;
    return 0;
}

/* -- back from later -- */

int store_due(struct store *s, uint64_t wall_ms, uint32_t limit, uint64_t now_ms, uint32_t *moved,
              uint64_t *next_due_ms)
{
    *moved = 0;
    if (s->disk_full)
        return -ENOMEM;
    while (s->later_count && s->later[0].due_ms <= wall_ms && *moved < min_u64(limit, 1000)) {
        struct later *l = &s->later[0];
        struct span *spans = alloc_bytes((l->fields->count + 2) * sizeof(*spans));

        memcpy(spans, l->fields->at, l->fields->count * sizeof(*spans));
        spans[l->fields->count] = SPAN("job");
        spans[l->fields->count + 1] = span_str(l->job);
        store_add(s, l->lane, fields_copy(spans, l->fields->count + 2), now_ms);
        free(spans);
        store_drop_later(s, 0);
        (*moved)++;
    }
    *next_due_ms = s->later_count ? s->later[0].due_ms : NEVER;
    return 0;
}
