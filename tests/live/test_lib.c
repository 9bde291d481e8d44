/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include "await.h"
#include "base.h"
#include "command_world.h"
#include "purgeline.h"

static struct purgeline *open_library(const struct world *w)
{
    char why[PURGELINE_WHY_ROOM] = "";
    struct purgeline *p = NULL;

    if (purgeline_open(redis_server_unix_url(w->redis), "main", &p, why, sizeof(why)) != 0)
        fail_msg("%s", why);
    return p;
}

static struct purgeline_job job_of(const char *const *key)
{
    struct purgeline_job job = PURGELINE_JOB;

    job.keys = key;
    job.keys_count = 1;
    return job;
}

static const char *const key_a[] = {"a"};

#define assert_code(code, wanted)                                                                  \
    assert_string_equal(purgeline_code_name(code), purgeline_code_name(wanted))

static void assert_starts(const char *text, const char *with)
{
    if (strncmp(text, with, strlen(with)) != 0)
        fail_msg("\"%s\" does not start with \"%s\"", text, with);
}

/* The arguments of the callback. */
struct told {
    struct purgeline *p;
    size_t count;
    size_t codes[8]; /* number of answers, by the absolute value of the code */
    bool in_order;
    uintptr_t next;
};

static void on_answer(void *ctx, void *tag, int code, const char *text)
{
    struct told *t = ctx;

    t->in_order &= (uintptr_t)tag == t->next++;
    t->count++;
    t->codes[-code]++;
    assert_true(text && *text);
}

static void listen_to(struct purgeline *p, struct told *t)
{
    *t = (struct told){.p = p, .in_order = true};
    purgeline_on_answer(p, on_answer, t);
}

static void send_some(struct purgeline *p, size_t count)
{
    const struct purgeline_job job = job_of(key_a);

    for (uintptr_t i = 0; i < count; i++)
        assert_code(purgeline_send(p, &job, (void *)i), PURGELINE_OK);
}

/* -- accepted jobs -- */

static void every_field_becomes_one_of_the_wire_contract(void **state)
{
    const char *const keys[] = {"x", "y"}, *const urls[] = {"http://e.com/1", "e.com/2"};
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    struct purgeline_job job = PURGELINE_JOB;
    char id[PURGELINE_ID_ROOM];

    job.keys = keys;
    job.keys_count = 2;
    job.urls = urls;
    job.urls_count = 2;
    job.soft = 1;
    job.service = "some name";
    job.lane = PURGELINE_BULK;
    job.not_before_ms = 5;
    job.expires_ms = 9;
    job.repeat_after_ms = 2000;
    job.ref = "r 1";
    assert_code(purgeline_push(p, &job, id, sizeof(id)), PURGELINE_OK);
    assert_starts(id, "bulk-");
    assert_int_equal(redis_server_int(w->redis, "XDEL " BULK " 0-1 %s", id + 5), 1);
    assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_OK);
    assert_entry(w, BULK, 0,
                 "soft=1 service=some name not_before=5 expires=9 repeat_after=2000 ref=r 1 "
                 "url=http://e.com/1 url=e.com/2 keys=x y");
    purgeline_close(p);
}

static void a_job_may_be_for_several_services(void **state)
{
    static const char *const services[] = {"S1", "some name", "S3"};
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    struct purgeline_job job = job_of(key_a);
    const char *many[65];
    const char json[] = "{\"keys\":\"a\",\"service\":[\"news\",\"a shop\"]}";

    job.services = services;
    job.services_count = 3;
    assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_OK);
    assert_entry(w, NORMAL, 0, "service=S1 service=some name service=S3 keys=a");
    job.service = "S0";
    assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_OK);
    assert_entry(w, NORMAL, 1, "service=S0 service=S1 service=some name service=S3 keys=a");
    assert_code(purgeline_push_json(p, json, strlen(json), NULL, 0), PURGELINE_OK);
    assert_entry(w, NORMAL, 2, "service=news service=a shop keys=a");
    for (int i = 0; i < 65; i++)
        many[i] = services[i % 2];
    job.service = NULL;
    job.services = many;
    job.services_count = 64;
    assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_OK);
    job.services_count = 65;
    assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_INVALID);
    assert_starts(purgeline_error(p), "service: more than 64");
    job.services_count = 1;
    many[0] = NULL;
    assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_INVALID);
    assert_starts(purgeline_error(p), "services: ");
    job.services = NULL;
    assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_INVALID);
    assert_starts(purgeline_error(p), "services: ");
    purgeline_close(p);
}

