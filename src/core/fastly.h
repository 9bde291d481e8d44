/* SPDX-License-Identifier: MIT
 * Requests to Fastly and the meaning of its replies: request formats, reply formats, the verdict
 * table. https://www.fastly.com/documentation/reference/api/purging/ */
#pragma once

#include "buf.h"
#include "config.h"
#include "target.h"

/* https://www.fastly.com/documentation/reference/api/purging/#bulk-purge-tag : at most 256 keys. */
#define FASTLY_BATCH_MAX_KEYS 256
/* The documented limit of a Surrogate-Key response header, also used for the request header:
 * https://www.fastly.com/documentation/reference/vcl/constraints-and-limitations/ */
#define FASTLY_BATCH_MAX_BYTES 16384
#define FASTLY_REPLY_MAX_BYTES (256 * 1024)
#define FASTLY_ID_MAX_BYTES 64 /* of a purge; longer ones are ignored */

enum verdict {
    VERDICT_PURGED,    /* 2xx and understood */
    VERDICT_THROTTLED, /* 429: does not count as an attempt */
    VERDICT_RETRY,     /* 408, 409, 425, 5xx, transport, a reply that cannot be understood */
    VERDICT_REFUSED, /* 400, 413, 414, 431 ...: a target is bad; bisect, or dead letter if alone */
    VERDICT_AUTH,    /* 401, 403 of the API: the account pauses */
    VERDICT_NO_SERVICE, /* 404 of the API: the service pauses */
    VERDICT_DENIED, /* only this target is refused (403 of purge_all, VCL's 403, 404 of a URL) */
    VERDICT_N
};

extern const char *const verdict_names[];

/* What one request asks for. */
struct fastly_ask {
    enum target_kind kind; /* of all its targets */
    struct span service;   /* Fastly service id; unused for URLs */
    bool soft;
    enum url_mode url_mode;
    enum key_form key_form;
    const struct config_words *token_hosts; /* sites that may get the token; NULL: none */
    const struct span *targets;             /* keys: 1..256; URL: 1; all: none */
    size_t targets_count;
};

/* The request in parts: method "POST" or "PURGE"; url complete, byte-exact; `header` one extra
 * header line ("Surrogate-Key: a b", for the JSON form "Content-Type: application/json") or empty;
 * body (JSON form) or empty. The sender adds the constant headers: token, soft, user agent. The
 * token goes to the API, and to a site only if the site is in token_hosts and the request uses
 * https. `api` is the configured base URL without trailing slash. A batch above the two limits, an
 * unchecked key, URL or service id, and a soft purge-all are bugs and abort. */
struct fastly_request {
    const char *method;
    struct buf url;
    struct buf header;
    struct buf body;
    bool to_site; /* the request goes to the URL's host, not to the API */
    bool show_token;
};

void fastly_request_build(struct fastly_request *r, const char *api, const struct fastly_ask *ask);

/* The number of bytes that `key` adds to a batch in this form, for checking the limits. */
size_t fastly_key_bytes(enum key_form form, struct span key);

/* The reply. status 0: no HTTP reply (transport failure). */
struct fastly_reply {
    int status;
    struct span body;
    struct span retry_after; /* header values, empty when absent */
    struct span rate_remaining;
    struct span rate_reset;
};

struct fastly_judgement {
    enum verdict verdict;
    uint64_t wait_ms;    /* Retry-After / Reset, capped at an hour; 0 = no hint */
    uint32_t keys_limit; /* N in "only supports up to N surrogate keys", or 0 */
    char reason[128];    /* for users: printable, without secrets; "" if purged */
};

/* The ids that Fastly gave to the purges of a request. Its support asks for them; otherwise they
 * mean nothing. https://www.fastly.com/documentation/reference/api/purging/ */
struct fastly_ids {
    /* Of each key; of a URL or a purge-all the first. Empty: none, or one that is too long or has
     * other characters than printable ASCII without quotation marks and backslashes. */
    struct span of[FASTLY_BATCH_MAX_KEYS];
    struct json_t *reply; /* if they are in it, or NULL */
};
void fastly_ids_deinit(struct fastly_ids *ids);

/* Judges the reply. wall_ms is used to convert dates into waiting times. For a purged batch, sets
 * missing[i] for every requested key that the reply does not name (missing has room for
 * targets_count; other elements are not changed), and sets *missing_count to the number of such
 * keys, which may be 0. Neither is changed for URLs and purge-alls. A batch reply that names none
 * of the keys, or is not a JSON object, is VERDICT_RETRY. URLs and purge-alls need {"status":
 * "ok"}, except that a site asked directly may answer any 2xx, because its VCL writes the body.
 *
 * What was purged has its id in *ids as long as the reply's body exists. In any case *ids must be
 * deinitialized afterwards. */
void fastly_judge(const struct fastly_ask *ask, const struct fastly_reply *reply, uint64_t wall_ms,
                  struct fastly_judgement *out, bool *missing, size_t *missing_count,
                  struct fastly_ids *ids);

/* How long a 429 says to wait, as wait_ms above. */
uint64_t fastly_wait_hint(const struct fastly_reply *reply, uint64_t wall_ms);

/* Retry-After: seconds or an HTTP-date (RFC 9110 section 10.2.3), as milliseconds from now, at most
 * an hour. 0, or -EINVAL if it is neither. */
must_use int fastly_retry_after(struct span value, uint64_t wall_ms, uint64_t *wait_ms);
