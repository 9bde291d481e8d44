/* SPDX-License-Identifier: MIT
 * Steps of a job's timeline that only the leader's memory knows, and what `purgeline job` says of
 * the same job by what Redis knows. */
#include "job_told.h"

#include "clock.h"
#include "shell.h"

#define PURGE "/v1/purge"

static struct shell sh;

static struct world open_both(void **state, const char *account, const char *global)
{
    struct world w = world_open(state, account, global);

    shell_open(&sh);
    setenv("PURGELINE_CONFIG", w.r->config, 1);
    return w;
}

static void close_both(struct world *w)
{
    unsetenv("PURGELINE_CONFIG");
    shell_close(&sh);
    world_close(w);
}

static struct job push_json(struct world *w, const char *body)
{
    return world_job(http_expect(w->h, 202, "POST", PURGE, body, NULL));
}

/* `purgeline job` says that the job waits, who knows more, and the text: from the leader's report,
 * which comes every second. */
static void expect_command_says(struct world *w, const struct job *j, const char *text)
{
    rig_await(w->r, shell_run(&sh, "$P job %s", j->id) == 0 && strstr(sh.out, text));
    shell_assert_out(&sh, "  waiting\n");
    shell_assert_out(&sh, "accepted, and stored in Redis\n");
    shell_assert_out(&sh, "in the lane normal, which has ");
    shell_assert_out(&sh, "The leader knows what each target waits for");
    assert_int_equal(shell_run(&sh, "$P job --json %s | jq -e '.leader.here == false'", j->id), 0);
}

/* -- pages that are looked at after their purges -- */

/* The first look is later than the end of the test, so the probe is never asked. */
#define LOOKS_LATER "    verify: {after_ms: 600000, probes: [\"127.0.0.1:9\"]}\n"

static void a_job_whose_page_is_looked_at_says_how_many_and_when_next(void **state)
{
    struct world w = open_both(state, LOOKS_LATER, "");
    long long now_ms = (long long)clock_wall_ms();
    const json_t *j, *checked;
    struct job job = push_json(&w, "{\"urls\":[\"https://www.example.com/looked-at?private\"],"
                                   "\"verify\":true}");

    rig_await(w.r, (checked = step_of(look_at(&w, job.id, NULL), "checked")) != NULL);
    assert_int_equal(number_in(checked, "targets"), 1);
    assert_in_range(number_in(checked, "at"), now_ms + 590000, now_ms + 600000 + AWAIT_PATIENCE_MS);
    j = look_at(&w, job.id, NULL);
    assert_string_equal(json_string_value(json_object_get(j, "state")), "waiting");
    expect_shown(j, 0, "state", "checked");
    expect_shown(j, 0, "target", "https://www.example.com/looked-at");
    assert_int_equal(number_in(shown(j, 0), "at"), number_in(step_of(j, "checked"), "at"));
    assert_int_equal(number_in(json_object_get(j, "leader"), "checked"), 1);
    /* It is purged: it waits for nothing of Fastly. */
    assert_null(step_of(j, "budget"));
    assert_null(step_of(j, "sent"));
    assert_null(step_of(j, "unread"));
    assert_int_equal(number_in(step_of(j, "lane"), "before"), -1);
    expect_command_says(&w, &job, "Pages that its leader looks at after their purges: 1.");
    assert_int_equal(
        shell_run(&sh, "$P job --json %s | jq -e '.leader.verify_pending == 1'", job.id), 0);
    world_assert_sent(&w, "https://www.example.com/looked-at?private", false);
    close_both(&w);
}

/* -- jobs that the leader has not read -- */

/* A full window for jobs of the lane "normal", whose limit is 19 of 20. */
static void fill_the_window(struct world *w)
{
    char body[400];
    int n = snprintf(body, sizeof(body), "{\"keys\":[\"k0\"");
    struct job full;

    for (int i = 1; i < 19; i++)
        n += snprintf(body + n, sizeof(body) - (size_t)n, ",\"k%d\"", i);
    snprintf(body + n, sizeof(body) - (size_t)n, "]}");
    full = push_json(w, body);
    rig_await(w->r, is_in_memory(look_at(w, full.id, NULL)));
}

