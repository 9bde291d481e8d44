/* SPDX-License-Identifier: MIT */
#include "history_line.h"

#include <string.h>

#include "fastly.h"
#include "json_text.h"

_Static_assert(HISTORY_PURGE_MAX >=
                   6 * (HISTORY_TARGET_MAX + SERVICE_NAME_MAX_BYTES + JOB_BY_MAX_BYTES) +
                       FASTLY_ID_MAX_BYTES + 200,
               "escapes take six bytes");

static void put_target(struct buf *out, const struct history_purge *p)
{
    bool cut = p->target.n > HISTORY_TARGET_MAX;

    buf_put(out, p->kind == TARGET_URL ? SPAN("\"urls\":[") : SPAN("\"keys\":["));
    json_text_put(out, span_of(p->target.p, cut ? HISTORY_TARGET_MAX : p->target.n));
    buf_put(out, cut ? SPAN("],\"cut\":true") : SPAN("]"));
}

/* There is nothing to escape in it. */
static void put_id(struct buf *out, struct span id, bool after)
{
    static const char name[] = ",\"id\":\"";
    char text[sizeof(name) + FASTLY_ID_MAX_BYTES];
    size_t n = sizeof(name) - 1;

    must(id.n <= FASTLY_ID_MAX_BYTES);
    memcpy(text, name, n);
    memcpy(text + n, id.p, id.n);
    text[n + id.n] = '"';
    buf_put(out, after ? span_of(text, n + id.n + 1) : span_of(text + 1, n + id.n));
}

void history_put_purge(struct buf *out, const struct history_purge *p)
{
    size_t start = out->n;

    if (p->named && p->kind == TARGET_ALL)
        buf_put(out, SPAN("\"all\":true"));
    else if (p->named)
        put_target(out, p);
    if (p->named && p->more) {
        buf_put(out, SPAN(",\"more\":"));
        buf_put_u64(out, p->more);
    }
    if (p->soft)
        buf_put(out, out->n > start ? SPAN(",\"soft\":true") : SPAN("\"soft\":true"));
    if (p->service.n) {
        buf_put(out, out->n > start ? SPAN(",\"service\":") : SPAN("\"service\":"));
        json_text_put(out, p->service);
    }
    if (p->sent_ms) {
        buf_put(out, out->n > start ? SPAN(",\"sent\":") : SPAN("\"sent\":"));
        buf_put_u64(out, p->sent_ms);
    }
    if (p->id.n)
        put_id(out, p->id, out->n > start);
    if (p->by.n) {
        buf_put(out, out->n > start ? SPAN(",\"by\":") : SPAN("\"by\":"));
        json_text_put(out, p->by);
    }
}

struct span history_by_member(struct span purge)
{
    static const char name[] = "\"by\":\"";
    bool may = purge.n && purge.p[purge.n - 1] == '"';
    const char *at = may ? memmem(purge.p, purge.n, name, strlen(name)) : NULL;

    return at ? span_of(at, purge.n - (size_t)(at - purge.p)) : SPAN("");
}
