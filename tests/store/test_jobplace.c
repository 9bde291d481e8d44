/* SPDX-License-Identifier: MIT
 * A job id leads to its job wherever the job is, and to no other job. Cancelling removes the whole
 * job. */
#include "store_world.h"

#include "jobplace.h"
#include "queue_pack.h"
#include "replicated.h"
#include "reply.h"

#define MS "1700000000000"
#define JOB "normal-" MS "-0"

struct place_world {
    struct store_world store;
    struct config_account account;
    struct redis *redis;
    struct replicated *replicated;
    unsigned ups, answers;
    bool closed;
    enum job_state state;
    enum jobplace_cancelled cancelled;
    enum jobplace_read read;
    struct jobplace place;
    char receipt[160];
    char fields[100]; /* the fields read last, each followed by a space; or the error */
};

static void on_up(void *ctx)
{
    struct place_world *w = ctx;

    w->ups++;
    loop_stop(w->store.loop);
}

static void on_down(void *ctx, const char *why)
{
    (void)ctx, (void)why;
}

static int set_up(void **state)
{
    struct place_world *w = alloc_zeroed(1, sizeof(*w));

    store_open(&w->store);
    w->account.name = (char *)"main";
    w->account.receipt_ttl_s = 60;
    w->redis = redis_new(w->store.loop, NULL, on_up, on_down, w);
    w->replicated = replicated_new(w->redis, 0);
    store_until(&w->store, w->ups == 1);
    *state = w;
    return 0;
}

/* From now on, a replica must have what is cancelled. */
static void need_a_replica(struct place_world *w)
{
    replicated_free(w->replicated);
    w->replicated = replicated_new(w->redis, 1);
}

static void on_closed(void *ctx)
{
    struct place_world *w = ctx;

    w->closed = true;
    loop_stop(w->store.loop);
}

static int tear_down(void **state)
{
    struct place_world *w = *state;

    redis_close(w->redis, on_closed, w);
    store_until(&w->store, w->closed);
    replicated_free(w->replicated);
    store_close(&w->store);
    free(w);
    return 0;
}

static void note(struct place_world *w, struct span receipt)
{
    w->answers++;
    snprintf(w->receipt, sizeof(w->receipt), "%.*s", (int)receipt.n, receipt.p);
    loop_stop(w->store.loop);
}

static void on_found(void *ctx, enum job_state state, struct span receipt,
                     const struct jobplace *place)
{
    struct place_world *w = ctx;

    w->state = state;
    w->place = *place;
    note(w, receipt);
}

static enum job_state find(struct place_world *w, const char *job)
{
    unsigned answers = w->answers;

    store_until(&w->store, redis_is_up(w->redis));
    jobplace_find(w->redis, "main", job, on_found, w);
    store_until(&w->store, w->answers == answers + 1);
    return w->state;
}

static void on_cancelled(void *ctx, enum jobplace_cancelled what, struct span receipt)
{
    struct place_world *w = ctx;

    w->cancelled = what;
    note(w, receipt);
}

/* Cancels the job where it was found last. */
static enum jobplace_cancelled cancel(struct place_world *w, const char *job)
{
    unsigned answers = w->answers;

    store_until(&w->store, redis_is_up(w->redis));
    jobplace_cancel(w->replicated, &w->account, job, &w->place, SPAN("{gone}"), SPAN(""),
                    on_cancelled, w);
    store_until(&w->store, w->answers == answers + 1);
    return w->cancelled;
}

static void on_read(void *ctx, enum jobplace_read what, const struct span *fields, size_t count,
                    struct span why)
{
    struct place_world *w = ctx;
    size_t n = 0;

    w->read = what;
    snprintf(w->fields, sizeof(w->fields), "%.*s", (int)why.n, why.p);
    for (size_t i = 0; i < count; i++)
        n += (size_t)snprintf(w->fields + n, sizeof(w->fields) - n, "%.*s ", (int)fields[i].n,
                              fields[i].p);
    note(w, SPAN(""));
}

