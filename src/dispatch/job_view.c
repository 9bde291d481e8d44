/* SPDX-License-Identifier: MIT */
#include "job_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "dispatch_internal.h"
#include "window_look.h"

const char *const job_view_state_names[] = {
    [JOB_VIEW_WAITING] = "waiting", [JOB_VIEW_RETRY] = "retry", [JOB_VIEW_SENT] = "sent",
    [JOB_VIEW_CHECKED] = "checked", [JOB_VIEW_DONE] = "done",   [JOB_VIEW_UNKNOWN] = "unknown"};

const char *const job_view_why_names[] = {
    [JOB_VIEW_TURN] = "turn",       [JOB_VIEW_PAUSED] = "paused",
    [JOB_VIEW_HELD] = "held",       [JOB_VIEW_LEASE] = "lease",
    [JOB_VIEW_SERVICE] = "service", [JOB_VIEW_PURGE_ALL] = "purge_all",
    [JOB_VIEW_LINGERS] = "lingers", [JOB_VIEW_ANSWERS] = "answers",
    [JOB_VIEW_BUDGET] = "budget"};

/* A target of the job. */
struct seen {
    const struct pending *t; /* that the job waits for, or may wait for */
    struct window_wait wait;
    uint64_t at_ns; /* SENT: when; RETRY, CHECKED: of the next try or look; NEVER: not known */
    int status;
    uint16_t reason; /* RETRY */
    enum job_view_state state;
};

struct numbered {
    uint32_t hash, number;
};

struct job_look {
    struct dispatch *d;
    const struct job_view_ask *ask;
    struct now now;
    uint32_t steps; /* left */
    uint32_t open;  /* targets of the job that are not settled; if it was found */
    bool found;
    bool unsure;             /* not all could be looked at */
    struct seen *seen;       /* in the order of the job */
    struct numbered *hashes; /* sorted */
};

static uint64_t wall_of(const struct job_look *k, uint64_t ns)
{
    if (ns == NEVER)
        return 0;
    return ns >= k->now.mono_ns ? k->now.wall_ms + (ns - k->now.mono_ns) / NS_PER_MS
                                : minus_u64(k->now.wall_ms, (k->now.mono_ns - ns) / NS_PER_MS);
}

/* Whether the job waits for t, which is the same target as s. */
static bool job_waits(struct job_look *k, struct seen *s, const struct pending *t)
{
    struct window_wait wait = window_look_wait(&k->d->pace.window, t, &k->ask->job, &k->steps);

    k->unsure |= wait.unsure;
    if (!wait.waits)
        return false;
    k->found = true;
    k->open = wait.open;
    s->t = t;
    s->wait = wait;
    return true;
}

/* -- targets that wait, or whose pages are looked at -- */

static void look_in_window(struct job_look *k, uint32_t number)
{
    const struct job_target *target = &k->ask->targets[number];
    uint32_t hash = target_hash(target->kind, target->service, target->bytes);
    struct seen *s = &k->seen[number];
    const struct pending *t = window_look_up(&k->d->pace.window, hash, target);

    k->hashes[number] = (struct numbered){hash, number};
    *s = (struct seen){.at_ns = NEVER, .state = JOB_VIEW_UNKNOWN};
    if (t && job_waits(k, s, t)) {
        s->state = t->state == PENDING_DELAYED ? JOB_VIEW_RETRY : JOB_VIEW_WAITING;
        return;
    }
    if (target->kind != TARGET_URL || !verification_pending(k->d->verification))
        return;
    t = verification_target(k->d->verification, hash, target->bytes, &s->at_ns);
    if (t && job_waits(k, s, t))
        s->state = JOB_VIEW_CHECKED;
}

/* -- targets in batches -- */

static int compare_hashes(const void *a, const void *b)
{
    uint32_t left = ((const struct numbered *)a)->hash, right = ((const struct numbered *)b)->hash;

    return left < right ? -1 : left > right;
}

