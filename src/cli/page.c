/* SPDX-License-Identifier: MIT */
#include "page.h"

#include <langinfo.h>
#include <locale.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "buf.h"
#include "show.h"

#define COLUMNS_MIN 40
#define LABEL_COLUMNS 12
#define ROW_INDENT (2 + LABEL_COLUMNS + 2)
#define HEAD_INDENT 4

unsigned page_columns(void)
{
    struct winsize size;

    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return PAGE_COLUMNS;
    return (unsigned)min_u64(max_u64(size.ws_col, COLUMNS_MIN), PAGE_COLUMNS);
}

bool page_has_utf8(void)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    bool has = locale && strcasecmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;

    if (locale)
        freelocale(locale);
    return has;
}

/* -- columns -- */

static uint32_t code_point(struct span s)
{
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = (unsigned char)s.p[0] & masks[s.n];

    for (size_t i = 1; i < s.n; i++)
        code = code << 6 | ((unsigned char)s.p[i] & 0x3f);
    return code;
}

/* The blocks that terminals show without a column of their own, or in two columns: a part of
 * https://www.unicode.org/Public/UCD/latest/ucd/EastAsianWidth.txt that is the same everywhere. */
static unsigned columns_of_code(uint32_t code)
{
    static const struct {
        uint32_t first, last;
        unsigned columns;
    } blocks[] = {
        {0x0300, 0x036f, 0},   {0x200b, 0x200d, 0},   {0xfe00, 0xfe0f, 0},   {0x1100, 0x115f, 2},
        {0x2e80, 0xa4cf, 2},   {0xac00, 0xd7a3, 2},   {0xf900, 0xfaff, 2},   {0xfe30, 0xfe6f, 2},
        {0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2},   {0x1f300, 0x1f64f, 2}, {0x1f680, 0x1f6ff, 2},
        {0x1f900, 0x1f9ff, 2}, {0x20000, 0x3fffd, 2},
    };

    for (size_t i = 0; i < array_len(blocks); i++)
        if (code >= blocks[i].first && code <= blocks[i].last)
            return blocks[i].columns;
    return 1;
}

size_t page_fit(struct span s, unsigned room, unsigned *columns)
{
    size_t used = 0;

    *columns = 0;
    while (used < s.n) {
        struct span rest = span_of(s.p + used, s.n - used);
        size_t n = show_utf8_length(rest);
        unsigned more = n ? columns_of_code(code_point(span_of(rest.p, n))) : 1;

        if (*columns + more > room)
            break;
        *columns += more;
        used += n ? n : 1;
    }
    return used;
}

unsigned page_columns_of(struct span s)
{
    unsigned columns;

    page_fit(s, UINT32_MAX, &columns);
    return columns;
}

/* -- wrapping -- */

/* The beginning of `text` that is to stand in a line with this much room: up to a blank, unless the
 * first word alone is longer. */
static size_t line_of(struct span text, unsigned room)
{
    unsigned columns;
    size_t n = page_fit(text, room, &columns), end = n;

    if (n == text.n || text.p[n] == ' ')
        return n;
    while (end && text.p[end - 1] != ' ')
        end--;
    while (end && text.p[end - 1] == ' ')
        end--;
    return end ? end : n;
}

/* Prints the text from column `at`, and further lines from column `indent`. */
static void print_wrapped(struct span text, unsigned at, unsigned indent, enum cmd_colour colour)
{
    unsigned width = page_columns();

    if (at + 8 > width) { /* a long name in front of it */
        cmd_print("\n%*s", (int)indent, "");
        at = indent;
    }
    for (;;) {
        size_t n = line_of(text, width - at);

        if (colour == CMD_PLAIN)
            cmd_print("%.*s\n", (int)n, text.p);
        else
            cmd_print("%s%.*s%s\n", cmd_colour(colour), (int)n, text.p, cmd_colour(CMD_PLAIN));
        while (n < text.n && text.p[n] == ' ')
            n++;
        text = span_of(text.p + n, text.n - n);
        if (text.n == 0)
            return;
        cmd_print("%*s", (int)indent, "");
        at = indent;
    }
}

