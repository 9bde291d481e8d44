/* SPDX-License-Identifier: MIT */
#include "jsonpath.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"

/* The state of parsing a path. */
struct parsing {
    struct jsonpath *p;
    struct span text;
    size_t at;      /* position of the current byte */
    char *name_end; /* where the next name is stored */
    const char *why;
};

static int jsonpath_error(struct parsing *x, const char *why)
{
    x->why = why;
    return -EINVAL;
}

static bool more(const struct parsing *x)
{
    return x->at < x->text.n;
}

static bool next_is(const struct parsing *x, char c)
{
    return more(x) && x->text.p[x->at] == c;
}

static int add_step(struct parsing *x, struct jsonpath_step step)
{
    if (x->p->count == JSONPATH_STEPS_MAX)
        return jsonpath_error(x, "more than 32 steps");
    x->p->steps[x->p->count++] = step;
    return 0;
}

static int add_member(struct parsing *x, const char *name)
{
    struct span s = span_of(name, (size_t)(x->name_end - name));

    return add_step(x, (struct jsonpath_step){.kind = JSONPATH_MEMBER, .name = s});
}

static bool is_plain(char c)
{
    return (unsigned char)c > ' ' && c != 0x7f && !strchr(".[]{}|=!\"", c);
}

static int take_plain(struct parsing *x)
{
    const char *name = x->name_end;

    while (more(x) && is_plain(x->text.p[x->at]))
        *x->name_end++ = x->text.p[x->at++];
    if (x->name_end == name)
        return jsonpath_error(x, more(x) ? "a byte that must be in double quotes"
                                         : "a name is missing");
    return add_member(x, name);
}

static int take_quoted(struct parsing *x)
{
    const char *name = x->name_end;

    for (x->at++; more(x) && !next_is(x, '"'); x->at++) {
        if (next_is(x, '\\'))
            x->at++;
        if (more(x))
            *x->name_end++ = x->text.p[x->at];
    }
    if (!more(x))
        return jsonpath_error(x, "the closing double quote is missing");
    x->at++;
    return add_member(x, name);
}

static int take_index(struct parsing *x)
{
    const char *end = memchr(x->text.p + x->at, ']', x->text.n - x->at);
    struct jsonpath_step step = {.kind = JSONPATH_EACH};
    struct span digits;
    uint64_t index = 0;

    if (!end)
        return jsonpath_error(x, "the closing ] is missing");
    digits = span_of(x->text.p + x->at + 1, (size_t)(end - x->text.p) - x->at - 1);
    if (digits.n) {
        step.kind = JSONPATH_INDEX;
        if (span_to_u64(digits, &index) < 0 || index > UINT32_MAX)
            return jsonpath_error(x, "neither [] nor the number of an element");
        step.index = (uint32_t)index;
    }
    x->at += digits.n + 2;
    return add_step(x, step);
}

/* A name must come at the start and after a dot. Brackets may come at the start and after anything
 * else. */
static int take_all(struct parsing *x)
{
    bool name_due = !next_is(x, '[');
    int e = 0;

    if (!more(x))
        return jsonpath_error(x, "the path is empty");
    while (e == 0 && (name_due || more(x))) {
        if (name_due) {
            e = next_is(x, '"') ? take_quoted(x) : take_plain(x);
            name_due = false;
        } else if (next_is(x, '[')) {
            e = take_index(x);
        } else if (next_is(x, '.')) {
            x->at++;
            name_due = true;
        } else {
            e = jsonpath_error(x, "neither a dot nor [ after a name");
        }
    }
    return e;
}

int jsonpath_init(struct jsonpath *p, struct span text, size_t *at, const char **why)
{
    struct parsing x = {.p = p, .text = text};
    int e;

    *p = (struct jsonpath){.steps = alloc_zeroed(JSONPATH_STEPS_MAX, sizeof(*p->steps)),
                           .names = alloc_bytes(text.n + 1)};
    x.name_end = p->names;
    e = take_all(&x);
    if (e < 0) {
        *at = x.at;
        *why = x.why;
        jsonpath_deinit(p);
    }
    return e;
}

void jsonpath_deinit(struct jsonpath *p)
{
    free(p->steps);
    free(p->names);
    *p = (struct jsonpath){0};
}

bool jsonpath_same(const struct jsonpath_step *a, const struct jsonpath_step *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (a[i].kind != b[i].kind || a[i].index != b[i].index || !span_eq(a[i].name, b[i].name))
            return false;
    return true;
}

const struct json_t *jsonpath_follow(const struct json_t *from, const struct jsonpath_step *steps,
                                     uint32_t count)
{
    for (uint32_t i = 0; i < count && from; i++) {
        must(steps[i].kind != JSONPATH_EACH);
        if (steps[i].kind == JSONPATH_INDEX)
            from = json_array_get(from, steps[i].index);
        else
            from = json_object_getn(from, steps[i].name.p, steps[i].name.n);
    }
    return from;
}

static bool any(const json_t *from, const struct jsonpath_step *steps, uint32_t count,
                jsonpath_test test, const void *context)
{
    uint32_t plain = 0;

    while (plain < count && steps[plain].kind != JSONPATH_EACH)
        plain++;
    from = jsonpath_follow(from, steps, plain);
    if (!from)
        return false;
    if (plain == count)
        return test(from, context);
    for (size_t i = 0; i < json_array_size(from); i++)
        if (any(json_array_get(from, i), steps + plain + 1, count - plain - 1, test, context))
            return true;
    return false;
}

bool jsonpath_any(const struct json_t *from, const struct jsonpath *p, jsonpath_test test,
                  const void *context)
{
    return any(from, p->steps, p->count, test, context);
}

bool jsonpath_text(const struct json_t *value, char room[JSONPATH_NUMBER_ROOM], struct span *out)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        *out = span_of(json_string_value(value), json_string_length(value));
        return true;
    case JSON_INTEGER:
        snprintf(room, JSONPATH_NUMBER_ROOM, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        *out = span_str(room);
        return true;
    case JSON_TRUE:
        *out = SPAN("true");
        return true;
    case JSON_FALSE:
        *out = SPAN("false");
        return true;
    default:
        return false;
    }
}
