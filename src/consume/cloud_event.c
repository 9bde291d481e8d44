/* SPDX-License-Identifier: MIT */
#include "cloud_event.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

/* The prefixes of the attributes' names, in the bindings for Kafka, NATS and AMQP:
 * https://github.com/cloudevents/spec/tree/main/cloudevents/bindings */
bool cloud_event_in_headers(const struct source_message *m)
{
    static const char *const names[] = {"ce_specversion", "ce-specversion",
                                        "cloudEvents_specversion", "cloudEvents:specversion"};

    for (size_t i = 0; i < m->headers_count; i++)
        for (size_t k = 0; k < array_len(names); k++)
            if (span_eq_nocase(m->headers[i].name, span_str(names[k])))
                return true;
    return false;
}

bool cloud_event_is(const json_t *document)
{
    return json_is_string(json_object_get(document, "specversion"));
}

/* 0 to 63, or -1. RFC 4648, section 4 */
static int value_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Returns the number of bytes, of which `out` needs three for each four of the text; or 0 if the
 * text is not base64. */
static size_t decode(const char *text, size_t n, char *out)
{
    size_t done = 0;
    uint32_t bits = 0;

    while (n && text[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++) {
        int value = value_of(text[i]);

        if (value < 0)
            return 0;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4)
            out[done++] = (char)(bits >> (6 - 2 * (i % 4)));
    }
    return done;
}

void cloud_event_decode_data(json_t *document)
{
    json_t *encoded = json_object_get(document, "data_base64"), *data;
    size_t n = json_string_length(encoded);
    char *bytes;

    if (!cloud_event_is(document) || n == 0 || json_object_get(document, "data"))
        return;
    bytes = alloc_bytes(n);
    n = decode(json_string_value(encoded), n, bytes);
    data = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, NULL);
    if (data)
        json_object_set_new(document, "data", data);
    free(bytes);
}
