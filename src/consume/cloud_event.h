/* SPDX-License-Identifier: MIT
 * CloudEvents: https://github.com/cloudevents/spec/blob/main/cloudevents/spec.md */
#pragma once

#include <jansson.h>

#include "source.h"

/* Whether the headers are the attributes of an event in the binary mode: the body is its data. */
bool cloud_event_in_headers(const struct source_message *m);
/* Whether the document is an event in the structured mode. */
bool cloud_event_is(const json_t *document);
/* If the event's data is JSON that was encoded as data_base64, makes it `data`. Other documents
 * stay as they are. */
void cloud_event_decode_data(json_t *document);
