/* SPDX-License-Identifier: MIT
 * Virtual time: a heap of events, seeded dice, and the last lines of what happened. There is one
 * world at a time, as there is one machine under a real program: the seam to the clock has no room
 * for more.
 *
 * An event may belong to an instance. While that one is frozen or dead its events are held back:
 * a stopped process does not see what arrives for it. */
#pragma once

#include "base.h"
#include "rng.h"

#define ENGINE_OWNERS 16
#define ENGINE_NOBODY (-1)
#define ENGINE_START_NS (10000 * NS_PER_S)      /* the monotonic clock when a story says 0ms */
#define ENGINE_START_MS UINT64_C(1767225600000) /* the wall clock then */

struct event;
typedef void event_cb(void *ctx);

void engine_begin(uint64_t seed);
void engine_settle(
    void); /* runs what nobody's events are left, whatever failed: all lets go of its memory */
void engine_end(void);

uint64_t engine_now_ns(void);
uint64_t engine_since_start_ns(void);
uint64_t engine_wall_ms(void);     /* of the machines that run instances and producers */
uint64_t engine_redis_ms(void);    /* of the machine that runs Redis */
uint64_t engine_wall_max_ms(void); /* the latest the wall clock ever showed */
void engine_jump_wall(int64_t ms);
void engine_jump_redis(int64_t ms);
struct rng *engine_rng(void);

/* Calls cb(ctx) at that time, after everything that was asked for that time before. */
struct event *engine_at(uint64_t at_ns, int owner, event_cb *cb, void *ctx);
void engine_cancel(struct event *e); /* not after it was called; NULL is fine */

/* Runs the next event if it is due by then, moving the clock to it. False: none is. */
bool engine_step(uint64_t until_ns);
/* Everything due by then; the clock shows that time afterwards. */
void engine_run(uint64_t until_ns);
uint64_t engine_next_ns(void); /* NEVER: nothing will happen by itself */
int engine_running(void);      /* whose event is being run */

void engine_hold(int owner);    /* its events wait */
void engine_release(int owner); /* those held back come now, in their order */

/* What happened, kept for the last few hundred lines. */
void trace(const char *fmt, ...) print_like(1, 2);
void trace_dump(void);
void trace_live(bool on); /* to stderr at once, too */
#define trace_detail(...) (trace_detailed ? trace(__VA_ARGS__) : (void)0)
extern bool trace_detailed;

/* The first thing that went wrong ends the run. */
void engine_fail(const char *fmt, ...) print_like(1, 2);
const char *engine_failure(void); /* NULL: none so far */
/* "12.345678s since the start" as text. */
const char *engine_time_text(uint64_t since_start_ns);
