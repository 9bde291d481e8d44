/* SPDX-License-Identifier: MIT */
#include "loglimit.h"

#include "clock.h"

bool loglimit_take(struct loglimit *l, uint64_t now_ns)
{
    if (!l->written)
        l->begun_ns = now_ns;
    if (l->written == LOGLIMIT_PER_S) {
        l->unwritten++;
        return false;
    }
    l->written++;
    return true;
}

uint64_t loglimit_due_ns(const struct loglimit *l)
{
    return l->written ? l->begun_ns + NS_PER_S : NEVER;
}

uint64_t loglimit_end(struct loglimit *l, uint64_t now_ns, uint64_t *unwritten)
{
    *unwritten = 0;
    if (!l->written || now_ns < loglimit_due_ns(l))
        return loglimit_due_ns(l);
    *unwritten = l->unwritten;
    *l = (struct loglimit){0};
    return NEVER;
}
