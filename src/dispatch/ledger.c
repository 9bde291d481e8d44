/* SPDX-License-Identifier: MIT */
#include "ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "log.h"
#include "promise.h"

/* One request may reserve at least this many units. A crash between reserving and sending wastes
 * the reservation. */
#define ASK_MIN 256u

/* Bookings are written at most this often, however short the window is. */
#define FLUSH_MIN_NS (5 * NS_PER_MS)

/* A promise is written at most this often without a reservation or a booking. */
#define PROMISE_EVERY_NS NS_PER_S

/* A Redis that refuses (for example because its disk is full) is asked again after this time. */
#define TRY_AGAIN_NS NS_PER_S

/* The cost of a request that timed out and may still arrive. */
struct late {
    uint64_t due_ns, cost;
};

struct ledger {
    struct ledgers *all;
    enum ledger_kind kind;
    struct budget budget;
    uint64_t asked;    /* reserved by the request under way */
    uint64_t unbooked; /* booked in memory, not in Redis */
    uint64_t unbooked_since_ns;
    uint64_t spent_total;
    struct late *late; /* sorted by due_ns */
    uint32_t late_count, late_room;
    struct promise promise;   /* only if Redis may lose writes */
    uint64_t promise_next_ns; /* not before, without another reason to write */
    uint64_t not_before_ns;   /* of the next request or restore, after Redis refused one */
    bool busy;                /* a request to Redis is under way */
    bool outdated;            /* and the limits have changed since it was sent */
    bool unwritten;           /* what a 429 taught, or was given back, is not in Redis yet */
    bool restored;
    bool refused; /* the restore was refused and is repeated later */
    bool failed;  /* the last request */
};

struct ledgers {
    const char *account;
    struct queue *queue;
    ledger_changed_cb *changed;
    void *ctx;
    struct grant *grant;
    uint64_t round; /* answers from before the last restore are ignored */
    uint32_t timeout_ms;
    bool frail;                      /* Redis may lose its last writes */
    uint64_t account_ms, account_ns; /* its time, and our clock when it was read; 0: unknown */
    uint64_t account_round;          /* of the restore that reported it */
    struct ledger ledgers[LEDGER_N];
};

struct ledgers *ledger_new(const struct config_account *a, struct queue *q, struct grant *grant,
                           uint64_t now_ns, ledger_changed_cb *changed, void *ctx)
{
    struct ledgers *p = alloc_zeroed(1, sizeof(*p));

    p->account = a->name;
    p->queue = q;
    p->grant = grant;
    p->changed = changed;
    p->ctx = ctx;
    p->timeout_ms = a->timeout_ms;
    for (int l = 0; l < LEDGER_N; l++) {
        struct budget_limits limits = budget_limits_of(a, (enum ledger_kind)l);

        p->ledgers[l].all = p;
        p->ledgers[l].kind = (enum ledger_kind)l;
        budget_init(&p->ledgers[l].budget, &limits, now_ns);
        promise_init(&p->ledgers[l].promise, LEDGER_LOSS_MS * NS_PER_MS);
    }
    return p;
}

void ledger_free(struct ledgers *p)
{
    if (!p)
        return;
    for (int l = 0; l < LEDGER_N; l++) {
        budget_deinit(&p->ledgers[l].budget);
        free(p->ledgers[l].late);
        promise_deinit(&p->ledgers[l].promise);
    }
    free(p);
}

/* What is granted and not spent. */
static void give_back_unused(struct ledger *l, uint64_t now_ns)
{
    uint64_t *units = &l->all->grant->units[l->kind];

    if (!*units)
        return;
    budget_give_back(&l->budget, *units, now_ns);
    *units = 0;
    l->unwritten = true;
}

void ledger_configure(struct ledgers *p, const struct config_account *a, uint64_t now_ns)
{
    p->account = a->name;
    p->timeout_ms = a->timeout_ms;
    for (int i = 0; i < LEDGER_N; i++) {
        struct ledger *l = &p->ledgers[i];
        struct budget_limits limits = budget_limits_of(a, (enum ledger_kind)i);

        give_back_unused(l, now_ns); /* a lower budget holds at once */
        l->outdated = l->busy;
        budget_set_limits(&l->budget, &limits, now_ns);
    }
}

