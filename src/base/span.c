/* SPDX-License-Identifier: MIT */
#include "span.h"

#include <errno.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool span_eq_nocase(struct span a, struct span b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool span_starts_nocase(struct span a, const char *prefix)
{
    for (size_t i = 0; prefix[i]; i++)
        if (i == a.n || lower(a.p[i]) != lower(prefix[i]))
            return false;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
    while (s.n && is_blank(*s.p))
        s = span_of(s.p + 1, s.n - 1);
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool span_next_word(struct span *rest, char sep, struct span *word)
{
    const char *end;

    while (rest->n && *rest->p == sep) {
        rest->p++;
        rest->n--;
    }
    if (rest->n == 0)
        return false;
    end = memchr(rest->p, sep, rest->n);
    *word = span_of(rest->p, end ? (size_t)(end - rest->p) : rest->n);
    rest->p += word->n;
    rest->n -= word->n;
    return true;
}

int span_to_u64(struct span s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0)
        return -EINVAL;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned char)s.p[i] - (unsigned)'0';

        if (d > 9)
            return -EINVAL;
        if (v > (UINT64_MAX - d) / 10)
            return -ERANGE;
        v = v * 10 + d;
    }
    *out = v;
    return 0;
}

int span_to_plain_u64(struct span s, uint64_t *out)
{
    return s.n > 1 && s.p[0] == '0' ? -EINVAL : span_to_u64(s, out);
}
