/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "dispatch_internal.h"
#include "log.h"

#define SERVICES_MAX_BYTES ((size_t)JOB_SERVICES_MAX * (SERVICE_ID_MAX_BYTES + 1))

struct ending {
    struct dispatch *dispatch;
    enum outcome outcome; /* of the target */
    const char *reason;
    struct span target;
    const struct job_purge *purge; /* of the target, or NULL */
    const struct job_proof *proof; /* of the target; NULL: its page was not looked at */
    uint16_t service;              /* that the target needs; SERVICE_NONE for a URL */
    uint16_t repeats_of;           /* the service whose stale pages say when it is repeated */
    bool all;                      /* the target is all of the service */
    struct history_purge past;     /* for the history */
};

static uint16_t service_needed(const struct pending *t)
{
    return t->kind == TARGET_URL ? SERVICE_NONE : t->service;
}

static struct job_failure *find_failure(struct dispatch *d, const struct window_job *job)
{
    for (uint32_t i = 0; i < d->job_failures_count; i++) {
        struct job_failure *f = &d->job_failures[i];

        if (f->id.ms == job->id_ms && f->id.seq == job->id_seq && f->lane == (enum lane)job->lane)
            return f;
    }
    return NULL;
}

static uint64_t failure_bytes(const struct job_failure *f)
{
    return sizeof(*f) + ALLOC_TAKES(strlen(f->reason) + 1) + ALLOC_TAKES(strlen(f->target) + 1) +
           ALLOC_TAKES(f->services.room);
}

/* Returns the job's failure, or NULL if there are too many to remember it. */
static struct job_failure *add_failure(struct dispatch *d, const struct window_job *job,
                                       const struct ending *e)
{
    struct job_failure *f = find_failure(d, job);

    if (f)
        return f;
    if (d->job_failures_count == JOB_FAILURES_MAX || d->job_failures_bytes > JOB_FAILURES_MAX_BYTES)
        return NULL;
    d->job_failures =
        alloc_grow(d->job_failures, d->job_failures_count + 1, sizeof(*d->job_failures));
    f = &d->job_failures[d->job_failures_count++];
    *f = (struct job_failure){.lane = (enum lane)job->lane,
                              .id = {job->id_ms, job->id_seq},
                              .reason = alloc_str(e->reason),
                              .target = alloc_copy(e->target.p, e->target.n)};
    buf_init(&f->services, SERVICES_MAX_BYTES);
    d->job_failures_bytes += failure_bytes(f);
    return f;
}

static void drop_failure(struct dispatch *d, struct job_failure *f)
{
    d->job_failures_bytes -= failure_bytes(f);
    free(f->reason);
    free(f->target);
    buf_deinit(&f->services);
    *f = d->job_failures[--d->job_failures_count];
}

/* -- a job for several services -- */

static bool has_word(struct span list, struct span word)
{
    struct span at;

    while (span_next_word(&list, ' ', &at))
        if (span_eq(at, word))
            return true;
    return false;
}

/* Notes the service that a target of the job has failed for. f: the job's failure, or NULL. If a
 * URL fails, which belongs to no service, the dead letter is for all of them. */
static void note_service(struct dispatch *d, const struct window_job *job, struct job_failure *f,
                         const struct ending *e)
{
    struct span id = span_str(dispatch_service_id(d, e->service));
    bool noted = f && id.n && has_word(buf_span(&f->services), id);

    if (noted)
        return;
    if (!f || !id.n || f->services.n + id.n + 1 > SERVICES_MAX_BYTES) {
        window_note_whole(&d->pace.window, job);
        return;
    }
    d->job_failures_bytes -= failure_bytes(f);
    if (f->services.n)
        buf_putc(&f->services, ' ');
    buf_put(&f->services, id);
    d->job_failures_bytes += failure_bytes(f);
}

/* The services that the job, which has ended as dead, failed for: ids, separated by spaces. Empty:
 * all of them, or that is not known. */
static struct span failed_services(struct dispatch *d, const struct window_job *job,
                                   struct job_failure *f, const struct ending *e)
{
    if (!f && !job->whole)
        return span_str(dispatch_service_id(d, e->service));
    if (f && e->outcome == OUTCOME_DEAD)
        note_service(d, job, f, e);
    return f && !job->whole ? buf_span(&f->services) : SPAN("");
}

/* -- the end of a job -- */

static void count_end(struct dispatch *d, const struct window_job *job)
{
    uint64_t age_ms = minus_u64(d->wall_ms, job->id_ms);

    d->counts.jobs[job->outcome]++;
    if (job->outcome != OUTCOME_PURGED)
        return;
    if (job->verify)
        d->counts.verified++;
    else
        histogram_add(&d->counts.to_purged[job->lane], age_ms * 1000);
}

/* What the receipt says about the job's pages. The details are those of this target, and the result
 * may be a worse one of another target. All texts are ours: they need no escapes. */
