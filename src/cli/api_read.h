/* SPDX-License-Identifier: MIT
 * GET requests of commands to Fastly's API, each counted in Redis before it is sent:
 * store/read_ledger.h. If Redis does not answer, they are sent uncounted, because a person asks for
 * them one at a time. */
#pragma once

#include "fetch.h"
#include "reads.h"

struct api_reader;

/* Nothing is connected before the first request. The configuration must live as long. */
struct api_reader *api_reader_open(const struct config *c);
void api_reader_close(struct api_reader *r); /* NULL is fine */

/* As fetch(); or -EAGAIN with a clause: it was not sent, because a limit is used up. A 429 is noted
 * in Redis, and no request of this kind is sent for as long as it says. */
must_use int api_read(struct api_reader *r, const struct config_account *a,
                      const struct fetch_secrets *s, enum read_kind kind, const char *path,
                      struct buf *body, struct fetch_answer *answer, struct error *err);

/* Why requests were sent uncounted; "": all were counted. */
const char *api_reader_uncounted(const struct api_reader *r);
