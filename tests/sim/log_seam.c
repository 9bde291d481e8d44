/* SPDX-License-Identifier: MIT
 * What the daemons log goes into the trace, beside what the world does to them. The linker puts
 * this in the place of base's log_line (-Wl,--wrap). */
#include <stdarg.h>

#include "engine.h"
#include "instance.h"
#include "log.h"
#include "show.h"

void __wrap_log_line(enum log_level level, const char *what, const char *fmt, ...) print_like(3, 4);

void __wrap_log_line(enum log_level level, const char *what, const char *fmt, ...)
{
    int who = engine_running();
    struct buf pairs;
    va_list ap;

    (void)level;
    if (instance_dying() || (who != ENGINE_NOBODY && instance_doomed(who)))
        return;
    va_start(ap, fmt);
    buf_init(&pairs, SIZE_MAX);
    show_vprintf(&pairs, show_for_log, fmt, ap);
    va_end(ap);
    trace("%s says: %s (%.199s)", instance_name(who), what, pairs.p ? pairs.p : "");
    buf_deinit(&pairs);
}
