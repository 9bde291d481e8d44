/* SPDX-License-Identifier: MIT */
#include "backlog_count.h"

#include <stdlib.h>

#include "keys.h"

int backlog_count(struct client *c, const char *account, uint64_t *jobs)
{
    struct redisReply *reply;
    uint64_t sum = 0;

    for (int lane = 0; lane < LANE_N; lane++) {
        char *key = redis_key_lane(account, (enum lane)lane);
        int rc = client_ask_words(c, (const char *const[]){"XLEN", key, NULL}, &reply);

        free(key);
        if (rc < 0)
            return rc;
        sum += reply_u64(reply);
    }
    *jobs = sum;
    return 0;
}
