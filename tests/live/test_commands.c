/* SPDX-License-Identifier: MIT */
#include "command_world.h"
#include "free_port.h"

#include <unistd.h>

/* -- the program -- */

static void an_unknown_command_is_answered_with_the_one_that_was_meant(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "$P stauts"), 2);
    shell_assert_err(&w->shell, "no command 'stauts'; did you mean 'status'?");
    assert_int_equal(shell_run(&w->shell, "$P"), 2);
    assert_int_equal(shell_run(&w->shell, "$P push --colour"), 2);
    shell_assert_err(&w->shell, "Try 'purgeline push --help'");
}

static void every_command_explains_itself_with_an_example_and_its_exit_codes(void **state)
{
    struct world *w = *state;

    assert_int_equal(
        shell_run(&w->shell,
                  "[ $($P help | grep -c '^  [a-z]*  ') -ge 7 ] || echo few commands\n"
                  "for c in $($P help | sed -n '/^start/,$d; s/^  \\([a-z]*\\) .*/\\1/p'); do\n"
                  "  [ $c = help ] && continue\n"
                  "  $P $c --help > $D/help || echo \"$c fails\"\n"
                  "  $P help $c | cmp - $D/help || echo \"$c differs\"\n"
                  "  grep -qi 'exit codes' $D/help || echo \"$c hides its exit codes\"\n"
                  "  grep -q '^  .*purgeline '$c $D/help || echo \"$c has no example\"\n"
                  "  awk 'length > 100' $D/help | sed \"s/^/$c too wide: /\"\n"
                  "done"),
        0);
    assert_string_equal(w->shell.out, "");
    assert_int_equal(shell_run(&w->shell, "$P --version"), 0);
    shell_assert_out(&w->shell, "purgeline ");
}

static void output_that_cannot_be_written_is_a_failure(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "$P help > /dev/full"), 1);
    shell_assert_err(&w->shell, "cannot write to stdout");
}

/* What gets the number of a closed stream must not be read or written in its place. */
static void a_closed_stream_is_not_taken_for_a_connection(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "timeout 60 $P push -f - 0<&-"), 1);
    shell_assert_err(&w->shell, "Bad file descriptor");
    assert_int_equal(shell_run(&w->shell, "$P push a 1>&-"), 1);
    shell_assert_err(&w->shell, "cannot write to stdout");
    assert_int_equal(shell_run(&w->shell, "$P push --lane nope a 2>&-"), 2);
    assert_int_equal(shell_run(&w->shell, "$P push b 0<&- 2>&-"), 0);
    shell_assert_out(&w->shell, "normal-");
}

static void an_unknown_option_is_told_what_it_may_mean(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "$P history --otucome=dead"), 2);
    shell_assert_err(&w->shell, "Did you mean '--outcome'? Try 'purgeline history --help'.");
    assert_int_equal(shell_run(&w->shell, "$P push --xyzzy a"), 2);
    assert_null(strstr(w->shell.err, "Did you mean"));
    assert_int_equal(shell_run(&w->shell, "$P push --redis"), 2); /* it needs a value */
    assert_null(strstr(w->shell.err, "Did you mean"));
}

/* -- push -- */

static void targets_on_the_command_line_make_one_job(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "$P push article-17 https://www.example.com/a?b=1 home"),
                     0);
    shell_assert_out(&w->shell, "normal-");
    assert_int_equal(length(w, NORMAL), 1);
    assert_entry(w, NORMAL, 0, "url=https://www.example.com/a?b=1 keys=article-17 home");
}

static void options_become_the_fields_of_the_wire_contract(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "$P push -l bulk -s news --soft --ref 'x y' "
                                          "--repeat-after 2s --not-before 5 --expires 99 a"),
                     0);
    assert_entry(w, BULK, 0,
                 "service=news soft=1 ref=x y repeat_after=2000 not_before=5 expires=99 keys=a");
    assert_int_equal(shell_run(&w->shell, "$P push --url www.example.com/x"), 0);
    assert_entry(w, NORMAL, 0, "url=www.example.com/x");
    assert_int_equal(shell_run(&w->shell, "$P push --key a://b"), 0);
    assert_entry(w, NORMAL, 1, "keys=a://b");
    assert_int_equal(shell_run(&w->shell, "PURGELINE_ALLOW_PURGE_ALL=true $P push --all"), 0);
    assert_entry(w, NORMAL, 2, "all=1");
}

