/* SPDX-License-Identifier: MIT
 * The output of the commands. No other file in src/cli writes to stdout or stderr; tests/lint
 * checks this. */
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "show.h"

static const char *const colours[] = {
    [CMD_PLAIN] = "\033[0m",   [CMD_BOLD] = "\033[1m",   [CMD_RED] = "\033[31m",
    [CMD_YELLOW] = "\033[33m", [CMD_GREEN] = "\033[32m", [CMD_DIM] = "\033[2m"};

const char *cmd_colour(enum cmd_colour colour)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    if (!isatty(STDOUT_FILENO) || (no && *no) || (term && strcmp(term, "dumb") == 0))
        return "";
    return colours[colour];
}

/* Our own escape sequences are recognised by their address, not by their content, so text from
 * outside cannot contain one. */
static void clean(struct buf *out, struct span s)
{
    for (size_t i = 0; i < array_len(colours); i++) {
        if (s.p != colours[i])
            continue;
        buf_put(out, s);
        return;
    }
    show_for_terminal(out, s);
}

static void write_out(FILE *file, struct buf *text)
{
    fwrite(text->p ? text->p : "", 1, text->n, file);
    buf_deinit(text);
}

static void print_to(FILE *file, const char *fmt, va_list ap)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    show_vprintf(&text, clean, fmt, ap);
    write_out(file, &text);
}

void cmd_print(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    print_to(stdout, fmt, ap);
    va_end(ap);
}

void cmd_print_time(uint64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    char when[32] = "-";
    struct tm tm;

    if (ms && gmtime_r(&seconds, &tm))
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    cmd_print("%s", when);
}

void cmd_tell(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    print_to(stderr, fmt, ap);
    va_end(ap);
}

void cmd_print_text(struct span lines)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    while (lines.n) {
        const char *end = memchr(lines.p, '\n', lines.n);
        size_t n = end ? (size_t)(end - lines.p) : lines.n, used = end ? n + 1 : n;

        show_for_terminal(&text, span_of(lines.p, n));
        if (end)
            buf_putc(&text, '\n');
        lines = span_of(lines.p + used, lines.n - used);
    }
    write_out(stdout, &text);
}

int cmd_fail(enum cmd_exit code, const char *fmt, ...)
{
    struct buf text;
    va_list ap;

    buf_init(&text, SIZE_MAX);
    buf_printf(&text, "%s: ", cmd_name());
    va_start(ap, fmt);
    show_vprintf(&text, clean, fmt, ap);
    va_end(ap);
    buf_putc(&text, '\n');
    write_out(stderr, &text);
    return code;
}

void cmd_put(struct buf *out, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    show_vprintf(out, clean, fmt, ap);
    va_end(ap);
}

/* jansson escapes C0 controls, but not DEL and the C1 controls (U+0080 to U+009F, in UTF-8 C2 80 to
 * C2 9F), which many terminals obey. They can only be inside strings. */
void cmd_print_json(const json_t *j, enum cmd_json form)
{
    char *text =
        json_dumps(j, JSON_ENCODE_ANY | (form == CMD_JSON_TREE ? JSON_INDENT(2) : JSON_COMPACT));

    for (const char *c = text ? text : "null"; *c; c++) {
        unsigned char now = (unsigned char)c[0], next = (unsigned char)c[1];

        if (now == 0x7f)
            fputs("\\u007f", stdout);
        else if (now == 0xc2 && next >= 0x80 && next <= 0x9f)
            fprintf(stdout, "\\u%04x", (unsigned)(unsigned char)*++c);
        else
            putchar(*c);
    }
    putchar('\n');
    free(text);
}
