/* SPDX-License-Identifier: MIT */
#include "route.h"

#include <stdio.h>
#include <string.h>

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

const struct route *route_find(const struct route_table *t, struct span method, struct span path,
                               struct span target, struct span parts[ROUTE_PARTS_MAX],
                               char allowed[64])
{
    size_t n = 0;

    allowed[0] = '\0';
    for (size_t i = 0; i < t->count; i++) {
        const struct route *r = &t->routes[i];

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
