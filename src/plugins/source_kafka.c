/* SPDX-License-Identifier: MIT
 * Messages of a topic of Kafka, as a member of a consumer group.
 *
 * Messages that were fetched and are not done stay here, and are fetched again from here, until
 * their partition is given to another member. Offsets are committed in the background, as often as
 * the broker answers, and before a partition is given away. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "kafka_client.h"
#include "kafka_look.h"
#include "kafka_messages.h"
#include "kafka_places.h"
#include "source_plugin.h"

#define WAIT_MS 10000
#define PROBE_MS 2000
#define ANSWER_MS 5000 /* for each of: committed offsets, committing, leaving the group */
#define ENOUGH_BYTES ((size_t)4 << 20)
#define COMMIT_AGAIN_MS 250

enum trouble {
    NO_TROUBLE,
    BROKERS_AWAY, /* over when one of them answers */
    TOPIC_AWAY,   /* over when a broker knows the topic */
    NOT_ALLOWED,  /* over when partitions are assigned, or messages come or are committed */
};

struct topic {
    rd_kafka_t *rk;
    const char *name;        /* from the configuration */
    rd_kafka_queue_t *queue; /* of everything that happens */
    int bell_fd;             /* readable when something has come into the empty queue */
    struct kafka_messages messages;
    struct kafka_places places;
    bool committing;       /* a commit is under way */
    uint64_t commit_at_ns; /* not before this time, because the last one was refused; 0: at once */
    bool held;             /* partitions are paused */
    bool doubtful;         /* whether a broker can be reached and knows the topic */
    uint64_t joining_ns;   /* without an assignment since then; 0: it has one */
    uint64_t patience_ns;  /* for getting one */
    enum trouble trouble;
    struct error why;              /* of the trouble */
    struct error last;             /* what the library said last about a broker */
    rd_kafka_resp_err_t last_code; /* 0: nothing */
};

/* -- trouble -- */

static void get_into(struct topic *t, enum trouble trouble, const struct error *why)
{
    if (trouble <= t->trouble)
        return;
    t->trouble = trouble;
    t->why = *why;
}

static void get_out(struct topic *t)
{
    t->trouble = NO_TROUBLE;
    t->last_code = RD_KAFKA_RESP_ERR_NO_ERROR;
}

static bool is_about_topic(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
           code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
           code == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
}

/* 0, or what fetch is to return. */
static int judge(const struct topic *t, struct error *err)
{
    if (t->trouble == NO_TROUBLE)
        return 0;
    *err = t->why;
    return t->trouble == BROKERS_AWAY && kafka_is_refusal(t->last_code) ? -EACCES : -EAGAIN;
}

/* -- offsets -- */

static void commit_in_background(struct topic *t)
{
    rd_kafka_topic_partition_list_t *list = NULL;

    if (!t->committing && clock_mono_ns() >= t->commit_at_ns)
        list = kafka_places_unsaved(&t->places, t->name);
    if (!list)
        return;
    t->committing = rd_kafka_commit_queue(t->rk, list, t->queue, NULL, NULL) == 0;
    rd_kafka_topic_partition_list_destroy(list);
}

/* A broker may refuse it while partitions are given to others. */
static void on_committed(struct topic *t, rd_kafka_event_t *e)
{
    const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(e);
    rd_kafka_resp_err_t code = rd_kafka_event_error(e);
    struct error why;

    t->committing = false;
    t->commit_at_ns = 0;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && list) {
        kafka_places_saved(&t->places, list);
        if (t->trouble == NOT_ALLOWED)
            get_out(t);
        commit_in_background(t);
        return;
    }
    t->commit_at_ns = clock_mono_ns() + COMMIT_AGAIN_MS * NS_PER_MS;
    if (code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
        code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        kafka_reason(-EIO, code, NULL, &why);
        get_into(t, NOT_ALLOWED, &why);
    }
}

/* Commits what is done, and waits for the answer. */
static void commit_now(struct topic *t)
{
    rd_kafka_topic_partition_list_t *list = kafka_places_unsaved(&t->places, t->name);
    rd_kafka_queue_t *answers;
    rd_kafka_event_t *e;

    if (!list)
        return;
    answers = rd_kafka_queue_new(t->rk);
    if (rd_kafka_commit_queue(t->rk, list, answers, NULL, NULL) == 0) {
        e = rd_kafka_queue_poll(answers, ANSWER_MS);
        if (e && !rd_kafka_event_error(e) && rd_kafka_event_topic_partition_list(e))
            kafka_places_saved(&t->places, rd_kafka_event_topic_partition_list(e));
        rd_kafka_event_destroy(e);
    }
    rd_kafka_queue_destroy(answers);
    rd_kafka_topic_partition_list_destroy(list);
}

