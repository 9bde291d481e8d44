/* SPDX-License-Identifier: MIT
 * Runs a dispatcher with the jobs that wait in Redis, and measures its time.
 *
 *   stopwatch --redis SOCKET --account A --until delivered|under|empty --count N
 *             [--since lease|start] -- COMMAND...
 *
 *   delivered  it has read all jobs, and waits for more
 *   under      fewer than N jobs are left
 *   empty      no job is left: all are acknowledged and removed
 *
 * Then it measures, stops the command with SIGTERM, and prints
 * {"seconds": s, "cpu_s": c, "rss_kb": r, "peak_kb": p}: time and processor time between --since
 * (the command takes the lease, or is started) and --until; memory at the end of that time. */
#include <hiredis/hiredis.h>

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000
#define LOOK_EVERY_NS 2000000
#define PATIENCE_S 240

enum goal { GOAL_DELIVERED, GOAL_UNDER, GOAL_EMPTY };
enum since { SINCE_LEASE, SINCE_START };

struct stopwatch {
    const char *socket, *account;
    enum goal goal;
    enum since since;
    long count;
    char **command;
    redisContext *redis;
    pid_t child;
    clockid_t child_cpu;
    uint64_t give_up_ns;
};

struct taken {
    uint64_t wall_ns, cpu_ns;
    long rss_kb, peak_kb;
};

static void quit(struct stopwatch *w, const char *why)
{
    fprintf(stderr, "stopwatch: %s\n", why);
    if (w->child > 0)
        kill(w->child, SIGKILL);
    exit(1);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void pause_ns(long ns)
{
    struct timespec t = {ns / NS_PER_S, ns % NS_PER_S};

    nanosleep(&t, NULL);
}

/* Redis' answer, a number, to COMMAND purgeline:{account}:KEY. */
static long ask(struct stopwatch *w, const char *command, const char *key)
{
    char name[160];
    redisReply *reply;
    long n;

    snprintf(name, sizeof(name), "purgeline:{%s}:%s", w->account, key);
    reply = redisCommand(w->redis, "%s %s", command, name);
    if (!reply)
        quit(w, "Redis went away");
    n = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    freeReplyObject(reply);
    return n;
}

static long jobs_left(struct stopwatch *w)
{
    return ask(w, "XLEN", "jobs:urgent") + ask(w, "XLEN", "jobs:normal") +
           ask(w, "XLEN", "jobs:bulk");
}

/* Whether the dispatcher's reading connection is blocked in its read. */
static bool is_reading_idle(struct stopwatch *w)
{
    redisReply *reply = redisCommand(w->redis, "CLIENT LIST TYPE normal");
    bool idle = false;

    if (!reply || reply->type != REDIS_REPLY_STRING)
        quit(w, "Redis went away");
    for (char *line = reply->str; line && !idle; line = strchr(line + 1, '\n')) {
        const char *end = strchr(line + 1, '\n'), *name = strstr(line, ":reader:"),
                   *flag = strstr(line, " flags=b");

        idle = end && name && name < end && flag && flag < end;
    }
    freeReplyObject(reply);
    return idle;
}

static bool reached(struct stopwatch *w)
{
    switch (w->goal) {
    case GOAL_DELIVERED:
        return is_reading_idle(w);
    case GOAL_UNDER:
        return jobs_left(w) < w->count;
    default:
        return jobs_left(w) == 0;
    }
}

static void pause_between_looks(struct stopwatch *w)
{
    if (clock_ns(CLOCK_MONOTONIC) > w->give_up_ns)
        quit(w, "it takes too long");
    if (waitpid(w->child, NULL, WNOHANG) == w->child) {
        w->child = 0;
        quit(w, "the command ended by itself");
    }
    pause_ns(LOOK_EVERY_NS);
}

static void read_memory(struct stopwatch *w, struct taken *t)
{
    char line[128];
    FILE *f;

    snprintf(line, sizeof(line), "/proc/%d/status", (int)w->child);
    f = fopen(line, "r");
    while (f && fgets(line, sizeof(line), f)) {
        sscanf(line, "VmRSS: %ld", &t->rss_kb);
        sscanf(line, "VmHWM: %ld", &t->peak_kb);
    }
    if (f)
        fclose(f);
}

static void take(struct stopwatch *w, struct taken *t)
{
    t->wall_ns = clock_ns(CLOCK_MONOTONIC);
    t->cpu_ns = clock_ns(w->child_cpu);
    read_memory(w, t);
}

static void start(struct stopwatch *w)
{
    w->give_up_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)PATIENCE_S * NS_PER_S;
    w->child = fork();
    if (w->child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* ends with us, even if we are killed */
        execvp(w->command[0], w->command);
        _exit(127);
    }
    if (w->child < 0 || clock_getcpuclockid(w->child, &w->child_cpu) != 0)
        quit(w, "cannot start the command");
}

static void stop(struct stopwatch *w)
{
    int status;

    kill(w->child, SIGTERM);
    w->give_up_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)PATIENCE_S * NS_PER_S;
    while (waitpid(w->child, &status, WNOHANG) == 0) {
        if (clock_ns(CLOCK_MONOTONIC) > w->give_up_ns)
            quit(w, "the command does not end");
        pause_ns(LOOK_EVERY_NS);
    }
    w->child = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        quit(w, "the command did not end well");
}

static void parse(struct stopwatch *w, int argc, char **argv)
{
    static const struct option options[] = {
        {"redis", 1, NULL, 's'}, {"account", 1, NULL, 'a'}, {"until", 1, NULL, 'u'},
        {"count", 1, NULL, 'n'}, {"since", 1, NULL, 'f'},   {NULL, 0, NULL, 0},
    };
    int c;

    w->goal = GOAL_EMPTY;
    while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (c == 's')
            w->socket = optarg;
        else if (c == 'a')
            w->account = optarg;
        else if (c == 'n')
            w->count = atol(optarg);
        else if (c == 'u' && strcmp(optarg, "under") == 0)
            w->goal = GOAL_UNDER;
        else if (c == 'u' && strcmp(optarg, "delivered") == 0)
            w->goal = GOAL_DELIVERED;
        else if (c == 'f' && strcmp(optarg, "start") == 0)
            w->since = SINCE_START;
        else if (c != 'u' && c != 'f')
            exit(2);
    }
    w->command = argv + optind;
    if (!w->socket || !w->account || optind == argc)
        quit(w, "--redis, --account and a command are needed");
}

int main(int argc, char **argv)
{
    struct stopwatch w = {0};
    struct taken from = {0}, to = {0};

    parse(&w, argc, argv);
    w.redis = redisConnectUnix(w.socket);
    if (!w.redis || w.redis->err)
        quit(&w, "no Redis there");
    start(&w);
    if (w.since == SINCE_START)
        take(&w, &from);
    while (ask(&w, "EXISTS", "lease") == 0)
        pause_between_looks(&w);
    if (w.since == SINCE_LEASE)
        take(&w, &from);
    while (!reached(&w))
        pause_between_looks(&w);
    take(&w, &to);
    stop(&w);
    printf("{\"seconds\": %.4f, \"cpu_s\": %.4f, \"rss_kb\": %ld, \"peak_kb\": %ld}\n",
           (double)(to.wall_ns - from.wall_ns) / NS_PER_S,
           (double)(to.cpu_ns - from.cpu_ns) / NS_PER_S, to.rss_kb, to.peak_kb);
    redisFree(w.redis);
    return 0;
}
