/* SPDX-License-Identifier: MIT */
#include "cloud_event.h"

#include <stdlib.h>

#include "alloc.h"
#include "base64.h"

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

void cloud_event_decode_data(json_t *document)
{
    json_t *encoded = json_object_get(document, "data_base64"), *data;
    size_t n = json_string_length(encoded);
    char *bytes;

    if (!cloud_event_is(document) || n == 0 || json_object_get(document, "data"))
        return;
    bytes = alloc_bytes(n);
    n = base64_decode(span_of(json_string_value(encoded), n), bytes);
    data = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, NULL);
    if (data)
        json_object_set_new(document, "data", data);
    free(bytes);
}
