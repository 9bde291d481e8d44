/* SPDX-License-Identifier: MIT
 *
 * Nothing here delays a purge: looks have no share of the requests in flight, and a page that has
 * to be purged again waits in its lane like any other.
 *
 *   purged ─▶ WAITING ─▶ LOOKING ─▶ fresh, or it cannot be told: its jobs end
 *                ▲          │
 *                │          ├─▶ not sure: another round
 *                │          └─▶ stale ─▶ REPAIRING: its target waits in the window, and newer jobs
 *                └── purged again ◀──────┘          for the page are merged with it
 *
 * A newer purge of the page makes a check superfluous: its jobs wait for the newer one's check. */
#include "verification_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "dispatch_internal.h"
#include "log.h"
#include "looks.h"

/* Of an account. With more, unasked checks are left out, and jobs that ask end as unknown. */
#define CHECKS_MAX 1000u
#define CHECKS_MAX_BYTES ((uint64_t)1 << 20)
#define PAUSE_MAX_NS (60 * NS_PER_S)
#define RELOOKS_MAX 2u                 /* at the same cache, in a round */
#define UNDER_WAY_NS (NS_PER_S / 2)    /* a newer purge is on the wire: look whether it is over */
#define REPAIR_MAX_NS (600 * NS_PER_S) /* it may wait for the budget, but not for ever */

/* "Purge-all takes up to 2 minutes to complete":
 * https://github.com/fastly/fastly-agent-toolkit, skills/fastly/references/purging.md */
#define PURGE_ALL_NS (120 * NS_PER_S)

struct verification *verification_new(struct dispatch *d)
{
    struct verification *v = alloc_zeroed(1, sizeof(*v));

    v->d = d;
    for (size_t i = 0; i < VERIFICATION_BUCKETS; i++)
        list_init(&v->buckets[i]);
    v->looks = looks_new(d);
    heap_init(&v->due);
    return v;
}

void verification_free(struct verification *v)
{
    if (!v)
        return;
    must(v->count == 0);
    looks_free(v->looks);
    heap_deinit(&v->due);
    free(v);
}

const struct verification_counts *verification_counts(const struct verification *v)
{
    return &v->counts;
}

uint32_t verification_pending(const struct verification *v)
{
    return v->count;
}

uint64_t verification_bytes(const struct verification *v)
{
    return v->bytes + looks_bytes(v->looks);
}

/* -- checks ---------------------------------------------------------------------------------- */

static struct check *find_check(struct verification *v, const struct pending *t)
{
    if (v->count == 0 || t->kind != TARGET_URL)
        return NULL;
    list_each(it, verification_bucket(v, t->hash)) {
        struct check *c = list_entry(it, struct check, link);

        if (!c->page && c->hash == t->hash && target_same(TARGET_URL, c->url, pending_bytes(t)))
            return c;
    }
    return NULL;
}

const struct pending *verification_target(struct verification *v, uint32_t hash, struct span url,
                                          uint64_t *next_ns)
{
    list_each(it, verification_bucket(v, hash)) {
        const struct check *c = list_entry(it, struct check, link);

        if (!c->target || c->hash != hash || !target_same(TARGET_URL, c->url, url))
            continue;
        *next_ns = c->due.pos == HEAP_NOWHERE ? NEVER : c->due.key;
        return c->target;
    }
    return NULL;
}

uint64_t verification_check_bytes(size_t url)
{
    return ALLOC_TAKES(sizeof(struct check)) + ALLOC_TAKES(url + 1) + sizeof(struct heap_node *);
}

struct check *verification_check_new(struct verification *v, struct span url, uint32_t hash)
{
    struct check *c = alloc_zeroed(1, sizeof(*c));

    c->v = v;
    c->hash = hash;
    c->url = span_of(alloc_copy(url.p, url.n), url.n);
    c->why = "";
    heap_node_init(&c->due);
    list_push_back(verification_bucket(v, c->hash), &c->link);
    v->count++;
    v->bytes += verification_check_bytes(url.n);
    return c;
}

