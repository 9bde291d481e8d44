/* SPDX-License-Identifier: MIT
 * Whether a consumer of Kafka could work: what `purgeline check` asks the brokers. */
#pragma once

#include "source.h"

/* As `look` of struct message_source. */
must_use int kafka_look(const struct config *config, const struct config_consumer *c,
                        struct error *note, struct error *err);
