/* SPDX-License-Identifier: MIT
 * Invalid tokens, missing services, broken connections and replies, malformed jobs. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    must(f && fputs(text, f) >= 0);
    must(fclose(f) == 0);
}

/* S8, S26: in another project, the key of a Fastly account was changed, nobody noticed the log
 * line, and badges were stale for a day: https://github.com/ossf/best-practices-badge/issues/1487
 */
static void a_dead_token_pauses_the_account_until_a_new_one_is_loaded_s8(void **state)
{
    struct rig *r = rig_open(state, "", "");
    char *token_file = alloc_printf("%s/token", r->folder);
    char *account =
        alloc_printf("    attempts: 1\n    token_file: %s\n    token_env: \"\"\n", token_file);
    struct job first, second;

    rig_configure(r, account, "");
    write_file(token_file, "an-old-token\n");
    rig_start_leading(r, 0);
    first = rig_push(r, "normal", "keys", "first", NULL);
    instance_await_said(&r->instances[0], "refuses the token", 1);
    second = rig_push(r, "urgent", "keys", "second", NULL);
    rig_await(r, requests_with_status(&r->requests, 401) >= 2);
    assert_int_equal(rig_receipts(r, ""), 0);
    assert_int_equal(rig_dead_count(r), 0);
    write_file(token_file, sandbox_token(r->sandbox));
    instance_signal(&r->instances[0], SIGHUP);
    rig_await_ended(r, &first, "purged");
    rig_await_ended(r, &second, "purged");
    assert_int_equal(instance_said(&r->instances[0], "an-old-token"), 0);
    assert_int_equal(instance_said(&r->instances[0], sandbox_token(r->sandbox)), 0);
    free(token_file);
    free(account);
    rig_close(r);
}

static void a_service_that_is_gone_pauses_and_the_other_goes_on_s26(void **state)
{
    struct rig *r = rig_open(state, "    attempts: 100\n", "");
    struct job gone, other;

    sandbox_fault(r->sandbox, "not_found=1&service=" SHOP);
    rig_start_leading(r, 0);
    gone = rig_push(r, "normal", "keys", "gone", "service", "shop", NULL);
    instance_await_said(&r->instances[0], "Fastly does not know the service", 1);
    for (int i = 0; i < 10; i++) {
        other = rig_push(r, "normal", "keys", "other", NULL);
        rig_await_ended(r, &other, "purged");
    }
    assert_int_equal(rig_receipts(r, ""), 10);
    sandbox_fault(r->sandbox, "not_found=0");
    rig_await_ended(r, &gone, "purged");
    assert_int_equal(instance_said(&r->instances[0], "Fastly does not know the service"), 1);
    rig_close(r);
}

static void a_403_pauses_the_account_and_burns_no_attempt_s26(void **state)
{
    struct rig *r = rig_open(state, "    attempts: 1\n", "");
    struct job j;

    sandbox_fault(r->sandbox, "forbidden=1&count=2");
    rig_start_leading(r, 0);
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_await_ended(r, &j, "purged");
    rig_await(r, requests_naming(&r->requests, "k", 403) == 2);
    assert_int_equal(instance_said(&r->instances[0], "refuses the token"), 2);
    rig_close(r);
}

static void it_gets_over(void **state, const char *fault)
{
    struct rig *r =
        rig_open(state, "    timeout_ms: 2000\n    lanes: {normal: {linger_ms: 0}}\n", "");

    rig_start_leading(r, 0);
    rig_push_keys(r, "normal", "warm-", 0, 10);
    rig_await_empty(r);
    sandbox_fault(r->sandbox, "%s", fault);
    rig_push_keys(r, "normal", "k", 0, 500);
    rig_await_empty(r);
    assert_int_equal(rig_receipts(r, "purged"), 510);
    assert_int_equal(rig_dead_count(r), 0);
    rig_close(r);
}

static void connections_that_are_reset_cost_nothing(void **state)
{
    it_gets_over(state, "reset=1&count=2");
}

static void a_server_that_drops_dead_costs_nothing(void **state)
{
    it_gets_over(state, "crash=1&count=1");
}

static void a_goaway_costs_nothing(void **state)
{
    it_gets_over(state, "goaway=1&count=1");
}

static void a_garbled_reply_is_no_reply(void **state)
{
    it_gets_over(state, "garbage=1&count=2");
}

static void an_empty_reply_is_no_reply(void **state)
{
    it_gets_over(state, "empty=1&count=2");
}

/* -- jobs -------------------------------------------------------------------------------------- */

