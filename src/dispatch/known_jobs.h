/* SPDX-License-Identifier: MIT
 * The jobs of one account that memory already knows: those in the window, those that wait for their
 * origin, and those that ended but whose end Redis has not confirmed. When all entries are read
 * once more, they are passed over. */
#pragma once

#include "origin.h"
#include "queue.h"
#include "settle.h"
#include "window.h"

struct known_jobs {    /* all zero: an empty list */
    struct known *ids; /* sorted */
    size_t count;
};

/* Fills the list, which must be empty. */
void known_jobs_list(struct known_jobs *k, const struct window *w, const struct origin *o,
                     const struct settle *s);
void known_jobs_clear(struct known_jobs *k);
bool known_jobs_has(const struct known_jobs *k, enum lane lane, struct entry_id id);
uint64_t known_jobs_bytes(const struct known_jobs *k); /* memory that the list takes */
/* How many jobs a list made now would have. */
uint64_t known_jobs_count(const struct window *w, const struct origin *o, const struct settle *s);
