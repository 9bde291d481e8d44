/* SPDX-License-Identifier: MIT
 * GET and DELETE /v1/jobs/{id} find the job of each id that was returned, wherever the job is. */
#include "job_told.h"

#include "buf.h"
#include "clock.h"
#include "config.h"

#define PURGE "/v1/purge"
#define P "purgeline:{main}:"
#define FAR "253402300799000"

static void expect_state(struct world *w, const char *job, const char *state)
{
    http_assert_text(on_job(w, 200, "GET", job, NULL), "state", state);
}

static struct job push_json(struct world *w, const char *body)
{
    return world_job(http_expect(w->h, 202, "POST", PURGE, body, NULL));
}

static void await_postponed(struct world *w, long long count)
{
    rig_await(w->r, redis_server_int(w->r->redis, "ZCARD " P "postponed") == count);
}

static void expect_index_is_empty(struct world *w)
{
    assert_int_equal(
        redis_server_int(w->r->redis, "EXISTS " P "postponed " P "postponed:jobs " P "places"), 0);
}

static void cancelling_takes_the_very_job_that_was_named(void **state)
{
    struct world w = world_open(state, "", "");
    char ids[2][40] = {"1700000000000-1", "1700000000000-10"}, job[64];

    /* Each id is a prefix of the other, and both are in every lane. */
    for (int lane = 0; lane < LANE_N; lane++)
        for (int i = 0; i < 2; i++)
            redis_server_do(w.r->redis, "XADD " P "jobs:%s %s keys k not_before " FAR,
                            lane_names[lane], ids[i]);
    await_postponed(&w, 6);
    on_job(&w, 200, "DELETE", "normal-1700000000000-1", NULL);
    expect_state(&w, "normal-1700000000000-1", "cancelled");
    await_postponed(&w, 5);
    for (int lane = 0; lane < LANE_N; lane++) {
        for (int i = 0; i < 2; i++) {
            snprintf(job, sizeof(job), "%s-%s", lane_names[lane], ids[i]);
            if (lane != LANE_NORMAL || i)
                expect_state(&w, job, "waiting");
        }
    }
    on_job(&w, 200, "DELETE", "bulk-1700000000000-10", NULL);
    expect_state(&w, "bulk-1700000000000-1", "waiting");
    await_postponed(&w, 4);
    assert_int_equal(redis_server_int(w.r->redis, "HLEN " P "postponed:jobs"), 4);
    world_close(&w);
}

static void leading_zeros_make_an_id_of_no_job(void **state)
{
    struct world w = world_open(state, "", "");

    rig_dispatch_pause(w.r, true);
    instance_await_said(&w.r->instances[0], "Dispatch is paused", 1);
    redis_server_do(w.r->redis, "XADD " P "jobs:bulk 1700000000000-0 keys k");
    for (int i = 0; i < 2; i++) {
        on_job(&w, 404, i ? "DELETE" : "GET", "bulk-1700000000000-00", NULL);
        on_job(&w, 404, i ? "DELETE" : "GET", "bulk-01700000000000-0", NULL);
    }
    expect_state(&w, "bulk-1700000000000-0", "waiting");
    assert_int_equal(redis_server_int(w.r->redis, "EXISTS " P "receipt:bulk-1700000000000-00"), 0);
    world_close(&w);
}

static void a_postponed_job_is_found_among_very_many(void **state)
{
    struct world w = world_open(state, "", "");

    for (int i = 0; i < 1500; i++)
        redis_server_do(w.r->redis, "XADD " P "jobs:normal 1700000000000-%d keys k not_before %llu",
                        i, 253402300000000 + (unsigned long long)i);
    redis_server_do(w.r->redis, "XADD " P "jobs:normal 1700000000001-0 keys k not_before " FAR);
    await_postponed(&w, 1501);
    expect_state(&w, "normal-1700000000001-0", "waiting");
    on_job(&w, 404, "GET", "normal-1700000000001-1", NULL);
    world_close(&w);
}

/* The last step of the job's timeline. */
static void expect_last_step(struct world *w, const char *job, const char *step, const char *member)
{
    const json_t *steps = json_object_get(on_job(w, 200, "GET", job, NULL)->json, "timeline");
    const json_t *last = json_array_get(steps, json_array_size(steps) - 1);

    assert_string_equal(json_string_value(json_object_get(json_array_get(steps, 0), "step")),
                        "accepted");
    assert_string_equal(json_string_value(json_object_get(last, "step")), step);
    if (member)
        assert_non_null(json_object_get(last, member));
}