static void a_job_that_has_not_been_read_says_so_until_it_is(void **state)
{
    struct world w = open_both(state, "", "window: 20\n");
    const json_t *j;
    struct job job;

    pause_at_once(&w);
    fill_the_window(&w);
    job = push_json(&w, "{\"keys\":[\"beyond\"]}");
    rig_await(w.r, step_of(look_at(&w, job.id, NULL), "unread") != NULL);
    j = look_at(&w, job.id, NULL);
    assert_true(json_is_true(json_object_get(json_object_get(j, "leader"), "unread")));
    assert_false(is_in_memory(j));
    assert_null(shown(j, 0));
    assert_non_null(step_of(j, "paused"));
    expect_command_says(&w, &job, "which has 2 jobs; its leader has read 1\n");
    rig_dispatch_pause(w.r, false);
    rig_await_ended(w.r, &job, "purged");
    assert_null(step_of(look_at(&w, job.id, NULL), "unread"));
    close_both(&w);
}

/* What is sent next is read for the other lanes, too: an urgent job still has room. */
static void an_urgent_job_is_read_when_the_others_have_no_room(void **state)
{
    struct world w = open_both(state, "", "window: 20\n");
    struct job job;

    pause_at_once(&w);
    fill_the_window(&w);
    job = push_json(&w, "{\"keys\":[\"now\"],\"lane\":\"urgent\"}");
    rig_await(w.r, is_in_memory(look_at(&w, job.id, NULL)));
    assert_null(step_of(look_at(&w, job.id, NULL), "unread"));
    rig_dispatch_pause(w.r, false);
    rig_await_ended(w.r, &job, "purged");
    close_both(&w);
}

/* -- what the last answer said --------------------------------------------------------------- */

static const char *text_in(const json_t *j, const char *name)
{
    const char *text = json_string_value(json_object_get(j, name));

    return text ? text : "";
}

static const json_t *await_step(struct world *w, const struct job *j, const char *name)
{
    const json_t *step;

    rig_await(w->r, (step = step_of(look_at(w, j->id, NULL), name)) != NULL);
    return step;
}

static void a_job_that_is_tried_again_repeats_the_words_of_the_answer(void **state)
{
    struct world w = open_both(state, "    attempts: 100\n", "");
    const json_t *judged;
    struct job j;

    sandbox_fault(w.r->sandbox, "status=503&body=first%%20%%22byte%%22%%1b%%0atimeout");
    j = push_json(&w, "{\"keys\":[\"unlucky\"]}");
    judged = await_step(&w, &j, "judged");
    assert_int_equal(number_in(judged, "status"), 503);
    assert_string_equal(text_in(judged, "reason"), "first \"byte\" timeout");
    rig_await(w.r, strcmp(text_in(shown(look_at(&w, j.id, NULL), 0), "reason"),
                          "first \"byte\" timeout") == 0);
    sandbox_fault(w.r->sandbox, "status=0");
    rig_await_ended(w.r, &j, "purged");
    close_both(&w);
}

/* A site may show what it was sent. */
static void an_answer_that_repeats_the_token_is_shown_without_it(void **state)
{
    struct world w = open_both(state, "    attempts: 100\n", "");
    const json_t *judged;
    struct job j;

    sandbox_fault(w.r->sandbox, "status=503&body=key+%s+and+%s", sandbox_token(w.r->sandbox),
                  sandbox_token(w.r->sandbox));
    j = push_json(&w, "{\"keys\":[\"unlucky\"]}");
    judged = await_step(&w, &j, "judged");
    assert_non_null(strstr(text_in(judged, "reason"), "key ****"));
    assert_non_null(strstr(text_in(judged, "reason"), "* and ****"));
    assert_null(strstr(text_in(judged, "reason"), sandbox_token(w.r->sandbox)));
    assert_int_equal(instance_said(&w.r->instances[0], sandbox_token(w.r->sandbox)), 0);
    sandbox_fault(w.r->sandbox, "status=0");
    rig_await_ended(w.r, &j, "purged");
    close_both(&w);
}