void verification_check_free(struct verification *v, struct check *c)
{
    if (c->page) {
        v->pages_count--;
        v->pages_bytes -= verification_check_bytes(c->url.n) + page_job_bytes(&c->page->spec);
        v->bytes -= page_job_bytes(&c->page->spec);
        page_job_free(c->page);
    }
    looks_forget(c->look);
    heap_remove(&v->due, &c->due);
    list_remove(&c->link);
    v->count--;
    v->bytes -= verification_check_bytes(c->url.n);
    free((char *)c->url.p);
    free(c);
}

static void wait_until(struct verification *v, struct check *c, uint64_t due_ns)
{
    c->state = CHECK_WAITING;
    heap_remove(&v->due, &c->due);
    heap_insert(&v->due, &c->due, due_ns);
}

static uint64_t pause_ns(const struct verification *v, const struct check *c)
{
    uint64_t after_ns = v->d->account->verify.after_ms * NS_PER_MS;
    uint64_t pause = min_u64(after_ns << c->round, max_u64(PAUSE_MAX_NS, after_ns));

    return c->all ? max_u64(pause, PURGE_ALL_NS) : pause;
}

static void begin_round(struct check *c)
{
    c->probe = c->relooks = 0;
    c->seen_stale = false;
    c->worst = VERIFY_FRESH;
    c->why = "";
    c->pop[0] = '\0';
}

void verification_check_purged(struct verification *v, struct check *c, bool soft,
                               const struct job_purge *by)
{
    c->soft = soft;
    c->all = by->all;
    c->began_ns = by->began_ns;
    c->purged_ns = by->purged_ns;
    snprintf(c->id, sizeof(c->id), "%.*s", (int)by->id.n, by->id.n ? by->id.p : "");
    if (c->repairs == 0)
        c->first_purged_ns = by->purged_ns;
    begin_round(c);
    wait_until(v, c, c->purged_ns + pause_ns(v, c));
    dispatch_wake(v->d);
}

/* -- which purges are checked ---------------------------------------------------------------- */

/* Depends on the id of a job only, so that it can be told afterwards, and by anybody, which ones
 * were looked at. */
static bool is_sampled(const struct verification *v, const struct pending *t)
{
    uint32_t share = v->d->account->verify.share;
    struct window_job job;
    struct rng mix;

    if (share == 0 || !window_newest_job(&v->d->pace.window, t, &job))
        return false;
    mix.state = job.id_ms * 31 + job.id_seq;
    return rng_below(&mix, 1000) < share;
}

/* Unasked checks are only begun if all can be looked at within a minute: jobs wait for the others,
 * which must not queue behind them. */
static bool is_full(const struct verification *v, const struct pending *t, bool asked)
{
    uint32_t most =
        asked ? CHECKS_MAX : (uint32_t)min_u64(v->d->account->verify.per_minute, CHECKS_MAX);

    return v->count - v->pages_count >= most ||
           v->bytes - v->pages_bytes + verification_check_bytes(t->bytes_count) > CHECKS_MAX_BYTES;
}

static void end_unknown(struct verification *v, struct pending *t, const struct job_purge *by,
                        const char *why)
{
    const struct job_proof proof = {.result = VERIFY_UNKNOWN, .why = why, .pop = "", .purge = by};

    v->counts.results[VERIFY_UNKNOWN]++;
    job_end_verified(v->d, t, &proof);
}

static bool leave_out(struct verification *v, struct pending *t, bool asked,
                      const struct job_purge *by, const char *why)
{
    v->counts.left_out++;
    if (!asked)
        return false;
    job_end_unverified(v->d, t, by);
    end_unknown(v, t, by, why);
    return true;
}

