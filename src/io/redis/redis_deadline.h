/* SPDX-License-Identifier: MIT
 * Decides when a connection to Redis has timed out: a reply is pending and nothing has arrived for
 * a certain time. Replies come in order, so only the oldest pending one counts. A single command
 * cannot be cancelled, so the whole connection is closed. */
#pragma once

#include "list.h"
#include "loop.h"

struct redis_owed { /* a pending reply */
    struct list link;
    uint64_t asked_ns, block_ns;
};

struct redis_deadline {
    struct list owed; /* in the order of the commands */
    struct timer *timer;
    loop_cb *over;
    void *ctx;
    uint64_t patience_ns;
    uint64_t heard_ns; /* when Redis last sent something */
    bool doubt; /* timed out; but we may have been stopped, so unread replies are read first */
};

void redis_deadline_init(struct redis_deadline *d, struct loop *l, loop_cb *over, void *ctx);
void redis_deadline_deinit(struct redis_deadline *d);
/* Starts waiting for a reply. For a command that blocks inside Redis, `block_ms` is added. */
void redis_deadline_owe(struct redis_deadline *d, struct redis_owed *o, uint32_t block_ms);
/* Stops waiting for the reply. May be called again. */
void redis_deadline_paid(struct redis_owed *o);
/* How long the oldest pending reply has been waited for since Redis last sent something, without
 * the time that its command may block; 0: none is pending. */
uint64_t redis_deadline_silence_ns(const struct redis_deadline *d);
/* Records that Redis has sent something, even part of a reply. */
void redis_deadline_heard(struct redis_deadline *d);