static void malformed_jobs_are_dead_letters_that_name_the_field_and_stop_nobody(void **state)
{
    static const struct {
        const char *name, *value, *field;
    } bad[] = {
        {"keys", "", "keys"},
        {"keys", "a\tb", "keys"},
        {"kyes", "a", "kyes"},
        {"url", "ftp://example.com/", "url"},
        {"url", "https:///nohost", "url"},
        {"soft", "1", "keys"},
    };
    struct rig *r = rig_open(state, "", "");
    struct job good, jobs[array_len(bad)];

    rig_start_leading(r, 0);
    for (size_t i = 0; i < array_len(bad); i++)
        jobs[i] = rig_push(r, "normal", bad[i].name, bad[i].value, NULL);
    good = rig_push(r, "normal", "keys", "good", NULL);
    rig_await_ended(r, &good, "purged");
    for (size_t i = 0; i < array_len(bad); i++) {
        char *reason, *job, *value;

        rig_await_ended(r, &jobs[i], "dead");
        reason = rig_dead(r, i, "dead_reason");
        job = rig_dead(r, i, "dead_job");
        value = rig_dead(r, i, bad[i].name);
        if (!strstr(reason, bad[i].field))
            fail_msg("'%s' does not name %s", reason, bad[i].field);
        assert_string_equal(job, jobs[i].id);
        assert_string_equal(value, bad[i].value);
        free(reason);
        free(job);
        free(value);
    }
    rig_await_empty(r);
    rig_close(r);
}

static char *in_ms(uint64_t ms)
{
    static char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)(clock_wall_ms() + ms));
    return text;
}

static uint64_t begin_of(struct rig *r, const char *key, size_t n)
{
    rig_await(r, requests_find(&r->requests, key, n));
    return requests_find(&r->requests, key, n)->begin_ms;
}

/* S13: in another project, a purge happened before the commit it was for:
 * https://github.com/dotCMS/core/issues/13100 */
static void not_before_holds_even_across_a_crash_s13(void **state)
{
    struct rig *r = rig_open(state, "", "");
    uint64_t due_ms;
    struct job j;
    char *due;

    rig_start_leading(r, 0);
    due = in_ms(2000);
    due_ms = strtoull(due, NULL, 10);
    j = rig_push(r, "normal", "keys", "k", "not_before", due, NULL);
    rig_await(r, redis_server_int(r->redis, "ZCARD purgeline:{main}:postponed") == 1);
    assert_true(rig_is_empty(r));
    instance_kill(&r->instances[0]);
    rig_start(r, 0);
    rig_await_ended(r, &j, "purged");
    assert_in_range(begin_of(r, "k", 0), due_ms, due_ms + 1000);
    assert_int_equal(requests_naming(&r->requests, "k", ANY_STATUS), 1);
    rig_close(r);
}

/* S13: an edge node may fetch the old page again from a shield node that is purged a moment later:
 * https://www.fastly.com/documentation/guides/full-site-delivery/purging/purging-best-practices/ */
static void repeat_after_purges_a_second_time_even_across_a_crash_s13(void **state)
{
    struct rig *r = rig_open(state, "", "");
    uint64_t first_ms;
    struct job j;

    rig_start_leading(r, 0);
    j = rig_push(r, "normal", "keys", "k", "repeat_after", "1500", NULL);
    rig_await_ended(r, &j, "purged");
    first_ms = begin_of(r, "k", 0);
    instance_kill(&r->instances[0]);
    rig_start(r, 0);
    assert_in_range(begin_of(r, "k", 1), first_ms + 1500, first_ms + 3000);
    rig_await(r, redis_server_int(r->redis, "ZCARD purgeline:{main}:postponed") == 0);
    rig_await_empty(r);
    assert_int_equal(rig_receipts(r, "purged"), 2); /* one for the job and one for its repetition */
    assert_int_equal(requests_naming(&r->requests, "k", ANY_STATUS), 2);
    rig_close(r);
}

static void what_expired_is_not_sent(void **state)
{
    struct rig *r = rig_open(state, "", "");
    struct job waiting, read_late, fresh;

    rig_dispatch_pause(r, true);
    rig_start_leading(r, 0);
    waiting = rig_push(r, "normal", "keys", "waiting", "expires", in_ms(500), NULL);
    fresh = rig_push(r, "normal", "keys", "fresh", "expires", in_ms(60000), NULL);
    rig_await(r, rig_status(r, "window_jobs") == 2);
    read_late = rig_push(r, "normal", "keys", "late", "expires", in_ms(0), NULL);
    rig_await_ended(r, &read_late, "expired");
    rig_dispatch_pause(r, false);
    rig_await_ended(r, &fresh, "purged");
    rig_await_ended(r, &waiting, "expired");
    assert_int_equal(requests_naming(&r->requests, "waiting", ANY_STATUS), 0);
    assert_int_equal(requests_naming(&r->requests, "late", ANY_STATUS), 0);
    rig_close(r);
}

