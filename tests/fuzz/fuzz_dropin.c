/* SPDX-License-Identifier: MIT
 * The body and the headers of Fastly's route for purging keys. Input: a digit that chooses the type
 * of the body, the value of Surrogate-Key up to a newline, the body. */
#include "visit_world.h"

static const char *const types[] = {"", "Content-Type: application/json\r\n",
                                    "Content-Type: application/x-www-form-urlencoded\r\n",
                                    "Content-Type: text/plain\r\nFastly-Soft-Purge: 1\r\n"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of((const char *)data + 1, size - 1), keys;
    struct buf text;
    size_t put = jobs_put;
    int status;

    if (size == 0 || size > 30000)
        return 0;
    keys = fuzz_line(&rest);
    buf_init(&text, SIZE_MAX);
    buf_printf(&text, "POST /service/" SERVICE "/purge HTTP/1.1\r\nHost: x\r\n%s",
               types[data[0] % array_len(types)]);
    if (keys.n) {
        buf_put(&text, SPAN("Surrogate-Key: "));
        buf_put(&text, keys);
        buf_put(&text, SPAN("\r\n"));
    }
    buf_printf(&text, "Content-Length: %zu\r\n\r\n", rest.n);
    buf_put(&text, rest);
    status = first_status(visit_endpoint(buf_span(&text), text.n));
    must(status < 500);
    must(status != 200 || jobs_put > put);
    buf_deinit(&text);
    return 0;
}
