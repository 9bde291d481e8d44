/* SPDX-License-Identifier: MIT
 * A blocking GET request to purgeline's own HTTP endpoint, from the same machine or container. */
#pragma once

#include "buf.h"
#include "config.h"

/* Connects to the first address of `listen` (a wildcard address means loopback), and speaks TLS if
 * the endpoint does. The certificate is not verified: nothing secret is sent, and it names a host
 * that is not the one we connect to. The environment's proxies are not used. 0 with the status and
 * the body, -EINVAL if the address has no fixed port, -EIO if there is no answer within the time;
 * then with a sentence. */
must_use int local_get(const struct config *c, const char *path, uint64_t timeout_ms, int *status,
                       struct buf *body, struct error *err);
