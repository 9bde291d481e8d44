/* SPDX-License-Identifier: MIT
 * The fields of an entry: name, value, name, value ... */
#pragma once

#include "span.h"

struct fields { /* in one piece of memory: free() */
    size_t count;
    struct span at[];
};

struct fields *fields_copy(const struct span *spans, size_t count); /* all are NUL-terminated */
struct span fields_get(const struct fields *f, const char *name);   /* .p NULL: there is none */
