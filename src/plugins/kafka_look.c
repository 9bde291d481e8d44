/* SPDX-License-Identifier: MIT */
#include "kafka_look.h"

#include <errno.h>
#include <stdio.h>

#include "clock.h"
#include "kafka_client.h"

#define PATIENCE_MS 10000
#define STEP_MS 250

struct kafka_view {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    const char *topic;
    int partitions;
    bool down; /* no broker can be reached */
    bool end;  /* a partition was read to its end */
    rd_kafka_resp_err_t code;
    struct error last; /* what the library said last; only if there is a code */
};

/* Takes what has happened. */
static void listen_for(struct kafka_view *l, int ms)
{
    rd_kafka_event_t *e = rd_kafka_queue_poll(l->queue, ms);

    for (; e; e = rd_kafka_queue_poll(l->queue, 0)) {
        rd_kafka_resp_err_t code = rd_kafka_event_error(e);

        l->end |= rd_kafka_event_type(e) == RD_KAFKA_EVENT_FETCH ||
                  code == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
            l->down = true;
        } else if (code && code != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            l->code = code;
            kafka_reason(-EIO, code, rd_kafka_event_error_string(e), &l->last);
        }
        rd_kafka_event_destroy(e);
    }
}

static bool is_in_time(uint64_t begun_ns)
{
    return clock_mono_ns() - begun_ns < PATIENCE_MS * NS_PER_MS;
}

/* Asks until a broker answers, or none can be reached. */
static int find_topic(struct kafka_view *l, struct error *err)
{
    uint64_t begun_ns = clock_mono_ns();
    rd_kafka_resp_err_t code;

    do {
        code = kafka_ask_topic(l->rk, l->topic, STEP_MS, &l->partitions);
        listen_for(l, 0);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            return 0;
        if (code > 0) /* a broker has answered */
            return kafka_reason(-ENOENT, code, NULL, err);
    } while (is_in_time(begun_ns) && !kafka_is_refusal(l->code) && !(l->down && l->code));
    if (!l->code)
        return kafka_reason(-ETIMEDOUT, code, NULL, err);
    *err = l->last;
    return -ENOTCONN;
}

/* A group that has committed nothing begins at the oldest messages. */
static int find_group(struct kafka_view *l, const char *group, struct error *note,
                      struct error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(l->partitions);
    rd_kafka_resp_err_t code;
    int begun = 0;

    for (int i = 0; i < l->partitions; i++)
        rd_kafka_topic_partition_list_add(list, l->topic, i);
    code = rd_kafka_committed(l->rk, list, PATIENCE_MS);
    for (int i = 0; i < list->cnt; i++) {
        if (!code)
            code = list->elems[i].err;
        begun += list->elems[i].offset >= 0;
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (code)
        return error_set(err, -EACCES, "group %s: %s", group, rd_kafka_err2str(code));
    if (!begun)
        snprintf(note->text, sizeof(note->text),
                 "the group %s has read nothing; it begins at the oldest message", group);
    return 0;
}

/* Reads at the end of the first partition, without the group. */
static int try_to_read(struct kafka_view *l, struct error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    uint64_t begun_ns = clock_mono_ns();
    rd_kafka_resp_err_t code;

    rd_kafka_topic_partition_list_add(list, l->topic, 0)->offset = RD_KAFKA_OFFSET_END;
    l->code = RD_KAFKA_RESP_ERR_NO_ERROR;
    code = rd_kafka_assign(l->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    while (!code && !l->end && l->code <= 0 && is_in_time(begun_ns))
        listen_for(l, STEP_MS);
    (void)rd_kafka_assign(l->rk, NULL);
    if (l->end)
        return 0;
    if (!l->code)
        return kafka_reason(-EACCES, code ? code : RD_KAFKA_RESP_ERR__TIMED_OUT, NULL, err);
    *err = l->last;
    return -EACCES;
}

int kafka_look(const struct config *config, const struct config_consumer *c, struct error *note,
               struct error *err)
{
    struct kafka_view l = {.topic = c->topic};
    int rc = kafka_client_new(c, KAFKA_LOOK, &l.rk, err);

    (void)config;
    note->text[0] = '\0';
    if (rc < 0)
        return rc;
    rd_kafka_poll_set_consumer(l.rk);
    l.queue = rd_kafka_queue_get_consumer(l.rk);
    rc = find_topic(&l, err);
    if (rc == 0)
        rc = find_group(&l, c->group, note, err);
    if (rc == 0)
        rc = try_to_read(&l, err);
    rd_kafka_queue_destroy(l.queue);
    rd_kafka_destroy_flags(l.rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return rc;
}
