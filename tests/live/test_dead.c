/* SPDX-License-Identifier: MIT */
#include "command_world.h"

static void dead_letters_are_listed_newest_first_with_their_own_fields(void **state)
{
    struct world *w = *state;
    json_t *j;

    for (int i = 0; i < 70; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%d", i);
        bury(w, "bulk-5-0", key);
    }
    assert_int_equal(shell_run(&w->shell, "$P dead list --json --limit 65"), 0);
    j = json_of(strtok(w->shell.out, "\n"));
    assert_string_equal(json_string_value(json_object_get(j, "target")), "k69");
    assert_string_equal(json_string_value(json_object_get(j, "job")), "bulk-5-0");
    assert_string_equal(json_string_value(json_object_get(j, "reason")), "why");
    assert_int_equal(json_array_size(json_object_get(json_object_get(j, "fields"), "url")), 2);
    assert_int_equal(json_object_size(json_object_get(j, "fields")), 2);
    json_decref(j);
    assert_int_equal(shell_run(&w->shell, "$P dead list --json --limit 65 | wc -l"), 0);
    assert_int_equal(atoi(w->shell.out), 65);
    assert_int_equal(shell_run(&w->shell, "$P dead list | wc -l"), 0);
    assert_int_equal(atoi(w->shell.out), 2 * 50);
    shell_run(&w->shell, "$P dead list --limit 1");
    shell_assert_out(&w->shell, "2023-11-14T22:13:20Z  bulk-5-0");
    shell_assert_out(&w->shell, "why: k69");
}

static void a_retried_letter_is_a_new_job_in_its_old_lane(void **state)
{
    struct world *w = *state;

    bury(w, "bulk-5-0", "a");
    bury(w, "nonsense", "b");
    assert_int_equal(shell_run(&w->shell, "$P dead retry $($P dead list --json | sed "
                                          "'s/.*\"id\":\"\\([^\"]*\\)\".*/\\1/')"),
                     0);
    assert_string_equal(w->shell.out, "2 retried\n");
    assert_entry(w, BULK, 0, "keys=a url=http://a/1 url=http://a/2");
    assert_entry(w, NORMAL, 0, "keys=b url=http://a/1 url=http://a/2");
    assert_int_equal(length(w, DEAD), 0);
}

static void ids_that_are_not_there_are_counted_and_what_is_no_id_is_refused(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell, "$P dead retry 5-5"), 1);
    shell_assert_err(&w->shell, "1 not there");
    assert_int_equal(shell_run(&w->shell, "$P dead retry five"), 2);
    assert_int_equal(shell_run(&w->shell, "$P dead retry"), 2);
    assert_int_equal(shell_run(&w->shell, "$P dead retry --all 5-5"), 2);
    assert_int_equal(shell_run(&w->shell, "$P dead bury"), 2);
    assert_int_equal(shell_run(&w->shell, "$P dead"), 2);
}

static void all_letters_are_retried_or_dropped_page_by_page(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 200; i++)
        bury(w, "urgent-5-0", "a");
    assert_int_equal(shell_run(&w->shell, "$P dead retry --all --json"), 0);
    assert_string_equal(w->shell.out, "{\"retried\":200}\n");
    assert_int_equal(length(w, "purgeline:{main}:jobs:urgent"), 200);
    assert_int_equal(length(w, DEAD), 0);
    for (int i = 0; i < 65; i++)
        bury(w, "urgent-5-0", "a");
    assert_int_equal(shell_run(&w->shell, "$P dead drop --all"), 0);
    assert_int_equal(length(w, DEAD), 0);
    assert_int_equal(length(w, "purgeline:{main}:jobs:urgent"), 200);
    assert_int_equal(shell_run(&w->shell, "$P dead retry --all"), 0);
}

static void two_retries_at_once_move_each_letter_once(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 300; i++)
        bury(w, "normal-5-0", "a");
    assert_int_equal(shell_run(&w->shell, "$P dead retry --all & $P dead retry --all & wait"), 0);
    assert_int_equal(length(w, NORMAL), 300);
    assert_int_equal(length(w, DEAD), 0);
}

