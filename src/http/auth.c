/* SPDX-License-Identifier: MIT */
#include "auth.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "alloc.h"
#include "digest.h"
#include "log.h"
#include "verify_page.h"
#include "when.h"

#define GONE_RETRY_MS 60000u /* for a producer that was removed */

/* A minute's worth of jobs may come at once; then the allowance is refilled evenly. */
struct job_rate {
    double level; /* jobs */
    uint64_t at_ns;
};

struct auth {
    const struct config *config;
    struct job_rate *rates; /* one for each producer */
};

static const struct config_producer anybody = {
    .name = (char *)"anybody on this machine",
    .token_sha256 = (char *)"",
    .kinds = PRODUCER_URL | PRODUCER_KEY | PRODUCER_ALL,
    .lanes = (1u << LANE_N) - 1,
    .admin = true,
};

struct auth *auth_new(const struct config *c)
{
    struct auth *g = alloc_zeroed(1, sizeof(*g));

    g->config = c;
    g->rates = alloc_zeroed(c->producers_count + 1, sizeof(*g->rates));
    for (uint32_t i = 0; i < c->producers_count; i++)
        g->rates[i].level = c->producers[i].jobs_per_minute;
    return g;
}

/* Finds it by name, so that a producer in both configurations keeps its rate count. */
static struct job_rate *rate_of(const struct auth *g, const struct config_producer *p)
{
    const struct config_producer *at = g->config->producers;

    for (uint32_t i = 0; i < g->config->producers_count; i++)
        if (&at[i] == p || strcmp(at[i].name, p->name) == 0)
            return &g->rates[i];
    return NULL;
}

struct auth *auth_renew(struct auth *old, const struct config *c)
{
    struct auth *g = auth_new(c);

    for (uint32_t i = 0; i < c->producers_count; i++) {
        const struct job_rate *before = rate_of(old, &c->producers[i]);

        if (!before)
            continue;
        g->rates[i].at_ns = before->at_ns;
        if (before->level < g->rates[i].level)
            g->rates[i].level = before->level;
    }
    auth_free(old);
    return g;
}

void auth_free(struct auth *g)
{
    if (!g)
        return;
    free(g->rates);
    free(g);
}

bool auth_open(const struct auth *g)
{
    return g->config->producers_count == 0;
}

const struct config_producer *auth_anybody(void)
{
    return &anybody;
}

const struct config_producer *auth_find(const struct auth *g, struct span token)
{
    const struct config_producer *found = NULL;
    uint8_t digest[DIGEST_SHA256_BYTES];
    char text[DIGEST_TEXT_ROOM];
    struct span shown;

    digest_sha256(token, digest);
    shown = digest_text(digest, sizeof(digest), HOOK_HEX, text);
    for (uint32_t i = 0; i < g->config->producers_count; i++) {
        const struct config_producer *p = &g->config->producers[i];

        if (digest_same(shown, span_str(p->token_sha256)))
            found = p;
    }
    return found;
}

const struct config_producer *auth_find_certificate(const struct auth *g, struct span name)
{
    for (uint32_t i = 0; i < g->config->producers_count; i++) {
        const struct config_producer *p = &g->config->producers[i];

        if (*p->certificate && span_eq_nocase(name, span_str(p->certificate)))
            return p;
    }
    return NULL;
}

const struct config_producer *auth_find_from(const struct auth *g, const struct network *from)
{
    struct network n;

    for (uint32_t i = 0; i < g->config->producers_count; i++) {
        const struct config_producer *p = &g->config->producers[i];

        for (uint32_t k = 0; k < p->from.count; k++)
            if (network_parse(span_str(p->from.at[k]), &n) == 0 && network_overlap(&n, from))
                return p;
    }
    return NULL;
}

const struct config_producer *auth_still(const struct auth *g, const struct config_producer *p)
{
    if (p == &anybody)
        return auth_open(g) ? p : NULL;
    for (uint32_t i = 0; i < g->config->producers_count; i++) {
        const struct config_producer *now = &g->config->producers[i];

        if (strcmp(now->name, p->name) == 0 && strcmp(now->token_sha256, p->token_sha256) == 0)
            return now;
    }
    return NULL;
}

/* -- scopes -- */

static bool is_word_of(const struct config_words *w, const char *word)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (strcmp(w->at[i], word) == 0)
            return true;
    return w->count == 0;
}

bool auth_may_account(const struct config_producer *p, const struct config_account *a)
{
    return is_word_of(&p->accounts, a->name);
}

bool auth_may_service(const struct config_producer *p, const struct config_service *s)
{
    return is_word_of(&p->services, s->id) || (*s->name && is_word_of(&p->services, s->name));
}

/* "www.example.com" matches itself, "*.example.com" everything below example.com. A pattern without
 * a port matches every port. */
static bool host_fits(const char *pattern, struct span host)
{
    const char *colon = host.n ? memrchr(host.p, ':', host.n) : NULL;
    struct span want = span_str(pattern);

    if (colon && !memchr(colon, ']', host.n - (size_t)(colon - host.p)) && !strchr(pattern, ':'))
        host.n = (size_t)(colon - host.p);
    if (pattern[0] != '*')
        return span_eq_nocase(host, want);
    want = span_of(pattern + 1, want.n - 1);
    return host.n > want.n && span_eq_nocase(span_of(host.p + host.n - want.n, want.n), want);
}

