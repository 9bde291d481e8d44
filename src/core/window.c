/* SPDX-License-Identifier: MIT */
#include "window_internal.h"

#include <stdlib.h>

#include "alloc.h"

#define TABLE_FIRST 128u

_Static_assert((uint64_t)CONFIG_WINDOW_MAX * 4 + JOB_TARGETS_MAX < OWN, "jobs in a chain");

/* The target in this slot, or NULL. */
static struct pending *in_slot(const struct window *w, uint32_t slot)
{
    return w->table[slot] ? slabs_at(&w->targets, w->table[slot]) : NULL;
}

void window_init(struct window *w, uint32_t limit, struct lanes *lanes)
{
    *w = (struct window){.limit = limit, .lanes = lanes, .table_room = TABLE_FIRST};
    w->table = alloc_zeroed(w->table_room, sizeof(*w->table));
    slabs_init(&w->targets);
    pool_init(&w->jobs, sizeof(struct window_job));
    pool_init(&w->waiters, sizeof(struct waiter));
}

void window_deinit(struct window *w)
{
    for (uint32_t i = 0; i < w->table_room; i++) {
        struct pending *t = in_slot(w, i);

        if (!t)
            continue;
        if (t->state == PENDING_WAITING)
            lanes_remove(w->lanes, t);
        else
            list_remove(&t->link);
        forget(w, t);
    }
    must(w->held == 0);
    free(w->table);
    slabs_deinit(&w->targets);
    pool_deinit(&w->jobs);
    pool_deinit(&w->waiters);
}

/* -- the table ------------------------------------------------------------------------------- */

static uint32_t table_slot(const struct window *w, uint32_t hash)
{
    return hash & (w->table_room - 1);
}

static struct pending *find_pending(const struct window *w, uint32_t hash, enum target_kind kind,
                                    uint16_t service, struct span bytes)
{
    struct pending *t;

    for (uint32_t i = table_slot(w, hash); (t = in_slot(w, i)); i = table_slot(w, i + 1)) {
        if (t->hash == hash && t->kind == (unsigned)kind &&
            (kind == TARGET_URL || t->service == service) &&
            target_same(kind, pending_bytes(t), bytes))
            return t;
    }
    return NULL;
}

struct pending *window_find(const struct window *w, uint32_t hash, const struct job_target *t)
{
    return find_pending(w, hash, t->kind, t->service, t->bytes);
}

static void put(struct window *w, uint32_t hash, uint32_t number)
{
    uint32_t i = table_slot(w, hash);

    while (w->table[i])
        i = table_slot(w, i + 1);
    w->table[i] = number;
}

static void resize(struct window *w, uint32_t room)
{
    uint32_t *old = w->table, old_room = w->table_room;

    w->table_room = room;
    w->table = alloc_zeroed(room, sizeof(*w->table));
    for (uint32_t i = 0; i < old_room; i++)
        if (old[i])
            put(w, ((struct pending *)slabs_at(&w->targets, old[i]))->hash, old[i]);
    free(old);
}

/* The table doubles when it is three quarters full, and shrinks to a quarter when less than a
 * sixteenth is used. It does not shrink in take_out, which window_cancel calls while it scans the
 * table. */
static void shrink(struct window *w)
{
    if (w->table_count < w->table_room / 16 && w->table_room > 4 * TABLE_FIRST)
        resize(w, w->table_room / 4);
}

static void insert_pending(struct window *w, struct pending *t)
{
    if (w->table_count >= w->table_room / 4 * 3)
        resize(w, w->table_room * 2);
    put(w, t->hash, slabs_number(t));
    w->table_count++;
}

/* Linear probing without tombstones: later entries move into the hole if their own slot is not
 * after it. */
static void take_out(struct window *w, const struct pending *t)
{
    uint32_t hole = table_slot(w, t->hash), number = slabs_number(t);
    const struct pending *next;

    while (w->table[hole] != number) {
        must(w->table[hole] != 0);
        hole = table_slot(w, hole + 1);
    }
    for (uint32_t i = table_slot(w, hole + 1); (next = in_slot(w, i)); i = table_slot(w, i + 1)) {
        uint32_t home = table_slot(w, next->hash);

        if (table_slot(w, i - home) >= table_slot(w, i - hole)) {
            w->table[hole] = w->table[i];
            hole = i;
        }
    }
    w->table[hole] = 0;
    w->table_count--;
}

/* -- jobs and waiters ------------------------------------------------------------------------ */

static void attach(struct window *w, struct pending *t, uint32_t job)
{
    uint32_t link = job | OWN;

    if (job_at(w, job)->targets > 1) {
        link = pool_take(&w->waiters);
        waiter_at(w, link)->job = job;
    }
    *next_of(w, link) = t->waiters;
    t->waiters = link;
}

