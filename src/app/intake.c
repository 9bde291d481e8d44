/* SPDX-License-Identifier: MIT */
#include "intake.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc.h"
#include "clock.h"
#include "job.h"
#include "log.h"

#define READ_MAX 1024u     /* entries of a lane in one read: four full batches of keys */
#define BLOCK_MS 2000u     /* how long a read of new entries may wait for the first */
#define BLOCK_SHORT_MS 50u /* the same while a lane is left out for want of room */
#define AUDIT_EVERY_NS (5 * NS_PER_S)
#define TRY_AGAIN_NS NS_PER_S /* after a refusal by Redis */

struct intake {
    bool started;
    const struct config_account *account;
    struct queue *queue;
    struct window *window;
    struct settle *settle;
    struct job_decoder decoder;
    intake_changed_cb *changed;
    void *ctx;
    struct intake_counts counts;
    struct loglimit *log_limit;
    uint64_t round; /* answers to reads of an earlier start are dropped */
    bool reading, auditing;
    bool recheck;           /* from the beginning, passing over what is known */
    bool asked_all;         /* the read under way is of all lanes */
    uint64_t asked_ns;      /* the read or audit under way, or the last one */
    uint64_t audit_ns;      /* next */
    uint64_t not_before_ns; /* of the next read: Redis refused the last one */
    uint64_t surplus;       /* entries the last audit found and memory did not know */
    bool lost[LANE_N];      /* intake_lane_is_lost */
    struct known *known;    /* sorted ids, while recheck */
    size_t known_count;
};

struct known {
    uint64_t ms, seq;
    uint32_t lane;
};

struct read_call {
    struct intake *in;
    uint64_t round;
};

struct intake *intake_new(const struct config_account *a, struct queue *q, struct window *w,
                          struct settle *s, intake_changed_cb *changed, void *ctx)
{
    struct intake *in = alloc_zeroed(1, sizeof(*in));

    in->account = a;
    in->queue = q;
    in->window = w;
    in->settle = s;
    in->changed = changed;
    in->ctx = ctx;
    job_decoder_init(&in->decoder);
    return in;
}

void intake_free(struct intake *in)
{
    if (!in)
        return;
    job_decoder_deinit(&in->decoder);
    free(in->known);
    free(in);
}

void intake_configure(struct intake *in, const struct config_account *a)
{
    in->account = a;
}

void intake_limit_log(struct intake *in, struct loglimit *l)
{
    in->log_limit = l;
}

static void end_recheck(struct intake *in)
{
    free(in->known);
    in->known = NULL;
    in->known_count = 0;
    in->recheck = false;
}

void intake_start(struct intake *in)
{
    end_recheck(in);
    in->round++;
    in->surplus = 0;
    in->audit_ns = clock_mono_ns() + AUDIT_EVERY_NS;
    in->started = true;
    queue_rewind(in->queue);
}

void intake_stop(struct intake *in)
{
    in->round++;
    in->started = false;
}

bool intake_idle(const struct intake *in)
{
    return !in->reading && !in->auditing;
}

uint64_t intake_asked_ns(const struct intake *in)
{
    return intake_idle(in) ? NEVER : in->asked_ns;
}

const struct intake_counts *intake_counts(const struct intake *in)
{
    return &in->counts;
}

/* -- one entry ------------------------------------------------------------------------------- */

static void end_at_once(struct intake *in, const struct queue_entry *e, enum outcome outcome,
                        uint64_t due_ms, struct span reason)
{
    struct queue_settle item = {.lane = e->lane,
                                .id = e->id,
                                .outcome = outcome,
                                .large = queue_entry_is_large(e),
                                .due_ms = due_ms,
                                .reason = reason};

    settle_add(in->settle, &item);
}

static void refuse(struct intake *in, const struct queue_entry *e, const char *why)
{
    in->counts.malformed++;
    end_at_once(in, e, OUTCOME_DEAD, 0, span_str(why));
    if (in->log_limit && !loglimit_take(in->log_limit, clock_mono_ns()))
        return;
    log_warn("An entry cannot be understood and goes to the dead letters",
             "account=%s job=%s-%llu-%llu why=\"%s\"", in->account->name, lane_names[e->lane],
             (unsigned long long)e->id.ms, (unsigned long long)e->id.seq, why);
}

