/* SPDX-License-Identifier: MIT
 * The headers of a page, from any server, and every sentence about them. The input is the head of a
 * reply; the page is explained as if it had been fetched once with half of the head and once with
 * all of it. */
#include "diagnosis.h"
#include "fastly.h"
#include "fuzz.h"

static bool lies_within(struct span part, struct span whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check(const struct sighting *s, struct span head)
{
    size_t open = 0;

    must(s->hops_count <= SIGHTING_HOPS_MAX);
    must((sighting_pop(s) != NULL) == (s->hops_count > 0));
    must((sighting_shield(s) != NULL) == (s->hops_count > 1));
    for (size_t i = 0; i < s->hops_count; i++) {
        must(lies_within(s->hops[i].server, head) && lies_within(s->hops[i].pop, head));
        must(s->hops[i].cache < SIGHTING_CACHE_N);
        must(s->hops[i].age_s <= SIGHTING_TIME_MAX_S);
    }
    must(lies_within(s->ignored, head) && lies_within(s->comma_key, head));
    must(lies_within(s->long_key, head) && lies_within(s->uncacheable, head));
    must(s->age_s <= SIGHTING_TIME_MAX_S && s->swr_s <= SIGHTING_TIME_MAX_S);
    must(s->keys_ignored <= s->keys_count && s->keys_bytes <= head.n);
    must(s->keys_ignored == 0 || s->keys_bytes > FASTLY_BATCH_MAX_BYTES);
    must((s->ignored.n > 0) == (s->keys_ignored > 0));

    /* A later look can turn "old" into "cannot be said" and that into "new", never back. */
    for (uint64_t ms = 0; ms < 5000; ms += 500) {
        enum sighting_state state = sighting_against(s, ms, ms);

        must(state != SIGHTING_STALE || open == 0);
        open += state != SIGHTING_STALE;
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
    struct span head = span_of((const char *)data, size);
    struct diagnosis_purge purge = {.after = "2.0 s"};
    struct sighting half, whole;
    size_t count = 0;

    sighting_read(&half, span_of(head.p, head.n / 2));
    sighting_read(&whole, head);
    check(&half, head);
    check(&whole, head);
    diagnosis_page(&half, &whole, on_finding, &count);
    must(count > 0);
    for (unsigned i = 0; i < 8; i++) {
        purge.soft = i & 1;
        purge.second = i & 2;
        purge.looked_before = i & 4;
        purge.swr_s = whole.swr_s;
        for (int state = SIGHTING_FRESH; state <= SIGHTING_OPEN; state++)
            diagnosis_after(&purge, &whole, (enum sighting_state)state, on_finding, &count);
    }
    return 0;
}
