/* SPDX-License-Identifier: MIT
 * The query of a request ("account=main&target=a%20b"), as HTML forms and the libraries of clients
 * encode it: https://url.spec.whatwg.org/#application/x-www-form-urlencoded */
#pragma once

#include "buf.h"

/* Decodes names and values: %XX is a byte, '+' a space, and a '%' that does not begin an escape is
 * kept. *out gets each name and its value, each followed by a NUL byte, for the functions below; it
 * has at most twice as many bytes as the query, and 3 more. 0, or -EINVAL for a query with a NUL.
 * Release *out with buf_deinit in any case. */
must_use int query_decode(struct span query, struct buf *out);

/* The value of the first parameter with this name. It is empty if the query has only the name, and
 * p == NULL if it has not even that. */
struct span query_find(struct span decoded, const char *name);

/* NULL, or why a request with this query cannot be what its client meant: a parameter that is not
 * one of `known` (names separated by spaces), or one that is given twice. The sentence is in `why`.
 * It contains neither values nor what does not look like a name, because they may be secret. */
const char *query_fault(struct span decoded, const char *known, char *why, size_t room);

/* Returns the byte encoded by the escape at the beginning of s, or -1 if there is no escape. */
int query_escaped(struct span s);
/* Decodes %XX, but not '+'. */
void query_unescape(struct span s, struct buf *out);