/* The numbers of those who have pushed nothing lately can be used again when no job is left. */
static unsigned pusher_number(struct window *w, struct span by)
{
    if (by.n && pushers_full(&w->pushers) && window_jobs(w) == 0)
        pushers_clear(&w->pushers);
    return pushers_number(&w->pushers, by);
}

struct span window_pusher(const struct window *w, const struct window_job *job)
{
    return pushers_name(&w->pushers, job->by);
}

static uint32_t job_new(struct window *w, const struct job_spec *spec, const struct window_add *how)
{
    unsigned by = spec->by.n ? pusher_number(w, spec->by) : 0;
    uint32_t i = pool_take(&w->jobs);

    must(i < OWN - 1); /* all bits set marks the end of a chain */
    w->jobs_of[how->lane]++;
    w->verify_jobs += spec->verify;
    *job_at(w, i) = (struct window_job){.id_ms = how->id_ms,
                                        .id_seq = how->id_seq,
                                        .lane = how->lane,
                                        .plain = how->plain && (by || !spec->by.n),
                                        .large = how->large,
                                        .verify = spec->verify,
                                        .page = spec->page != NULL,
                                        .services = spec->services_count > 1,
                                        .repeat_auto = spec->repeat_auto,
                                        .outcome = OUTCOME_PURGED,
                                        .open = spec->targets_count & 0x3fff,
                                        .targets = spec->targets_count & 0x3fff,
                                        .by = by & PUSHERS_MAX};
    return i;
}

/* -- pending targets ------------------------------------------------------------------------- */

static struct pending *pending_new(struct window *w, const struct job_spec *spec,
                                   const struct job_target *target, uint32_t hash,
                                   const struct window_add *how)
{
    bool expires = spec->expires_ms != 0;
    struct pending *t = slabs_take(&w->targets, pending_size(target->bytes.n, expires));

    *t = (struct pending){.hash = hash,
                          .waiters = POOL_NONE,
                          .since_ms = how->now_ns / NS_PER_MS,
                          .pushed_ms = min_u64(how->id_ms, PENDING_PUSHED_MAX_MS),
                          .started = how->again,
                          .bytes_count = (uint16_t)target->bytes.n,
                          .service = target->service,
                          .kind = (unsigned)target->kind,
                          .lane = (unsigned)how->lane,
                          .state = PENDING_WAITING,
                          .soft = spec->soft,
                          .expires = expires};
    list_init(&t->link);
    if (target->bytes.n)
        memcpy(t->bytes, target->bytes.p, target->bytes.n);
    if (expires)
        pending_set_expiry(t, spec->expires_ms);
    return t;
}

/* Whoever waits without an expiry keeps the target for all. */
static void prolong(struct pending *t, uint64_t expires_ms)
{
    uint64_t now = pending_expires_ms(t);

    if (now)
        pending_set_expiry(t, expires_ms ? max_u64(now, expires_ms) : 0);
}

/* The time until a target is sent is measured once per target, for the oldest job in the lane that
 * the target is sent in. How long a job waited in a lower lane says nothing about how fast urgent
 * jobs are served. */
static void note_push(struct pending *t, enum lane lane, uint64_t pushed_ms, bool started)
{
    bool sooner = (unsigned)lane < t->lane, news = t->started && !started;

    if ((unsigned)lane > t->lane || (started && !sooner))
        return;
    if (sooner || news || pushed_ms < t->pushed_ms)
        t->pushed_ms = min_u64(pushed_ms, PENDING_PUSHED_MAX_MS);
    t->started = started;
}

/* Raises a waiting target to what a new job demands: hard, a more urgent lane, a later expiry. A
 * delayed target stays delayed unless the new job is more urgent, because pushing a target again
 * must not cancel its backoff. */
static void strengthen(struct window *w, struct pending *t, bool soft, enum lane lane,
                       uint64_t expires_ms)
{
    bool harder = t->soft && !soft, sooner = (unsigned)lane < t->lane;

    prolong(t, expires_ms);
    if (!harder && !sooner)
        return;
    if (t->state == PENDING_WAITING)
        lanes_remove(w->lanes, t);
    t->soft = t->soft && soft;
    if (sooner)
        t->lane = (unsigned)lane;
    if (t->state == PENDING_WAITING) {
        lanes_add(w->lanes, t);
    } else if (sooner) {
        list_remove(&t->link);
        lanes_add(w->lanes, t);
    }
}

