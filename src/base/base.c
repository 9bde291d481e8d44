/* SPDX-License-Identifier: MIT */
#include "base.h"

#include <stdio.h>
#include <stdlib.h>

void base_abort(const char *what, const char *file, int line)
{
    fprintf(stderr, "purgeline: %s:%d: this must hold and does not: %s\n", file, line, what);
    abort();
}
