/* SPDX-License-Identifier: MIT */
#include "job_by.h"

#include <string.h>

bool job_by_ok(struct span value)
{
    return value.n > 0 && value.n <= JOB_BY_MAX_BYTES;
}

struct span job_by_of(const struct span *fields, size_t fields_count)
{
    struct span other = SPAN("");

    for (size_t i = 0; i + 1 < fields_count; i += 2) {
        bool old_name = span_is(fields[i], JOB_FIELD_BY);

        if (!job_by_ok(fields[i + 1]))
            continue;
        if (span_is(fields[i], "by"))
            return fields[i + 1];
        if (old_name && !other.n)
            other = fields[i + 1];
    }
    return other;
}

static bool starts_with(struct span text, struct span start)
{
    return text.n >= start.n && memcmp(text.p, start.p, start.n) == 0;
}

bool job_by_producer(struct span by)
{
    return by.n > 0 && !starts_with(by, SPAN("hook ")) && !starts_with(by, SPAN("consumer "));
}
