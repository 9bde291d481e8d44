/* SPDX-License-Identifier: MIT
 * sim: plays stories, tortures them, and makes weather. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "long.h"
#include "play.h"
#include "torture.h"
#include "weather.h"

static const char help[] =
    "usage: sim [OPTION...] STORY.sim...\n"
    "Plays each story and checks what it expects.\n\n"
    "  -v, --verbose       show everything that happens; twice: every operation of Redis, too\n"
    "  -t, --torture       play it again with every operation going wrong in every way\n"
    "  -o, --operation N   only the N-th operation\n"
    "  -m, --most N        no more than N operations of a story\n"
    "  -w, --weather N     play N random stories\n"
    "  -f, --from SEED     beginning with this one (default 1)\n"
    "  -p, --print SEED    write the story of that seed\n"
    "      --day HOURS     a permanent backlog against 100,000 an hour\n"
    "      --bursts HOURS  the same, with bursts in every lane\n"
    "      --restarts HOURS   the same, with a restart every minute and a failover every ten\n"
    "      --backlog N     10,000 urgent pushes while N bulk jobs wait\n"
    "  -h, --help\n";

struct job {
    struct play_options play;
    bool torture;
    uint64_t operation; /* the only one to torture; 0 = all */
    uint64_t most;      /* operations to torture; 0 = all */
};

static int play(const struct story *s, const struct job *job)
{
    struct play_result r;

    play_story(s, &job->play, &r);
    if (!r.passed)
        fprintf(stderr, "%s\n", r.message);
    else
        printf("%s: as told, %" PRIu64 " operations\n", s->file, r.operations);
    return r.passed ? 0 : 1;
}

static int torture(const struct story *s, const struct job *job)
{
    struct torture_options o = {
        .only = job->operation, .most = job->most, .verbose = job->play.verbose};
    struct torture_result r;

    if (torture_story(s, &o, &r) < 0) {
        fprintf(stderr, "%s\n", r.message);
        return 1;
    }
    printf("%s: %" PRIu64 " operations, %" PRIu64 " plays, the promises hold\n", s->file,
           r.operations, r.plays);
    return 0;
}

static int play_file(const char *file, const struct job *job)
{
    struct story s;
    char err[300];
    int rc = 2;

    story_init(&s, file);
    if (story_read(&s, err, sizeof(err)) < 0)
        fprintf(stderr, "%s\n", err);
    else
        rc = job->torture ? torture(&s, job) : play(&s, job);
    story_deinit(&s);
    return rc;
}

static int print_weather(uint64_t seed)
{
    struct story s;

    weather_story(seed, &s);
    story_print(&s, stdout);
    story_deinit(&s);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"verbose", no_argument, NULL, 'v'},
                                            {"torture", no_argument, NULL, 't'},
                                            {"operation", required_argument, NULL, 'o'},
                                            {"most", required_argument, NULL, 'm'},
                                            {"weather", required_argument, NULL, 'w'},
                                            {"from", required_argument, NULL, 'f'},
                                            {"print", required_argument, NULL, 'p'},
                                            {"day", required_argument, NULL, 'D'},
                                            {"bursts", required_argument, NULL, 'U'},
                                            {"restarts", required_argument, NULL, 'R'},
                                            {"backlog", required_argument, NULL, 'B'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct weather_run weather = {.first = 1, .workers = 2};
    struct job job = {0};
    int opt, code = 0;

    while ((opt = getopt_long(argc, argv, "vto:m:w:f:p:h", options, NULL)) != -1) {
        if (opt == 'v') {
            trace_detailed = job.play.verbose;
            job.play.verbose = true;
        } else if (opt == 't') {
            job.torture = true;
        } else if (opt == 'o') {
            job.operation = strtoull(optarg, NULL, 10);
        } else if (opt == 'm') {
            job.most = strtoull(optarg, NULL, 10);
        } else if (opt == 'w') {
            weather.count = strtoull(optarg, NULL, 10);
        } else if (opt == 'f') {
            weather.first = strtoull(optarg, NULL, 10);
        } else if (opt == 'p') {
            return print_weather(strtoull(optarg, NULL, 10));
        } else if (opt == 'D') {
            return long_day((uint32_t)strtoul(optarg, NULL, 10)) < 0;
        } else if (opt == 'U') {
            return long_bursts((uint32_t)strtoul(optarg, NULL, 10)) < 0;
        } else if (opt == 'R') {
            return long_restarts((uint32_t)strtoul(optarg, NULL, 10)) < 0;
        } else if (opt == 'B') {
            return long_backlog(strtoull(optarg, NULL, 10), 10000) < 0;
        } else {
            fputs(help, opt == 'h' ? stdout : stderr);
            return opt == 'h' ? 0 : 2;
        }
    }
    if (weather.count)
        code = weather_run(&weather) ? 1 : 0;
    for (int i = optind; i < argc; i++) {
        int rc = play_file(argv[i], &job);

        code = rc > code ? rc : code;
    }
    return code;
}