static enum jobplace_cancelled confirm_end(struct place_world *w, const char *job)
{
    unsigned answers = w->answers;

    store_until(&w->store, redis_is_up(w->redis));
    jobplace_confirm_end(w->replicated, "main", job, on_cancelled, w);
    store_until(&w->store, w->answers == answers + 1);
    return w->cancelled;
}

/* Reads the job where it was found last. */
static enum jobplace_read read_job(struct place_world *w, const char *job)
{
    unsigned answers = w->answers;

    store_until(&w->store, redis_is_up(w->redis));
    jobplace_read(w->redis, "main", job, &w->place, on_read, w);
    store_until(&w->store, w->answers == answers + 1);
    return w->read;
}

static void postpone(struct place_world *w, const char *job)
{
    char command[200];

    snprintf(command, sizeof(command), "ZADD " P "postponed 5 %s", job);
    store_do(&w->store, command);
    snprintf(command, sizeof(command), "HSET " P "postponed:jobs %s packed", job);
    store_do(&w->store, command);
}

/* -- finding -- */

static void a_job_is_found_where_it_is(void **state)
{
    struct place_world *w = *state;

    assert_int_equal(find(w, JOB), JOB_UNKNOWN);
    store_do(&w->store, "XADD " P "jobs:normal * url a");
    assert_int_equal(find(w, JOB), JOB_WAITING);
    assert_false(w->place.postponed);
    assert_int_equal(w->place.lane, LANE_NORMAL);
    assert_string_equal(w->place.entry, MS "-0");
    postpone(w, JOB);
    assert_int_equal(find(w, JOB), JOB_WAITING);
    assert_true(w->place.postponed);
    store_do(&w->store, "SET " P "receipt:" JOB " {it}");
    assert_int_equal(find(w, JOB), JOB_ENDED);
    assert_string_equal(w->receipt, "{it}");
}

#define PURGED "{\"job\":\"" JOB "\",\"state\":\"purged\",\"at\":1700000000900,\"targets\":1}"
#define LINE(job, id)                                                                              \
    "{\"job\":\"" job "\",\"state\":\"purged\",\"purge\":{\"keys\":[\"\\\"id\\\":\\\"x\\\"\"]," id \
    "}}\n"

/* The line was written with the receipt: it is in the next entries. */
static void the_receipt_of_a_purged_job_has_the_id_of_its_purge(void **state)
{
    struct place_world *w = *state;

    store_do(&w->store, "SET " P "receipt:" JOB " " PURGED);
    store_do(&w->store,
             "XADD " P "history 1700000000899-0 v 1 n 1 jobs " LINE(JOB, "\"id\":\"too-early\""));
    store_do(&w->store,
             "XADD " P "history 1700000000900-0 v 1 n 1 jobs " LINE(
                 "normal-" MS "-1", "\"id\":\"1-2-3\"") "x" LINE(JOB, "\"id\":\"1-2-4\""));
    assert_int_equal(find(w, JOB), JOB_ENDED);
    assert_string_equal(w->receipt, PURGED);
    store_do(&w->store, "XADD " P "history 1700000000901-0 v 1 n 1 jobs " LINE(
                            "normal-" MS "-1", "\"id\":\"1-2-3\"") LINE(JOB, "\"id\":\"1-2-5\""));
    assert_int_equal(find(w, JOB), JOB_ENDED);
    assert_non_null(strstr(w->receipt, ",\"targets\":1,\"purge_id\":\"1-2-5\"}"));
}

