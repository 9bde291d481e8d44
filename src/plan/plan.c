/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "direct.h"
#include "fastly.h"
#include "ledger.h"
#include "pace.h"
#include "plan_later.h"

#define SHELF_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define YEAR_MS (UINT64_C(366) * 24 * 3600 * 1000)
#define HORIZON_NS (100 * YEAR_MS * NS_PER_MS) /* longest wait; no sum of times overflows */
#define STEP_LEAST_NS UINT64_C(1000)

/* The sample is one extra urgent target that measures how long an urgent push would wait. It is
 * removed at the moment when it would be sent, so it costs nothing and is in no request. */
struct sample {
    bool waiting;
    uint64_t since_ns, next_ns;
};

struct plan {
    struct plan_options options;
    const struct config_account *account;
    struct job_decoder decoder;
    struct pace pace;
    bool reserved;         /* units, since the pace was asked last */
    struct list in_flight; /* batches that were sent and not yet answered, oldest first */
    struct plan_later
        plan_later; /* jobs waiting for their time; a job's id_seq is its repeat's number */
    uint64_t began_ns, now_ns;
    struct sample sample;
    bool stuck; /* nothing more will ever be sent */
    struct plan_result result;
    struct budget budgets[LEDGER_N];
};

/* -- creating and freeing -------------------------------------------------------------------- */

static void note_ledger(struct plan *p, enum ledger_kind l)
{
    p->result.ledgers[l].spent = p->budgets[l].spent;
    p->result.ledgers[l].left = budget_left(&p->budgets[l], p->now_ns);
}

static void init_ledger(struct plan *p, enum ledger_kind l)
{
    struct budget_limits limits = budget_limits_of(p->account, l);
    const bool counted[] = {[LEDGER_PURGE] = true,
                            [LEDGER_URL] = p->account->budget.separate,
                            [LEDGER_WRITE] = p->account->allow_purge_all};

    budget_init(&p->budgets[l], &limits, p->now_ns);
    p->result.ledgers[l] = (struct plan_ledger){.counted = counted[l],
                                                .units = limits.units,
                                                .per_s = limits.window_ns / NS_PER_S,
                                                .headroom = limits.headroom};
    note_ledger(p, l);
}

struct plan *plan_new(const struct plan_options *o)
{
    struct plan *p = alloc_zeroed(1, sizeof(*p));

    p->options = *o;
    p->account = o->account;
    /* Far enough from 0 that subtracting an age within any window gives a valid time. */
    p->began_ns = p->now_ns = p->sample.next_ns = YEAR_MS * NS_PER_MS;
    job_decoder_init(&p->decoder);
    plan_later_init(&p->plan_later, SHELF_MAX_BYTES);
    list_init(&p->in_flight);
    pace_init(&p->pace, o->account, o->window);
    for (int l = 0; l < LEDGER_N; l++)
        init_ledger(p, (enum ledger_kind)l);
    return p;
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
    must(list_empty(&p->in_flight));
    for (int l = 0; l < LEDGER_N; l++)
        budget_deinit(&p->budgets[l]);
    plan_later_deinit(&p->plan_later);
    pace_deinit(&p->pace);
    job_decoder_deinit(&p->decoder);
    free(p);
}

void plan_level(struct plan *p, enum ledger_kind l, uint64_t level_micro, uint64_t age_ms)
{
    budget_restore_level(&p->budgets[l], level_micro, min_u64(age_ms, YEAR_MS) * NS_PER_MS,
                         p->now_ns);
}

void plan_learnt(struct plan *p, enum ledger_kind l, uint64_t burst, uint64_t age_ms)
{
    struct budget_learnt learnt = {.burst = burst,
                                   .at_ns = p->now_ns - min_u64(age_ms, YEAR_MS) * NS_PER_MS};

    budget_restore_learnt(&p->budgets[l], learnt);
}

void plan_spent(struct plan *p, enum ledger_kind l, uint64_t cost, uint64_t age_ms)
{
    budget_restore_spent(&p->budgets[l], cost, (int64_t)(min_u64(age_ms, YEAR_MS) * NS_PER_MS),
                         p->now_ns);
    note_ledger(p, l);
}

/* -- time ------------------------------------------------------------------------------------ */

static uint64_t elapsed_ms(const struct plan *p)
{
    return (p->now_ns - p->began_ns) / NS_PER_MS;
}

static uint64_t wall_ms(const struct plan *p)
{
    return p->options.wall_ms + elapsed_ms(p);
}

/* -- adding jobs ----------------------------------------------------------------------------- */

