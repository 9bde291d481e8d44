/* SPDX-License-Identifier: MIT
 * The answer of edge_check, and every sentence about it. */
#include "diagnosis_pops.h"
#include "fuzz.h"

static void check_pop(const struct edge_check *e, size_t i)
{
    const struct edge_check_pop *p = &e->pops[i];

    must(p->answer < EDGE_CHECK_ANSWERS_N && *p->name);
    must((*p->hash != '\0') == (p->answer == EDGE_CHECK_CONTENT));
    must((p->peers > 0) == (p->answer == EDGE_CHECK_CONTENT) && p->peers <= e->count);
    must(p->seen.hops_count <= SIGHTING_HOPS_MAX && p->seen.status < 1000);
    if (i > 0) {
        must(p->answer >= e->pops[i - 1].answer);
        must(p->answer > e->pops[i - 1].answer || p->peers <= e->pops[i - 1].peers);
    }
}

static void on_finding(void *ctx, const struct diagnosis_finding *f)
{
    size_t *count = ctx;

    must(f->grade < DIAGNOSIS_N && *f->subject && *f->what && f->advice);
    ++*count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct edge_check e;
    struct error err;
    size_t count = 0;

    if (edge_check_read(&e, span_of((const char *)data, size), &err) < 0)
        return 0;
    must(e.count <= EDGE_CHECK_POPS_MAX && e.contents <= e.count);
    for (size_t i = 0; i < e.count; i++)
        check_pop(&e, i);
    diagnosis_pops(&e, NULL, on_finding, &count);
    must(count > 0);
    for (uint64_t ms = 0; ms < 5000; ms += 2500) {
        struct diagnosis_pops_purge purge = {ms, ms + 1, size % 2 == 1};

        diagnosis_pops(&e, &purge, on_finding, &count);
    }
    edge_check_deinit(&e);
    return 0;
}
