/* SPDX-License-Identifier: MIT
 * Decides when a connection to Redis has timed out: a reply is pending and nothing has arrived for
 * a certain time. Replies come in order, so only the oldest pending one counts. A single command
 * cannot be cancelled, so the whole connection is closed. */
#pragma once

#include "list.h"
#include "loop.h"

struct redis_owed { /* one answer */
    struct list link;
    uint64_t asked_ns, block_ns;
};

struct redis_deadline {
    struct list owed; /* in their order */
    struct timer *timer;
    loop_cb *over;
    void *ctx;
    uint64_t patience_ns;
    uint64_t heard_ns; /* when Redis last said something */
    bool doubt;        /* patience is over: was it Redis who was silent, or did we not listen? */
};

void redis_deadline_init(struct redis_deadline *d, struct loop *l, loop_cb *over, void *ctx);
void redis_deadline_deinit(struct redis_deadline *d);
/* An answer is owed from now on. For a command that waits in Redis, `block_ms` come on top. */
void redis_deadline_owe(struct redis_deadline *d, struct redis_owed *o, uint32_t block_ms);
/* It is not owed any more, whatever has come instead. Once more is fine. */
void redis_deadline_paid(struct redis_owed *o);
/* Redis has said something, be it a part of an answer. */
void redis_deadline_heard(struct redis_deadline *d);