/* A 429 holds the whole account, and its targets wait in their lanes. */
static void a_job_of_a_held_account_says_what_fastly_answered(void **state)
{
    struct world w = open_both(state, "", CMS);
    const json_t *held;
    struct job j;

    sandbox_fault(w.r->sandbox, "throttle=1&retry_after=600&count=1");
    j = world_job(http_expect(w.h, 202, "POST", PURGE, "{\"keys\":[\"early\"]}", KEY_HEADER, NULL));
    rig_await(w.r,
              *text_in(step_of(on_job(&w, 200, "GET", j.id, KEY_HEADER)->json, "held"), "why"));
    held = step_of(on_job(&w, 200, "GET", j.id, KEY_HEADER)->json, "held");
    assert_string_equal(text_in(held, "why"), "throttled");
    /* What Fastly answered may be about a job of somebody else. */
    assert_string_equal(text_in(held, "reason"), "");
    expect_command_says(&w, &j, ":\n  429: ");
    close_both(&w);
}

static void an_operator_learns_for_which_answer_the_account_is_held(void **state)
{
    struct world w = open_both(state, "", "");
    const json_t *held;
    struct job j;

    sandbox_fault(w.r->sandbox, "throttle=1&retry_after=600&count=1");
    j = push_json(&w, "{\"keys\":[\"early\"]}");
    held = await_step(&w, &j, "held");
    rig_await(w.r, *text_in(held = step_of(look_at(&w, j.id, NULL), "held"), "reason"));
    assert_string_equal(text_in(held, "why"), "throttled");
    assert_int_equal(strncmp(text_in(held, "reason"), "429: ", 5), 0);
    close_both(&w);
}

static void a_job_that_was_refused_says_why(void **state)
{
    struct world w = open_both(state, "", "");
    struct job j;

    sandbox_fault(w.r->sandbox, "status=400&body={\"msg\":\"Bad%%20key\"}&count=1");
    j = push_json(&w, "{\"keys\":[\"refused\"]}");
    rig_await_ended(w.r, &j, "dead");
    assert_string_equal(text_in(step_of(look_at(&w, j.id, NULL), "ended"), "reason"),
                        "400: Bad key");
    assert_int_equal(shell_run(&sh, "$P job %s", j.id), 0);
    shell_assert_out(&sh, "ended: dead\n                        400: Bad key\n");
    close_both(&w);
}

/* -- errors ---------------------------------------------------------------------------------- */

static void the_command_shows_the_last_error_since_the_job_was_pushed(void **state)
{
    struct world w = open_both(state, "    attempts: 100\n", "");
    struct job before, after;

    sandbox_fault(w.r->sandbox, "status=503&body=first+byte+timeout");
    before = push_json(&w, "{\"keys\":[\"unlucky\"]}");
    expect_command_says(&w, &before, ":\n  503: first byte timeout\n");
    sandbox_fault(w.r->sandbox, "status=0");
    rig_await_ended(w.r, &before, "purged");
    pause_at_once(&w);
    after = push_json(&w, "{\"keys\":[\"later\"]}");
    expect_command_says(&w, &after, "the account is paused");
    assert_int_equal(shell_run(&sh, "$P job %s", after.id), 0);
    shell_assert_out(&sh, "The leader knows");
    assert_null(strstr(sh.out, "error"));
    close_both(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_job_whose_page_is_looked_at_says_how_many_and_when_next),
        rig_test(a_job_that_has_not_been_read_says_so_until_it_is),
        rig_test(an_urgent_job_is_read_when_the_others_have_no_room),
        rig_test(a_job_that_is_tried_again_repeats_the_words_of_the_answer),
        rig_test(an_answer_that_repeats_the_token_is_shown_without_it),
        rig_test(a_job_of_a_held_account_says_what_fastly_answered),
        rig_test(an_operator_learns_for_which_answer_the_account_is_held),
        rig_test(a_job_that_was_refused_says_why),
        rig_test(the_command_shows_the_last_error_since_the_job_was_pushed),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
