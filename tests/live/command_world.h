/* SPDX-License-Identifier: MIT
 * A Redis and a shell, for tests of the commands that need no dispatcher. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <jansson.h>

#include "redis_server.h"
#include "shell.h"

#define NORMAL "purgeline:{main}:jobs:normal"
#define BULK "purgeline:{main}:jobs:bulk"
#define DEAD "purgeline:{main}:dead"

struct world {
    struct redis_server *redis;
    struct shell shell;
};

static inline void open_world(struct world *w, void **state, const char *option, const char *value)
{
    *state = w;
    w->redis = redis_server_start(option, value);
    shell_open(&w->shell);
    setenv("PURGELINE_REDIS", redis_server_unix_url(w->redis), 1);
    setenv("PURGELINE_SERVICES", "S1=news", 1);
}

static inline int setup(void **state)
{
    static struct world w;

    open_world(&w, state, NULL, NULL);
    return 0;
}

static inline int teardown(void **state)
{
    struct world *w = *state;

    unsetenv("PURGELINE_REDIS");
    unsetenv("PURGELINE_SERVICES");
    unsetenv("FASTLY_API_TOKEN");
    shell_close(&w->shell);
    redis_server_stop(w->redis);
    return 0;
}

/* The n-th entry of a stream, as "name=value name=value". */
static inline void entry_text(struct world *w, const char *stream, size_t n, char *out, size_t room)
{
    redisReply *r = redis_server_try(w->redis, "XRANGE %s - +", stream);
    size_t used = 0;

    assert_int_equal(r->type, REDIS_REPLY_ARRAY);
    assert_true(n < r->elements);
    for (size_t i = 0; i < r->element[n]->element[1]->elements; i++)
        used += (size_t)snprintf(out + used, room - used, "%s%s",
                                 i == 0  ? ""
                                 : i % 2 ? "="
                                         : " ",
                                 r->element[n]->element[1]->element[i]->str);
    freeReplyObject(r);
}

static inline void assert_entry(struct world *w, const char *stream, size_t n, const char *wanted)
{
    char text[4096] = "";

    entry_text(w, stream, n, text, sizeof(text));
    assert_string_equal(text, wanted);
}

static inline long long length(struct world *w, const char *stream)
{
    return redis_server_int(w->redis, "XLEN %s", stream);
}

static inline json_t *json_of(const char *text)
{
    json_error_t e;
    json_t *j = json_loads(text, 0, &e);

    if (!j)
        fail_msg("no JSON (%s): %s", e.text, text);
    return j;
}

static inline void bury(struct world *w, const char *job, const char *key)
{
    redis_server_do(w->redis,
                    "XADD " DEAD " * keys %s url http://a/1 url http://a/2 dead_reason %s dead_job "
                    "%s dead_at 1700000000000 dead_target %s",
                    key, "why", job, key);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
