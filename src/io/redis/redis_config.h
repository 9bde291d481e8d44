/* SPDX-License-Identifier: MIT
 * The address of Redis from the configuration: the URL, the files of TLS and the login. */
#pragma once

#include "config.h"
#include "redis.h"

/* 0, or -EINVAL with "setting: sentence", which never contains the password: an invalid URL, or
 * settings that contradict it. Reads no files, see redis_address_refresh. */
must_use int redis_config_address(const struct config *c, struct redis_address *out,
                                  struct error *err);
/* The same with a URL from elsewhere, which may not be "embedded"; only redis_tls and redis_auth
 * are taken from the configuration. */
must_use int redis_config_address_at(const struct config *c, const char *url,
                                     struct redis_address *out, struct error *err);