/* A Lua script can pass on about 8,000 values, but a job may have 10,000 URLs. */
static void a_letter_too_large_for_a_script_is_retried_all_the_same(void **state)
{
    struct world *w = *state;

    assert_int_equal(shell_run(&w->shell,
                               "redis-cli -p %u XADD '" DEAD "' '*' dead_job bulk-5-0 "
                               "$(seq 10000 19999 | sed 's|^|url a.b/|')",
                               redis_server_port(w->redis)),
                     0);
    assert_int_equal(length(w, DEAD), 1);
    assert_int_equal(shell_run(&w->shell, "$P dead retry --all"), 0);
    assert_string_equal(w->shell.out, "1 retried\n");
    assert_int_equal(length(w, DEAD), 0);
    assert_int_equal(length(w, BULK), 1);
}

static void letters_are_found_counted_and_retried_by_filters(void **state)
{
    struct world *w = *state;

    bury(w, "bulk-5-0", "fish");
    bury(w, "bulk-5-0", "bird");
    assert_int_equal(shell_run(&w->shell, "$P dead list --target fish | wc -l"), 0);
    assert_int_equal(atoi(w->shell.out), 2);
    assert_int_equal(shell_run(&w->shell, "$P dead list --reason wh --until 1h"), 0);
    assert_string_equal(w->shell.out, "");
    assert_int_equal(shell_run(&w->shell, "$P dead retry --target fish --since 1h --dry-run"), 0);
    shell_assert_out(&w->shell, "would retry 1, up to ");
    assert_int_equal(length(w, DEAD), 2);
    assert_int_equal(shell_run(&w->shell, "$P dead list --producer 'hook ghost'"), 0);
    assert_string_equal(w->shell.out, "");
    redis_server_do(w->redis,
                    "XADD " DEAD " * keys owl dead_by cms dead_reason why dead_job bulk-5-0");
    assert_int_equal(shell_run(&w->shell, "$P dead list --producer cms"), 0);
    shell_assert_out(&w->shell, "  -  bulk-5-0  by cms\n    why\n");
    assert_int_equal(shell_run(&w->shell, "$P dead list --producer cms --json | jq -r .by"), 0);
    assert_string_equal(w->shell.out, "cms\n");
    assert_int_equal(shell_run(&w->shell, "$P dead retry --producer cms"), 0);
    assert_string_equal(w->shell.out, "1 retried\n");
    assert_int_equal(shell_run(&w->shell,
                               "redis-cli -p %u --no-raw XRANGE '" BULK "' - + | grep -A1 dead_by",
                               redis_server_port(w->redis)),
                     0);
    shell_assert_out(&w->shell, "\"cms\"");
    assert_int_equal(shell_run(&w->shell, "$P history --acts"), 0);
    shell_assert_out(&w->shell, "retried   1 dead letter, producer 'cms', by ");
    assert_int_equal(shell_run(&w->shell, "$P dead retry --target fish"), 0);
    assert_string_equal(w->shell.out, "1 retried\n");
    assert_int_equal(shell_run(&w->shell, "$P dead drop --reason why --dry-run --json"), 0);
    shell_assert_out(&w->shell, "{\"would_drop\":1,\"up_to\":\"");
    assert_int_equal(shell_run(&w->shell, "$P dead drop --all --up-to 1-1"), 0);
    assert_string_equal(w->shell.out, "0 dropped\n");
    assert_int_equal(shell_run(&w->shell, "$P dead drop --all --reason x"), 2);
    assert_int_equal(shell_run(&w->shell, "$P dead drop --dry-run 1-1"), 2);
    assert_int_equal(shell_run(&w->shell, "$P dead drop --since yesterday"), 2);
    assert_int_equal(shell_run(&w->shell, "$P dead drop --up-to x --all"), 2);
    assert_int_equal(shell_run(&w->shell, "$P dead list --dry-run"), 2);
    assert_int_equal(length(w, DEAD), 1);
}

static void out_of_memory_a_retry_loses_nothing(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 10; i++)
        bury(w, "normal-5-0", "a");
    redis_server_do(w->redis, "CONFIG SET maxmemory 1");
    assert_int_equal(shell_run(&w->shell, "$P dead retry --all"), 1);
    shell_assert_err(&w->shell, "OOM");
    assert_int_equal(length(w, NORMAL) + length(w, DEAD), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(dead_letters_are_listed_newest_first_with_their_own_fields),
        T(a_retried_letter_is_a_new_job_in_its_old_lane),
        T(ids_that_are_not_there_are_counted_and_what_is_no_id_is_refused),
        T(all_letters_are_retried_or_dropped_page_by_page),
        T(two_retries_at_once_move_each_letter_once),
        T(a_letter_too_large_for_a_script_is_retried_all_the_same),
        T(letters_are_found_counted_and_retried_by_filters),
        T(out_of_memory_a_retry_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
