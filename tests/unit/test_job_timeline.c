/* SPDX-License-Identifier: MIT
 * Why a job is where it is, in steps: each kind of step, and none that is not known. */
#include "unit.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "job_timeline.h"
#include "json_text.h"

#define JOB "normal-1700000000000-0"
#define NOW 1700000005000

static struct overview_cache_account working(void)
{
    return (struct overview_cache_account){
        .known = true,
        .targets_per_job = 1,
        .at_once = {[LANE_NORMAL] = 100},
        .overview = {.leader = (char *)"", .lanes[LANE_NORMAL].jobs = 3}};
}

/* The steps as JSON; "…" stands for the moment when it is expected to be sent. */
static void expect_steps_of(const char *job, const struct jobplace *place, uint64_t due_ms,
                            const struct overview_cache_account *state, const char *origin,
                            const struct job_leader *leader, const char *steps)
{
    static const struct config_account account = {.budget = {.purges = 100, .per_s = 3600}};
    struct job_timeline t;
    json_t *told, *budget;
    char *text;

    t = (struct job_timeline){.job = job,
                              .account = &account,
                              .place = place,
                              .state = state,
                              .due_ms = due_ms,
                              .now_ms = NOW,
                              .origin = span_str(origin),
                              .leader = leader};
    told = job_timeline_waiting(&t);
    budget = json_array_get(told, json_array_size(told) - 1);
    if (json_object_get(budget, "until") &&
        strcmp(json_string_value(json_object_get(budget, "step")), "budget") == 0) {
        assert_true(json_integer_value(json_object_get(budget, "until")) > NOW);
        json_object_set_new(budget, "until", json_text_of("…"));
    }
    text = json_text_line(told);
    assert_string_equal(text, steps);
    free(text);
    json_decref(told);
}

static void expect_steps(const char *job, const struct jobplace *place, uint64_t due_ms,
                         const struct overview_cache_account *state, const char *origin,
                         const char *steps)
{
    expect_steps_of(job, place, due_ms, state, origin, NULL, steps);
}

static const struct jobplace in_lane = {.lane = LANE_NORMAL}, postponed = {.postponed = true};

#define ACCEPTED "{\"step\":\"accepted\",\"at\":1700000000000}"
#define IN_LANE "{\"step\":\"lane\",\"lane\":\"normal\",\"jobs\":3}"

static void a_job_that_waits_for_its_turn_says_until_when(void **state)
{
    struct overview_cache_account s = working();

    (void)state;
    expect_steps(JOB, &in_lane, 0, &s, "",
                 "[" ACCEPTED "," IN_LANE ",{\"step\":\"budget\",\"until\":\"…\"}]");
}

static void what_is_not_known_is_left_out(void **state)
{
    struct overview_cache_account s = {.known = false};

    (void)state;
    expect_steps(JOB, &in_lane, 0, &s, "",
                 "[" ACCEPTED ",{\"step\":\"lane\",\"lane\":\"normal\"}]");
    expect_steps("normal", &in_lane, 0, &s, "", "[{\"step\":\"lane\",\"lane\":\"normal\"}]");
}

static void a_postponed_job_says_until_when_and_why(void **state)
{
    struct overview_cache_account s = working();

    (void)state;
    expect_steps(JOB, &postponed, 1800000000000, &s, "",
                 "[" ACCEPTED
                 ",{\"step\":\"postponed\",\"until\":1800000000000,\"why\":\"not_before\"}]");
    expect_steps(JOB "+r", &postponed, 0, &s, "",
                 "[" ACCEPTED ",{\"step\":\"postponed\",\"why\":\"repeat\"}]");
}

static void an_obstacle_is_named_instead_of_an_estimate(void **state)
{
    struct overview_cache_account s = working();

    (void)state;
    s.overview.paused = true;
    expect_steps(JOB, &in_lane, 0, &s, "", "[" ACCEPTED "," IN_LANE ",{\"step\":\"paused\"}]");
    s = working();
    s.overview.leader = NULL;
    expect_steps(JOB, &in_lane, 0, &s, "",
                 "[" ACCEPTED "," IN_LANE ",{\"step\":\"nobody_leads\"}]");
    s = working();
    s.held = true;
    s.held_until_ms = 1700000009000;
    strcpy(s.held_why, "throttled");
    expect_steps(JOB, &in_lane, 0, &s, "",
                 "[" ACCEPTED "," IN_LANE
                 ",{\"step\":\"held\",\"until\":1700000009000,\"why\":\"throttled\"}]");
    s = working();
    s.stuck = true;
    expect_steps(JOB, &in_lane, 0, &s, "", "[" ACCEPTED "," IN_LANE ",{\"step\":\"stuck\"}]");
}

