/* SPDX-License-Identifier: MIT */
#include "kafka_messages.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"

/* -- keeping and dropping -- */

static void drop_one(struct kafka_message *one)
{
    rd_kafka_event_destroy(one->event);
    free(one->flaw);
}

void kafka_messages_drop(struct kafka_messages *k, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        drop_one(&k->all[i]);
    k->count -= n;
    if (k->count)
        memmove(k->all, k->all + n, k->count * sizeof(*k->all));
}

void kafka_messages_drop_partition(struct kafka_messages *k, int32_t partition)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < k->count; i++) {
        if (k->all[i].partition == partition)
            drop_one(&k->all[i]);
        else if (kept++ != i)
            k->all[kept - 1] = k->all[i];
    }
    k->count = kept;
}

void kafka_messages_keep(struct kafka_messages *k, const struct kafka_places *p,
                         rd_kafka_event_t *e)
{
    struct kafka_message *one = &k->all[k->count];

    one->m = rd_kafka_event_message_next(e);
    if (!one->m || !kafka_places_find(p, one->m->partition)) {
        rd_kafka_event_destroy(e);
        return;
    }
    one->event = e;
    one->flaw = NULL;
    one->partition = one->m->partition;
    one->offset = one->m->offset;
    k->count++;
}

bool kafka_messages_keep_flaw(struct kafka_messages *k, const struct kafka_places *p,
                              rd_kafka_event_t *e)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(e);
    struct kafka_message *one = &k->all[k->count];
    rd_kafka_topic_partition_t *at;
    bool known;

    if (code != RD_KAFKA_RESP_ERR__BAD_MSG && code != RD_KAFKA_RESP_ERR__BAD_COMPRESSION &&
        code != RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED)
        return false;
    at = rd_kafka_event_topic_partition(e);
    if (!at)
        return false;
    known = at->offset >= 0 && kafka_places_find(p, at->partition);
    if (known) {
        one->event = e;
        one->m = NULL;
        one->flaw = alloc_str(rd_kafka_event_error_string(e));
        one->partition = at->partition;
        one->offset = at->offset;
        k->count++;
    }
    rd_kafka_topic_partition_destroy(at);
    return known;
}

/* -- showing -- */

/* The headers, and after them the key. */
static size_t list_headers(const rd_kafka_message_t *m, struct source_header *out)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t n = 0, bytes;

    if (rd_kafka_message_headers(m, &headers) == 0)
        while (n < KAFKA_HEADERS_MAX &&
               rd_kafka_header_get_all(headers, n, &name, &value, &bytes) == 0)
            out[n++] = (struct source_header){span_str(name), span_of(bytes ? value : "", bytes)};
    if (m->key)
        out[n++] = (struct source_header){SPAN("key"), span_of(m->key, m->key_len)};
    return n;
}

static struct span write_number(char room[KAFKA_NUMBER_ROOM], int64_t number)
{
    char *at = room + KAFKA_NUMBER_ROOM;
    uint64_t rest = (uint64_t)number;

    do
        *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    return span_of(at, (size_t)(room + KAFKA_NUMBER_ROOM - at));
}

/* A message without a value marks its key as deleted. */
struct source_message kafka_messages_show(struct kafka_messages *k, uint32_t nth)
{
    struct kafka_message *one = &k->all[nth];
    struct source_message shown = {.body = SPAN(""),
                                   .partition = write_number(one->partition_text, one->partition),
                                   .offset = write_number(one->offset_text, one->offset),
                                   .headers = one->headers,
                                   .flaw = one->flaw};

    if (one->m && one->m->payload)
        shown.body = span_of(one->m->payload, one->m->len);
    shown.absent = one->m && !one->m->payload;
    if (one->m)
        shown.headers_count = list_headers(one->m, one->headers);
    return shown;
}
