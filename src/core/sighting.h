/* SPDX-License-Identifier: MIT
 * What the headers of a page say about the Fastly caches that it came through: which they are, hit
 * or miss, the age of the copy, its surrogate keys, and how long it may be served stale.
 * https://www.fastly.com/documentation/reference/http/http-headers/ */
#pragma once

#include "span.h"

/* A POP and its shield are two. There are more after a restart in VCL, and if one service is behind
 * another. Of a longer list, only the last ones are kept: they are nearest to the visitor. */
#define SIGHTING_HOPS_MAX 8
/* Longer times are cut, so that they can be multiplied without overflow. */
#define SIGHTING_TIME_MAX_S UINT64_C(1000000000)

enum sighting_cache { SIGHTING_UNSAID, SIGHTING_MISS, SIGHTING_HIT, SIGHTING_CACHE_N };

/* One cache. For all but the last, these are its words of the time when the next one fetched the
 * page from it. */
struct sighting_hop {
    struct span server; /* "cache-ams21039-AMS"; empty if VCL removes X-Served-By */
    struct span pop;    /* "AMS"; empty if the server has another kind of name */
    enum sighting_cache cache;
    bool age_known;
    uint64_t age_s; /* of its copy, from Fastly-Debug-TTL; 0 for a miss */
};

/* The spans point into the head that was read. */
struct sighting {
    int status;                                  /* 0 if the status line cannot be understood */
    struct sighting_hop hops[SIGHTING_HOPS_MAX]; /* from the origin to the visitor */
    size_t hops_count;
    bool debug; /* Fastly-Debug had an effect */

    bool age_known;
    uint64_t age_s; /* Age: the time in all caches */

    bool keyed;        /* there is a Surrogate-Key header */
    size_t keys_count; /* with repetitions */
    size_t keys_bytes; /* of all its lines, with one space between two */
    size_t keys_ignored;
    struct span ignored;   /* the first key that Fastly ignores because of the header's limit */
    struct span comma_key; /* the first key with a comma; empty if there is none */
    struct span long_key;  /* the first key that no purge can name; empty if there is none */

    uint64_t swr_s;          /* stale-while-revalidate; 0 for none */
    bool validator;          /* ETag or Last-Modified */
    struct span uncacheable; /* "private", "no-store" or "max-age=0" in Cache-Control; or empty */
    bool sets_cookie;
};

/* Reads the head of a reply: the status line and the headers. Any bytes are
 * taken; what cannot be understood counts as missing. */
void sighting_read(struct sighting *s, struct span head);

/* Whether the Surrogate-Key of the head names this key. */
bool sighting_has_key(struct span head, struct span key);

/* The first header of this name. False if there is none. */
bool sighting_header(struct span head, struct span name, struct span *value);

/* The cache that the visitor reached, or NULL if the reply names none. */
const struct sighting_hop *sighting_pop(const struct sighting *s);
/* The cache from which that one fetches, or NULL if there is none. */
const struct sighting_hop *sighting_shield(const struct sighting *s);

enum sighting_state {
    SIGHTING_FRESH, /* fetched from the origin after the purge */
    SIGHTING_STALE, /* fetched before the purge began */
    SIGHTING_OPEN,  /* cannot be said */
};

/* Whether the copy is older than a purge. Age is compared with how long ago the purge was, and no
 * clock with that of another machine. `least_ms` is the time from the end of the purge to the
 * beginning of the request for the page, `most_ms` that from the beginning of the purge to the end
 * of the request. Age is in whole seconds, and is cut, not rounded. */
enum sighting_state sighting_against(const struct sighting *s, uint64_t least_ms, uint64_t most_ms);