static void a_time_may_be_said_from_now_on(void **state)
{
    struct world *w = *state;
    char text[256] = "";
    unsigned long long at, before;

    assert_int_equal(shell_run(&w->shell, "date +%%s000"), 0);
    before = strtoull(w->shell.out, NULL, 10);
    assert_int_equal(shell_run(&w->shell, "$P push --not-before +1h a"), 0);
    entry_text(w, NORMAL, 0, text, sizeof(text));
    assert_int_equal(sscanf(text, "not_before=%llu", &at), 1);
    assert_true(at >= before + 3600000 && at < before + 3700000);
    assert_int_equal(shell_run(&w->shell, "$P push --not-before soon a"), 2);
    shell_assert_err(&w->shell, "--not-before: expected +5s, or Unix milliseconds, found 'soon'");
}

static void each_line_of_a_file_is_a_job_and_may_be_json(void **state)
{
    struct world *w = *state;

    assert_int_equal(
        shell_run(&w->shell, "printf '%%s\\r\\n' a '' 'b c' http://e.com/q "
                             "'{\"keys\":[\"x\",\"y\"],\"soft\":true,\"lane\":\"bulk\"}' "
                             "'{\"url\":[\"e.com/1\",\"e.com/2\"],\"not_before\":7,\"ref\":\"r\"}' "
                             "| $P push -f - -s news"),
        0);
    assert_int_equal(length(w, NORMAL), 4);
    assert_entry(w, NORMAL, 0, "service=news keys=a");
    assert_entry(w, NORMAL, 1, "service=news keys=b c");
    assert_entry(w, NORMAL, 2, "url=http://e.com/q service=news");
    assert_entry(w, NORMAL, 3, "url=e.com/1 url=e.com/2 not_before=7 ref=r service=news");
    assert_entry(w, BULK, 0, "soft=1 service=news keys=x y");
    shell_assert_err(&w->shell, "5 jobs accepted");
}

static void a_bad_line_is_named_and_its_neighbours_are_accepted(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell,
                               "printf '%%s\\n' a 'b\x7f' '{\"keys\":[\"y z\"]}' '{\"colour\":1}' "
                               "'{oops' '{\"keys\":\"k\",\"service\":\"shop\"}' d > $D/in\n"
                               "$P push --file $D/in"),
                     1);
    assert_int_equal(length(w, NORMAL), 2);
    shell_assert_err(&w->shell, "line 2: keys: ");
    shell_assert_err(&w->shell, "line 3: keys: ");
    shell_assert_err(&w->shell, "line 4: colour: ");
    shell_assert_err(&w->shell, "line 5: not a JSON object");
    shell_assert_err(&w->shell, "line 6: service: ");
    shell_assert_err(&w->shell, "2 jobs accepted, 5 of bad input not sent, 0 refused by Redis");
}

static void lines_may_share_a_job_and_a_bad_one_among_them_is_left_out(void **state)
{
    struct world *w = *state;

    assert_int_equal(
        shell_run(&w->shell, "printf '%%s\\n' a b 'bad\x7f' c d e | $P push -f - --per-job 2 -q"),
        1);
    assert_int_equal(length(w, NORMAL), 3);
    assert_entry(w, NORMAL, 0, "keys=a b");
    assert_entry(w, NORMAL, 1, "keys=c d");
    assert_entry(w, NORMAL, 2, "keys=e");
}

static void with_json_each_job_is_told_with_its_line(void **state)
{
    struct world *w = *state;
    json_t *j;

    assert_int_equal(shell_run(&w->shell, "printf 'a\\n\\nb\\n' | $P push -f - --json | tail -1"),
                     0);
    j = json_of(w->shell.out);
    assert_int_equal(json_integer_value(json_object_get(j, "line")), 3);
    assert_non_null(strstr(json_string_value(json_object_get(j, "job")), "normal-"));
    json_decref(j);
}

