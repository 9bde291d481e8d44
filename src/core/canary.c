/* SPDX-License-Identifier: MIT */
#include "canary.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "clock.h"

#define TELLING_AGE_S 3         /* so old must a copy be to differ from a new one by its age */
#define PAUSE_NS (1 * NS_PER_S) /* from a purge to the first look, between looks twice that */
#define BEFORE_MAX 3            /* looks at a page that no cache seems to keep */
#define AFTER_MAX 3             /* looks at a page that is still old */
#define PURGES_MAX 2            /* the second one covers the race between POP and shield */

const char *const canary_state_names[CANARY_STATE_N] = {
    [CANARY_UNKNOWN] = "unknown", [CANARY_OK] = "ok",     [CANARY_TOKEN] = "token",
    [CANARY_SERVICE] = "service", [CANARY_KEY] = "key",   [CANARY_OTHER_SERVICE] = "other_service",
    [CANARY_VCL] = "vcl",         [CANARY_URL] = "url",   [CANARY_STALE] = "stale",
    [CANARY_ORIGIN] = "origin",   [CANARY_PAGE] = "page", [CANARY_BLIND] = "blind",
    [CANARY_API] = "api"};

void canary_init(struct canary *c, uint64_t period_ns, uint64_t now_ns)
{
    *c = (struct canary){
        .period_ns = period_ns, .since_ns = now_ns, .due_ns = now_ns, .next_try_ns = now_ns};
}

/* -- what the results mean together -- */

/* A kind that was not tried, or whose last try was marred, has no say. */
static enum canary_state state_of_results(const struct canary *c)
{
    enum canary_result key = c->results[CANARY_BY_KEY], url = c->results[CANARY_BY_URL];

    if (key == CANARY_REFUSED)
        return CANARY_SERVICE;
    if (url == CANARY_REFUSED)
        return CANARY_VCL;
    if (key == CANARY_KEPT && url == CANARY_KEPT)
        return CANARY_STALE;
    if (key == CANARY_KEPT && c->key_missing)
        return CANARY_KEY;
    if (key == CANARY_KEPT && url == CANARY_REFRESHED)
        return CANARY_OTHER_SERVICE;
    if (key == CANARY_REFRESHED && url == CANARY_KEPT)
        return CANARY_URL;
    return key == CANARY_REFRESHED && url == CANARY_REFRESHED ? CANARY_OK : CANARY_UNKNOWN;
}

/* A try of one kind alone proves nothing of the other, so an earlier state stays until both have
 * been tried again. */
static void set_state(struct canary *c, enum canary_state state, uint64_t now_ns)
{
    if (state == CANARY_UNKNOWN || state == c->state)
        return;
    c->state = state;
    snprintf(c->said, sizeof(c->said), "%s", c->reason);
    c->since_ns = now_ns;
    c->changed = true;
}

/* What is new with one kind may be so with the other, too, and then that one's result is of no use
 * any more: it is tried at once. */
static bool outdates_other(const struct canary *c, enum canary_kind other,
                           enum canary_result result)
{
    enum canary_result before = c->results[c->kind];

    if (result == CANARY_KEPT)
        return before != CANARY_KEPT && c->results[other] == CANARY_REFRESHED;
    return result == CANARY_REFRESHED && before == CANARY_KEPT && c->results[other] == CANARY_KEPT;
}

static void end_try(struct canary *c, enum canary_result result, uint64_t now_ns)
{
    enum canary_kind other = c->kind == CANARY_BY_KEY ? CANARY_BY_URL : CANARY_BY_KEY;
    bool anew = outdates_other(c, other, result);

    if (anew || (result != CANARY_MARRED && c->results[other] == CANARY_MARRED))
        c->results[other] = CANARY_UNTRIED;
    c->tries[c->kind]++;
    c->failures[c->kind] += result != CANARY_REFRESHED;
    c->results[c->kind] = result;
    set_state(c, result == CANARY_MARRED ? c->common : state_of_results(c), now_ns);
    c->kind = other;
    c->step = CANARY_IDLE;
    c->next_try_ns = max_u64(c->next_try_ns + c->period_ns / CANARY_KIND_N, now_ns);
    c->due_ns = anew ? now_ns : c->next_try_ns;
}

static void mar(struct canary *c, enum canary_state common, const char *reason, uint64_t now_ns)
{
    c->common = common;
    snprintf(c->reason, sizeof(c->reason), "%s", reason);
    end_try(c, CANARY_MARRED, now_ns);
}

/* -- acts -- */

