/* SPDX-License-Identifier: MIT
 * What the leader's memory knows of a job, as JSON: nothing of its targets for those who may not
 * see them, and limits are said. */
#include "unit.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "job_leader.h"
#include "json_text.h"

static struct config_service services[] = {{.id = (char *)"S1", .name = (char *)"news"},
                                           {.id = (char *)"S2", .name = (char *)""}};
static const struct config_account account = {.services = services, .services_count = 2};
static const struct job_target targets[] = {
    {TARGET_KEY, 0, {"article-17", 10}},
    {TARGET_URL, SERVICE_NONE, {"https://x.example/a?b=secret", 28}},
    {TARGET_ALL, 1, {"", 0}}};

static void expect(json_t *told, const char *text)
{
    char *line = json_text_line(told);

    assert_string_equal(line, text);
    free(line);
    json_decref(told);
}

static struct job_leader leader(const struct job_view *v)
{
    return (struct job_leader){.view = v, .account = &account, .targets = targets, .admin = true};
}

static json_t *steps_of(const struct job_leader *l)
{
    json_t *steps = json_array();

    job_leader_add_merged(steps, l);
    job_leader_add_progress(steps, l);
    return steps;
}

static void an_instance_that_does_not_lead_names_the_leader_to_operators_only(void **state)
{
    struct job_view v = {.role = JOB_VIEW_ELSEWHERE, .leader = "host-2/boot/1"};
    struct job_leader l = leader(&v);

    (void)state;
    expect(job_leader_json(&l), "{\"here\":false,\"instance\":\"host-2/boot/1\"}");
    l.admin = false;
    expect(job_leader_json(&l), "{\"here\":false}");
    v.role = JOB_VIEW_SOON;
    expect(job_leader_json(&l), "{\"here\":true,\"soon\":true}");
}

static struct job_view busy(void)
{
    return (struct job_view){
        .role = JOB_VIEW_HERE,
        .found = true,
        .targets = 40,
        .counts = {[JOB_VIEW_WAITING] = 1, [JOB_VIEW_RETRY] = 2, [JOB_VIEW_DONE] = 37},
        .shared = 1,
        .shown_count = 2,
        .shown = {{.number = 0,
                   .state = JOB_VIEW_WAITING,
                   .why = JOB_VIEW_BUDGET,
                   .until_ms = 1700000009000,
                   .lane = LANE_URGENT,
                   .before = 1000,
                   .before_more = true,
                   .others = 3},
                  {.number = 1,
                   .state = JOB_VIEW_RETRY,
                   .lane = LANE_NORMAL,
                   .tries = 2,
                   .status = 503,
                   .at_ms = 1700000001000}}};
}

static void each_target_says_what_it_waits_for_without_the_query(void **state)
{
    struct job_view v = busy();
    struct job_leader l = leader(&v);

    (void)state;
    expect(job_leader_json(&l),
           "{\"here\":true,\"found\":true,\"targets\":40,\"waiting\":1,\"retry\":2,\"sent\":0,"
           "\"checked\":0,\"done\":37,\"unknown\":0,\"shared\":1,\"shown\":["
           "{\"kind\":\"key\",\"target\":\"article-17\",\"service\":\"news\",\"state\":\"waiting\","
           "\"lane\":\"urgent\",\"jobs\":3,\"why\":\"budget\",\"until\":1700000009000,"
           "\"before\":1000,\"before_capped\":true},"
           "{\"kind\":\"url\",\"target\":\"https://x.example/a\",\"state\":\"retry\","
           "\"lane\":\"normal\",\"jobs\":0,\"tries\":2,\"status\":503,\"at\":1700000001000}],"
           "\"more\":1}");
}

static void who_may_not_see_the_targets_learns_that_the_leader_is_here(void **state)
{
    struct job_view v = busy();
    struct job_leader l = leader(&v);

    (void)state;
    l.targets = NULL;
    expect(job_leader_json(&l), "{\"here\":true}");
}

