/* SPDX-License-Identifier: MIT
 * The address of a Redis, from the configuration or the environment. Input: the address. */
#include "alloc.h"
#include "fuzz.h"
#include "redis.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *url = alloc_copy((const char *)data, size);
    struct error err = {""};
    struct redis_address a;

    if (redis_address_parse(url, &a, &err) == 0) {
        must(!!a.host + !!a.unix_path + !!a.master == 1);
        must(!a.host || (*a.host && a.port > 0));
        must(!a.master || (*a.master && a.sentinels_count > 0));
        for (uint32_t i = 0; i < a.sentinels_count; i++)
            must(*a.sentinels[i].host && a.sentinels[i].port > 0);
        must(!a.user || a.password);
        redis_address_deinit(&a);
    } else {
        must(*err.text && strnlen(err.text, sizeof(err.text)) < sizeof(err.text));
    }
    free(url);
    return 0;
}
