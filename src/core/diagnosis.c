/* SPDX-License-Identifier: MIT */
#include "diagnosis.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "fastly.h"

#define NEAR_LIMIT_BYTES (FASTLY_BATCH_MAX_BYTES * 9 / 10)
#define SHOWN 64 /* bytes of a name or key that a sentence quotes */

const char *const diagnosis_grade_names[DIAGNOSIS_N] = {[DIAGNOSIS_OK] = "ok",
                                                        [DIAGNOSIS_NOTE] = "note",
                                                        [DIAGNOSIS_WARN] = "warn",
                                                        [DIAGNOSIS_FAIL] = "fail"};

/* https://www.fastly.com/documentation/guides/full-site-delivery/purging/purging-best-practices/ ,
 * and for the times the older page quoted in
 * https://github.com/Mhmonicox/docs/blob/main/script/deployment/purge-edge-cache.js */
#define REPEAT_ADVICE                                                                              \
    "let a second purge follow: repeat_after of a job, or push --repeat-after 2s (some sites "     \
    "need 20s; after a purge of everything Fastly needs up to 2 minutes)"
/* https://github.com/mitodl/ol-infrastructure/pull/5143 ,
 * https://github.com/shopware/recipes/pull/40
 */
#define SHIELD_SWR_ADVICE                                                                          \
    "purge hard, or add to vcl_recv: if (fastly.ff.visits_this_service > 0) { set "                \
    "req.max_stale_while_revalidate = 0s; }"

struct speaker {
    diagnosis_cb *cb;
    void *ctx;
};

static void say(const struct speaker *k, enum diagnosis_grade grade, const char *subject,
                const char *advice, const char *fmt, ...) print_like(5, 6);

