/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "ends.h"
#include "engine.h"
#include "fake_redis.h"
#include "fields.h"
#include "inside.h"
#include "journal.h"
#include "origin_fake.h"
#include "repeat.h"
#include "witness_internal.h"

#define MEMORY_SLACK_BYTES ((uint64_t)256 * 1024)

struct witness_world witness;

struct account *witness_account(const char *name)
{
    for (uint32_t i = 0; i < witness.accounts_count; i++)
        if (strcmp(witness.accounts[i].name, name) == 0)
            return &witness.accounts[i];
    return NULL;
}

/* -- names of targets -- */

static struct target *target_of(struct account *a, struct span name, bool make)
{
    struct target *t = map_get(&a->targets, name);

    if (!t && make) {
        t = alloc_zeroed(1, sizeof(*t));
        t->number = ++witness.targets_count;
        t->all = name.p[0] == 'a';
        map_put(&a->targets, name, t);
    }
    return t;
}

static struct target *named(struct account *a, const char *kind, const char *service,
                            struct span bytes, bool make)
{
    char *name = alloc_printf("%s/%s/%.*s", kind, service, (int)bytes.n, bytes.n ? bytes.p : "");
    struct target *t = target_of(a, span_str(name), make);

    free(name);
    return t;
}

/* A URL without its scheme, the host in small letters: one object, however it is spelled. */
static struct target *url_target(struct account *a, struct span url, bool make)
{
    struct span host, rest;
    struct target *t;
    char *name;

    url_split(url, &host, &rest);
    name = alloc_printf("u//%.*s%s%.*s", (int)host.n, host.p, rest.n && rest.p[0] == '/' ? "" : "/",
                        (int)rest.n, rest.n ? rest.p : "");
    for (size_t i = 3; i < 3 + host.n; i++)
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] + 32);
    t = target_of(a, span_str(name), make);
    free(name);
    return t;
}

/* -- what producers pushed -- */

static void add_target(struct job *j, struct target *t, struct target *cover)
{
    j->targets = alloc_grow(j->targets, j->targets_count + 1, sizeof(struct target *));
    j->covers = alloc_grow(j->covers, j->targets_count + 1, sizeof(struct target *));
    j->covers[j->targets_count] = cover;
    j->targets[j->targets_count++] = t;
    t->pushed_hard = t->pushed_hard || j->hard;
}

/* The id of the service named by a field; a job without such a field is for the only service. */
static const char *service_named(const struct account *a, struct span name)
{
    const struct config_account *c = config_account(witness.config, a->name);

    for (uint32_t i = 0; i < c->services_count; i++)
        if (span_is(name, c->services[i].id) || (!name.p && c->services_count == 1))
            return c->services[i].id;
    return "";
}

static void take_keys(struct account *a, struct job *j, const char *service, struct span keys)
{
    struct target *cover = named(a, "a", service, SPAN(""), true);
    struct span key;

    while (span_next_word(&keys, ' ', &key))
        add_target(j, named(a, "k", service, key, true), cover);
}

static void take_targets_of(struct account *a, struct job *j, const struct fields *f,
                            const char *service)
{
    for (size_t i = 0; i + 1 < f->count; i += 2) {
        if (span_is(f->at[i], "keys"))
            take_keys(a, j, service, f->at[i + 1]);
        else if (span_is(f->at[i], "all"))
            add_target(j, named(a, "a", service, SPAN(""), true), NULL);
    }
}

/* A job is for each of the services that it names. */
static void take_targets(struct account *a, struct job *j, const struct fields *f)
{
    const char *why;

    j->hard = !span_is(fields_get(f, "soft"), "1");
    if (!fields_get(f, "service").p)
        take_targets_of(a, j, f, service_named(a, span_of(NULL, 0)));
    for (size_t i = 0; i + 1 < f->count; i += 2) {
        struct span value = f->at[i + 1];

        if (span_is(f->at[i], "service"))
            take_targets_of(a, j, f, service_named(a, value));
        if (!span_is(f->at[i], "url") || url_check(value, &why) < 0)
            continue;
        add_target(j, url_target(a, value, true), NULL);
        (void)named(a, "U", "", value, true);
    }
}

