/* SPDX-License-Identifier: MIT
 * A fake Redis with a clock that the test sets, and a loop for its clients. */
#pragma once

#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "fakeio.h"
#include "loop.h"
#include "on_loop.h"
#include "redis.h"

#define P "purgeline:{main}:"
#define OOM "OOM command not allowed when used memory > 'maxmemory'."
#define WRONGTYPE "WRONGTYPE Operation against a key holding the wrong kind of value"

struct store_world {
    struct loop *loop;
    struct timer *patience;
    struct fakeredis *redis;
    struct fakeredis_session *hand; /* for the test's own commands */
    uint64_t now_ms;                /* the time of Redis' clock */
    struct buf said;
};

static inline uint64_t store_now(void *ctx)
{
    return ((struct store_world *)ctx)->now_ms * 1000;
}

static inline void store_open(struct store_world *w)
{
    fakeio_forget();
    *w = (struct store_world){.now_ms = UINT64_C(1700000000000)};
    w->loop = loop_new();
    w->patience = timer_new(w->loop, out_of_patience, w);
    w->redis = fakeredis_new(store_now, w);
    w->hand = fakeredis_open(w->redis, NULL, NULL, NULL);
    buf_init(&w->said, (size_t)1 << 30);
    fakeio_serve(w->redis);
}

/* All connections must be closed before. */
static inline void store_close(struct store_world *w)
{
    timer_close(w->patience);
    loop_run(w->loop);
    loop_free(w->loop);
    assert_int_equal(fakeio_pending(), 0);
    fakeio_forget();
    fakeio_serve(NULL);
    fakeredis_close(w->hand);
    fakeredis_free(w->redis);
    buf_deinit(&w->said);
}

/* Runs the loop until the condition is true. The awaited callback calls loop_stop. */
#define store_until(w, condition)                                                                  \
    do {                                                                                           \
        timer_start_at((w)->patience, clock_mono_ns() + ON_LOOP_PATIENCE_S * NS_PER_S);            \
        while (!(condition))                                                                       \
            loop_run((w)->loop);                                                                   \
        timer_stop((w)->patience);                                                                 \
    } while (0)

/* Runs a command, given as words; "_" is an empty word. Returns the reply as RESP. */
static inline const char *store_ask(struct store_world *w, const char *command)
{
    struct span rest = span_str(command), argv[64];
    size_t argc = 0;

    while (argc < array_len(argv) && span_next_word(&rest, ' ', &argv[argc])) {
        if (span_is(argv[argc], "_"))
            argv[argc] = SPAN("");
        argc++;
    }
    buf_clear(&w->said);
    fakeredis_run(w->hand, argc, argv, &w->said);
    return w->said.p;
}

static inline void store_do(struct store_world *w, const char *command)
{
    if (*store_ask(w, command) == '-')
        fail_msg("%s: %s", command, w->said.p);
}

static inline void store_expect(struct store_world *w, const char *command, const char *answer)
{
    assert_string_equal(store_ask(w, command), answer);
}

static inline void store_expect_number(struct store_world *w, const char *command, unsigned n)
{
    char answer[24];

    snprintf(answer, sizeof(answer), ":%u\r\n", n);
    store_expect(w, command, answer);
}