static void without_an_id_the_receipt_is_as_it_was(void **state)
{
    struct place_world *w = *state;

    store_do(&w->store, "SET " P "receipt:" JOB " " PURGED);
    store_do(&w->store, "SET " P "history x");
    assert_int_equal(find(w, JOB), JOB_ENDED);
    assert_string_equal(w->receipt, PURGED);
    store_do(&w->store, "DEL " P "history");
    store_do(&w->store, "XADD " P "history 1700000000900-0 v 1 n 1 jobs " LINE(JOB, "\"sent\":5"));
    assert_int_equal(find(w, JOB), JOB_ENDED);
    assert_string_equal(w->receipt, PURGED);
    store_do(&w->store, "DEL " P "history");
    store_do(&w->store,
             "XADD " P "history 1700000000900-0 v 1 n 1 jobs " LINE(JOB, "\"id\":\"\xc3\xa4\""));
    assert_int_equal(find(w, JOB), JOB_ENDED);
    assert_string_equal(w->receipt, PURGED);
}

static void an_entry_of_another_lane_is_another_job(void **state)
{
    struct place_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:bulk * url a");
    assert_int_equal(find(w, JOB), JOB_UNKNOWN);
    postpone(w, JOB);
    assert_int_equal(find(w, "bulk-" MS "-0"), JOB_WAITING);
    assert_false(w->place.postponed);
    assert_int_equal(find(w, "urgent-" MS "-0"), JOB_UNKNOWN);
}

/* Redis itself accepts 9-01 for 9-1. */
static void a_place_written_in_another_way_leads_nowhere(void **state)
{
    struct place_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:bulk 9-1 url a");
    store_do(&w->store, "HSET " P "places " JOB " bulk-9-01");
    assert_int_equal(find(w, JOB), JOB_UNKNOWN);
    store_expect_number(&w->store, "XACK " P "jobs:bulk purgeline 9-1", 0);
    w->place = (struct jobplace){.lane = LANE_BULK, .entry = "09-1"};
    assert_int_equal(cancel(w, "bulk-09-1"), JOBPLACE_MOVED);
    store_expect_number(&w->store, "XLEN " P "jobs:bulk", 1);
    store_expect(&w->store, "KEYS *receipt:*", "*0\r\n");
}

/* A job that returned to its lane has another entry id there. An index entry for a missing entry is
 * removed. */
static void a_job_that_came_back_is_found_by_its_place(void **state)
{
    struct place_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:bulk 9-1 url a");
    store_do(&w->store, "HSET " P "places " JOB " bulk-9-1");
    assert_int_equal(find(w, JOB), JOB_WAITING);
    assert_int_equal(w->place.lane, LANE_BULK);
    assert_string_equal(w->place.entry, "9-1");
    store_do(&w->store, "XDEL " P "jobs:bulk 9-1");
    assert_int_equal(find(w, JOB), JOB_UNKNOWN);
    store_expect_number(&w->store, "HLEN " P "places", 0);
}

static void a_repeat_was_never_in_a_lane_under_its_own_id(void **state)
{
    struct place_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:normal * url a");
    assert_int_equal(find(w, JOB "+r"), JOB_UNKNOWN);
    postpone(w, JOB "+r");
    assert_int_equal(find(w, JOB "+r"), JOB_WAITING);
}

static void what_an_old_version_postponed_is_unsure(void **state)
{
    struct place_world *w = *state;

    store_do(&w->store, "ZADD " P "later 5 packed");
    assert_int_equal(find(w, JOB), JOB_UNSURE);
}

static void looking_leaves_no_claim_and_needs_no_memory(void **state)
{
    struct place_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:normal * url a");
    fakeredis_set_full(w->store.redis, OOM);
    assert_int_equal(find(w, JOB), JOB_WAITING);
    store_expect_number(&w->store, "XACK " P "jobs:normal purgeline " MS "-0", 0);
    fakeredis_set_full(w->store.redis, NULL);
}

static void a_failed_search_is_reported(void **state)
{
    struct place_world *w = *state;

    fakeio_fail_next("find_job", FAKEIO_LOST_AFTER, NULL);
    assert_int_equal(find(w, JOB), JOB_ASKED_IN_VAIN);
    store_do(&w->store, "SET " P "postponed x");
    assert_int_equal(find(w, JOB), JOB_ASKED_IN_VAIN);
    store_do(&w->store, "DEL " P "postponed");
    store_do(&w->store, "SET " P "jobs:normal x");
    assert_int_equal(find(w, JOB), JOB_ASKED_IN_VAIN);
}