static uint64_t number(const struct fields *f, const char *name)
{
    uint64_t n = 0;
    struct span value = fields_get(f, name);

    return value.n && span_to_u64(value, &n) == 0 ? n : 0;
}

static struct job *new_job(struct account *a, struct span id)
{
    struct job *j = map_take(&a->jobs, id);

    if (j)
        witness_free_job(j); /* Redis had lost it, and it is added again */
    j = alloc_zeroed(1, sizeof(*j));
    j->added_at = journal_count();
    j->id = alloc_copy(id.p, id.n);
    j->accepted_ns = engine_now_ns();
    map_put(&a->jobs, id, j);
    witness.open++;
    witness.sums.jobs++;
    return j;
}

/* The version in a `when`, which is the number after this word. */
static uint64_t version_of(struct span when)
{
    static const char *const words[] = {"\"at_least\":", "\"version "};

    for (size_t i = 0; when.p && i < array_len(words); i++) {
        const char *at = memmem(when.p, when.n, words[i], strlen(words[i]));

        if (at)
            return strtoull(at + strlen(words[i]), NULL, 10);
    }
    return 0;
}

static void job_id(char *out, size_t room, enum lane lane, struct entry_id id)
{
    snprintf(out, room, "%s-%" PRIu64 "-%" PRIu64, lane_names[lane], id.ms, id.seq);
}

void witness_pushed(const char *account, enum lane lane, struct entry_id id,
                    const struct span *spans, size_t count)
{
    struct account *a = witness_account(account);
    struct fields *f;
    struct job *j;
    char name[96];

    if (witness.scope != WITNESS_ALL || !a)
        return;
    f = fields_copy(spans, count);
    job_id(name, sizeof(name), lane, id);
    j = new_job(a, span_str(name));
    j->not_before_ms = number(f, "not_before");
    j->expires_ms = number(f, "expires");
    j->version = version_of(fields_get(f, "when"));
    j->repeats =
        number(f, "repeat_after") > 0 || span_is(fields_get(f, "repeat_after"), REPEAT_AUTO);
    take_targets(a, j, f);
    a->largest = max_u64(a->largest, j->targets_count);
    if (fields_get(f, "verify").n > 1)
        a->of_pages += j->targets_count;
    free(f);
}

/* They may be purged before they are lost. */
void witness_pushed_cut_off(const char *account, const struct span *spans, size_t count)
{
    struct account *a = witness_account(account);
    struct fields *f;
    struct job *j;

    if (witness.scope != WITNESS_ALL || !a)
        return;
    f = fields_copy(spans, count);
    j = alloc_zeroed(1, sizeof(*j));
    take_targets(a, j, f);
    a->largest = max_u64(a->largest, j->targets_count);
    witness_free_job(j);
    free(f);
}

struct job *witness_job(const char *account, struct span id)
{
    struct account *a = witness_account(account);

    return a ? map_get(&a->jobs, id) : NULL;
}

void witness_cancelled_job(const char *account, const char *job)
{
    struct job *j = witness_job(account, span_str(job));

    if (j && !j->cancelled && j->ends == 0)
        witness.open--;
    if (j)
        j->cancelled = true;
}

void witness_cancelled(const char *account, enum lane lane, struct entry_id id)
{
    char name[96];

    witness.deleted_by_hand = true;
    job_id(name, sizeof(name), lane, id);
    witness_cancelled_job(account, name);
}

void witness_cancellation_told(const char *account, const char *job)
{
    struct job *j = witness_job(account, span_str(job));

    if (j)
        j->cancellation_told = true;
}

