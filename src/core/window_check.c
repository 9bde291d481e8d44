/* SPDX-License-Identifier: MIT */
#include "window_internal.h"

bool window_verifies(const struct window *w)
{
    return w->verify_jobs > 0;
}

/* At the pages of its targets. */
static bool waits_for_look(const struct window_job *job)
{
    return job->verify && !job->page;
}

bool window_verifies_target(const struct window *w, const struct pending *t)
{
    for (uint32_t link = t->waiters; link != POOL_NONE; link = *next_of(w, link))
        if (waits_for_look(job_at(w, job_of(w, link))))
            return true;
    return false;
}

bool window_newest_job(const struct window *w, const struct pending *t, struct window_job *out)
{
    if (t->waiters == POOL_NONE)
        return false;
    *out = *job_at(w, job_of(w, t->waiters));
    return true;
}

static void end_one(struct window *w, uint32_t number, window_end_cb *cb, void *ctx)
{
    struct window_job *job = job_at(w, number);

    must(job->open > 0);
    if (--job->open > 0)
        return;
    job->next = number;
    cb(ctx, job);
    if (job->open == 0)
        job_free(w, number);
}

uint32_t window_keep(struct window *w, const struct window_job *job)
{
    uint32_t number = job->next;

    must(job_at(w, number) == job && job->open == 0 && job->page);
    job_at(w, number)->open = 1;
    return number;
}

void window_repeat(struct window *w, uint32_t number, const struct job_spec *spec,
                   const struct window_add *how)
{
    struct window_job *job = job_at(w, number);

    must(job->open == 1 && job->page && job->targets == spec->targets_count);
    job->open = job->targets;
    window_attach(w, number, spec, how);
}

void window_end_kept(struct window *w, uint32_t number, enum verify_result result, uint32_t repairs,
                     window_end_cb *cb, void *ctx)
{
    struct window_job *job = job_at(w, number);

    must(job->open == 1 && job->page);
    job->verified = (uint64_t)result;
    job->repairs = repairs;
    end_one(w, number, cb, ctx);
}

void window_note_look(struct window *w, const struct window_job *job, enum verify_result result)
{
    must(job_at(w, job->next) == job);
    job_at(w, job->next)->verified = (uint64_t)result;
}

void window_check(struct window *w, struct pending *t, window_end_cb *cb, void *ctx)
{
    uint32_t *at = &t->waiters;

    must(t->state == PENDING_SENDING && list_empty(&t->link));
    t->state = PENDING_CHECKED;
    while (*at != POOL_NONE) {
        if (waits_for_look(job_at(w, job_of(w, *at))))
            at = next_of(w, *at);
        else
            end_one(w, detach(w, at), cb, ctx);
    }
}

void window_check_joins(struct window *w, struct pending *to, struct pending *from)
{
    uint32_t *tail = &from->waiters;

    must(from->state == PENDING_CHECKED);
    while (*tail != POOL_NONE)
        tail = next_of(w, *tail);
    *tail = to->waiters;
    to->waiters = from->waiters;
    forget(w, from);
}

void window_check_again(struct window *w, struct pending *t)
{
    must(t->state == PENDING_CHECKED);
    t->state = PENDING_SENDING;
    if (t->expires)
        pending_set_expiry(t, 0);
    t->attempts = 0;
    window_return(w, t);
}

void window_checked(struct window *w, struct pending *t, enum verify_result result,
                    uint32_t repairs, window_end_cb *cb, void *ctx)
{
    must(t->state == PENDING_CHECKED);
    for (uint32_t link = t->waiters; link != POOL_NONE; link = *next_of(w, link)) {
        struct window_job *job = job_at(w, job_of(w, link));

        job->verified = max_u64(job->verified, (uint64_t)result);
        job->repairs = max_u64(job->repairs, repairs);
    }
    while (t->waiters != POOL_NONE)
        end_one(w, detach(w, &t->waiters), cb, ctx);
    forget(w, t);
}

void window_forget_checked(struct window *w, struct pending *t)
{
    must(t->state == PENDING_CHECKED);
    forget(w, t);
}
