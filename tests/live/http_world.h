/* SPDX-License-Identifier: MIT
 * An endpoint with its producers, and functions that check the requests at the sandbox. */
#pragma once

#include "http.h"

#include <hiredis/hiredis.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "config.h"
#include "digest.h"

/* The producer "cms" may purge everything but is no operator. */
#define TOKEN "a-token-of-purgeline"
#define TOKEN_SHA256 "2ff43ef6e2c2db9c344ff540f583af93e4d8a4f0f439d84de1360b19ffedb029"
#define KEY_HEADER "Fastly-Key: " TOKEN
#define CMS                                                                                        \
    "producers:\n  - name: cms\n    token_sha256: \"" TOKEN_SHA256                                 \
    "\"\n    kinds: [url, key, all]\n"

struct world {
    struct rig *r;
    struct http *h;
};

static inline struct world world_open(void **state, const char *account, const char *global)
{
    char *lines = alloc_printf(HTTP_LISTENS "%s", global);
    struct world w = {.r = rig_open(state, account, lines)};

    free(lines);
    w.h = http_serve(w.r, 0);
    return w;
}

static inline void world_close(struct world *w)
{
    http_close(w->h);
    rig_close(w->r);
}

/* The only request for this key or URL at the sandbox, which must have been answered. */
static inline const struct request *world_sent(struct world *w, const char *target)
{
    rig_await(w->r, requests_naming(&w->r->requests, target, 200) > 0);
    assert_int_equal(requests_naming(&w->r->requests, target, ANY_STATUS), 1);
    return requests_find(&w->r->requests, target, 0);
}

static inline void world_assert_sent(struct world *w, const char *target, bool soft)
{
    assert_int_equal(world_sent(w, target)->soft, soft);
}

static inline size_t world_count(struct world *w, const char *kind)
{
    size_t n = 0;

    (void)requests_with_status(&w->r->requests, 200);
    for (size_t i = 0; i < w->r->requests.count; i++)
        n += strcmp(w->r->requests.at[i].kind, kind) == 0;
    return n;
}

/* Returns when all jobs that were accepted before have been sent. */
static inline void world_flush(struct world *w)
{
    struct job last = rig_push(w->r, "bulk", "keys", "the-last-one", NULL);

    rig_await_ended(w->r, &last, "purged");
    rig_await_empty(w->r);
}

/* The response is a problem as defined by RFC 9457, and its text begins with `detail`. */
static inline void world_assert_problem(const struct http_reply *r, int status, const char *detail)
{
    assert_int_equal(r->status, status);
    assert_string_equal(http_header(r, "Content-Type"), "application/problem+json");
    assert_int_equal(http_number(r, "status"), status);
    http_assert_text(r, "type", "about:blank");
    assert_true(strlen(http_text(r, "title")) > 0);
    if (strncmp(http_text(r, "detail"), detail, strlen(detail)) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", http_text(r, "detail"), detail);
}

static inline struct job world_job(const struct http_reply *r)
{
    struct job j = {.ms = 0};

    snprintf(j.id, sizeof(j.id), "%s", http_text(r, "job"));
    assert_true(strlen(j.id) > 0);
    return j;
}

/* Lines of the configuration for a producer. */
static inline char *world_producer(const char *name, const char *token, const char *more)
{
    char text[DIGEST_TEXT_ROOM];
    uint8_t digest[DIGEST_SHA256_BYTES];
    struct span shown;

    digest_sha256(span_str(token), digest);
    shown = digest_text(digest, sizeof(digest), HOOK_HEX, text);
    return alloc_printf("  - name: %s\n    token_sha256: \"%.*s\"\n%s", name, (int)shown.n, shown.p,
                        more);
}
