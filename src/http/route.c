/* SPDX-License-Identifier: MIT */
#include "route.h"

#include <stdio.h>

#include "desk.h"

static const struct route table[] = {
    {"POST", "/v1/purge", ROUTE_PUSH, ROUTE_OURS, desk_purge, NULL, "Push a job."},
    {"POST", "/v1/purge/bulk", ROUTE_PUSH, ROUTE_OURS, desk_bulk_end, desk_bulk_begin,
     "Push many jobs as JSON lines, of any length; a result for each line."},
    {"GET", "/v1/jobs/{job}", ROUTE_PUSH, ROUTE_OURS, desk_job_get, NULL, "What became of a job."},
    {"DELETE", "/v1/jobs/{job}", ROUTE_PUSH, ROUTE_OURS, desk_job_cancel, NULL,
     "Cancel a job that has not ended."},
    {"POST", "/hooks/{hook}", ROUTE_SIGNED, ROUTE_OURS, desk_hook, desk_hook_head,
     "A publishing system's webhook, turned into a job as configured."},
    {"GET", "/v1/status", ROUTE_ADMIN, ROUTE_OURS, desk_status, NULL,
     "How the accounts stand: who dispatches, what waits, what is left of the budget."},
    {"GET", "/v1/dead", ROUTE_ADMIN, ROUTE_OURS, desk_dead_list, NULL,
     "The jobs that were given up on, the newest first."},
    {"POST", "/v1/dead/retry", ROUTE_ADMIN, ROUTE_OURS, desk_dead_retry, desk_order_head,
     "Put dead letters back into their lanes, as new jobs."},
    {"POST", "/v1/dead/drop", ROUTE_ADMIN, ROUTE_OURS, desk_dead_drop, desk_order_head,
     "Forget dead letters."},
    {"POST", "/v1/plan", ROUTE_PUSH, ROUTE_OURS, desk_plan, desk_order_head,
     "Foresee what would become of jobs, or of the backlog; nothing is sent."},
    {"POST", "/v1/pause", ROUTE_ADMIN, ROUTE_OURS, desk_pause, desk_order_head,
     "Stop sending for an account; jobs are still accepted."},
    {"POST", "/v1/resume", ROUTE_ADMIN, ROUTE_OURS, desk_resume, desk_order_head,
     "Go on sending for an account."},
    {"GET", "/livez", ROUTE_OPEN, ROUTE_OURS, desk_livez, NULL,
     "200 while the dispatcher makes progress."},
    {"GET", "/readyz", ROUTE_OPEN, ROUTE_OURS, desk_readyz, NULL,
     "200 when jobs can be accepted and every account is dispatched by somebody."},
    {"GET", "/metrics", ROUTE_PUSH, ROUTE_OURS, desk_metrics, NULL,
     "Everything that is counted, for Prometheus."},
    /* Fastly's own: https://www.fastly.com/documentation/reference/api/purging/ */
    {"POST", "/service/{service}/purge", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_keys, NULL,
     "Fastly's: purge surrogate keys."},
    {"POST", "/service/{service}/purge/", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_keys, NULL,
     "The same; some clients end the path with a slash."},
    {"POST", "/service/{service}/purge/{key...}", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_key, NULL,
     "Fastly's: purge one surrogate key."},
    {"POST", "/service/{service}/purge_all", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_all, NULL,
     "Fastly's: purge everything of a service."},
    {"POST", "/purge/{url...}", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_url, NULL,
     "Fastly's: purge a URL."},
    {"PURGE", "/{path...}", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_site, NULL,
     "A purge as it is sent to the site: Host and path, or an absolute target."},
    {"GET", "/tokens/self", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_token, NULL,
     "Fastly's: what the token may."},
    {"GET", "/current_user", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_user, NULL,
     "Fastly's: whose token it is."},
    {"GET", "/current_customer", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_customer, NULL,
     "Fastly's: the customer whose services the token may purge."},
    {"GET", "/verify", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_verify, NULL,
     "Fastly's: user, customer, token and services at once, for the CLI's whoami."},
    {"GET", "/public-ip-list", ROUTE_OPEN, ROUTE_FASTLY, desk_fastly_ips, NULL,
     "Fastly's: the addresses of its caches, as Fastly last told them."},
    {"GET", "/realms/fastly/.well-known/openid-configuration", ROUTE_OPEN, ROUTE_FASTLY,
     desk_fastly_openid, NULL, "Fastly's: what the CLI fetches from its account endpoint."},
    {"GET", "/service", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_services, NULL,
     "Fastly's: the services."},
    {"GET", "/service/search", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_search, NULL,
     "Fastly's: the service of that name."},
    {"GET", "/service/{service}", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_service, NULL,
     "Fastly's: one service."},
    {"GET", "/service/{service}/details", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_service, NULL,
     "Fastly's: one service with its active version, of which nothing is known here."},
    {"GET", "/service/{service}/version", ROUTE_PUSH, ROUTE_FASTLY, desk_fastly_versions, NULL,
     "Fastly's: the service's versions, of which none is known here."},
};

const struct route *route_table(size_t *count)
{
    *count = array_len(table);
    return table;
}

/* One part in braces at *pattern; the path's share of it is cut off. */
static bool match_part(const char **pattern, struct span *path, struct span *part, bool *rest)
{
    const char *end = strchr(*pattern, '}');
    size_t n = 0;

    *rest = end - *pattern >= 3 && memcmp(end - 3, "...", 3) == 0;
    *pattern = end + 1;
    while (n < path->n && (*rest || path->p[n] != '/'))
        n++;
    *part = span_of(path->p, n);
    path->p += n;
    path->n -= n;
    return n > 0 || (*rest && **pattern == '\0');
}

static bool match(const struct route *r, struct span path, struct span target,
                  struct span parts[ROUTE_PARTS_MAX])
{
    const char *pattern = r->path, *begin = path.p;
    size_t n = 0;
    bool rest = false;

    while (*pattern) {
        if (*pattern == '{') {
            must(n < ROUTE_PARTS_MAX);
            if (!match_part(&pattern, &path, &parts[n], &rest))
                return false;
            if (rest)
                parts[n] = span_of(parts[n].p, target.n - (size_t)(parts[n].p - begin));
            n++;
        } else {
            if (path.n == 0 || *path.p != *pattern++)
                return false;
            path.p++;
            path.n--;
        }
    }
    /* "/purge/" with nothing behind it names nothing. */
    return path.n == 0 && (!rest || parts[n - 1].n > 0 || strcmp(r->path, "/{path...}") == 0);
}

static bool same_method(const struct route *r, struct span method)
{
    return span_is(method, r->method) || (span_is(method, "HEAD") && strcmp(r->method, "GET") == 0);
}

const struct route *route_find(struct span method, struct span path, struct span target,
                               struct span parts[ROUTE_PARTS_MAX], char allowed[64])
{
    size_t n = 0;

    allowed[0] = '\0';
    for (size_t i = 0; i < array_len(table); i++) {
        const struct route *r = &table[i];

        if (!match(r, path, target, parts))
            continue;
        if (same_method(r, method))
            return r;
        if (strcmp(r->method, "PURGE") == 0 || strstr(allowed, r->method))
            continue; /* fits every path */
        n += (size_t)snprintf(allowed + n, 64 - n, "%s%s", n ? ", " : "", r->method);
        must(n < 64);
    }
    return NULL;
}
