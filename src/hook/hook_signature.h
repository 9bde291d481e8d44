/* SPDX-License-Identifier: MIT
 * Parses the signature header of a webhook (digest and time) and builds the bytes that were signed.
 * http/hook_auth computes the digest. */
#pragma once

#include "buf.h"
#include "config.h"
#include "hook_request.h"

#define HOOK_DIGESTS_MAX 4     /* per request; two are sent while a secret is changed */
#define HOOK_SIGNS_MAX 16      /* maximum number of pieces in config_signature.signs */
#define HOOK_SIGNED_HEADERS 64 /* maximum number of names for {headers} */
#define HOOK_SIGNED_MAX_BYTES 65536

/* Checks whether the settings describe a secure signature. 0, or -EINVAL with a sentence. `value`
 * must contain {digest} once. `signs` must contain {body}; otherwise anyone who has seen one
 * request could send a different body. A time that is checked must be signed; otherwise an old
 * request could be replayed with a new time. */
must_use int hook_signature_check(const struct config_signature *s, struct error *err);

struct hook_signature {
    struct span digests[HOOK_DIGESTS_MAX];
    uint32_t digests_count;
    struct span time; /* as sent; empty if the scheme has no time */
};

/* Parses the header's value according to `value`: "{digest}", "sha256={digest}",
 * "t={time},v1={digest}". The pairs may come in any order, with blanks around commas; unknown pairs
 * are ignored. 0, or -EINVAL: the digest, or a required time, is missing. Spans point into
 * `sent`. */
must_use int hook_signature_parse(const struct config_signature *s, struct span sent,
                                  struct hook_signature *out);

/* Checks that `time` is within the tolerance. It is in seconds or milliseconds since the epoch; its
 * size tells which. 0, or -EINVAL with a sentence. */
must_use int hook_signature_time(const struct config_signature *s, struct span time,
                                 uint64_t wall_ms, struct error *err);

/* The signed bytes, as consecutive parts.
 *
 *   {body} {time} {method} {path}   as received; the path includes its query
 *   {headers}   the headers that headers_header names: "name:value", names in lower case
 *               and sorted, values trimmed, joined by ';'. That is Contentful's canonical request:
 *               https://www.contentful.com/developers/docs/webhooks/request-verification/ */
struct hook_signed {
    struct span parts[HOOK_SIGNS_MAX];
    uint32_t parts_count;
    struct buf headers; /* owned */
};

/* 0, or -EINVAL with a sentence that names the missing header. Spans point into s and r. */
must_use int hook_signature_text(const struct config_signature *s, const struct hook_request *r,
                                 struct span time, struct hook_signed *out, struct error *err);
void hook_signed_deinit(struct hook_signed *t);
