/* SPDX-License-Identifier: MIT */
#include "requests.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"

/* -- a line of the log ------------------------------------------------------------------------ */

static uint64_t time_ms(const json_t *line, const char *name)
{
    return (uint64_t)(json_number_value(json_object_get(line, name)) * 1000 + 0.5);
}

static void copy_word(const json_t *line, const char *name, char *out, size_t room)
{
    const char *word = json_string_value(json_object_get(line, name));

    snprintf(out, room, "%s", word ? word : "");
}

static unsigned whole(const json_t *line, const char *name)
{
    return (unsigned)json_integer_value(json_object_get(line, name));
}

static void read_targets(struct request *q, const json_t *line)
{
    const json_t *keys = json_object_get(line, "keys");
    const char *url = json_string_value(json_object_get(line, "url"));

    q->url = url ? alloc_str(url) : NULL;
    q->n = (unsigned)json_array_size(keys);
    q->keys = alloc_zeroed(q->n + 1, sizeof(*q->keys));
    for (unsigned i = 0; i < q->n; i++)
        q->keys[i] = alloc_str(json_string_value(json_array_get(keys, i)));
}

static void add_line(struct requests *r, const char *text, size_t n)
{
    json_t *line = json_loadb(text, n, 0, NULL);
    struct request *q;

    must(line);
    if (time_ms(line, "begin") >= r->since_ms) {
        if (r->count == r->room) {
            r->room = r->room ? r->room * 2 : 64;
            r->at = alloc_grow(r->at, r->room, sizeof(*r->at));
        }
        q = &r->at[r->count++];
        *q = (struct request){.t_ms = time_ms(line, "t"),
                              .begin_ms = time_ms(line, "begin"),
                              .done_ms = time_ms(line, "done"),
                              .soft = json_is_true(json_object_get(line, "soft")),
                              .purged = json_is_true(json_object_get(line, "purged")),
                              .status = whole(line, "status"),
                              .cost = whole(line, "cost"),
                              .conn = whole(line, "conn")};
        copy_word(line, "kind", q->kind, sizeof(q->kind));
        copy_word(line, "service", q->service, sizeof(q->service));
        copy_word(line, "proto", q->proto, sizeof(q->proto));
        copy_word(line, "id", q->id, sizeof(q->id));
        read_targets(q, line);
    }
    json_decref(line);
}

/* -- the log ---------------------------------------------------------------------------------- */

void requests_open(struct requests *r, const char *log_path)
{
    *r = (struct requests){.since_ms = clock_wall_ms()};
    r->fd = open(log_path, O_RDONLY | O_CLOEXEC);
    must(r->fd >= 0);
    must(lseek(r->fd, 0, SEEK_END) >= 0);
    r->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    must(r->inotify >= 0);
    must(inotify_add_watch(r->inotify, log_path, IN_MODIFY) >= 0);
}

void requests_forget(struct requests *r)
{
    for (size_t i = 0; i < r->count; i++) {
        for (unsigned k = 0; k < r->at[i].n; k++)
            free(r->at[i].keys[k]);
        free(r->at[i].keys);
        free(r->at[i].url);
    }
    r->count = 0;
}

void requests_close(struct requests *r)
{
    requests_forget(r);
    free(r->at);
    free(r->rest);
    close(r->fd);
    close(r->inotify);
    *r = (struct requests){.fd = -1, .inotify = -1};
}

static void add_lines(struct requests *r)
{
    char *begin = r->rest, *end;

    while ((end = memchr(begin, '\n', r->rest_count - (size_t)(begin - r->rest)))) {
        add_line(r, begin, (size_t)(end - begin));
        begin = end + 1;
    }
    r->rest_count -= (size_t)(begin - r->rest);
    memmove(r->rest, begin, r->rest_count);
}

void requests_read(struct requests *r)
{
    enum { CHUNK = 256 * 1024 };

    for (;;) {
        ssize_t n;

        r->rest = alloc_grow(r->rest, r->rest_count + CHUNK, 1);
        n = read(r->fd, r->rest + r->rest_count, CHUNK);
        must(n >= 0);
        if (n == 0)
            return;
        r->rest_count += (size_t)n;
        add_lines(r);
    }
}

/* -- searching -------------------------------------------------------------------------------- */

size_t requests_with_status(struct requests *r, unsigned status)
{
    size_t n = 0;

    requests_read(r);
    for (size_t i = 0; i < r->count; i++)
        n += status == ANY_STATUS || r->at[i].status == status;
    return n;
}

bool request_names(const struct request *q, const char *target)
{
    for (unsigned i = 0; i < q->n; i++)
        if (strcmp(q->keys[i], target) == 0)
            return true;
    return q->url && strcmp(q->url, target) == 0;
}

size_t requests_naming(struct requests *r, const char *target, unsigned status)
{
    size_t n = 0;

    requests_read(r);
    for (size_t i = 0; i < r->count; i++)
        n +=
            (status == ANY_STATUS || r->at[i].status == status) && request_names(&r->at[i], target);
    return n;
}

const struct request *requests_find(struct requests *r, const char *target, size_t n)
{
    requests_read(r);
    for (size_t i = 0; i < r->count; i++)
        if (request_names(&r->at[i], target) && n-- == 0)
            return &r->at[i];
    return NULL;
}

/* -- the budget ------------------------------------------------------------------------------ */

static int compare_t(const void *left, const void *right)
{
    const struct request *a = left, *b = right;

    return (a->t_ms > b->t_ms) - (a->t_ms < b->t_ms);
}

/* A refused request costs nothing. A request whose client gave up (499) had been accepted. */
static uint64_t cost_of(const struct request *q)
{
    return q->status >= 400 && q->status < 500 && q->status != 499 ? 0 : q->cost;
}

/* The log has whole milliseconds. Two requests whose times differ by exactly a window may have been
 * slightly closer, so they count as being in one window. */
uint64_t requests_peak(struct requests *r, uint64_t window_ms)
{
    uint64_t sum = 0, peak = 0;
    size_t first = 0;

    requests_read(r);
    qsort(r->at, r->count, sizeof(*r->at), compare_t);
    for (size_t i = 0; i < r->count; i++) {
        sum += cost_of(&r->at[i]);
        /* A window includes its start but not its end; times are truncated to milliseconds. */
        while (r->at[i].t_ms - r->at[first].t_ms >= window_ms)
            sum -= cost_of(&r->at[first++]);
        peak = max_u64(peak, sum);
    }
    return peak;
}

uint64_t requests_spent(struct requests *r, uint64_t from_ms, uint64_t until_ms)
{
    uint64_t sum = 0;

    requests_read(r);
    for (size_t i = 0; i < r->count; i++)
        if (r->at[i].t_ms >= from_ms && r->at[i].t_ms < until_ms)
            sum += cost_of(&r->at[i]);
    return sum;
}

uint64_t requests_first(struct requests *r, uint64_t from_ms)
{
    uint64_t first = NEVER;

    requests_read(r);
    for (size_t i = 0; i < r->count; i++)
        if (r->at[i].t_ms >= from_ms)
            first = min_u64(first, r->at[i].t_ms);
    must(first != NEVER);
    return first;
}