static void postpone(struct plan *p, enum lane lane, const struct span *fields, size_t count,
                     uint64_t wait_ms)
{
    if (wait_ms <= YEAR_MS &&
        plan_later_put(&p->plan_later, lane, fields, count, p->now_ns + wait_ms * NS_PER_MS))
        p->result.postponed++;
    else
        p->result.beyond++;
}

/* Puts the job's repeat on the plan_later. Returns the number of the repeat, or 0 if the job has
 * none or there is no room for it. */
static uint32_t shelve_repeat(struct plan *p, enum lane lane, const struct span *fields,
                              size_t count, uint64_t repeat_ms)
{
    uint32_t number =
        repeat_ms ? plan_later_put_repeat(&p->plan_later, lane, fields, count, repeat_ms) : 0;

    p->result.beyond += repeat_ms && number == 0;
    return number;
}

static void add_job(struct plan *p, enum lane lane, const struct job_spec *spec, uint32_t repeat)
{
    struct plan_lane *l = &p->result.lanes[lane];
    uint64_t merged = window_merged(&p->pace.window);
    struct window_add how = {.lane = lane, .id_seq = repeat, .plain = true, .now_ns = p->now_ns};

    window_add(&p->pace.window, spec, &how);
    l->targets += spec->targets_count;
    l->merged += window_merged(&p->pace.window) - merged;
}

enum admission { ADMIT_NEW, ADMIT_REPEAT };

/* Treats an entry as the daemon does after reading it: it is refused, expires, is postponed or
 * joins the window. */
/* What the leader has learnt is not known here. */
static uint64_t repeat_ms(const struct job_spec *spec)
{
    bool all = spec->targets_count == 1 && spec->targets[0].kind == TARGET_ALL;

    if (!spec->repeat_auto)
        return spec->repeat_after_ms;
    return all ? REPEAT_ALL_MS : REPEAT_DEFAULT_MS;
}

static int admit(struct plan *p, enum lane lane, const struct span *fields, size_t count,
                 enum admission how, struct error *err)
{
    struct job_spec spec;
    const char *why_not;

    if (job_decode(&p->decoder, p->account, fields, count, &spec, err) < 0)
        return -EINVAL;
    why_not = direct_why_not(p->account, &spec);
    if (why_not)
        return error_set(err, -EINVAL, "%s", why_not);
    if (spec.expires_ms && spec.expires_ms <= wall_ms(p)) {
        p->result.expired++;
    } else if (spec.not_before_ms > wall_ms(p)) {
        postpone(p, lane, fields, count, spec.not_before_ms - wall_ms(p));
    } else {
        p->result.lanes[lane].jobs += how == ADMIT_NEW;
        add_job(p, lane, &spec, shelve_repeat(p, lane, fields, count, repeat_ms(&spec)));
    }
    return 0;
}

static void admit_due(struct plan *p)
{
    struct plan_later_job *job;
    struct error err;

    while ((job = plan_later_take(&p->plan_later, p->now_ns))) {
        int rc = admit(p, job->lane, job->fields, job->count,
                       job->repeat_ms ? ADMIT_REPEAT : ADMIT_NEW, &err);

        p->result.refused += rc < 0;
        plan_later_return(&p->plan_later, job);
    }
}

/* -- ends of targets and jobs ---------------------------------------------------------------- */

static void on_planned_end(void *ctx, const struct window_job *job)
{
    struct plan *p = ctx;
    struct plan_lane *l = &p->result.lanes[job->lane];

    if (job->outcome == OUTCOME_CANCELLED) /* only the sample is ever cancelled */
        return;
    l->done_ms = p->result.done_ms = elapsed_ms(p);
    if (job->outcome == OUTCOME_EXPIRED) {
        p->result.expired++;
    } else if (job->id_seq) {
        p->result.repeats++;
        plan_later_repeat(&p->plan_later, job->id_seq, p->now_ns);
    }
}

static void end_all(struct plan *p, struct list *targets, enum outcome outcome)
{
    struct list *node;

    while ((node = list_pop_front(targets)))
        window_settle(&p->pace.window, pending_of(node), outcome, on_planned_end, p);
}

static uint64_t end_answered(struct plan *p)
{
    while (!list_empty(&p->in_flight)) {
        struct batch *b = list_first(&p->in_flight, struct batch, link);
        uint64_t answered_ns = b->sent_ns + p->options.reply_ms * NS_PER_MS;

        if (answered_ns > p->now_ns)
            return answered_ns;
        list_remove(&b->link);
        pace_end(&p->pace, b);
        budget_book(&p->budgets[b->ledger], b->cost, p->now_ns);
        end_all(p, &b->targets, OUTCOME_PURGED);
        end_all(p, &b->absorbed, OUTCOME_PURGED);
        batch_free(b);
    }
    return NEVER;
}

