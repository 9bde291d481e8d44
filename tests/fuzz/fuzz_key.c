/* SPDX-License-Identifier: MIT
 * A surrogate key in the path of a request to Fastly's API. Input: the key as it is in the path. */
#include "visit_world.h"

#define BEGIN "POST /service/" SERVICE "/purge/"

/* Finds "keys\n<key>\n" among the fields of the job. */
static struct span key_put(void)
{
    struct span rest = buf_span(&last_job);

    while (rest.n) {
        struct span name = fuzz_line(&rest), value = fuzz_line(&rest);

        if (span_is(name, "keys"))
            return value;
    }
    return span_of(NULL, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of((const char *)data, size), key;
    struct buf text;
    size_t put = jobs_put;
    int status;

    if (size > 8000 || (size && (memchr(data, ' ', size) || memchr(data, '\n', size))))
        return 0;
    buf_init(&text, SIZE_MAX);
    buf_put(&text, SPAN(BEGIN));
    buf_put(&text, in);
    buf_put(&text, SPAN(" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
    status = first_status(visit_endpoint(buf_span(&text), text.n));
    must(status < 500);
    if (status == 200 && jobs_put == put + 1 && size) {
        key = key_put();
        must(key.n >= 1 && key.n <= 1024);
        for (size_t i = 0; i < key.n; i++)
            must(key.p[i] > 0x20 && key.p[i] < 0x7f); /* one key, not two */
        must(memchr(data, '%', size) || memchr(data, '?', size) || span_eq(key, in));
    }
    buf_deinit(&text);
    return 0;
}
