/* SPDX-License-Identifier: MIT */
#include "redis_redirect.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc.h"
#include "redis_error.h"
#include "redis_nodes.h"

/* "<slot> <host>:<port>". An IPv6 address has no brackets, so the last colon counts. No host: the
 * host that said it. "?": it does not know the host. */
static int parse_place(struct span rest, struct redis_redirect *out)
{
    struct span slot, at, host;
    uint64_t number;
    size_t colon;

    if (!span_next_word(&rest, ' ', &slot) || !span_next_word(&rest, ' ', &at) || rest.n ||
        span_to_u64(slot, &number) < 0 || number >= REDIS_SLOTS)
        return -EPROTO;
    for (colon = at.n; colon > 0 && at.p[colon - 1] != ':'; colon--)
        ;
    if (colon == 0)
        return -EPROTO;
    host = span_of(at.p, colon - 1);
    if (span_is(host, "?") || !redis_place_parse(host.n ? host : SPAN("-"),
                                                 span_of(at.p + colon, at.n - colon), &out->at))
        return -EPROTO;
    out->slot = (uint32_t)number;
    if (host.n == 0) {
        free(out->at.host);
        out->at.host = NULL;
    }
    return 1;
}

int redis_redirect_parse(const char *words, struct redis_redirect *out)
{
    struct span rest = span_str(words), first;
    enum redis_error e = redis_error_of(words);

    *out = (struct redis_redirect){0};
    if (!span_next_word(&rest, ' ', &first) || span_is(first, "ERR")) /* of a script's command */
        return 0;
    if (e == REDIS_ERROR_TRYAGAIN)
        out->kind = REDIS_REDIRECT_AGAIN;
    else if (e == REDIS_ERROR_ASK)
        out->kind = REDIS_REDIRECT_ASK;
    else if (e == REDIS_ERROR_MOVED)
        out->kind = REDIS_REDIRECT_MOVED;
    if (out->kind == REDIS_REDIRECT_NONE)
        return 0;
    return out->kind == REDIS_REDIRECT_AGAIN ? 1 : parse_place(rest, out);
}

int redis_course_set(struct redis_course *c, struct redis_nodes *nodes,
                     const struct redis_address *here, const char *words)
{
    struct redis_redirect to;
    int rc = redis_redirect_parse(words, &to);

    if (rc <= 0)
        return rc < 0 ? rc : REDIS_REDIRECT_NONE;
    if (to.kind == REDIS_REDIRECT_MOVED)
        (void)redis_nodes_named(nodes, &to.at, here);
    if (to.kind == REDIS_REDIRECT_ASK && c->kind < REDIS_REDIRECT_ASK) {
        free(c->at.host);
        c->at = (struct redis_place){alloc_str(to.at.host ? to.at.host : here->host), to.at.port};
    }
    if (c->kind < to.kind)
        c->kind = to.kind;
    free(to.at.host);
    return (int)to.kind;
}

#define PAUSE_MIN_MS 5
#define PAUSE_DOUBLINGS 6

uint64_t redis_redirect_pause_ms(uint32_t times)
{
    return (uint64_t)PAUSE_MIN_MS << (times < PAUSE_DOUBLINGS ? times : PAUSE_DOUBLINGS);
}

enum redis_command_kind redis_command_kind_of(struct span name)
{
    static const struct {
        const char *name;
        enum redis_command_kind kind;
    } others[] = {
        {"WAIT", REDIS_WAIT},    {"MULTI", REDIS_MULTI},    {"EXEC", REDIS_EXEC},
        {"DISCARD", REDIS_EXEC}, {"CLIENT", REDIS_KEYLESS}, {"SCRIPT", REDIS_KEYLESS},
        {"INFO", REDIS_KEYLESS}, {"CONFIG", REDIS_KEYLESS}, {"TIME", REDIS_KEYLESS},
        {"PING", REDIS_KEYLESS}, {"ROLE", REDIS_KEYLESS},   {"CLUSTER", REDIS_KEYLESS},
    };

    for (size_t i = 0; i < array_len(others); i++)
        if (span_eq_nocase(name, span_str(others[i].name)))
            return others[i].kind;
    return REDIS_KEYED;
}