static int compare_known(const void *left, const void *right)
{
    const struct known *a = left, *b = right;

    if (a->lane != b->lane)
        return a->lane < b->lane ? -1 : 1;
    if (a->ms != b->ms)
        return a->ms < b->ms ? -1 : 1;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static bool is_known(const struct intake *in, const struct queue_entry *e)
{
    struct known key = {e->id.ms, e->id.seq, e->lane};

    return bsearch(&key, in->known, in->known_count, sizeof(key), compare_known) != NULL;
}

/* A host that asks for the token is never asked over http: without the token it would refuse, and
 * as URLs merge whatever their scheme, a purge over https might be lost in one that cannot succeed.
 */
const char *intake_why_not_direct(const struct config_account *a, const struct job_spec *spec)
{
    for (uint32_t i = 0; i < spec->targets_count && a->url_mode == URL_MODE_DIRECT; i++) {
        struct span url = spec->targets[i].bytes, host, rest;

        if (spec->targets[i].kind != TARGET_URL)
            continue;
        url_split(url, &host, &rest);
        if (!config_words_have_host(&a->direct_hosts, host))
            return "url: its host is not among the account's direct_hosts";
        if (span_starts_nocase(url, "http://") &&
            config_words_have_host(&a->direct_token_hosts, host))
            return "url: its host is among the account's direct_token_hosts: ask for https, http "
                   "would show the token";
    }
    return NULL;
}

bool intake_lane_is_lost(const struct intake *in, enum lane lane)
{
    return in->lost[lane];
}

static void set_lost(struct intake *in, enum lane lane, bool lost)
{
    if (lost && !in->lost[lane])
        log_error("An entry id of this lane is beyond what any clock gives, and so are all ids "
                  "after it: these jobs go to the dead letters. Delete the stream once it is empty "
                  "(DEL purgeline:{<account>}:jobs:<lane>), then: purgeline dead retry --all",
                  "account=%s lane=%s", in->account->name, lane_names[lane]);
    else if (!lost && in->lost[lane])
        log_info("The entry ids of this lane are sound again", "account=%s lane=%s",
                 in->account->name, lane_names[lane]);
    in->lost[lane] = lost;
}

static void take_entry(struct intake *in, const struct queue_entry *e, struct now now)
{
    struct window_add how = {.lane = e->lane, .id_ms = e->id.ms, .now_ns = now.mono_ns};
    struct job_spec spec;
    const char *why_not;
    char why[160];

    in->counts.jobs++;
    if (queue_id_is_beyond(e->id))
        set_lost(in, e->lane, true);
    if (queue_id_is_beyond(e->id) || e->id.seq > UINT32_MAX) {
        in->counts.beyond++;
        refuse(in, e, "entry id: beyond what any clock gives");
        return;
    }
    if (job_decode(&in->decoder, in->account, e->fields, e->fields_count, &spec, why, sizeof(why)) <
        0) {
        refuse(in, e, why);
        return;
    }
    why_not = intake_why_not_direct(in->account, &spec);
    if (why_not) {
        refuse(in, e, why_not);
        return;
    }
    in->counts.targets += spec.targets_count;
    if (spec.expires_ms && spec.expires_ms <= now.wall_ms) {
        in->counts.expired++;
        end_at_once(in, e, OUTCOME_EXPIRED, 0, SPAN("expired before it could be sent"));
        return;
    }
    if (spec.not_before_ms > now.wall_ms) {
        in->counts.postponed++;
        end_at_once(in, e, OUTCOME_LATER, spec.not_before_ms, SPAN(""));
        return;
    }
    how.id_seq = (uint32_t)e->id.seq;
    how.plain = spec.ref.n == 0 && spec.original.n == 0 && spec.repeat_after_ms == 0;
    how.large = queue_entry_is_large(e);
    window_add(in->window, &spec, &how);
}

/* -- reading --------------------------------------------------------------------------------- */

static void on_read(void *ctx, int err, const struct queue_entries *entries)
{
    struct read_call call = *(struct read_call *)ctx;
    struct intake *in = call.in;
    struct now now = clock_now();

    free(ctx);
    in->reading = false;
    if (call.round != in->round) { /* what it brought will be read again */
        queue_rewind(in->queue);
        in->changed(in->ctx);
        return;
    }
    if (err) {
        if (err != -ENOTCONN)
            in->not_before_ns = now.mono_ns + TRY_AGAIN_NS;
        in->changed(in->ctx);
        return;
    }
    for (size_t i = 0; i < entries->count; i++)
        if (!in->recheck || !is_known(in, &entries->at[i]))
            take_entry(in, &entries->at[i], now);
    if (entries->all && in->asked_all) /* a lane left out would bring what is known once more */
        end_recheck(in);
    in->changed(in->ctx);
}

static struct read_call *call_new(struct intake *in)
{
    struct read_call *call = alloc_bytes(sizeof(*call));

    *call = (struct read_call){in, in->round};
    return call;
}

/* -- the audit ------------------------------------------------------------------------------- */

/* What stands behind the place where we read would never be seen: after somebody deleted a stream,
 * or Redis came back with an older one, while its clock was set back. So now and then the number of
 * entries is compared with what memory knows, and if it was too high twice, or the newest id went
 * back, all of them are read once more. */

static uint64_t known_jobs(const struct intake *in)
{
    uint64_t n = in->window->jobs.used;

    for (int lane = 0; lane < LANE_N; lane++)
        n += settle_unconfirmed(in->settle, (enum lane)lane);
    return n;
}

static void know(void *ctx, enum lane lane, struct entry_id id)
{
    struct intake *in = ctx;

    in->known[in->known_count++] = (struct known){id.ms, id.seq, lane};
}

static void know_job(void *ctx, const struct window_job *job)
{
    know(ctx, (enum lane)job->lane, (struct entry_id){job->id_ms, job->id_seq});
}

static void begin_recheck(struct intake *in)
{
    log_warn("Entries were found that never arrived here; all are read once more",
             "account=%s surplus=%llu", in->account->name, (unsigned long long)in->surplus);
    in->known = alloc_grow(NULL, known_jobs(in), sizeof(*in->known));
    in->known_count = 0;
    window_each_job(in->window, know_job, in);
    settle_each_unconfirmed(in->settle, know, in);
    qsort(in->known, in->known_count, sizeof(*in->known), compare_known);
    in->recheck = true;
    in->surplus = 0;
    queue_rewind(in->queue);
}

static void on_depth(void *ctx, int err, const struct queue_depth depth[LANE_N])
{
    struct read_call call = *(struct read_call *)ctx;
    struct intake *in = call.in;
    uint64_t entries = 0, before = in->surplus, known = known_jobs(in);
    bool all_read = true, anew = false;

    free(ctx);
    in->auditing = false;
    if (err || call.round != in->round) {
        in->changed(in->ctx);
        return;
    }
    for (int lane = 0; lane < LANE_N; lane++) {
        entries += depth[lane].entries;
        all_read = all_read && depth[lane].all_read;
        anew = anew || depth[lane].anew;
        set_lost(in, (enum lane)lane, depth[lane].beyond);
    }
    in->surplus = all_read && entries > known ? entries - known : 0;
    if (anew || (in->surplus && before))
        begin_recheck(in);
    else if (in->surplus)
        in->audit_ns = 0; /* look again at once: it may have been in motion */
    in->changed(in->ctx);
}

static void audit(struct intake *in, uint64_t now_ns)
{
    in->audit_ns = now_ns + AUDIT_EVERY_NS;
    in->auditing = true;
    in->asked_ns = now_ns;
    queue_depth(in->queue, on_depth, call_new(in));
}

/* -- pulling --------------------------------------------------------------------------------- */

/* As many of each lane as there is room for in the one that has least of it: what fills the window
 * is read first, and soon that lane has no room at all, and does not hold the others back. */
static uint32_t choose_lanes(const struct intake *in, bool lanes[LANE_N], uint32_t *count)
{
    uint32_t chosen = 0;

    *count = READ_MAX;
    for (int lane = 0; lane < LANE_N; lane++) {
        uint32_t room = window_room(in->window, (enum lane)lane);

        lanes[lane] = room > 0;
        chosen += room > 0;
        if (room > 0 && room < *count)
            *count = room;
    }
    return chosen;
}

uint64_t intake_pull(struct intake *in, uint64_t now_ns)
{
    bool lanes[LANE_N];
    uint32_t count, chosen;

    if (!in->started || in->reading || in->auditing)
        return NEVER;
    /* Between two reads nothing is on its way to us: the only moment when counting makes sense. */
    if (!in->recheck && now_ns >= in->audit_ns) {
        audit(in, now_ns);
        return NEVER;
    }
    if (now_ns < in->not_before_ns)
        return in->not_before_ns;
    chosen = choose_lanes(in, lanes, &count);
    if (chosen == 0) /* answers make room, and wake us */
        return in->recheck ? NEVER : in->audit_ns;
    in->reading = true;
    in->asked_all = chosen == LANE_N;
    in->asked_ns = now_ns;
    queue_read(in->queue, lanes, count, in->asked_all ? BLOCK_MS : BLOCK_SHORT_MS, on_read,
               call_new(in));
    return NEVER;
}