void window_add(struct window *w, const struct job_spec *spec, const struct window_add *how)
{
    window_attach(w, job_new(w, spec, how), spec, how);
}

void window_attach(struct window *w, uint32_t job, const struct job_spec *spec,
                   const struct window_add *how)
{
    for (uint32_t i = 0; i < spec->targets_count; i++) {
        const struct job_target *target = &spec->targets[i];
        uint32_t hash = target_hash(target->kind, target->service, target->bytes);
        struct pending *t = find_pending(w, hash, target->kind, target->service, target->bytes);

        if (t) {
            w->merged++;
            note_push(t, how->lane, how->id_ms, how->again);
            strengthen(w, t, spec->soft, how->lane, spec->expires_ms);
        } else {
            t = pending_new(w, spec, target, hash, how);
            w->held++;
            insert_pending(w, t);
            lanes_add(w->lanes, t);
        }
        attach(w, t, job);
    }
}

/* Lower lanes stop being read while there is still room for higher ones. Merged jobs use memory
 * too, so the number of jobs is limited to four times that of targets. */
uint32_t window_room(const struct window *w, enum lane lane)
{
    uint64_t limit = (uint64_t)w->limit * (20 - (unsigned)lane) / 20;
    uint64_t jobs = limit * 4;

    if (w->held >= limit || w->jobs.used >= jobs ||
        pool_end(&w->waiters) >= OWN - POOL_CHUNK - JOB_TARGETS_MAX ||
        w->targets.count >= SLABS_MAX - 1 - JOB_TARGETS_MAX)
        return 0;
    return (uint32_t)min_u64(limit - w->held, jobs - w->jobs.used);
}

/* Bytes per job in the list of all jobs that the audit makes from time to time
 * (dispatch/intake). */
#define LISTED_BYTES 16

uint32_t window_limit(const struct window *w)
{
    return w->limit;
}

uint32_t window_held(const struct window *w)
{
    return w->held;
}

uint64_t window_merged(const struct window *w)
{
    return w->merged;
}

uint32_t window_jobs(const struct window *w)
{
    return w->jobs.used;
}

uint32_t window_jobs_of(const struct window *w, enum lane lane)
{
    return w->jobs_of[lane];
}

uint64_t window_bytes(const struct window *w)
{
    return slabs_bytes(&w->targets) + w->table_room * sizeof(*w->table) + pool_bytes(&w->jobs) +
           pool_bytes(&w->waiters) + (uint64_t)w->jobs.used * LISTED_BYTES;
}

uint64_t window_cost_bytes(const struct window *w, const struct job_spec *spec)
{
    uint32_t count = spec->targets_count;
    uint64_t cost = LISTED_BYTES + pool_growth_bytes(&w->jobs, 1), room = w->table_room;
    struct slabs_growth g = {0};

    for (uint32_t i = 0; i < count; i++)
        slabs_growth_add(&w->targets, &g,
                         pending_size(spec->targets[i].bytes.n, spec->expires_ms != 0));
    cost += g.bytes;
    if (count > 1)
        cost += pool_growth_bytes(&w->waiters, count);
    for (; w->table_count + (uint64_t)count >= room / 4 * 3; room *= 2)
        cost += room * sizeof(*w->table);
    return cost;
}

void window_sent(struct window *w, struct pending *t)
{
    must(t->state == PENDING_SENDING);
    take_out(w, t);
}

/* Makes all jobs that wait for `from` wait for `to` instead. */
static void merge_into(struct window *w, struct pending *to, struct pending *from)
{
    uint32_t *tail = &from->waiters;

    while (*tail != POOL_NONE)
        tail = next_of(w, *tail);
    *tail = to->waiters;
    to->waiters = from->waiters;
    to->since_ms = min_u64(to->since_ms, from->since_ms);
    if (to->attempts < from->attempts)
        to->attempts = from->attempts;
    note_push(to, (enum lane)from->lane, from->pushed_ms, from->started);
    strengthen(w, to, from->soft, (enum lane)from->lane, pending_expires_ms(from));
    forget(w, from);
}

static struct pending *twin(const struct window *w, const struct pending *t)
{
    return find_pending(w, t->hash, (enum target_kind)t->kind, t->service, pending_bytes(t));
}

bool window_has_twin(const struct window *w, const struct pending *t)
{
    return twin(w, t) != NULL;
}

void window_return(struct window *w, struct pending *t)
{
    struct pending *other = twin(w, t);

    must(t->state == PENDING_SENDING && list_empty(&t->link));
    if (other) {
        merge_into(w, other, t);
        return;
    }
    insert_pending(w, t);
    lanes_put_back(w->lanes, t);
}

