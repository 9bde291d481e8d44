/* SPDX-License-Identifier: MIT
 * The sandbox of deploy/sandbox. It is started for a test program and ends with it. Any error in
 * these functions fails the test. */
#pragma once

#include "base.h"

struct sandbox;

/* `options` are the arguments after `sandbox run --dir DIR`, NULL-terminated; NULL for none. If
 * there is no --budget, it counts purges but never refuses them. */
struct sandbox *sandbox_start(const char *const *options);
void sandbox_stop(struct sandbox *s); /* NULL is fine */

/* "throttle=1&count=3": see `sandbox --help`, but joined with & and form-encoded. */
void sandbox_fault(struct sandbox *s, const char *fmt, ...) print_like(2, 3);
/* Whether every fault with a count has been applied as many times. */
bool sandbox_faults_used_up(struct sandbox *s);
void sandbox_reset(struct sandbox *s);

const char *sandbox_api(const struct sandbox *s);
const char *sandbox_ca(const struct sandbox *s);
const char *sandbox_token(const struct sandbox *s);
const char *sandbox_log(const struct sandbox *s);
const char *sandbox_site(const struct sandbox *s);

/* A page of the cached site, as a visitor sees it. */
struct page {
    bool hit;   /* it came from the cache */
    bool stale; /* it is marked as stale */
    unsigned version;
};

/* host NULL: the address of the site. */
struct page sandbox_page(struct sandbox *s, const char *host, const char *path);
