/* SPDX-License-Identifier: MIT */
#include "audit.h"

#include <inttypes.h>
#include <stdlib.h>

#include "alloc.h"
#include "http_internal.h"
#include "log.h"
#include "loglimit.h"

struct audit {
    struct timer *timer; /* runs while a second is counted */
    struct loglimit limit;
};

static void end_second(struct audit *a, uint64_t now_ns)
{
    uint64_t unwritten, next_ns = loglimit_end(&a->limit, now_ns, &unwritten);

    if (unwritten)
        log_warn("Too many refused HTTP requests to log each of them", "not_written=%" PRIu64,
                 unwritten);
    if (next_ns != NEVER)
        timer_start_at(a->timer, next_ns);
}

static void on_timer(void *ctx)
{
    end_second(ctx, clock_mono_ns());
}

struct audit *audit_new(struct loop *l)
{
    struct audit *a = alloc_zeroed(1, sizeof(*a));

    a->timer = timer_new(l, on_timer, a);
    return a;
}

void audit_free(struct audit *a)
{
    if (!a)
        return;
    end_second(a, NEVER);
    timer_close(a->timer);
    free(a);
}

void audit_refused(struct audit *a, const struct request *e, int status, const char *why)
{
    struct span target = url_without_query(visit_target(e->visit));
    struct span method = visit_method(e->visit);

    if (target.n &&
        memchr(target.p, '@', target.n)) /* of a URL to purge, perhaps with a password */
        target = span_str(e->route ? e->route->path : "");
    if (!loglimit_take(&a->limit, clock_mono_ns()))
        return;
    timer_start_at(a->timer, loglimit_due_ns(&a->limit));
    log_warn("HTTP request refused",
             "status=%d producer=\"%s\" peer=%s method=%.*s path=\"%.*s\" why=\"%.400s\"", status,
             e->who ? e->who->name : "", visit_peer(e->visit), (int)min_u64(method.n, 40), method.p,
             (int)min_u64(target.n, 200), target.p, why);
}
