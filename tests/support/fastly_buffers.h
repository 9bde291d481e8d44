/* SPDX-License-Identifier: MIT
 * A request to Fastly with its own buffers. In the daemon, the exchange provides them. */
#pragma once

#include "fastly.h"

#define URL_BESIDES_BYTES 2176 /* the API's address and fixed text */

static inline void fastly_request_init(struct fastly_request *r)
{
    *r = (struct fastly_request){.method = "POST"};
    buf_init(&r->url, URL_BESIDES_BYTES + URL_MAX_BYTES);
    buf_init(&r->header, FASTLY_BATCH_MAX_BYTES + 128);
    buf_init(&r->body, FASTLY_BATCH_MAX_BYTES + 128);
}

static inline void fastly_request_deinit(struct fastly_request *r)
{
    buf_deinit(&r->url);
    buf_deinit(&r->header);
    buf_deinit(&r->body);
}
