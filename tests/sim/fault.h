/* SPDX-License-Identifier: MIT
 * Every operation that leaves an instance is counted here, and may be told to go wrong. */
#pragma once

#include "base.h"

enum fault {
    FAULT_NONE,
    FAULT_LOST_BEFORE, /* the connection breaks before it arrives */
    FAULT_LOST_AFTER,  /* it has its effect, the answer is lost */
    FAULT_KILL_BEFORE, /* the process dies just before it leaves */
    FAULT_KILL_AFTER,  /* the process dies when it has had its effect */
    FAULT_UNSENT,      /* a request: no connection is to be had */
    FAULT_SILENT,      /* a request: it has its effect and is never answered */
    FAULT_N
};
extern const char *const fault_names[FAULT_N];

enum io { IO_REDIS, IO_FASTLY, IO_API /* the endpoint, to Redis */, IO_N };

void fault_begin(void);
enum fault fault_next(enum io io); /* what becomes of the operation that is about to leave */
uint64_t fault_operations(void);   /* how many left */
/* Asked at each operation, the n-th of all, counted from 1: what it answers, unless it is
 * FAULT_NONE, becomes of it. */
typedef enum fault fault_branch_cb(enum io io, uint64_t n);
void fault_branch(fault_branch_cb *cb);
bool fault_branched(void);                             /* it answered so */
void fault_soon(enum io io, enum fault f, uint32_t n); /* the n-th from now of that kind */