enum canary_act canary_next(const struct canary *c, uint64_t now_ns, uint64_t *when_ns)
{
    *when_ns = c->at_work ? NEVER : c->due_ns;
    if (c->at_work || now_ns < c->due_ns)
        return CANARY_WAIT;
    return c->step == CANARY_PURGE ? CANARY_SEND : CANARY_LOOK;
}

void canary_begin(struct canary *c, uint64_t now_ns)
{
    must(!c->at_work);
    c->at_work = true;
    if (c->step != CANARY_IDLE)
        return;
    c->step = CANARY_BEFORE;
    c->looks = c->purges = 0;
    c->next_try_ns = now_ns;
}

static void go_on(struct canary *c, enum canary_step step, uint64_t due_ns)
{
    if (step != c->step)
        c->looks = 0;
    c->step = step;
    c->due_ns = due_ns;
}

/* The page must be in a cache before the purge, and so old that it differs from a new copy. */
static void judge_before(struct canary *c, const struct canary_look *l)
{
    const struct sighting *s = l->seen;
    const struct sighting_hop *pop = sighting_pop(s);
    bool missed = pop && pop->cache == SIGHTING_MISS;

    c->key_missing = s->debug && !l->has_key;
    if (!missed && !s->age_known)
        mar(c, CANARY_BLIND, "the reply has no Age", l->ended_ns);
    else if (missed && c->looks < BEFORE_MAX)
        c->due_ns = l->ended_ns + TELLING_AGE_S * NS_PER_S;
    else if (missed)
        mar(c, CANARY_BLIND, "no cache keeps the page", l->ended_ns);
    else
        go_on(c, CANARY_PURGE, l->ended_ns + minus_u64(TELLING_AGE_S, s->age_s) * NS_PER_S);
}

static void keep(struct canary *c, const struct canary_look *l)
{
    const struct sighting_hop *pop = sighting_pop(l->seen);
    struct span name = pop ? pop->pop : SPAN("");

    snprintf(c->reason, sizeof(c->reason), "%s%.*s still serves a copy that is %" PRIu64 " s old",
             name.n ? "the POP " : "the POP that answers", (int)min_u64(name.n, 16), name.p,
             l->seen->age_s);
    end_try(c, CANARY_KEPT, l->ended_ns);
}

/* The old copy was some seconds old before the purge, so a copy that may be new is new. */
static void judge_after(struct canary *c, const struct canary_look *l)
{
    uint64_t least_ms = minus_u64(l->began_ns, c->ended_ns) / NS_PER_MS;
    uint64_t most_ms = minus_u64(l->ended_ns, c->began_ns) / NS_PER_MS;
    enum sighting_state state = sighting_against(l->seen, least_ms, most_ms);

    if (state == SIGHTING_OPEN && !l->seen->age_known) {
        mar(c, CANARY_BLIND, "the reply has no Age", l->ended_ns);
    } else if (state != SIGHTING_STALE) {
        c->reason[0] = '\0';
        end_try(c, CANARY_REFRESHED, l->ended_ns);
    } else if (c->looks < AFTER_MAX) {
        c->due_ns = l->ended_ns + 2 * PAUSE_NS;
    } else if (c->purges < PURGES_MAX) {
        go_on(c, CANARY_PURGE, l->ended_ns);
    } else {
        keep(c, l);
    }
}

void canary_looked(struct canary *c, const struct canary_look *l)
{
    char words[32];

    c->at_work = false;
    c->looks++;
    if (!l->seen) {
        mar(c, CANARY_PAGE, l->why, l->ended_ns);
    } else if (l->seen->status >= 500 || l->seen->status == 0) {
        snprintf(words, sizeof(words), "status %d", l->seen->status);
        mar(c, CANARY_ORIGIN, words, l->ended_ns);
    } else if (c->step == CANARY_BEFORE) {
        judge_before(c, l);
    } else {
        judge_after(c, l);
    }
}

void canary_purged(struct canary *c, const struct canary_purge *p)
{
    const struct fastly_judgement *j = p->judgement;

    c->at_work = false;
    c->purges++;
    c->began_ns = p->began_ns;
    c->ended_ns = p->ended_ns;
    if (j->verdict == VERDICT_PURGED && c->kind == CANARY_BY_KEY && c->key_missing) {
        c->reason[0] = '\0'; /* if the page is new afterwards, another purge did it */
        end_try(c, CANARY_KEPT, p->ended_ns);
    } else if (j->verdict == VERDICT_PURGED) {
        go_on(c, CANARY_AFTER, p->ended_ns + PAUSE_NS);
    } else if (j->verdict == VERDICT_AUTH && p->status == 401) {
        mar(c, CANARY_TOKEN, j->reason, p->ended_ns);
    } else if (j->verdict == VERDICT_AUTH || j->verdict == VERDICT_NO_SERVICE ||
               j->verdict == VERDICT_DENIED || j->verdict == VERDICT_REFUSED) {
        snprintf(c->reason, sizeof(c->reason), "%s", j->reason);
        end_try(c, CANARY_REFUSED, p->ended_ns);
    } else {
        mar(c, CANARY_API, j->reason, p->ended_ns);
    }
}