/* -- the account's time ----------------------------------------------------------------------- */

static uint64_t account_ms(const struct ledgers *p, uint64_t now_ns)
{
    return p->account_ms ? p->account_ms + (now_ns - p->account_ns) / NS_PER_MS : 0;
}

struct queue_clock ledger_clock(const struct ledgers *p, struct now now)
{
    return (struct queue_clock){ledger_ready(p) ? account_ms(p, now.mono_ns) : 0, now.wall_ms};
}

/* -- after a take-over ----------------------------------------------------------------------- */

static uint64_t window_ms(const struct ledger *l)
{
    return l->budget.limits.window_ns / NS_PER_MS;
}

/* How long a request may still be arriving that nobody answered or that a predecessor left on the
 * wire. There is no strict limit, because the kernel goes on delivering what a killed process
 * wrote; we wait for one more time-out and no longer. A predecessor that does not know that its
 * lease is gone (Redis' clock was set forward, which ends leases early) goes on sending for at most
 * the length of a lease. In short windows, which only tests have, the limit is a twentieth of the
 * window; otherwise, with a restart every few seconds, the budget would be held for nothing. */
static uint64_t late_ms(const struct ledger *l)
{
    return min_u64(LEASE_TTL_MS + l->all->timeout_ms, window_ms(l) * BUDGET_AHEAD / BUDGET_BINS);
}

/* Neither the connection nor the lease is lost. Without a pause we would repeat the request
 * endlessly. */
static bool is_refusal(int err)
{
    return err && err != -ENOTCONN && err != -EPERM;
}

struct restore_call {
    struct ledger *ledger;
    uint64_t round;
};
/* Redis may hold any number here; ages beyond every window are equivalent. */
#define AGE_MAX_MS (100LL * 366 * 24 * 3600 * 1000)

static int64_t age_ns(int64_t age_ms)
{
    int64_t most = AGE_MAX_MS;

    return (age_ms > most ? most : age_ms < -most ? -most : age_ms) * (int64_t)NS_PER_MS;
}

static struct budget_learnt learnt_of(const struct queue_learnt *q, uint64_t now_ns)
{
    uint64_t age_ms = min_u64(q->age_ms, AGE_MAX_MS);

    return (struct budget_learnt){q->burst, q->spent, now_ns - age_ms * NS_PER_MS};
}

static void on_restored(void *ctx, int err, const struct queue_budget *b)
{
    struct restore_call call = *(struct restore_call *)ctx;
    struct ledger *l = call.ledger;
    struct ledgers *p = l->all;
    struct budget_limits limits = l->budget.limits;
    struct budget_learnt learnt = l->budget.learnt;
    uint64_t now_ns = clock_mono_ns();

    free(ctx);
    if (call.round != p->round) /* of an earlier take-over; the current answer is on its way */
        return;
    if (err) {
        l->refused = is_refusal(err);
        l->not_before_ns = now_ns + TRY_AGAIN_NS;
        p->changed(p->ctx, err);
        return;
    }
    budget_init(&l->budget, &limits, now_ns);
    l->budget.learnt = learnt;
    budget_restore_learnt(&l->budget, learnt_of(&b->learnt, now_ns));
    if (b->known)
        budget_restore_level(&l->budget, b->level_micro,
                             min_u64(b->level_age_ms, AGE_MAX_MS) * NS_PER_MS, now_ns);
    for (size_t i = 0; i < b->spent_count; i++)
        budget_restore_spent(&l->budget, b->spent[i].cost, age_ns(b->spent[i].age_ms), now_ns);
    if (p->account_round != p->round) { /* answers differ by their transit time */
        p->account_round = p->round;
        p->account_ms = b->account_ms;
        p->account_ns = now_ns;
    }
    if (p->frail)
        promise_restore(&l->promise, b->ahead);
    l->promise_next_ns = now_ns;
    l->restored = true;
    if (ledger_ready(p))
        p->changed(p->ctx, 0);
}

/* What the budget gains in the time that a failover may lose. */
static uint64_t gained(const struct ledger *l)
{
    return l->budget.limits.units * LEDGER_LOSS_MS / window_ms(l) + 1;
}