struct pending *window_delay(struct window *w, struct pending *t)
{
    struct pending *other = twin(w, t);

    must(t->state == PENDING_SENDING && list_empty(&t->link));
    if (other) {
        merge_into(w, other, t);
        return NULL;
    }
    t->state = PENDING_DELAYED;
    insert_pending(w, t);
    return t;
}

void window_due(struct window *w, struct pending *t)
{
    must(t->state == PENDING_DELAYED);
    list_remove(&t->link);
    lanes_add(w->lanes, t);
}

void window_settle(struct window *w, struct pending *t, enum outcome outcome, window_end_cb *cb,
                   void *ctx)
{
    if (t->state == PENDING_WAITING) {
        lanes_remove(w->lanes, t);
        take_out(w, t);
    }
    must(list_empty(&t->link));
    while (t->waiters != POOL_NONE) {
        uint32_t i = detach(w, &t->waiters);
        struct window_job *job = job_at(w, i);

        must(job->open > 0);
        if (job->outcome < (uint64_t)outcome)
            job->outcome = outcome;
        job->next = i;
        if (--job->open == 0 || outcome == OUTCOME_DEAD)
            cb(ctx, job);
        if (job->open == 0) /* stays 0 in a freed record: window_each_job relies on it */
            job_free(w, i);
    }
    forget(w, t);
    shrink(w);
}

void window_note_whole(struct window *w, const struct window_job *job)
{
    must(job_at(w, job->next) == job);
    job_at(w, job->next)->whole = 1;
}

/* -- cancelling jobs -- */

static uint64_t mark_of(uint64_t id_ms, uint64_t id_seq)
{
    return UINT64_C(1) << ((id_ms * 7 + id_seq) % 64);
}

static bool among(const struct window_job *job, const struct window_name *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (names[i].id_ms == job->id_ms && names[i].id_seq == job->id_seq &&
            names[i].lane == (enum lane)job->lane)
            return true;
    return false;
}

/* Marks the named jobs that are in the window, and returns their number. */
static uint32_t mark_cancelled(struct window *w, const struct window_name *names, size_t count)
{
    uint64_t marks = 0;
    uint32_t found = 0;

    for (size_t i = 0; i < count; i++)
        marks |= mark_of(names[i].id_ms, names[i].id_seq);
    for (uint32_t i = 0; i < pool_end(&w->jobs); i++) {
        struct window_job *job = pool_has_memory(&w->jobs, i) ? pool_at(&w->jobs, i) : NULL;

        if (!job)
            continue;
        job->cancelled =
            job->open > 0 && (marks & mark_of(job->id_ms, job->id_seq)) && among(job, names, count);
        found += job->cancelled;
    }
    return found;
}

static void release(struct window *w, uint32_t number, window_end_cb *cb, void *ctx)
{
    struct window_job *job = job_at(w, number);

    job->outcome = job->outcome < OUTCOME_CANCELLED ? OUTCOME_CANCELLED : job->outcome;
    if (--job->open > 0)
        return;
    cb(ctx, job);
    job_free(w, number);
}

/* Detaches cancelled jobs from t. Returns whether the last one was among them. No job waits for a
 * page that is purged again because a look at it was taken unasked. */
static bool release_cancelled(struct window *w, struct pending *t, window_end_cb *cb, void *ctx)
{
    uint32_t *at = &t->waiters;
    bool any = false;

    while (*at != POOL_NONE) {
        if (job_at(w, job_of(w, *at))->cancelled) {
            release(w, detach(w, at), cb, ctx);
            any = true;
        } else {
            at = next_of(w, *at);
        }
    }
    return any && t->waiters == POOL_NONE;
}

void window_cancel(struct window *w, const struct window_name *jobs, size_t count,
                   window_end_cb *cb, void *ctx)
{
    uint32_t i = 0;

    if (count == 0 || mark_cancelled(w, jobs, count) == 0)
        return;
    while (i < w->table_room) {
        struct pending *t = in_slot(w, i);

        if (!t || t->state != PENDING_WAITING || !release_cancelled(w, t, cb, ctx)) {
            i++;
            continue;
        }
        lanes_remove(w->lanes, t);
        take_out(w, t); /* another target may have moved into this slot, so i stays */
        forget(w, t);
    }
    shrink(w);
}

void window_each_job(const struct window *w, window_end_cb *cb, void *ctx)
{
    for (uint32_t i = 0; i < pool_end(&w->jobs); i++) {
        const struct window_job *job = pool_has_memory(&w->jobs, i) ? pool_at(&w->jobs, i) : NULL;

        if (job && job->open > 0)
            cb(ctx, job);
    }
}