/* -- the sample ------------------------------------------------------------------------------ */

/* The key contains a space, so no job can name the same key. */
static const char sample_key[] = "one more";

/* The service with the longest queue of urgent targets; the sample joins that queue. */
static uint16_t sample_service(const struct plan *p)
{
    uint16_t longest = p->account->services_count ? 0 : SERVICE_NONE;
    uint32_t most = 0;

    for (uint32_t s = 0; s < p->account->services_count; s++) {
        uint32_t waiting = lanes_waiting_of(&p->pace.lanes, LANE_URGENT, (uint16_t)s);

        if (waiting > most) {
            longest = (uint16_t)s;
            most = waiting;
        }
    }
    return longest;
}

static void push_sample(struct plan *p)
{
    uint16_t service = sample_service(p);
    struct job_target target = {service == SERVICE_NONE ? TARGET_URL : TARGET_KEY, service,
                                span_str(sample_key)};
    struct job_spec spec = {.targets = &target, .targets_count = 1, .service = service};
    struct window_add how = {.lane = LANE_URGENT, .plain = true, .now_ns = p->now_ns};

    window_add(&p->pace.window, &spec, &how);
    p->sample.waiting = true;
    p->sample.since_ns = p->now_ns;
}

/* The next measurement comes after a pause that grows with the plan, so there are only a few
 * hundred measurements however long the plan is. */
static void note_sample(struct plan *p)
{
    struct plan_result *r = &p->result;
    uint64_t waited_ms = (p->now_ns - p->sample.since_ns) / NS_PER_MS;

    if (!r->urgent_known)
        r->urgent_ms = waited_ms;
    if (!r->urgent_known || waited_ms > r->urgent_worst_ms) {
        r->urgent_worst_ms = waited_ms;
        r->urgent_worst_at_ms = (p->sample.since_ns - p->began_ns) / NS_PER_MS;
    }
    r->urgent_known = true;
    p->sample.waiting = false;
    p->sample.next_ns = p->now_ns + max_u64(NS_PER_S, (p->now_ns - p->began_ns) / 64);
}

/* The sample among targets that are being sent, or NULL. */
static struct pending *find_sample(const struct plan *p, struct list *targets)
{
    if (!p->sample.waiting)
        return NULL;
    list_each(it, targets)
        if (span_is(pending_bytes(pending_of(it)), sample_key))
            return pending_of(it);
    return NULL;
}

/* The sample would be sent now. It must be on no list. */
static void end_sample(struct plan *p, struct pending *sample)
{
    window_settle(&p->pace.window, sample, OUTCOME_CANCELLED, on_planned_end, p);
    note_sample(p);
}

/* -- sending --------------------------------------------------------------------------------- */

static void count_request(struct plan *p, const struct batch *b)
{
    struct plan_lane *l = &p->result.lanes[b->lane];
    struct plan_request r = {.at_ms = elapsed_ms(p), .batch = b, .service = ""};

    if (l->requests++ == 0)
        l->first_ms = r.at_ms;
    if (b->ledger != LEDGER_WRITE)
        l->cost += b->cost;
    p->result.ledgers[b->ledger].cost += b->cost;
    if (b->service != SERVICE_NONE)
        r.service = p->account->services[b->service].id;
    if (p->options.request)
        p->options.request(p->options.ctx, &r);
}

static void count_as_sent(struct plan *p, struct batch *b)
{
    struct pending *sample = find_sample(p, &b->absorbed);

    count_request(p, b);
    if (sample) {
        list_remove(&sample->link);
        end_sample(p, sample);
    }
    list_each(it, &b->absorbed)
        p->result.absorbed++;
    list_push_back(&p->in_flight, &b->link);
}

/* Removes the sample from the batch and gives its cost back to the budget. */
static void without_sample(struct plan *p, struct batch *b)
{
    struct pending *sample = find_sample(p, &b->targets);
    uint32_t cost = b->cost;

    if (!sample)
        return;
    pace_remove(&p->pace, b, sample);
    pace_take_back(&p->pace, b->ledger, cost - b->cost);
    budget_give_back(&p->budgets[b->ledger], cost - b->cost, p->now_ns);
    end_sample(p, sample);
}

/* Reserves units by the same rules as the ledger, and grants them at once. */
static void reserve_at_once(void *ctx, enum ledger_kind l, enum lane lane, uint64_t want,
                            uint64_t now_ns, uint64_t *when_ns)
{
    struct plan *p = ctx;
    uint64_t have = pace_granted(&p->pace, l), portion;

    if (have >= want)
        return;
    portion = ledger_portion(&p->budgets[l], lane, want - have, now_ns, when_ns);
    if (portion == 0)
        return;
    budget_reserve(&p->budgets[l], portion, now_ns);
    pace_grant(&p->pace, l, portion);
    p->reserved = true;
}