void canary_abandon(struct canary *c, uint64_t now_ns)
{
    c->at_work = false;
    c->step = CANARY_IDLE;
    c->due_ns = now_ns + c->period_ns / CANARY_KIND_N;
}

void canary_token_refused(struct canary *c, const char *reason, uint64_t now_ns)
{
    mar(c, CANARY_TOKEN, reason, now_ns);
}

/* -- words -- */

/* With places for {service}, {url}, {key}, and what was {said}. */
static const struct {
    const char *what, *advice;
} meanings[CANARY_STATE_N] = {
    [CANARY_UNKNOWN] = {"service {service}: whether purges work is not known yet", ""},
    [CANARY_OK] = {"service {service}: purges by key and by URL refresh the canary page {url}", ""},
    [CANARY_TOKEN] = {"service {service}: Fastly refuses the token ({said}), so nothing is purged",
                      "put a valid token in its place and reload"},
    [CANARY_SERVICE] = {"service {service}: Fastly refuses its purges by key ({said})",
                        "correct the id of the service, or give the token access to it"},
    [CANARY_KEY] =
        {"service {service}: the page {url} does not carry the surrogate key {key}, so purges "
         "by key do not reach it",
         "let the origin send the key in Surrogate-Key; purgeline doctor shows which "
         "keys arrive"},
    [CANARY_OTHER_SERVICE] =
        {"service {service}: purges of the key {key} are accepted, but only a purge "
         "of its URL refreshes {url}",
         "is the host really served by this service? Correct the id, or let "
         "the origin send the key in Surrogate-Key"},
    [CANARY_VCL] =
        {"service {service}: the purge of the URL {url} is refused ({said}), while purges by "
         "key are not",
         "the VCL of the service may answer instead of purging: a purge of a URL comes "
         "to vcl_recv with the method FASTLYPURGE, and must end in lookup or pass"},
    [CANARY_URL] = {"service {service}: purges by URL are accepted, but only a purge of its key "
                    "refreshes {url}",
                    "purge by key until it is mended; does VCL change the hash or the host, or "
                    "does Compute replace the key that Fastly makes of the URL?"},
    [CANARY_STALE] = {"service {service}: neither purges by key nor by URL refresh {url}: {said}",
                      "purgeline doctor --purge --all-pops shows whether other POPs obey; if so, "
                      "tell Fastly's support, and if not, the host may belong to another service"},
    [CANARY_ORIGIN] =
        {"service {service}: the canary page {url} is an error of the origin ({said}): what "
         "is purged cannot be replaced",
         "look at the origin"},
    [CANARY_PAGE] = {"service {service}: the canary page {url} cannot be fetched: {said}",
                     "correct its URL, or let this machine reach Fastly's caches"},
    [CANARY_BLIND] =
        {"service {service}: the canary page {url} does not show whether purges work: {said}",
         "choose a page that Fastly keeps, and let VCL leave Age and X-Cache in its "
         "reply; purgeline doctor explains it"},
    [CANARY_API] = {"service {service}: the purge of the canary page {url} failed ({said})",
                    "see purgeline status"},
};

static void put_filled(struct buf *out, const char *form, const struct canary *c,
                       const struct canary_subject *s)
{
    const struct {
        struct span place;
        const char *text;
    } parts[] = {{SPAN("{service}"), s->service},
                 {SPAN("{url}"), s->url},
                 {SPAN("{key}"), s->key},
                 {SPAN("{said}"), c->said}};

    while (*form) {
        struct span put = span_of(form, 1 + strcspn(form + 1, "{"));
        size_t used = put.n;

        for (size_t i = 0; i < array_len(parts); i++)
            if (strncmp(form, parts[i].place.p, parts[i].place.n) == 0) {
                put = span_str(parts[i].text);
                used = parts[i].place.n;
            }
        put.n = min_u64(put.n, out->max - out->n); /* a long URL may cut the sentence */
        buf_put(out, put);
        form += used;
    }
}

void canary_explain(const struct canary *c, const struct canary_subject *s,
                    struct canary_words *out)
{
    struct buf what;

    buf_init(&what, sizeof(out->what) - 1);
    put_filled(&what, meanings[c->state].what, c, s);
    snprintf(out->what, sizeof(out->what), "%.*s", (int)what.n, what.n ? what.p : "");
    buf_deinit(&what);
    out->advice = meanings[c->state].advice;
}
