/* SPDX-License-Identifier: MIT
 * The parts of a webhook request that hooks use; all of them borrowed. */
#pragma once

#include "span.h"
#include "template.h"

struct hook_request {
    struct span method; /* "POST" */
    struct span path;   /* as received, with the query: "/hooks/contentful" */
    struct span body;
    template_header header;
    void *header_context;
};

static inline bool hook_request_header(const struct hook_request *r, const char *name,
                                       struct span *value)
{
    return r->header && r->header(r->header_context, name, value);
}
