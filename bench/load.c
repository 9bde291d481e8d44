/* SPDX-License-Identifier: MIT
 * A producer that is never the bottleneck.
 *
 *   load --redis SOCKET --account A --lane L --kind url|key --count N [--rate R]
 *
 * pushes N jobs with one distinct target each, pipelined. With --rate it pushes R a second, evenly
 * and one by one, and each URL carries the moment it was pushed (Unix microseconds), for the sink
 * to subtract. */
#include <hiredis/hiredis.h>

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PIPELINE 512
#define NS_PER_S 1000000000

struct load {
    const char *socket, *account, *lane;
    bool keys;
    long count, rate;
    redisContext *redis;
    char stream[160];
};

static void quit(const char *why)
{
    fprintf(stderr, "load: %s\n", why);
    exit(1);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* A URL of 48 bytes or a key of 40, as a site would have them. */
static void append(struct load *l, long i)
{
    char target[96];
    const char *argv[] = {"XADD", l->stream, "*", l->keys ? "keys" : "url", target};

    if (l->keys)
        snprintf(target, sizeof(target), "article-%032ld", i);
    else if (l->rate)
        snprintf(target, sizeof(target), "www.example.com/pushed-at/%llu",
                 (unsigned long long)(clock_ns(CLOCK_REALTIME) / 1000));
    else
        snprintf(target, sizeof(target), "www.example.com/news/2026/some-article-%010ld", i);
    if (redisAppendCommandArgv(l->redis, 5, argv, NULL) != REDIS_OK)
        quit("out of memory");
}

static void expect(struct load *l, long replies)
{
    while (replies-- > 0) {
        redisReply *reply;

        if (redisGetReply(l->redis, (void **)&reply) != REDIS_OK)
            quit(l->redis->errstr);
        if (reply->type == REDIS_REPLY_ERROR)
            quit(reply->str);
        freeReplyObject(reply);
    }
}

static void push_at_once(struct load *l)
{
    for (long i = 0; i < l->count; i += PIPELINE) {
        long n = l->count - i < PIPELINE ? l->count - i : PIPELINE;

        for (long k = 0; k < n; k++)
            append(l, i + k);
        expect(l, n);
    }
}

static void push_evenly(struct load *l)
{
    uint64_t next_ns = clock_ns(CLOCK_MONOTONIC);

    for (long i = 0; i < l->count; i++) {
        struct timespec at;

        next_ns += (uint64_t)(NS_PER_S / l->rate);
        at = (struct timespec){(time_t)(next_ns / NS_PER_S), (long)(next_ns % NS_PER_S)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        append(l, i);
        expect(l, 1);
    }
}

static void parse(struct load *l, int argc, char **argv)
{
    static const struct option options[] = {
        {"redis", 1, NULL, 's'}, {"account", 1, NULL, 'a'}, {"lane", 1, NULL, 'l'},
        {"kind", 1, NULL, 'k'},  {"count", 1, NULL, 'n'},   {"rate", 1, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            l->socket = optarg;
        else if (c == 'a')
            l->account = optarg;
        else if (c == 'l')
            l->lane = optarg;
        else if (c == 'k')
            l->keys = strcmp(optarg, "key") == 0;
        else if (c == 'n')
            l->count = atol(optarg);
        else if (c == 'r')
            l->rate = atol(optarg);
        else
            exit(2);
    }
    if (!l->socket || !l->account || !l->lane || l->count < 1)
        quit("--redis, --account, --lane and --count are needed");
    snprintf(l->stream, sizeof(l->stream), "purgeline:{%s}:jobs:%s", l->account, l->lane);
}

int main(int argc, char **argv)
{
    struct load l = {0};

    parse(&l, argc, argv);
    l.redis = redisConnectUnix(l.socket);
    if (!l.redis || l.redis->err)
        quit("no Redis there");
    if (l.rate)
        push_evenly(&l);
    else
        push_at_once(&l);
    redisFree(l.redis);
    return 0;
}
