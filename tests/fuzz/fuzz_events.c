/* SPDX-License-Identifier: MIT
 * Fastly's event log, and whose token it is. */
#include <string.h>

#include "events.h"
#include "fuzz.h"

#define FROM UINT64_C(1764403200000)

static void check_id(const char *id)
{
    must(strlen(id) < EVENTS_ID_ROOM);
    for (; *id; id++)
        must(byte_is_alnum(*id) || *id == '_' || *id == '-');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct event events[EVENTS_MAX];
    struct span body = span_of((const char *)data, size);
    struct event_author author;
    struct error err;
    size_t count = 0;

    if (events_read(body, FROM, events, &count, &err) == 0) {
        must(count <= EVENTS_MAX);
        for (size_t i = 0; i < count; i++) {
            must(*events[i].id && events[i].at_ms >= FROM);
            check_id(events[i].id);
            check_id(events[i].service);
            check_id(events[i].token);
            check_id(events[i].user);
        }
    }
    if (events_read_author(body, &author) == 0) {
        must(*author.token);
        check_id(author.token);
        check_id(author.user);
    }
    return 0;
}