static void say(const struct speaker *k, enum diagnosis_grade grade, const char *subject,
                const char *advice, const char *fmt, ...)
{
    char what[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    k->cb(k->ctx, &(struct diagnosis_finding){grade, subject, what, advice});
}

/* -- names of caches -- */

struct cache_name {
    char text[2 * SHOWN + 8];
};

static int shown(struct span s)
{
    return (int)min_u64(s.n, SHOWN);
}

/* "AMS (cache-ams21039-AMS)" */
static struct cache_name name_of(const struct sighting_hop *hop)
{
    struct cache_name name;
    struct span server = hop->server, pop = hop->pop;

    if (server.n == 0)
        snprintf(name.text, sizeof(name.text), "without a name");
    else if (pop.n == 0)
        snprintf(name.text, sizeof(name.text), "%.*s", shown(server), server.p);
    else
        snprintf(name.text, sizeof(name.text), "%.*s (%.*s)", shown(pop), pop.p, shown(server),
                 server.p);
    return name;
}

/* Whether the page goes through a shield that is another place than the POP. */
static const struct sighting_hop *real_shield(const struct sighting *s)
{
    const struct sighting_hop *pop = sighting_pop(s), *shield = sighting_shield(s);

    return shield && (shield->pop.n == 0 || !span_eq(shield->pop, pop->pop)) ? shield : NULL;
}

/* -- the reply -- */

static void explain_status(const struct speaker *k, const struct sighting *s)
{
    if (s->status >= 400)
        say(k, DIAGNOSIS_WARN, "reply", "",
            "the reply is an error, %d: the rest is about that error, not about the page",
            s->status);
    else if (s->status >= 300)
        say(k, DIAGNOSIS_NOTE, "reply", "--follow looks at the page to which it leads",
            "the reply is a redirect, %d: the rest is about the redirect", s->status);
}

/* -- the way -- */

static void explain_silence(const struct speaker *k, const struct sighting *s)
{
    if (s->debug)
        say(k, DIAGNOSIS_NOTE, "route", "",
            "Fastly answered, but its VCL removes X-Served-By and X-Cache, so that the caches on "
            "the way are not known");
    else
        say(k, DIAGNOSIS_FAIL, "route", "does the name of the host lead to Fastly?",
            "nothing in the reply says that Fastly answered: there is no X-Served-By, and "
            "Fastly-Debug has no effect (unless VCL removes all of that)");
}

static void explain_route(const struct speaker *k, const struct sighting *s)
{
    const struct sighting_hop *pop = sighting_pop(s), *shield = sighting_shield(s);

    if (!pop)
        explain_silence(k, s);
    else if (!shield)
        say(k, DIAGNOSIS_OK, "route", "",
            "one cache answered, that of the POP %s: there is no shield in front of the origin, or "
            "this POP is the shield",
            name_of(pop).text);
    else if (s->hops_count > 2 || !real_shield(s))
        say(k, DIAGNOSIS_NOTE, "route", "",
            "X-Served-By names %zu caches, the last of which, %s, answered: there is a restart in "
            "VCL, the POP is its own shield, or one service is behind another",
            s->hops_count, name_of(pop).text);
    else
        say(k, DIAGNOSIS_OK, "route", "",
            "two caches answered: the POP %s, which fetches from the shield %s; only the shield "
            "asks the origin",
            name_of(pop).text, name_of(shield).text);
}

/* -- hit or miss -- */

static void explain_misses(const struct speaker *k, const struct sighting *first,
                           const struct sighting *second)
{
    struct span why = second->uncacheable;

    if (why.n)
        say(k, DIAGNOSIS_WARN, "cache", "a page that is not kept needs no purge",
            "X-Cache: MISS both times: the POP does not keep this page (Cache-Control: %.*s)",
            shown(why), why.p);
    else if (second->sets_cookie)
        say(k, DIAGNOSIS_WARN, "cache", "a page that is not kept needs no purge",
            "X-Cache: MISS both times: the POP does not keep this page, probably because it sets a "
            "cookie");
    else if (!span_eq(sighting_pop(first)->server, sighting_pop(second)->server))
        say(k, DIAGNOSIS_NOTE, "cache", "look again",
            "X-Cache: MISS both times, but from two different servers: %s and %s",
            name_of(sighting_pop(first)).text, name_of(sighting_pop(second)).text);
    else
        say(k, DIAGNOSIS_WARN, "cache", "a page that is not kept needs no purge",
            "X-Cache: MISS both times: the POP does not keep this page (VCL passes it, or its TTL "
            "is 0)");
}

static void explain_cache(const struct speaker *k, const struct sighting *first,
                          const struct sighting *second)
{
    const struct sighting_hop *pop = sighting_pop(second);

    if (!pop)
        return; /* explain_silence has said why */
    if (pop->cache == SIGHTING_HIT)
        say(k, DIAGNOSIS_OK, "cache", "",
            "X-Cache: HIT: the second reply came from the POP's own copy%s",
            sighting_shield(second) ? " (what stands before it is what the shield said when the "
                                      "POP fetched the page)"
                                    : "");
    else if (pop->cache == SIGHTING_UNSAID)
        say(k, DIAGNOSIS_NOTE, "cache", "", "there is no X-Cache: hit or miss is not known");
    else if (sighting_pop(first))
        explain_misses(k, first, second);
}

/* -- ages -- */

static void explain_age(const struct speaker *k, const struct sighting *s)
{
    const struct sighting_hop *pop = sighting_pop(s), *shield = real_shield(s);

    if (pop && pop->cache == SIGHTING_MISS)
        return; /* it is the shield's or the origin's */
    if (!s->age_known)
        say(k, DIAGNOSIS_NOTE, "age", "",
            "there is no Age: whether a copy is older than a purge cannot be seen");
    else if (shield && shield->age_known && shield->age_s > 0 && shield->age_s <= s->age_s)
        say(k, DIAGNOSIS_OK, "age", "",
            "the page left the origin %" PRIu64 " s ago: it was %" PRIu64
            " s old in the shield when the POP fetched it, and is in the POP for %" PRIu64 " s",
            s->age_s, shield->age_s, s->age_s - shield->age_s);
    else if (shield && shield->age_known)
        say(k, DIAGNOSIS_OK, "age", "",
            "the page left the origin %" PRIu64
            " s ago: the shield and the POP have had it for the same time",
            s->age_s);
    else
        say(k, DIAGNOSIS_OK, "age", "", "the page left the origin %" PRIu64 " s ago", s->age_s);
}

/* -- what a purge will do -- */

static void explain_race(const struct speaker *k, const struct sighting *s)
{
    const struct sighting_hop *shield = real_shield(s);

    if (shield)
        say(k, DIAGNOSIS_NOTE, "race", REPEAT_ADVICE,
            "POPs and shield are purged in no fixed order: a POP that is purged before the shield "
            "%s fetches the old page from it once more, and keeps it",
            name_of(shield).text);
}

static void explain_soft(const struct speaker *k, const struct sighting *s)
{
    if (s->swr_s && real_shield(s))
        say(k, DIAGNOSIS_WARN, "soft purge", SHIELD_SWR_ADVICE,
            "stale-while-revalidate=%" PRIu64
            ": after a soft purge not only the POP serves the old page once more, but also the "
            "shield, to the POP, which then keeps the old page as if it were new",
            s->swr_s);
    else if (s->swr_s)
        say(k, DIAGNOSIS_NOTE, "soft purge", "",
            "stale-while-revalidate=%" PRIu64
            ": after a soft purge, visitors get the old page until the POP has fetched the new one",
            s->swr_s);
    else if (s->validator)
        say(k, DIAGNOSIS_OK, "soft purge", "",
            "no stale-while-revalidate: after a soft purge the POP asks the origin first whether "
            "its copy is still good");
    else
        say(k, DIAGNOSIS_NOTE, "soft purge", "",
            "neither stale-while-revalidate nor ETag nor Last-Modified: a soft purge of this page "
            "does the same as a hard one");
}

/* -- keys -- */

static void explain_key_oddities(const struct speaker *k, const struct sighting *s)
{
    if (s->comma_key.n)
        say(k, DIAGNOSIS_WARN, "keys", "separate keys by spaces",
            "the key %.*s has a comma: keys are separated by spaces, so this is one key",
            shown(s->comma_key), s->comma_key.p);
    if (s->long_key.n)
        say(k, DIAGNOSIS_WARN, "keys", "shorten it",
            "the key that begins with %.*s has %zu bytes: no purge can name a key of more than "
            "%d",
            shown(s->long_key), s->long_key.p, s->long_key.n, KEY_MAX_BYTES);
}

static void explain_keys(const struct speaker *k, const struct sighting *s)
{
    if (!s->keyed && !s->debug && !sighting_pop(s))
        return; /* explain_silence has said why */
    if (!s->keyed && !s->debug)
        say(k, DIAGNOSIS_NOTE, "keys", "",
            "there is no Surrogate-Key, and Fastly-Debug has no effect, so VCL may hide the keys");
    else if (s->keys_count == 0)
        say(k, DIAGNOSIS_WARN, "keys", "the origin must send Surrogate-Key",
            "there is no Surrogate-Key, although Fastly-Debug would show it: no purge by key can "
            "reach this page");
    else if (s->keys_ignored)
        say(k, DIAGNOSIS_FAIL, "keys", "give the page fewer or shorter keys",
            "Surrogate-Key has %zu bytes, and Fastly reads %d: it ignores the last %zu of %zu "
            "keys, from %.*s on",
            s->keys_bytes, FASTLY_BATCH_MAX_BYTES, s->keys_ignored, s->keys_count,
            shown(s->ignored), s->ignored.p);
    else
        say(k, s->keys_bytes > NEAR_LIMIT_BYTES ? DIAGNOSIS_WARN : DIAGNOSIS_OK, "keys",
            s->keys_bytes > NEAR_LIMIT_BYTES ? "give the page fewer or shorter keys" : "",
            "Surrogate-Key has %zu keys and %zu bytes; Fastly reads up to %d", s->keys_count,
            s->keys_bytes, FASTLY_BATCH_MAX_BYTES);
    explain_key_oddities(k, s);
}

void diagnosis_page(const struct sighting *first, const struct sighting *second, diagnosis_cb *cb,
                    void *ctx)
{
    const struct speaker k = {cb, ctx};

    explain_status(&k, second);
    explain_route(&k, second);
    explain_cache(&k, first, second);
    explain_age(&k, second);
    explain_keys(&k, second);
    explain_race(&k, second);
    explain_soft(&k, second);
}

/* -- the purge -- */

/* A URL purge runs through the service's VCL, as the method FASTLYPURGE:
 * https://www.fastly.com/documentation/reference/vcl/variables/client-request/req-method/ ,
 * https://github.com/alphagov/govuk-cdn-config/pull/148 */
void diagnosis_refusal(const char *reason, diagnosis_cb *cb, void *ctx)
{
    const struct speaker k = {cb, ctx};
    bool refused = reason[0] == '3' || reason[0] == '4';

    say(&k, DIAGNOSIS_FAIL, "purge",
        refused ? "the VCL of the service may have answered instead of purging: a purge of a URL "
                  "comes to vcl_recv with the method FASTLYPURGE, and must end in lookup or pass"
                : "see purgeline status and purgeline dead list",
        "the page was not purged: %s", reason);
}

/* -- after the purge -- */

static void explain_fresh(const struct speaker *k, const struct diagnosis_purge *p,
                          const struct sighting *seen)
{
    if (seen->status >= 500)
        say(k, DIAGNOSIS_WARN, "after", "look at the origin",
            "the purge worked, but there is no new page: the reply is an error, %d", seen->status);
    else if (p->second)
        say(k, DIAGNOSIS_OK, "after", "set repeat_after to this time",
            "the page was fetched anew: a second purge %s after the first covers the race",
            p->after);
    else
        say(k, DIAGNOSIS_OK, "after", "", "the page was fetched anew from the origin");
}

/* The POP has its own copy, or has fetched it from the shield after the purge. */
static void explain_old(const struct speaker *k, enum diagnosis_grade grade,
                        const struct sighting *seen)
{
    const struct sighting_hop *pop = sighting_pop(seen), *shield = real_shield(seen);

    if (shield && pop->cache == SIGHTING_MISS)
        say(k, grade, "after", REPEAT_ADVICE,
            "the race: the POP %s was purged, and then fetched the old page, %" PRIu64
            " s old, from the shield %s, which was not purged yet",
            name_of(pop).text, seen->age_s, name_of(shield).text);
    else if (shield)
        say(k, grade, "after", REPEAT_ADVICE,
            "the POP %s still serves a copy that is %" PRIu64
            " s old: it has fetched it from the shield %s too early, or ignores the purge",
            name_of(pop).text, seen->age_s, name_of(shield).text);
    else
        say(k, grade, "after",
            "does the account purge this service, and does VCL change the hash or the host?",
            "the POP %s still serves a copy that is %" PRIu64 " s old, older than the purge",
            pop ? name_of(pop).text : "that answered", seen->age_s);
}

static void explain_stale(const struct speaker *k, const struct diagnosis_purge *p,
                          const struct sighting *seen)
{
    if (p->soft && p->swr_s && !p->looked_before)
        say(k, DIAGNOSIS_NOTE, "after", "",
            "the POP serves the old page, %" PRIu64
            " s old, and fetches the new one meanwhile, as stale-while-revalidate allows",
            seen->age_s);
    else if (p->soft && p->swr_s)
        say(k, DIAGNOSIS_FAIL, "after", SHIELD_SWR_ADVICE,
            "the POP still serves the old page, %" PRIu64
            " s old: it has fetched it anew from a shield that served it stale, and keeps it",
            seen->age_s);
    else if (p->second)
        say(k, DIAGNOSIS_FAIL, "after",
            "try --repeat-after 20s; if that does not help either, tell Fastly's support",
            "the page is still %" PRIu64
            " s old after a second purge %s later: a POP or the shield ignores purges, or needs "
            "longer",
            seen->age_s, p->after);
    else
        explain_old(k, p->repeats ? DIAGNOSIS_WARN : DIAGNOSIS_FAIL, seen);
}

void diagnosis_after(const struct diagnosis_purge *p, const struct sighting *seen,
                     enum sighting_state state, diagnosis_cb *cb, void *ctx)
{
    const struct speaker k = {cb, ctx};

    switch (state) {
    case SIGHTING_FRESH:
        explain_fresh(&k, p, seen);
        break;
    case SIGHTING_STALE:
        explain_stale(&k, p, seen);
        break;
    case SIGHTING_OPEN:
        say(&k, DIAGNOSIS_NOTE, "after", "look at the content",
            "whether the page is older than the purge cannot be said: %s",
            seen->age_known ? "another visitor may just have fetched it" : "there is no Age");
        break;
    }
}