static bool may_host(const struct config_producer *p, struct span url)
{
    struct span host, rest;

    if (p->hosts.count == 0)
        return true;
    url_split(url, &host, &rest);
    for (uint32_t i = 0; i < p->hosts.count; i++)
        if (host_fits(p->hosts.at[i], host))
            return true;
    return false;
}

static int may_not(struct error *err, const char *field, const char *what)
{
    return error_set(err, -EACCES, "%s: this producer may not %s", field, what);
}

static int may_target(const struct config_producer *p, const struct job_target *t,
                      struct error *err)
{
    switch (t->kind) {
    case TARGET_URL:
        if (!(p->kinds & PRODUCER_URL))
            return may_not(err, "url", "purge URLs");
        return may_host(p, t->bytes) ? 0 : may_not(err, "url", "purge URLs of this host");
    case TARGET_KEY:
        return p->kinds & PRODUCER_KEY ? 0 : may_not(err, "keys", "purge keys");
    case TARGET_ALL:
        return p->kinds & PRODUCER_ALL ? 0 : may_not(err, "all", "purge everything");
    }
    return -EACCES;
}

/* A job for several services says which of them is the wrong one. */
static int may_services(const struct config_producer *p, const struct config_account *a,
                        const struct job_spec *spec, struct error *err)
{
    for (uint32_t i = 0; i < spec->services_count; i++) {
        struct span name = spec->service_names[i];
        char shown[96];

        if (auth_may_service(p, &a->services[spec->services[i]]))
            continue;
        if (spec->services_count == 1)
            return may_not(err, "service", "purge this service");
        return error_set(err, -EACCES, "service: this producer may not purge the service \"%s\"",
                         log_quote(shown, sizeof(shown), name.p, name.n));
    }
    return 0;
}

int auth_may_push(const struct config_producer *p, const struct config_account *a, enum lane lane,
                  const struct job_spec *spec, struct error *err)
{
    int rc = 0;

    if (!auth_may_account(p, a))
        return may_not(err, "account", "purge for this account");
    if (!(p->lanes & 1u << lane))
        return may_not(err, "lane", "use this lane");
    if (may_services(p, a, spec, err) < 0)
        return -EACCES;
    if (spec->original.n)
        return may_not(err, "job", "set this field");
    if (spec->when && p->origins.count && !when_origin_fits(&p->origins, span_str(spec->when->url)))
        return may_not(err, "when", "ask this origin");
    if (spec->page && !may_host(p, span_str(spec->page->url)))
        return may_not(err, "verify", "look at pages of this host");
    for (uint32_t i = 0; rc == 0 && i < spec->targets_count; i++)
        rc = may_target(p, &spec->targets[i], err);
    return rc;
}

bool auth_may_anything(const struct config_producer *p, enum lane lane)
{
    unsigned all = PRODUCER_URL | PRODUCER_KEY | PRODUCER_ALL;

    return p->admin || ((p->kinds & all) == all && (p->lanes & 1u << lane) &&
                        p->services.count == 0 && p->hosts.count == 0);
}

static bool may_service_named(const struct config_producer *p, const struct config_account *a,
                              struct span name)
{
    for (uint32_t i = 0; i < a->services_count; i++)
        if (span_is(name, a->services[i].id) || span_is(name, a->services[i].name))
            return auth_may_service(p, &a->services[i]);
    return p->services.count == 0;
}

bool auth_may_default_service(const struct config_producer *p, const struct config_account *a)
{
    if (a->default_service && *a->default_service)
        return may_service_named(p, a, span_str(a->default_service));
    return a->services_count != 1 || auth_may_service(p, &a->services[0]);
}

static bool may_kind(const struct config_producer *p, unsigned kind)
{
    return (p->kinds & kind) != 0;
}

bool auth_may_word(const struct config_producer *p, const struct config_account *a,
                   struct span word)
{
    struct span rest = word, what;

    if (span_is(word, "url"))
        return may_kind(p, PRODUCER_URL);
    if (span_is(word, "key"))
        return may_kind(p, PRODUCER_KEY);
    if (span_is(word, "all"))
        return may_kind(p, PRODUCER_ALL);
    if (!span_next_word(&rest, ':', &what) || rest.n == 0)
        return false;
    rest = span_of(rest.p + 1, rest.n - 1);
    if (span_is(what, "service"))
        return may_service_named(p, a, rest);
    return span_is(what, "host") && may_host(p, rest);
}

/* -- jobs per minute -- */

uint64_t auth_take(struct auth *g, const struct config_producer *p, uint32_t jobs, uint64_t now_ns)
{
    double most = p->jobs_per_minute, gained;
    struct job_rate *rate;

    if (p->jobs_per_minute == 0)
        return 0;
    rate = rate_of(g, p);
    if (!rate)
        return GONE_RETRY_MS;
    gained = (double)(now_ns - rate->at_ns) / (60.0 * (double)NS_PER_S) * most;
    rate->level = rate->level + gained > most ? most : rate->level + gained;
    rate->at_ns = now_ns;
    if (rate->level < jobs)
        return (uint64_t)((jobs - rate->level) / most * 60000.0) + 1;
    rate->level -= jobs;
    return 0;
}
