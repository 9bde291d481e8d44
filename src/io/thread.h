/* SPDX-License-Identifier: MIT
 * Threads: one for each loop of our own, and libuv's thread pool for blocking work. */
#pragma once

#include "loop.h"

struct thread;

typedef void thread_cb(void *ctx);

struct thread *thread_start(thread_cb *run, void *ctx);
void thread_join(struct thread *t); /* waits for its end and frees it */
/* Checks whether `count` more threads can be started now, by starting them for a moment. 0, or
 * negative errno. */
must_use int threads_possible(uint32_t count);

/* Runs `work` on a thread of libuv's pool, then `done` on the loop. If all threads are busy, the
 * work is queued. `done` is called exactly once, never before this function has returned. */
void thread_work(struct loop *l, thread_cb *work, thread_cb *done, void *ctx);
