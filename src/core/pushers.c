/* SPDX-License-Identifier: MIT */
#include "pushers.h"

_Static_assert(PUSHERS_MAX < 1u << PUSHERS_BITS, "PUSHERS_BITS");

unsigned pushers_number(struct pushers *p, struct span name)
{
    struct pusher *new;

    if (name.n == 0 || name.n > JOB_BY_MAX_BYTES)
        return 0;
    for (unsigned i = 0; i < p->count; i++)
        if (span_eq(span_of(p->at[i].name, p->at[i].n), name))
            return i + 1;
    if (pushers_full(p))
        return 0;
    new = &p->at[p->count++];
    new->n = (uint16_t)name.n;
    memcpy(new->name, name.p, name.n);
    return p->count;
}

struct span pushers_name(const struct pushers *p, unsigned number)
{
    must(number <= p->count);
    return number ? span_of(p->at[number - 1].name, p->at[number - 1].n) : SPAN("");
}

bool pushers_full(const struct pushers *p)
{
    return p->count == PUSHERS_MAX;
}

void pushers_clear(struct pushers *p)
{
    p->count = 0;
}
