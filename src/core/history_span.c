/* SPDX-License-Identifier: MIT */
#include "history_span.h"

#define MS_END UINT64_C(100000000000000) /* fourteen digits */
#define SEQ_END UINT64_C(1000000000000)  /* twelve digits */

_Static_assert(SEQ_END <= UINT64_C(1) << 40, "the place of a ms");
_Static_assert(HISTORY_SPAN_MS <= 1 << 12, "52 bits in all");

bool history_span_fits(uint64_t ms, uint64_t seq)
{
    return ms < MS_END && seq < SEQ_END;
}

static bool is_before(uint64_t ms, uint64_t seq, uint64_t than_ms, uint64_t than_seq)
{
    return ms != than_ms ? ms < than_ms : seq < than_seq;
}

/* Jobs end nearly in the order of their ids, so the span that was added last comes first. */
static struct history_span *span_for(struct history_spans *s, uint64_t ms)
{
    for (size_t i = s->count; i-- > 0;)
        if (s->at[i].first_ms / HISTORY_SPAN_MS == ms / HISTORY_SPAN_MS)
            return &s->at[i];
    return NULL;
}

void history_spans_add(struct history_spans *s, uint64_t ms, uint64_t seq)
{
    struct history_span *at = span_for(s, ms);

    if (!at) {
        must(s->count < HISTORY_SPANS_MAX);
        s->at[s->count++] = (struct history_span){ms, seq, ms, seq};
        return;
    }
    if (is_before(ms, seq, at->first_ms, at->first_seq)) {
        at->first_ms = ms;
        at->first_seq = seq;
    }
    if (is_before(at->last_ms, at->last_seq, ms, seq)) {
        at->last_ms = ms;
        at->last_seq = seq;
    }
}

uint64_t history_span_score(uint64_t ms, uint64_t seq)
{
    return ms % HISTORY_SPAN_MS << 40 | seq;
}
