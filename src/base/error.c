/* SPDX-License-Identifier: MIT */
#include "error.h"

#include <stdio.h>
#include <string.h>

#include "show.h"

#define CHARACTER_MAX_BYTES 4 /* RFC 3629, 3 */

/* Drops the last bytes of a cut text if they are the beginning of a character. */
static void drop_partial_character(char *text)
{
    size_t n = strlen(text), lead = n;

    while (lead > 0 && n - lead < CHARACTER_MAX_BYTES - 1 &&
           ((unsigned char)text[lead - 1] & 0xc0) == 0x80)
        lead--;
    if (lead > 0 && (unsigned char)text[lead - 1] >= 0xc0 &&
        show_utf8_length(span_of(text + lead - 1, n - lead + 1)) == 0)
        text[lead - 1] = '\0';
}

int error_vset(struct error *err, int code, const char *fmt, va_list ap)
{
    struct error fresh; /* an argument may point into *err */
    int n = vsnprintf(fresh.text, sizeof(fresh.text), fmt, ap);

    must(code < 0 && n >= 0);
    if ((size_t)n >= sizeof(fresh.text))
        drop_partial_character(fresh.text);
    memcpy(err->text, fresh.text, strlen(fresh.text) + 1);
    return code;
}

int error_set(struct error *err, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    code = error_vset(err, code, fmt, ap);
    va_end(ap);
    return code;
}