/* The first place in k->hashes with this hash or a greater one. */
static uint32_t place_of(const struct job_look *k, uint32_t hash)
{
    uint32_t from = 0, to = k->ask->targets_count;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;

        if (k->hashes[middle].hash < hash)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* The job's target that is the same as t, or NULL. */
static struct seen *same_as(const struct job_look *k, const struct pending *t)
{
    uint32_t count = k->ask->targets_count;

    for (uint32_t i = place_of(k, t->hash); i < count && k->hashes[i].hash == t->hash; i++) {
        const struct job_target *target = &k->ask->targets[k->hashes[i].number];

        if (target->kind == (enum target_kind)t->kind &&
            (target->kind == TARGET_URL || target->service == t->service) &&
            target_same(target->kind, target->bytes, pending_bytes(t)))
            return &k->seen[k->hashes[i].number];
    }
    return NULL;
}

static bool takes_step(struct job_look *k)
{
    if (k->steps == 0) {
        k->unsure = true;
        return false;
    }
    k->steps--;
    return true;
}

static void see_sent_targets(struct job_look *k, const struct list *targets, uint64_t sent_ns)
{
    list_each(it, targets) {
        const struct pending *t = pending_of(it);
        struct seen *s;

        if (!takes_step(k))
            return;
        s = same_as(k, t);
        if (!s || s->state != JOB_VIEW_UNKNOWN || !job_waits(k, s, t))
            continue;
        s->state = JOB_VIEW_SENT;
        s->at_ns = sent_ns;
    }
}

static void see_sent(void *ctx, const struct batch *b)
{
    see_sent_targets(ctx, &b->targets, b->sent_ns);
    see_sent_targets(ctx, &b->absorbed, b->sent_ns);
}

/* A half of a refused batch is sent again as it is. */
static void see_suspects(struct job_look *k)
{
    for (int lane = 0; lane < LANE_N; lane++)
        list_each(it, &k->d->pace.lanes.suspects[lane])
            see_sent_targets(k, &list_entry(it, struct batch, link)->targets, NEVER);
}

static void see_parked(struct job_look *k)
{
    for (uint32_t i = 0; i < k->d->parked.count; i++) {
        const struct batch *b = container_of(k->d->parked.at[i], struct batch, due);

        list_each(it, &b->targets) {
            struct seen *s;

            if (!takes_step(k))
                return;
            s = same_as(k, pending_of(it));
            if (!s || s->t != pending_of(it))
                continue;
            s->at_ns = b->due.key;
            s->status = b->status;
            s->reason = b->reason;
        }
    }
}

static void look_in_batches(struct job_look *k)
{
    uint32_t count = k->ask->targets_count, retry = 0, open = 0;

    for (uint32_t i = 0; i < count; i++) {
        retry += k->seen[i].state == JOB_VIEW_RETRY;
        open += k->seen[i].state != JOB_VIEW_UNKNOWN;
    }
    qsort(k->hashes, count, sizeof(*k->hashes), compare_hashes);
    if (!k->found || open < k->open) {
        send_each_batch(k->d, see_sent, k);
        see_suspects(k);
    }
    if (retry)
        see_parked(k);
}

/* -- why a target waits -- */

static bool is_held(const struct job_look *k)
{
    const struct brake *b = &k->d->pace.brake;

    return b->state == BRAKE_HELD && b->until_ns > k->now.mono_ns;
}

/* The account's obstacles. False if there are none. */
static bool account_waits(const struct job_look *k, struct job_view_target *out)
{
    const struct dispatch *d = k->d;

    if (d->paused) {
        out->why = JOB_VIEW_PAUSED;
    } else if (is_held(k)) {
        out->why = JOB_VIEW_HELD;
        out->until_ms = wall_of(k, d->pace.brake.until_ns);
    } else if (!lease_may_send(d, k->now.mono_ns)) {
        out->why = JOB_VIEW_LEASE;
    } else {
        return false;
    }
    return true;
}

/* Units that are needed until t is sent: for what goes before it, and for itself. */
static uint64_t units_needed(const struct job_look *k, const struct pending *t,
                             const struct job_view_target *out)
{
    const struct lanes *l = &k->d->pace.lanes;
    enum ledger_kind ledger = lanes_ledger(l, pending_form(t));
    uint64_t need = out->before_more ? lanes_want(l, (enum lane)t->lane, ledger, k->now.mono_ns)
                                     : lanes_cost(l, pending_form(t), out->before + 1);

    for (int lane = 0; lane < (int)t->lane; lane++)
        need += lanes_want(l, (enum lane)lane, ledger, k->now.mono_ns);
    return need;
}

static bool budget_waits(const struct job_look *k, const struct pending *t,
                         struct job_view_target *out)
{
    struct dispatch *d = k->d;
    enum ledger_kind ledger = lanes_ledger(&d->pace.lanes, pending_form(t));
    uint64_t need = units_needed(k, t, out), pace_micro;
    uint64_t have = pace_granted(&d->pace, ledger) +
                    ledger_at_once(d->ledgers, ledger, (enum lane)t->lane, k->now.mono_ns);

    if (need <= have)
        return false;
    out->why = JOB_VIEW_BUDGET;
    pace_micro = ledger_pace_micro(d->ledgers, ledger, k->now.mono_ns);
    if (pace_micro)
        out->until_ms =
            k->now.wall_ms + (uint64_t)((double)(need - have) * 1e9 / (double)pace_micro);
    return true;
}

static void explain(struct job_look *k, const struct pending *t, struct job_view_target *out)
{
    static const enum job_view_why why[] = {[LANES_SERVICE] = JOB_VIEW_SERVICE,
                                            [LANES_ALL] = JOB_VIEW_PURGE_ALL,
                                            [LANES_LINGERS] = JOB_VIEW_LINGERS};
    struct pace *p = &k->d->pace;
    enum lanes_obstacle obstacle;
    uint64_t until_ns;

    out->before = lanes_ahead(&p->lanes, t, JOB_VIEW_AHEAD, &out->before_more);
    if (account_waits(k, out))
        return;
    obstacle = lanes_obstacle_of(&p->lanes, t, k->now.mono_ns, &until_ns);
    if (obstacle != LANES_NONE) {
        out->why = why[obstacle];
        out->until_ms = wall_of(k, until_ns);
    } else if (p->in_flight >= brake_limit(&p->brake, p->max_in_flight, k->now.mono_ns)) {
        out->why = JOB_VIEW_ANSWERS;
    } else if (!budget_waits(k, t, out)) {
        out->why = JOB_VIEW_TURN;
    }
}

/* -- the answer -- */

static void show(struct job_look *k, uint32_t number, struct job_view *out)
{
    const struct seen *s = &k->seen[number];
    struct job_view_target *to;

    if (out->shown_count == JOB_VIEW_SHOWN)
        return;
    to = &out->shown[out->shown_count++];
    *to = (struct job_view_target){
        .number = number, .state = s->state, .at_ms = wall_of(k, s->at_ns), .status = s->status};
    snprintf(to->reason, sizeof(to->reason), "%s", reasons_text(&k->d->reasons, s->reason));
    if (!s->t)
        return;
    to->lane = (enum lane)s->t->lane;
    to->others = s->wait.others;
    to->others_more = s->wait.more;
    to->tries = s->t->attempts;
    if (s->state == JOB_VIEW_WAITING)
        explain(k, s->t, to);
}

/* If the job is in the window, and everything was looked at, what is nowhere is done. */
static void add_up(struct job_look *k, struct job_view *out)
{
    for (uint32_t i = 0; i < k->ask->targets_count; i++) {
        struct seen *s = &k->seen[i];

        if (s->state == JOB_VIEW_UNKNOWN && k->found && !k->unsure)
            s->state = JOB_VIEW_DONE;
        out->counts[s->state]++;
        out->shared += s->wait.waits && s->wait.others > 0;
        if (s->state != JOB_VIEW_DONE && k->found)
            show(k, i, out);
    }
    out->found = k->found;
}

static void look_for_targets(struct job_look *k, struct job_view *out)
{
    uint32_t count = k->ask->targets_count;

    k->seen = alloc_zeroed(count, sizeof(*k->seen));
    k->hashes = alloc_zeroed(count, sizeof(*k->hashes));
    for (uint32_t i = 0; i < count; i++)
        look_in_window(k, i);
    look_in_batches(k);
    add_up(k, out);
    free(k->seen);
    free(k->hashes);
}

static void view_job(struct dispatch *d, const struct job_view_ask *ask, struct now now,
                     struct job_view *out)
{
    struct job_look k = {.d = d, .ask = ask, .now = now, .steps = JOB_VIEW_STEPS};
    const struct window_name *job = &ask->job;

    out->paused = d->paused;
    snprintf(out->paused_why, sizeof(out->paused_why), "%s", d->paused ? d->paused_why : "");
    if (is_held(&k)) {
        out->held_why = brake_cause_names[d->pace.brake.cause];
        out->held_until_ms = wall_of(&k, d->pace.brake.until_ns);
        snprintf(out->held_reason, sizeof(out->held_reason), "%s", d->held_reason);
    }
    out->targets = ask->targets_count;
    if (ask->targets_count)
        look_for_targets(&k, out);
    if (out->found || !ask->targets_count)
        return;
    out->held =
        origin_view(d->origin, job->lane, (struct entry_id){job->id_ms, job->id_seq}, &out->origin);
    if (out->held)
        out->origin_next_ms = wall_of(&k, out->origin.next_ns);
    else
        out->unread = !k.unsure && intake_lane_held_back(d->intake, job->lane);
}

static struct dispatch *find(struct dispatch *const *all, uint32_t count, const char *account)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(dispatch_account(all[i]), account) == 0)
            return all[i];
    return NULL;
}

void job_view_ask(struct dispatch *const *all, uint32_t count, const struct job_view_ask *ask,
                  struct now now, struct job_view *out)
{
    struct dispatch *d = find(all, count, ask->account);

    *out = (struct job_view){.role = JOB_VIEW_ELSEWHERE};
    if (!d)
        return;
    if (d->state == DISPATCH_STANDBY) {
        snprintf(out->leader, sizeof(out->leader), "%s", d->holder);
        return;
    }
    out->role = JOB_VIEW_SOON;
    if (d->state != DISPATCH_LEADING || d->account != ask->settings)
        return;
    out->role = JOB_VIEW_HERE;
    view_job(d, ask, now, out);
}
