/* SPDX-License-Identifier: MIT */
#include "pages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "engine.h"
#include "world.h"

#define POPS_MAX 4
#define OLD_NS (3600 * NS_PER_S)

/* The copies of a page. One that was purged is younger than any that is there. */
struct page {
    struct list link;
    struct span url;
    char *key;        /* its surrogate key, or NULL */
    char *service;    /* the id of that which serves it; NULL: any */
    bool urls_dead;   /* purges of its URL have no effect */
    uint64_t version; /* at the origin */
    struct copy {
        uint64_t born_ns; /* fetched from the origin ... */
        uint64_t version; /* ... in this version */
        bool gone, stale; /* purged, hard or soft */
    } copies[POPS_MAX];
};

/* P0 is the nearest POP, P1 the first of the probes. */
static struct pop {
    uint64_t deaf;   /* so many purges are not heard */
    uint64_t errors; /* so many requests get this status: */
    int status;
    uint64_t silent;   /* so many requests get no reply */
    bool serves_stale; /* once, after a soft purge */
} pops[POPS_MAX];
static struct list pages;
static uint32_t looks;

void pages_begin(void)
{
    memset(pops, 0, sizeof(pops));
    list_init(&pages);
    looks = 0;
}

void pages_end(void)
{
    struct list *node;

    while ((node = list_pop_front(&pages))) {
        struct page *p = list_entry(node, struct page, link);

        free((char *)p->url.p);
        free(p->key);
        free(p->service);
        free(p);
    }
}

static struct page *find_page(struct span url)
{
    struct page *p;

    list_each(it, &pages) {
        p = list_entry(it, struct page, link);
        if (target_same(TARGET_URL, p->url, url))
            return p;
    }
    p = alloc_zeroed(1, sizeof(*p));
    p->url = span_of(alloc_copy(url.p, url.n), url.n);
    for (size_t i = 0; i < POPS_MAX; i++)
        p->copies[i].born_ns = ENGINE_START_NS - OLD_NS;
    list_push_back(&pages, &p->link);
    return p;
}

static bool is_purged_by(const struct page *p, const struct request *r)
{
    if (r->kind == TARGET_URL)
        return !p->urls_dead && target_same(TARGET_URL, p->url, r->targets->at[0]);
    if (p->service && *r->service && strcmp(r->service, p->service) != 0)
        return false;
    for (size_t i = 0; r->kind == TARGET_KEY && i < r->targets->count; i++)
        if (p->key && span_is(r->targets->at[i], p->key))
            return true;
    return r->kind == TARGET_ALL;
}

static void drop_copies(size_t pop, const struct request *r)
{
    list_each(it, &pages) {
        struct page *p = list_entry(it, struct page, link);

        if (is_purged_by(p, r) && r->soft)
            p->copies[pop].stale = true;
        else if (is_purged_by(p, r))
            p->copies[pop].gone = true;
    }
}

void pages_purge(const struct request *r)
{
    if (r->kind == TARGET_URL)
        find_page(r->targets->at[0]);
    for (size_t i = 0; i < POPS_MAX; i++) {
        if (pops[i].deaf) {
            pops[i].deaf--;
            trace("P%zu does not hear the purge", i);
        } else {
            drop_copies(i, r);
        }
    }
}

static size_t pop_of_exchange(const struct exchange *x)
{
    const struct config_words *probes = &world_config()->accounts[0].verify.probes;

    for (size_t i = 0; i < probes->count && i + 1 < POPS_MAX; i++)
        if (span_is(buf_span(&x->via), probes->at[i]))
            return i + 1;
    return 0;
}