/* Programs that were built with the header of version 0.1.0 have smaller jobs. What follows one of
 * these in memory is no part of it. */
static void a_program_of_version_0_1_0_may_use_this_library(void **state)
{
    enum { SIZE = offsetof(struct purgeline_job, services), MANY = 3 };
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    struct purgeline_job job = job_of(key_a);
    struct purgeline_result results[MANY];
    char *jobs = malloc((size_t)SIZE * MANY); /* nothing behind the last one may be read */

    job.size = SIZE;
    for (int i = 0; i < MANY; i++)
        memcpy(jobs + (size_t)i * SIZE, &job, SIZE);
    assert_code(purgeline_push_many(p, (struct purgeline_job *)(void *)jobs, MANY, results),
                PURGELINE_OK);
    assert_int_equal(length(w, NORMAL), MANY);
    assert_entry(w, NORMAL, MANY - 1, "keys=a");
    job.size = SIZE - 1;
    assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_INVALID);
    assert_starts(purgeline_error(p), "size: ");
    free(jobs);
    purgeline_close(p);
}

static void what_only_the_dispatcher_knows_is_left_to_it(void **state)
{
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    struct purgeline_job job = PURGELINE_JOB;

    job.all = 1;
    assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_OK);
    job = job_of(key_a);
    assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_OK);
    job.service = "nobody";
    assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_OK);
    assert_entry(w, NORMAL, 0, "all=1");
    assert_entry(w, NORMAL, 1, "keys=a");
    assert_entry(w, NORMAL, 2, "service=nobody keys=a");
    purgeline_close(p);
}

static void one_key_needs_no_job(void **state)
{
    struct world *w = *state;
    struct purgeline *p = open_library(w);

    assert_code(purgeline_push_key(p, "article-17"), PURGELINE_OK);
    assert_int_equal(purgeline_pending(p), 0);
    assert_entry(w, NORMAL, 0, "keys=article-17");
    assert_code(purgeline_push_key(p, "two keys"), PURGELINE_INVALID);
    assert_starts(purgeline_error(p), "keys: ");
    assert_code(purgeline_push_key(p, NULL), PURGELINE_INVALID);
    assert_starts(purgeline_error(p), "keys: ");
    assert_code(purgeline_push_key(NULL, "article-17"), PURGELINE_INVALID);
    assert_int_equal(length(w, NORMAL), 1);
    purgeline_close(p);
}

static void a_job_may_be_json(void **state)
{
    const char *json = "{\"keys\":[\"a\",\"b\"],\"service\":\"news\",\"lane\":\"bulk\"}tail";
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    char id[PURGELINE_ID_ROOM];

    assert_code(purgeline_push_json(p, json, strlen(json) - 4, id, sizeof(id)), PURGELINE_OK);
    assert_starts(id, "bulk-");
    assert_entry(w, BULK, 0, "service=news keys=a b");
    assert_code(purgeline_push_json(p, json, strlen(json), id, sizeof(id)), PURGELINE_INVALID);
    assert_starts(purgeline_error(p), "not a JSON object: ");
    assert_code(purgeline_send_json(p, NULL, 0, NULL), PURGELINE_INVALID);
    purgeline_close(p);
}

/* -- invalid jobs -- */