bool verification_take(struct verification *v, struct pending *t, const struct job_purge *by)
{
    struct window *w = &v->d->pace.window;
    struct check *c = find_check(v, t);
    bool asked;

    if (t->kind != TARGET_URL)
        return false;
    if (c && c->state != CHECK_REPAIRING) {
        v->counts.superseded++;
        window_check_joins(w, t, c->target);
        verification_check_free(v, c);
        c = NULL;
    }
    asked = window_verifies(w) && window_verifies_target(w, t);
    if (!c && !asked && !is_sampled(v, t))
        return false;
    if (v->d->state != DISPATCH_LEADING)
        return leave_out(v, t, asked, by, VERIFICATION_STOPPED);
    if (!c && is_full(v, t, asked))
        return leave_out(v, t, asked, by, VERIFICATION_TOO_MANY);
    job_end_unverified(v->d, t, by);
    if (!c)
        c = verification_check_new(v, pending_bytes(t), t->hash);
    c->target = t;
    verification_check_purged(v, c, t->soft, by);
    return true;
}

/* -- the end of a check ---------------------------------------------------------------------- */

static uint16_t service_of(const struct check *c)
{
    return c->page ? c->page->spec.service : (uint16_t)c->target->service;
}

/* Whether jobs end when the check does. */
static bool has_jobs(const struct check *c)
{
    return c->page ? c->state != CHECK_EXPECTED : c->target != NULL;
}

static void end_jobs(struct verification *v, const struct check *c, const struct job_proof *proof)
{
    v->counts.results[proof->result]++;
    if (c->page)
        job_end_page(v->d, c->page->number, service_of(c), c->all, proof);
    else
        job_end_verified(v->d, c->target, proof);
}

/* The number in a header decides, and not the age of the copy. */
static bool is_numbered(const struct check *c)
{
    return c->page && *c->page->header;
}

static void say_given_up(struct verification *v, const struct check *c)
{
    struct span url = url_without_query(c->url);

    if (loglimit_take(&v->log_limit, clock_mono_ns()))
        log_error(is_numbered(c) ? "Fastly still serves a page with a number that is too low; no "
                                   "more purges of it are tried"
                                 : "Fastly still serves a copy that is older than its purge; no "
                                   "more purges of it are tried",
                  "account=%s service=%s url=\"%.*s\" pop=%s older_ms=%llu purges=%u id=\"%s\" "
                  "remedy=\"purgeline doctor %.*s; if it finds nothing, tell Fastly the URL, "
                  "the POP and the id of the last purge\"",
                  v->d->account->name, dispatch_service_id(v->d, service_of(c)),
                  (int)min_u64(url.n, 160), url.p, c->pop, (unsigned long long)c->older_ms,
                  c->repairs + 1, c->id, (int)min_u64(url.n, 160), url.p);
}

static struct job_purge last_purge(const struct check *c)
{
    return (struct job_purge){c->began_ns, c->purged_ns, c->all, span_str(c->id)};
}

static void finish(struct verification *v, struct check *c, enum verify_result result,
                   uint64_t now_ns)
{
    uint64_t stale_ns = c->was_stale ? minus_u64(now_ns, c->first_purged_ns) : 0;
    const struct job_purge last = last_purge(c);
    const struct job_proof proof = {.result = result,
                                    .repairs = c->repairs,
                                    .stale_ms = stale_ns / NS_PER_MS,
                                    .why = result == VERIFY_FRESH ? "" : c->why,
                                    .pop = result == VERIFY_FRESH ? "" : c->pop,
                                    .purge = &last};

    if (c->was_stale)
        histogram_add(&v->d->counts.stale[0], stale_ns / 1000);
    if (c->was_stale && result == VERIFY_FRESH)
        repeats_saw(v->d->repeats, service_of(c), minus_u64(c->began_ns, c->first_purged_ns));
    if (result == VERIFY_STALE)
        say_given_up(v, c);
    end_jobs(v, c, &proof);
    verification_check_free(v, c);
}

void verification_drop(struct verification *v, const struct pending *t)
{
    struct check *c = find_check(v, t);

    if (!c || c->state != CHECK_REPAIRING)
        return;
    v->counts.results[VERIFY_STALE]++;
    verification_check_free(v, c);
}

