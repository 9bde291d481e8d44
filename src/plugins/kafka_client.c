/* SPDX-License-Identifier: MIT */
#include "kafka_client.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "secret.h"

/* How long a broker may wait for a message before it answers that there is none. bench/ measures
 * with another value, because the mock broker always waits until then. */
#ifndef KAFKA_FETCH_WAIT_MS
#define KAFKA_FETCH_WAIT_MS "500"
#endif

/* Settings of librdkafka that are the same for all consumers:
 * https://github.com/confluentinc/librdkafka/blob/v2.0.2/CONFIGURATION.md
 *
 * The assignment is not cooperative, because the versions that Debian has lose it when offsets are
 * committed while it changes: https://github.com/confluentinc/librdkafka/issues/4059 */
static const struct {
    const char *name, *value;
} always[] = {
    {"client.id", "purgeline"},
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "earliest"}, /* so that nothing is lost */
    {"partition.assignment.strategy", "range"},
    {"fetch.wait.max.ms", KAFKA_FETCH_WAIT_MS},
    {"heartbeat.interval.ms", "2000"},
    {"socket.keepalive.enable", "true"},
    {"socket.connection.setup.timeout.ms", "10000"},
    {"reconnect.backoff.max.ms", "2000"},
    {"topic.metadata.refresh.interval.ms", "30000"}, /* finds new partitions */
    {"queued.max.messages.kbytes", "32768"},         /* what is fetched ahead */
    {"log.connection.close", "false"},
};

static int set_one(rd_kafka_conf_t *conf, const char *setting, const char *name, const char *value,
                   struct error *err)
{
    char why[512];

    return rd_kafka_conf_set(conf, name, value, why, sizeof(why)) == RD_KAFKA_CONF_OK
               ? 0
               : error_set(err, -EINVAL, "%s: %s", setting, why);
}

static int set_always(rd_kafka_conf_t *conf, struct error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < array_len(always); i++)
        rc = set_one(conf, "librdkafka", always[i].name, always[i].value, err);
    return rc;
}

static int set_timeouts(rd_kafka_conf_t *conf, const struct config_consumer *c, struct error *err)
{
    char text[24];
    uint32_t session_ms = c->session_timeout_s * 1000;
    int rc;

    snprintf(text, sizeof(text), "%u", session_ms);
    rc = set_one(conf, "session_timeout_s", "session.timeout.ms", text, err);
    if (rc == 0 && session_ms < 6000) { /* three chances */
        snprintf(text, sizeof(text), "%u", session_ms / 3);
        rc = set_one(conf, "session_timeout_s", "heartbeat.interval.ms", text, err);
    }
    if (rc == 0 && session_ms > 300000) /* the default of max.poll.interval.ms */
        rc = set_one(conf, "session_timeout_s", "max.poll.interval.ms", "1800000", err);
    return rc;
}

static const struct file_setting {
    const char *setting, *name;
    size_t offset;
} files[] = {
    {"tls.ca_file", "ssl.ca.location", offsetof(struct config_redis_tls, ca_file)},
    {"tls.cert_file", "ssl.certificate.location", offsetof(struct config_redis_tls, cert_file)},
    {"tls.key_file", "ssl.key.location", offsetof(struct config_redis_tls, key_file)},
};

static int set_tls(rd_kafka_conf_t *conf, const struct config_consumer *c, struct error *err)
{
    int rc = set_one(conf, "tls", "ssl.endpoint.identification.algorithm", "https", err);

    for (size_t i = 0; rc == 0 && i < array_len(files); i++) {
        const char *path = *(char *const *)((const char *)&c->tls + files[i].offset);

        if (*path && access(path, R_OK) < 0)
            rc = error_set(err, -errno, "%s: %s: %s", files[i].setting, path, strerror(errno));
        else if (*path)
            rc = set_one(conf, files[i].setting, files[i].name, path, err);
    }
    return rc;
}

/* What is in the files is read only when the client is made. */
static int creation_failed(const char *why, struct error *err)
{
    for (size_t i = 0; i < array_len(files); i++)
        if (strstr(why, files[i].name))
            return error_set(err, -EINVAL, "%s: %s", files[i].setting, why);
    return error_set(err, -EINVAL, "%s", why);
}

