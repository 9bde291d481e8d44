/* SPDX-License-Identifier: MIT
 *
 * The checks of pages that jobs name. Such a check exists as long as its job is in the window:
 *
 *   the job comes ─▶ EXPECTED ─▶ its last target was purged: the window keeps it ─▶ WAITING ...
 *                       ▲                                                              │
 *                       └──────── all its targets wait in the window again ◀── stale ──┘ */
#include "verification_internal.h"
#include "verify_page.h"

/* Of an account: jobs that name a page. Further ones end as unknown. */
#define PAGES_MAX 1000u
#define PAGES_MAX_BYTES ((uint64_t)4 << 20)

static uint32_t job_hash(uint64_t id_ms, uint32_t id_seq)
{
    return (uint32_t)id_ms * 31 + id_seq;
}

static struct check *find_page(struct verification *v, const struct window_job *job)
{
    list_each(it, verification_bucket(v, job_hash(job->id_ms, job->id_seq))) {
        struct check *c = list_entry(it, struct check, link);

        if (c->page && page_job_is(c->page, job))
            return c;
    }
    return NULL;
}

void verification_expect(struct verification *v, const struct job_spec *spec,
                         const struct window_add *how)
{
    struct span url = span_str(spec->page->url);
    uint64_t bytes = page_job_bytes(spec), all_bytes = verification_check_bytes(url.n) + bytes;
    struct check *c;

    if (v->pages_count >= PAGES_MAX || v->pages_bytes + all_bytes > PAGES_MAX_BYTES)
        return;
    c = verification_check_new(v, url, job_hash(how->id_ms, how->id_seq));
    c->state = CHECK_EXPECTED;
    c->page = page_job_new(spec, how);
    v->pages_count++;
    v->pages_bytes += all_bytes;
    v->bytes += bytes;
}

const char *verification_keep(struct verification *v, const struct window_job *job,
                              const struct job_purge *last)
{
    bool leads = v->d->state == DISPATCH_LEADING;
    struct check *c = find_page(v, job);

    if (!c || !leads) {
        if (c)
            verification_check_free(v, c);
        v->counts.left_out++;
        v->counts.results[VERIFY_UNKNOWN]++;
        return leads ? VERIFICATION_TOO_MANY : VERIFICATION_STOPPED;
    }
    c->page->number = window_keep(&v->d->pace.window, job);
    verification_check_purged(v, c, c->page->spec.soft, last);
    return NULL;
}

void verification_drop_job(struct verification *v, const struct window_job *job)
{
    struct check *c = find_page(v, job);

    if (c)
        verification_check_free(v, c);
}
