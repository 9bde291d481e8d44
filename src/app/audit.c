/* SPDX-License-Identifier: MIT */
#include "audit.h"

#include <inttypes.h>
#include <stdlib.h>

#include "alloc.h"
#include "desk.h"
#include "log.h"

#define LINES_PER_S 10u

struct audit {
    struct timer *timer; /* runs while a second is counted */
    uint32_t written;    /* in this second */
    uint64_t unwritten;
    bool counts;
};

static void end_second(void *ctx)
{
    struct audit *a = ctx;

    if (a->unwritten)
        log_warn("More requests over HTTP were refused within a second than are written",
                 "not_written=%" PRIu64, a->unwritten);
    a->written = 0;
    a->unwritten = 0;
    a->counts = false;
}

struct audit *audit_new(struct loop *l)
{
    struct audit *a = alloc_zeroed(1, sizeof(*a));

    a->timer = timer_new(l, end_second, a);
    return a;
}

void audit_free(struct audit *a)
{
    end_second(a);
    timer_close(a->timer);
    free(a);
}

void audit_refused(struct audit *a, const struct errand *e, int status, const char *why)
{
    struct span target = visit_target(e->visit), method = visit_method(e->visit);
    const char *query = target.n ? memchr(target.p, '?', target.n) : NULL;

    if (!a->counts) {
        a->counts = true;
        timer_start_at(a->timer, clock_mono_ns() + NS_PER_S);
    }
    if (a->written == LINES_PER_S) {
        a->unwritten++;
        return;
    }
    a->written++;
    if (query)
        target.n = (size_t)(query - target.p);
    log_warn("A request over HTTP is refused",
             "status=%d producer=\"%s\" peer=%s method=%.*s path=\"%.*s\" why=\"%.400s\"", status,
             e->who ? e->who->name : "", visit_peer(e->visit), (int)min_u64(method.n, 40), method.p,
             (int)min_u64(target.n, 200), target.p, why);
}
