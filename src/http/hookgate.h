/* SPDX-License-Identifier: MIT
 * Authenticates requests of a publishing system by their signature or token. */
#pragma once

#include "config.h"
#include "hook_request.h"

/* 0, or -EACCES with a sentence for the log, never for the answer: what is missing or does not
 * match, but neither the secret nor the digest that was expected. The secret is not empty unless
 * the scheme is HOOK_UNSIGNED; an empty one lets nobody in. `s` passed hook_signature_check. */
must_use int hookgate_check(const struct config_signature *s, struct span secret,
                            const struct hook_request *request, uint64_t wall_ms, char *err,
                            size_t err_room);
