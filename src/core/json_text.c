/* SPDX-License-Identifier: MIT */
#include "json_text.h"

#include <jansson.h>
#include <stdlib.h>

#include "show.h"

/* Returns `s` if it is valid in JSON, otherwise a cleaned copy in `fresh`. */
static struct span clean(struct span s, struct buf *fresh)
{
    size_t at = 0, n = 1;

    while (at < s.n && n && s.p[at] != '\0') {
        n = (unsigned char)s.p[at] < 0x80 ? 1 : show_utf8_length(span_of(s.p + at, s.n - at));
        at += n;
    }
    if (at == s.n)
        return s;
    show_as_utf8(fresh, s);
    return buf_span(fresh);
}

json_t *json_text(struct span s)
{
    struct buf fresh;
    json_t *j;

    buf_init(&fresh, SIZE_MAX);
    s = clean(s, &fresh);
    j = json_stringn(s.n ? s.p : "", s.n);
    buf_deinit(&fresh);
    must(j != NULL);
    return j;
}

json_t *json_text_of(const char *s)
{
    return s ? json_text(span_str(s)) : json_null();
}

char *json_text_line(const json_t *j)
{
    char *text = json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT);

    must(text != NULL); /* cannot fail: all strings are UTF-8, and allocation aborts (see alloc) */
    return text;
}
