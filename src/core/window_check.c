/* SPDX-License-Identifier: MIT */
#include "window_internal.h"

bool window_verifies(const struct window *w)
{
    return w->verify_jobs > 0;
}

bool window_verifies_target(const struct window *w, const struct pending *t)
{
    for (uint32_t link = t->waiters; link != POOL_NONE; link = *next_of(w, link))
        if (job_at(w, job_of(w, link))->verify)
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
    cb(ctx, job);
    job_free(w, number);
}

void window_check(struct window *w, struct pending *t, window_end_cb *cb, void *ctx)
{
    uint32_t *at = &t->waiters;

    must(t->state == PENDING_SENDING && list_empty(&t->link));
    t->state = PENDING_CHECKED;
    while (*at != POOL_NONE) {
        if (job_at(w, job_of(w, *at))->verify)
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
    t->expires_ms = 0;
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
