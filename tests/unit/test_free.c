/* SPDX-License-Identifier: MIT
 * Every _free function accepts NULL. The test fails if a new one is missing in its list. */
#include "unit.h"

#include <glob.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "audit.h"
#include "auth.h"
#include "batch.h"
#include "canaries.h"
#include "config.h"
#include "consumer_runners.h"
#include "dispatch.h"
#include "event_watch.h"
#include "feed.h"
#include "history_match.h"
#include "hook.h"
#include "hour.h"
#include "http_internal.h"
#include "instances.h"
#include "intake.h"
#include "ledger.h"
#include "looks.h"
#include "loop.h"
#include "message_map.h"
#include "notify.h"
#include "origin.h"
#include "overview_cache.h"
#include "overview_instances.h"
#include "page_job.h"
#include "peek.h"
#include "pipe.h"
#include "plan.h"
#include "push.h"
#include "push_pipeline.h"
#include "receipts_wait.h"
#include "redis_codec.h"
#include "redis_entries.h"
#include "repeats.h"
#include "sender.h"
#include "sender_loop.h"
#include "server.h"
#include "settle.h"
#include "sockets.h"
#include "stop_limit.h"
#include "template.h"
#include "top_data.h"
#include "transfer.h"
#include "trouble.h"
#include "verification.h"

#define EACH(X)                                                                                    \
    X(sockets)                                                                                     \
    X(stop_limit)                                                                                  \
    X(audit)                                                                                       \
    X(batch)                                                                                       \
    X(canaries)                                                                                    \
    X(consumer_runners)                                                                            \
    X(repeats)                                                                                     \
    X(config_words)                                                                                \
    X(api_hooks)                                                                                   \
    X(api_ips)                                                                                     \
    X(event_watch)                                                                                 \
    X(feed)                                                                                        \
    X(dispatch)                                                                                    \
    X(push_pipeline)                                                                               \
    X(exchange)                                                                                    \
    X(auth)                                                                                        \
    X(history_wanted)                                                                              \
    X(hook)                                                                                        \
    X(hour)                                                                                        \
    X(http_server)                                                                                 \
    X(instances)                                                                                   \
    X(overview_instances)                                                                          \
    X(intake)                                                                                      \
    X(origin)                                                                                      \
    X(loop)                                                                                        \
    X(looks)                                                                                       \
    X(message_map)                                                                                 \
    X(notify)                                                                                      \
    X(page_job)                                                                                    \
    X(peek)                                                                                        \
    X(pipe)                                                                                        \
    X(plan)                                                                                        \
    X(push_connection)                                                                             \
    X(ledger)                                                                                      \
    X(redis_entries)                                                                               \
    X(redis_reader)                                                                                \
    X(sender_loop)                                                                                 \
    X(settle)                                                                                      \
    X(overview_cache)                                                                              \
    X(top_view)                                                                                    \
    X(template)                                                                                    \
    X(transfer)                                                                                    \
    X(trouble)                                                                                     \
    X(verification)                                                                                \
    X(receipts_wait)

static void null_is_fine_to_free(void **state)
{
    (void)state;
#define FREE_NULL(noun) noun##_free(NULL);
    EACH(FREE_NULL)
}

static bool is_listed(const char *noun)
{
#define NAME(noun) #noun,
    static const char *const nouns[] = {EACH(NAME)};

    for (size_t i = 0; i < array_len(nouns); i++)
        if (strcmp(nouns[i], noun) == 0)
            return true;
    return false;
}

static size_t look_into(const char *path, const regex_t *declared)
{
    FILE *f = fopen(path, "r");
    regmatch_t m[2];
    char line[400];
    size_t n = 0;

    must(f);
    while (fgets(line, sizeof(line), f)) {
        if (regexec(declared, line, 2, m, 0) != 0)
            continue;
        line[m[1].rm_eo] = '\0';
        if (!is_listed(line + m[1].rm_so))
            fail_msg("%s: %s_free is not in the list of this test", path, line + m[1].rm_so);
        n++;
    }
    fclose(f);
    return n;
}

static void every_free_of_a_header_is_tried(void **state)
{
    char *pattern = alloc_printf("%s/src/*/*.h", getenv("SOURCE_DIR"));
    regex_t declared;
    size_t n = 0;
    glob_t g;

    (void)state;
    assert_int_equal(regcomp(&declared, "^void ([a-z_]+)_free\\(struct \\1 \\*", REG_EXTENDED), 0);
    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++)
        n += look_into(g.gl_pathv[i], &declared);
    assert_true(n >= 20);
    globfree(&g);
    regfree(&declared);
    free(pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_is_fine_to_free),
        cmocka_unit_test(every_free_of_a_header_is_tried),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
