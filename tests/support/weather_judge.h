/* SPDX-License-Identifier: MIT
 * The checks at the end of a chaos run. Each prints a sentence with ok or FAIL, and is counted. */
#pragma once

#include "rig.h"
#include "weather_traffic.h"

struct judge {
    unsigned passed, failed;
};

void judge(struct judge *j, bool ok, const char *what);
/* Checks the results of the jobs, after all requests have been noted. */
void judge_jobs(struct judge *j, struct rig *r, struct traffic *t);
/* Stops this many instances and checks their exit codes. */
void judge_instances(struct judge *j, struct rig *r, unsigned count);
