/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "span.h"

void words_init(struct words *w)
{
    *w = (struct words){0};
}

void words_deinit(struct words *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->at[i]);
    free(w->at);
    words_init(w);
}

void words_add(struct words *w, const char *word, size_t n)
{
    if (w->count == w->room) {
        w->room = w->room ? w->room * 2 : 8;
        w->at = alloc_grow(w->at, w->room, sizeof(char *));
    }
    w->at[w->count++] = alloc_copy(word, n);
}

void words_cut(struct words *w, const char *line)
{
    while (*line) {
        const char *begin;

        line += strspn(line, " \t\r\n");
        begin = line;
        if (*line == '"') {
            begin = ++line;
            line += strcspn(line, "\"");
        } else {
            line += strcspn(line, " \t\r\n");
        }
        if (line > begin)
            words_add(w, begin, (size_t)(line - begin));
        line += *line == '"';
    }
}

static int unit_ns(const char **at, double *unit)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"ms", 1e6}, {"us", 1e3}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};

    for (size_t i = 0; i < array_len(units); i++) {
        size_t n = strlen(units[i].name);

        if (strncmp(*at, units[i].name, n) != 0)
            continue;
        *at += n;
        *unit = units[i].ns;
        return 0;
    }
    return -EINVAL;
}

int text_time(const char *text, uint64_t *ns)
{
    double sum = 0;

    if (!*text)
        return -EINVAL;
    while (*text) {
        double unit, n;
        char *end;

        n = strtod(text, &end);
        if (end == text || n < 0)
            return -EINVAL;
        text = end;
        if (unit_ns(&text, &unit) < 0)
            return -EINVAL;
        sum += n * unit;
    }
    *ns = (uint64_t)(sum + 0.5);
    return 0;
}

int text_number(const char *text, uint64_t *out)
{
    return span_to_u64(span_str(text), out);
}

const char *text_value(const char *word, const char *name)
{
    size_t n = strlen(name);

    return strncmp(word, name, n) == 0 && word[n] == '=' ? word + n + 1 : NULL;
}

/* "{x*1000}": so many of that letter. */
static bool expand_run(const char *word, const char *open, struct words *out)
{
    unsigned long n;
    int used = 0;
    char letter, *run, *one;

    if (!open || sscanf(open, "{%c*%lu}%n", &letter, &n, &used) < 2 || used == 0)
        return false;
    run = alloc_bytes(n + 1);
    memset(run, letter, n);
    run[n] = '\0';
    one = alloc_printf("%.*s%s%s", (int)(open - word), word, run, open + used);
    text_expand(one, out);
    free(one);
    free(run);
    return true;
}

void text_expand(const char *word, struct words *out)
{
    const char *open = strchr(word, '{');
    unsigned long from, to;
    int used = 0;

    if (expand_run(word, open, out))
        return;
    if (!open || sscanf(open, "{%lu..%lu}%n", &from, &to, &used) < 2 || used == 0) {
        words_add(out, word, strlen(word));
        return;
    }
    for (unsigned long i = from; i <= to; i++) {
        char *one = alloc_printf("%.*s%lu%s", (int)(open - word), word, i, open + used);

        words_add(out, one, strlen(one));
        free(one);
    }
}

void text_expand_list(const char *list, struct words *out)
{
    struct span rest = span_str(list), part;

    while (span_next_word(&rest, ',', &part)) {
        char *word = alloc_copy(part.p, part.n);

        text_expand(word, out);
        free(word);
    }
}