/* The most that can have been reserved in that time, whatever was promised: a burst, and what was
 * gained meanwhile. */
static uint64_t most_ahead(const struct ledger *l)
{
    const struct budget_limits *limits = &l->budget.limits;

    return l->all->frail ? min_u64(limits->units, limits->burst + gained(l)) : 0;
}

static uint64_t ahead(struct ledger *l, uint64_t now_ns)
{
    uint64_t left = budget_left(&l->budget, now_ns);
    uint64_t available = budget_available(&l->budget, LANE_URGENT, now_ns);

    return min_u64(promise_size(left, available, gained(l)), most_ahead(l));
}

void ledger_set_frail(struct ledgers *p, bool frail)
{
    for (int i = 0; p->frail != frail && i < LEDGER_N; i++) {
        struct ledger *l = &p->ledgers[i];

        if (!frail)
            promise_forget(&l->promise);
        else if (l->restored)
            promise_restore(&l->promise, 0); /* what we wrote until now promises nothing */
        l->promise_next_ns = 0;
    }
    p->frail = frail;
}

static void restore(struct ledger *l)
{
    struct now now = clock_now();
    struct queue_restore r = {.ledger = l->kind,
                              .window_ms = window_ms(l),
                              .ahead = most_ahead(l),
                              .late_ms = late_ms(l),
                              .clock = {account_ms(l->all, now.mono_ns), now.wall_ms}};
    struct restore_call *call = alloc_bytes(sizeof(*call));

    *call = (struct restore_call){l, l->all->round};
    l->restored = l->refused = false;
    l->not_before_ns = 0;
    queue_budget_restore(l->all->queue, &r, on_restored, call);
}

void ledger_restore(struct ledgers *p)
{
    p->round++;
    for (int i = 0; i < LEDGER_N; i++) {
        struct ledger *l = &p->ledgers[i];

        l->asked = l->unbooked = 0;
        l->late_count = 0; /* Redis counts these among the open units */
        p->grant->units[i] = 0;
        p->grant->more[i] = false;
        restore(l);
    }
}

bool ledger_ready(const struct ledgers *p)
{
    for (int l = 0; l < LEDGER_N; l++)
        if (!p->ledgers[l].restored)
            return false;
    return true;
}

/* -- asking ---------------------------------------------------------------------------------- */

struct spend_call {
    struct ledger *ledger;
    uint64_t round;
    uint64_t booked;
    bool promised;
};

static void on_answer(void *ctx, int err)
{
    struct spend_call *call = ctx;
    struct ledger *l = call->ledger;
    struct ledgers *p = l->all;
    bool current = call->round == p->round;

    l->busy = false;
    l->failed = err != 0;
    log_debug("Redis answered a budget request",
              "account=%s ledger=%d reserved=%llu booked=%llu why=\"%s\"", p->account, l->kind,
              (unsigned long long)l->asked, (unsigned long long)call->booked,
              err ? strerror(-err) : "");
    if (current)
        p->grant->more[l->kind] = false;
    if (current && call->promised)
        promise_answered(&l->promise, err ? PROMISE_UNSURE : PROMISE_WRITTEN, clock_mono_ns());
    if (current && err == 0) {
        p->grant->units[l->kind] += l->asked;
        l->asked = 0;
        if (l->outdated)
            give_back_unused(l, clock_mono_ns());
    } else if (current) {
        budget_give_back(&l->budget, l->asked, clock_mono_ns());
        l->asked = 0;
        l->unbooked += call->booked;
        l->unwritten = l->budget.learnt.burst > 0;
        if (is_refusal(err))
            l->not_before_ns = clock_mono_ns() + TRY_AGAIN_NS;
        if (err == -EPERM)
            l->restored = false; /* our successor counts our open units as spent */
    }
    free(call);
    if (current)
        p->changed(p->ctx, err);
}

static struct queue_learnt learnt_for_redis(const struct ledger *l, uint64_t now_ns)
{
    const struct budget_learnt *learnt = &l->budget.learnt;
    uint64_t age_ns;

