/* SPDX-License-Identifier: MIT
 * For tests that use the endpoint as clients of Fastly's API do. */
#pragma once

#include "http_world.h"

#define KEYS "/service/" NEWS "/purge"
#define ALL "/service/" NEWS "/purge_all"
#define PURGE_ALL "    allow_purge_all: true\n"
#define NOBODY "SU9Nobody000000000000"

static inline struct world fastly_open(void **state)
{
    return world_open(state, PURGE_ALL, CMS);
}

/* Generated clients and most others need JSON with the status "ok" and an id. */
static inline void assert_ok(const struct http_reply *r)
{
    assert_string_equal(http_header(r, "Content-Type"), "application/json");
    http_assert_text(r, "status", "ok");
    assert_true(strlen(http_text(r, "id")) > 0);
}

/* A map from each of the keys to a different id, and nothing else. */
static inline void assert_map(const struct http_reply *r, size_t keys)
{
    const char *key;
    json_t *id;

    assert_string_equal(http_header(r, "Content-Type"), "application/json");
    assert_true(json_is_object(r->json));
    assert_int_equal(json_object_size(r->json), keys);
    json_object_foreach(r->json, key, id)
    {
        assert_true(json_is_string(id) && json_string_length(id) > 0);
    }
}