static struct span write_proof(const struct window_job *job, const struct job_proof *p, char *out,
                               size_t room)
{
    int n = snprintf(out, room, "\"verified\":\"%s\",\"repairs\":%u",
                     verify_result_names[job->verified], (unsigned)job->repairs);

    if (p && p->result == (enum verify_result)job->verified && p->stale_ms)
        n += snprintf(out + n, room - (size_t)n, ",\"stale_ms\":%llu",
                      (unsigned long long)p->stale_ms);
    if (p && p->result == (enum verify_result)job->verified && *p->why)
        n += snprintf(out + n, room - (size_t)n, ",\"verified_why\":\"%s%s%s\"", p->why,
                      *p->pop ? ", POP " : "", p->pop);
    must(n > 0 && (size_t)n < room);
    return span_of(out, (size_t)n);
}

/* Whether the job, which names a page, goes on until that has been looked at. If it was purged, but
 * that will not be, *out says why. */
static bool awaits_page(const struct ending *e, const struct window_job *job, struct job_proof *out)
{
    struct verification *v = e->dispatch->verification;

    if (job->outcome != OUTCOME_PURGED) {
        verification_drop_job(v, job);
        return false;
    }
    out->why = verification_keep(v, job, e->purge);
    if (!out->why)
        return true;
    window_note_look(&e->dispatch->pace.window, job, out->result);
    return false;
}

static uint64_t repeat_due_ms(const struct ending *e, const struct window_job *job)
{
    if (!job->repeat_auto || job->outcome != OUTCOME_PURGED)
        return 0;
    return clock_wall_ms() +
           repeats_after_ms(e->dispatch->repeats, e->service, e->all ? REPEATS_ALL : REPEATS_SOME);
}

/* Writes into d->purge_text what the history and the receipt are to say of the job. */
static struct span write_purge(const struct ending *e, const struct window_job *job)
{
    struct dispatch *d = e->dispatch;
    struct history_purge past = e->past;

    past.named &= job->large || (job->plain && job->targets == 1);
    past.more = job->targets ? job->targets - 1u : 0;
    past.soft &= past.named;
    if (!d->account->history_jobs) /* the receipt only says who pushed it */
        past = (struct history_purge){.named = false};
    past.by = window_pusher(&d->pace.window, job);
    buf_clear(&d->purge_text);
    history_put_purge(&d->purge_text, &past);
    return buf_span(&d->purge_text);
}

static void on_job_ended(void *ctx, const struct window_job *job)
{
    struct ending *e = ctx;
    struct dispatch *d = e->dispatch;
    struct queue_settle item = {.lane = (enum lane)job->lane,
                                .id = {job->id_ms, job->id_seq},
                                .outcome = (enum outcome)job->outcome,
                                .plain = job->plain,
                                .large = job->large,
                                .due_ms = repeat_due_ms(e, job),
                                .targets = job->targets};
    struct job_failure *failure;
    struct job_proof no_look = {.result = VERIFY_UNKNOWN, .pop = ""};
    char proof[JOB_PROOF_ROOM];

    if (job->open > 0) {
        failure = add_failure(d, job, e);
        if (job->services)
            note_service(d, job, failure, e);
        return;
    }
    if (job->page && !e->proof && awaits_page(e, job, &no_look))
        return;
    failure = job->outcome == OUTCOME_DEAD ? find_failure(d, job) : NULL;
    if (job->outcome == (unsigned)e->outcome) {
        item.reason = span_str(e->reason);
        item.target = e->outcome == OUTCOME_DEAD ? e->target : span_of(NULL, 0);
    }
    if (failure) {
        item.reason = span_str(failure->reason);
        item.target = span_str(failure->target);
    }
    if (job->services && job->outcome == OUTCOME_DEAD)
        item.services = failed_services(d, job, failure, e);
    if (job->verify && job->outcome == OUTCOME_PURGED)
        item.proof =
            write_proof(job, e->proof || !job->page ? e->proof : &no_look, proof, sizeof(proof));
    item.named = d->account->history_jobs && e->past.named && job->plain && job->targets == 1;
    item.purge = write_purge(e, job);
    settle_add(d->settle, &item);
    count_end(d, job);
    if (failure)
        drop_failure(d, failure);
}

/* The name of the service; else its id, or nothing. */
static struct span service_word(const struct dispatch *d, unsigned service)
{
    const struct config_service *s;

    if (service == SERVICE_NONE)
        return SPAN("");
    s = &d->account->services[service];
    return span_str(*s->name ? s->name : s->id);
}

static struct ending ending_of(struct dispatch *d, const struct pending *t, enum outcome outcome,
                               const char *reason)
{
    return (struct ending){.dispatch = d,
                           .outcome = outcome,
                           .reason = reason,
                           .target = pending_bytes(t),
                           .service = service_needed(t),
                           .repeats_of = (uint16_t)t->service,
                           .all = t->kind == TARGET_ALL,
                           .past = {.named = true,
                                    .kind = (enum target_kind)t->kind,
                                    .target = pending_bytes(t),
                                    .soft = t->soft,
                                    .service = service_word(d, t->service)}};
}