static struct check *any_check(struct verification *v)
{
    for (size_t i = 0; i < VERIFICATION_BUCKETS; i++)
        if (!list_empty(&v->buckets[i]))
            return list_first(&v->buckets[i], struct check, link);
    return NULL;
}

void verification_end(struct verification *v, const char *why)
{
    struct check *c;

    while ((c = any_check(v))) {
        const struct job_purge last = last_purge(c);

        if (has_jobs(c))
            end_jobs(v, c,
                     &(struct job_proof){
                         .result = VERIFY_UNKNOWN, .why = why, .pop = "", .purge = &last});
        verification_check_free(v, c);
    }
}

void verification_forget(struct verification *v)
{
    struct check *c;

    while ((c = any_check(v))) {
        if (c->target)
            window_forget_checked(&v->d->pace.window, c->target);
        verification_check_free(v, c);
    }
}

/* -- what pages show ------------------------------------------------------------------------- */

/* A newer purge of the page waits, or is on the wire: what is seen now says nothing about it. */
static bool is_overtaken(struct verification *v, struct check *c, uint64_t now_ns)
{
    struct window *w = &v->d->pace.window;

    if (c->page) /* nobody knows which purges concern it */
        return false;
    if (window_has_twin(w, c->target)) {
        v->counts.superseded++;
        window_check_again(w, c->target);
        verification_check_free(v, c);
        return true;
    }
    if (send_is_under_way(v->d, c->target)) {
        wait_until(v, c, now_ns + UNDER_WAY_NS);
        return true;
    }
    return false;
}

static void repair(struct verification *v, struct check *c, uint64_t now_ns)
{
    struct span url = url_without_query(c->url);
    struct pending *t = c->target;

    if (c->repairs == 0 && loglimit_take(&v->log_limit, now_ns))
        log_warn(is_numbered(c)
                     ? "Fastly serves a page with a number that is too low; it is purged again"
                     : "Fastly serves a copy that is older than its purge; the page is purged "
                       "again",
                 "account=%s service=%s url=\"%.*s\" pop=%s older_ms=%llu", v->d->account->name,
                 dispatch_service_id(v->d, service_of(c)), (int)min_u64(url.n, 160), url.p, c->pop,
                 (unsigned long long)c->older_ms);
    v->counts.repairs++;
    c->repairs++;
    c->round++;
    if (c->page) {
        c->state = CHECK_EXPECTED;
        page_job_repeat(c->page, &v->d->pace.window, now_ns);
        return;
    }
    c->target = NULL;
    wait_until(v, c, now_ns + REPAIR_MAX_NS);
    c->state = CHECK_REPAIRING;
    window_check_again(&v->d->pace.window, t);
}

static void end_round(struct verification *v, struct check *c, uint64_t now_ns)
{
    if (c->worst != VERIFY_UNSURE) {
        finish(v, c, c->worst, now_ns);
    } else if (c->round + 1 >= v->d->account->verify.rounds) {
        finish(v, c, VERIFY_UNKNOWN, now_ns);
    } else {
        c->round++;
        begin_round(c);
        wait_until(v, c, verify_seconds_later(c->purged_ns, now_ns + pause_ns(v, c)));
    }
}

static void next_probe(struct verification *v, struct check *c, uint64_t now_ns)
{
    c->seen_stale = false;
    c->relooks = 0;
    if (++c->probe < v->d->account->verify.probes.count)
        wait_until(v, c, now_ns);
    else
        end_round(v, c, now_ns);
}

static enum verify_result judge_page(const struct check *c, const struct exchange *x,
                                     struct verify_finding *found)
{
    const struct verify_look look = {.head = buf_span(&x->reply),
                                     .began_ns = c->began_ns,
                                     .purged_ns = c->purged_ns,
                                     .asked_ns = x->started_ns,
                                     .answered_ns = x->done_ns,
                                     .soft = c->soft,
                                     .seen_stale = c->seen_stale,
                                     .header = span_str(c->page ? c->page->header : ""),
                                     .at_least = c->page ? c->page->at_least : 0};

