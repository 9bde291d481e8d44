/* SPDX-License-Identifier: MIT
 * One line per event on stderr, in logfmt: a sentence, then key=value pairs. Only the rooms daemon,
 * dispatch, consume, http and store write log lines. */
#pragma once

#include "base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level);
must_use int log_level_parse(const char *name, enum log_level *out); /* 0 or -EINVAL */

/* `what` is a sentence; `fmt` renders the pairs ("account=%s why=\"%s\"") or is "". The sentence
 * and all %s arguments are escaped here, so callers must not escape them, and a quote or newline in
 * untrusted text cannot end the value or the line. Callers must not log secrets. */
void log_line(enum log_level level, const char *what, const char *fmt, ...) print_like(3, 4);

bool log_wants(enum log_level level); /* whether lines of this level are written */

/* For lines about every request and reply: costs almost nothing while debug logging is off. */
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_wants(LOG_DEBUG))                                                                  \
            log_line(LOG_DEBUG, __VA_ARGS__);                                                      \
    } while (0)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

/* For messages that quote untrusted text: renders `n` bytes of `p` as printable ASCII into `out`
 * (NUL-terminated, cut when it does not fit; other bytes as \xNN) and returns out. Quotes and
 * backslashes are kept: the log or the JSON writer escapes them later. */
const char *log_quote(char *out, size_t room, const char *p, size_t n);