static void a_job_says_why_it_is_where_it_is(void **state)
{
    struct world w = world_open(state, "", "");
    struct job later = push_json(&w, "{\"keys\":[\"l\"],\"not_before\":" FAR "}"), now;

    await_postponed(&w, 1);
    expect_last_step(&w, later.id, "postponed", "until");
    rig_dispatch_pause(w.r, true);
    instance_await_said(&w.r->instances[0], "Dispatch is paused", 1);
    /* Pushed past the endpoint, which has not looked at the account since the pause. */
    redis_server_do(w.r->redis, "XADD " P "jobs:bulk 1700000000009-0 keys k");
    expect_last_step(&w, "bulk-1700000000009-0", "paused", NULL);
    rig_dispatch_pause(w.r, false);
    now = push_json(&w, "{\"keys\":[\"n\"]}");
    rig_await_ended(w.r, &now, "purged");
    expect_last_step(&w, now.id, "ended", "at");
    world_close(&w);
}

/* -- what only the leader's memory knows -- */

static void jobs_that_were_merged_say_so_and_why_they_wait(void **state)
{
    struct world w = world_open(state, "", "");
    struct job first, second;
    const json_t *j;

    pause_at_once(&w);
    first = push_json(&w, "{\"keys\":[\"a\",\"both\"]}");
    second = push_json(&w, "{\"keys\":[\"both\"],\"lane\":\"bulk\"}");
    rig_await(w.r, is_in_memory(look_at(&w, first.id, NULL)));
    rig_await(w.r, is_in_memory(look_at(&w, second.id, NULL)));
    j = look_at(&w, second.id, NULL);
    assert_int_equal(number_in(step_of(j, "merged"), "targets"), 1);
    assert_int_equal(number_in(step_of(j, "merged"), "jobs"), 1);
    assert_int_equal(number_in(step_of(j, "lane"), "before"), 1);
    assert_non_null(step_of(j, "paused"));
    assert_null(step_of(j, "budget"));
    expect_shown(j, 0, "target", "both");
    expect_shown(j, 0, "service", "news");
    expect_shown(j, 0, "state", "waiting");
    expect_shown(j, 0, "lane", "normal");
    expect_shown(j, 0, "why", "paused");
    j = look_at(&w, first.id, NULL);
    assert_int_equal(number_in(json_object_get(j, "leader"), "waiting"), 2);
    assert_int_equal(number_in(json_object_get(j, "leader"), "shared"), 1);
    assert_int_equal(number_in(shown(j, 0), "jobs"), 0);
    rig_dispatch_pause(w.r, false);
    rig_await_ended(w.r, &second, "purged");
    world_close(&w);
}

static bool waits_for_budget(struct world *w, const struct job *job, long long now_ms)
{
    return number_in(shown(look_at(w, job->id, NULL), 0), "until") > now_ms;
}

/* Most of those before it wait, too. */
static void a_job_that_waits_for_budget_says_until_when(void **state)
{
    struct world w =
        world_open(state, "    budget: {purges: 40, per_s: 3600, burst: 10, headroom: 0}\n", "");
    long long now_ms = (long long)clock_wall_ms();
    const json_t *j;
    struct job last;

    for (int i = 0; i < 30; i++) {
        char url[64];

        snprintf(url, sizeof(url), "{\"url\":\"https://www.example.com/%d\"}", i);
        (void)push_json(&w, url);
    }
    last = push_json(&w, "{\"url\":\"https://www.example.com/last?private\"}");
    rig_await(w.r, waits_for_budget(&w, &last, now_ms));
    j = look_at(&w, last.id, NULL);
    expect_shown(j, 0, "why", "budget");
    expect_shown(j, 0, "target", "https://www.example.com/last");
    assert_true(number_in(step_of(j, "lane"), "before") > 0);
    assert_int_equal(number_in(step_of(j, "budget"), "until"), number_in(shown(j, 0), "until"));
    world_close(&w);
}