static void refused(struct purgeline *p, const struct purgeline_job *job, const char *field)
{
    assert_code(purgeline_push(p, job, NULL, 0), PURGELINE_INVALID);
    assert_starts(purgeline_error(p), field);
    assert_code(purgeline_send(p, job, NULL), PURGELINE_INVALID);
    assert_starts(purgeline_error(p), field);
}

#define REFUSED(p, field, change)                                                                  \
    do {                                                                                           \
        struct purgeline_job job = job_of(key_a);                                                  \
                                                                                                   \
        change;                                                                                    \
        refused(p, &job, field ": ");                                                              \
    } while (0)

static void what_is_no_job_is_named_and_not_sent(void **state)
{
    static const char *const two[] = {"x y"}, *const none[] = {NULL}, *const empty[] = {""};
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    char long_text[300];

    memset(long_text, 'r', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    REFUSED(p, "keys", job.keys = two);
    REFUSED(p, "keys", job.keys = none);
    REFUSED(p, "keys", job.keys = empty);
    REFUSED(p, "keys", job.keys = NULL);
    REFUSED(p, "url", (job.urls = two, job.urls_count = 1));
    REFUSED(p, "url", job.urls_count = 1);
    REFUSED(p, "no target", job.keys_count = 0);
    REFUSED(p, "soft", job.soft = 2);
    REFUSED(p, "soft", job.soft = -1);
    REFUSED(p, "soft", (job.soft = 1, job.all = 1));
    REFUSED(p, "service", job.service = "");
    REFUSED(p, "service", job.service = long_text);
    REFUSED(p, "ref", job.ref = long_text);
    REFUSED(p, "lane", job.lane = (enum purgeline_lane)3);
    REFUSED(p, "not_before", job.not_before_ms = UINT64_MAX);
    REFUSED(p, "expires", (job.not_before_ms = 2, job.expires_ms = 2));
    REFUSED(p, "repeat_after", job.repeat_after_ms = 86400001);
    REFUSED(p, "size", job.size = 0);
    refused(p, NULL, "job: ");
    assert_int_equal(length(w, NORMAL), 0);
    purgeline_close(p);
}

static void a_wrong_call_is_an_error_and_no_crash(void **state)
{
    struct world *w = *state;
    struct purgeline *p = open_library(w), *q = NULL;
    struct purgeline_job job = job_of(key_a);
    char id[PURGELINE_ID_ROOM - 1], why[PURGELINE_WHY_ROOM];

    assert_code(purgeline_push(p, &job, id, sizeof(id)), PURGELINE_INVALID);
    assert_starts(purgeline_error(p), "id_room: ");
    assert_code(purgeline_push(NULL, &job, NULL, 0), PURGELINE_INVALID);
    assert_code(purgeline_push_many(p, NULL, 1, NULL), PURGELINE_INVALID);
    assert_code(purgeline_push_many(p, &job, 1, NULL), PURGELINE_INVALID);
    assert_code(purgeline_push_many(p, NULL, 0, NULL), PURGELINE_OK);
    assert_code(purgeline_open(NULL, "main", &q, NULL, 0), PURGELINE_INVALID);
    assert_code(purgeline_open("http://x", "main", &q, why, sizeof(why)), PURGELINE_INVALID);
    assert_starts(why, "redis_url: ");
    assert_code(purgeline_open("redis://x", "No Name", &q, why, sizeof(why)), PURGELINE_INVALID);
    assert_starts(why, "account: ");
    assert_null(q);
    assert_code(purgeline_wait(NULL), PURGELINE_INVALID);
    assert_int_equal(purgeline_fd(NULL), -1);
    purgeline_close(NULL);
    assert_int_equal(length(w, NORMAL), 0);
    purgeline_close(p);
}

static void a_caller_of_a_later_version_may_use_what_this_one_knows(void **state)
{
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    struct {
        struct purgeline_job job;
        uint64_t later;
    } jobs[2] = {{job_of(key_a), 0}, {job_of(key_a), 0}};
    struct purgeline_result results[2];

    jobs[0].job.size = jobs[1].job.size = sizeof(jobs[0]);
    assert_code(purgeline_push_many(p, &jobs[0].job, 2, results), PURGELINE_OK);
    assert_int_equal(length(w, NORMAL), 2);
    jobs[1].later = 1;
    assert_code(purgeline_push_many(p, &jobs[0].job, 2, results), PURGELINE_INVALID);
    assert_code(results[0].code, PURGELINE_OK);
    assert_starts(results[1].text, "size: ");
    purgeline_close(p);
}

/* -- many jobs -- */

static void each_of_many_has_a_result_of_its_own(void **state)
{
    enum { MANY = 5000, BAD = 3000 };
    static struct purgeline_job jobs[MANY];
    static struct purgeline_result results[MANY];
    static char names[MANY][16];
    static const char *keys[MANY];
    struct world *w = *state;
    struct purgeline *p = open_library(w);

    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), i == BAD ? "bad key" : "key-%d", i);
        keys[i] = names[i];
        jobs[i] = job_of(&keys[i]);
    }
    assert_code(purgeline_push_many(p, jobs, MANY, results), PURGELINE_INVALID);
    assert_starts(purgeline_error(p), "keys: ");
    for (int i = 0; i < MANY; i++) {
        assert_code(results[i].code, i == BAD ? PURGELINE_INVALID : PURGELINE_OK);
        assert_starts(results[i].text, i == BAD ? "keys: " : "normal-");
    }
    assert_int_equal(length(w, NORMAL), MANY - 1);
    assert_entry(w, NORMAL, BAD, "keys=key-3001");
    purgeline_close(p);
}

