/* SPDX-License-Identifier: MIT */
#include "keys.h"

#include "alloc.h"

char *redis_key(const char *account, const char *what)
{
    return alloc_printf("purgeline:{%s}:%s", account, what);
}

char *redis_key_lane(const char *account, enum lane lane)
{
    return alloc_printf("purgeline:{%s}:jobs:%s", account, lane_names[lane]);
}
