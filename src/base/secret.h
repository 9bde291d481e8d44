/* SPDX-License-Identifier: MIT
 * Reading a secret, such as a token or a password, from a file or an environment variable. Error
 * messages never contain the secret. */
#pragma once

#include "error.h"
#include "span.h"

#define SECRET_MAX_BYTES 4096

typedef bool secret_byte_cb(char c);
bool secret_is_header_byte(char c); /* allowed in a header: printable ASCII without the space */
bool secret_is_text_byte(char c);   /* all bytes except those that do not occur in text */

/* These read a secret without surrounding white space. `what` is what the error message calls it:
 * "token". *out is malloc'ed; the caller wipes and frees it, see secret_free. 0, -ENOENT (it is
 * empty or there is no such variable), -EPERM (anybody may change the file), -EINVAL (a byte that
 * `ok` refuses, or too long) or the errno of reading, with a sentence. */
must_use int secret_from_file(const char *path, const char *what, secret_byte_cb *ok, char **out,
                              struct error *err);
must_use int secret_from_env(const char *name, const char *what, secret_byte_cb *ok, char **out,
                             struct error *err);
void secret_free(char *secret); /* wipes it; NULL is fine */
