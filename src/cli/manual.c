/* SPDX-License-Identifier: MIT */
#include "manual.h"

#include "help_text.h"
#include "show.h"

/* -- text for roff -- */

static uint32_t code_point(struct span s)
{
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = (unsigned char)s.p[0] & masks[s.n];

    for (size_t i = 1; i < s.n; i++)
        code = code << 6 | ((unsigned char)s.p[i] & 0x3f);
    return code;
}

/* A plain - ' ` ^ ~ may be printed as another character, and \ begins an escape sequence:
 * https://man7.org/linux/man-pages/man7/groff_char.7.html */
static void put_character(struct buf *out, struct span one)
{
    static const struct {
        char plain;
        const char *escaped;
    } escapes[] = {{'\\', "\\e"},  {'-', "\\-"},   {'\'', "\\(aq"},
                   {'`', "\\(ga"}, {'^', "\\(ha"}, {'~', "\\(ti"}};

    for (size_t i = 0; i < array_len(escapes); i++) {
        if (one.n != 1 || *one.p != escapes[i].plain)
            continue;
        buf_printf(out, "%s", escapes[i].escaped);
        return;
    }
    if (one.n > 1)
        buf_printf(out, "\\[u%04X]", (unsigned)code_point(one));
    else
        buf_put(out, one);
}

/* A dot at the beginning of a line would begin a request. */
void manual_text(struct buf *out, struct span text)
{
    if (text.n && *text.p == '.')
        buf_printf(out, "\\&");
    while (text.n) {
        size_t n = show_utf8_length(text);
        struct span one = span_of(text.p, n ? n : 1);

        put_character(out, one);
        text = span_of(text.p + one.n, text.n - one.n);
    }
}

static void put_line(struct buf *out, struct span text)
{
    manual_text(out, text);
    buf_putc(out, '\n');
}

/* -- sections -- */

static void put_lines(struct buf *out, struct span lines)
{
    struct span line;

    buf_printf(out, ".nf\n");
    while (help_next_line(&lines, &line))
        put_line(out, span_trim(line));
    buf_printf(out, ".fi\n");
}

static void put_usage(struct buf *out, struct span lines)
{
    struct span line;

    buf_printf(out, ".SH SYNOPSIS\n.nf\n");
    while (help_next_line(&lines, &line)) {
        line = span_trim(line);
        if (line.n > 7 && memcmp(line.p, "usage: ", 7) == 0)
            line = span_of(line.p + 7, line.n - 7);
        put_line(out, line);
    }
    buf_printf(out, ".fi\n.SH DESCRIPTION\n");
}

static void put_option(struct buf *out, struct span term, const char *description)
{
    struct help_option o;
    const char *separator = "";

    help_option_of(term, description, &o);
    buf_printf(out, ".TP\n");
    if (o.letter) {
        buf_printf(out, "\\fB\\-%c\\fR", o.letter);
        separator = ", ";
    }
    for (size_t i = 0; i < array_len(o.names) && o.names[i].n; i++) {
        buf_printf(out, "%s\\fB\\-\\-", separator);
        manual_text(out, o.names[i]);
        buf_printf(out, "\\fR");
        separator = ", ";
    }
    if (o.argument.n) {
        buf_printf(out, o.argument_optional ? "[=\\fI" : " \\fI");
        manual_text(out, o.argument);
        buf_printf(out, o.argument_optional ? "\\fR]" : "\\fR");
    }
    buf_putc(out, '\n');
    put_line(out, o.description);
}

static void put_terms(struct buf *out, const struct help_block *block)
{
    char description[HELP_DESCRIPTION_ROOM];
    struct span rest = block->lines, term;

    while (help_next_term(&rest, &term, description, sizeof(description))) {
        if (block->kind == HELP_OPTIONS) {
            put_option(out, term, description);
            continue;
        }
        buf_printf(out, ".TP\n.B ");
        put_line(out, term);
        put_line(out, span_str(description));
    }
}

static void put_paragraph(struct buf *out, struct span lines)
{
    struct span line;

    while (help_next_line(&lines, &line))
        put_line(out, span_trim(line));
}

static void put_block(struct buf *out, const struct help_block *block)
{
    struct span line, lines = block->lines;

    switch (block->kind) {
    case HELP_USAGE:
        put_usage(out, lines);
        break;
    case HELP_TEXT:
        buf_printf(out, ".PP\n");
        put_paragraph(out, lines);
        break;
    case HELP_OPTIONS:
        buf_printf(out, ".SH OPTIONS\n");
        put_terms(out, block);
        break;
    case HELP_TERMS:
        put_terms(out, block);
        break;
    case HELP_EXAMPLES:
        buf_printf(out, ".SH EXAMPLES\n");
        (void)help_next_line(&lines, &line);
        put_lines(out, lines);
        break;
    case HELP_CODES:
        buf_printf(out, ".SH EXIT STATUS\n");
        put_paragraph(out,
                      span_of(lines.p + strlen("exit codes: "), lines.n - strlen("exit codes: ")));
        break;
    }
}

void manual_page(struct buf *out, const struct subcommand *c)
{
    struct span rest = span_str(c->help);
    struct help_block block;

    buf_printf(out, ".\\\" Generated from purgeline %s --help\n", c->name);
    buf_printf(out,
               ".TH PURGELINE\\-%s 1 \"\" \"purgeline " PURGELINE_VERSION "\" \"User Commands\"\n",
               c->name);
    buf_printf(out, ".SH NAME\npurgeline\\-%s \\- ", c->name);
    put_line(out, span_str(c->sentence));
    while (help_next_block(&rest, &block))
        put_block(out, &block);
    buf_printf(out, ".SH SEE ALSO\n.BR purgeline (1)");
    for (size_t i = 0; i < subcommands_count; i++)
        if (&subcommands[i] != c)
            buf_printf(out, ",\n.BR purgeline\\-%s (1)", subcommands[i].name);
    buf_putc(out, '\n');
}
