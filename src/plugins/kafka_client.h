/* SPDX-License-Identifier: MIT
 * A client of Kafka, configured as a consumer's settings say, and its errors in words. */
#pragma once

#include <librdkafka/rdkafka.h>

#include "config.h"
#include "error.h"

enum kafka_use {
    KAFKA_READ, /* as a member of the group */
    KAFKA_LOOK, /* without becoming a member; tells when the end of a partition is reached */
};

/* Connects to nothing yet. The client reports what happens as events, and logs nothing. Reads the
 * password. 0, or -EINVAL or the errno of reading a file with a sentence that starts with the
 * setting. */
must_use int kafka_client_new(const struct config_consumer *c, enum kafka_use use, rd_kafka_t **out,
                              struct error *err);

/* What went wrong, without the parts of the library's text that differ each time. Returns rc. */
int kafka_reason(int rc, rd_kafka_resp_err_t code, const char *text, struct error *err);

/* Whether the client cannot connect as it is configured, so that waiting does not help. */
bool kafka_is_refusal(rd_kafka_resp_err_t code);

/* Asks a broker for the topic. 0: it exists, and has *partitions; otherwise an error code. */
must_use rd_kafka_resp_err_t kafka_ask_topic(rd_kafka_t *rk, const char *topic, int timeout_ms,
                                             int *partitions);