static void paused_by_hand_nothing_is_sent_until_it_is_resumed(void **state)
{
    const char *resume[] = {"resume", "--config", NULL, NULL};
    struct rig *r = rig_open(state, "", "");
    char *said = alloc_printf("%s/resume.log", r->folder);
    struct job j;

    resume[2] = r->config;
    rig_start_leading(r, 0);
    rig_dispatch_pause(r, true);
    instance_await_said(&r->instances[0], "paused", 1);
    j = rig_push(r, "urgent", "keys", "k", NULL);
    rig_await(r, rig_status(r, "window_jobs") == 1);
    assert_int_equal(requests_with_status(&r->requests, ANY_STATUS), 0);
    assert_int_equal(instance_command(resume, NULL, said), 0);
    rig_await_ended(r, &j, "purged");
    free(said);
    rig_close(r);
}

/* Otherwise each purge and each job would fail one by one. */
static void what_an_account_lacks_is_said_at_the_start(void **state)
{
    const char *status[] = {"status", "--config", NULL, NULL};
    struct rig *r = rig_open(state, "", "");
    char *said = alloc_printf("%s/status.log", r->folder), *text;
    struct instance page = {.log = said};
    FILE *f = fopen(r->config, "w");

    must(f &&
         fprintf(f, "redis: %s\nlisten: \"\"\naccounts:\n  - name: main\n    ca_file: /nope.pem\n",
                 redis_server_url(r->redis)) > 0);
    must(fclose(f) == 0);
    rig_start_leading(r, 0);
    text = instance_said_last(&r->instances[0], "The ca_file of this account is unusable", "why=");
    assert_string_equal(text, "\"/nope.pem:");
    instance_await_said(&r->instances[0], "The account has no service", 1);
    status[2] = r->config;
    await_until(-1, AWAIT_PATIENCE_MS,
                instance_command(status, NULL, said) == 1 &&
                    instance_said(&page, "no service is configured: only URLs") > 0 &&
                    instance_said(&page, "/nope.pem: cannot read it") > 0);
    free(text);
    free(said);
    rig_close(r);
}

/* -- configuration ----------------------------------------------------------------------------- */

static void a_bad_configuration_ends_with_2_and_says_file_line_and_what_was_expected(void **state)
{
    static const struct {
        const char *text, *said;
    } bad[] = {
        {"redis: embedded\nwindow: many\n", ":2"},
        {"redis: embedded\n\nno_such_setting: 1\n", ":3"},
        {"window: 0\n", ":1"},
        {"accounts:\n  - name: main\n    attempts: 0\n", ":3"},
        {"accounts: [\n", ":"},
    };
    struct rig *r = rig_open(state, "", "");

    for (size_t i = 0; i < array_len(bad); i++) {
        char *line = alloc_printf("%s%s", r->config, bad[i].said);

        write_file(r->config, bad[i].text);
        rig_start(r, 0);
        assert_int_equal(instance_wait(&r->instances[0], AWAIT_PATIENCE_MS), 2);
        instance_await_said(&r->instances[0], line, 1);
        free(line);
    }
    rig_close(r);
}

static void a_bad_configuration_at_reload_changes_nothing(void **state)
{
    struct rig *r = rig_open(state, "", "");
    struct job j;

    rig_start_leading(r, 0);
    write_file(r->config, "window: many\n");
    instance_signal(&r->instances[0], SIGHUP);
    instance_await_said(&r->instances[0], "is rejected", 1);
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_await_ended(r, &j, "purged");
    rig_close(r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_dead_token_pauses_the_account_until_a_new_one_is_loaded_s8),
        rig_test(a_403_pauses_the_account_and_burns_no_attempt_s26),
        rig_test(a_service_that_is_gone_pauses_and_the_other_goes_on_s26),
        rig_test(connections_that_are_reset_cost_nothing),
        rig_test(a_server_that_drops_dead_costs_nothing),
        rig_test(a_goaway_costs_nothing),
        rig_test(a_garbled_reply_is_no_reply),
        rig_test(an_empty_reply_is_no_reply),
        rig_test(malformed_jobs_are_dead_letters_that_name_the_field_and_stop_nobody),
        rig_test(not_before_holds_even_across_a_crash_s13),
        rig_test(repeat_after_purges_a_second_time_even_across_a_crash_s13),
        rig_test(what_expired_is_not_sent),
        rig_test(paused_by_hand_nothing_is_sent_until_it_is_resumed),
        rig_test(what_an_account_lacks_is_said_at_the_start),
        rig_test(a_bad_configuration_ends_with_2_and_says_file_line_and_what_was_expected),
        rig_test(a_bad_configuration_at_reload_changes_nothing),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
