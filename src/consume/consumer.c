/* SPDX-License-Identifier: MIT
 *
 *            put                 answer
 *   ITEM_NEW ───▶ ITEM_PENDING ────────▶ ITEM_PUSHED ──▶ committed, when all before it are done
 *     │  ▲             │                    │               ▲
 *     │  └─────────────┴── refused, lost ◀──┘ before it     │
 *     ├──▶ ITEM_IGNORED: nothing to purge ──────────────────┤
 *     └──▶ ITEM_POISON: cannot become a job ──▶ ITEM_BURIED ┘ */
#include "consumer.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "consumer_report.h"
#include "consumer_room.h"
#include "consumer_trouble.h"
#include "deadletter.h"
#include "job.h"
#include "log.h"
#include "loglimit.h"
#include "message_map.h"
#include "push.h"
#include "redis_error.h"

#define AGAIN_MS 500
/* How often the time doubles while what was pushed cannot be committed, for each time it is pushed
 * and purged again. The longest is below the time after which the consumer counts as not running.
 */
#define AGAIN_DOUBLED_MAX 5
#define FULL_MS 1000 /* also while the account is paused */
/* After this time without Redis, messages are given back: holding them keeps a transaction open in
 * some queues, and others take the connection for dead. */
#define GIVE_BACK_NS (2 * NS_PER_S)

enum item_state {
    ITEM_NEW,
    ITEM_PENDING, /* sent to Redis */
    ITEM_POISON,
    ITEM_PUSHED, /* Redis has its job; this state and the following ones are done */
    ITEM_IGNORED,
    ITEM_BURIED, /* Redis has its dead letter */
};

struct consumer_item {
    enum item_state state;
    char *flaw; /* of a poison message; malloc'ed */
};

struct consumer {
    const struct consumer_options *o;
    struct consumer_counts *counts;
    const struct config_account *account;
    struct message_map *mapping;
    void *source; /* NULL: not open */
    struct push_connection *push;
    struct client *side; /* for dead letters and questions; NULL: not connected */
    struct source_message messages[SOURCE_BATCH];
    struct consumer_item items[SOURCE_BATCH];
    uint32_t count; /* of items */
    struct consumer_room room;
    struct consumer_trouble redis_away, source_away, paused, full;
    /* How many commits have failed in a row, and whether the last question for the lag has. Until
     * one succeeds, the source is not well, although messages come. */
    uint32_t uncommitted;
    bool unasked;
    bool refused; /* by Redis; messages were given back, and none was accepted since then */
    struct consumer_report *report;
    int alarm_fd;
    int wake_fd; /* readable when the alarm is over, or it is to stop */
    struct loglimit letters;
    bool stopping;
};

/* -- waiting -- */

static bool is_stopping(struct consumer *c)
{
    struct pollfd p = {.fd = c->o->stop_fd, .events = POLLIN};

    c->stopping |= poll(&p, 1, 0) == 1;
    return c->stopping;
}

static void rest(struct consumer *c, uint64_t ms)
{
    uint64_t until_ns = clock_mono_ns() + ms * NS_PER_MS, now_ns;
    struct pollfd p = {.fd = c->o->stop_fd, .events = POLLIN};

    while (!is_stopping(c) && (now_ns = clock_mono_ns()) < until_ns)
        (void)poll(&p, 1, (int)((until_ns - now_ns) / NS_PER_MS) + 1);
}

/* -- pushing -- */

static void on_answer(void *ctx, uint64_t tag, const char *job, const char *refusal)
{
    struct consumer *c = ctx;

    (void)refusal; /* push_connection_put and push_connection_finish return it, too */
    c->items[tag].state = job ? ITEM_PUSHED : ITEM_NEW;
}

static void poison(struct consumer_item *i, const char *why)
{
    free(i->flaw);
    i->flaw = alloc_str(why);
    i->state = ITEM_POISON;
}