static void answers_come_in_order_with_their_tags(void **state)
{
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    struct purgeline_job job = job_of(key_a);
    struct told told;

    listen_to(p, &told);
    send_some(p, 5000);
    assert_true(purgeline_pending(p) > 0);
    assert_int_equal(purgeline_under_way(p), purgeline_pending(p)); /* the former name */
    /* A call that waits for its own answer must not take the answers of others. */
    assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_OK);
    assert_int_equal(told.count, 5000);
    assert_code(purgeline_wait(p), PURGELINE_OK);
    assert_true(told.in_order);
    assert_int_equal(told.codes[PURGELINE_OK], 5000);
    assert_int_equal(length(w, NORMAL), 5001);
    purgeline_close(p);
}

static void it_fits_into_a_loop_of_the_callers(void **state)
{
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    struct pollfd fd = {.fd = purgeline_fd(p), .events = POLLIN};
    struct told told;

    listen_to(p, &told);
    send_some(p, 100);
    assert_code(purgeline_poll(p, 0), PURGELINE_OK);
    while (purgeline_pending(p)) {
        assert_int_equal(poll(&fd, 1, AWAIT_PATIENCE_MS), 1);
        assert_code(purgeline_poll(p, 0), PURGELINE_OK);
    }
    assert_int_equal(told.codes[PURGELINE_OK], 100);
    purgeline_close(p);
}

static void nosy(void *ctx, void *tag, int code, const char *text)
{
    struct told *t = ctx;
    struct purgeline_job job = job_of(key_a);

    (void)tag;
    (void)code;
    (void)text;
    t->count++;
    assert_code(purgeline_push(t->p, &job, NULL, 0), PURGELINE_INVALID);
    assert_code(purgeline_wait(t->p), PURGELINE_INVALID);
    purgeline_close(t->p);
}

static void a_callback_cannot_call_back(void **state)
{
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    struct told told = {.p = p};

    purgeline_on_answer(p, nosy, &told);
    send_some(p, 3);
    assert_code(purgeline_wait(p), PURGELINE_OK);
    assert_int_equal(told.count, 3);
    assert_int_equal(length(w, NORMAL), 3);
    purgeline_close(p);
}

struct thread {
    struct world *world;
    pthread_t id;
    int code;
};

