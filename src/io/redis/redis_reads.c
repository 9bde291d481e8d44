/* SPDX-License-Identifier: MIT */
#include "redis_reads.h"

#include <string.h>

#include "base.h"

/* MULTI and WATCH change nothing; what they are for is done by EXEC, which is not listed. */
static const char *const readers[] = {
    "AUTH",  "CLUSTER", "CONFIG",  "DISCARD",      "EXISTS", "GET",      "HGET",   "HGETALL",
    "HLEN",  "HMGET",   "HSTRLEN", "INFO",         "LRANGE", "MEMORY",   "MGET",   "MULTI",
    "PING",  "PTTL",    "ROLE",    "SCAN",         "SELECT", "SENTINEL", "STRLEN", "SUBSCRIBE",
    "TIME",  "TYPE",    "WAIT",    "WATCH",        "XINFO",  "XLEN",     "XRANGE", "XREVRANGE",
    "ZCARD", "ZRANGE",  "ZSCORE",  "ZRANGEBYSCORE"};

static bool is_reader(struct span name)
{
    for (size_t i = 0; i < array_len(readers); i++)
        if (span_eq_nocase(name, span_str(readers[i])))
            return true;
    return false;
}

bool redis_only_reads(size_t argc, const struct span *argv)
{
    if (argc > 1 && span_eq_nocase(argv[0], SPAN("EVAL")))
        return argv[1].n >= sizeof(REDIS_QUESTION) - 1 &&
               memcmp(argv[1].p, REDIS_QUESTION, sizeof(REDIS_QUESTION) - 1) == 0;
    return is_reader(argv[0]);
}
