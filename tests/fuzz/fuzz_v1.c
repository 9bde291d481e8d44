/* SPDX-License-Identifier: MIT
 * The JSON of our own API. Input: a digit that chooses the route, the body behind it. */
#include "visit_world.h"

static const char *const heads[] = {
    "POST /v1/purge HTTP/1.1\r\n",      "POST /v1/purge HTTP/1.1\r\nIdempotency-Key: k\r\n",
    "POST /v1/plan HTTP/1.1\r\n",       "POST /v1/purge/bulk HTTP/1.1\r\n",
    "POST /v1/pause HTTP/1.1\r\n",      "POST /v1/resume HTTP/1.1\r\n",
    "POST /v1/dead/retry HTTP/1.1\r\n", "POST /v1/dead/drop HTTP/1.1\r\n",
};

/* These ask a Redis of their own, and there is none. */
static bool blocks(size_t route)
{
    return route == 2 || route >= 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf text;
    size_t put = jobs_put;
    int status;

    if (size == 0 || size > 60000)
        return 0;
    buf_init(&text, SIZE_MAX);
    buf_printf(&text, "%sHost: x\r\nContent-Length: %zu\r\n\r\n", heads[data[0] % array_len(heads)],
               size - 1);
    buf_put(&text, span_of((const char *)data + 1, size - 1));
    status = first_status(visit_endpoint(buf_span(&text), text.n));
    must((status >= 200 && status < 500) || (status == 503 && blocks(data[0] % array_len(heads))));
    if (data[0] % array_len(heads) == 0)
        must((status == 202) == (jobs_put == put + 1)); /* a yes is a job, a no is none */
    buf_deinit(&text);
    return 0;
}
