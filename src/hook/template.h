/* SPDX-License-Identifier: MIT
 * Text with placeholders that are filled from a JSON document, once for every element of its lists:
 * "article-{fields.slug.en-US}", "tag-{tags[].name|slug}", "https://{host}/{commits[].modified[]}".
 *
 *   {path}          what hook/jsonpath knows; texts, whole numbers, true and false
 *   {header:name}   a header of the request
 *   {path|filter}   lower  letters A-Z in lower case
 *                   slug   lower case, and every other run of bytes than a-z 0-9 is one '-'
 *                   path   what a URL may not hold is percent-encoded; '/' stays
 *                   split  the parts of a comma-separated text, each by itself
 *   {{  }}          a brace
 *
 * Filters may follow each other: {tags|split|slug}. Several lists in one template give every
 * combination; but a list that is written the same twice is walked once, so that in
 * "{posts[].lang}/{posts[].slug}" both belong to the same post. What is missing, null, a fraction,
 * an object or a list without [] gives no result, and is no error; so does an empty one. */
#pragma once

#include "base.h"
#include "span.h"

struct json_t;
struct template;

#define TEMPLATE_MAX_BYTES 2048
#define TEMPLATE_PARTS_MAX 32
#define TEMPLATE_LISTS_MAX 8
#define TEMPLATE_RESULT_MAX_BYTES 16384

/* Elements and results looked at for one source, by all templates together: lists that combine must
 * not cost minutes. */
#define TEMPLATE_VISITS_MAX 100000

/* A header of the request by its name, case ignored. False when it is not there. The value is lent
 * until the request is gone. */
typedef bool (*template_header)(void *context, const char *name, struct span *value);

/* Where the holes' contents come from; for the templates of one request, one after the other. */
struct template_source {
    const struct json_t *document;
    template_header header; /* NULL: there are none */
    void *header_context;
    uint32_t visits;  /* so far */
    uint32_t missing; /* how often something was not there */
};

/* NULL, with "byte 7: ..." in err. */
must_use struct template *template_new(struct span text, char *err, size_t err_room);
void template_free(struct template *t);

/* Called for each result; lent for the call. Anything but 0 ends the expansion. */
typedef int (*template_result)(void *context, struct span result);

/* 0; -E2BIG after TEMPLATE_VISITS_MAX; -EMSGSIZE for a result that is too long; or what `result`
 * returned. */
must_use int template_expand(const struct template *t, struct template_source *source,
                             template_result result, void *context);