static void a_job_that_is_tried_again_says_what_the_answer_was(void **state)
{
    struct world w = world_open(state, "    attempts: 100\n", "");
    const json_t *judged;
    struct job j;

    sandbox_fault(w.r->sandbox, "status=503");
    j = push_json(&w, "{\"keys\":[\"unlucky\"]}");
    rig_await(w.r, step_of(look_at(&w, j.id, NULL), "next_try") != NULL);
    rig_await(w.r, (judged = step_of(look_at(&w, j.id, NULL), "judged")) != NULL);
    assert_int_equal(number_in(judged, "status"), 503);
    assert_int_equal(number_in(judged, "targets"), 1);
    assert_true(number_in(judged, "tries") >= 1);
    sandbox_fault(w.r->sandbox, "status=0");
    rig_await_ended(w.r, &j, "purged");
    world_close(&w);
}

static void a_job_on_the_wire_says_since_when(void **state)
{
    struct world w = world_open(state, "", "");
    struct job j;

    sandbox_fault(w.r->sandbox, "latency_ms=1500&count=1");
    j = push_json(&w, "{\"keys\":[\"slow\"]}");
    rig_await(w.r, number_in(step_of(look_at(&w, j.id, NULL), "sent"), "targets") == 1);
    rig_await_ended(w.r, &j, "purged");
    world_close(&w);
}

static void who_could_not_have_pushed_the_job_learns_nothing_of_its_targets(void **state)
{
    struct world w = world_open(state, "",
                                "producers:\n  - name: cms\n    token_sha256: \"" TOKEN_SHA256
                                "\"\n    kinds: [key]\n");
    const json_t *j;

    pause_at_once(&w);
    redis_server_do(w.r->redis, "XADD " P "jobs:normal 1700000000000-1 keys mine");
    redis_server_do(w.r->redis, "XADD " P "jobs:normal 1700000000000-2 url https://x.example/");
    rig_await(w.r, is_in_memory(look_at(&w, "normal-1700000000000-1", KEY_HEADER)));
    assert_null(json_object_get(
        step_of(look_at(&w, "normal-1700000000000-1", KEY_HEADER), "paused"), "why"));
    j = look_at(&w, "normal-1700000000000-2", KEY_HEADER);
    assert_true(json_is_true(json_object_get(json_object_get(j, "leader"), "here")));
    assert_int_equal(json_object_size(json_object_get(j, "leader")), 1);
    assert_null(step_of(j, "merged"));
    world_close(&w);
}

static void an_instance_that_does_not_lead_says_who_knows_more(void **state)
{
    struct world w = world_open(state, "", "");
    const json_t *leader;

    instance_await_said(&w.r->instances[0], "This instance leads", 1);
    redis_server_do(w.r->redis, "SET " P "lease somebody-else");
    instance_await_said(&w.r->instances[0], "another instance holds the lease", 1);
    redis_server_do(w.r->redis, "XADD " P "jobs:normal 1700000000000-1 keys k");
    leader = json_object_get(look_at(&w, "normal-1700000000000-1", NULL), "leader");
    assert_true(json_is_false(json_object_get(leader, "here")));
    assert_string_equal(json_string_value(json_object_get(leader, "instance")), "somebody-else");
    redis_server_do(w.r->redis, "DEL " P "lease");
    world_close(&w);
}

/* The job has another entry id when it is back in its lane, but keeps the id that was returned. */
static void a_job_that_came_back_is_found_and_cancelled_under_its_id(void **state)
{
    struct world w = world_open(state, "", "");
    char body[128];
    struct job j;

    rig_dispatch_pause(w.r, true);
    instance_await_said(&w.r->instances[0], "Dispatch is paused", 1);
    snprintf(body, sizeof(body), "{\"keys\":[\"back\"],\"not_before\":%llu}",
             (unsigned long long)clock_wall_ms() + 700);
    j = push_json(&w, body);
    rig_await(w.r, redis_server_int(w.r->redis, "HLEN " P "places") == 1);
    expect_state(&w, j.id, "waiting");
    assert_int_equal(redis_server_int(w.r->redis, "XLEN " P "jobs:normal"), 1);
    on_job(&w, 200, "DELETE", j.id, NULL);
    expect_state(&w, j.id, "cancelled");
    rig_await_empty(w.r);
    expect_index_is_empty(&w);
    /* The leader is told of the cancelled entry, and drops its waiting targets. */
    rig_await(w.r, redis_server_int(w.r->redis, "LLEN " P "cancelled") == 0);
    rig_dispatch_pause(w.r, false);
    world_flush(&w);
    assert_int_equal(requests_naming(&w.r->requests, "back", ANY_STATUS), 0);
    world_close(&w);
}

