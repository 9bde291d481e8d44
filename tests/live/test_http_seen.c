/* SPDX-License-Identifier: MIT
 * What clients can cause in the log, and what producers see of each other in the metrics. */
#include "http_world.h"

#define CMS_KEY "Fastly-Key: cms-token"

static size_t number_after(const struct instance *i, const char *text)
{
    char *n;
    size_t number;

    instance_await_said(i, text, 1);
    n = instance_said_last(i, text, "not_written=");
    number = (size_t)atoi(n);
    free(n);
    return number;
}

/* Clients that may write to the streams, or that guess the signature of a hook. */
static void a_flood_of_malformed_jobs_does_not_flood_the_log(void **state)
{
    struct world w = world_open(state, "", "");
    const struct instance *i = &w.r->instances[0];
    struct job last;

    for (int n = 0; n < 300; n++)
        last = rig_push(w.r, "normal", "keys", "a", "no_such_field", "1", NULL);
    rig_await_ended(w.r, &last, "dead");
    assert_true(number_after(i, "Too many new dead letters") > 0);
    assert_in_range(instance_said(i, "An entry cannot be understood"), 10, 200);
    world_close(&w);
}

static void a_flood_of_bad_signatures_does_not_flood_the_log(void **state)
{
    struct world w;
    const struct instance *i;

    setenv("CMS_SECRET", "a secret that nobody guesses", 1);
    w = world_open(state, "",
                   "hooks:\n  - name: cms\n    secret_env: CMS_SECRET\n    keys: [\"{id}\"]\n"
                   "    signature: {scheme: token, header: X-Secret}\n");
    i = &w.r->instances[0];
    for (int n = 0; n < 300; n++)
        http_expect(w.h, 401, "POST", "/hooks/cms", "{}", "X-Secret: guess", NULL);
    assert_true(number_after(i, "Too many refused HTTP requests") > 0);
    assert_in_range(instance_said(i, "hook rejected: invalid signature"), 10, 200);
    assert_int_equal(instance_said(i, "path=\"/hooks/cms\""),
                     instance_said(i, "hook rejected: invalid signature"));
    world_close(&w);
}

static void metrics_show_the_accounts_that_the_producer_may_use(void **state)
{
    char *one = world_producer("cms", "cms-token", "    accounts: [main]\n"),
         *all = world_producer("all", "all-token", "");
    char *none = world_producer("none", "none-token", "    accounts: [other]\n");
    char *admin = world_producer("ops", "ops-token", "    accounts: [main]\n    admin: true\n");
    char *other = alloc_printf("  - name: other\n    api: %s\n    ca_file: %s\n"
                               "    services: [{id: SU3Third, name: third}]\n",
                               sandbox_api(*state), sandbox_ca(*state));
    char *global = alloc_printf("producers:\n%s%s%s%s", one, all, none, admin);
    struct world w = world_open(state, other, global);
    const struct http_reply *r;

    r = http_expect(w.h, 200, "GET", "/metrics", NULL, CMS_KEY, NULL);
    http_assert_has(r, "account=\"main\"");
    http_assert_has(r, "purgeline_build_info");
    http_assert_has(r, "purgeline_http_connections");
    assert_null(strstr(r->body, "\"other\""));
    r = http_expect(w.h, 200, "GET", "/metrics", NULL, "Fastly-Key: none-token", NULL);
    http_assert_has(r, "account=\"other\"");
    assert_null(strstr(r->body, "\"main\""));
    r = http_expect(w.h, 200, "GET", "/metrics", NULL, "Fastly-Key: all-token", NULL);
    http_assert_has(r, "account=\"main\"");
    http_assert_has(r, "account=\"other\"");
    r = http_expect(w.h, 200, "GET", "/metrics", NULL, "Fastly-Key: ops-token", NULL);
    http_assert_has(r, "account=\"main\"");
    http_assert_has(r, "account=\"other\"");
    free(global);
    free(other);
    free(admin);
    free(none);
    free(all);
    free(one);
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_flood_of_malformed_jobs_does_not_flood_the_log),
        rig_test(a_flood_of_bad_signatures_does_not_flood_the_log),
        rig_test(metrics_show_the_accounts_that_the_producer_may_use),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