/* Sends everything that can be sent now. Returns when more can be sent. */
static uint64_t send_ready(struct plan *p)
{
    struct now now = {p->now_ns, wall_ms(p)};
    struct list expired;
    struct batch *b;
    uint64_t next;
    bool sent;

    do {
        next = NEVER;
        p->reserved = sent = false;
        pace_ask(&p->pace, reserve_at_once, p, p->now_ns, &next);
        while ((b = pace_pick(&p->pace, now, &expired, &next))) {
            sent = true;
            end_all(p, &expired, OUTCOME_EXPIRED);
            without_sample(p, b);
            if (pace_begin(&p->pace, b, p->now_ns))
                count_as_sent(p, b);
        }
    } while (p->reserved || sent);
    return next;
}

/* -- advancing time -------------------------------------------------------------------------- */

static bool idle(const struct plan *p)
{
    return p->pace.in_flight == 0 && window_held(&p->pace.window) == p->sample.waiting &&
           plan_later_next(&p->plan_later) == NEVER;
}

/* Does what is due and moves the clock to the next event. False if nothing will ever happen again.
 */
static bool step(struct plan *p)
{
    uint64_t next = end_answered(p), sends;
    bool in_flight;

    admit_due(p);
    sends = send_ready(p);
    if (!p->sample.waiting && p->now_ns >= p->sample.next_ns) {
        push_sample(p);
        sends = send_ready(p);
    }
    in_flight = !list_empty(&p->in_flight);
    if (in_flight) /* includes those sent just now */
        next = min_u64(next, list_first(&p->in_flight, struct batch, link)->sent_ns +
                                 p->options.reply_ms * NS_PER_MS);
    next = min_u64(min_u64(next, sends), plan_later_next(&p->plan_later));
    p->stuck = next >= p->began_ns + HORIZON_NS && !in_flight; /* every request is answered */
    if (p->stuck)
        return false;
    p->now_ns = max_u64(next, p->now_ns + STEP_LEAST_NS);
    return true;
}

uint32_t plan_room(const struct plan *p, enum lane lane)
{
    return window_room(&p->pace.window, lane);
}

void plan_make_room(struct plan *p, enum lane lane, uint32_t count)
{
    uint32_t enough = (uint32_t)min_u64(count, max_u64(p->options.window / 2, 1));

    while (window_room(&p->pace.window, lane) < enough) {
        p->result.windowed = true;
        if (!step(p))
            return;
    }
}

int plan_take(struct plan *p, enum lane lane, const struct span *fields, size_t count,
              struct error *err)
{
    int rc;

    plan_make_room(p, lane, 1);
    if (p->stuck && window_room(&p->pace.window, lane) == 0) {
        p->result.beyond++;
        return 0;
    }
    rc = admit(p, lane, fields, count, ADMIT_NEW, err);
    p->result.refused += rc < 0;
    return rc;
}

/* -- the end --------------------------------------------------------------------------------- */

/* Gives back units that were reserved and will not be spent. */
static void give_back_grants(struct plan *p)
{
    for (int l = 0; l < LEDGER_N; l++) {
        uint64_t units = pace_granted(&p->pace, (enum ledger_kind)l);

        pace_take_back(&p->pace, (enum ledger_kind)l, units);
        budget_give_back(&p->budgets[l], units, p->now_ns);
    }
}

void plan_finish(struct plan *p, struct plan_result *out)
{
    bool goes_on = true;

    while (!idle(p) && goes_on)
        goes_on = step(p);
    give_back_grants(p);
    for (int l = 0; l < LEDGER_N; l++)
        p->result.ledgers[l].left_then = budget_left(&p->budgets[l], p->now_ns);
    p->result.never = window_held(&p->pace.window) - p->sample.waiting;
    while (idle(p) && !p->result.urgent_known && goes_on)
        goes_on = step(p);
    give_back_grants(p);
    *out = p->result;
}

struct plan_lane plan_total(const struct plan_result *r)
{
    struct plan_lane total = {.done_ms = r->done_ms};

    for (int i = 0; i < LANE_N; i++) {
        total.jobs += r->lanes[i].jobs;
        total.targets += r->lanes[i].targets;
        total.merged += r->lanes[i].merged;
        total.requests += r->lanes[i].requests;
        total.cost += r->lanes[i].cost;
    }
    return total;
}
