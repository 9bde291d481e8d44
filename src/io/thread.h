/* SPDX-License-Identifier: MIT
 * Threads: one for each loop of our own, and libuv's thread pool for blocking work. */
#pragma once

#include "loop.h"

struct thread;

typedef void thread_cb(void *ctx);

struct thread *thread_start(thread_cb *run, void *ctx);
void thread_join(struct thread *t); /* waits for its end; frees */
/* Whether so many more can be started now: for a moment they are. 0, or negative errno. */
must_use int threads_possible(uint32_t count);

/* `work` on one of libuv's threads, then `done` on the loop. When many are asked for they wait for
 * one another. `done` comes exactly once, never before this returned. */
void thread_work(struct loop *l, thread_cb *work, thread_cb *done, void *ctx);