/* -- the group -- */

static void on_assigned(struct topic *t, rd_kafka_topic_partition_list_t *list)
{
    /* If this fails, the library asks once more by itself. */
    bool known = list->cnt && rd_kafka_committed(t->rk, list, ANSWER_MS) == 0;

    for (int i = 0; i < list->cnt; i++) {
        if (!known || list->elems[i].err || list->elems[i].offset < 0)
            list->elems[i].offset = RD_KAFKA_OFFSET_INVALID;
        kafka_places_assign(&t->places, list->elems[i].partition, list->elems[i].offset);
    }
    (void)rd_kafka_assign(t->rk, list); /* fails only if it is outdated already */
    if (t->held)
        (void)rd_kafka_pause_partitions(t->rk, list);
    t->joining_ns = 0;
    if (t->trouble == NOT_ALLOWED)
        get_out(t);
}

static void on_revoked(struct topic *t, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++)
        kafka_messages_drop_partition(&t->messages, list->elems[i].partition);
    if (!rd_kafka_assignment_lost(t->rk))
        commit_now(t);
    for (int i = 0; i < list->cnt; i++)
        kafka_places_revoke(&t->places, list->elems[i].partition);
    (void)rd_kafka_assign(t->rk, NULL);
    t->joining_ns = clock_mono_ns();
}

static void on_rebalance(struct topic *t, rd_kafka_event_t *e)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(e);

    if (rd_kafka_event_error(e) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        on_assigned(t, list);
    else
        on_revoked(t, list);
}

/* -- what happens -- */

/* Whether the error is about fetching messages. */
static bool is_about_partition(rd_kafka_event_t *e)
{
    rd_kafka_topic_partition_t *at = rd_kafka_event_topic_partition(e);

    if (at)
        rd_kafka_topic_partition_destroy(at);
    return at != NULL;
}

static void on_error(struct topic *t, rd_kafka_event_t *e)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(e);
    struct error why;

    kafka_reason(-EIO, code, rd_kafka_event_error_string(e), &why);
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || is_about_topic(code) ||
        (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED && !is_about_partition(e))) {
        t->doubtful = true;
    } else if (code == RD_KAFKA_RESP_ERR__FATAL) {
        t->last_code = code;
        get_into(t, BROKERS_AWAY, &why);
    } else if (code > 0 && !kafka_is_refusal(code)) {
        get_into(t, NOT_ALLOWED, &why);
    } else if (code != RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) { /* then it joins again by itself */
        t->last_code = code;
        t->last = why;
    }
}

/* Takes the event. */
static void serve(struct topic *t, rd_kafka_event_t *e)
{
    switch (rd_kafka_event_type(e)) {
    case RD_KAFKA_EVENT_FETCH:
        kafka_messages_keep(&t->messages, &t->places, e);
        return;
    case RD_KAFKA_EVENT_REBALANCE:
        on_rebalance(t, e);
        break;
    case RD_KAFKA_EVENT_OFFSET_COMMIT:
        on_committed(t, e);
        break;
    case RD_KAFKA_EVENT_ERROR:
        if (kafka_messages_keep_flaw(&t->messages, &t->places, e))
            return;
        on_error(t, e);
        break;
    default:
        break;
    }
    rd_kafka_event_destroy(e);
}

/* Takes what has happened, until there are so many messages. */
static void take_events(struct topic *t, uint32_t most)
{
    rd_kafka_event_t *e;
    size_t bytes = 0;
    uint64_t rings;

    (void)eventfd_read(t->bell_fd, &rings);
    while (t->messages.count < most && bytes < ENOUGH_BYTES &&
           (e = rd_kafka_queue_poll(t->queue, 0))) {
        uint32_t before = t->messages.count;

        serve(t, e);
        if (t->messages.count > before && t->messages.all[before].m)
            bytes += t->messages.all[before].m->len;
    }
}

/* Asks a broker. The library says that all are down also when the only one closes a connection that
 * was not used. */