static void *push_a_thousand(void *arg)
{
    struct thread *t = arg;
    struct purgeline *p = open_library(t->world);

    send_some(p, 1000);
    t->code = purgeline_wait(p);
    purgeline_close(p);
    return NULL;
}

static void each_thread_has_a_handle_of_its_own(void **state)
{
    struct thread threads[4];

    for (size_t i = 0; i < array_len(threads); i++) {
        threads[i] = (struct thread){.world = *state};
        assert_int_equal(pthread_create(&threads[i].id, NULL, push_a_thousand, &threads[i]), 0);
    }
    for (size_t i = 0; i < array_len(threads); i++) {
        assert_int_equal(pthread_join(threads[i].id, NULL), 0);
        assert_code(threads[i].code, PURGELINE_OK);
    }
    assert_int_equal(length(*state, NORMAL), 4000);
}

/* -- errors of Redis -- */

static void without_redis_nothing_is_open(void **state)
{
    struct world *w = *state;
    struct purgeline *p = NULL;
    char url[128], why[PURGELINE_WHY_ROOM];

    redis_server_do(w->redis, "CONFIG SET requirepass hunter2");
    assert_code(purgeline_open(redis_server_url(w->redis), "main", &p, why, sizeof(why)),
                PURGELINE_DENIED);
    snprintf(url, sizeof(url), "redis://:hunter3@127.0.0.1:%u", redis_server_port(w->redis));
    assert_code(purgeline_open(url, "main", &p, why, sizeof(why)), PURGELINE_DENIED);
    assert_null(strstr(why, "hunter3"));
    snprintf(url, sizeof(url), "redis://:hunter2@127.0.0.1:%u", redis_server_port(w->redis));
    assert_code(purgeline_open(url, "main", &p, why, sizeof(why)), PURGELINE_OK);
    purgeline_close(p);
    redis_server_kill(w->redis);
    p = NULL;
    assert_code(purgeline_open(url, "main", &p, why, sizeof(why)), PURGELINE_LOST);
    assert_null(p);
    assert_true(*why);
}

static void what_redis_refuses_may_be_tried_again(void **state)
{
    struct purgeline_job jobs[3] = {job_of(key_a), job_of(key_a), job_of(key_a)};
    struct purgeline_result results[3];
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    struct told told;

    redis_server_do(w->redis, "CONFIG SET maxmemory 1");
    assert_code(purgeline_push(p, jobs, NULL, 0), PURGELINE_REFUSED);
    assert_starts(purgeline_error(p), "OOM ");
    assert_code(purgeline_push_many(p, jobs, 3, results), PURGELINE_REFUSED);
    for (int i = 0; i < 3; i++) {
        assert_code(results[i].code, PURGELINE_REFUSED);
        assert_starts(results[i].text, "OOM ");
    }
    listen_to(p, &told);
    send_some(p, 2);
    assert_code(purgeline_wait(p), PURGELINE_REFUSED);
    assert_starts(purgeline_error(p), "OOM ");
    assert_int_equal(told.codes[-PURGELINE_REFUSED], 2);
    redis_server_do(w->redis, "CONFIG SET maxmemory 0");
    assert_code(purgeline_push(p, jobs, NULL, 0), PURGELINE_OK);
    assert_code(purgeline_wait(p), PURGELINE_OK);
    assert_int_equal(length(w, NORMAL), 1);
    purgeline_close(p);
}

/* Redis reads commands, but does not answer writes. */
static void hold_answers(struct world *w)
{
    redis_server_do(w->redis, "CLIENT PAUSE 100000 WRITE");
}

