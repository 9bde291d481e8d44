/* SPDX-License-Identifier: MIT */
#include "page_job.h"

#include <stdlib.h>

#include "alloc.h"
#include "verify_page.h"

static size_t targets_bytes(const struct job_spec *spec)
{
    size_t n = 0;

    for (uint32_t i = 0; i < spec->targets_count; i++)
        n += spec->targets[i].bytes.n;
    return n;
}

uint64_t page_job_bytes(const struct job_spec *spec)
{
    return ALLOC_TAKES(sizeof(struct page_job)) + ALLOC_TAKES(VERIFY_PAGE_HEADER_MAX_BYTES + 1) +
           ALLOC_TAKES(spec->targets_count * sizeof(*spec->targets) + targets_bytes(spec));
}

struct page_job *page_job_new(const struct job_spec *spec, const struct window_add *how)
{
    struct page_job *p = alloc_zeroed(1, sizeof(*p));
    struct job_target *targets =
        alloc_bytes(spec->targets_count * sizeof(*targets) + targets_bytes(spec));
    char *text = (char *)(targets + spec->targets_count);

    for (uint32_t i = 0; i < spec->targets_count; i++) {
        struct span bytes = spec->targets[i].bytes;

        if (bytes.n)
            memcpy(text, bytes.p, bytes.n);
        targets[i] = spec->targets[i];
        targets[i].bytes.p = text;
        text += bytes.n;
    }
    *p = (struct page_job){.lane = how->lane,
                           .id_ms = how->id_ms,
                           .id_seq = how->id_seq,
                           .header = alloc_str(spec->page->header),
                           .at_least = spec->page->at_least,
                           .spec = {.targets = targets,
                                    .targets_count = spec->targets_count,
                                    .service = spec->service,
                                    .soft = spec->soft}};
    return p;
}

void page_job_free(struct page_job *p)
{
    if (!p)
        return;
    free(p->spec.targets);
    free(p->header);
    free(p);
}

bool page_job_is(const struct page_job *p, const struct window_job *job)
{
    return p->id_ms == job->id_ms && p->id_seq == job->id_seq && p->lane == (enum lane)job->lane;
}

void page_job_repeat(const struct page_job *p, struct window *w, uint64_t now_ns)
{
    const struct window_add how = {
        .lane = p->lane, .id_ms = p->id_ms, .id_seq = p->id_seq, .again = true, .now_ns = now_ns};

    window_repeat(w, p->number, &p->spec, &how);
}
