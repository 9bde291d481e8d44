/* SPDX-License-Identifier: MIT
 * Login and TLS for a NATS server, as a consumer's settings say. */
#pragma once

#include <nats/nats.h>

#include "config.h"
#include "error.h"

/* 0, or negative errno with a sentence. Secrets are read from their files now, and those of
 * credentials_file by libnats when it connects. */
must_use int nats_login(natsOptions *o, const struct config_consumer *c, struct error *err);