bool witness_must_know(const char *account, const char *job)
{
    const struct job *j = witness_job(account, span_str(job));

    return j && !j->cancelled && !witness.memory_was_short && !fake_redis_memory_full() &&
           config_account(witness.config, account)->receipts == RECEIPTS_ALL;
}

static void expect_receipts(const struct config *c)
{
    for (uint32_t i = 0; i < witness.accounts_count; i++) {
        struct account *a = &witness.accounts[i];

        a->receipts_in_history |= config_account(c, a->name)->receipts_in == RECEIPTS_IN_HISTORY;
    }
}

/* Nobody pushes what they purge. */
static void expect_canaries(const struct config *c)
{
    for (uint32_t i = 0; i < c->canaries_count; i++) {
        const struct config_canary *k = &c->canaries[i];
        struct account *a = witness_account(k->account);
        const char *service = config_service(config_account(c, k->account), k->service)->id;
        struct target *key = named(a, "k", service, span_str(k->key), true);
        struct target *url = url_target(a, span_str(k->url), true);

        (void)named(a, "U", "", span_str(k->url), true);
        key->canary = url->canary = key->pushed_hard = url->pushed_hard = true;
    }
}

/* -- what Fastly saw -- */

static uint64_t budget_of(const struct config *c, const struct request *r, enum ledger_kind l)
{
    const struct config_account *a = config_account(c, r->account);

    return l == LEDGER_WRITE ? a->writes.requests : a->budget.purges - a->budget.headroom;
}

/* Its sender's settings hold, as they were when it was handed over: a reload may have changed them
 * since, and an instance that is stopping keeps its old ones. More may be allowed by now. */
static void check_window(struct account *a, enum ledger_kind l, const struct request *r)
{
    const struct config_account *c = config_account(r->config, r->account);
    uint64_t window_ns = (l == LEDGER_WRITE ? c->writes.per_s : c->budget.per_s) * NS_PER_S;
    uint64_t sum = witness_add_arrival(a, l, r, window_ns);
    uint64_t budget = max_u64(budget_of(r->config, r, l), budget_of(witness.config, r, l));

    if (l == LEDGER_PURGE)
        witness.sums.window_max = max_u64(witness.sums.window_max, sum);
    if (sum > budget)
        engine_fail("P2: account %s: %" PRIu64 " units of the %s budget arrived within %" PRIu64
                    " s; %" PRIu64 " are allowed",
                    a->name, sum, ledger_names[l], window_ns / NS_PER_S, budget);
}

static enum ledger_kind ledger_of(const struct request *r)
{
    const struct config_account *c = config_account(r->config, r->account);

    if (r->kind == TARGET_ALL)
        return LEDGER_WRITE;
    return r->kind == TARGET_URL && c->budget.separate ? LEDGER_URL : LEDGER_PURGE;
}

static struct target *asked_for(struct account *a, const struct request *r, size_t i)
{
    if (r->kind == TARGET_ALL)
        return named(a, "a", r->service, SPAN(""), false);
    if (r->kind == TARGET_KEY)
        return named(a, "k", r->service, r->targets->at[i], false);
    if (!named(a, "U", "", r->targets->at[i], false))
        return NULL;
    return url_target(a, r->targets->at[i], false);
}

static void on_arrived(const struct request *r)
{
    struct account *a = witness_account(r->account);

    witness.sums.requests++;
    witness.sums.cost += r->cost;
    if (!a)
        return;
    check_window(a, ledger_of(r), r);
    for (size_t i = 0; witness.scope == WITNESS_ALL && i < r->targets->count; i++) {
        const struct target *t = asked_for(a, r, i);

        witness.sums.canaries += t && t->canary;
        if (!t)
            engine_fail("P6: Fastly is asked for \"%.80s\", which nobody pushed so",
                        r->targets->at[i].p);
        else if (!r->soft && !t->pushed_hard)
            engine_fail("P6: \"%.80s\" is purged hard, and was only pushed soft",
                        r->targets->at[i].p);
    }
}

