/* SPDX-License-Identifier: MIT */
#include "help_text.h"

#include <stdio.h>

static bool begins(struct span s, const char *with)
{
    return s.n >= strlen(with) && memcmp(s.p, with, strlen(with)) == 0;
}

static struct span without(struct span s, size_t n)
{
    return span_of(s.p + n, s.n - n);
}

bool help_next_line(struct span *rest, struct span *line)
{
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    size_t n = end ? (size_t)(end - rest->p) : rest->n;

    if (rest->n == 0)
        return false;
    *line = span_of(rest->p, n);
    *rest = without(*rest, end ? n + 1 : n);
    return true;
}

static size_t indent_of(struct span line)
{
    size_t n = 0;

    while (n < line.n && line.p[n] == ' ')
        n++;
    return n;
}

static enum help_kind kind_of(struct span lines)
{
    static const struct {
        const char *begin;
        enum help_kind kind;
    } kinds[] = {{"usage: ", HELP_USAGE},
                 {"example:\n", HELP_EXAMPLES},
                 {"examples:\n", HELP_EXAMPLES},
                 {"exit codes: ", HELP_CODES},
                 {"  -", HELP_OPTIONS},
                 {"      --", HELP_OPTIONS},
                 {"  ", HELP_TERMS}};

    for (size_t i = 0; i < array_len(kinds); i++)
        if (begins(lines, kinds[i].begin))
            return kinds[i].kind;
    return HELP_TEXT;
}

bool help_next_block(struct span *rest, struct help_block *out)
{
    const char *begin;
    struct span line;

    while (rest->n && *rest->p == '\n')
        *rest = without(*rest, 1);
    begin = rest->p;
    if (rest->n == 0)
        return false;
    while (rest->n && *rest->p != '\n' && help_next_line(rest, &line))
        ;
    out->lines = span_of(begin, (size_t)(rest->p - begin));
    out->kind = kind_of(out->lines);
    return true;
}

/* -- terms -- */

/* "  -f, --file FILE        read": the term, and where its description begins. */
static struct span split(struct span line, struct span *description)
{
    size_t from = indent_of(line), to = from;

    while (to < line.n && !(line.p[to] == ' ' && to + 1 < line.n && line.p[to + 1] == ' '))
        to++;
    *description = span_trim(without(line, to));
    return span_of(line.p + from, to - from);
}

bool help_next_term(struct span *rest, struct span *term, char *description, size_t room)
{
    struct span line, more, ahead = *rest;
    size_t used;

    if (!help_next_line(rest, &line))
        return false;
    *term = split(line, &more);
    used = (size_t)snprintf(description, room, "%.*s", (int)more.n, more.p);
    for (ahead = *rest; help_next_line(&ahead, &line) && indent_of(line) > 6; *rest = ahead) {
        more = span_trim(line);
        if (used < room)
            used += (size_t)snprintf(description + used, room - used, "%s%.*s", used ? " " : "",
                                     (int)more.n, more.p);
    }
    return true;
}

/* -- options -- */

static size_t name_length(struct span s)
{
    size_t n = 0;

    while (n < s.n && (byte_is_alnum(s.p[n]) || s.p[n] == '-'))
        n++;
    return n;
}

void help_option_of(struct span term, const char *description, struct help_option *out)
{
    size_t count = 0;

    *out = (struct help_option){.description = span_str(description)};
    while (term.n) {
        size_t n;

        if (begins(term, "--") && count < array_len(out->names)) {
            term = without(term, 2);
            n = name_length(term);
            out->names[count++] = span_of(term.p, n);
        } else if (begins(term, "-") && term.n > 1) {
            out->letter = term.p[1];
            n = 2;
        } else if (begins(term, ", ")) {
            n = 2;
        } else {
            out->argument_optional = begins(term, "[=");
            out->argument =
                out->argument_optional ? span_of(term.p + 2, term.n - 3) : span_trim(term);
            return;
        }
        term = without(term, n);
    }
}

void help_each_option(const char *help, help_option_cb *cb, void *ctx)
{
    char description[HELP_DESCRIPTION_ROOM];
    struct span rest = span_str(help), term;
    struct help_block block;
    struct help_option option;

    while (help_next_block(&rest, &block)) {
        while (block.kind == HELP_OPTIONS &&
               help_next_term(&block.lines, &term, description, sizeof(description))) {
            help_option_of(term, description, &option);
            cb(ctx, &option);
        }
    }
}
