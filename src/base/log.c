/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "show.h"

#define LINE_MAX_BYTES 2048 /* including the newline */

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

static enum log_level current_level = LOG_INFO;

void log_set_level(enum log_level level)
{
    current_level = level;
}

bool log_wants(enum log_level level)
{
    return level >= current_level;
}

int log_level_parse(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < array_len(level_names); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* The line is written in one call, so lines of several threads never mix. */
void log_line(enum log_level level, const char *what, const char *fmt, ...)
{
    uint64_t ms;
    time_t seconds;
    struct buf line;
    struct tm tm;
    va_list ap;

    if (!log_wants(level))
        return;
    ms = clock_wall_ms();
    seconds = (time_t)(ms / 1000);
    gmtime_r(&seconds, &tm);
    buf_init(&line, SIZE_MAX);
    buf_printf(&line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s \"", tm.tm_year + 1900, tm.tm_mon + 1,
               tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000), level_names[level]);
    show_for_log(&line, span_str(what));
    buf_putc(&line, '"');
    if (*fmt) {
        buf_putc(&line, ' ');
        va_start(ap, fmt);
        show_vprintf(&line, show_for_log, fmt, ap);
        va_end(ap);
    }
    if (line.n > LINE_MAX_BYTES - 1)
        line.n = LINE_MAX_BYTES - 1;
    buf_putc(&line, '\n');
    (void)!write(STDERR_FILENO, line.p, line.n); /* an error cannot be reported anywhere */
    buf_deinit(&line);
}

const char *log_quote(char *out, size_t room, const char *p, size_t n)
{
    size_t used = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        bool plain = c >= 0x20 && c < 0x7f;

        if (used + 5 > room)
            break;
        used += (size_t)snprintf(out + used, room - used, plain ? "%c" : "\\x%02x", c);
    }
    out[used < room ? used : room - 1] = '\0';
    return out;
}
