/* SPDX-License-Identifier: MIT */
#include "check_say.h"

#include <stdarg.h>
#include <stdio.h>

void check_say(const struct report *r, enum check_grade grade, const char *remedy, const char *fmt,
               ...)
{
    char what[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    r->cb(r->ctx, &(struct check_finding){.grade = grade,
                                          .account = r->account,
                                          .subject = r->subject,
                                          .what = what,
                                          .remedy = remedy});
}