/* -- reading -- */

static void a_job_is_read_from_its_lane(void **state)
{
    struct place_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:normal * url a ref mine");
    store_do(&w->store, "XADD " P "jobs:normal * url b");
    assert_int_equal(find(w, JOB), JOB_WAITING);
    assert_int_equal(read_job(w, JOB), JOBPLACE_READ);
    assert_string_equal(w->fields, "url a ref mine ");
    store_do(&w->store, "XDEL " P "jobs:normal " MS "-0");
    assert_int_equal(read_job(w, JOB), JOBPLACE_NOT_THERE);
}

static void put_packed(struct place_world *w, const struct packed_job *job)
{
    struct span argv[] = {SPAN("HSET"), SPAN(P "postponed:jobs"), SPAN(JOB), SPAN("")};
    struct buf packed;

    buf_init(&packed, 1000);
    queue_pack(job, &packed);
    argv[3] = span_of(packed.p, packed.n);
    buf_clear(&w->store.said);
    fakeredis_run(w->store.hand, array_len(argv), argv, &w->store.said);
    buf_deinit(&packed);
}

static void a_postponed_job_is_read_and_an_invalid_one_has_no_fields(void **state)
{
    struct place_world *w = *state;
    struct span fields[] = {SPAN("url"), SPAN("a")};

    postpone(w, JOB);
    assert_int_equal(find(w, JOB), JOB_WAITING);
    assert_int_equal(read_job(w, JOB), JOBPLACE_READ);
    assert_string_equal(w->fields, "");
    put_packed(w, &(struct packed_job){LANE_NORMAL, SPAN(JOB), SPAN(""), fields, 2});
    assert_int_equal(read_job(w, JOB), JOBPLACE_READ);
    assert_string_equal(w->fields, "url a ");
    store_do(&w->store, "HDEL " P "postponed:jobs " JOB);
    assert_int_equal(read_job(w, JOB), JOBPLACE_NOT_THERE);
}

static void a_failed_read_is_reported_with_the_reason(void **state)
{
    struct place_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:normal * url a");
    assert_int_equal(find(w, JOB), JOB_WAITING);
    fakeio_fail_next("XRANGE", FAKEIO_LOST_BEFORE, NULL);
    assert_int_equal(read_job(w, JOB), JOBPLACE_UNREADABLE);
    assert_string_equal(w->fields, "Redis is away");
    store_do(&w->store, "DEL " P "jobs:normal");
    store_do(&w->store, "SET " P "jobs:normal x");
    assert_int_equal(read_job(w, JOB), JOBPLACE_UNREADABLE);
    assert_string_equal(w->fields, WRONGTYPE);
}

/* -- cancelling -- */

static void expect_taken_back(struct place_world *w)
{
    store_expect(&w->store, "GET " P "receipt:" JOB, "$6\r\n{gone}\r\n");
    store_expect_number(&w->store, "TTL " P "receipt:" JOB, 60);
    store_expect_number(&w->store, "XLEN " P "jobs:normal", 0);
}

static void a_job_in_a_lane_is_taken_back_and_the_leader_told(void **state)
{
    struct place_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:normal * url a");
    store_do(&w->store, "HSET " P "places " JOB " normal-" MS "-0");
    assert_int_equal(find(w, JOB), JOB_WAITING);
    assert_int_equal(cancel(w, JOB), JOBPLACE_CANCELLED);
    expect_taken_back(w);
    store_expect(&w->store, "LRANGE " P "cancelled 0 -1", "*1\r\n$22\r\n" JOB "\r\n");
    store_expect_number(&w->store, "HLEN " P "places", 0);
    assert_int_equal(cancel(w, JOB), JOBPLACE_ENDED);
    assert_string_equal(w->receipt, "{gone}");
}

