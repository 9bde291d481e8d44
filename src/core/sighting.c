/* SPDX-License-Identifier: MIT */
#include "sighting.h"

#include <errno.h>

#include "fastly.h"

/* What is needed while the lines are read. */
struct head_reading {
    struct sighting *s;
    enum sighting_cache said[SIGHTING_HOPS_MAX]; /* X-Cache */
    size_t said_count;
    struct span ttl; /* the value of Fastly-Debug-TTL */
    bool swr_from_surrogate;
};

/* -- words of a value -- */

static bool next_element(struct span *rest, struct span *element)
{
    if (!span_next_word(rest, ',', element))
        return false;
    *element = span_trim(*element);
    return true;
}

static uint64_t seconds_of(struct span text, bool *known)
{
    uint64_t value = 0;
    int rc = span_to_u64(text, &value);

    *known = rc != -EINVAL;
    return rc == -ERANGE ? SIGHTING_TIME_MAX_S : min_u64(value, SIGHTING_TIME_MAX_S);
}

/* -- which caches -- */

/* "cache-ams21039-AMS": the part after the last hyphen.
 * https://www.fastly.com/documentation/reference/http/http-headers/X-Served-By/ */
static struct span pop_of(struct span server)
{
    const char *hyphen = server.n ? memrchr(server.p, '-', server.n) : NULL;
    size_t before = hyphen ? (size_t)(hyphen - server.p) + 1 : server.n;

    if (!span_starts_nocase(server, "cache-") || before < sizeof("cache-x-") - 1)
        return SPAN("");
    return span_of(server.p + before, server.n - before);
}

static void on_served_by(struct head_reading *r, struct span value)
{
    struct sighting *s = r->s;
    struct span server;

    while (next_element(&value, &server)) {
        if (s->hops_count == SIGHTING_HOPS_MAX)
            memmove(s->hops, s->hops + 1, --s->hops_count * sizeof(*s->hops));
        s->hops[s->hops_count++] = (struct sighting_hop){.server = server, .pop = pop_of(server)};
    }
}

static void on_cache(struct head_reading *r, struct span value)
{
    struct span word;

    while (next_element(&value, &word)) {
        if (r->said_count == SIGHTING_HOPS_MAX)
            memmove(r->said, r->said + 1, --r->said_count * sizeof(*r->said));
        r->said[r->said_count++] = span_starts_nocase(word, "HIT")      ? SIGHTING_HIT
                                   : span_eq_nocase(word, SPAN("MISS")) ? SIGHTING_MISS
                                                                        : SIGHTING_UNSAID;
    }
}

/* The two lists belong together from their ends: VCL may add to one of them. */
static void join_lists(struct head_reading *r)
{
    struct sighting *s = r->s;

    if (s->hops_count == 0)
        s->hops_count = r->said_count; /* caches without a name */
    for (size_t i = 1; i <= s->hops_count && i <= r->said_count; i++)
        s->hops[s->hops_count - i].cache = r->said[r->said_count - i];
}

/* "(H cache-ams21039-AMS 31535942.1 3600.000 57) (M cache-bwi5133-BWI - - 0)": hit or miss, server,
 * TTL, time of grace, age. The POP is the first, and with a single one the brackets may be missing.
 * https://www.fastly.com/documentation/reference/http/http-headers/Fastly-Debug-TTL/ */
static bool next_ttl(struct span *rest, struct span words[5])
{
    for (size_t i = 0; i < 5; i++) {
        if (!span_next_word(rest, ' ', &words[i]))
            return false;
        if (words[i].p[0] == '(')
            words[i] = span_of(words[i].p + 1, words[i].n - 1);
        if (words[i].n && words[i].p[words[i].n - 1] == ')')
            words[i].n--;
    }
    return true;
}

static struct sighting_hop *find_hop(struct sighting *s, struct span server)
{
    for (size_t i = s->hops_count; i-- > 0;)
        if (!s->hops[i].age_known && span_eq(s->hops[i].server, server))
            return &s->hops[i];
    return NULL;
}

static void read_ages(struct head_reading *r)
{
    struct span words[5];

    while (next_ttl(&r->ttl, words)) {
        struct sighting_hop *hop = find_hop(r->s, words[1]);

        if (hop)
            hop->age_s = seconds_of(words[4], &hop->age_known);
    }
}

/* -- keys -- */

/* Of a header that is too long, Fastly ignores the key at the limit and all that follow.
 * https://www.fastly.com/documentation/reference/vcl/constraints-and-limitations/ */
static void take_key(struct sighting *s, struct span key, size_t end)
{
    s->keys_count++;
    if (end > FASTLY_BATCH_MAX_BYTES && s->keys_ignored++ == 0)
        s->ignored = key;
    if (s->comma_key.n == 0 && memchr(key.p, ',', key.n))
        s->comma_key = key;
    if (s->long_key.n == 0 && key.n > KEY_MAX_BYTES)
        s->long_key = key;
}

static void on_keys(struct head_reading *r, struct span value)
{
    struct sighting *s = r->s;
    size_t before = s->keyed ? s->keys_bytes + 1 : 0;
    struct span rest = value, key;

    s->keyed = true;
    while (span_next_word(&rest, ' ', &key))
        take_key(s, key, before + (size_t)(key.p - value.p) + key.n);
    s->keys_bytes = before + value.n;
}

/* -- staleness -- */