static void on_confirmed(const struct request *r, size_t i)
{
    struct account *a = witness_account(r->account);
    struct target *t = a && witness.scope == WITNESS_ALL ? asked_for(a, r, i) : NULL;

    if (!t)
        return;
    t->any_ns = max_u64(t->any_ns, r->started_ns);
    if (!r->soft)
        t->hard_ns = max_u64(t->hard_ns, r->started_ns);
}

static uint64_t number_of(const struct request *r, size_t i)
{
    struct account *a = witness_account(r->account);
    const struct target *t = a && witness.scope == WITNESS_ALL ? asked_for(a, r, i) : NULL;

    return t ? t->number : 0;
}

static void on_refused(const struct request *r)
{
    struct account *a = witness_account(r->account);
    struct target *t = a && witness.scope == WITNESS_ALL ? asked_for(a, r, 0) : NULL;

    if (t)
        t->refused = true;
}

/* -- what Redis was told -- */

static void check_purged(const struct job *j)
{
    for (size_t i = 0; i < j->targets_count; i++) {
        const struct target *t = j->targets[i], *cover = j->covers[i];
        uint64_t done = j->hard ? t->hard_ns : t->any_ns;

        if (cover)
            done = max_u64(done, cover->hard_ns);
        if (done < j->accepted_ns)
            engine_fail("P3: job %s ended as purged, but its target %zu of %zu was not confirmed "
                        "by a request that started after the job was accepted",
                        j->id, i + 1, j->targets_count);
    }
    if (j->targets_count == 0)
        engine_fail("P3: job %s has no readable target and ended as purged", j->id);
    if (engine_wall_max_ms() < j->not_before_ms)
        engine_fail("job %s was purged before its not_before", j->id);
    if (origin_fake.highest < j->version)
        engine_fail("job %s was purged before its origin showed version %" PRIu64, j->id,
                    j->version);
}

static bool refused_alone(const struct job *j)
{
    for (size_t i = 0; i < j->targets_count; i++)
        if (j->targets[i]->refused)
            return true;
    return false;
}

static void check_end(const struct job *j, const struct ended *e)
{
    switch (e->outcome) {
    case OUTCOME_PURGED:
        witness.sums.purged++;
        check_purged(j);
        break;
    case OUTCOME_EXPIRED:
        witness.sums.expired++;
        if (!j->expires_ms || engine_wall_max_ms() < j->expires_ms)
            engine_fail("job %s ended as expired, and is not", j->id);
        break;
    case OUTCOME_DEAD:
        witness.sums.dead++;
        if (!refused_alone(j) && e->reason.n >= 3 && memcmp(e->reason.p, "400", 3) == 0)
            engine_fail("P5: job %s died of a refusal (%.*s), but asked for nothing bad", j->id,
                        (int)e->reason.n, e->reason.p);
        break;
    default:
        witness.sums.cancelled++;
        if (!j->cancelled)
            engine_fail("P1: job %s ended as %s, and nobody cancelled it", j->id,
                        outcome_names[e->outcome]);
    }
}

/* The second purge of a job that asked for one. */
static void expect_repeat(struct account *a, const struct job *j)
{
    char *id = alloc_printf("%s+r", j->id);
    struct job *again = new_job(a, span_str(id));

    again->hard = j->hard;
    again->expires_ms = j->expires_ms;
    for (size_t i = 0; i < j->targets_count; i++)
        add_target(again, j->targets[i], j->covers[i]);
    free(id);
}