static void write_page(struct buf *head, size_t pop, struct page *p, bool debug)
{
    struct copy *c = &p->copies[pop];
    uint64_t now_ns = engine_now_ns();
    bool hit = !c->gone && (!c->stale || pops[pop].serves_stale);
    uint64_t age_s;

    if (!hit)
        *c = (struct copy){.born_ns = now_ns, .version = p->version};
    age_s = (now_ns - c->born_ns) / NS_PER_S;
    buf_printf(head,
               "HTTP/2 200 \r\nage: %" PRIu64 "\r\nx-served-by: cache-sim0001-P%zu\r\n"
               "x-cache: %s\r\nx-version: %" PRIu64 "\r\n",
               age_s, pop, hit ? "HIT" : "MISS", c->version);
    if (debug)
        buf_printf(head, "fastly-debug-path: (D cache-sim0001-P%zu 0)\r\nsurrogate-key: %s\r\n",
                   pop, p->key ? p->key : "none");
    buf_put(head, SPAN("\r\n"));
    trace("P%zu serves a page: %s, age %" PRIu64, pop, hit ? "hit" : "miss", age_s);
    if (c->stale) /* fetched anew behind the visitor's back */
        *c = (struct copy){.born_ns = now_ns, .version = p->version};
}

/* Returns the status; 0: no reply comes. */
static int serve(size_t i, struct span url, bool debug, struct buf *head)
{
    struct pop *pop = &pops[i];

    looks++;
    if (pop->silent) {
        pop->silent--;
        return 0;
    }
    if (pop->errors) {
        pop->errors--;
        buf_printf(head, "HTTP/2 %d \r\n\r\n", pop->status);
        return pop->status;
    }
    write_page(head, i, find_page(url), debug);
    return 200;
}

bool pages_serve(struct exchange *x)
{
    x->status = serve(pop_of_exchange(x), buf_span(&x->url), false, &x->reply);
    return x->status != 0;
}

bool pages_visit(struct span url, struct buf *head)
{
    return serve(0, url, true, head) != 0;
}

uint32_t pages_looks(void)
{
    uint32_t n = looks;

    looks = 0;
    return n;
}

/* -- what a story says -- */

static struct pop *named_pop(struct play *p, const char *name)
{
    if (name[0] == 'P' && name[1] >= '0' && name[1] < '0' + POPS_MAX && !name[2])
        return &pops[name[1] - '0'];
    play_fail(p, "a POP is P0 to P%d, not \"%s\"", POPS_MAX - 1, name);
    return &pops[0];
}

void play_pop(struct play *p)
{
    struct pop *pop = named_pop(p, play_word(p, 1));
    const char *what = play_word(p, 2), *times = play_option(p, "times");
    uint64_t n = UINT64_MAX, status;

    if (times && text_number(times, &n) < 0)
        play_fail(p, "times: \"%s\" is no number", times);
    if (strcmp(what, "deaf") == 0)
        pop->deaf = n;
    else if (strcmp(what, "hears") == 0)
        pop->deaf = 0;
    else if (strcmp(what, "silent") == 0)
        pop->silent = n;
    else if (strcmp(what, "serves-stale") == 0)
        pop->serves_stale = true;
    else if (strcmp(what, "drops") == 0)
        drop_copies((size_t)(pop - pops), &(struct request){.kind = TARGET_ALL});
    else if (text_number(what, &status) == 0) {
        pop->errors = n;
        pop->status = (int)status;
    } else
        play_fail(p, "no POP can be \"%s\"", what);
}

static void replace(char **at, const char *text)
{
    free(*at);
    *at = alloc_str(text);
}

void pages_add(struct span url, const char *service, const char *key)
{
    struct page *page = find_page(url);

    replace(&page->service, service);
    replace(&page->key, key);
}

void play_page(struct play *p)
{
    struct page *page = find_page(span_str(play_word(p, 1)));
    const char *key = play_option(p, "key"), *version = play_option(p, "version");
    const char *service = play_option(p, "service"), *urls = play_option(p, "urls");

    if (version && text_number(version, &page->version) < 0)
        play_fail(p, "version: \"%s\" is no number", version);
    if (urls)
        page->urls_dead = strcmp(urls, "dead") == 0;
    if (service)
        replace(&page->service, service);
    if (key)
        replace(&page->key, key);
}

/* A visitor, who makes the POP fetch what was purged. */
void play_visit(struct play *p)
{
    struct page *page = find_page(span_str(play_word(p, 1)));
    const char *name = play_option(p, "pop");
    struct copy *c = &page->copies[named_pop(p, name ? name : "P0") - pops];

    if (c->gone || c->stale)
        *c = (struct copy){.born_ns = engine_now_ns(), .version = page->version};
}
