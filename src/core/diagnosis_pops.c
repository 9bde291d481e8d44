/* SPDX-License-Identifier: MIT */
#include "diagnosis_pops.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define NAMED_MAX 8 /* POPs that a sentence names; the others are counted */
#define NAMES_MAX_BYTES 640

/* A kind of POP, as a list for a sentence. */
struct pop_list {
    size_t count;
    char names[NAMES_MAX_BYTES];
};

typedef bool pop_is_cb(const struct edge_check *e, const struct edge_check_pop *p,
                       const struct diagnosis_pops_purge *purge);

struct pops_speaker {
    diagnosis_cb *cb;
    void *ctx;
};

static void say_pops(const struct pops_speaker *k, enum diagnosis_grade grade, const char *advice,
                     const char *fmt, ...) print_like(4, 5);

static void say_pops(const struct pops_speaker *k, enum diagnosis_grade grade, const char *advice,
                     const char *fmt, ...)
{
    char what[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    k->cb(k->ctx, &(struct diagnosis_finding){grade, "pops", what, advice});
}

/* "amsterdam-nl (120 s old), bom-mumbai-in and 3 more" */
static void list_one(struct pop_list *list, const struct edge_check_pop *p)
{
    size_t n = strlen(list->names);
    char age[40] = "";

    if (list->count++ >= NAMED_MAX)
        return;
    if (p->seen.age_known)
        snprintf(age, sizeof(age), " (%" PRIu64 " s old)", p->seen.age_s);
    snprintf(list->names + n, sizeof(list->names) - n, "%s%.30s%s", n ? ", " : "", p->name, age);
}

static struct pop_list list_those(const struct edge_check *e, pop_is_cb *is,
                                  const struct diagnosis_pops_purge *purge)
{
    struct pop_list list = {0};
    size_t n;

    for (size_t i = 0; i < e->count; i++)
        if (is(e, &e->pops[i], purge))
            list_one(&list, &e->pops[i]);
    n = strlen(list.names);
    if (list.count > NAMED_MAX)
        snprintf(list.names + n, sizeof(list.names) - n, " and %zu more", list.count - NAMED_MAX);
    return list;
}

/* -- kinds of POPs -- */

static bool is_silent(const struct edge_check *e, const struct edge_check_pop *p,
                      const struct diagnosis_pops_purge *purge)
{
    (void)e;
    (void)purge;
    return p->answer == EDGE_CHECK_TIMEOUT;
}

static bool is_too_large(const struct edge_check *e, const struct edge_check_pop *p,
                         const struct diagnosis_pops_purge *purge)
{
    (void)e;
    (void)purge;
    return p->answer == EDGE_CHECK_TOO_LARGE;
}

/* Has other content than the most POPs. */
static bool is_different(const struct edge_check *e, const struct edge_check_pop *p,
                         const struct diagnosis_pops_purge *purge)
{
    (void)purge;
    return p->answer == EDGE_CHECK_CONTENT && strcmp(p->hash, e->pops[0].hash) != 0;
}

static bool is_failing(const struct edge_check *e, const struct edge_check_pop *p,
                       const struct diagnosis_pops_purge *purge)
{
    (void)e;
    (void)purge;
    return p->seen.status >= 500;
}

static bool is_stale(const struct edge_check *e, const struct edge_check_pop *p,
                     const struct diagnosis_pops_purge *purge)
{
    (void)e;
    return p->answer != EDGE_CHECK_TIMEOUT &&
           sighting_against(&p->seen, purge->least_ms, purge->most_ms) == SIGHTING_STALE;
}

/* Age is in whole seconds: a copy that may be new counts as new. */
static bool is_unclear(const struct edge_check *e, const struct edge_check_pop *p,
                       const struct diagnosis_pops_purge *purge)
{
    (void)e;
    return p->answer != EDGE_CHECK_TIMEOUT && !p->seen.age_known &&
           sighting_against(&p->seen, purge->least_ms, purge->most_ms) == SIGHTING_OPEN;
}

/* -- findings -- */

static void explain_answers(const struct pops_speaker *k, const struct edge_check *e)
{
    struct pop_list silent = list_those(e, is_silent, NULL);
    struct pop_list large = list_those(e, is_too_large, NULL);
    struct pop_list failing = list_those(e, is_failing, NULL);

    if (e->left_out)
        say_pops(k, DIAGNOSIS_NOTE, "",
                 "%zu entries of edge_check were left out: they name no POP, or come after the "
                 "first %d",
                 e->left_out, EDGE_CHECK_POPS_MAX);
    if (silent.count)
        say_pops(k, DIAGNOSIS_WARN, "ask once more; what they hold is not known",
                 "%zu of %zu POPs did not answer in time: %s", silent.count, e->count,
                 silent.names);
    if (large.count)
        say_pops(k, DIAGNOSIS_NOTE, "compare their ages",
                 "the page is too large for edge_check to compare its content in %zu of %zu POPs: "
                 "%s",
                 large.count, e->count, large.names);
    if (failing.count)
        say_pops(k, DIAGNOSIS_WARN, "look at the origin",
                 "%zu of %zu POPs answer with an error of the server: %s", failing.count, e->count,
                 failing.names);
}

static void explain_contents(const struct pops_speaker *k, const struct edge_check *e)
{
    struct pop_list different = list_those(e, is_different, NULL);

    if (e->contents > 1)
        say_pops(k, DIAGNOSIS_WARN,
                 "a copy that is older than the others was not purged; but a page that differs "
                 "for each request, such as one with the time, differs for each POP, too",
                 "%zu of %zu POPs have other content than the rest: %s", different.count, e->count,
                 different.names);
    else if (e->contents == 1)
        say_pops(k, DIAGNOSIS_OK, "", "%zu of %zu POPs have the same content", e->pops[0].peers,
                 e->count);
}

static void explain_purged(const struct pops_speaker *k, const struct edge_check *e,
                           const struct diagnosis_pops_purge *purge)
{
    struct pop_list stale = list_those(e, is_stale, purge);
    struct pop_list unclear = list_those(e, is_unclear, purge);
    size_t known = e->count - list_those(e, is_silent, purge).count;

    if (unclear.count)
        say_pops(
            k, DIAGNOSIS_NOTE, "look at the content",
            "%zu of %zu POPs tell no Age, so whether their copy is older than the purge cannot "
            "be said: %s",
            unclear.count, e->count, unclear.names);
    if (stale.count && purge->stale_once)
        say_pops(k, DIAGNOSIS_NOTE, "look once more with --all-pops: each has fetched it meanwhile",
                 "%zu of %zu POPs served the old page, as stale-while-revalidate allows: %s",
                 stale.count, e->count, stale.names);
    else if (stale.count)
        say_pops(k, DIAGNOSIS_FAIL,
                 "purge once more with --repeat-after; if that does not help, tell Fastly's "
                 "support which POPs",
                 "%zu of %zu POPs still serve a copy that is older than the purge: %s", stale.count,
                 e->count, stale.names);
    else if (known > unclear.count)
        say_pops(k, DIAGNOSIS_OK, "",
                 "%zu of %zu POPs have fetched the page after the purge, or at most %" PRIu64
                 " s before it",
                 known - unclear.count, e->count, 1 + (purge->most_ms - purge->least_ms) / 1000);
}

void diagnosis_pops(const struct edge_check *e, const struct diagnosis_pops_purge *purge,
                    diagnosis_cb *cb, void *ctx)
{
    const struct pops_speaker k = {cb, ctx};

    if (e->count == 0)
        say_pops(&k, DIAGNOSIS_WARN, "does a service of this account have the host?",
                 "edge_check names no POP");
    explain_answers(&k, e);
    explain_contents(&k, e);
    if (purge)
        explain_purged(&k, e, purge);
}