    if (!budget_learnt_age(&l->budget, now_ns, &age_ns))
        return (struct queue_learnt){0};
    return (struct queue_learnt){learnt->burst, learnt->spent, age_ns / NS_PER_MS};
}

static void ask_redis(struct ledger *l)
{
    struct spend_call *call = alloc_zeroed(1, sizeof(*call));
    struct now now = clock_now();
    struct queue_spend spend = {.ledger = l->kind,
                                .open = l->budget.open,
                                .book = l->unbooked,
                                .level_micro = l->budget.level_micro,
                                .ahead = ahead(l, now.mono_ns),
                                .window_ms = window_ms(l),
                                .clock = {account_ms(l->all, now.mono_ns), now.wall_ms},
                                .learnt = learnt_for_redis(l, now.mono_ns)};

    *call = (struct spend_call){l, l->all->round, l->unbooked, spend.ahead > 0};
    if (call->promised)
        promise_write(&l->promise, l->asked, spend.ahead);
    l->promise_next_ns = now.mono_ns + PROMISE_EVERY_NS;
    l->unbooked = 0;
    l->unwritten = l->outdated = false;
    l->busy = true;
    queue_spend(l->all->queue, &spend, on_answer, call);
}

/* Urgent purges are worth a request each. */
static uint64_t crumb(struct budget *b, enum lane lane, uint64_t missing, uint64_t now_ns)
{
    if (lane == LANE_URGENT)
        return 1;
    return min_u64(budget_crumb(b, lane, now_ns), max_u64(missing, 1));
}

uint64_t ledger_portion(struct budget *b, enum lane lane, uint64_t missing, uint64_t now_ns,
                        uint64_t *when_ns)
{
    uint64_t most = min_u64(missing, max_u64(b->limits.units / BUDGET_BINS, ASK_MIN));
    uint64_t available = budget_available(b, lane, now_ns), least = crumb(b, lane, most, now_ns);

    if (available >= least)
        return min_u64(most, available);
    *when_ns = min_u64(*when_ns, budget_when(b, lane, least, now_ns));
    return 0;
}

void ledger_ask(struct ledgers *p, enum ledger_kind ledger, enum lane lane, uint64_t want,
                uint64_t now_ns, uint64_t *when_ns)
{
    struct ledger *l = &p->ledgers[ledger];
    uint64_t have = p->grant->units[ledger] + l->asked, portion, allowed;

    if (!l->restored || have >= want)
        return;
    if (l->busy) { /* more is requested after the answer */
        p->grant->more[ledger] = true;
        return;
    }
    if (now_ns < l->not_before_ns) {
        *when_ns = min_u64(*when_ns, l->not_before_ns);
        return;
    }
    allowed = p->frail ? promise_allows(&l->promise, lane, now_ns, when_ns) : NEVER;
    if (allowed == 0)
        return;
    portion = ledger_portion(&l->budget, lane, want - have, now_ns, when_ns);
    if (portion == 0)
        return;
    l->asked = min_u64(portion, allowed);
    p->grant->more[ledger] = true;
    budget_reserve(&l->budget, l->asked, now_ns);
    ask_redis(l);
}

/* -- spending -------------------------------------------------------------------------------- */

void ledger_book(struct ledgers *p, enum ledger_kind ledger, uint64_t cost, uint64_t now_ns)
{
    struct ledger *l = &p->ledgers[ledger];

    budget_book(&l->budget, cost, now_ns);
    l->spent_total += cost;
    if (l->unbooked == 0)
        l->unbooked_since_ns = now_ns;
    l->unbooked += cost;
}

void ledger_book_late(struct ledgers *p, enum ledger_kind ledger, uint64_t cost, uint64_t now_ns)
{
    struct ledger *l = &p->ledgers[ledger];

    if (l->late_count == l->late_room) {
        l->late_room = l->late_room ? l->late_room * 2 : 16;
        l->late = alloc_grow(l->late, l->late_room, sizeof(*l->late));
    }
    l->late[l->late_count++] = (struct late){now_ns + late_ms(l) * NS_PER_MS, cost};
}

