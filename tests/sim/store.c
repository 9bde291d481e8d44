/* SPDX-License-Identifier: MIT */
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"

struct store *store_new(const char *account)
{
    struct store *s = alloc_zeroed(1, sizeof(*s));

    s->account = alloc_str(account);
    for (int lane = 0; lane < LANE_N; lane++)
        stream_init(&s->lanes[lane]);
    stream_init(&s->dead);
    map_init(&s->receipts);
    snprintf(s->policy, sizeof(s->policy), "noeviction");
    return s;
}

static void free_receipts(struct map *m)
{
    map_each(slot, m)
    {
        struct receipt *r = slot->value;

        free(r->ref);
        free(r->reason);
        free(r);
    }
    map_deinit(m);
}

void store_free(struct store *s)
{
    if (!s)
        return;
    for (int lane = 0; lane < LANE_N; lane++)
        stream_deinit(&s->lanes[lane]);
    stream_deinit(&s->dead);
    while (s->later_count)
        store_drop_later(s, s->later_count - 1);
    free(s->later);
    free_receipts(&s->receipts);
    for (int l = 0; l < LEDGER_N; l++)
        free(s->ledgers[l].spent);
    free(s->status);
    free(s->account);
    free(s);
}

/* -- jobs come -- */

void store_add(struct store *s, enum lane lane, struct fields *f, uint64_t now_ms)
{
    stream_add(&s->lanes[lane], f, now_ms);
    if (s->added)
        s->added(s->ctx);
}

int store_push(struct store *s, enum lane lane, const struct span *fields, size_t count,
               uint64_t now_ms, struct entry_id *id)
{
    if (s->out_of_memory || s->disk_full)
        return -ENOMEM;
    store_add(s, lane, fields_copy(fields, count), now_ms);
    *id = s->lanes[lane].last;
    return 0;
}

void store_delete_lanes(struct store *s)
{
    for (int lane = 0; lane < LANE_N; lane++)
        if (s->lanes[lane].length == 0)
            stream_deinit(&s->lanes[lane]);
}

/* -- the lease -- */

const char *store_holder(const struct store *s, uint64_t now_ms)
{
    return s->lease[0] && s->lease_until_ms > now_ms ? s->lease : "";
}

static void publish(struct store *s, struct span status)
{
    if (!status.n)
        return;
    free(s->status);
    s->status = alloc_copy(status.p, status.n);
}

bool store_cancel(struct store *s, enum lane lane, struct entry_id id)
{
    if (s->cancelled_count < array_len(s->cancelled))
        s->cancelled[s->cancelled_count++] = (struct queue_name){lane, id};
    return stream_delete(&s->lanes[lane], id);
}

/* What the leader has heard of is forgotten, the rest told (once more). */
static void tell_cancelled(struct store *s, uint64_t *told, struct queue_lease *out)
{
    size_t heard = *told > s->cancelled_heard ? *told - s->cancelled_heard : 0;
    size_t n;

    heard = min_u64(heard, s->cancelled_count);
    s->cancelled_heard += heard;
    s->cancelled_count -= heard;
    memmove(s->cancelled, s->cancelled + heard, s->cancelled_count * sizeof(*s->cancelled));
    n = min_u64(s->cancelled_count, QUEUE_CANCELLED_MAX);
    memcpy(out->cancelled, s->cancelled, n * sizeof(*s->cancelled));
    out->cancelled_count = n;
    *told = s->cancelled_heard + n;
}

int store_lease(struct store *s, const char *owner, uint64_t ttl_ms, const char *usurp,
                struct span status, const struct queue_clock *clock, uint64_t now_ms,
                uint64_t *told, struct queue_lease *out)
{
    const char *holder = store_holder(s, now_ms);
    bool ours = strcmp(holder, owner) == 0;
    bool take = !holder[0] || (usurp && usurp[0] && strcmp(holder, usurp) == 0);

    if (s->disk_full && (ours || take))
        return -ENOMEM;
    *out = (struct queue_lease){
        .leading = ours || take, .taken_over = !ours && take, .paused = s->paused};
    if (!out->leading)
        *told = 0;
    if (out->leading) {
        tell_cancelled(s, told, out);
        snprintf(s->lease, sizeof(s->lease), "%s", owner);
        s->lease_until_ms = now_ms + ttl_ms;
        publish(s, status);
        if (ours && clock->account_ms) {
            s->clock = *clock;
            s->clock_at_ms = now_ms;
        }
    }
    snprintf(out->holder, sizeof(out->holder), "%s", s->lease);
    out->holder_ttl_ms = s->lease_until_ms - now_ms;
    snprintf(out->paused_why, sizeof(out->paused_why), "%s", s->paused_why);
    return 0;
}

int store_release(struct store *s, const char *owner, uint64_t now_ms)
{
    if (strcmp(store_holder(s, now_ms), owner) != 0)
        return 0;
    if (s->disk_full)
        return -ENOMEM;
    s->lease[0] = '\0';
    return 0;
}

int store_pause(struct store *s, bool paused, struct span why)
{
    if (s->disk_full)
        return -ENOMEM;
    s->paused = paused;
    snprintf(s->paused_why, sizeof(s->paused_why), "%.*s", (int)why.n, why.n ? why.p : "");
    return 0;
}

/* -- looking -- */

void store_depth(const struct store *s, const struct entry_id seen[LANE_N],
                 struct queue_depth depth[LANE_N])
{
    for (int lane = 0; lane < LANE_N; lane++) {
        const struct stream *stream = &s->lanes[lane];

        depth[lane] = (struct queue_depth){.entries = stream->length,
                                           .all_read = !stream_has_after(stream, seen[lane]),
                                           .beyond = queue_id_is_beyond(stream->last),
                                           .anew = entry_id_compare(stream->last, seen[lane]) < 0};
    }
}

void store_server(const struct store *s, struct queue_server *out)
{
    *out = (struct queue_server){.version = "7.0.15", .aof = true, .aof_known = true};
    out->full = s->out_of_memory;
    snprintf(out->maxmemory_policy, sizeof(out->maxmemory_policy), "%s", s->policy);
}

size_t store_read(struct store *s, enum lane lane, struct entry_id seen, uint32_t most,
                  uint64_t now_ms, struct stream_entry **out)
{
    return stream_read(&s->lanes[lane], seen, most, now_ms, out);
}

const struct receipt *store_receipt(const struct store *s, const char *job)
{
    return map_get(&s->receipts, span_str(job));
}

uint64_t store_waiting(const struct store *s)
{
    uint64_t n = s->later_count;

    for (int lane = 0; lane < LANE_N; lane++)
        n += s->lanes[lane].length;
    return n;
}
