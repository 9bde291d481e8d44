/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <errno.h>

void lines_init(struct lines *l, FILE *file, size_t line_max_bytes)
{
    *l = (struct lines){.file = file};
    buf_init(&l->line, line_max_bytes);
}

void lines_deinit(struct lines *l)
{
    buf_deinit(&l->line);
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span lines_trimmed(struct span s)
{
    while (s.n && blank(*s.p)) {
        s.p++;
        s.n--;
    }
    while (s.n && blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

int lines_next(struct lines *l, struct span *line)
{
    char chunk[4096];
    bool any = false;
    int rc = 0, c = 0;

    buf_clear(&l->line);
    while (c != '\n' && c != EOF) {
        size_t n = 0;

        while (n < sizeof(chunk) && (c = getc_unlocked(l->file)) != EOF) {
            chunk[n++] = (char)c;
            if (c == '\n')
                break;
        }
        any |= n > 0;
        l->bytes += n;
        if (rc == 0)
            rc = buf_try_put(&l->line, span_of(chunk, n));
    }
    if (c == EOF && ferror(l->file))
        return errno ? -errno : -EIO;
    if (!any)
        return 0;
    l->number++;
    *line = lines_trimmed(buf_span(&l->line));
    return rc < 0 ? rc : 1;
}
