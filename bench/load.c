/* SPDX-License-Identifier: MIT
 * A producer that is fast enough never to be the bottleneck.
 *
 *   load --redis SOCKET --account A --lane L | --stream S  --kind url|key|held|slow|page
 *        --count N [--distinct D] [--rate R] [--pipeline P]
 *
 * pushes N jobs with one target each, pipelined: all targets are different, or D targets repeat.
 * With --rate it pushes R jobs a second, evenly and one by one, and each URL contains the time of
 * the push (Unix microseconds), from which the sink computes the delay. The kind "held" means URLs
 * that the sink logs, "slow" URLs that it answers after 20 ms, "page" URLs with http://, whose
 * pages can be looked at. Prints {"count": N, "seconds": s, "per_s": r, "cpu_s": c}. */
#include <hiredis/hiredis.h>

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000

enum kind { KIND_URL, KIND_KEY, KIND_HELD, KIND_SLOW, KIND_PAGE };

struct load {
    const char *socket, *account, *lane, *stream_name;
    enum kind kind;
    long count, distinct, rate, pipeline;
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

/* Appends a job with a URL of 48 bytes or a key of 40 bytes, which are realistic lengths. */
static void append(struct load *l, long i)
{
    char target[96];
    const char *field = l->kind == KIND_KEY ? "keys" : "url";
    const char *argv[] = {"XADD", l->stream, "*", field, target};

    if (l->distinct)
        i %= l->distinct;
    if (l->kind == KIND_KEY)
        snprintf(target, sizeof(target), "article-%032ld", i);
    else if (l->kind == KIND_HELD)
        snprintf(target, sizeof(target), "www.example.com/held/%s/%ld", l->account, i);
    else if (l->kind == KIND_SLOW)
        snprintf(target, sizeof(target), "www.example.com/slow/2026/some-article-%010ld", i);
    else if (l->rate)
        snprintf(target, sizeof(target), "%swww.example.com/pushed-at/%llu",
                 l->kind == KIND_PAGE ? "http://" : "",
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
    for (long i = 0; i < l->count; i += l->pipeline) {
        long n = l->count - i < l->pipeline ? l->count - i : l->pipeline;

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

static enum kind kind_of(const char *name)
{
    if (strcmp(name, "key") == 0)
        return KIND_KEY;
    if (strcmp(name, "slow") == 0)
        return KIND_SLOW;
    if (strcmp(name, "page") == 0)
        return KIND_PAGE;
    return strcmp(name, "held") == 0 ? KIND_HELD : KIND_URL;
}

static void parse(struct load *l, int argc, char **argv)
{
    static const struct option options[] = {
        {"redis", 1, NULL, 's'},    {"account", 1, NULL, 'a'},  {"lane", 1, NULL, 'l'},
        {"stream", 1, NULL, 't'},   {"kind", 1, NULL, 'k'},     {"count", 1, NULL, 'n'},
        {"distinct", 1, NULL, 'd'}, {"pipeline", 1, NULL, 'p'}, {"rate", 1, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    const char *value[128] = {0};
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == '?')
            exit(2);
        value[c] = optarg;
    }
    l->socket = value['s'];
    l->account = value['a'] ? value['a'] : "";
    l->lane = value['l'];
    l->stream_name = value['t'];
    l->kind = kind_of(value['k'] ? value['k'] : "url");
    l->count = value['n'] ? atol(value['n']) : 0;
    l->distinct = value['d'] ? atol(value['d']) : 0;
    l->pipeline = value['p'] ? atol(value['p']) : 512;
    l->rate = value['r'] ? atol(value['r']) : 0;
    if (!l->socket || (!l->lane && !l->stream_name) || l->count < 1 || l->pipeline < 1)
        quit("--redis, --lane or --stream, and --count are needed");
    if (l->stream_name)
        snprintf(l->stream, sizeof(l->stream), "%s", l->stream_name);
    else
        snprintf(l->stream, sizeof(l->stream), "purgeline:{%s}:jobs:%s", l->account, l->lane);
}

int main(int argc, char **argv)
{
    struct load l = {0};
    uint64_t from_ns;
    double seconds;

    parse(&l, argc, argv);
    l.redis = redisConnectUnix(l.socket);
    if (!l.redis || l.redis->err)
        quit("no Redis there");
    from_ns = clock_ns(CLOCK_MONOTONIC);
    if (l.rate)
        push_evenly(&l);
    else
        push_at_once(&l);
    seconds = (double)(clock_ns(CLOCK_MONOTONIC) - from_ns) / NS_PER_S;
    printf("{\"count\": %ld, \"seconds\": %.4f, \"per_s\": %.0f, \"cpu_s\": %.4f}\n", l.count,
           seconds, (double)l.count / seconds,
           (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / NS_PER_S);
    redisFree(l.redis);
    return 0;
}
