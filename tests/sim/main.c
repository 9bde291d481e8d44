/* SPDX-License-Identifier: MIT
 * sim: plays stories, tortures them, and makes weather. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "play.h"

static const char help[] =
    "usage: sim [OPTION...] STORY.sim...\n"
    "Plays each story and checks what it expects.\n\n"
    "  -v, --verbose       show everything that happens\n"
    "  -h, --help\n";

static int play_file(const char *file, const struct play_options *o)
{
    struct play_result r = {0};
    struct story s;
    char err[300];

    story_init(&s, file);
    if (story_read(&s, err, sizeof(err)) < 0) {
        fprintf(stderr, "%s\n", err);
        story_deinit(&s);
        return 2;
    }
    play_story(&s, o, &r);
    if (!r.passed)
        fprintf(stderr, "%s\n", r.message);
    else
        printf("%s: as told, %llu operations\n", file, (unsigned long long)r.operations);
    free(r.kinds);
    story_deinit(&s);
    return r.passed ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"verbose", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct play_options o = {0};
    int opt, code = 0;

    while ((opt = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
        if (opt == 'v')
            o.verbose = true;
        else {
            fputs(help, opt == 'h' ? stdout : stderr);
            return opt == 'h' ? 0 : 2;
        }
    }
    for (int i = optind; i < argc; i++) {
        int rc = play_file(argv[i], &o);

        code = rc > code ? rc : code;
    }
    return code;
}
