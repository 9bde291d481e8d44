/* SPDX-License-Identifier: MIT
 * soak: random weather for hours, beginning with a seed that nobody has seen. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "weather.h"

static const char help[] = "usage: soak [--hours N] [--from SEED]\n"
                           "Plays random stories on all cores until the time is over or one fails; "
                           "that one is made as small\n"
                           "as possible and printed, ready to be kept as a .sim file.\n\n"
                           "      --hours N     so long (default 1; fractions are fine)\n"
                           "      --from SEED   begin here (default: the time of day)\n";

int main(int argc, char **argv)
{
    static const struct option options[] = {{"hours", required_argument, NULL, 'H'},
                                            {"from", required_argument, NULL, 'f'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct weather_run w = {.first = (uint64_t)time(NULL) * 1000000, .count = UINT32_MAX};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    double hours = 1;
    int opt;

    while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (opt == 'H') {
            hours = strtod(optarg, NULL);
        } else if (opt == 'f') {
            w.first = strtoull(optarg, NULL, 10);
        } else {
            fputs(help, opt == 'h' ? stdout : stderr);
            return opt == 'h' ? 0 : 2;
        }
    }
    w.workers = cores < 1 ? 1 : cores > 64 ? 64 : (uint32_t)cores;
    w.seconds = (uint32_t)(hours * 3600) + 1;
    printf("beginning with seed %" PRIu64 "\n", w.first);
    return weather_run(&w) ? 1 : 0;
}