static void a_job_that_came_back_leaves_the_index_when_it_ends(void **state)
{
    struct world w = world_open(state, "", "");
    char body[128];
    struct job j;

    snprintf(body, sizeof(body), "{\"keys\":[\"a\"],\"not_before\":%llu}",
             (unsigned long long)clock_wall_ms() + 300);
    j = push_json(&w, body);
    rig_await_ended(w.r, &j, "purged");
    expect_state(&w, j.id, "purged");
    expect_index_is_empty(&w);
    world_close(&w);
}

static void a_pending_repeat_is_found_and_can_be_cancelled(void **state)
{
    struct world w = world_open(state, "", "");
    struct job j = push_json(&w, "{\"keys\":[\"a\"],\"repeat_after\":86400000,\"ref\":\"r\"}");
    char again[80];

    rig_await_ended(w.r, &j, "purged");
    snprintf(again, sizeof(again), "%s+r", j.id);
    expect_state(&w, again, "waiting");
    http_assert_text(on_job(&w, 200, "DELETE", again, NULL), "ref", "r");
    expect_state(&w, again, "cancelled");
    expect_state(&w, j.id, "purged");
    expect_index_is_empty(&w);
    snprintf(again, sizeof(again), "%s+r+r", j.id);
    on_job(&w, 404, "GET", again, NULL);
    world_close(&w);
}

static void a_repeat_after_of_0_does_not_repeat(void **state)
{
    struct world w = world_open(state, "", "");
    struct job j = push_json(&w, "{\"keys\":[\"once\"],\"repeat_after\":0,\"ref\":\"r\"}");

    rig_await_ended(w.r, &j, "purged");
    expect_index_is_empty(&w);
    world_flush(&w);
    assert_int_equal(requests_naming(&w.r->requests, "once", ANY_STATUS), 1);
    world_close(&w);
}

static void a_producer_may_cancel_its_own_postponed_job_and_no_other(void **state)
{
    struct world w = world_open(state, "",
                                "producers:\n  - name: cms\n    token_sha256: \"" TOKEN_SHA256
                                "\"\n    kinds: [key]\n");

    redis_server_do(w.r->redis,
                    "XADD " P
                    "jobs:normal 1700000000000-1 url https://example.com/ not_before " FAR);
    redis_server_do(w.r->redis, "XADD " P "jobs:normal 1700000000000-2 keys k not_before " FAR);
    await_postponed(&w, 2);
    on_job(&w, 403, "DELETE", "normal-1700000000000-1", KEY_HEADER);
    on_job(&w, 200, "DELETE", "normal-1700000000000-2", KEY_HEADER);
    await_postponed(&w, 1);
    world_close(&w);
}

/* A large job is moved in several steps, but can always be found and cancelled. */
static void a_large_job_is_found_wherever_it_is(void **state)
{
    struct world w = world_open(state, "", "");
    struct buf body;
    struct job j;

    buf_init(&body, 1 << 20);
    buf_printf(&body, "{\"not_before\":" FAR ",\"ref\":\"big\",\"keys\":[\"k0\"");
    for (int i = 1; i < 5000; i++)
        buf_printf(&body, ",\"k%d\"", i);
    buf_printf(&body, "]}");
    j = push_json(&w, body.p);
    buf_deinit(&body);
    await_postponed(&w, 1);
    expect_state(&w, j.id, "waiting");
    assert_true(redis_server_int(w.r->redis, "HSTRLEN " P "postponed:jobs %s", j.id) > 8192);
    http_assert_text(on_job(&w, 200, "DELETE", j.id, NULL), "ref", "big");
    expect_state(&w, j.id, "cancelled");
    rig_await_empty(w.r);
    expect_index_is_empty(&w);
    world_close(&w);
}