/* The history says when the request was sent, and the id of the purge. */
static void note_purge(struct ending *e, const struct job_purge *by)
{
    uint64_t ago_ms = minus_u64(clock_mono_ns(), by->began_ns) / NS_PER_MS;

    e->past.sent_ms = minus_u64(e->dispatch->wall_ms, ago_ms);
    e->past.id = by->id;
}

/* t is freed after the last call. */
static void settle_target(struct pending *t, struct ending *e)
{
    if (verification_pending(e->dispatch->verification))
        verification_drop(e->dispatch->verification, t);
    window_settle(&e->dispatch->pace.window, t, e->outcome, on_job_ended, e);
}

void job_end_target(struct dispatch *d, struct pending *t, enum outcome outcome, const char *reason)
{
    struct ending e = ending_of(d, t, outcome, reason);

    must(outcome != OUTCOME_PURGED);
    settle_target(t, &e);
}

void job_end_purged(struct dispatch *d, struct pending *t, const struct job_purge *by)
{
    struct ending e = ending_of(d, t, OUTCOME_PURGED, "");

    e.purge = by;
    note_purge(&e, by);
    d->counts.targets_purged++;
    settle_target(t, &e);
}

void job_end_unverified(struct dispatch *d, struct pending *t, const struct job_purge *by)
{
    struct ending e = ending_of(d, t, OUTCOME_PURGED, "");

    e.purge = by;
    note_purge(&e, by);
    d->counts.targets_purged++;
    window_check(&d->pace.window, t, on_job_ended, &e);
}

void job_end_verified(struct dispatch *d, struct pending *t, const struct job_proof *proof)
{
    struct ending e = ending_of(d, t, OUTCOME_PURGED, "");

    e.proof = proof;
    if (proof->purge)
        note_purge(&e, proof->purge);
    window_checked(&d->pace.window, t, proof->result, proof->repairs, on_job_ended, &e);
}

void job_end_page(struct dispatch *d, uint32_t number, uint16_t service, bool all,
                  const struct job_proof *proof)
{
    struct ending e = {.dispatch = d,
                       .outcome = OUTCOME_PURGED,
                       .reason = "",
                       .target = SPAN(""),
                       .proof = proof,
                       .service = SERVICE_NONE,
                       .repeats_of = service,
                       .all = all};

    if (proof->purge)
        note_purge(&e, proof->purge);
    window_end_kept(&d->pace.window, number, proof->result, proof->repairs, on_job_ended, &e);
}

void job_end_bury(struct dispatch *d, struct pending *t, const char *reason)
{
    struct span target = pending_bytes(t);

    if (loglimit_take(&d->log_limit, clock_mono_ns()))
        log_warn("A purge was given up; its jobs become dead letters",
                 "account=%s kind=%s target=\"%.*s\" attempts=%u why=\"%s\"", d->account->name,
                 target_kind_names[t->kind], (int)min_u64(target.n, 160), target.p, t->attempts,
                 reason);
    job_end_target(d, t, OUTCOME_DEAD, reason);
}

void job_end_held(void *ctx, const struct origin_job *job, enum outcome outcome, const char *reason)
{
    struct dispatch *d = ctx;
    const struct queue_entry *e = &job->entry;

    settle_add(d->settle, &(struct queue_settle){.lane = e->lane,
                                                 .id = e->id,
                                                 .outcome = outcome,
                                                 .large = queue_entry_is_large(e),
                                                 .targets = job->targets,
                                                 .reason = span_str(reason)});
    d->counts.jobs[outcome]++;
    if (outcome == OUTCOME_DEAD && loglimit_take(&d->log_limit, clock_mono_ns()))
        log_warn("An origin has not shown what a job waits for; the job becomes a dead letter",
                 "account=%s job=%s-%llu-%llu why=\"%s\"", d->account->name, lane_names[e->lane],
                 (unsigned long long)e->id.ms, (unsigned long long)e->id.seq, reason);
}

static void on_job_cancelled(void *ctx, const struct window_job *job)
{
    struct dispatch *d = ctx;
    struct job_failure *failure = find_failure(d, job);

    count_end(d, job);
    if (job->page)
        verification_drop_job(d->verification, job);
    if (failure)
        drop_failure(d, failure);
}

void job_end_cancel(struct dispatch *d, const struct queue_name *jobs, size_t count)
{
    struct window_name names[QUEUE_CANCELLED_MAX];

    must(count <= QUEUE_CANCELLED_MAX);
    for (size_t i = 0; i < count; i++)
        names[i] = (struct window_name){jobs[i].lane, jobs[i].id.ms, jobs[i].id.seq};
    window_cancel(&d->pace.window, names, count, on_job_cancelled, d);
    d->counts.jobs[OUTCOME_CANCELLED] += origin_cancel(d->origin, jobs, count);
}