static void a_hundred_thousand_lines_arrive_in_order(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "seq 100000 | $P push -q -f -"), 0);
    assert_int_equal(length(w, NORMAL), 100000);
    assert_entry(w, NORMAL, 0, "keys=1");
    assert_entry(w, NORMAL, 99999, "keys=100000");
}

static void a_producer_without_a_list_of_services_may_name_any(void **state)
{
    struct world *w = *state;

    unsetenv("PURGELINE_SERVICES");
    assert_int_equal(shell_run(&w->shell, "$P push -s SU1Z0isxPaozGVKXdv0eY a"), 0);
    assert_int_equal(shell_run(&w->shell, "$P push a"), 1);
    shell_assert_err(&w->shell, "service: ");
    assert_int_equal(shell_run(&w->shell, "$P push -s ../x a"), 1);
}

static void arguments_that_contradict_each_other_are_refused(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "$P push"), 2);
    assert_int_equal(shell_run(&w->shell, "$P push --all a"), 2);
    assert_int_equal(shell_run(&w->shell, "$P push --file /dev/null a"), 2);
    assert_int_equal(shell_run(&w->shell, "$P push --file $D/nowhere"), 2);
    assert_int_equal(shell_run(&w->shell, "$P push --account other a"), 2);
    shell_assert_err(&w->shell, "no account 'other'; there is main");
    assert_int_equal(shell_run(&w->shell, "$P push --per-job 0 a"), 2);
    assert_int_equal(shell_run(&w->shell, "$P push --lane fast a"), 2);
    assert_int_equal(shell_run(&w->shell, "PURGELINE_RECEIPTS=failed $P push --wait a"), 2);
    shell_assert_err(&w->shell, "cannot wait");
    assert_int_equal(length(w, NORMAL), 0);
}

/* -- Redis says no -- */

static void when_redis_is_out_of_memory_push_says_so_and_how_many_it_took(void **state)
{
    struct world *w = *state;
    unsigned long long accepted = 0, refused = 0;
    const char *line;

    redis_server_do(w->redis, "CONFIG SET maxmemory 3mb");
    assert_int_equal(shell_run(&w->shell, "seq 1000000 | $P push -q -f -"), 1);
    shell_assert_err(&w->shell, "Redis refuses: OOM");
    shell_assert_err(&w->shell, "the rest was not sent");
    line = strstr(w->shell.err, "jobs accepted");
    while (line > w->shell.err && line[-1] != '\n')
        line--;
    assert_int_equal(
        sscanf(line, "%llu jobs accepted, 0 of bad input not sent, %llu", &accepted, &refused), 2);
    assert_true(accepted > 0 && refused > 0);
    assert_int_equal(length(w, NORMAL), accepted);
    assert_int_equal(shell_run(&w->shell, "$P push a"), 1);
    shell_assert_err(&w->shell, "Redis refuses: OOM");
    assert_int_equal(shell_run(&w->shell, "$P push --wait=9 a"), 1);
    shell_assert_err(&w->shell, "Redis refuses: OOM");
    assert_null(strstr(w->shell.err, "runtime error"));
}

static void without_a_dispatcher_of_its_own_the_missing_socket_is_named(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 4; i++) {
        static const char *const commands[] = {"push a", "status", "dead list", "pause"};

        assert_int_equal(
            shell_run(&w->shell, "PURGELINE_DATA_DIR=$D $P %s --redis embedded", commands[i]), 3);
        shell_assert_err(&w->shell, "purgeline run is not running here");
        shell_assert_err(&w->shell, "/redis.sock");
    }
}

static void a_redis_that_is_away_is_told_apart_from_wrong_arguments(void **state)
{
    struct world *w = *state;

    redis_server_kill(w->redis);
    assert_int_equal(shell_run(&w->shell, "$P push a"), 3);
    assert_int_equal(shell_run(&w->shell, "$P push --redis redis://127.0.0.1:%u a", free_port()),
                     3);
    assert_int_equal(shell_run(&w->shell, "$P push --redis http://x a"), 2);
    redis_server_restart(w->redis);
    assert_int_equal(shell_run(&w->shell, "$P push a"), 0);
}

