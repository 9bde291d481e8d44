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

uint64_t loglimit_end(struct loglimit *l, uint64_t now_ns, uint64_t *unwritten)
{
    *unwritten = 0;
    if (!l->written)
        return NEVER;
    if (now_ns < l->begun_ns + NS_PER_S)
        return l->begun_ns + NS_PER_S;
    *unwritten = l->unwritten;
    *l = (struct loglimit){0};
    return NEVER;
}
