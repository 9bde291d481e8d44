/* SPDX-License-Identifier: MIT
 * Any bytes in logs, on terminals and in JSON. Input: the bytes. */
#include <jansson.h>
#include <stdlib.h>

#include "fuzz.h"
#include "json_text.h"
#include "log.h"
#include "show.h"

static void check_log(struct span in, struct buf *out)
{
    bool escaped = false;

    buf_clear(out);
    show_for_log(out, in);
    for (size_t i = 0; i < out->n; i++) {
        must(out->p[i] >= 0x20 && out->p[i] < 0x7f && (out->p[i] != '"' || escaped));
        escaped = out->p[i] == '\\' && !escaped;
    }
    must(!escaped); /* it would escape the closing quote */
}

/* There must be no control characters, including C1, and no invalid UTF-8. */
static void check_terminal(struct span in, struct buf *out)
{
    struct span rest;

    buf_clear(out);
    show_for_terminal(out, in);
    for (rest = buf_span(out); rest.n;) {
        size_t n = show_utf8_length(rest);

        must(n > 0 && (unsigned char)*rest.p >= 0x20 && *rest.p != 0x7f);
        must(n != 2 || (unsigned char)rest.p[0] != 0xc2 || (unsigned char)rest.p[1] >= 0xa0);
        rest = span_of(rest.p + n, rest.n - n);
    }
}

/* Bytes that are already valid in JSON are not changed. */
static void check_json(struct span in)
{
    json_t *j = json_text(in), *as_it_is = json_stringn(in.p, in.n);

    if (as_it_is && !(in.n && memchr(in.p, '\0', in.n)))
        must(json_equal(j, as_it_is));
    free(json_text_line(j));
    json_decref(as_it_is);
    json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(size ? (const char *)data : "", size);
    char quoted[64];
    struct buf out;

    buf_init(&out, SIZE_MAX);
    check_log(in, &out);
    check_terminal(in, &out);
    check_json(in);
    must(strlen(log_quote(quoted, sizeof(quoted), in.p, in.n)) < sizeof(quoted));
    buf_deinit(&out);
    return 0;
}