static void find_out(struct topic *t, uint32_t most)
{
    struct error why;
    int partitions;
    rd_kafka_resp_err_t code = kafka_ask_topic(t->rk, t->name, PROBE_MS, &partitions);

    t->doubtful = false;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (t->trouble != NOT_ALLOWED)
            get_out(t);
        return;
    }
    take_events(t, most); /* they tell the reason */
    t->doubtful = false;
    kafka_reason(-EIO, code, NULL, &why);
    if (code > 0 || is_about_topic(code))
        get_into(t, TOPIC_AWAY, &why);
    else
        get_into(t, BROKERS_AWAY, t->last_code ? &t->last : &why);
}

/* The library asks for the group again and again without a word. */
static void look_at_group(struct topic *t)
{
    struct error why;

    if (!t->joining_ns || clock_mono_ns() - t->joining_ns < t->patience_ns)
        return;
    error_set(&why, -EIO, "the group has given it no partitions for %" PRIu64 " seconds",
              t->patience_ns / NS_PER_S);
    get_into(t, NOT_ALLOWED, &why);
}

static void serve_all(struct topic *t, uint32_t most)
{
    take_events(t, most);
    if (t->doubtful || t->trouble == BROKERS_AWAY || t->trouble == TOPIC_AWAY)
        find_out(t, most);
    if (t->trouble == NO_TROUBLE)
        look_at_group(t);
}

