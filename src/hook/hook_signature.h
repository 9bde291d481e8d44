/* SPDX-License-Identifier: MIT
 * Parses the signature header of a webhook (digest and time) and builds the bytes that were signed.
 * http/hookgate computes the digest. */
#pragma once

#include "buf.h"
#include "config.h"
#include "hook_request.h"

#define HOOK_DIGESTS_MAX 4     /* of one request: while a secret is changed, some send two */
#define HOOK_SIGNS_MAX 16      /* pieces of config_signature.signs */
#define HOOK_SIGNED_HEADERS 64 /* names that {headers} may have */
#define HOOK_SIGNED_MAX_BYTES 65536

/* Whether the settings make a signature that means something. 0, or -EINVAL with a sentence:
 * `value` wants {digest} once; `signs` wants {body}, or whoever saw one request could send any
 * other; a time that is looked at must be signed, or an old request could be given a new one. */
must_use int hook_signature_check(const struct config_signature *s, char *err, size_t err_room);

struct hook_signature {
    struct span digests[HOOK_DIGESTS_MAX];
    uint32_t digests_count;
    struct span time; /* as sent; empty when the scheme has none */
};

/* Takes the header's value apart by `value`: "{digest}", "sha256={digest}", "t={time},v1={digest}".
 * The pairs may come in any order, with blanks around commas, and with pairs that nobody asked for.
 * 0, or -EINVAL: no digest, or no time where one belongs. Spans point into `sent`. */
must_use int hook_signature_parse(const struct config_signature *s, struct span sent,
                                  struct hook_signature *out);

/* Whether `time` (seconds or milliseconds since the epoch; which one its size tells) is within the
 * tolerance. 0, or -EINVAL with a sentence. */
must_use int hook_signature_time(const struct config_signature *s, struct span time,
                                 uint64_t wall_ms, char *err, size_t err_room);

/* The bytes that were digested, as parts that follow each other.
 *
 *   {body} {time} {method} {path}   as they came; the path with its query
 *   {headers}   the headers that headers_header names: "name:value", names in lower case and
 * sorted, values trimmed, joined by ';'. That is Contentful's canonical request:
 *               https://www.contentful.com/developers/docs/webhooks/request-verification/ */
struct hook_signed {
    struct span parts[HOOK_SIGNS_MAX];
    uint32_t parts_count;
    struct buf headers; /* owned */
};

/* 0, or -EINVAL with a sentence naming the header that is missing. Spans point into s and r. */
must_use int hook_signature_text(const struct config_signature *s, const struct hook_request *r,
                                 struct span time, struct hook_signed *out, char *err,
                                 size_t err_room);
void hook_signed_deinit(struct hook_signed *t);