static void a_password_is_needed_used_and_never_shown(void **state)
{
    struct world *w = *state;
    const char *const tries[] = {"status", "check --offline", "check --print", "push a",
                                 "dead list --json"};

    redis_server_do(w->redis, "CONFIG SET requirepass hunter2");
    redis_server_login(w->redis, "hunter2");
    assert_int_equal(shell_run(&w->shell, "$P push a"), 3);
    shell_assert_err(&w->shell, "Redis wants a password (NOAUTH): name it in its URL");
    assert_int_equal(shell_run(&w->shell, "$P push --redis redis://:wrong@127.0.0.1:%u a",
                               redis_server_port(w->redis)),
                     3);
    assert_null(strstr(w->shell.err, "wrong@"));
    for (size_t i = 0; i < array_len(tries); i++) {
        shell_run(&w->shell, "$P %s --redis redis://:hunter2@127.0.0.1:%u", tries[i],
                  redis_server_port(w->redis));
        assert_null(strstr(w->shell.out, "hunter2"));
        assert_null(strstr(w->shell.err, "hunter2"));
    }
    assert_int_equal(length(w, NORMAL), 1);
}

/* -- pause, resume, status -- */

static void a_pause_is_written_down_with_who_and_why_and_ends(void **state)
{
    struct world *w = *state;
    char *text;

    assert_int_equal(shell_run(&w->shell, "$P pause the origin 'is rebuilt'"), 0);
    text = redis_server_str(w->redis, "HGET purgeline:{main}:control why");
    assert_string_equal(text, "the origin is rebuilt");
    free(text);
    assert_int_equal(redis_server_int(w->redis, "HEXISTS purgeline:{main}:control by"), 1);
    assert_int_equal(shell_run(&w->shell, "$P status"), 1);
    shell_assert_out(&w->shell, "paused");
    shell_assert_out(&w->shell, "the origin is rebuilt");
    assert_int_equal(shell_run(&w->shell, "$P resume"), 0);
    text = redis_server_str(w->redis, "HGET purgeline:{main}:control paused");
    assert_string_equal(text, "0");
    free(text);
}

static void status_tells_the_backlog_and_that_nobody_dispatches_it(void **state)
{
    struct world *w = *state;
    json_t *j, *account, *bulk;

    redis_server_do(w->redis, "XADD " BULK " 1700000000000-0 keys a");
    redis_server_do(w->redis, "ZADD purgeline:{main}:postponed 1 x");
    bury(w, "bulk-5-0", "a");
    assert_int_equal(shell_run(&w->shell, "$P status --json"), 1);
    j = json_of(w->shell.out);
    account = json_array_get(json_object_get(j, "accounts"), 0);
    bulk = json_object_get(json_object_get(account, "lanes"), "bulk");
    assert_true(json_is_false(json_object_get(account, "ok")));
    assert_true(json_is_null(json_object_get(account, "leader")));
    assert_int_equal(json_integer_value(json_object_get(bulk, "jobs")), 1);
    assert_true(json_integer_value(json_object_get(bulk, "oldest_ms")) > 1000);
    assert_int_equal(json_integer_value(json_object_get(account, "later")), 1);
    assert_int_equal(json_integer_value(json_object_get(account, "dead")), 1);
    json_decref(j);
    assert_int_equal(shell_run(&w->shell, "$P status"), 1);
    shell_assert_out(&w->shell, "main: nobody leads it: start 'purgeline run'");
    shell_assert_out(&w->shell, "bulk          1 job, the oldest for ");
}

