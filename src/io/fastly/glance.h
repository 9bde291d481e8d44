/* SPDX-License-Identifier: MIT
 * Blocking GET requests for a page, as its visitors make them but with Fastly-Debug. The head of
 * the reply is kept, and of the body only its length.
 * https://www.fastly.com/documentation/reference/http/http-headers/Fastly-Debug/ */
#pragma once

#include "buf.h"
#include "error.h"

#define GLANCE_HEAD_MAX_BYTES (256 * 1024)
#define GLANCE_BODY_MAX_BYTES (16 * 1024 * 1024) /* the rest is not fetched */
#define GLANCE_REDIRECTS_MAX 10

enum glance_redirects { GLANCE_STAY, GLANCE_FOLLOW };

/* Makes its requests on one connection, so that they reach the same cache. */
struct glancer;
struct glancer *glancer_new(const char *url, enum glance_redirects redirects, uint32_t timeout_ms);
void glancer_free(struct glancer *g); /* NULL is fine */

struct glance {
    int status;
    struct buf head; /* of the last reply, after redirects */
    uint64_t body_bytes;
    bool body_cut;
    char address[80]; /* "192.0.2.1:443": where the reply came from */
    char *url;        /* that of the last reply */
    char *redirect;   /* where the reply sends us, and we did not go; "" for none */
};

/* 0, or -EIO with a sentence. Certificates are verified. glance_deinit is needed after 0 only. */
must_use int glance(struct glancer *g, struct glance *out, struct error *err);
void glance_deinit(struct glance *l);
