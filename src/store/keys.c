/* SPDX-License-Identifier: MIT */
#include "keys.h"

#include "buf.h"

/* Without printf, because this is done for every job. */
static char *key_of(const char *account, const char *what, const char *which)
{
    struct buf key;

    buf_init(&key, SIZE_MAX);
    buf_put(&key, SPAN("purgeline:{"));
    buf_put(&key, span_str(account));
    buf_put(&key, SPAN("}:"));
    buf_put(&key, span_str(what));
    buf_put(&key, span_str(which));
    return buf_take(&key);
}

char *redis_key(const char *account, const char *what)
{
    return key_of(account, what, "");
}

char *redis_key_lane(const char *account, enum lane lane)
{
    return key_of(account, "jobs:", lane_names[lane]);
}
