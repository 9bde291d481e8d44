/* SPDX-License-Identifier: MIT
 * Text with placeholders that are filled from a JSON document, once for every element of its lists:
 * "article-{fields.slug.en-US}", "tag-{tags[].name|slug}", "https://{host}/{commits[].modified[]}".
 *
 *   {path}          a path of hook/jsonpath to a string, an integer, true or false
 *   {header:name}   a header of the request
 *   {path|filter}   lower  letters A-Z in lower case
 *                   slug   lower case; every run of bytes other than a-z and 0-9 becomes one '-'
 *                   path   percent-encodes bytes that a URL path may not contain; '/' stays
 *                   split  one result for each part of a comma-separated text
 *   {{  }}          a literal brace
 *
 * Filters may follow each other: {tags|split|slug}. Several lists in one template give every
 * combination; but a list that occurs twice with the same path is iterated once, so that in
 * "{posts[].lang}/{posts[].slug}" both belong to the same post. A value that is missing, empty,
 * null, a fraction, an object, or a list without [] gives no result; this is not an error. */
#pragma once

#include "base.h"
#include "error.h"
#include "span.h"

struct json_t;
struct template;

#define TEMPLATE_MAX_BYTES 2048
#define TEMPLATE_PARTS_MAX 32
#define TEMPLATE_LISTS_MAX 8
#define TEMPLATE_RESULT_MAX_BYTES 16384

/* The maximum number of elements and results visited for one source, by all templates together, so
 * that combined lists cannot take minutes. */
#define TEMPLATE_VISITS_MAX 100000

/* Looks up a header of the request by name, ignoring case. False if it is missing. The value is
 * valid as long as the request. */
typedef bool (*template_header)(void *context, const char *name, struct span *value);

/* The source of the placeholders' values, used for all templates of one request in turn. */
struct template_source {
    const struct json_t *document;
    template_header header; /* NULL: no headers */
    void *header_context;
    uint32_t visits;  /* number of visits so far */
    uint32_t missing; /* how often a value was missing */
};

/* Returns NULL on an error, with "byte 7: ..." in err. */
must_use struct template *template_new(struct span text, struct error *err);
void template_free(struct template *t);

/* Called for each result, which is valid only during the call. A return value other than 0 ends the
 * expansion. */
typedef int (*template_result)(void *context, struct span result);

/* 0; -E2BIG after TEMPLATE_VISITS_MAX; -EMSGSIZE for a result that is too long; or what `result`
 * returned. */
must_use int template_expand(const struct template *t, struct template_source *source,
                             template_result result, void *context);
