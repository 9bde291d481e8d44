/* SPDX-License-Identifier: MIT */
#include "route.h"

#include <stdio.h>

#include "http_internal.h"

static const struct route table[] = {
    {"POST", "/v1/purge", ROUTE_PUSH, ROUTE_OURS, api_purge, NULL, "Push a job."},
    {"POST", "/v1/purge/bulk", ROUTE_PUSH, ROUTE_OURS, api_bulk_end, api_bulk_begin,
     "Push any number of jobs as JSON lines; the reply has a result for each line."},
    {"GET", "/v1/jobs/{job}", ROUTE_PUSH, ROUTE_OURS, api_job_get, NULL,
     "The outcome of a job, or its current state."},
    {"DELETE", "/v1/jobs/{job}", ROUTE_PUSH, ROUTE_OURS, api_job_cancel, NULL,
     "Cancel a job that has not ended."},
    {"POST", "/hooks/{hook}", ROUTE_SIGNED, ROUTE_OURS, api_hook, api_hook_head,
     "Turn a webhook of a publishing system into a job, as configured."},
    {"GET", "/v1/status", ROUTE_ADMIN, ROUTE_OURS, api_status, NULL,
     "State of the accounts: leader, backlog and remaining budget."},
    {"GET", "/v1/dead", ROUTE_ADMIN, ROUTE_OURS, api_dead_list, NULL,
     "List dead letters (jobs that were given up), newest first."},
    {"POST", "/v1/dead/retry", ROUTE_ADMIN, ROUTE_OURS, api_dead_retry, api_order_head,
     "Push dead letters again, as new jobs in their lanes."},
    {"POST", "/v1/dead/drop", ROUTE_ADMIN, ROUTE_OURS, api_dead_drop, api_order_head,
     "Delete dead letters."},
    {"POST", "/v1/plan", ROUTE_PUSH, ROUTE_OURS, api_plan, api_order_head,
     "Predict cost and completion of jobs, or of the backlog, without sending anything."},
    {"POST", "/v1/pause", ROUTE_ADMIN, ROUTE_OURS, api_pause, api_order_head,
     "Stop sending for an account; jobs are still accepted."},
    {"POST", "/v1/resume", ROUTE_ADMIN, ROUTE_OURS, api_resume, api_order_head,
     "Resume sending for an account."},
    {"GET", "/livez", ROUTE_OPEN, ROUTE_OURS, api_livez, NULL,
     "200 while the dispatcher makes progress."},
    {"GET", "/readyz", ROUTE_OPEN, ROUTE_OURS, api_readyz, NULL,
     "200 while jobs can be accepted and every account has an instance that dispatches it."},
    {"GET", "/metrics", ROUTE_PUSH, ROUTE_OURS, api_metrics, NULL,
     "All metrics, in the Prometheus text format."},
    /* Routes of Fastly's API: https://www.fastly.com/documentation/reference/api/purging/ */
    {"POST", "/service/{service}/purge", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_keys, NULL,
     "Fastly API: purge surrogate keys."},
    {"POST", "/service/{service}/purge/", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_keys, NULL,
     "Fastly API: purge surrogate keys, for clients that end the path with a slash."},
    {"POST", "/service/{service}/purge/{key...}", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_key, NULL,
     "Fastly API: purge one surrogate key."},
    {"POST", "/service/{service}/purge_all", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_all, NULL,
     "Fastly API: purge all content of a service."},
    {"POST", "/purge/{url...}", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_url, NULL,
     "Fastly API: purge a URL."},
    {"PURGE", "/{path...}", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_site, NULL,
     "Fastly API: PURGE request as a site receives it, with Host and path or an absolute URL."},
    {"GET", "/tokens/self", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_token, NULL,
     "Fastly API: the token and its permissions."},
    {"GET", "/current_user", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_user, NULL,
     "Fastly API: the user to whom the token belongs."},
    {"GET", "/current_customer", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_customer, NULL,
     "Fastly API: the customer whose services the token may purge."},
    {"GET", "/verify", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_verify, NULL,
     "Fastly API: user, customer, token and services in one reply, for `fastly whoami`."},
    {"GET", "/public-ip-list", ROUTE_OPEN, ROUTE_FASTLY, api_fastly_ips, NULL,
     "Fastly API: the addresses of Fastly's caches, as Fastly last reported them."},
    {"GET", "/realms/fastly/.well-known/openid-configuration", ROUTE_OPEN, ROUTE_FASTLY,
     api_fastly_openid, NULL,
     "Fastly API: the document that the CLI fetches from its account endpoint."},
    {"GET", "/service", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_services, NULL,
     "Fastly API: list the services."},
    {"GET", "/service/search", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_search, NULL,
     "Fastly API: find a service by name."},
    {"GET", "/service/{service}", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_service, NULL,
     "Fastly API: one service."},
    {"GET", "/service/{service}/details", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_service, NULL,
     "Fastly API: one service with its active version; purgeline does not know the version."},
    {"GET", "/service/{service}/version", ROUTE_PUSH, ROUTE_FASTLY, api_fastly_versions, NULL,
     "Fastly API: the versions of a service; always an empty list."},
};

const struct route *route_table(size_t *count)
{
    *count = array_len(table);
    return table;
}

/* Matches the part in braces at *pattern and removes the matched text from the path. */
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
    /* A rest must not be empty: "/purge/" names no key. Only "/{path...}" matches an empty rest. */
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
            continue; /* its route matches every path */
        n += (size_t)snprintf(allowed + n, 64 - n, "%s%s", n ? ", " : "", r->method);
        must(n < 64);
    }
    return NULL;
}
