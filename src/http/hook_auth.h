/* SPDX-License-Identifier: MIT
 * Authenticates requests of a publishing system by their signature or token. */
#pragma once

#include "config.h"
#include "hook_request.h"

/* 0, or -EACCES with a message for the log, never for the reply: it says what is missing or does
 * not match, but contains neither the secret nor the expected digest. The secret is not empty
 * unless the scheme is HOOK_UNSIGNED; an empty secret authenticates nobody. `s` must have passed
 * hook_signature_check. */
must_use int hook_auth_check(const struct config_signature *s, struct span secret,
                             const struct hook_request *request, uint64_t wall_ms,
                             struct error *err);
