/* SPDX-License-Identifier: MIT */
#include "rediskey.h"

#include "alloc.h"

char *rediskey(const char *account, const char *what)
{
    return alloc_printf("purgeline:{%s}:%s", account, what);
}

char *rediskey_lane(const char *account, enum lane lane)
{
    return alloc_printf("purgeline:{%s}:jobs:%s", account, lane_names[lane]);
}