static void on_directive(struct head_reading *r, struct span text, bool surrogate)
{
    const char *equals = text.n ? memchr(text.p, '=', text.n) : NULL;
    size_t n = equals ? (size_t)(equals - text.p) : text.n;
    struct span name = span_trim(span_of(text.p, n));
    struct span value = span_trim(span_of(text.p + n + (equals ? 1 : 0), text.n - n - !!equals));
    bool known;
    uint64_t seconds = seconds_of(value, &known);

    if (span_eq_nocase(name, SPAN("stale-while-revalidate")) && known) {
        if (surrogate || !r->swr_from_surrogate)
            r->s->swr_s = seconds;
        r->swr_from_surrogate |= surrogate;
    } else if (!surrogate && r->s->uncacheable.n == 0 &&
               (span_eq_nocase(name, SPAN("private")) || span_eq_nocase(name, SPAN("no-store")) ||
                (span_eq_nocase(name, SPAN("max-age")) && known && seconds == 0))) {
        r->s->uncacheable = text;
    }
}

static void on_cache_control(struct head_reading *r, struct span value)
{
    struct span directive;

    while (next_element(&value, &directive))
        on_directive(r, directive, false);
}

/* Fastly prefers it to Cache-Control, and shows it only for Fastly-Debug.
 * https://www.fastly.com/documentation/reference/http/http-headers/Surrogate-Control/ */
static void on_surrogate_control(struct head_reading *r, struct span value)
{
    struct span directive;

    while (next_element(&value, &directive))
        on_directive(r, directive, true);
}

/* -- other headers -- */

static void on_age(struct head_reading *r, struct span value)
{
    r->s->age_s = seconds_of(value, &r->s->age_known);
}

static void on_debug_path(struct head_reading *r, struct span value)
{
    r->s->debug |= value.n > 0;
}

static void on_debug_ttl(struct head_reading *r, struct span value)
{
    r->s->debug |= value.n > 0;
    if (r->ttl.n == 0)
        r->ttl = value;
}

static void on_validator(struct head_reading *r, struct span value)
{
    r->s->validator |= value.n > 0;
}

static void on_set_cookie(struct head_reading *r, struct span value)
{
    r->s->sets_cookie |= value.n > 0;
}

static const struct header {
    const char *name;
    void (*read)(struct head_reading *r, struct span value);
} headers[] = {
    {"X-Served-By", on_served_by},
    {"X-Cache", on_cache},
    {"Age", on_age},
    {"Fastly-Debug-Path", on_debug_path},
    {"Fastly-Debug-TTL", on_debug_ttl},
    {"Surrogate-Key", on_keys},
    {"Cache-Control", on_cache_control},
    {"Surrogate-Control", on_surrogate_control},
    {"ETag", on_validator},
    {"Last-Modified", on_validator},
    {"Set-Cookie", on_set_cookie},
};

/* "HTTP/1.1 200 OK", "HTTP/2 200" */
static void read_status(struct sighting *s, struct span line)
{
    struct span version, code;
    uint64_t status;

    if (span_next_word(&line, ' ', &version) && span_next_word(&line, ' ', &code) && code.n == 3 &&
        span_to_u64(code, &status) == 0)
        s->status = (int)status;
}

static void read_line(struct head_reading *r, struct span line)
{
    const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
    struct span name, value;

    if (!colon)
        return;
    name = span_of(line.p, (size_t)(colon - line.p));
    value = span_trim(span_of(colon + 1, line.n - name.n - 1));
    for (size_t i = 0; i < array_len(headers); i++)
        if (span_eq_nocase(name, span_str(headers[i].name)))
            headers[i].read(r, value);
}

void sighting_read(struct sighting *s, struct span head)
{
    struct head_reading r = {.s = s};
    struct span line;
    bool first = true;

    *s = (struct sighting){0};
    for (; span_next_word(&head, '\n', &line); first = false) {
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (first)
            read_status(s, line);
        else
            read_line(&r, line);
    }
    join_lists(&r);
    read_ages(&r);
}

bool sighting_has_key(struct span head, struct span key)
{
    struct span line, one;

    while (span_next_word(&head, '\n', &line)) {
        if (!span_starts_nocase(line, "Surrogate-Key:"))
            continue;
        if (line.p[line.n - 1] == '\r')
            line.n--;
        line =
            span_of(line.p + sizeof("Surrogate-Key:") - 1, line.n - (sizeof("Surrogate-Key:") - 1));
        while (span_next_word(&line, ' ', &one))
            if (span_eq(span_trim(one), key))
                return true;
    }
    return false;
}

bool sighting_header(struct span head, struct span name, struct span *value)
{
    struct span line;

    while (span_next_word(&head, '\n', &line)) {
        if (line.n <= name.n || line.p[name.n] != ':' ||
            !span_eq_nocase(span_of(line.p, name.n), name))
            continue;
        if (line.p[line.n - 1] == '\r')
            line.n--;
        *value = span_trim(span_of(line.p + name.n + 1, line.n - name.n - 1));
        return true;
    }
    return false;
}

/* -- reading the result -- */

const struct sighting_hop *sighting_pop(const struct sighting *s)
{
    return s->hops_count ? &s->hops[s->hops_count - 1] : NULL;
}

const struct sighting_hop *sighting_shield(const struct sighting *s)
{
    return s->hops_count > 1 ? &s->hops[s->hops_count - 2] : NULL;
}

/* A page that no cache had comes from the origin. */
static bool from_origin(const struct sighting *s)
{
    for (size_t i = 0; i < s->hops_count; i++)
        if (s->hops[i].cache != SIGHTING_MISS)
            return false;
    return s->hops_count > 0;
}

enum sighting_state sighting_against(const struct sighting *s, uint64_t least_ms, uint64_t most_ms)
{
    if (from_origin(s))
        return SIGHTING_FRESH;
    if (!s->age_known)
        return SIGHTING_OPEN;
    if (s->age_s * 1000 > most_ms)
        return SIGHTING_STALE;
    return (s->age_s + 1) * 1000 <= least_ms ? SIGHTING_FRESH : SIGHTING_OPEN;
}
