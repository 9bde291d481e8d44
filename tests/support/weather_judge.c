/* SPDX-License-Identifier: MIT */
#include "weather_judge.h"

#include <signal.h>
#include <stdio.h>

#define STOP_PATIENCE_MS 60000u

void judge(struct judge *j, bool ok, const char *what)
{
    printf("%s %s\n", ok ? "ok  " : "FAIL", what);
    j->passed += ok;
    j->failed += !ok;
}

void judge_jobs(struct judge *j, struct rig *r, struct traffic *t)
{
    bool none_later = redis_server_int(r->redis, "ZCARD purgeline:{main}:postponed") == 0;

    judge(j, rig_is_empty(r) && none_later,
          "no job is left in the streams, none is pending, none waits for later");
    judge(j, traffic_without_end(t) == 0, "every accepted job has its receipt");
    judge(j, traffic_stray_receipts(t) == 0, "no job has two, and none was not pushed");
    judge(j, traffic_ended_badly(t) == 0, "all are purged, or expired if they may");
    judge(j, rig_dead_count(r) == 0, "there are no dead letters");
    judge(j, traffic_purged_too_early(t) == 0,
          "each is purged by a request that began after it was accepted");
    judge(j, traffic_sent_before_its_time(t) == 0, "nothing is sent before its not_before");
    judge(j, traffic_not_repeated(t) == 0,
          "what asks for it is purged again after its repeat_after");
    judge(j, !t->refusal[0], "Redis refused pushes only while its disk was full or it was loading");
}

void judge_instances(struct judge *j, struct rig *r, unsigned count)
{
    size_t reports = 0;
    bool ended_well = true;

    for (unsigned n = 0; n < count; n++) {
        struct instance *i = &r->instances[n];

        instance_signal(i, SIGTERM);
        ended_well &= instance_wait(i, STOP_PATIENCE_MS) == 0;
        reports += instance_said(i, "Sanitizer") + instance_said(i, "runtime error:") +
                   instance_said(i, "this must hold and does not");
    }
    judge(j, ended_well, "asked to stop, both purgelines exit with 0");
    judge(j, reports == 0, "no sanitizer and no assertion said a word");
}