/* The output for people consists of sentences; the leader's numbers are shown only on request. */
static void status_is_a_page_and_its_counters_are_asked_for(void **state)
{
    struct world *w = *state;

    redis_server_do(w->redis, "SET purgeline:{main}:lease host/1/2 PX 600000");
    redis_server_do(w->redis, "SET purgeline:{main}:status %s",
                    "{\"state\":\"leading\",\"brake\":\"free\",\"requests_keys\":71234,"
                    "\"last_error\":\"status 503: \\u001b[2J\",\"last_error_age_ms\":240000,"
                    "\"needs_restart\":\"senders\"}");
    redis_server_do(w->redis, "XADD " BULK " * keys a");
    assert_int_equal(shell_run(&w->shell, "LC_ALL=C $P status"), 0);
    shell_assert_out(&w->shell, "main: healthy, purging\n"
                                "  bulk          1 job, the oldest for ");
    shell_assert_out(&w->shell, "  budget        [####################] 100,000 of 100,000 left "
                                "this hour\n"
                                "  backlog       through in about ");
    shell_assert_out(&w->shell, "  leader        host\n");
    shell_assert_out(&w->shell, "  last error    4 min ago: status 503: ");
    shell_assert_out(&w->shell, "  restart       needed to apply new values of senders\n");
    assert_null(strchr(w->shell.out, 0x1b));
    assert_null(strstr(w->shell.out, "requests_keys"));
    assert_int_equal(shell_run(&w->shell, "$P status --all"), 0);
    shell_assert_out(&w->shell, "main: healthy, purging\n");
    shell_assert_out(&w->shell, "requests_keys 71,234");
}

static void status_tells_in_a_sentence_what_a_429_taught(void **state)
{
    struct world *w = *state;

    redis_server_do(w->redis, "SET purgeline:{main}:lease host/1/2 PX 600000");
    redis_server_do(w->redis, "SET purgeline:{main}:status %s",
                    "{\"state\":\"leading\",\"brake\":\"free\",\"at\":1800000000000,"
                    "\"refused_early\":{\"purge\":{\"at\":1799998990000,"
                    "\"halved_until\":1800002590000,\"less_until\":1800006190000,"
                    "\"spent\":31000,\"units\":100000,\"burst\":25000}}}");
    assert_int_equal(shell_run(&w->shell, "TZ=UTC0 $P status"), 0);
    shell_assert_out(
        &w->shell,
        "left this hour\n"
        "  refused       Fastly refused at 31,000 of 100,000 in our count at 07:43:10:\n"
        "                somebody else spends from this account, or it averages over less\n"
        "                than 1 h; bursts are halved to 25,000 until 08:43:10\n");
}

static void status_counts_what_was_spent_within_the_window(void **state)
{
    struct world *w = *state;
    json_t *j, *purge;

    redis_server_do(w->redis, "SET purgeline:{main}:lease host/1/2 EX 100");
    redis_server_do(w->redis, "HSET purgeline:{main}:budget purge:open 5");
    redis_server_do(w->redis, "XADD purgeline:{main}:spent:purge 1000-0 c 700"); /* old */
    for (int i = 0; i < 1500; i++)
        redis_server_do(w->redis, "XADD purgeline:{main}:spent:purge * c 2");
    assert_int_equal(shell_run(&w->shell, "$P status --json"), 0);
    j = json_of(w->shell.out);
    purge = json_object_get(
        json_object_get(json_array_get(json_object_get(j, "accounts"), 0), "budget"), "purge");
    assert_int_equal(json_integer_value(json_object_get(purge, "spent")), 3000);
    assert_int_equal(json_integer_value(json_object_get(purge, "left")), 100000 - 3000 - 5);
    json_decref(j);
}

/* -- check -- */

static void check_refuses_a_redis_that_evicts_and_says_the_setting(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "$P check"), 1);
    shell_assert_out(&w->shell, "ok    redis: it evicts nothing");
    shell_assert_out(&w->shell, "ok    redis: it keeps an append-only file and writes before");
    redis_server_do(w->redis, "CONFIG SET maxmemory-policy allkeys-lru");
    assert_int_equal(shell_run(&w->shell, "$P check --json"), 1);
    shell_assert_out(&w->shell, "maxmemory-policy is allkeys-lru");
    shell_assert_out(&w->shell, "CONFIG SET maxmemory-policy noeviction");
    redis_server_do(w->redis, "CONFIG SET appendonly no");
    assert_int_equal(shell_run(&w->shell, "$P check"), 1);
    shell_assert_out(&w->shell, "warn  redis: it has no append-only file");
}