    if (x->error == EXCHANGE_OK)
        return verify_judge(&look, found);
    *found = (struct verify_finding){.why = x->error == EXCHANGE_BLOCKED
                                                ? "its host is not public or has no valid "
                                                  "certificate"
                                                : "the page cannot be fetched"};
    return x->error == EXCHANGE_BLOCKED ? VERIFY_UNKNOWN : VERIFY_UNSURE;
}

static void note_finding(struct check *c, enum verify_result r, const struct verify_finding *found)
{
    if (r == VERIFY_FRESH || (r == VERIFY_UNKNOWN && c->worst == VERIFY_UNSURE))
        return;
    c->worst = r;
    c->why = found->why;
    memcpy(c->pop, found->pop, sizeof(c->pop));
}

static void on_seen(struct verification *v, struct check *c, const struct exchange *x,
                    uint64_t now_ns)
{
    struct verify_finding found;
    enum verify_result r = judge_page(c, x, &found);

    if (log_wants(LOG_DEBUG))
        log_debug("A page was looked at after its purge",
                  "account=%s pop=%s round=%u status=%d result=%s why=\"%s\"", v->d->account->name,
                  found.pop, c->round, x->status,
                  r == VERIFY_UNSURE ? "unsure" : verify_result_names[r], found.why);
    if (found.again_ns && c->relooks < RELOOKS_MAX) {
        c->relooks++;
        c->seen_stale |= found.excused;
        wait_until(v, c, max_u64(found.again_ns, now_ns));
        return;
    }
    note_finding(c, r, &found);
    if (r != VERIFY_STALE) {
        next_probe(v, c, now_ns);
    } else {
        c->was_stale = true;
        c->older_ms = found.older_ms;
        if (c->round + 1 >= v->d->account->verify.rounds)
            finish(v, c, VERIFY_STALE, now_ns);
        else
            repair(v, c, now_ns);
    }
}

static void on_page_reply(void *ctx, const struct exchange *x)
{
    struct check *c = ctx;
    struct verification *v = c->v;
    uint64_t now_ns = clock_mono_ns();

    c->look = NULL;
    if (!is_overtaken(v, c, now_ns))
        on_seen(v, c, x, now_ns);
}

static void begin_look(struct verification *v, struct check *c)
{
    const struct config_words *probes = &v->d->account->verify.probes;

    v->counts.looks++;
    c->state = CHECK_LOOKING;
    heap_remove(&v->due, &c->due);
    c->look = looks_begin(v->looks, c->url, probes->count ? probes->at[c->probe] : NULL,
                          on_page_reply, c);
}

/* -- the tick -------------------------------------------------------------------------------- */

static uint64_t say_unlogged(struct verification *v, uint64_t now_ns)
{
    uint64_t unwritten, next_ns = loglimit_end(&v->log_limit, now_ns, &unwritten);

    if (unwritten)
        log_warn("Too many stale pages to log each of them", "account=%s not_written=%llu",
                 v->d->account->name, (unsigned long long)unwritten);
    return next_ns;
}

uint64_t verification_tick(struct verification *v, uint64_t now_ns)
{
    uint64_t next_ns = say_unlogged(v, now_ns), again_ns;
    struct heap_node *node;

    while ((node = heap_min(&v->due)) && node->key <= now_ns) {
        struct check *c = container_of(node, struct check, due);

        if (c->state == CHECK_REPAIRING) {
            v->counts.results[VERIFY_STALE]++;
            verification_check_free(v, c);
        } else if (!is_overtaken(v, c, now_ns)) {
            if (!looks_may(v->looks, now_ns, &again_ns))
                return min_u64(next_ns, again_ns);
            if (c->probe > 0 && c->probe >= v->d->account->verify.probes.count)
                begin_round(c); /* a reload has removed it */
            begin_look(v, c);
        }
    }
    return min_u64(next_ns, node ? node->key : NEVER);
}
