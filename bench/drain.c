/* SPDX-License-Identifier: MIT
 * The limit that Redis sets for a dispatcher: reads jobs and removes them, and does nothing else.
 *
 *   drain --redis SOCKET --stream S
 *
 * reads all entries with XREADGROUP COUNT 256, removes them with XACK and XDEL, and prints
 * {"count": N, "seconds": s, "per_s": r, "cpu_s": c}. */
#include <hiredis/hiredis.h>

#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AT_ONCE 256
#define NS_PER_S 1000000000

static redisContext *redis;

static void quit(const char *why)
{
    fprintf(stderr, "drain: %s\n", why);
    exit(1);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static redisReply *reply_next(void)
{
    redisReply *reply;

    if (redisGetReply(redis, (void **)&reply) != REDIS_OK)
        quit(redis->errstr);
    if (reply->type == REDIS_REPLY_ERROR)
        quit(reply->str);
    return reply;
}

static void append_read(const char *stream)
{
    redisAppendCommand(redis, "XREADGROUP GROUP drain me COUNT %d STREAMS %s >", AT_ONCE, stream);
}

static void append_removal(const char *stream, const redisReply *entries)
{
    const char *argv[3 + AT_ONCE];

    for (size_t i = 0; i < entries->elements; i++)
        argv[3 + i] = entries->element[i]->element[0]->str;
    argv[0] = "XACK";
    argv[1] = stream;
    argv[2] = "drain";
    redisAppendCommandArgv(redis, 3 + (int)entries->elements, argv, NULL);
    argv[1] = "XDEL"; /* the arguments of XACK without the group */
    argv[2] = stream;
    redisAppendCommandArgv(redis, 2 + (int)entries->elements, argv + 1, NULL);
}

/* Asks for the next entries together with the removal of the previous ones, so that Redis is never
 * idle. */
static long drain(const char *stream)
{
    long count = 0;

    append_read(stream);
    for (;;) {
        redisReply *read = reply_next();
        const redisReply *entries;

        if (read->type != REDIS_REPLY_ARRAY) {
            freeReplyObject(read);
            return count;
        }
        entries = read->element[0]->element[1];
        count += (long)entries->elements;
        append_removal(stream, entries);
        append_read(stream);
        freeReplyObject(read);
        freeReplyObject(reply_next());
        freeReplyObject(reply_next());
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"redis", 1, NULL, 'r'}, {"stream", 1, NULL, 's'}, {NULL, 0, NULL, 0}};
    const char *socket = NULL, *stream = NULL;
    uint64_t from_ns;
    double seconds;
    long count;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'r')
            socket = optarg;
        else if (c == 's')
            stream = optarg;
        else
            exit(2);
    }
    if (!socket || !stream)
        quit("--redis and --stream are needed");
    redis = redisConnectUnix(socket);
    if (!redis || redis->err)
        quit("no Redis there");
    redisAppendCommand(redis, "XGROUP CREATE %s drain 0", stream);
    freeReplyObject(reply_next());
    from_ns = clock_ns(CLOCK_MONOTONIC);
    count = drain(stream);
    seconds = (double)(clock_ns(CLOCK_MONOTONIC) - from_ns) / NS_PER_S;
    printf("{\"count\": %ld, \"seconds\": %.4f, \"per_s\": %.0f, \"cpu_s\": %.4f}\n", count,
           seconds, (double)count / seconds, (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / NS_PER_S);
    redisFree(redis);
    return 0;
}
