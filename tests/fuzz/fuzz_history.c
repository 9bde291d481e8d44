/* SPDX-License-Identifier: MIT
 * Lines of the history, which anybody who can write to Redis may have written, and what is wanted
 * of them. The first line of the input is the target, the second the ref, the third the job. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base.h"
#include "history_match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct span cut_line(struct span *rest)
{
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    struct span line = span_of(rest->p, end ? (size_t)(end - rest->p) : rest->n);

    *rest = span_of(rest->p + line.n + (end != NULL), rest->n - line.n - (end != NULL));
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of(size ? (const char *)data : "", size);
    struct history_filter filter = {.target = cut_line(&rest)}, any = {.target = SPAN("")};
    struct history_wanted *wanted, *all = history_wanted_new(&any);

    filter.ref = cut_line(&rest);
    filter.job = cut_line(&rest);
    wanted = history_wanted_new(&filter);
    while (rest.n) {
        struct span line = cut_line(&rest);
        json_t *some = history_match(wanted, line, 5), *every = history_match(all, line, 5);

        must(!some || every); /* what is wanted is a line of a history */
        must(!every || json_is_integer(json_object_get(every, "at")));
        json_decref(some);
        json_decref(every);
    }
    history_wanted_free(wanted);
    history_wanted_free(all);
    return 0;
}
