/* SPDX-License-Identifier: MIT
 * io's connections to Redis (redis.h, client.h), made to the fake Redis: the linker takes these in
 * the place of the real ones. Commands arrive, and are answered, on the loop's next turn. What goes
 * wrong on the way is scripted. */
#pragma once

#include "fakeredis.h"

/* Connections that are made from now on lead to this one; NULL: none can be made. */
void fakeio_serve(struct fakeredis *f);

enum fakeio_fault {
    FAKEIO_LOST_BEFORE, /* the connection is lost, the command not carried out */
    FAKEIO_LOST_AFTER,  /* it is carried out, and the connection lost before the answer */
    FAKEIO_REFUSED,     /* Redis answers with an error */
};
/* Happens to the next command of that name, or the next call of that script ("put_once"), once. The
 * texts are kept, not copied; `words` is for FAKEIO_REFUSED. */
void fakeio_fail_next(const char *name, enum fakeio_fault what, const char *words);
/* That many of them did not happen yet. */
size_t fakeio_pending(void);
void fakeio_forget(void);
/* How many commands, or calls of a script, of that name arrived since the last fakeio_forget. */
size_t fakeio_count(const char *name);
