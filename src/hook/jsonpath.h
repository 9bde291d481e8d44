/* SPDX-License-Identifier: MIT
 * A path through a JSON document, as written in the configuration: "fields.slug.en-US",
 * "commits[].modified[]", "images[0].url", "fields.\"odd.name\"". */
#pragma once

#include "base.h"
#include "span.h"

struct json_t;

#define JSONPATH_STEPS_MAX 32

enum jsonpath_kind {
    JSONPATH_MEMBER, /* a member of an object, by name */
    JSONPATH_INDEX,  /* an element of a list, by index */
    JSONPATH_EACH,   /* every element of a list */
};

struct jsonpath_step {
    enum jsonpath_kind kind;
    uint32_t index;
    struct span name;
};

struct jsonpath {
    struct jsonpath_step *steps; /* owned */
    uint32_t count;
    char *names; /* owned; the steps' names point into it */
};

/* Parses the whole text. Members are separated by dots; [] means every element of a list, [7] one
 * of them. A name that contains a dot, a blank, or one of []{}|=!" must be in double quotes, inside
 * which \" and \\ are escapes. 0, or -EINVAL with the position of the wrong byte in *at and a
 * sentence in *why (static); p is then empty. */
must_use int jsonpath_init(struct jsonpath *p, struct span text, size_t *at, const char **why);
void jsonpath_deinit(struct jsonpath *p);

bool jsonpath_same(const struct jsonpath_step *a, const struct jsonpath_step *b, uint32_t count);

/* The value that the steps lead to, or NULL. No step may be JSONPATH_EACH. */
const struct json_t *jsonpath_follow(const struct json_t *from, const struct jsonpath_step *steps,
                                     uint32_t count);

/* Whether `test` holds for any of the values that the path leads to. Visits each value of the
 * document at most once. */
typedef bool (*jsonpath_test)(const struct json_t *value, const void *context);
bool jsonpath_any(const struct json_t *from, const struct jsonpath *p, jsonpath_test test,
                  const void *context);

#define JSONPATH_NUMBER_ROOM 24

/* Converts a value to text: strings, integers (written into `room`), true and false. Returns false
 * for anything else: null, fractions, objects and lists. */
bool jsonpath_text(const struct json_t *value, char room[JSONPATH_NUMBER_ROOM], struct span *out);
