/* SPDX-License-Identifier: MIT
 * The verdicts after the weather: each a sentence, printed with ok or FAIL, and counted. */
#pragma once

#include "rig.h"
#include "weather_traffic.h"

struct judge {
    unsigned passed, failed;
};

void judge(struct judge *j, bool ok, const char *what);
/* What became of the jobs; the requests have been noted. */
void judge_jobs(struct judge *j, struct rig *r, struct traffic *t);
/* Asks so many instances to stop. */
void judge_instances(struct judge *j, struct rig *r, unsigned count);