/* Books late requests that must have arrived. Returns when the next one must have arrived. */
static uint64_t book_the_late(struct ledger *l, uint64_t now_ns)
{
    uint32_t n = 0;

    while (n < l->late_count && l->late[n].due_ns <= now_ns)
        ledger_book(l->all, l->kind, l->late[n++].cost, now_ns);
    l->late_count -= n;
    if (n)
        memmove(l->late, l->late + n, l->late_count * sizeof(*l->late));
    return l->late_count ? l->late[0].due_ns : NEVER;
}

void ledger_drain(struct ledgers *p, enum ledger_kind l, uint64_t now_ns)
{
    budget_drain(&p->ledgers[l].budget, now_ns);
}

bool ledger_learn(struct ledgers *p, enum ledger_kind l, uint64_t now_ns)
{
    struct ledger *ledger = &p->ledgers[l];

    if (!budget_learn(&ledger->budget, now_ns))
        return false;
    if (ledger->unbooked == 0)
        ledger->unbooked_since_ns = now_ns;
    ledger->unwritten = true;
    return true;
}

/* While nothing is written, more units become free. After a take-over, the promise is still that of
 * the predecessor. */
static bool promise_is_due(struct ledger *l, uint64_t now_ns)
{
    if (!l->all->frail || now_ns < l->promise_next_ns || now_ns < l->not_before_ns)
        return false;
    l->promise_next_ns = now_ns + PROMISE_EVERY_NS;
    return promise_is_stale(&l->promise, ahead(l, now_ns));
}

uint64_t ledger_flush(struct ledgers *p, uint64_t now_ns)
{
    uint64_t next = NEVER;

    for (int i = 0; i < LEDGER_N; i++) {
        struct ledger *l = &p->ledgers[i];
        uint64_t bin_ns = max_u64(l->budget.limits.window_ns / BUDGET_BINS, FLUSH_MIN_NS), due;
        bool again = l->refused && now_ns >= l->not_before_ns;

        next = min_u64(next, book_the_late(l, now_ns));
        due = max_u64(add_time(l->unbooked_since_ns, bin_ns), l->not_before_ns);
        if (again)
            restore(l);
        else if (l->refused)
            next = min_u64(next, l->not_before_ns);
        if (l->busy || !l->restored)
            continue;
        if (promise_is_due(l, now_ns))
            ask_redis(l);
        else if (l->unbooked == 0 && !l->unwritten)
            continue;
        else if (due <= now_ns)
            ask_redis(l);
        else
            next = min_u64(next, due);
    }
    return next;
}

bool ledger_close(struct ledgers *p, uint64_t now_ns)
{
    bool closed = true;

    for (int i = 0; i < LEDGER_N; i++) {
        struct ledger *l = &p->ledgers[i];

        if (!l->restored || l->failed) /* what is open then counts as spent */
            continue;
        give_back_unused(l, now_ns); /* for the successor */
        if ((l->unbooked || l->unwritten) && !l->busy)
            ask_redis(l);
        closed = closed && !l->busy;
    }
    return closed;
}

uint64_t ledger_left(struct ledgers *p, enum ledger_kind l, uint64_t now_ns)
{
    return budget_left(&p->ledgers[l].budget, now_ns);
}

bool ledger_learnt(const struct ledgers *p, enum ledger_kind l, uint64_t now_ns,
                   struct budget_learnt *learnt, uint64_t *age_ns)
{
    const struct budget *b = &p->ledgers[l].budget;

    *learnt = b->learnt;
    return budget_learnt_age(b, now_ns, age_ns);
}

uint64_t ledger_burst(const struct ledgers *p, enum ledger_kind l, uint64_t now_ns)
{
    return budget_burst(&p->ledgers[l].budget, now_ns);
}

uint64_t ledger_pace_micro(struct ledgers *p, enum ledger_kind l, uint64_t now_ns)
{
    return budget_pace_micro(&p->ledgers[l].budget, LANE_URGENT, now_ns);
}

uint64_t ledger_at_once(struct ledgers *p, enum ledger_kind l, enum lane lane, uint64_t now_ns)
{
    return budget_available(&p->ledgers[l].budget, lane, now_ns);
}

uint64_t ledger_spent_total(const struct ledgers *p, enum ledger_kind l)
{
    return p->ledgers[l].spent_total;
}