static int set_login(rd_kafka_conf_t *conf, const struct config_consumer *c, struct error *err)
{
    static const char *const mechanisms[] = {[CONSUMER_PLAIN] = "PLAIN",
                                             [CONSUMER_SCRAM_SHA_256] = "SCRAM-SHA-256",
                                             [CONSUMER_SCRAM_SHA_512] = "SCRAM-SHA-512"};
    char *password = NULL;
    int rc =
        *c->password_file
            ? secret_from_file(c->password_file, "password", secret_is_text_byte, &password, err)
            : secret_from_env(c->password_env, "password", secret_is_text_byte, &password, err);

    if (rc == 0)
        rc = set_one(conf, "sasl", "sasl.mechanism", mechanisms[c->sasl], err);
    if (rc == 0)
        rc = set_one(conf, "user", "sasl.username", c->user, err);
    if (rc == 0)
        rc = set_one(conf, "password", "sasl.password", password, err);
    secret_free(password);
    return rc;
}

static int set_servers(rd_kafka_conf_t *conf, const struct config_consumer *c, struct error *err)
{
    bool tls = span_starts_nocase(span_str(c->url), "kafkas://");
    const char *brokers = strstr(c->url, "://");
    int rc;

    must(brokers); /* config_validate has checked it */
    rc = set_one(conf, "url", "bootstrap.servers", brokers + 3, err);
    if (rc == 0)
        rc = set_one(conf, "url", "security.protocol",
                     *c->user ? tls ? "sasl_ssl" : "sasl_plaintext"
                     : tls    ? "ssl"
                              : "plaintext",
                     err);
    if (rc == 0 && tls)
        rc = set_tls(conf, c, err);
    return rc == 0 && *c->user ? set_login(conf, c, err) : rc;
}

/* What it would log arrives as events, too. */
static void log_nothing(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    (void)level;
    (void)facility;
    (void)text;
}

int kafka_client_new(const struct config_consumer *c, enum kafka_use use, rd_kafka_t **out,
                     struct error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[512];
    int rc = set_always(conf, err);

    rd_kafka_conf_set_log_cb(conf, log_nothing);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_FETCH | RD_KAFKA_EVENT_REBALANCE |
                                       RD_KAFKA_EVENT_OFFSET_COMMIT | RD_KAFKA_EVENT_ERROR);
    if (rc == 0)
        rc = set_one(conf, "group", "group.id", c->group, err);
    if (rc == 0 && use == KAFKA_LOOK)
        rc = set_one(conf, "librdkafka", "enable.partition.eof", "true", err);
    if (rc == 0)
        rc = set_timeouts(conf, c, err);
    if (rc == 0)
        rc = set_servers(conf, c, err);
    if (rc == 0) {
        *out = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why)); /* takes conf */
        if (*out)
            return 0;
        rc = creation_failed(why, err);
    }
    rd_kafka_conf_destroy(conf);
    return rc;
}

/* "GroupCoordinator: ssl://host:9093/1: reason (after 5ms in state CONNECT)" is "reason". */
static struct span cut_reason(struct span text)
{
    const char *after = memmem(text.p, text.n, " (after ", 8), *colon;

    if (after)
        text.n = (size_t)(after - text.p);
    while ((colon = memmem(text.p, text.n, ": ", 2))) {
        struct span part = span_of(text.p, (size_t)(colon - text.p));

        if (memchr(part.p, ' ', part.n) ||
            (!memchr(part.p, ':', part.n) && !span_is(part, "GroupCoordinator")))
            break;
        text = span_of(colon + 2, text.n - part.n - 2);
    }
    return text;
}

int kafka_reason(int rc, rd_kafka_resp_err_t code, const char *text, struct error *err)
{
    struct span reason = cut_reason(span_str(text && *text ? text : rd_kafka_err2str(code)));

    return error_set(err, rc, "%.*s", (int)reason.n, reason.p);
}

bool kafka_is_refusal(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL ||
           code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM ||
           code == RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE || code == RD_KAFKA_RESP_ERR__FATAL;
}

rd_kafka_resp_err_t kafka_ask_topic(rd_kafka_t *rk, const char *topic, int timeout_ms,
                                    int *partitions)
{
    rd_kafka_topic_t *one = rd_kafka_topic_new(rk, topic, NULL);
    const rd_kafka_metadata_t *told;
    rd_kafka_resp_err_t code;

    if (!one)
        return rd_kafka_last_error();
    code = rd_kafka_metadata(rk, 0, one, &told, timeout_ms);
    rd_kafka_topic_destroy(one);
    if (code)
        return code;
    code = told->topic_cnt == 1 ? told->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (!code)
        *partitions = told->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(told);
    return code;
}
