/* SPDX-License-Identifier: MIT */
#include "intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "direct.h"
#include "job.h"
#include "known_jobs.h"
#include "log.h"
#include "verification.h"

#define READ_MAX 1024u /* entries of a lane in one read: four full batches of keys */
/* Approximate limit for a lane in one read: Redis builds a reply in one go and holds all of it. */
#define READ_BYTES ((uint64_t)8 << 20)
#define LEAST_ROOM ((uint64_t)16 * 1024)        /* with less, a read is not worthwhile */
#define NO_ROOM_NS (50 * NS_PER_MS)             /* another account may have freed some by then */
#define FIRST_BYTES ((uint64_t)512 * 1024)      /* assumed until entries have been read */
#define ENTRY_EXTRA_BYTES ((uint64_t)16 * 1024) /* added to accepted jobs: job, dead_* */
#define LOOK_EVERY 64u     /* entries between looks at the clock and at the room left */
#define BLOCK_MS 2000u     /* how long a read of new entries may wait for the first */
#define BLOCK_SHORT_MS 50u /* the same while a lane is left out because it has no room */
#define AUDIT_EVERY_NS (5 * NS_PER_S)
#define TRY_AGAIN_NS NS_PER_S /* after a refusal by Redis */

struct intake {
    bool started;
    const struct config_account *account;
    struct queue *queue;
    struct window *window;
    struct settle *settle;
    struct origin *origin;
    struct verification *verification;
    struct memory_user *memory;
    uint64_t job_max_bytes;
    uint64_t elsewhere_bytes; /* memory of the account that the caller counts */
    struct job_decoder decoder;
    intake_changed_cb *changed;
    void *ctx;
    struct intake_counts counts;
    struct loglimit *log_limit;
    uint64_t round; /* answers to reads of an earlier start are dropped */
    bool reading, auditing;
    bool recheck;            /* reading from the beginning, skipping known jobs */
    bool asked[LANE_N];      /* lanes of the read under way */
    bool asked_all;          /* it reads all lanes */
    uint64_t asked_ns;       /* when the read or audit under way, or the last one, began */
    uint64_t audit_ns;       /* when the next audit is due */
    uint64_t not_before_ns;  /* of the next read, after Redis refused the last one */
    uint64_t surplus;        /* entries that the last audit found and memory did not know */
    bool lost[LANE_N];       /* see intake_lane_is_lost */
    struct known_jobs known; /* during a recheck */
    /* the read under way */
    struct now now;       /* the clock when it was last read */
    enum lane spare_lane; /* the lane that spare_bytes is valid for */
    uint64_t spare_bytes; /* room at the last look, minus what jobs took since */
    uint64_t got, got_bytes, cost_bytes;
    uint64_t room_bytes[LANE_N]; /* when the read began */
    bool refused[LANE_N];        /* an entry found too little memory */
    bool took_any;
    /* learned from reads */
    uint64_t need_bytes[LANE_N];    /* needed by the next entry, which found no room; or 0 */
    uint64_t mean_bytes, mean_cost; /* size of an entry in Redis, and in memory */
};

struct read_call {
    struct intake *in;
    uint64_t round;
};