/* Jobs that version 0.1.0 postponed are whole members of `later`. */
static void what_an_older_version_postponed_is_found_and_comes_due(void **state)
{
    static const char *const pack =
        "return redis.call('ZADD', KEYS[1], ARGV[1], cmsgpack.pack({'normal', ARGV[2], ARGV[3],"
        " {'keys', ARGV[4]}}))";
    struct world w = world_open(state, "", "");
    struct job due = {.id = "normal-1700000000000-10"};

    redis_server_do(w.r->redis, "EVAL %s 1 " P "later " FAR " %s %s far", pack,
                    "normal-1700000000000-1", "1700000000000-1");
    redis_server_do(w.r->redis, "EVAL %s 1 " P "later 1700000000000 %s %s due", pack, due.id,
                    "1700000000000-10");
    redis_server_do(w.r->redis, "DEL " P "lease"); /* a new leader looks for them */
    rig_await(w.r, redis_server_int(w.r->redis, "EXISTS " P "later") == 0);
    rig_await_ended(w.r, &due, "purged");
    expect_state(&w, "normal-1700000000000-1", "waiting");
    on_job(&w, 200, "DELETE", "normal-1700000000000-1", NULL);
    expect_state(&w, "normal-1700000000000-1", "cancelled");
    expect_index_is_empty(&w);
    world_close(&w);
}

static void before_it_is_moved_an_old_job_is_not_said_to_be_nowhere(void **state)
{
    struct world w = world_open(state, "", "");

    /* Another instance leads now, and does not move it. */
    instance_await_said(&w.r->instances[0], "This instance leads", 1);
    redis_server_do(w.r->redis, "SET " P "lease somebody-else");
    instance_await_said(&w.r->instances[0], "another instance holds the lease", 1);
    redis_server_do(w.r->redis, "ZADD " P "later 1 whatever");
    world_assert_problem(http_do(w.h, "GET", "/v1/jobs/normal-1700000000000-1", NULL, NULL), 503,
                         "job: not found yet");
    world_assert_problem(http_do(w.h, "DELETE", "/v1/jobs/normal-1700000000000-1", NULL, NULL), 503,
                         "job: not found yet");
    redis_server_do(w.r->redis, "DEL " P "later " P "lease");
    world_close(&w);
}

/* -- ids in the far future -- */

/* Redis always continues after the newest id. */
static void an_id_beyond_every_clock_fails_readiness_until_the_stream_is_mended(void **state)
{
    struct world w = world_open(state, "", "");
    struct job j;

    rig_await(w.r, http_do(w.h, "GET", "/readyz", NULL, NULL)->status == 200);
    redis_server_do(w.r->redis, "XADD " P "jobs:normal 281474976710656-0 keys a");
    redis_server_do(w.r->redis, "XADD " P "jobs:normal * keys b");
    instance_await_said(&w.r->instances[0], "beyond what any clock gives", 1);
    rig_await(w.r, redis_server_int(w.r->redis, "XLEN " P "dead") == 2);
    rig_await(w.r, http_do(w.h, "GET", "/readyz", NULL, NULL)->status == 503);
    world_assert_problem(http_do(w.h, "GET", "/readyz", NULL, NULL), 503,
                         "The key purgeline:{main}:jobs:normal has an entry id beyond any clock");
    redis_server_do(w.r->redis, "DEL " P "jobs:normal");
    http_expect(w.h, 200, "POST", "/v1/dead/retry", "{\"all\":true}", NULL);
    rig_await(w.r, requests_naming(&w.r->requests, "b", 200) == 1);
    rig_await(w.r, http_do(w.h, "GET", "/readyz", NULL, NULL)->status == 200);
    j = push_json(&w, "{\"keys\":[\"c\"]}");
    rig_await_ended(w.r, &j, "purged");
    world_close(&w);
}

/* -- data written by others -- */

/* Pushes a job through Redis that ends at once. Its receipt has a ref and a reason. */
static void expect_ref(struct world *w, const char *fields, const char *header, const char *ref)
{
    char *id = redis_server_str(w->r->redis, "EVAL %s 1 " P "jobs:bulk %s",
                                "local f = {}\n"
                                "for word in ARGV[1]:gmatch('%S+') do f[#f + 1] = word end\n"
                                "return redis.call('XADD', KEYS[1], '*', unpack(f))\n",
                                fields);
    struct job j;
    const struct http_reply *r;

    snprintf(j.id, sizeof(j.id), "bulk-%s", id);
    free(id);
    rig_await_ended(w->r, &j, "expired");
    r = on_job(w, 200, "GET", j.id, header);
    http_assert_text(r, "state", "expired");
    assert_null(json_object_get(r->json, "scope"));
    assert_int_equal(ref != NULL, json_object_get(r->json, "ref") != NULL);
    assert_int_equal(ref != NULL, json_object_get(r->json, "reason") != NULL);
    if (ref)
        http_assert_text(r, "ref", ref);
}