static void without_its_replica_no_job_is_said_to_be_cancelled(void **state)
{
    struct place_world *w = *state;

    need_a_replica(w);
    fakeredis_set_replicas(w->store.redis, 0, 1);
    store_do(&w->store, "XADD " P "jobs:normal * url a");
    assert_int_equal(find(w, JOB), JOB_WAITING);
    assert_int_equal(cancel(w, JOB), JOBPLACE_FEW);
    assert_string_equal(w->receipt,
                        "0 of 1 replicas have this: it is not confirmed, though it may take "
                        "effect; repeat it");
    assert_int_equal(find(w, JOB), JOB_ENDED);
    assert_int_equal(confirm_end(w, JOB), JOBPLACE_FEW);
    fakeredis_set_replicas(w->store.redis, 1, 1);
    assert_int_equal(confirm_end(w, JOB), JOBPLACE_ENDED);
    assert_string_equal(w->receipt, "{gone}");
    store_do(&w->store, "DEL " P "receipt:" JOB);
    assert_int_equal(confirm_end(w, JOB), JOBPLACE_MOVED);
    fakeio_fail_next("confirm_end", FAKEIO_LOST_BEFORE, NULL);
    assert_int_equal(confirm_end(w, JOB), JOBPLACE_FAILED);
    store_do(&w->store, "XADD " P "jobs:normal * url a");
    w->place = (struct jobplace){.lane = LANE_NORMAL, .entry = MS "-1"};
    assert_int_equal(cancel(w, "normal-" MS "-1"), JOBPLACE_CANCELLED);
}

/* The end was written over another connection, after the replica had stopped receiving. Since Redis
 * 8, WAIT does not count that write, so the script must write something itself. */
static void a_cancellation_that_comes_too_late_needs_the_replica_as_well(void **state)
{
    struct place_world *w = *state;

    need_a_replica(w);
    fakeredis_set_replicas(w->store.redis, 0, 1);
    store_do(&w->store, "SETEX " P "receipt:" JOB " 60 {purged}");
    w->place = (struct jobplace){.lane = LANE_NORMAL, .entry = MS "-0"};
    assert_int_equal(cancel(w, JOB), JOBPLACE_FEW);
    fakeredis_set_replicas(w->store.redis, 1, 1);
    assert_int_equal(cancel(w, JOB), JOBPLACE_ENDED);
    assert_string_equal(w->receipt, "{purged}");
}

static void a_postponed_job_is_taken_back_and_no_other(void **state)
{
    struct place_world *w = *state;

    postpone(w, JOB);
    postpone(w, "normal-" MS "-00");
    postpone(w, JOB "+r");
    assert_int_equal(find(w, JOB), JOB_WAITING);
    assert_int_equal(cancel(w, JOB), JOBPLACE_CANCELLED);
    expect_taken_back(w);
    store_expect_number(&w->store, "ZCARD " P "postponed", 2);
    store_expect_number(&w->store, "HLEN " P "postponed:jobs", 2);
    store_expect_number(&w->store, "EXISTS " P "cancelled", 0);
}

static void a_job_that_moved_meanwhile_is_not_ended(void **state)
{
    struct place_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:normal * url a");
    assert_int_equal(find(w, JOB), JOB_WAITING);
    store_do(&w->store, "XDEL " P "jobs:normal " MS "-0");
    assert_int_equal(cancel(w, JOB), JOBPLACE_MOVED);
    postpone(w, JOB);
    assert_int_equal(find(w, JOB), JOB_WAITING);
    store_do(&w->store, "ZREM " P "postponed " JOB);
    assert_int_equal(cancel(w, JOB), JOBPLACE_MOVED);
    store_expect_number(&w->store, "EXISTS " P "receipt:" JOB, 0);
}

