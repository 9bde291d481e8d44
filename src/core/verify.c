/* SPDX-License-Identifier: MIT */
#include "verify.h"

#include <errno.h>

#define AGAIN_AFTER_NS (NS_PER_S / 2) /* at least, before the next look at the same cache */
#define JUST_AFTER_NS (NS_PER_S / 4)
#define EARLY_NS (NS_PER_S / 20)

const char *const verify_result_names[VERIFY_N] = {
    [VERIFY_FRESH] = "fresh", [VERIFY_UNKNOWN] = "unknown", [VERIFY_STALE] = "stale"};

static enum verify_result conclude(struct verify_finding *out, enum verify_result r,
                                   const char *why)
{
    out->why = why;
    return r;
}

/* The name ends up in logs and receipts, and comes from a header that anybody may have written. */
static void copy_pop(const struct sighting *s, struct verify_finding *out)
{
    const struct sighting_hop *hop = sighting_pop(s);
    struct span name = hop ? hop->pop : SPAN("");

    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (i + 1 >= sizeof(out->pop) || !((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                                           (c >= '0' && c <= '9') || c == '-'))
            return;
    }
    if (name.n)
        memcpy(out->pop, name.p, name.n);
}

/* Replies that show no copy of the page. 404 and 410 do: they are cached, and a page that was taken
 * down has one of them. */
static enum verify_result judge_status(int status, struct verify_finding *out)
{
    if (status / 100 == 2 || status == 404 || status == 410)
        return conclude(out, VERIFY_FRESH, "");
    if (status / 100 == 5 || status == 408 || status == 429)
        return conclude(out, VERIFY_UNSURE, "the page was answered with an error");
    if (status / 100 == 3)
        return conclude(out, VERIFY_UNKNOWN, "the page is a redirect");
    if (status == 401 || status == 403)
        return conclude(out, VERIFY_UNKNOWN, "the page is not public");
    return conclude(out, VERIFY_UNKNOWN, "the reply does not show the page");
}

static bool is_from_cache(const struct sighting *s)
{
    for (size_t i = 0; i < s->hops_count; i++)
        if (s->hops[i].cache == SIGHTING_HIT)
            return true;
    return false;
}

/* max-age=0 alone tells visitors not to cache; Fastly may cache all the same. */
static bool is_never_cached(const struct sighting *s)
{
    return !is_from_cache(s) && (span_starts_nocase(s->uncacheable, "private") ||
                                 span_starts_nocase(s->uncacheable, "no-store"));
}

uint64_t verify_seconds_later(uint64_t purged_ns, uint64_t from_ns)
{
    return purged_ns + (minus_u64(from_ns, purged_ns) + NS_PER_S - 1) / NS_PER_S * NS_PER_S;
}

/* A look that came just after a whole second has told nothing, so the next one comes just before
 * one, in time for its reply. */
static uint64_t look_again_ns(const struct verify_look *l)
{
    uint64_t into_ns = minus_u64(l->asked_ns, l->purged_ns) % NS_PER_S;
    uint64_t early_ns = 2 * minus_u64(l->answered_ns, l->asked_ns) + EARLY_NS;
    uint64_t from_ns = l->answered_ns + AGAIN_AFTER_NS;

    if (into_ns > JUST_AFTER_NS || early_ns > NS_PER_S - JUST_AFTER_NS)
        return verify_seconds_later(l->purged_ns, from_ns);
    return verify_seconds_later(l->began_ns, from_ns + early_ns) - early_ns;
}

static enum verify_result judge_stale(const struct verify_look *l, const char *why,
                                      uint64_t older_ms, struct verify_finding *out)
{
    out->excused = l->soft && !l->seen_stale;
    if (out->excused)
        out->again_ns = verify_seconds_later(l->purged_ns, l->answered_ns + AGAIN_AFTER_NS);
    if (out->excused)
        return conclude(out, VERIFY_UNSURE,
                        "after a soft purge a cache may serve its stale copy once");
    out->older_ms = older_ms;
    return conclude(out, VERIFY_STALE, why);
}

static enum verify_result judge_number(const struct verify_look *l, struct verify_finding *out)
{
    struct span value;
    uint64_t number = 0;
    int rc;

    if (!sighting_header(l->head, l->header, &value))
        return conclude(out, VERIFY_UNKNOWN, "the reply does not have the header with the number");
    rc = span_to_u64(value, &number);
    if (rc == -EINVAL)
        return conclude(out, VERIFY_UNKNOWN, "the header is not a whole number");
    if (rc < 0 || number >= l->at_least)
        return conclude(out, VERIFY_FRESH, "");
    return judge_stale(l, "the header's number is lower than at_least", 0, out);
}

enum verify_result verify_judge(const struct verify_look *l, struct verify_finding *out)
{
    uint64_t least_ms = minus_u64(l->asked_ns, l->purged_ns) / NS_PER_MS;
    uint64_t most_ms = minus_u64(l->answered_ns, l->began_ns) / NS_PER_MS + 1;
    enum verify_result r;
    struct sighting s;

    *out = (struct verify_finding){.why = ""};
    sighting_read(&s, l->head);
    copy_pop(&s, out);
    r = judge_status(s.status, out);
    if (r != VERIFY_FRESH)
        return r;
    if (l->header.n)
        return judge_number(l, out);
    if (is_never_cached(&s))
        return conclude(out, VERIFY_UNKNOWN, "Fastly does not cache the page");
    switch (sighting_against(&s, least_ms, most_ms)) {
    case SIGHTING_FRESH:
        return conclude(out, VERIFY_FRESH, "");
    case SIGHTING_STALE:
        return judge_stale(l, "the copy is older than the purge", s.age_s * 1000 - most_ms, out);
    default:
        break;
    }
    if (!s.age_known)
        return conclude(out, VERIFY_UNKNOWN, "the reply has no Age header");
    out->again_ns = look_again_ns(l);
    return conclude(out, VERIFY_UNSURE, "the copy may be from the second of the purge");
}