/* Until something happens, stop_fd is readable, or the time is over. False: it is to stop. */
static bool await(struct topic *t, int stop_fd, uint64_t ms)
{
    struct pollfd fds[] = {{.fd = t->bell_fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};

    (void)poll(fds, array_len(fds), (int)ms);
    return !fds[1].revents;
}

/* -- the source -- */

/* While it cannot reach the brokers, the group will notice by itself that this member is gone. */
static void leave_group(struct topic *t)
{
    uint64_t until_ns = clock_mono_ns() + ANSWER_MS * NS_PER_MS;
    rd_kafka_queue_t *events = rd_kafka_queue_new(t->rk);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(t->rk, events);

    while (!error && !rd_kafka_consumer_closed(t->rk) && clock_mono_ns() < until_ns) {
        rd_kafka_event_t *e = rd_kafka_queue_poll(events, 100);

        if (e)
            serve(t, e);
        kafka_messages_drop(&t->messages, t->messages.count);
    }
    rd_kafka_error_destroy(error);
    rd_kafka_queue_destroy(events);
}

static void topic_close(void *source)
{
    struct topic *t = source;

    if (!t)
        return;
    kafka_messages_drop(&t->messages, t->messages.count);
    if (t->trouble == NO_TROUBLE) {
        commit_now(t);
        leave_group(t);
    }
    if (t->queue) {
        rd_kafka_queue_io_event_enable(t->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(t->queue);
    }
    rd_kafka_destroy_flags(t->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    if (t->bell_fd >= 0)
        close(t->bell_fd);
    kafka_places_deinit(&t->places);
    free(t);
}

static int subscribe_to(struct topic *t, struct error *err)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_resp_err_t code;

    rd_kafka_topic_partition_list_add(topics, t->name, RD_KAFKA_PARTITION_UA);
    code = rd_kafka_subscribe(t->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return code ? kafka_reason(-EINVAL, code, NULL, err) : 0;
}

/* Only prepares the connection. What is wrong with it, fetch tells. */
static int topic_open(const struct config *config, const struct config_consumer *c, void **out,
                      struct error *err)
{
    static const uint64_t ring = 1;
    rd_kafka_t *rk;
    struct topic *t;
    int rc = kafka_client_new(c, KAFKA_READ, &rk, err);

    (void)config;
    if (rc < 0)
        return rc;
    t = alloc_zeroed(1, sizeof(*t));
    t->rk = rk;
    t->name = c->topic;
    t->doubtful = true;
    t->joining_ns = clock_mono_ns();
    t->patience_ns =
        3 * c->session_timeout_s * NS_PER_S; /* members that are gone keep it waiting */
    t->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (t->bell_fd < 0)
        rc = error_set(err, -errno, "no file descriptor is left");
    if (rc == 0) {
        rd_kafka_poll_set_consumer(rk);
        t->queue = rd_kafka_queue_get_consumer(rk);
        rd_kafka_queue_io_event_enable(t->queue, t->bell_fd, &ring, sizeof(ring));
        rc = subscribe_to(t, err);
    }
    if (rc == 0)
        *out = t;
    else
        topic_close(t);
    return rc;
}

/* -- pausing -- */

static void pause_all(struct topic *t)
{
    rd_kafka_topic_partition_list_t *list = kafka_places_list(&t->places, t->name);

    (void)rd_kafka_pause_partitions(t->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    t->held = true;
}

static void resume_all(struct topic *t)
{
    rd_kafka_topic_partition_list_t *list = kafka_places_list(&t->places, t->name);

    (void)rd_kafka_resume_partitions(t->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    t->held = false;
}

static int topic_hold(void *source, int stop_fd, uint64_t ms, struct error *err)
{
    struct topic *t = source;
    uint64_t until_ns = clock_mono_ns() + ms * NS_PER_MS, now_ns;

    if (!t->held)
        pause_all(t);
    do {
        serve_all(t, KAFKA_MESSAGES_ROOM);
        commit_in_background(t);
        now_ns = clock_mono_ns();
    } while (now_ns < until_ns && await(t, stop_fd, (until_ns - now_ns) / NS_PER_MS + 1));
    return judge(t, err);
}

/* -- messages for the consumer -- */

static int topic_fetch(void *source, int stop_fd, uint32_t max, struct source_message *out,
                       struct error *err)
{
    struct topic *t = source;
    uint32_t n;

    if (t->held)
        resume_all(t);
    serve_all(t, max);
    commit_in_background(t);
    if (t->messages.count == 0 && t->trouble == NO_TROUBLE &&
        await(t, stop_fd, t->commit_at_ns ? COMMIT_AGAIN_MS : WAIT_MS))
        serve_all(t, max);
    if (t->messages.count == 0)
        return judge(t, err);
    n = t->messages.count < max ? t->messages.count : max;
    for (uint32_t i = 0; i < n; i++)
        out[i] = kafka_messages_show(&t->messages, i);
    return (int)n;
}

static int topic_commit(void *source, uint32_t count, struct error *err)
{
    struct topic *t = source;

    (void)err;
    for (uint32_t i = 0; i < count; i++)
        kafka_places_find(&t->places, t->messages.all[i].partition)->done =
            t->messages.all[i].offset + 1;
    kafka_messages_drop(&t->messages, count);
    commit_in_background(t);
    return 0;
}

/* -- what waits -- */

/* Where the partitions end. What was fetched last tells it, except while nothing is fetched. 0, or
 * an error code; the offset is negative where the end is not known. */
static rd_kafka_resp_err_t ask_ends(struct topic *t, rd_kafka_topic_partition_list_t *list)
{
    int64_t low, high;

    for (int i = 0; i < list->cnt; i++) {
        list->elems[i].offset = RD_KAFKA_OFFSET_END;
        if (!t->held && rd_kafka_get_watermark_offsets(t->rk, t->name, list->elems[i].partition,
                                                       &low, &high) == 0)
            list->elems[i].offset = high;
    }
    return t->held ? rd_kafka_offsets_for_times(t->rk, list, PROBE_MS) : 0;
}

static int topic_lag(void *source, struct source_lag *out, struct error *err)
{
    struct topic *t = source;
    rd_kafka_topic_partition_list_t *list = kafka_places_list(&t->places, t->name);
    int64_t low, high, done;

    (void)err;
    *out = (struct source_lag){.messages_known =
                                   list->cnt && t->trouble == NO_TROUBLE && ask_ends(t, list) == 0};
    for (int i = 0; i < list->cnt && out->messages_known; i++) {
        done = t->places.all[list->elems[i].partition].done;
        if (done < 0 && rd_kafka_get_watermark_offsets(t->rk, t->name, list->elems[i].partition,
                                                       &low, &high) == 0)
            done = low;
        out->messages_known = list->elems[i].offset >= 0 && done >= 0;
        if (out->messages_known && list->elems[i].offset > done)
            out->messages += (uint64_t)(list->elems[i].offset - done);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return 0;
}

static const struct message_source topic = {"kafka",     topic_open, topic_fetch, topic_commit,
                                            topic_close, kafka_look, topic_lag,   topic_hold};

const struct source_plugin purgeline_source = SOURCE_PLUGIN(&topic);