static void put_clean(struct buf *out, struct span s)
{
    show_for_terminal(out, s);
}

void page_head(const char *name, enum cmd_colour colour, const char *fmt, ...)
{
    struct buf text, shown;
    va_list ap;

    buf_init(&text, SIZE_MAX);
    buf_init(&shown, SIZE_MAX);
    show_for_terminal(&shown, span_str(name));
    va_start(ap, fmt);
    show_vprintf(&text, put_clean, fmt, ap);
    va_end(ap);
    cmd_print("%s%s%s: ", cmd_colour(CMD_BOLD), name, cmd_colour(CMD_PLAIN));
    print_wrapped(buf_span(&text), page_columns_of(buf_span(&shown)) + 2, HEAD_INDENT, colour);
    buf_deinit(&text);
    buf_deinit(&shown);
}

void page_row(const char *label, enum cmd_colour colour, const char *fmt, ...)
{
    struct buf text;
    va_list ap;

    buf_init(&text, SIZE_MAX);
    va_start(ap, fmt);
    show_vprintf(&text, put_clean, fmt, ap);
    va_end(ap);
    cmd_print("  %-*s  ", LABEL_COLUMNS, label);
    print_wrapped(buf_span(&text), ROW_INDENT, ROW_INDENT, colour);
    buf_deinit(&text);
}

void page_more(unsigned at, enum cmd_colour colour, const char *fmt, ...)
{
    struct buf text;
    va_list ap;

    buf_init(&text, SIZE_MAX);
    va_start(ap, fmt);
    show_vprintf(&text, put_clean, fmt, ap);
    va_end(ap);
    print_wrapped(buf_span(&text), at, at + 2, colour);
    buf_deinit(&text);
}

void page_item(const char *name, unsigned name_columns, enum cmd_colour colour, const char *words)
{
    struct buf shown, text;
    unsigned used, columns, room;
    size_t n;

    buf_init(&shown, SIZE_MAX);
    buf_init(&text, SIZE_MAX);
    show_for_terminal(&shown, span_str(name));
    show_for_terminal(&text, span_str(words));
    n = page_fit(buf_span(&shown), name_columns, &used);
    room = page_columns() - name_columns - 2;
    cmd_print("%s%.*s%s%*s  ", cmd_colour(CMD_BOLD), (int)n, shown.p ? shown.p : "",
              cmd_colour(CMD_PLAIN), (int)(name_columns - used), "");
    n = page_fit(buf_span(&text), room, &columns);
    if (n < text.n)
        n = page_fit(buf_span(&text), room - 3, &columns);
    cmd_print("%s%.*s%s%s\n", cmd_colour(colour), (int)n, text.p ? text.p : "",
              n < text.n ? "..." : "", cmd_colour(CMD_PLAIN));
    buf_deinit(&shown);
    buf_deinit(&text);
}

/* -- bars -- */

const char *page_bar(char *out, size_t room, uint64_t part, uint64_t whole, unsigned cells)
{
    bool blocks = page_has_utf8();
    const char *full = blocks ? "\xe2\x96\x88" : "#", *empty = blocks ? "\xe2\x96\x91" : "-";
    unsigned filled = 0;
    size_t used = 0;

    if (whole)
        filled = (unsigned)((double)min_u64(part, whole) / (double)whole * cells);
    if (part && filled == 0)
        filled = 1;
    if (part < whole && filled == cells)
        filled--;
    used += (size_t)snprintf(out, room, "[");
    for (unsigned i = 0; i < cells && used + 5 < room; i++)
        used += (size_t)snprintf(out + used, room - used, "%s", i < filled ? full : empty);
    snprintf(out + used, room - used, "]");
    return out;
}