static void check_says_what_a_crash_of_redis_may_take(void **state)
{
    struct world *w = *state;

    redis_server_do(w->redis, "CONFIG SET appendfsync everysec");
    assert_int_equal(shell_run(&w->shell, "$P check"), 1); /* there is no Fastly */
    shell_assert_out(&w->shell, "warn  redis: its append-only file is written later");
    shell_assert_out(&w->shell, "CONFIG SET appendfsync always");
    redis_server_do(w->redis, "ACL SETUSER default -config");
    assert_int_equal(shell_run(&w->shell, "$P check"), 1);
    shell_assert_out(&w->shell, "ok    redis: it keeps an append-only file; appendfsync is not");
}

static void check_finds_a_misspelt_variable(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "PURGELINE_SENDER=2 $P check --offline"), 0);
    shell_assert_out(&w->shell, "warn  environment: $PURGELINE_SENDER is no setting");
    shell_assert_out(&w->shell, "PURGELINE_SENDERS");
}

static void check_offline_says_what_a_reload_would_meet(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "PURGELINE_TOKEN_FILE=$D/token $P check --offline"), 1);
    shell_assert_out(&w->shell, "fail  main token: ");
    shell_assert_out(&w->shell, "No such file");
    assert_int_equal(shell_run(&w->shell, "echo abc > $D/token; chmod 600 $D/token\n"
                                          "PURGELINE_TOKEN_FILE=$D/token $P check --offline"),
                     0);
    shell_assert_out(&w->shell, "ok    main token: there is one in ");
    assert_int_equal(shell_run(&w->shell, "$P check --offline"), 0);
    shell_assert_out(&w->shell, "warn  main token: ");
}

static void check_without_redis_ends_with_3(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "$P check --redis redis://127.0.0.1:1"), 3);
    shell_assert_out(&w->shell, "fail  redis: Redis does not answer");
}

static void check_reports_an_invalid_ca_file(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "PURGELINE_CA_FILE=/nope.pem $P check --offline"), 1);
    shell_assert_out(&w->shell, "fail  main tls: ca_file: /nope.pem: cannot read it: No such file");
    assert_int_equal(shell_run(&w->shell, "echo none > $D/ca.pem\n"
                                          "PURGELINE_CA_FILE=$D/ca.pem $P check"),
                     1);
    shell_assert_out(&w->shell, "ca.pem: there is no certificate in it");
}

static void what_is_nearly_right_is_answered_with_what_was_meant(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "echo '{\"keyz\":[\"a\"]}' | $P push --file -"), 1);
    shell_assert_err(&w->shell, "line 1: keyz: unknown field; did you mean keys?");
    assert_int_equal(shell_run(&w->shell, "echo '{\"not_befor\":1}' | $P push -"), 1);
    shell_assert_out(&w->shell, "not_befor: unknown field; did you mean not_before?");
    assert_int_equal(shell_run(&w->shell, "$P dead list --limit 0"), 2);
    shell_assert_err(&w->shell, "--limit: expected a number of at least 1, found '0'");
    assert_int_equal(shell_run(&w->shell, "$P dead retry --help"), 0);
    assert_int_equal(strncmp(w->shell.out, "usage: purgeline dead retry [OPTION...] ID", 42), 0);
    assert_null(strstr(w->shell.out, "--limit"));
}

static void as_another_user_it_says_whose_socket_it_is(void **state)
{
    struct world *w = *state;

    if (geteuid() != 0) /* only root can become another user */
        skip();
    assert_int_equal(shell_run(&w->shell,
                               "mkdir -m 700 $D/data && touch $D/data/redis.sock &&\n"
                               "PURGELINE_REDIS=embedded PURGELINE_DATA_DIR=$D/data setpriv "
                               "--reuid 65534 --regid 65534 --clear-groups $P status"),
                     3);
    shell_assert_err(&w->shell, "belongs to another user's purgeline");
    shell_assert_err(&w->shell, "sudo, or POST to http://127.0.0.1:8126");
}

static void mistakes_in_yaml_are_told_in_the_words_of_the_file(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "printf 'senders: 1\n---\nsenders: 2\n' > $D/a.yaml\n"
                                          "$P check --config $D/a.yaml"),
                     2);
    shell_assert_err(&w->shell, "a.yaml:2: a second document begins here");
    assert_int_equal(shell_run(&w->shell,
                               "printf 'accounts:\n  - name: main\n    services: [SU1Z0]\n' "
                               "> $D/b.yaml\n$P check --config $D/b.yaml"),
                     2);
    shell_assert_err(&w->shell, "b.yaml:3: accounts[0].services[0]: expected {id: "
                                "SU1Z0isxPaozGVKXdv0eY, name: news}, found 'SU1Z0'");
}

