/* SPDX-License-Identifier: MIT */
#include "known_jobs.h"

#include <stdlib.h>

#include "alloc.h"

/* 16 bytes; window_bytes and settle_bytes count them as that. */
struct known {
    uint64_t ms_lane, seq;
};

static struct known known_of(enum lane lane, struct entry_id id)
{
    return (struct known){id.ms << 2 | (uint64_t)lane, id.seq};
}

static int compare_known(const void *left, const void *right)
{
    const struct known *a = left, *b = right;

    if (a->ms_lane != b->ms_lane)
        return a->ms_lane < b->ms_lane ? -1 : 1;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

uint64_t known_jobs_count(const struct window *w, const struct origin *o, const struct settle *s)
{
    uint64_t n = window_jobs(w) + origin_jobs(o);

    for (int lane = 0; lane < LANE_N; lane++)
        n += settle_unconfirmed(s, (enum lane)lane);
    return n;
}

static void know(void *ctx, enum lane lane, struct entry_id id)
{
    struct known_jobs *k = ctx;

    k->ids[k->count++] = known_of(lane, id);
}

static void know_job(void *ctx, const struct window_job *job)
{
    know(ctx, (enum lane)job->lane, (struct entry_id){job->id_ms, job->id_seq});
}

void known_jobs_list(struct known_jobs *k, const struct window *w, const struct origin *o,
                     const struct settle *s)
{
    k->ids = alloc_grow(NULL, known_jobs_count(w, o, s), sizeof(*k->ids));
    k->count = 0;
    window_each_job(w, know_job, k);
    origin_each_job(o, know, k);
    settle_each_unconfirmed(s, know, k);
    qsort(k->ids, k->count, sizeof(*k->ids), compare_known);
}

void known_jobs_clear(struct known_jobs *k)
{
    free(k->ids);
    *k = (struct known_jobs){0};
}

bool known_jobs_has(const struct known_jobs *k, enum lane lane, struct entry_id id)
{
    struct known key = known_of(lane, id);

    return bsearch(&key, k->ids, k->count, sizeof(key), compare_known) != NULL;
}

uint64_t known_jobs_bytes(const struct known_jobs *k)
{
    return k->count * sizeof(*k->ids);
}
