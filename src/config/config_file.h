/* SPDX-License-Identifier: MIT
 * Loads a struct config from a YAML file and the environment. */
#pragma once

#include <stdio.h>

#include "config.h"

/* Fills *out with the defaults, then the file (path NULL: none; a missing file that was named is an
 * error), then the environment (PURGELINE_REDIS ... ; for the one account of the default
 * configuration also PURGELINE_API, PURGELINE_CA_FILE, FASTLY_SERVICE_ID), then `redis` from the
 * option --redis (NULL: not given), then validates. 0, or
 * negative errno with a sentence in err that gives file, line, setting and what was expected. On
 * error *out is untouched. Release with config_deinit. */
must_use int config_load(const char *path, const char *redis, struct config *out,
                         struct error *err);

/* Writes a commented sample configuration: every setting, its default, its range, its sentence. */
void config_print_sample(FILE *out);

/* Reads the token of an account from token_file or the environment, without surrounding white
 * space. malloc'ed; the caller wipes and frees it. 0, -ENOENT (none set), -EINVAL (bytes that are
 * not allowed in a header) or the errno of the read, with a sentence in err that never contains the
 * token. */
must_use int config_read_token(const struct config_account *a, char **token, struct error *err);

/* "user:password" for the account's api_proxy, from api_proxy_auth_file; "" if no such file is
 * configured. Otherwise like config_read_token. */
must_use int config_read_proxy_auth(const struct config_account *a, char **auth, struct error *err);

/* Reads the secret of a hook in the same way, from secret_file or the environment. It may be any
 * text without control characters; for HOOK_TOKEN only bytes that are allowed in a header. */
must_use int config_read_secret(const struct config_hook *h, char **secret, struct error *err);
