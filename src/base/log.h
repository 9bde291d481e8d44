/* SPDX-License-Identifier: MIT
 * One line per event on stderr, in logfmt: a sentence, then key=value pairs. Only `app` calls it.
 */
#pragma once

#include "base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level);
must_use int log_level_parse(const char *name, enum log_level *out); /* 0 or -EINVAL */

/* `what` is a sentence; `fmt` renders the pairs ("account=%s why=\"%s\"") or is "". The sentence,
 * and whatever a %s brings in, is escaped here, once: no caller has to, and a quote or a newline of
 * a stranger ends neither the value nor the line. The caller puts no secret in. */
void log_line(enum log_level level, const char *what, const char *fmt, ...) print_like(3, 4);

bool log_wants(enum log_level level); /* whether such lines are written at all */

/* For every request and answer: costs next to nothing while nobody wants it. */
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_wants(LOG_DEBUG))                                                                  \
            log_line(LOG_DEBUG, __VA_ARGS__);                                                      \
    } while (0)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

/* For sentences that quote a stranger: renders `n` bytes of `p` as printable ASCII into `out`
 * (NUL-terminated, cut when it does not fit; other bytes as \xNN) and returns out. Quotes and
 * backslashes stay: where the sentence goes, to a log or into JSON, escapes them. */
const char *log_quote(char *out, size_t room, const char *p, size_t n);