static void on_ended(const struct ended *e)
{
    struct account *a = witness_account(e->account);
    struct job *j = a ? map_get(&a->jobs, e->job) : NULL;

    trace("redis: job %.*s ends as %s", (int)e->job.n, e->job.p, outcome_names[e->outcome]);
    witness.memory_was_short |= fake_redis_memory_full();
    if (!j) {
        engine_fail("P1: job %.*s ended, and nobody pushed it", (int)e->job.n, e->job.p);
        return;
    }
    if (j->ends++ && !j->cancelled)
        engine_fail("P1: job %s ended twice: as %s, then as %s", j->id, outcome_names[j->outcome],
                    outcome_names[e->outcome]);
    if (j->ends == 1 && !j->cancelled)
        witness.open--;
    j->outcome = e->outcome;
    j->ended_at = journal_count();
    check_end(j, e);
    if (e->repeats != (e->outcome == OUTCOME_PURGED && j->repeats))
        engine_fail("job %s: its repeat is %s", j->id, e->repeats ? "unasked for" : "forgotten");
    if (e->repeats)
        expect_repeat(a, j);
}

static void on_receipt(const char *account, struct span job, struct span json)
{
    struct job *j = witness_job(account, job);
    const char *state = strstr(json.p, "\"state\":\"");

    if (!j)
        return;
    j->receipts++;
    snprintf(j->receipt, sizeof(j->receipt), "%.*s", state ? (int)strcspn(state + 9, "\"") : 0,
             state ? state + 9 : "");
}

/* -- what the leader says of itself -- */

uint64_t witness_checks;
char witness_status[WITNESS_STATUS_ROOM];

static uint64_t status_number(const char *status, const char *name)
{
    char quoted[64];
    const char *at;

    snprintf(quoted, sizeof(quoted), "\"%s\":", name);
    at = strstr(status, quoted);
    return at ? strtoull(at + strlen(quoted), NULL, 10) : 0;
}

static void check_ceiling(const struct account *a, const char *status, const char *name,
                          uint64_t most)
{
    uint64_t n = status_number(status, name);

    if (n > most)
        engine_fail("P7: %s of account %s is %" PRIu64 ", and may be %" PRIu64 " at most", name,
                    a->name, n, most);
}

/* A job is taken in whole, so the last one may pass the window's ceiling. A job whose page is still
 * stale is purged again, whether there is room or not, because it might wait forever behind a
 * backlog; there can be as many of these as jobs whose pages are looked at. In bytes, a job fits or
 * waits; but what it becomes until Redis knows of its end may take more than the job did. Where the
 * largest job is not known, targets are not looked at. */
static void check_ceilings(const struct account *a, const char *status)
{
    uint64_t window = witness.config->window, bytes = config_jobs_max_bytes(witness.config);

    check_ceiling(a, status, "window_jobs", window * 4);
    if (a->largest)
        check_ceiling(a, status, "window_targets", window - 1 + a->largest + a->of_pages);
    check_ceiling(a, status, "memory_bytes", bytes + bytes / 16 + MEMORY_SLACK_BYTES);
    check_ceiling(
        a, status, "in_flight",
        max_u64(a->in_flight_before, config_account(witness.config, a->name)->max_in_flight));
}

static void on_status(const char *account, struct span json)
{
    const struct account *a = witness_account(account);

    if (a)
        check_ceilings(a, json.p);
    witness_checks = status_number(json.p, "verify_pending");
    snprintf(witness_status, sizeof(witness_status), "%s", json.p);
}

/* -- from beginning to end -- */

void witness_begin(const struct config *c, enum witness_scope scope)
{
    memset(&witness, 0, sizeof(witness));
    witness.scope = scope;
    witness.config = c;
    for (uint32_t i = 0; i < c->accounts_count; i++) {
        struct account *a = &witness.accounts[witness.accounts_count++];

        snprintf(a->name, sizeof(a->name), "%s", c->accounts[i].name);
        map_init(&a->targets);
        map_init(&a->jobs);
    }
    expect_canaries(c);
    expect_receipts(c);
    ends_watch.status = on_status;
    if (scope == WITNESS_ALL) {
        ends_watch.ended = on_ended;
        ends_watch.receipt = on_receipt;
        ends_watch.history = witness_history;
    }
    fastly_watch = (struct fastly_watch){on_arrived, on_confirmed, on_refused, number_of};
}