/* The job may be larger than the dispatcher can hold. */
static int check_size(const struct consumer *c, const struct mapped_job *job, struct error *err)
{
    uint64_t bytes = job_bytes(job->fields, job->count), most = config_job_max_bytes(c->o->config);

    return bytes <= most ? 0
                         : error_set(err, -EINVAL,
                                     "the job has %" PRIu64 " bytes, and %" PRIu64
                                     " is the most (an eighth of memory_max)",
                                     bytes, most);
}

/* 0, also if the message does not become a job; otherwise an error of push_connection_put. */
static int put_message(struct consumer *c, uint32_t nth, struct error *err)
{
    struct consumer_item *i = &c->items[nth];
    struct mapped_job job;
    int rc = message_map_apply(c->mapping, &c->messages[nth], &job, err);

    if (rc == -ENOENT) {
        i->state = ITEM_IGNORED;
        return 0;
    }
    if (rc == 0) {
        message_map_sign(c->mapping, &job);
        rc = check_size(c, &job, err);
    }
    if (rc < 0) {
        poison(i, err->text);
        return 0;
    }
    i->state = ITEM_PENDING;
    rc = push_connection_put(c->push, job.lane, job.fields, job.count, nth, err);
    if (rc == -EINVAL) {
        poison(i, err->text);
        return 0;
    }
    if (rc < 0)
        i->state = ITEM_NEW;
    return rc;
}

/* Pushes everything from the first message without a job, also what Redis has already: otherwise
 * the jobs would not be in the order of the messages. */
static int put_all(struct consumer *c, struct error *err)
{
    uint32_t first = 0;
    int rc = 0;

    while (first < c->count && c->items[first].state != ITEM_NEW)
        first++;
    for (uint32_t i = first; i < c->count; i++)
        if (c->items[i].state == ITEM_PUSHED)
            c->items[i].state = ITEM_NEW;
    for (uint32_t i = first; rc == 0 && i < c->count; i++)
        if (c->items[i].state == ITEM_NEW)
            rc = put_message(c, i, err);
    return rc;
}

/* -- dead letters -- */

static int connect_side(struct consumer *c, struct error *err)
{
    return c->side ? 0 : client_open(c->o->redis, &c->side, err);
}

static int side_failed(struct consumer *c, int rc, struct error *err)
{
    error_set(err, rc, "%s", redis_error_shown(client_error(c->side)));
    client_close(c->side);
    c->side = NULL;
    return rc;
}

static char *place_of(const struct consumer *c, const struct source_message *m)
{
    const struct config_consumer *s = c->o->consumer;

    return alloc_printf("consumer %s, %s %s%s%.*s%s%.*s", s->name, c->o->source->name, s->topic,
                        m->partition.n ? ", partition " : "", (int)m->partition.n, m->partition.p,
                        m->offset.n ? ", offset " : "", (int)m->offset.n, m->offset.p);
}

static void log_letter(struct consumer *c, const char *place, const char *why)
{
    uint64_t now_ns = clock_mono_ns(), unwritten;

    loglimit_end(&c->letters, now_ns, &unwritten);
    if (unwritten)
        log_warn("More messages became dead letters", "consumer=%s messages=%" PRIu64,
                 c->o->consumer->name, unwritten);
    if (loglimit_take(&c->letters, now_ns))
        log_warn("A message became a dead letter", "message=\"%s\" why=\"%s\"", place, why);
}

static int bury(struct consumer *c, uint32_t nth, struct error *err)
{
    char *place = place_of(c, &c->messages[nth]);
    const struct deadletter_message letter = {.reason = c->items[nth].flaw,
                                              .by = message_map_by(c->mapping),
                                              .where = span_str(place),
                                              .body = c->messages[nth].body,
                                              .at_ms = clock_wall_ms()};
    int rc = connect_side(c, err);

    if (rc == 0) {
        rc = deadletter_add(c->side, c->account->name, &letter);
        if (rc < 0)
            rc = side_failed(c, rc, err);
    }
    if (rc == 0) {
        log_letter(c, place, c->items[nth].flaw);
        c->items[nth].state = ITEM_BURIED;
    }
    free(place);
    return rc;
}