static void what_was_not_answered_is_unknown(void **state)
{
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    struct purgeline_job job = job_of(key_a);
    struct told told;

    listen_to(p, &told);
    hold_answers(w);
    send_some(p, 5);
    assert_code(purgeline_poll(p, 0), PURGELINE_OK);
    assert_int_equal(told.count, 0);
    redis_server_kill(w->redis);
    assert_code(purgeline_wait(p), PURGELINE_UNKNOWN);
    assert_int_equal(told.codes[-PURGELINE_UNKNOWN], 5);
    assert_true(told.in_order);
    assert_int_equal(purgeline_pending(p), 0);
    assert_int_equal(purgeline_fd(p), -1);
    assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_LOST);
    redis_server_restart(w->redis);
    assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_OK);
    assert_int_equal(told.count, 5);
    purgeline_close(p);
}

static void of_many_those_not_sent_are_told_from_those_not_answered(void **state)
{
    enum { MANY = 2000 };
    static struct purgeline_job jobs[MANY];
    static struct purgeline_result results[MANY];
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    int i = 0;

    for (; i < MANY; i++)
        jobs[i] = job_of(key_a);
    redis_server_kill(w->redis);
    assert_code(purgeline_push_many(p, jobs, MANY, results), PURGELINE_LOST);
    for (i = 0; i < MANY; i++)
        assert_code(results[i].code, PURGELINE_LOST);
    redis_server_restart(w->redis);
    assert_code(purgeline_push_many(p, jobs, MANY, results), PURGELINE_OK);
    assert_int_equal(length(w, NORMAL), MANY);
    purgeline_close(p);
}

static void an_idle_connection_that_was_closed_costs_nothing(void **state)
{
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    struct purgeline_job job = job_of(key_a);

    for (int i = 1; i <= 3; i++) {
        redis_server_do(w->redis, "CLIENT KILL TYPE normal SKIPME yes");
        assert_code(purgeline_push(p, &job, NULL, 0), PURGELINE_OK);
        assert_int_equal(length(w, NORMAL), i);
    }
    purgeline_close(p);
}

/* Writing to a closed socket raises SIGPIPE, which by default ends the process. */
static void a_redis_that_hangs_up_does_not_end_the_process(void **state)
{
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    void (*before)(int) = signal(SIGPIPE, SIG_DFL);
    sigset_t pending, mask;

    send_some(p, 10); /* these wait inside the library */
    redis_server_kill(w->redis);
    assert_code(purgeline_wait(p), PURGELINE_UNKNOWN);
    sigpending(&pending);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_false(sigismember(&pending, SIGPIPE));
    assert_false(sigismember(&mask, SIGPIPE));
    signal(SIGPIPE, before);
    redis_server_restart(w->redis);
    purgeline_close(p);
}

static void closing_says_what_nobody_will_know(void **state)
{
    struct world *w = *state;
    struct purgeline *p = open_library(w);
    struct told told;

    listen_to(p, &told);
    send_some(p, 7);
    purgeline_close(p);
    assert_int_equal(told.codes[-PURGELINE_UNKNOWN], 7);
    assert_true(told.in_order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_field_becomes_one_of_the_wire_contract),
        T(a_job_may_be_for_several_services),
        T(a_program_of_version_0_1_0_may_use_this_library),
        T(what_only_the_dispatcher_knows_is_left_to_it),
        T(one_key_needs_no_job),
        T(a_job_may_be_json),
        T(what_is_no_job_is_named_and_not_sent),
        T(a_wrong_call_is_an_error_and_no_crash),
        T(a_caller_of_a_later_version_may_use_what_this_one_knows),
        T(each_of_many_has_a_result_of_its_own),
        T(answers_come_in_order_with_their_tags),
        T(it_fits_into_a_loop_of_the_callers),
        T(a_callback_cannot_call_back),
        T(each_thread_has_a_handle_of_its_own),
        T(without_redis_nothing_is_open),
        T(what_redis_refuses_may_be_tried_again),
        T(what_was_not_answered_is_unknown),
        T(of_many_those_not_sent_are_told_from_those_not_answered),
        T(an_idle_connection_that_was_closed_costs_nothing),
        T(a_redis_that_hangs_up_does_not_end_the_process),
        T(closing_says_what_nobody_will_know),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