static void a_lost_answer_is_found_out_by_asking_again(void **state)
{
    struct place_world *w = *state;

    store_do(&w->store, "XADD " P "jobs:normal * url a");
    assert_int_equal(find(w, JOB), JOB_WAITING);
    fakeio_fail_next("cancel_job", FAKEIO_LOST_BEFORE, NULL);
    assert_int_equal(cancel(w, JOB), JOBPLACE_FAILED);
    assert_int_equal(find(w, JOB), JOB_WAITING);
    fakeio_fail_next("cancel_job", FAKEIO_LOST_AFTER, NULL);
    assert_int_equal(cancel(w, JOB), JOBPLACE_FAILED);
    assert_int_equal(find(w, JOB), JOB_ENDED);
    expect_taken_back(w);
}

static void without_memory_for_its_receipt_a_job_stays(void **state)
{
    struct place_world *w = *state;

    postpone(w, JOB);
    assert_int_equal(find(w, JOB), JOB_WAITING);
    fakeredis_set_full(w->store.redis, OOM);
    assert_int_equal(cancel(w, JOB), JOBPLACE_FAILED);
    assert_memory_equal(w->receipt, OOM, strlen(OOM));
    store_expect_number(&w->store, "ZCARD " P "postponed", 1);
    fakeredis_set_full(w->store.redis, NULL);
    assert_int_equal(cancel(w, JOB), JOBPLACE_CANCELLED);
}

/* Redis does not roll back a script that fails in the middle. */
static void what_cannot_be_written_later_stops_it_before_the_start(void **state)
{
    static const struct {
        bool postponed;
        const char *key;
    } broken[] = {{false, "cancelled"}, {false, "places"}, {true, "postponed:jobs"}};
    struct place_world *w = *state;
    char command[100];

    for (size_t i = 0; i < array_len(broken); i++) {
        store_do(&w->store, "FLUSHALL");
        store_do(&w->store, "XADD " P "jobs:normal " MS "-0 url a");
        if (broken[i].postponed)
            postpone(w, JOB);
        assert_int_equal(find(w, JOB), JOB_WAITING);
        snprintf(command, sizeof(command), "SET " P "%s x", broken[i].key);
        store_do(&w->store, command);
        assert_int_equal(cancel(w, JOB), JOBPLACE_FAILED);
        assert_memory_equal(w->receipt, "WRONGTYPE", 9);
        store_expect_number(&w->store, "XLEN " P "jobs:normal", 1);
        store_expect_number(&w->store, "ZCARD " P "postponed", broken[i].postponed);
        store_expect_number(&w->store, "EXISTS " P "receipt:" JOB, 0);
    }
}

#define over_redis(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        over_redis(a_job_is_found_where_it_is),
        over_redis(the_receipt_of_a_purged_job_has_the_id_of_its_purge),
        over_redis(without_an_id_the_receipt_is_as_it_was),
        over_redis(an_entry_of_another_lane_is_another_job),
        over_redis(a_place_written_in_another_way_leads_nowhere),
        over_redis(a_job_that_came_back_is_found_by_its_place),
        over_redis(a_repeat_was_never_in_a_lane_under_its_own_id),
        over_redis(what_an_old_version_postponed_is_unsure),
        over_redis(looking_leaves_no_claim_and_needs_no_memory),
        over_redis(a_failed_search_is_reported),
        over_redis(a_job_is_read_from_its_lane),
        over_redis(a_postponed_job_is_read_and_an_invalid_one_has_no_fields),
        over_redis(a_failed_read_is_reported_with_the_reason),
        over_redis(a_job_in_a_lane_is_taken_back_and_the_leader_told),
        over_redis(without_its_replica_no_job_is_said_to_be_cancelled),
        over_redis(a_cancellation_that_comes_too_late_needs_the_replica_as_well),
        over_redis(a_postponed_job_is_taken_back_and_no_other),
        over_redis(a_job_that_moved_meanwhile_is_not_ended),
        over_redis(a_lost_answer_is_found_out_by_asking_again),
        over_redis(without_memory_for_its_receipt_a_job_stays),
        over_redis(what_cannot_be_written_later_stops_it_before_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