struct intake *intake_new(const struct config_account *a, const struct intake_parts *parts,
                          intake_changed_cb *changed, void *ctx)
{
    struct intake *in = alloc_zeroed(1, sizeof(*in));

    in->account = a;
    in->queue = parts->queue;
    in->window = parts->window;
    in->settle = parts->settle;
    in->origin = parts->origin;
    in->memory = parts->memory;
    in->verification = parts->verification;
    in->mean_bytes = in->mean_cost = FIRST_BYTES;
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
    known_jobs_clear(&in->known);
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

void intake_limit(struct intake *in, uint64_t job_max_bytes)
{
    in->job_max_bytes = job_max_bytes;
}

static void forget_needs(struct intake *in)
{
    for (int lane = 0; lane < LANE_N; lane++) {
        memory_unclaim(in->memory, (enum lane)lane);
        in->need_bytes[lane] = 0;
    }
}

static void end_recheck(struct intake *in)
{
    known_jobs_clear(&in->known);
    in->recheck = false;
}

void intake_start(struct intake *in)
{
    end_recheck(in);
    forget_needs(in);
    in->round++;
    in->surplus = 0;
    in->audit_ns = clock_mono_ns() + AUDIT_EVERY_NS;
    in->started = true;
    queue_rewind(in->queue);
}

void intake_stop(struct intake *in)
{
    forget_needs(in);
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

    if (e->oversized) {
        item.oversized = true;
        item.fields = e->fields;
        item.fields_count = e->fields_count;
    }
    settle_add(in->settle, &item);
}

static void bury_entry(struct intake *in, const struct queue_entry *e, const char *why)
{
    in->counts.malformed++;
    end_at_once(in, e, OUTCOME_DEAD, 0, span_str(why));
    if (in->log_limit && !loglimit_take(in->log_limit, clock_mono_ns()))
        return;
    log_warn("An entry cannot be understood and goes to the dead letters",
             "account=%s job=%s-%llu-%llu why=\"%s\"", in->account->name, lane_names[e->lane],
             (unsigned long long)e->id.ms, (unsigned long long)e->id.seq, why);
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

static bool is_beyond(const struct queue_entry *e)
{
    return queue_id_is_beyond(e->id) || e->id.seq > UINT32_MAX;
}

/* Memory for an entry that ends at once: its reason and its place, until Redis has confirmed the
 * end. */
#define END_BYTES 512

void intake_take_stock(struct intake *in)
{
    uint64_t bytes = in->elsewhere_bytes + window_bytes(in->window) + settle_bytes(in->settle) +
                     queue_reading_bytes(in->queue) + known_jobs_bytes(&in->known);

    memory_use(in->memory, bytes > INTAKE_AT_REST_BYTES ? bytes - INTAKE_AT_REST_BYTES : 0);
}

/* When nothing else is waiting, even the largest job must be accepted, however much memory it
 * takes. */
static uint64_t room_of(const struct intake *in, enum lane lane)
{
    bool empty = window_held(in->window) == 0 && memory_is_ours(in->memory);

    return empty ? UINT64_MAX : memory_room(in->memory, lane);
}

/* `more` is the additional memory that must be free when the entry is read again. If all the room
 * at the beginning of this read was too little for this entry alone, more than that is claimed;
 * otherwise the entry would be read and refused endlessly. */
static bool has_room_for(struct intake *in, enum lane lane, uint64_t bytes, uint64_t more)
{
    uint64_t need = bytes + more, room;

    if (bytes <= in->spare_bytes && lane == in->spare_lane) {
        in->spare_bytes -= bytes;
        return true;
    }
    intake_take_stock(in);
    room = room_of(in, lane);
    if (bytes <= room) {
        in->spare_lane = lane;
        in->spare_bytes = room == UINT64_MAX ? 0 : room - bytes;
        return true;
    }
    if (!in->took_any && in->room_bytes[lane] != UINT64_MAX)
        need = max_u64(need, in->room_bytes[lane] + need / 8);
    in->refused[lane] = true;
    in->need_bytes[lane] = need;
    memory_claim(in->memory, lane, need);
    return false;
}

enum fit { FITS, MALFORMED, ENDS_AT_ONCE, AWAITS_ORIGIN };

static enum fit understand(struct intake *in, const struct queue_entry *e, struct job_spec *spec,
                           struct error *err)
{
    const char *why_not;

    if (is_beyond(e)) {
        error_set(err, -EINVAL, "entry id: beyond what any clock gives");
        return MALFORMED;
    }
    if (e->oversized) {
        error_set(err, -EMSGSIZE,
                  "job: it has %llu bytes, and %llu is the most that memory_max leaves for one",
                  (unsigned long long)e->bytes, (unsigned long long)in->job_max_bytes);
        return MALFORMED;
    }
    if (job_decode(&in->decoder, in->account, e->fields, e->fields_count, spec, err) < 0)
        return MALFORMED;
    if (!in->account->history_jobs) /* only the history says who pushed a job */
        spec->by = SPAN("");
    why_not = direct_why_not(in->account, spec);
    if (why_not) {
        error_set(err, -EINVAL, "%s", why_not);
        return MALFORMED;
    }
    if ((spec->expires_ms && spec->expires_ms <= in->now.wall_ms) ||
        spec->not_before_ms > in->now.wall_ms)
        return ENDS_AT_ONCE;
    return spec->when || origin_is_gated(in->account, spec) ? AWAITS_ORIGIN : FITS;
}

static void end_early(struct intake *in, const struct queue_entry *e, const struct job_spec *spec)
{
    if (spec->expires_ms && spec->expires_ms <= in->now.wall_ms) {
        in->counts.expired++;
        end_at_once(in, e, OUTCOME_EXPIRED, 0, SPAN("expired before it could be sent"));
    } else {
        in->counts.postponed++;
        end_at_once(in, e, OUTCOME_LATER, spec->not_before_ms, SPAN(""));
    }
}

static void add_to_window(struct intake *in, const struct queue_entry *e,
                          const struct job_spec *spec)
{
    struct window_add how = {.lane = e->lane,
                             .id_ms = e->id.ms,
                             .id_seq = (uint32_t)e->id.seq,
                             .plain = job_is_plain(spec),
                             .large = queue_entry_is_large(e),
                             .now_ns = in->now.mono_ns};

    if (spec->page)
        verification_expect(in->verification, spec, &how);
    window_add(in->window, spec, &how);
}

/* When too many jobs wait for their origins, further ones are put off. */
static void hold(struct intake *in, const struct queue_entry *e, const struct job_spec *spec)
{
    if (origin_hold(in->origin, e, spec, in->now))
        return;
    in->counts.postponed++;
    end_at_once(in, e, OUTCOME_LATER, in->now.wall_ms + ORIGIN_PUT_OFF_MS, SPAN(""));
}

static uint64_t cost_of(const struct intake *in, const struct queue_entry *e,
                        const struct job_spec *spec, enum fit fit)
{
    if (fit == FITS)
        return window_cost_bytes(in->window, spec);
    return fit == AWAITS_ORIGIN ? origin_cost_bytes(e) : END_BYTES;
}

/* False if there is no room for the entry. */
static bool take_entry(struct intake *in, const struct queue_entry *e)
{
    struct job_spec spec;
    struct error err;
    enum fit fit = understand(in, e, &spec, &err);
    uint64_t cost = cost_of(in, e, &spec, fit);

    if (fit == FITS && window_room(in->window, e->lane) == 0)
        return false;
    if (!has_room_for(in, e->lane, cost, e->bytes))
        return false;
    in->took_any = true;
    in->counts.jobs++;
    in->cost_bytes += cost;
    if (fit == MALFORMED) {
        in->counts.beyond += is_beyond(e);
        if (queue_id_is_beyond(e->id))
            set_lost(in, e->lane, true);
        bury_entry(in, e, err.text);
        return true;
    }
    in->counts.targets += spec.targets_count;
    if (e->lane == LANE_URGENT)
        settle_make_way(in->settle, in->now.mono_ns);
    if (fit == ENDS_AT_ONCE)
        end_early(in, e, &spec);
    else if (fit == AWAITS_ORIGIN)
        hold(in, e, &spec);
    else
        add_to_window(in, e, &spec);
    return true;
}

enum origin_taken intake_take_shown(struct intake *in, const struct origin_job *job, bool may_send)
{
    const struct queue_entry *e = &job->entry;
    struct job_spec spec;
    struct error err;

    in->now = clock_now();
    if (window_room(in->window, e->lane) == 0)
        return ORIGIN_NO_ROOM;
    if (job_decode(&in->decoder, in->account, e->fields, e->fields_count, &spec, &err) < 0) {
        bury_entry(in, e, err.text);
        return ORIGIN_TAKEN;
    }
    if (origin_is_gated(in->account, &spec) && !(job->asked_gate && may_send))
        return ORIGIN_ASK_GATE;
    if (!has_room_for(in, e->lane, window_cost_bytes(in->window, &spec), 0))
        return ORIGIN_NO_ROOM;
    add_to_window(in, e, &spec);
    return ORIGIN_TAKEN;
}

/* -- reading --------------------------------------------------------------------------------- */

static bool may_hold(void *ctx, enum lane lane, uint64_t bytes)
{
    const struct read_call *call = ctx;

    struct intake *in = call->in;

    in->mean_bytes = max_u64(in->mean_bytes, bytes); /* so the next read asks for fewer */
    /* For a moment the entry is in memory twice: as received, and as targets. */
    return call->round == in->round && has_room_for(in, lane, 2 * bytes, 0);
}

static bool on_queue_entry(void *ctx, const struct queue_entry *e)
{
    const struct read_call *call = ctx;
    struct intake *in = call->in;

    if (call->round != in->round)
        return false;
    if (in->got++ % LOOK_EVERY == 0) {
        in->now = clock_now();
        in->spare_bytes = 0;
    }
    in->got_bytes += e->bytes;
    return (in->recheck && known_jobs_has(&in->known, e->lane, e->id)) || take_entry(in, e);
}

/* The new size is the mean of this read, or half of the former size if that is larger, so that
 * large entries are forgotten slowly. */
static void learn_sizes(struct intake *in)
{
    if (in->got == 0)
        return;
    in->mean_bytes = max_u64(in->got_bytes / in->got, in->mean_bytes / 2) + 1;
    in->mean_cost = max_u64(in->cost_bytes / in->got, in->mean_cost / 2) + 1;
}

static void on_read(void *ctx, int err, bool all)
{
    struct read_call call = *(struct read_call *)ctx;
    struct intake *in = call.in;

    free(ctx);
    in->reading = false;
    if (call.round != in->round) { /* its entries will be read again */
        queue_rewind(in->queue);
        in->changed(in->ctx);
        return;
    }
    log_debug("Lanes were read", "account=%s entries=%llu bytes=%llu all_lanes=%s why=\"%s\"",
              in->account->name, (unsigned long long)in->got, (unsigned long long)in->got_bytes,
              in->asked_all ? "yes" : "no", err ? strerror(-err) : "");
    learn_sizes(in);
    for (int lane = 0; err == 0 && lane < LANE_N; lane++) {
        if (in->asked[lane] && !in->refused[lane]) {
            memory_unclaim(in->memory, (enum lane)lane);
            in->need_bytes[lane] = 0;
        }
    }
    if (err) /* -ENOTCONN also while the connection is on its way to another node of a Cluster */
        in->not_before_ns = clock_mono_ns() + TRY_AGAIN_NS / (err == -ENOTCONN ? 50 : 1);
    if (err == 0 && all && in->asked_all) /* a lane left out would deliver known jobs again */
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

/* Entries that appear before our reading position would never be seen. This happens after somebody
 * deleted a stream, or after Redis came back with an older one, while its clock was set back. So
 * from time to time the number of entries is compared with what memory knows. If it was too high
 * twice, or if the newest id went back, all entries are read again. */

static void begin_recheck(struct intake *in)
{
    log_warn("Entries were found that never arrived here; all are read once more",
             "account=%s surplus=%llu", in->account->name, (unsigned long long)in->surplus);
    known_jobs_list(&in->known, in->window, in->origin, in->settle);
    in->recheck = true;
    in->surplus = 0;
    queue_rewind(in->queue);
}

static void on_depth(void *ctx, int err, const struct queue_depth depth[LANE_N])
{
    struct read_call call = *(struct read_call *)ctx;
    struct intake *in = call.in;
    uint64_t entries = 0, before = in->surplus,
             known = known_jobs_count(in->window, in->origin, in->settle);
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
        in->audit_ns = 0; /* look again at once: entries may have been on their way */
    in->changed(in->ctx);
}

static void count_lanes(struct intake *in, uint64_t now_ns)
{
    in->audit_ns = now_ns + AUDIT_EVERY_NS;
    in->auditing = true;
    in->asked_ns = now_ns;
    queue_depth(in->queue, on_depth, call_new(in));
}

/* -- pulling --------------------------------------------------------------------------------- */

static bool has_room_for_next(const struct intake *in, enum lane lane)
{
    return window_room(in->window, lane) > 0 &&
           room_of(in, lane) >= max_u64(in->need_bytes[lane], LEAST_ROOM);
}

bool intake_lane_held_back(const struct intake *in, enum lane lane)
{
    return in->started && !has_room_for_next(in, lane);
}

/* Chooses the lanes to read and one number of entries that fits into each of them. The lane with
 * the least room limits the others only for a short time: once it is full, it is not read. */
static uint32_t choose_lanes(const struct intake *in, bool lanes[LANE_N], uint32_t *count)
{
    uint64_t most = min_u64(READ_MAX, max_u64(READ_BYTES / in->mean_bytes, 1));
    uint32_t chosen = 0;

    for (int lane = 0; lane < LANE_N; lane++) {
        uint32_t room = window_room(in->window, (enum lane)lane);
        uint64_t bytes = room_of(in, (enum lane)lane);

        lanes[lane] = has_room_for_next(in, (enum lane)lane);
        if (!lanes[lane])
            continue;
        chosen++;
        most = min_u64(most, min_u64(room, max_u64(bytes / in->mean_cost, 1)));
    }
    *count = (uint32_t)most;
    return chosen;
}

static void begin_read(struct intake *in, const struct queue_read *how, uint64_t now_ns)
{
    in->reading = true;
    in->asked_ns = now_ns;
    in->got = in->got_bytes = in->cost_bytes = 0;
    in->took_any = false;
    for (int lane = 0; lane < LANE_N; lane++) {
        in->asked[lane] = how->lanes[lane];
        in->room_bytes[lane] = room_of(in, (enum lane)lane);
        in->refused[lane] = false;
    }
    queue_read(in->queue, how, call_new(in));
}

uint64_t intake_pull(struct intake *in, uint64_t elsewhere_bytes, uint64_t now_ns)
{
    struct queue_read how = {.entry_max_bytes = in->job_max_bytes + ENTRY_EXTRA_BYTES,
                             .room = may_hold,
                             .entry = on_queue_entry,
                             .done = on_read};
    uint32_t chosen;

    in->elsewhere_bytes = elsewhere_bytes;
    intake_take_stock(in);
    if (!in->started || in->reading || in->auditing)
        return NEVER;
    /* Entries can only be counted between two reads, when none are on their way to us. */
    if (!in->recheck && now_ns >= in->audit_ns) {
        count_lanes(in, now_ns);
        return NEVER;
    }
    if (now_ns < in->not_before_ns)
        return in->not_before_ns;
    chosen = choose_lanes(in, how.lanes, &how.count);
    if (chosen == 0) { /* our replies wake us; other accounts may make room without waking us */
        uint64_t next = in->recheck ? NEVER : in->audit_ns;

        return window_room(in->window, LANE_URGENT) ? min_u64(next, now_ns + NO_ROOM_NS) : next;
    }
    in->asked_all = chosen == LANE_N;
    how.block_ms = in->asked_all ? BLOCK_MS : BLOCK_SHORT_MS;
    begin_read(in, &how, now_ns);
    return NEVER;
}