static void the_steps_tell_the_merge_the_answer_and_the_next_try(void **state)
{
    struct job_view v = busy();
    struct job_leader l = leader(&v);
    uint32_t before;
    bool more;

    (void)state;
    expect(steps_of(&l), "[{\"step\":\"merged\",\"targets\":1,\"jobs\":3},"
                         "{\"step\":\"judged\",\"targets\":2,\"status\":503,\"tries\":2},"
                         "{\"step\":\"next_try\",\"targets\":2,\"at\":1700000001000}]");
    assert_true(job_leader_before(&l, &before, &more));
    assert_int_equal(before, 1000);
    assert_true(more);
    assert_int_equal(job_leader_budget_ms(&l), 1700000009000);
}

static void what_is_on_the_wire_or_looked_at_says_when(void **state)
{
    struct job_view v = {.role = JOB_VIEW_HERE,
                         .found = true,
                         .targets = 3,
                         .counts = {[JOB_VIEW_SENT] = 2, [JOB_VIEW_CHECKED] = 1},
                         .shown_count = 2,
                         .shown = {{.number = 2, .state = JOB_VIEW_SENT, .at_ms = 5},
                                   {.number = 1, .state = JOB_VIEW_CHECKED, .at_ms = 7}}};
    struct job_leader l = leader(&v);
    uint32_t before;
    bool more;

    (void)state;
    expect(steps_of(&l), "[{\"step\":\"sent\",\"targets\":2,\"at\":5},"
                         "{\"step\":\"checked\",\"targets\":1,\"at\":7}]");
    assert_false(job_leader_before(&l, &before, &more));
    assert_int_equal(job_leader_budget_ms(&l), 0);
}

static void expect_answer(int status, const char *reason, const char *told)
{
    struct job_view v = {.role = JOB_VIEW_HERE,
                         .found = true,
                         .targets = 1,
                         .counts = {[JOB_VIEW_RETRY] = 1},
                         .shown_count = 1,
                         .shown = {{.state = JOB_VIEW_RETRY, .tries = 1, .status = status}}};
    struct job_leader l = leader(&v);
    char text[256];

    snprintf(v.shown[0].reason, sizeof(v.shown[0].reason), "%s", reason);
    snprintf(text, sizeof(text), "[{\"step\":\"judged\",\"targets\":1,%s,\"tries\":1}]", told);
    expect(steps_of(&l), text);
}

static void the_words_of_an_answer_come_without_its_status(void **state)
{
    (void)state;
    expect_answer(503, "503: first byte timeout",
                  "\"status\":503,\"reason\":\"first byte timeout\"");
    expect_answer(503, "503", "\"status\":503");
    expect_answer(503, "", "\"status\":503");
    expect_answer(503, "5030: x", "\"status\":503,\"reason\":\"5030: x\"");
    expect_answer(200, "the reply never named this key",
                  "\"status\":200,\"reason\":\"the reply never named this key\"");
    expect_answer(0, "Could not resolve host", "\"reason\":\"Could not resolve host\"");
    expect_answer(502, "502: \"<script>\"", "\"status\":502,\"reason\":\"\\\"<script>\\\"\"");
}

static void without_an_answer_the_reason_says_so(void **state)
{
    struct job_view v = {.role = JOB_VIEW_HERE,
                         .found = true,
                         .targets = 1,
                         .counts = {[JOB_VIEW_RETRY] = 1},
                         .shown_count = 1,
                         .shown = {{.state = JOB_VIEW_RETRY, .tries = 1}}};
    struct job_leader l = leader(&v);

    (void)state;
    expect(steps_of(&l), "[{\"step\":\"judged\",\"targets\":1,\"reason\":\"there was no answer\","
                         "\"tries\":1}]");
    v = (struct job_view){.role = JOB_VIEW_HERE, .unread = true};
    expect(steps_of(&l), "[{\"step\":\"unread\"}]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_instance_that_does_not_lead_names_the_leader_to_operators_only),
        cmocka_unit_test(each_target_says_what_it_waits_for_without_the_query),
        cmocka_unit_test(who_may_not_see_the_targets_learns_that_the_leader_is_here),
        cmocka_unit_test(the_steps_tell_the_merge_the_answer_and_the_next_try),
        cmocka_unit_test(what_is_on_the_wire_or_looked_at_says_when),
        cmocka_unit_test(the_words_of_an_answer_come_without_its_status),
        cmocka_unit_test(without_an_answer_the_reason_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
