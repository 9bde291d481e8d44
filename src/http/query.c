/* SPDX-License-Identifier: MIT */
#include "query.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "suggest.h"

#define KNOWN_MAX 16      /* parameters of one route */
#define NAME_MAX_BYTES 16 /* longer names are not repeated */

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

int query_escaped(struct span s)
{
    int high = s.n >= 3 && *s.p == '%' ? hex(s.p[1]) : -1, low = high >= 0 ? hex(s.p[2]) : -1;

    return low >= 0 ? high * 16 + low : -1;
}

static void unescape(struct span s, char plus, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        int c = query_escaped(span_of(s.p + i, s.n - i));

        buf_putc(out, c >= 0 ? (char)c : s.p[i] == '+' ? plus : s.p[i]);
        i += c >= 0 ? 2 : 0;
    }
}

void query_unescape(struct span s, struct buf *out)
{
    unescape(s, '+', out);
}

/* False: it has a NUL. */
static bool put_word(struct span s, struct buf *out)
{
    size_t before = out->n;

    unescape(s, ' ', out);
    if (out->n > before && memchr(out->p + before, '\0', out->n - before))
        return false;
    buf_putc(out, '\0');
    return true;
}

int query_decode(struct span query, struct buf *out)
{
    struct span pair;

    buf_init(out, 2 * query.n + 3); /* "a&b" becomes a NUL NUL b NUL NUL */
    while (span_next_word(&query, '&', &pair)) {
        const char *sign = memchr(pair.p, '=', pair.n);
        size_t n = sign ? (size_t)(sign - pair.p) : pair.n;
        struct span value = sign ? span_of(sign + 1, pair.n - n - 1) : SPAN("");

        if (!put_word(span_of(pair.p, n), out) || !put_word(value, out))
            return -EINVAL;
    }
    return 0;
}

/* Cuts a name and its value off the front. False: nothing is left. */
static bool next_pair(struct span *rest, struct span *name, struct span *value)
{
    if (rest->n == 0)
        return false;
    *name = span_str(rest->p);
    *value = span_str(rest->p + name->n + 1);
    *rest = span_of(value->p + value->n + 1, rest->n - name->n - value->n - 2);
    return true;
}

struct span query_find(struct span decoded, const char *name)
{
    struct span is, value;

    while (next_pair(&decoded, &is, &value))
        if (span_is(is, name))
            return value;
    return span_of(NULL, 0);
}

/* -- what the client cannot have meant -- */

struct query_names {
    const char *names[KNOWN_MAX]; /* in `text` */
    size_t count;
    bool given[KNOWN_MAX];
    char text[256];
};

static void read_known(const char *words, struct query_names *out)
{
    char *at, *rest = out->text;

    must(strlen(words) < sizeof(out->text));
    memcpy(out->text, words, strlen(words) + 1);
    while ((at = strtok_r(rest, " ", &rest))) {
        must(out->count < KNOWN_MAX);
        out->names[out->count++] = at;
    }
}

/* Whoever writes "?TOKEN" gets it neither back nor logged. */
static bool is_like_a_name(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] | 0x20) < 'a' || (s.p[i] | 0x20) > 'z')
            return false;
    return s.n > 0 && s.n <= NAME_MAX_BYTES;
}

static const char *unknown(const struct query_names *k, struct span name, char *why, size_t room)
{
    const char *meant = suggest_word(name.p, k->names, k->count);

    if (!is_like_a_name(name))
        snprintf(why, room, "the query has a parameter that is unknown here");
    else
        snprintf(why, room, "%s: unknown parameter%s%s%s", name.p, meant ? "; did you mean " : "",
                 meant ? meant : "", meant ? "?" : "");
    return why;
}

const char *query_fault(struct span decoded, const char *known, char *why, size_t room)
{
    struct query_names k = {.count = 0};
    struct span name, value;

    read_known(known, &k);
    while (next_pair(&decoded, &name, &value)) {
        size_t i = 0;

        while (i < k.count && !span_is(name, k.names[i]))
            i++;
        if (i == k.count)
            return unknown(&k, name, why, room);
        if (k.given[i]) {
            snprintf(why, room, "%s: given more than once", k.names[i]);
            return why;
        }
        k.given[i] = true;
    }
    return NULL;
}