static void a_job_that_asks_its_origin_has_no_estimate(void **state)
{
    struct overview_cache_account s = working();

    (void)state;
    expect_steps(JOB, &in_lane, 0, &s, "https://o.example/v",
                 "[" ACCEPTED "," IN_LANE
                 ",{\"step\":\"origin\",\"url\":\"https://o.example/v\"}]");
}

static void the_leader_says_what_the_origin_showed_and_when_it_is_asked_again(void **state)
{
    struct overview_cache_account s = working();
    struct job_view v = {.role = JOB_VIEW_HERE,
                         .held = true,
                         .origin = {.until_ms = 1700000060000, .seen = "404"},
                         .origin_next_ms = 1700000006000};
    struct job_leader leader = {.view = &v};

    (void)state;
    expect_steps_of(JOB, &in_lane, 0, &s, "https://o.example/v", &leader,
                    "[" ACCEPTED "," IN_LANE
                    ",{\"step\":\"origin\",\"url\":\"https://o.example/v\",\"seen\":\"404\","
                    "\"at\":1700000006000,\"until\":1700000060000}]");
    v = (struct job_view){.role = JOB_VIEW_HERE,
                          .found = true,
                          .targets = 1,
                          .counts = {[JOB_VIEW_SENT] = 1},
                          .shown_count = 1,
                          .shown = {{.state = JOB_VIEW_SENT, .at_ms = 1700000004000}}};
    expect_steps_of(JOB, &in_lane, 0, &s, "https://o.example/v", &leader,
                    "[" ACCEPTED "," IN_LANE
                    ",{\"step\":\"sent\",\"targets\":1,\"at\":1700000004000}]");
}

static void the_leaders_memory_is_newer_than_what_redis_knows(void **state)
{
    struct overview_cache_account s = working();
    struct job_view v = {.role = JOB_VIEW_HERE,
                         .paused = true,
                         .paused_why = "a migration",
                         .found = true,
                         .targets = 1,
                         .counts = {[JOB_VIEW_WAITING] = 1},
                         .shown_count = 1,
                         .shown = {{.why = JOB_VIEW_PAUSED, .before = 4}}};
    struct job_leader leader = {.view = &v};

    (void)state;
    s.overview.leader = NULL;
    expect_steps_of(JOB, &in_lane, 0, &s, "", &leader,
                    "[" ACCEPTED ",{\"step\":\"lane\",\"lane\":\"normal\",\"jobs\":3,\"before\":4},"
                    "{\"step\":\"paused\"}]");
    leader.admin = true;
    expect_steps_of(JOB, &in_lane, 0, &s, "", &leader,
                    "[" ACCEPTED ",{\"step\":\"lane\",\"lane\":\"normal\",\"jobs\":3,\"before\":4},"
                    "{\"step\":\"paused\",\"why\":\"a migration\"}]");
}

static void the_end_is_that_of_the_receipt(void **state)
{
    json_t *receipt =
        json_pack("{sosIsoso}", "state", json_text_of("dead"), "at", (json_int_t)1700000001000,
                  "reason", json_text_of("404"), "ref", json_text_of("mine"));
    json_t *told = job_timeline_ended(JOB, receipt);
    char *text = json_text_line(told);

    (void)state;
    assert_string_equal(text, "[" ACCEPTED ",{\"step\":\"ended\",\"at\":1700000001000,\"state\":"
                              "\"dead\",\"reason\":\"404\"}]");
    free(text);
    json_decref(told);
    json_decref(receipt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_that_waits_for_its_turn_says_until_when),
        cmocka_unit_test(what_is_not_known_is_left_out),
        cmocka_unit_test(a_postponed_job_says_until_when_and_why),
        cmocka_unit_test(an_obstacle_is_named_instead_of_an_estimate),
        cmocka_unit_test(a_job_that_asks_its_origin_has_no_estimate),
        cmocka_unit_test(the_leader_says_what_the_origin_showed_and_when_it_is_asked_again),
        cmocka_unit_test(the_leaders_memory_is_newer_than_what_redis_knows),
        cmocka_unit_test(the_end_is_that_of_the_receipt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