static int bury_all(struct consumer *c, struct error *err)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < c->count; i++)
        if (c->items[i].state == ITEM_POISON)
            rc = bury(c, i, err);
    return rc;
}

/* -- a batch -- */

static void redis_is_away(struct consumer *c, const char *why)
{
    consumer_report_error(c->report, redis_error_shown(why));
    if (consumer_trouble_goes_on(&c->redis_away, why, clock_mono_ns()))
        log_warn("Redis does not accept jobs; fetching no messages until it does",
                 "consumer=%s why=\"%s\"", c->o->consumer->name, redis_error_shown(why));
}

static void redis_is_back(struct consumer *c)
{
    if (consumer_trouble_ends(&c->redis_away))
        log_info("Redis accepts jobs again", "consumer=%s", c->o->consumer->name);
}

static int deliver_once(struct consumer *c, struct error *err)
{
    int rc = put_all(c, err);

    /* A refusal ends the pipeline, so this tells what became of the jobs before it. */
    if (rc == 0)
        rc = push_connection_finish(c->push, err);
    return rc == 0 ? bury_all(c, err) : rc;
}

/* Tries until all messages are done, or Redis is away for long, or we are asked to stop. */
static void deliver(struct consumer *c)
{
    uint64_t begun_ns = clock_mono_ns();
    struct error err;

    while (deliver_once(c, &err) < 0) {
        redis_is_away(c, err.text);
        rest(c, AGAIN_MS);
        if (c->stopping || clock_mono_ns() - begun_ns >= GIVE_BACK_NS) {
            c->refused = true;
            return;
        }
    }
    c->refused = false;
    redis_is_back(c);
}

static void close_source(struct consumer *c)
{
    c->o->source->close(c->source);
    c->source = NULL;
}

static void source_is_away(struct consumer *c, int rc, const char *why)
{
    if (rc != -EAGAIN)
        close_source(c);
    consumer_report_error(c->report, why);
    if (consumer_trouble_goes_on(&c->source_away, why, clock_mono_ns()))
        log_warn("The source of messages cannot be read",
                 "consumer=%s source=%s topic=%s why=\"%s\"", c->o->consumer->name,
                 c->o->source->name, c->o->consumer->topic, why);
    rest(c, (uint64_t)AGAIN_MS << min_u64(minus_u64(c->uncommitted, 1), AGAIN_DOUBLED_MAX));
}

static void source_answers(struct consumer *c)
{
    if (!c->uncommitted && !c->unasked && consumer_trouble_ends(&c->source_away))
        log_info("The source of messages can be read again", "consumer=%s", c->o->consumer->name);
}

/* Nothing is to be fetched for a while. */
static void hold(struct consumer *c, uint64_t ms)
{
    struct error err;
    int rc;

    if (!c->source || !c->o->source->hold) {
        close_source(c);
        rest(c, ms);
        return;
    }
    rc = c->o->source->hold(c->source, c->o->stop_fd, ms, &err);
    if (rc < 0)
        source_is_away(c, rc, err.text);
    else
        source_answers(c);
}

/* Commits the messages that are done, up to the first that is not. It and those behind it are given
 * back. */
static void commit(struct consumer *c)
{
    struct error err;
    uint32_t done = 0;
    int rc;

    for (; done < c->count && c->items[done].state >= ITEM_PUSHED; done++) {
        c->counts->jobs += c->items[done].state == ITEM_PUSHED;
        c->counts->ignored += c->items[done].state == ITEM_IGNORED;
        c->counts->dead += c->items[done].state == ITEM_BURIED;
    }
    rc = c->o->source->commit(c->source, done, &err);
    if (rc < 0 || done > 0)
        c->uncommitted = rc < 0 ? c->uncommitted + 1 : 0;
    if (rc < 0) {
        source_is_away(c, rc, err.text);
        return;
    }
    source_answers(c);
    if (done == c->count)
        consumer_report_commit(c->report);
    else if (!c->o->source->hold)
        close_source(c);
}

