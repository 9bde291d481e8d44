/* SPDX-License-Identifier: MIT
 * A target of a purge: a URL, a surrogate key of a service, or all content of a service. Checks
 * whether a target is valid, and whether two targets are the same. */
#pragma once

#include "base.h"
#include "span.h"

enum target_kind { TARGET_KEY, TARGET_URL, TARGET_ALL };

extern const char *const target_kind_names[]; /* "key", "url", "all" */

/* https://www.fastly.com/documentation/reference/http/http-headers/Surrogate-Key/ : keys of at most
 * 1,024 bytes; longer ones make the purge request fail. */
#define KEY_MAX_BYTES 1024
#define URL_MAX_BYTES 8192
#define HOST_MAX_BYTES 253 /* RFC 1035 section 2.3.4, as text */
#define SERVICE_ID_MAX_BYTES 64
#define SERVICE_NAME_MAX_BYTES 255 /* the name in the configuration */

/* 0, or -EINVAL with a plain sentence in *why (static): 1 to 1,024 bytes of 0x21 to 0x7E. */
must_use int key_check(struct span key, const char **why);

/* 0, or -EINVAL with a sentence: http://, https:// or no scheme, a host (name, IPv4 or [IPv6]) with
 * or without a port, at most 8 KiB, no control bytes, no space, no fragment, no user info, no ".."
 * segment in the path, and nothing that some servers read as one ("..;x", "%2e%2e", "%252e.", also
 * with a backslash or %5c instead of a slash). Bytes from 0x80 up are accepted and sent unchanged.
 * "//host/x", which has no scheme, is not a URL. */
must_use int url_check(struct span url, const char **why);

/* The host[:port] part and the rest (path and query, "" or starting with '/' or '?') of a URL that
 * passed url_check. User info is refused by url_check. */
void url_split(struct span url, struct span *host, struct span *rest);
struct span url_without_scheme(struct span url); /* http:// or https:// */
struct span url_without_query(struct span url);  /* up to the '?' */
struct span host_name(struct span host);         /* without its port; "[::1]" keeps the brackets */
/* Whether it is an IP address as inet_pton(3) reads it, in brackets if IPv6, not a name. */
bool host_is_address(struct span host);

/* [A-Za-z0-9]{1,64}: what is allowed in the path of a request. */
bool service_id_ok(struct span id);

/* Identity. Keys: service and bytes. URLs: host in lower case, scheme ignored, path and query
 * untouched (https://www.fastly.com/documentation/reference/vcl/subroutines/hash/ : the default
 * hash is req.url and req.http.host); the service does not matter, and an empty path is "/" because
 * that is what a server sees. "h:80" and "h" are different hosts, because the cache hashes the Host
 * header. All: the service. Soft and hard purges are not distinguished: a hard purge absorbs a soft
 * one. */
uint32_t target_hash(enum target_kind kind, uint16_t service, struct span bytes);
bool target_same(enum target_kind kind, struct span a, struct span b);

/* Must be called once with a random seed before the first hash: producers choose the hashed bytes
 * and must not be able to cause collisions. Tests do not call it, so they always get the same
 * hashes. */
void target_hash_seed(uint64_t seed);