static void a_file_that_breaks_off_says_from_which_line_on_it_is_to_be_pushed_again(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "seq 1500 > $D/keys; $P push -q --file $D/keys"), 0);
    redis_server_do(w->redis, "DEL " NORMAL);
    redis_server_do(w->redis, "SET " NORMAL " x");
    assert_int_equal(shell_run(&w->shell, "$P push --file $D/keys"), 1);
    shell_assert_err(&w->shell, "Pushing stopped: push again from line 1 on");
}

static void a_bad_configuration_is_told_with_file_and_line_and_code_2(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "echo 'senders: many' > $D/bad.yaml\n"
                                          "$P check --config $D/bad.yaml"),
                     2);
    shell_assert_err(&w->shell,
                     "bad.yaml:1: senders: expected a number from 0 to 256, found 'many'");
    assert_int_equal(shell_run(&w->shell, "$P check --config $D/none.yaml"), 2);
    assert_int_equal(shell_run(&w->shell, "PURGELINE_CONFIG=$D/bad.yaml $P push a"), 2);
}

static void the_printed_configuration_is_one_that_can_be_read(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "$P check --print > $D/a.yaml &&\n"
                                          "$P check --print --config $D/a.yaml | cmp - $D/a.yaml"),
                     0);
    assert_int_equal(shell_run(&w->shell, "$P check --print-sample > $D/s.yaml &&\n"
                                          "$P check --offline --config $D/s.yaml"),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_unknown_command_is_answered_with_the_one_that_was_meant),
        T(every_command_explains_itself_with_an_example_and_its_exit_codes),
        T(output_that_cannot_be_written_is_a_failure),
        T(a_closed_stream_is_not_taken_for_a_connection),
        T(an_unknown_option_is_told_what_it_may_mean),
        T(targets_on_the_command_line_make_one_job),
        T(options_become_the_fields_of_the_wire_contract),
        T(a_time_may_be_said_from_now_on),
        T(each_line_of_a_file_is_a_job_and_may_be_json),
        T(a_bad_line_is_named_and_its_neighbours_are_accepted),
        T(lines_may_share_a_job_and_a_bad_one_among_them_is_left_out),
        T(with_json_each_job_is_told_with_its_line),
        T(a_hundred_thousand_lines_arrive_in_order),
        T(a_producer_without_a_list_of_services_may_name_any),
        T(arguments_that_contradict_each_other_are_refused),
        T(when_redis_is_out_of_memory_push_says_so_and_how_many_it_took),
        T(without_a_dispatcher_of_its_own_the_missing_socket_is_named),
        T(a_redis_that_is_away_is_told_apart_from_wrong_arguments),
        T(a_password_is_needed_used_and_never_shown),
        T(a_pause_is_written_down_with_who_and_why_and_ends),
        T(status_tells_the_backlog_and_that_nobody_dispatches_it),
        T(status_tells_in_a_sentence_what_a_429_taught),
        T(status_counts_what_was_spent_within_the_window),
        T(status_is_a_page_and_its_counters_are_asked_for),
        T(check_refuses_a_redis_that_evicts_and_says_the_setting),
        T(check_says_what_a_crash_of_redis_may_take),
        T(check_finds_a_misspelt_variable),
        T(check_without_redis_ends_with_3),
        T(check_reports_an_invalid_ca_file),
        T(what_is_nearly_right_is_answered_with_what_was_meant),
        T(as_another_user_it_says_whose_socket_it_is),
        T(mistakes_in_yaml_are_told_in_the_words_of_the_file),
        T(a_file_that_breaks_off_says_from_which_line_on_it_is_to_be_pushed_again),
        T(check_offline_says_what_a_reload_would_meet),
        T(a_bad_configuration_is_told_with_file_and_line_and_code_2),
        T(the_printed_configuration_is_one_that_can_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
