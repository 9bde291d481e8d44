/* SPDX-License-Identifier: MIT */
#include "fields.h"

#include "alloc.h"

struct fields *fields_copy(const struct span *spans, size_t count)
{
    size_t bytes = 0;
    struct fields *f;
    char *to;

    for (size_t i = 0; i < count; i++)
        bytes += spans[i].n + 1;
    f = alloc_bytes(sizeof(*f) + count * sizeof(f->at[0]) + bytes);
    f->count = count;
    to = (char *)&f->at[count];
    for (size_t i = 0; i < count; i++) {
        f->at[i] = span_of(to, spans[i].n);
        if (spans[i].n)
            memcpy(to, spans[i].p, spans[i].n);
        to[spans[i].n] = '\0';
        to += spans[i].n + 1;
    }
    return f;
}

struct span fields_get(const struct fields *f, const char *name)
{
    for (size_t i = 0; i + 1 < f->count; i += 2)
        if (span_is(f->at[i], name))
            return f->at[i + 1];
    return span_of(NULL, 0);
}
