/* SPDX-License-Identifier: MIT */
#include "show.h"

#include <inttypes.h>
#include <stdio.h>

/* -- UTF-8 -- */

/* For each range of first bytes: the length of the sequence, and the valid range of the second
 * byte: https://www.rfc-editor.org/rfc/rfc3629 section 4. It excludes overlong forms, surrogates
 * and code points above U+10FFFF. */
static const struct lead {
    unsigned char first, last, length, low, high;
} leads[] = {
    {0x00, 0x7f, 1, 0x00, 0x00}, {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
    {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
    {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

static unsigned byte_at(struct span s, size_t i)
{
    return (unsigned char)s.p[i];
}

size_t show_utf8_length(struct span s)
{
    for (size_t k = 0; s.n && k < array_len(leads); k++) {
        const struct lead *l = &leads[k];

        if (byte_at(s, 0) < l->first || byte_at(s, 0) > l->last)
            continue;
        if (l->length > s.n)
            return 0;
        if (l->length > 1 && (byte_at(s, 1) < l->low || byte_at(s, 1) > l->high))
            return 0;
        for (size_t i = 2; i < l->length; i++)
            if ((byte_at(s, i) & 0xc0) != 0x80)
                return 0;
        return l->length;
    }
    return 0;
}

/* -- cleaning -- */

static void put_hex(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        buf_printf(out, "\\x%02x", byte_at(s, i));
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool escaped_before(struct span s, size_t i)
{
    return s.n - i >= 4 && s.p[i + 1] == 'x' && is_hex(s.p[i + 2]) && is_hex(s.p[i + 3]);
}

void show_for_log(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c < 0x20 || c > 0x7e) {
            put_hex(out, span_of(&c, 1));
            continue;
        }
        if (c == '"' || (c == '\\' && !escaped_before(s, i)))
            buf_putc(out, '\\');
        buf_putc(out, c);
    }
}

static uint32_t code_point(struct span s, size_t n)
{
    static const unsigned masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = byte_at(s, 0) & masks[n];

    for (size_t i = 1; i < n; i++)
        code = code << 6 | (byte_at(s, i) & 0x3f);
    return code;
}

/* https://www.unicode.org/reports/tr9/: U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069; and the
 * two separators, which some terminals treat as the end of a line. */
static bool is_harmful(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x200e || code == 0x200f ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

void show_for_terminal(struct buf *out, struct span s)
{
    while (s.n) {
        size_t n = show_utf8_length(s);
        struct span one = span_of(s.p, n ? n : 1);

        if (n == 0 || is_harmful(code_point(s, n)))
            put_hex(out, one);
        else
            buf_put(out, one);
        s = span_of(s.p + one.n, s.n - one.n);
    }
}

void show_as_utf8(struct buf *out, struct span s)
{
    while (s.n) {
        size_t n = show_utf8_length(s);

        if (n == 1 && *s.p == '\0') {
            buf_put(out, SPAN("\xef\xbf\xbd"));
        } else if (n) {
            buf_put(out, span_of(s.p, n));
        } else {
            buf_putc(out, (char)(0xc0 | byte_at(s, 0) >> 6));
            buf_putc(out, (char)(0x80 | (byte_at(s, 0) & 0x3f)));
            n = 1;
        }
        s = span_of(s.p + n, s.n - n);
    }
}

/* -- printing -- */

/* One conversion of a format: "%-30s" is {flags "-", width 30, precision -1, conversion 's'}. */
struct spec {
    char flags[6];
    int width, precision; /* -1: none */
    char length[3];
    char conversion;
};

static int read_number(const char **at)
{
    int n = 0;

    while (**at >= '0' && **at <= '9')
        n = n * 10 + (*(*at)++ - '0');
    return n;
}

static const char *read_some(const char *at, const char *among, char *out, size_t room)
{
    size_t n = 0;

    while (*at && strchr(among, *at) && n + 1 < room)
        out[n++] = *at++;
    out[n] = '\0';
    return at;
}

/* va_list is an array type on some machines, so it travels in a struct. */
struct arguments {
    va_list ap;
};

static const char *read_spec(const char *at, struct arguments *a, struct spec *s)
{
    *s = (struct spec){.precision = -1};
    at = read_some(at, "-+ #0", s->flags, sizeof(s->flags));
    if (*at == '*') {
        s->width = va_arg(a->ap, int);
        at++;
    } else {
        s->width = read_number(&at);
    }
    if (*at == '.') {
        at++;
        if (*at == '*') {
            s->precision = va_arg(a->ap, int);
            at++;
        } else {
            s->precision = read_number(&at);
        }
    }
    at = read_some(at, "hljz", s->length, sizeof(s->length));
    s->conversion = *at;
    return *at ? at + 1 : at;
}

static void put_padded(struct buf *out, struct span s, const struct spec *spec)
{
    bool left = strchr(spec->flags, '-') || spec->width < 0;
    size_t width = (size_t)(spec->width < 0 ? -spec->width : spec->width);
    int pad = width > s.n ? (int)(width - s.n) : 0;

    buf_printf(out, "%*s", left ? 0 : pad, "");
    buf_put(out, s);
    buf_printf(out, "%*s", left ? pad : 0, "");
}

static void put_text(struct buf *out, show_clean_cb *clean, const char *p, const struct spec *spec)
{
    struct buf shown;
    size_t n;

    if (!p)
        p = "(null)";
    n = spec->precision >= 0 ? strnlen(p, (size_t)spec->precision) : strlen(p);
    buf_init(&shown, SIZE_MAX);
    clean(&shown, span_of(p, n));
    put_padded(out, buf_span(&shown), spec);
    buf_deinit(&shown);
}

static intmax_t next_integer(struct arguments *a, const char *length)
{
    if (strcmp(length, "l") == 0)
        return va_arg(a->ap, long);
    if (strcmp(length, "ll") == 0)
        return va_arg(a->ap, long long);
    if (strcmp(length, "z") == 0)
        return (intmax_t)va_arg(a->ap, size_t);
    if (strcmp(length, "j") == 0)
        return va_arg(a->ap, intmax_t);
    return va_arg(a->ap, int);
}

/* The argument for an unsigned conversion: n in the width in which it was passed. */
static uintmax_t unsigned_of(intmax_t n, const char *length)
{
    return *length && *length != 'h' ? (uintmax_t)n : (unsigned)n;
}

/* Prints the number in the widest type. The format is built at run time, so the compiler cannot
 * check it. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void put_number(struct buf *out, struct arguments *a, const struct spec *s)
{
    bool real = strchr("fgeFGE", s->conversion), sign = strchr("di", s->conversion);
    char fmt[32], precision[16] = "", text[400];
    int n;

    if (s->precision >= 0)
        snprintf(precision, sizeof(precision), ".%d", s->precision);
    snprintf(fmt, sizeof(fmt), "%%%s*%s%s%c", s->flags, precision, real ? "" : "j", s->conversion);
    if (real) {
        n = snprintf(text, sizeof(text), fmt, s->width, va_arg(a->ap, double));
    } else {
        intmax_t v = next_integer(a, s->length);

        n = sign ? snprintf(text, sizeof(text), fmt, s->width, v)
                 : snprintf(text, sizeof(text), fmt, s->width, unsigned_of(v, s->length));
    }
    buf_put(out, span_of(text, n < 0 ? 0 : min_u64((uint64_t)n, sizeof(text) - 1)));
}
#pragma GCC diagnostic pop

static void put_argument(struct buf *out, show_clean_cb *clean, struct arguments *a,
                         const struct spec *s)
{
    char c;

    switch (s->conversion) {
    case 's':
        put_text(out, clean, va_arg(a->ap, const char *), s);
        break;
    case 'c':
        c = (char)va_arg(a->ap, int);
        clean(out, span_of(&c, 1));
        break;
    case 'p':
        buf_printf(out, "%p", va_arg(a->ap, void *));
        break;
    case '%':
        buf_putc(out, '%');
        break;
    case '\0': /* the format ends in the middle of a conversion */
        break;
    default:
        put_number(out, a, s);
    }
}

void show_vprintf(struct buf *out, show_clean_cb *clean, const char *fmt, va_list ap)
{
    struct arguments a;
    struct spec spec;

    va_copy(a.ap, ap);
    while (*fmt) {
        size_t n = strcspn(fmt, "%");

        buf_put(out, span_of(fmt, n));
        fmt += n;
        if (!*fmt)
            break;
        fmt = read_spec(fmt + 1, &a, &spec);
        put_argument(out, clean, &a, &spec);
    }
    va_end(a.ap);
}
