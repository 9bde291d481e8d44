/* SPDX-License-Identifier: MIT
 * Any bytes that are sent to the HTTP endpoint, up to the response and the end of the connection.
 * Input: a byte with the number of bytes that are sent at once (0: all), then the bytes. */
#include "visit_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span got;
    int status;

    if (size == 0)
        return 0;
    got = visit_endpoint(span_of((const char *)data + 1, size - 1), data[0] ? data[0] : size);
    status = first_status(got);
    must(status < 500 || status == 503 || status == 505); /* the input must not cause another 5xx */
    return 0;
}