static void ref_and_reason_are_for_who_could_have_pushed_the_job(void **state)
{
    struct world w = world_open(state, "",
                                "producers:\n  - name: cms\n    token_sha256: \"" TOKEN_SHA256
                                "\"\n    kinds: [key, url]\n    services: [news]\n"
                                "    hosts: [www.example.com]\n");

    expect_ref(&w, "keys k service news ref mine expires 1", KEY_HEADER, "mine");
    expect_ref(&w, "keys k service shop ref theirs expires 1", KEY_HEADER, NULL);
    expect_ref(&w, "url https://www.example.com/a ref mine expires 1", KEY_HEADER, "mine");
    expect_ref(&w, "url https://WWW.example.com:443/ url http://b.example/ ref theirs expires 1",
               KEY_HEADER, NULL);
    world_close(&w);
}

static void whoever_may_purge_anything_sees_everything(void **state)
{
    struct world w = world_open(state, "", CMS);

    expect_ref(&w, "keys k service news ref mine expires 1", KEY_HEADER, "mine");
    expect_ref(&w, "url http://b.example/ ref theirs expires 1", KEY_HEADER, "theirs");
    world_close(&w);
}

/* -- jobs_per_minute -- */

static void looking_counts_in_the_pace(void **state)
{
    struct world w = world_open(state, "", CMS "    jobs_per_minute: 5\n");
    int late = 0;

    for (int i = 0; i < 10; i++)
        late += http_do(w.h, "GET", "/v1/jobs/normal-1700000000000-1", NULL, KEY_HEADER, NULL)
                    ->status == 429;
    assert_in_range(late, 4, 5);
    assert_int_equal(http_do(w.h, "POST", PURGE, "{\"keys\":[\"a\"]}", KEY_HEADER, NULL)->status,
                     429);
    world_close(&w);
}

static void looking_counts_in_no_operators_pace(void **state)
{
    struct world w = world_open(state, "", CMS "    jobs_per_minute: 5\n    admin: true\n");

    for (int i = 0; i < 10; i++)
        http_expect(w.h, 404, "GET", "/v1/jobs/normal-1700000000000-1", NULL, KEY_HEADER, NULL);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(cancelling_takes_the_very_job_that_was_named),
        rig_test(leading_zeros_make_an_id_of_no_job),
        rig_test(a_postponed_job_is_found_among_very_many),
        rig_test(a_job_says_why_it_is_where_it_is),
        rig_test(jobs_that_were_merged_say_so_and_why_they_wait),
        rig_test(a_job_that_waits_for_budget_says_until_when),
        rig_test(a_job_that_is_tried_again_says_what_the_answer_was),
        rig_test(a_job_on_the_wire_says_since_when),
        rig_test(who_could_not_have_pushed_the_job_learns_nothing_of_its_targets),
        rig_test(an_instance_that_does_not_lead_says_who_knows_more),
        rig_test(a_job_that_came_back_is_found_and_cancelled_under_its_id),
        rig_test(a_job_that_came_back_leaves_the_index_when_it_ends),
        rig_test(a_pending_repeat_is_found_and_can_be_cancelled),
        rig_test(a_repeat_after_of_0_does_not_repeat),
        rig_test(a_producer_may_cancel_its_own_postponed_job_and_no_other),
        rig_test(a_large_job_is_found_wherever_it_is),
        rig_test(what_an_older_version_postponed_is_found_and_comes_due),
        rig_test(before_it_is_moved_an_old_job_is_not_said_to_be_nowhere),
        rig_test(an_id_beyond_every_clock_fails_readiness_until_the_stream_is_mended),
        rig_test(ref_and_reason_are_for_who_could_have_pushed_the_job),
        rig_test(whoever_may_purge_anything_sees_everything),
        rig_test(looking_counts_in_the_pace),
        rig_test(looking_counts_in_no_operators_pace),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
