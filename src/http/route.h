/* SPDX-License-Identifier: MIT
 * HTTP routes: method, path, required permission, description; and finding one in a table. */
#pragma once

#include "span.h"

struct request;

enum route_access {
    ROUTE_OPEN,   /* everybody: the reply contains nothing confidential */
    ROUTE_PUSH,   /* a producer; what it may push is checked against its scopes */
    ROUTE_ADMIN,  /* a producer with `admin` */
    ROUTE_SIGNED, /* authenticated by the signature of a hook */
};

/* The format of replies and errors. */
enum route_voice {
    ROUTE_OURS,   /* application/problem+json, RFC 9457 */
    ROUTE_FASTLY, /* {"msg": …, "detail": …}, as Fastly's API answers */
};

typedef void route_cb(struct request *e);

#define ROUTE_PARTS_MAX 2

struct route {
    const char *method;
    /* "{x}" matches one segment that is not empty, "{x...}" the whole rest, including slashes and
     * the query. */
    const char *path;
    enum route_access access;
    enum route_voice voice;
    route_cb *serve;      /* called when the body is complete */
    route_cb *serve_head; /* called before the body is read; may be NULL */
    const char *sentence;
    /* The query parameters, separated by spaces; NULL: the query is not looked at. A request with
     * another one is refused by routes of ours that need a producer: it does not mean what it
     * says. */
    const char *query;
};

struct route_table {
    const struct route *routes;
    size_t count;
};

extern const struct route_table http_routes; /* all routes of the endpoint: routes.c */

/* Finds the route for `path`, the target without its query. *parts are what the braces matched; a
 * rest is taken from `target`. NULL if there is none; *allowed is then the value of the Allow
 * header, or "" if no route has this path. `allowed` has room for 64 bytes. */
const struct route *route_find(const struct route_table *t, struct span method, struct span path,
                               struct span target, struct span parts[ROUTE_PARTS_MAX],
                               char allowed[64]);
