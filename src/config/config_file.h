/* SPDX-License-Identifier: MIT
 * From a YAML file and the environment to a struct config. */
#pragma once

#include <stdio.h>

#include "config.h"

/* Fills *out with the defaults, then the file (path NULL: none; a missing file that was named is an
 * error), then the environment (PURGELINE_REDIS ... ; for the one account of the default
 * configuration also PURGELINE_API, PURGELINE_CA_FILE, FASTLY_SERVICE_ID), then validates.
 * 0, or negative errno with one sentence in err: file, line, setting, what was expected.
 * On error *out is untouched. Release with config_deinit. */
must_use int config_load(const char *path, struct config *out, char *err, size_t err_room);

/* Writes a commented sample configuration: every setting, its default, its range, its sentence. */
void config_print_sample(FILE *out);

/* The token of an account, read anew from token_file or the environment, without surrounding white
 * space. malloc'ed; the caller wipes and frees it. 0, -ENOENT (none set), -EINVAL (bytes no header
 * can carry) or the errno of the read, with a sentence in err that never holds the token. */
must_use int config_read_token(const struct config_account *a, char **token, char *err,
                               size_t err_room);

/* "user:password" for the account's api_proxy, from api_proxy_auth_file; "" when there is no such
 * file to read. As config_read_token otherwise. */
must_use int config_read_proxy_auth(const struct config_account *a, char **auth, char *err,
                                    size_t err_room);

/* The same of a hook, from secret_file or the environment: any text without control characters, for
 * HOOK_TOKEN what a header can carry. */
must_use int config_read_secret(const struct config_hook *h, char **secret, char *err,
                                size_t err_room);