/* Requests that were sent within the old settings may still be on their way. */
void witness_configure(const struct config *c)
{
    for (uint32_t i = 0; i < witness.accounts_count; i++) {
        struct account *a = &witness.accounts[i];
        uint64_t in_flight = config_account(witness.config, a->name)->max_in_flight;

        a->in_flight_before = max_u64(a->in_flight_before, in_flight);
    }
    witness.config = c;
    expect_canaries(c);
    expect_receipts(c);
}

void witness_free_job(struct job *j)
{
    free(j->targets);
    free(j->covers);
    free(j->id);
    free(j);
}

static void free_jobs(struct map *jobs)
{
    map_each(slot, jobs) witness_free_job(slot->value);
    map_deinit(jobs);
}

void witness_end(void)
{
    for (uint32_t i = 0; i < witness.accounts_count; i++) {
        struct account *a = &witness.accounts[i];

        free_jobs(&a->jobs);
        map_each(slot, &a->targets) free(slot->value);
        map_deinit(&a->targets);
        for (int l = 0; l < LEDGER_N; l++) {
            arrivals_deinit(&a->windows[l]);
            arrivals_deinit(&a->cut_off[l]);
        }
    }
    witness.accounts_count = 0;
}

uint64_t witness_open(void)
{
    return witness.open;
}

const struct witness_sums *witness_sums(void)
{
    return &witness.sums;
}

static void count_letter(void *ctx, const struct fields *letter)
{
    struct job *j = witness_job(ctx, fields_get(letter, "dead_job"));

    if (j)
        j->letters++;
}

static void uncount_letter(void *ctx, const struct fields *letter)
{
    struct job *j = witness_job(ctx, fields_get(letter, "dead_job"));

    if (j)
        j->letters--;
}

/* What is there before and no more afterwards has been counted. */
void witness_letters(const char *account, enum witness_letters when)
{
    (void)inside_letters(account, 0, when == LETTERS_BEFORE ? count_letter : uncount_letter,
                         (void *)account);
}

static void check_receipts(const struct account *a, const struct job *j)
{
    if (config_account(witness.config, a->name)->receipts == RECEIPTS_ALL &&
        !witness.memory_was_short && j->receipts != 1)
        engine_fail("P1: job %s of %s ended and has %u receipts", j->id, a->name, j->receipts);
    if (j->receipts && strcmp(j->receipt, outcome_names[j->outcome]) != 0)
        engine_fail("P1: job %s ended as %s, its receipt says %s", j->id, outcome_names[j->outcome],
                    j->receipt);
}

static void check_last(const struct account *a, const struct job *j)
{
    if (j->cancellation_told && strcmp(j->receipt, outcome_names[OUTCOME_CANCELLED]) != 0)
        engine_fail("P10: job %s of %s was said to be cancelled, its receipt says \"%s\"", j->id,
                    a->name, j->receipt);
    if (j->cancelled)
        return;
    if (j->ends == 0) {
        engine_fail("P1: job %s of %s never ended", j->id, a->name);
        return;
    }
    check_receipts(a, j);
    witness_check_history(a, j);
    if (j->letters != (j->outcome == OUTCOME_DEAD))
        engine_fail("P1: job %s of %s ended as %s and has %u dead letters", j->id, a->name,
                    outcome_names[j->outcome], j->letters);
}

void witness_at_end(void)
{
    for (uint32_t i = 0; witness.scope == WITNESS_ALL && i < witness.accounts_count; i++) {
        struct account *a = &witness.accounts[i];

        (void)inside_letters(a->name, 0, count_letter, a->name);
        map_each(slot, &a->jobs) check_last(a, slot->value);
        if (!witness.deleted_by_hand && inside_left_over(a->name))
            engine_fail("account %s: all jobs have ended, and Redis still holds where they are",
                        a->name);
    }
}