/* -- how much may be fetched -- */

/* Makes sure that what is known about the room is recent. 0, or negative errno with a sentence. */
static int find_room(struct consumer *c, struct error *err)
{
    int rc = 0;

    if (!consumer_room_is_due(&c->room))
        return 0;
    rc = connect_side(c, err);
    if (rc < 0)
        return rc;
    rc = consumer_room_ask(&c->room, c->side);
    return rc < 0 ? side_failed(c, rc, err) : 0;
}

static void tell_paused(struct consumer *c)
{
    if (!c->room.paused) {
        if (consumer_trouble_ends(&c->paused))
            log_info("The account is no longer paused; fetching messages again", "consumer=%s",
                     c->o->consumer->name);
    } else if (consumer_trouble_begins(&c->paused, "", clock_mono_ns())) {
        log_warn("The account is paused; fetching no messages until it is resumed",
                 "consumer=%s account=%s command=\"purgeline resume -a %s\"", c->o->consumer->name,
                 c->account->name, c->account->name);
    }
}

static void tell_full(struct consumer *c, uint32_t left)
{
    if (left) {
        if (consumer_trouble_ends(&c->full))
            log_info("The backlog is below backlog_max again", "consumer=%s", c->o->consumer->name);
    } else if (!c->room.paused && consumer_trouble_begins(&c->full, "", clock_mono_ns())) {
        log_warn("The backlog has reached backlog_max; fetching no messages until it shrinks",
                 "consumer=%s account=%s jobs=%" PRIu64, c->o->consumer->name, c->account->name,
                 c->room.backlog);
    }
}

/* Returns how many messages may be fetched now, after waiting if there are none. */
static uint32_t room(struct consumer *c)
{
    struct error err;
    uint32_t left;
    int rc = push_connection_connect(c->push, &err);

    if (rc == 0)
        rc = find_room(c, &err);
    if (rc < 0) {
        redis_is_away(c, err.text);
        hold(c, AGAIN_MS);
        return 0;
    }
    if (!c->refused)
        redis_is_back(c);
    left = consumer_room_left(&c->room, SOURCE_BATCH);
    tell_paused(c);
    tell_full(c, left);
    if (left == 0)
        hold(c, FULL_MS);
    return left;
}

/* Whether the account was paused while the source waited for messages. */
static bool paused_meanwhile(struct consumer *c)
{
    struct error err;

    return c->room.stops && find_room(c, &err) == 0 && c->room.paused;
}

static void take_batch(struct consumer *c, uint32_t count)
{
    c->count = count;
    c->counts->fetched += count;
    if (!paused_meanwhile(c)) {
        deliver(c);
        consumer_room_take(&c->room, count);
    }
    commit(c);
    for (uint32_t i = 0; i < count; i++) {
        free(c->items[i].flaw);
        c->items[i] = (struct consumer_item){0};
    }
    c->count = 0;
}

/* -- what is told about it -- */

static enum consumer_condition condition(const struct consumer *c)
{
    return c->redis_away.now    ? CONSUMER_REDIS_AWAY
           : c->source_away.now ? CONSUMER_SOURCE_AWAY
           : c->paused.now      ? CONSUMER_PAUSED
           : c->full.now        ? CONSUMER_FULL
                                : CONSUMER_RUNNING;
}

/* While Redis is away, no connection is made for this. */
static void tell(struct consumer *c)
{
    struct source_lag lag = {0};
    struct error err;
    int rc;

    if (consumer_report_due_in_ms(c->report, condition(c), c->counts) > 0 ||
        (c->redis_away.now && !c->side) || connect_side(c, &err) < 0)
        return;
    rc = c->source ? c->o->source->lag(c->source, &lag, &err) : 0;
    if (c->source)
        c->unasked = rc < 0;
    if (rc < 0)
        source_is_away(c, rc, err.text);
    if (consumer_report_tell(c->report, c->side, condition(c), c->counts, &lag) < 0)
        (void)side_failed(c, -ENOTCONN, &err);
}

