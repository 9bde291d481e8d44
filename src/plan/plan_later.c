/* SPDX-License-Identifier: MIT */
#include "plan_later.h"

#include <stdlib.h>

#include "alloc.h"

void plan_later_init(struct plan_later *s, size_t bytes_max)
{
    *s = (struct plan_later){.bytes_max = bytes_max};
    heap_init(&s->due);
}

void plan_later_deinit(struct plan_later *s)
{
    struct plan_later_job *job;

    while ((job = plan_later_take(s, NEVER)))
        plan_later_return(s, job);
    for (uint32_t i = 0; i < s->repeats_count; i++)
        free(s->repeats[i]);
    free(s->repeats);
    heap_deinit(&s->due);
}

static bool left_out(const struct plan_later_job *job, struct span name)
{
    return job->repeat_ms && (span_is(name, "repeat_after") || span_is(name, "not_before"));
}

static struct plan_later_job *copy(struct plan_later *s, enum lane lane, const struct span *fields,
                                   size_t count, uint64_t repeat_ms)
{
    size_t bytes = sizeof(struct plan_later_job) + count * sizeof(*fields);
    struct plan_later_job *job;
    char *at;

    for (size_t i = 0; i < count; i++)
        bytes += fields[i].n;
    if (bytes > s->bytes_max - s->bytes)
        return NULL;
    s->bytes += bytes;
    job = alloc_bytes(bytes);
    *job = (struct plan_later_job){.lane = lane, .repeat_ms = repeat_ms, .bytes = bytes};
    heap_node_init(&job->due);
    at = (char *)&job->fields[count];
    for (size_t i = 0; i < count; i++) {
        if (left_out(job, fields[i / 2 * 2]))
            continue;
        if (fields[i].n)
            memcpy(at, fields[i].p, fields[i].n);
        job->fields[job->count++] = span_of(at, fields[i].n);
        at += fields[i].n;
    }
    return job;
}

bool plan_later_put(struct plan_later *s, enum lane lane, const struct span *fields, size_t count,
                    uint64_t due_ns)
{
    struct plan_later_job *job = copy(s, lane, fields, count, 0);

    if (job)
        heap_insert(&s->due, &job->due, due_ns);
    return job != NULL;
}

uint32_t plan_later_put_repeat(struct plan_later *s, enum lane lane, const struct span *fields,
                               size_t count, uint64_t repeat_ms)
{
    struct plan_later_job *job = copy(s, lane, fields, count, repeat_ms);

    if (!job)
        return 0;
    s->repeats =
        alloc_grow(s->repeats, (size_t)s->repeats_count + 1, sizeof(struct plan_later_job *));
    s->repeats[s->repeats_count++] = job;
    return s->repeats_count;
}

void plan_later_repeat(struct plan_later *s, uint32_t number, uint64_t now_ns)
{
    struct plan_later_job *job = s->repeats[number - 1];

    heap_insert(&s->due, &job->due, add_time(now_ns, job->repeat_ms * NS_PER_MS));
}

uint64_t plan_later_next(const struct plan_later *s)
{
    return heap_min(&s->due) ? heap_min(&s->due)->key : NEVER;
}

struct plan_later_job *plan_later_take(struct plan_later *s, uint64_t now_ns)
{
    struct heap_node *first = heap_min(&s->due);

    if (!first || first->key > now_ns)
        return NULL;
    heap_remove(&s->due, first);
    return container_of(first, struct plan_later_job, due);
}

/* A repeat keeps its number and its place until the end. */
void plan_later_return(struct plan_later *s, struct plan_later_job *job)
{
    if (job->repeat_ms)
        return;
    s->bytes -= job->bytes;
    free(job);
}
