/* SPDX-License-Identifier: MIT
 * What the endpoint tells of a job: its timeline, and what the leader knows of its targets. */
#pragma once

#include "http_world.h"

#include "buf.h"

static inline const struct http_reply *on_job(struct world *w, int status, const char *method,
                                              const char *job, const char *header)
{
    char target[160];

    snprintf(target, sizeof(target), "/v1/jobs/%s", job);
    return http_expect(w->h, status, method, target, NULL, header, NULL);
}

static inline const json_t *look_at(struct world *w, const char *job, const char *header)
{
    return on_job(w, 200, "GET", job, header)->json;
}

static inline const json_t *step_of(const json_t *answer, const char *name)
{
    const json_t *step;
    size_t i;

    json_array_foreach(json_object_get(answer, "timeline"), i, step)
    {
        if (strcmp(json_string_value(json_object_get(step, "step")), name) == 0)
            return step;
    }
    return NULL;
}

static inline long long number_in(const json_t *j, const char *name)
{
    const json_t *n = json_object_get(j, name);

    return json_is_integer(n) ? json_integer_value(n) : -1;
}

static inline const json_t *shown(const json_t *answer, size_t i)
{
    return json_array_get(json_object_get(json_object_get(answer, "leader"), "shown"), i);
}

static inline void expect_shown(const json_t *answer, size_t i, const char *member,
                                const char *text)
{
    assert_string_equal(json_string_value(json_object_get(shown(answer, i), member)), text);
}

static inline bool is_in_memory(const json_t *answer)
{
    return json_is_true(json_object_get(json_object_get(answer, "leader"), "found"));
}

static inline void pause_at_once(struct world *w)
{
    rig_dispatch_pause(w->r, true);
    instance_await_said(&w->r->instances[0], "Dispatch is paused", 1);
}