/* -- the consumer -- */

static bool open_source(struct consumer *c)
{
    struct error err;
    int rc;

    if (c->source)
        return true;
    rc = c->o->source->open(c->o->config, c->o->consumer, &c->source, &err);
    if (rc < 0) {
        c->source = NULL;
        source_is_away(c, rc, err.text);
    }
    return rc == 0;
}

/* Ends the waiting of the source when the state is to be told. Not at once: that may be impossible
 * at present. */
static void set_alarm(struct consumer *c)
{
    uint64_t ms = max_u64(consumer_report_due_in_ms(c->report, condition(c), c->counts), AGAIN_MS);
    const struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * NS_PER_MS)}};

    (void)timerfd_settime(c->alarm_fd, 0, &at, NULL);
}

static void fetch(struct consumer *c, uint32_t most)
{
    struct error err;
    int n;

    set_alarm(c);
    n = c->o->source->fetch(c->source, c->wake_fd, most, c->messages, &err);

    if (n < 0) {
        source_is_away(c, n, err.text);
        return;
    }
    if (n == 0)
        c->uncommitted = 0;
    source_answers(c);
    c->refused &= n > 0; /* with nothing to push, nobody knows */
    if (n > 0)
        take_batch(c, (uint32_t)n);
}

/* 0 or negative errno. */
static int open_alarm(struct consumer *c)
{
    struct epoll_event readable = {.events = EPOLLIN};

    c->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    c->wake_fd = epoll_create1(EPOLL_CLOEXEC);
    if (c->alarm_fd < 0 || c->wake_fd < 0 ||
        epoll_ctl(c->wake_fd, EPOLL_CTL_ADD, c->o->stop_fd, &readable) < 0 ||
        epoll_ctl(c->wake_fd, EPOLL_CTL_ADD, c->alarm_fd, &readable) < 0)
        return -errno;
    return 0;
}

static void close_alarm(struct consumer *c)
{
    if (c->alarm_fd >= 0)
        close(c->alarm_fd);
    if (c->wake_fd >= 0)
        close(c->wake_fd);
}

static void run(struct consumer *c)
{
    uint32_t most;
    bool ready;

    while (!is_stopping(c)) {
        most = room(c);
        ready = most && open_source(c);
        tell(c);
        if (ready && c->source)
            fetch(c, most);
    }
}

int consumer_run(const struct consumer_options *o, struct consumer_counts *counts,
                 struct error *err)
{
    const char *account = o->consumer->mapping.account;
    struct consumer *c = alloc_zeroed(1, sizeof(*c));
    struct redis_address address;
    int rc;

    *counts = (struct consumer_counts){0};
    c->o = o;
    c->counts = counts;
    c->account = config_account(o->config, *account ? account : NULL);
    must(c->account); /* config_validate has checked it */
    c->mapping = message_map_new(o->consumer, err);
    if (!c->mapping) {
        free(c);
        return -EINVAL;
    }
    consumer_room_init(&c->room, o->config, o->consumer, c->account->name);
    redis_address_copy(o->redis, &address);
    c->push = push_connection_new(&address, c->account, on_answer, c);
    c->report = consumer_report_new(c->account, o->consumer, o->source->name);
    rc = open_alarm(c);
    if (rc == 0)
        run(c);
    else
        error_set(err, rc, "no file descriptor is left: %s", strerror(-rc));
    close_alarm(c);
    close_source(c);
    consumer_report_end(c->report, c->side);
    push_connection_free(c->push);
    client_close(c->side);
    message_map_free(c->mapping);
    free(c);
    return rc;
}
