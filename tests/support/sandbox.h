/* SPDX-License-Identifier: MIT
 * The sandbox of deploy/sandbox, started for a test program and gone with it. Whatever goes wrong
 * in here fails the test. */
#pragma once

#include "base.h"

struct sandbox;

/* `options`: what goes after `sandbox run --dir DIR`, NULL-terminated; NULL for none. Without a
 * budget among them it counts and lets everything through. */
struct sandbox *sandbox_start(const char *const *options);
void sandbox_stop(struct sandbox *s); /* NULL is fine */

/* "throttle=1&count=3": see `sandbox --help`, with & between and form-encoded. */
void sandbox_fault(struct sandbox *s, const char *fmt, ...) print_like(2, 3);
/* Whether every fault that had a count has met as many requests: they have arrived. */
bool sandbox_faults_used_up(struct sandbox *s);
void sandbox_reset(struct sandbox *s);

const char *sandbox_api(const struct sandbox *s);
const char *sandbox_ca(const struct sandbox *s);
const char *sandbox_token(const struct sandbox *s);
const char *sandbox_log(const struct sandbox *s);
const char *sandbox_site(const struct sandbox *s);

/* A page of the cached site, as a reader gets it. */
struct page {
    bool hit;   /* it came out of the cache */
    bool stale; /* and is known to be out of date */
    unsigned version;
};

/* host NULL: the site's own address. */
struct page sandbox_page(struct sandbox *s, const char *host, const char *path);
