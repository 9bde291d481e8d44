/* SPDX-License-Identifier: MIT */
#include "history_match.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "history_line.h"
#include "json_text.h"

/* Of a million lines, few are wanted. So a line is only parsed if it contains certain texts. */
#define NEEDLES_MAX 7
#define LINE_MAX_BYTES 65536 /* ours have a few KiB at most */

struct history_wanted {
    struct history_filter filter;
    char *needles[NEEDLES_MAX];
    size_t count;
};

/* What is kept of a target. */
static struct span kept(struct span target)
{
    return span_of(target.p, target.n > HISTORY_TARGET_MAX ? HISTORY_TARGET_MAX : target.n);
}

/* The text as it stands between the quotation marks of a JSON string. */
static char *inner(struct span text)
{
    json_t *j = json_text(text);
    char *quoted = json_text_line(j), *out = alloc_copy(quoted + 1, strlen(quoted) - 2);

    json_decref(j);
    free(quoted);
    return out;
}

static void add_needle(struct history_wanted *w, const char *before, struct span text,
                       const char *after)
{
    char *middle;

    if (!text.n)
        return;
    middle = inner(text);
    w->needles[w->count++] = alloc_printf("%s%s%s", before, middle, after);
    free(middle);
}

struct history_wanted *history_wanted_new(const struct history_filter *f)
{
    struct history_wanted *w = alloc_zeroed(1, sizeof(*w));
    struct span target = url_without_scheme(f->target);

    if (target.n > HISTORY_TARGET_MAX - 8) /* the scheme may have been kept, too */
        target.n = HISTORY_TARGET_MAX - 8;

    w->filter = *f;
    add_needle(w, "\"job\":\"", f->job, "\"");
    add_needle(w, "\"ref\":\"", f->ref, "\"");
    add_needle(w, "\"state\":\"", f->outcome, "\"");
    add_needle(w, "\"id\":\"", f->purge_id, "\"");
    add_needle(w, "\"by\":\"", f->producer, ""); /* an address may follow */
    add_needle(w, "", target, "");
    if (f->acts)
        w->needles[w->count++] = alloc_str("\"act\"");
    return w;
}

void history_wanted_free(struct history_wanted *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->count; i++)
        free(w->needles[i]);
    free(w);
}

static bool has_needles(const struct history_wanted *w, struct span line)
{
    for (size_t i = 0; i < w->count; i++)
        if (!memmem(line.p, line.n, w->needles[i], strlen(w->needles[i])))
            return false;
    return true;
}

static struct span member_text(const json_t *j, const char *name)
{
    const json_t *text = json_object_get(j, name);

    return json_is_string(text) ? span_of(json_string_value(text), json_string_length(text))
                                : SPAN("");
}

static bool is_kept_of(struct span listed, struct span wanted)
{
    return span_eq(listed, kept(wanted)) ||
           (listed.n == HISTORY_TARGET_MAX && wanted.n > listed.n &&
            memcmp(listed.p, wanted.p, listed.n) == 0);
}

static bool names_target(const json_t *purge, const char *list, struct span wanted)
{
    const json_t *target;
    size_t i;

    json_array_foreach(json_object_get(purge, list), i, target)
    {
        struct span listed = span_of(json_string_value(target), json_string_length(target));

        if (!listed.p)
            continue;
        if (is_kept_of(listed, wanted))
            return true;
        if (strcmp(list, "urls") == 0 && listed.n < HISTORY_TARGET_MAX &&
            span_eq(url_without_scheme(listed), url_without_scheme(wanted)))
            return true;
    }
    return false;
}

static bool is(struct span wanted, struct span found)
{
    return !wanted.n || span_eq(wanted, found);
}

bool history_is_act(const json_t *line)
{
    return json_is_string(json_object_get(line, "act"));
}

/* A name may contain " from ", an address cannot. */
static struct span without_address(struct span by)
{
    static const char from[] = " from ";
    const size_t n = strlen(from);

    for (size_t i = by.n; i-- > 0;)
        if (by.n - i >= n && memcmp(by.p + i, from, n) == 0)
            return span_of(by.p, i);
    return by;
}

bool history_is_by(const json_t *line, struct span name)
{
    struct span by = member_text(line, "by");

    return span_eq(by, name) || (history_is_act(line) && span_eq(without_address(by), name));
}

/* Puts who pushed the job where acts have who did them. */
static void lift_pusher(json_t *j)
{
    json_t *purge = json_object_get(j, "purge"), *by = json_object_get(purge, "by");

    if (history_is_act(j) || !by)
        return;
    json_object_set(j, "by", by);
    json_object_del(purge, "by");
}

static bool is_wanted(const struct history_filter *f, const json_t *j)
{
    const json_t *purge = json_object_get(j, "purge");

    return is(f->job, member_text(j, "job")) && is(f->ref, member_text(j, "ref")) &&
           is(f->outcome, member_text(j, "state")) && is(f->purge_id, member_text(purge, "id")) &&
           (!f->acts || history_is_act(j)) && (!f->producer.n || history_is_by(j, f->producer)) &&
           (!f->target.n || names_target(purge, "keys", f->target) ||
            names_target(purge, "urls", f->target));
}

json_t *history_match(const struct history_wanted *w, struct span line, uint64_t at_ms)
{
    json_t *j;

    if (line.n > LINE_MAX_BYTES || line.n == 0 || !has_needles(w, line))
        return NULL;
    j = json_loadb(line.p, line.n, JSON_ALLOW_NUL, NULL);
    lift_pusher(j);
    if (!json_is_object(j) || !is_wanted(&w->filter, j)) {
        json_decref(j);
        return NULL;
    }
    if (!json_is_integer(json_object_get(j, "at")))
        json_object_set_new(j, "at", json_integer((json_int_t)at_ms));
    if (json_object_get(j, "job") && !json_object_get(j, "targets"))
        json_object_set_new(j, "targets", json_integer(1));
    return j;
}
