/* SPDX-License-Identifier: MIT
 * io's connections to Redis (redis.h, client.h), implemented with the fake Redis. The linker uses
 * these functions instead of io's. Commands arrive, and are answered, in the loop's next turn.
 * Tests can request faults. */
#pragma once

#include "fakeredis.h"

/* New connections lead to this Redis; NULL: connecting fails. */
void fakeio_serve(struct fakeredis *f);

enum fakeio_fault {
    FAKEIO_LOST_BEFORE, /* the connection is lost, and the command is not executed */
    FAKEIO_LOST_AFTER,  /* the command is executed, and the connection is lost before the answer */
    FAKEIO_REFUSED,     /* Redis answers with an error */
};
/* The fault happens once, to the next command with this name, or to the next call of this script
 * ("put_once"). The texts must stay valid; `words` is the error message for FAKEIO_REFUSED. */
void fakeio_fail_next(const char *name, enum fakeio_fault what, const char *words);
/* Until fakeio_forget, commands with this name are answered by the callback, as a server that is no
 * Redis might. */
typedef void fakeio_lie_cb(size_t argc, const struct span *argv, struct buf *out);
void fakeio_lie(const char *name, fakeio_lie_cb *cb);
/* The number of requested faults that have not happened yet. */
size_t fakeio_pending(void);
void fakeio_forget(void);
/* The number of commands or script calls with this name since the last fakeio_forget. */
size_t fakeio_count(const char *name);
