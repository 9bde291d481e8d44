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

/* Whether the text is printable ASCII that JSON does not escape. */
static bool is_plain(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7e || s.p[i] == '"' || s.p[i] == '\\')
            return false;
    return true;
}

static void put_other(struct buf *to, struct span s)
{
    json_t *j = json_text(s);
    char *text = json_text_line(j);

    buf_put(to, span_str(text));
    free(text);
    json_decref(j);
}

void json_text_put(struct buf *to, struct span s)
{
    if (!is_plain(s)) {
        put_other(to, s);
        return;
    }
    buf_putc(to, '"');
    buf_put(to, s);
    buf_putc(to, '"');
}

char *json_text_line(const json_t *j)
{
    char *text = json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT);

    must(text != NULL); /* cannot fail: all strings are UTF-8, and allocation aborts (see alloc) */
    return text;
}
