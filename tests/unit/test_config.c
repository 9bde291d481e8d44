/* SPDX-License-Identifier: MIT */
#include "config_world.h"

/* -- defaults -- */

static void without_a_file_there_is_one_account_with_an_embedded_redis(void **state)
{
    struct config c;

    (void)state;
    assert_int_equal(config_load(NULL, NULL, &c, &error), 0);
    assert_string_equal(c.redis, "embedded");
    assert_int_equal(c.window, 1000000);
    assert_string_equal(c.listen, "127.0.0.1:8126");
    assert_int_equal(c.accounts_count, 1);
    assert_string_equal(c.accounts[0].name, "main");
    assert_string_equal(c.accounts[0].api, "https://api.fastly.com");
    assert_string_equal(c.accounts[0].token_env, "FASTLY_API_TOKEN");
    assert_int_equal(c.accounts[0].budget.purges, 100000);
    assert_int_equal(c.accounts[0].budget.per_s, 3600);
    assert_int_equal(c.accounts[0].bulk.linger_ms, 100);
    assert_int_equal(c.accounts[0].receipts, RECEIPTS_ALL);
    assert_int_equal(c.accounts[0].services_count, 0);
    config_deinit(&c);
}

static void an_empty_file_is_as_good_as_none(void **state)
{
    (void)state;
    assert_loads("");
    assert_loads("# nothing but a comment\n");
}

static void what_the_file_does_not_name_keeps_its_default(void **state)
{
    struct config c;

    (void)state;
    assert_int_equal(load("senders: 3\naccounts:\n  - budget: {per_s: 10}\n", &c), 0);
    assert_int_equal(c.senders, 3);
    assert_int_equal(c.window, 1000000);
    assert_int_equal(c.accounts[0].budget.per_s, 10);
    assert_int_equal(c.accounts[0].budget.purges, 100000);
    config_deinit(&c);
}

static void every_kind_of_setting_is_read_from_the_file(void **state)
{
    struct config c;

    (void)state;
    assert_int_equal(load("redis: unix:///run/redis.sock\n"
                          "listen: \"\"\n"
                          "accounts:\n"
                          "  - name: a\n"
                          "    services: [{id: S1, name: news}, {id: S2}]\n"
                          "    default_service: news\n"
                          "    allow_purge_all: true\n"
                          "    url_mode: direct\n"
                          "    direct_hosts: [www.example.com, example.com]\n"
                          "    api: http://127.0.0.1:9/base/\n"
                          "    lanes: {bulk: {linger_ms: 7}}\n"
                          "  - {name: b, receipts: failed, budget: {purges: 1000000000000}}\n",
                          &c),
                     0);
    assert_string_equal(c.listen, "");
    assert_int_equal(c.accounts_count, 2);
    assert_int_equal(c.accounts[0].services_count, 2);
    assert_string_equal(c.accounts[0].services[0].name, "news");
    assert_string_equal(c.accounts[0].services[1].id, "S2");
    assert_string_equal(c.accounts[0].services[1].name, "");
    assert_true(c.accounts[0].allow_purge_all);
    assert_int_equal(c.accounts[0].url_mode, URL_MODE_DIRECT);
    assert_string_equal(c.accounts[0].direct_hosts.at[1], "example.com");
    assert_string_equal(c.accounts[0].api,
                        "http://127.0.0.1:9/base"); /* requests bring the slash */
    assert_int_equal(config_lane(&c.accounts[0], LANE_BULK)->linger_ms, 7);
    assert_int_equal(c.accounts[1].receipts, RECEIPTS_FAILED);
    assert_int_equal(c.accounts[1].budget.purges, 1000000000000);
    assert_ptr_equal(config_account(&c, "b"), &c.accounts[1]);
    assert_null(config_account(&c, NULL));
    config_deinit(&c);
}

static void an_anchor_may_be_used_for_what_accounts_have_in_common(void **state)
{
    struct config c;

    (void)state;
    assert_int_equal(load("accounts:\n  - {name: a, budget: &small {purges: 7}}\n"
                          "  - {name: b, budget: *small}\n",
                          &c),
                     0);
    assert_int_equal(c.accounts[1].budget.purges, 7);
    config_deinit(&c);
}

static void burst_zero_means_half_and_at_least_one(void **state)
{
    (void)state;
    assert_int_equal(config_burst(&(struct config_budget){.purges = 100000}), 50500);
    assert_int_equal(config_burst(&(struct config_budget){.purges = 1}), 1);
    assert_int_equal(config_burst(&(struct config_budget){.purges = 100, .burst = 9}), 9);
}

static void the_embedded_redis_is_at_a_socket_in_the_data_folder(void **state)
{
    struct config c = {.redis = (char *)"embedded", .data_dir = (char *)"/d"};
    char *url = config_redis_url(&c);

    (void)state;
    assert_string_equal(url, "unix:///d/redis.sock");
    free(url);
}

/* -- refusals: file, line, setting, what was expected -- */

static void a_value_of_the_wrong_type_is_named_with_its_line(void **state)
{
    (void)state;
    assert_refused("redis: embedded\naccounts:\n  - name: a\n  - name: b\n    budget:\n"
                   "      per_s: 10\n      purges: many\n",
                   "purgeline.yaml:7: accounts[1].budget.purges: expected a number from 1 to "
                   "1000000000000, found 'many'");
    assert_refused("senders:\n", "purgeline.yaml:1: senders: expected a number from 0 to 256, "
                                 "found nothing");
    assert_refused("accounts:\n  - allow_purge_all: maybe\n",
                   "purgeline.yaml:2: accounts[0].allow_purge_all: expected true or false, found "
                   "'maybe'");
    assert_refused("accounts:\n  - {receipts: some}\n",
                   "purgeline.yaml:2: accounts[0].receipts: expected none, failed or all, found "
                   "'some'");
}

static void a_flow_mapping_over_several_lines_is_still_found(void **state)
{
    (void)state;
    assert_refused("accounts:\n  - budget: {per_s: 10,\n      purges: 0}\n",
                   "purgeline.yaml:3: accounts[0].budget.purges: expected a number from 1 to "
                   "1000000000000, found '0'");
}

static void an_unknown_setting_is_refused_with_the_one_that_was_meant(void **state)
{
    (void)state;
    assert_refused("redis: embedded\nsender: 1\n",
                   "purgeline.yaml:2: sender: no such setting; did you mean senders?");
    assert_refused("accounts:\n  - budget:\n      purgse: 1\n",
                   "purgeline.yaml:3: accounts[0].budget.purgse: no such setting; did you mean "
                   "purges?");
    assert_refused("colour: blue\n", "purgeline.yaml:1: colour: no such setting");
    assert_refused("url_mode: api\n",
                   "purgeline.yaml:1: url_mode: no such setting here; it is one of an account");
    assert_refused(
        "accounts:\n  - services: [{id: S, nmae: x}]\n",
        "purgeline.yaml:2: accounts[0].services[0].nmae: no such setting; did you mean name?");
}

static void a_wrong_shape_is_refused(void **state)
{
    (void)state;
    assert_refused("accounts: 4\n",
                   "purgeline.yaml:1: accounts: expected a list, found a single value");
    assert_refused("- a\n", "purgeline.yaml:1: expected settings below it, found a list");
    assert_refused(
        "redis: [a]\n",
        "purgeline.yaml:1: redis: expected embedded, redis://[user:password@]host:port/db, "
        "rediss://..., redis+sentinel://host:port,host:port/master, "
        "redis+cluster://host:port,host:port or unix:///path, found a list");
    assert_refused(
        "accounts:\n  - budget: 4\n",
        "purgeline.yaml:2: accounts[0].budget: expected settings below it, found a single "
        "value");
    assert_refused("senders: 1\nsenders: 2\n",
                   "purgeline.yaml:2: senders: stands there twice, first in line 1");
    assert_refused("accounts:\n  - services: [{name: x}]\n",
                   "purgeline.yaml:2: accounts[0].services[0].id: missing");
}

static void what_is_no_yaml_is_refused_with_its_line(void **state)
{
    (void)state;
    assert_refused("redis: embedded\nsenders: [\n",
                   "purgeline.yaml:3: not YAML: did not find expected node content");
}

static void a_file_that_is_not_there_is_an_error_when_it_was_named(void **state)
{
    struct config c;

    (void)state;
    assert_int_equal(config_load("nowhere.yaml", NULL, &c, &error), -ENOENT);
    assert_string_equal(error.text, "nowhere.yaml: cannot read it: No such file or directory");
}

static void a_file_of_one_mebibyte_is_read_and_one_byte_more_is_not(void **state)
{
    size_t n = 1024 * 1024 + 1;
    char *text = malloc(n);
    struct config c;

    (void)state;
    memset(text, '#', n);
    write_file("big.yaml", text, n - 1);
    assert_int_equal(config_load("big.yaml", NULL, &c, &error), 0);
    config_deinit(&c);
    write_file("big.yaml", text, n);
    assert_int_equal(config_load("big.yaml", NULL, &c, &error), -EMSGSIZE);
    assert_string_equal(error.text, "big.yaml: cannot read it: longer than 1 MiB");
    unlink("big.yaml");
    free(text);
}

static void a_password_is_in_no_error(void **state)
{
    struct config c;

    (void)state;
    assert_int_equal(load("redis: http://u:hunter2@host/\n", &c), -EINVAL);
    assert_null(strstr(error.text, "hunter2"));
    assert_int_equal(load("redis: redis://u:hunter2@host:port/\n", &c), -EINVAL);
    assert_null(strstr(error.text, "hunter2"));
}

/* -- forms -- */

static void a_name_of_64_bytes_is_taken_and_of_65_is_not(void **state)
{
    struct config c;
    char text[256];

    (void)state;
    snprintf(text, sizeof(text), "accounts: [{name: %063d}]", 0);
    assert_loads(text);
    snprintf(text, sizeof(text), "accounts: [{name: %064d}]", 0);
    assert_loads(text);
    snprintf(text, sizeof(text), "accounts: [{name: %065d}]", 0);
    assert_int_equal(load(text, &c), -EINVAL);
    assert_int_equal(load("accounts: [{name: \"\"}]", &c), -EINVAL);
    assert_int_equal(load("accounts: [{name: Main}]", &c), -EINVAL);
    assert_int_equal(load("accounts: [{name: \"a}b\"}]", &c), -EINVAL);
}

static void an_address_to_listen_on_has_a_host_and_a_port(void **state)
{
    struct config c;

    (void)state;
    assert_loads("listen: 127.0.0.1:1");
    assert_loads("listen: \"[::1]:8126\"");
    assert_loads("listen: localhost:65535");
    assert_int_equal(load("listen: 8126", &c), -EINVAL);
    assert_int_equal(load("listen: localhost:65536", &c), -EINVAL);
    assert_int_equal(load("listen: localhost:", &c), -EINVAL);
    assert_int_equal(load("listen: \":8126\"", &c), -EINVAL);
}

/* -- settings that must fit each other -- */

static void accounts_of_the_same_name_are_refused(void **state)
{
    (void)state;
    assert_refused("accounts:\n  - name: a\n  - name: b\n  - name: a\n",
                   "purgeline.yaml:4: accounts[2].name: 'a' is the name of accounts[0] already");
}

static void a_default_service_must_be_one_of_the_services(void **state)
{
    (void)state;
    assert_loads("accounts: [{services: [{id: S1, name: news}], default_service: S1}]");
    assert_loads("accounts: [{services: [{id: S1, name: news}], default_service: news}]");
    assert_refused(
        "accounts:\n  - services: [{id: S1, name: news}]\n    default_service: shop\n",
        "purgeline.yaml:3: accounts[0].default_service: 'shop' is not among the services");
}

static void one_word_means_one_service(void **state)
{
    struct config c;

    (void)state;
    assert_int_equal(load("accounts: [{services: [{id: a}, {id: a}]}]", &c), -EINVAL);
    assert_int_equal(load("accounts: [{services: [{id: a, name: x}, {id: b, name: x}]}]", &c),
                     -EINVAL);
    assert_int_equal(load("accounts: [{services: [{id: a, name: b}, {id: b}]}]", &c), -EINVAL);
    assert_loads("accounts: [{services: [{id: a, name: a}, {id: b}]}]");
}

static void headroom_must_leave_something_to_spend(void **state)
{
    (void)state;
    assert_loads("accounts: [{budget: {purges: 10, headroom: 9}}]");
    assert_refused("accounts: [{budget: {purges: 10, headroom: 10}}]",
                   "purgeline.yaml:1: accounts[0].budget.headroom: expected less than purges (10), "
                   "found 10");
    assert_loads("accounts: [{budget: {purges: 10, burst: 10}}]");
    assert_refused(
        "accounts: [{budget: {purges: 10, burst: 11}}]",
        "purgeline.yaml:1: accounts[0].budget.burst: expected at most purges (10), found "
        "11");
}

static void direct_mode_needs_its_hosts(void **state)
{
    (void)state;
    assert_refused(
        "accounts:\n  - url_mode: direct\n",
        "purgeline.yaml:2: accounts[0].direct_hosts: url_mode: direct needs the hosts it "
        "may contact");
}

static void the_token_is_for_hosts_that_may_be_contacted(void **state)
{
    (void)state;
    assert_loads("accounts: [{url_mode: direct, direct_hosts: [a.b, \"c.d:81\"], "
                 "direct_token_hosts: [\"C.d:81\"]}]");
    assert_refused("accounts:\n  - url_mode: direct\n    direct_hosts: [a.b]\n"
                   "    direct_token_hosts: [\"a.b:443\"]\n",
                   "purgeline.yaml:4: accounts[0].direct_token_hosts: 'a.b:443' is not among the "
                   "direct_hosts");
    assert_refused("accounts:\n  - url_mode: direct\n    direct_hosts: [a.b]\n"
                   "    direct_token_hosts: [a.b]\n    token_env: \"\"\n",
                   "purgeline.yaml:5: accounts[0].token_env: one of token_file and token_env must "
                   "say where the token is");
}

static void an_origin_is_a_host_perhaps_with_a_scheme_and_a_port(void **state)
{
    static const char *const good[] = {"o.example",
                                       "o.example:8443",
                                       "*.example",
                                       "*.example:81",
                                       "http://*.example:81",
                                       "https://o.example",
                                       "http://10.0.0.5:8080",
                                       "https://[::1]:8443"};
    static const char *const bad[] = {"",
                                      "https://o.example/path",
                                      "ftp://o.example",
                                      "*",
                                      "*.",
                                      "*.*.example",
                                      "*.example:http",
                                      "o.example:99999",
                                      "user@o.example",
                                      "http://"};
    struct config c;
    char yaml[128];

    for (size_t i = 0; i < array_len(good); i++) {
        snprintf(yaml, sizeof(yaml), "accounts: [{origins: [\"%s\"]}]", good[i]);
        assert_loads(yaml);
    }
    for (size_t i = 0; i < array_len(bad); i++) {
        snprintf(yaml, sizeof(yaml), "accounts: [{origins: [\"%s\"]}]", bad[i]);
        assert_int_equal(load(yaml, &c), -EINVAL);
        assert_non_null(strstr(error.text, "accounts[0].origins"));
    }
    (void)state;
}

static void a_proxy_has_a_host_and_a_port_and_no_password(void **state)
{
    static const char *const good[] = {"env", "http://proxy.example:3128", "https://[::1]:443",
                                       "http://10.0.0.1:1"};
    static const char *const bad[] = {
        "proxy.example:3128", "http://proxy.example", "http://u:p@h:3128", "socks5://h:1080",
        "http://h:3128/path", "http://h:0",           "http://h:65536",    "ENV"};
    char text[200];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        snprintf(text, sizeof(text), "accounts: [{api_proxy: \"%s\"}]", good[i]);
        assert_loads(text);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct config c;

        snprintf(text, sizeof(text), "accounts: [{api_proxy: \"%s\"}]", bad[i]);
        assert_int_equal(load(text, &c), -EINVAL);
        assert_non_null(strstr(error.text, "accounts[0].api_proxy: expected http://host:port or"));
    }
    assert_refused("accounts:\n  - api: http://127.0.0.1:1\n    api_proxy: env\n",
                   "purgeline.yaml:3: accounts[0].api_proxy: through a proxy only an https API is "
                   "asked: it would see the token");
    assert_refused("accounts:\n  - api_proxy_auth_file: /x\n",
                   "purgeline.yaml:2: accounts[0].api_proxy_auth_file: it belongs to an api_proxy "
                   "with a URL");
    assert_refused("accounts:\n  - api_proxy: http://h:1\n    api_proxy_ca_file: /x\n",
                   "purgeline.yaml:3: accounts[0].api_proxy_ca_file: it belongs to an api_proxy "
                   "with https://");
}

static void a_data_folder_whose_socket_path_would_be_too_long_is_refused(void **state)
{
    struct config c;
    char folder[128];

    (void)state;
    for (int n = 95; n <= 97; n++) {
        snprintf(folder, sizeof(folder), "/%0*d", n - 1, 0);
        setenv("PURGELINE_DATA_DIR", folder, 1);
        assert_int_equal(config_load(NULL, NULL, &c, &error), n <= 96 ? 0 : -EINVAL);
        if (n <= 96)
            config_deinit(&c);
    }
}

/* -- the environment -- */

static void the_environment_wins_over_the_file(void **state)
{
    struct config c;

    (void)state;
    setenv("PURGELINE_SENDERS", "5", 1);
    setenv("PURGELINE_API", "https://localhost:8443", 1);
    setenv("PURGELINE_BUDGET_PURGES", "42", 1);
    setenv("PURGELINE_LANES_BULK_LINGER_MS", "1", 1);
    setenv("PURGELINE_SERVICES", "S1=news, S2", 1);
    assert_int_equal(load("senders: 3\naccounts:\n  - {name: x, budget: {purges: 7}}\n", &c), 0);
    assert_int_equal(c.senders, 5);
    assert_string_equal(c.accounts[0].name, "x");
    assert_string_equal(c.accounts[0].api, "https://localhost:8443");
    assert_int_equal(c.accounts[0].budget.purges, 42);
    assert_int_equal(c.accounts[0].bulk.linger_ms, 1);
    assert_int_equal(c.accounts[0].services_count, 2);
    assert_string_equal(c.accounts[0].services[0].name, "news");
    assert_string_equal(c.accounts[0].services[1].id, "S2");
    config_deinit(&c);
}

static void a_bad_variable_is_refused_by_its_name(void **state)
{
    struct config c;

    (void)state;
    setenv("PURGELINE_WINDOW", "x", 1);
    assert_int_equal(config_load(NULL, NULL, &c, &error), -EINVAL);
    assert_string_equal(error.text,
                        "PURGELINE_WINDOW: expected a number from 1 to 100000000, found 'x'");
}

static void a_variable_for_an_account_is_refused_when_there_are_two(void **state)
{
    (void)state;
    setenv("PURGELINE_API", "https://localhost", 1);
    assert_refused("accounts: [{name: a}, {name: b}]",
                   "PURGELINE_API: there are 2 accounts; only in the file can it be said which is "
                   "meant");
}

static void fastlys_own_variable_names_the_service_when_the_file_names_none(void **state)
{
    struct config c;

    (void)state;
    setenv("FASTLY_SERVICE_ID", "SU1Z0isxPaozGVKXdv0eY", 1);
    assert_int_equal(config_load(NULL, NULL, &c, &error), 0);
    assert_int_equal(c.accounts[0].services_count, 1);
    assert_string_equal(c.accounts[0].services[0].id, "SU1Z0isxPaozGVKXdv0eY");
    config_deinit(&c);
    assert_int_equal(load("accounts: [{services: [{id: other}]}]", &c), 0);
    assert_int_equal(c.accounts[0].services_count, 1);
    assert_string_equal(c.accounts[0].services[0].id, "other");
    config_deinit(&c);
    setenv("FASTLY_SERVICE_ID", "../x", 1);
    assert_int_equal(config_load(NULL, NULL, &c, &error), -EINVAL);
}

/* -- the sample -- */

static char *slurp(FILE *f)
{
    char *text = NULL;
    size_t room = 0;

    assert_non_null(f);
    rewind(f);
    if (getdelim(&text, &room, '\0', f) < 0)
        fail();
    return text;
}

static void the_sample_says_the_defaults(void **state)
{
    FILE *f = fopen("sample.yaml", "w+");
    struct config sample, none;
    struct buf a, b;

    (void)state;
    config_print_sample(f);
    fclose(f);
    assert_int_equal(config_load("sample.yaml", NULL, &sample, &error), 0);
    assert_int_equal(config_load(NULL, NULL, &none, &error), 0);
    buf_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    config_yaml(&sample, CONFIG_YAML_PLAIN, &a);
    config_yaml(&none, CONFIG_YAML_PLAIN, &b);
    assert_string_equal(a.p, b.p);
    buf_deinit(&a);
    buf_deinit(&b);
    config_deinit(&sample);
    config_deinit(&none);
    unlink("sample.yaml");
}

static void the_sample_in_deploy_is_what_the_program_prints(void **state)
{
    char path[4096];
    FILE *printed = tmpfile(), *kept;
    char *a, *b;

    (void)state;
    snprintf(path, sizeof(path), "%s/deploy/purgeline.yaml", getenv("SOURCE_DIR"));
    kept = fopen(path, "r");
    config_print_sample(printed);
    a = slurp(printed);
    b = slurp(kept);
    assert_string_equal(a, b);
    free(a);
    free(b);
    fclose(printed);
    fclose(kept);
}

static void what_is_printed_reads_back_as_the_same(void **state)
{
    struct config c, again;
    struct buf a, b;

    (void)state;
    assert_int_equal(
        load("redis: unix:///a b\nlisten: \"\"\naccounts:\n"
             "  - name: on\n    services: [{id: no, name: 'a \"b\": c\\d'}, {id: 1e3}]\n"
             "    direct_hosts: [\"[::1]:80\", a.b]\n    url_mode: direct\n"
             "  - name: \"0\"\n    allow_purge_all: true\n    budget: {burst: 9}\n",
             &c),
        0);
    buf_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    config_yaml(&c, CONFIG_YAML_PLAIN, &a);
    assert_int_equal(load(a.p, &again), 0);
    config_yaml(&again, CONFIG_YAML_EXPLAINED, &b);
    config_deinit(&again);
    assert_int_equal(load(b.p, &again), 0);
    buf_clear(&b);
    config_yaml(&again, CONFIG_YAML_PLAIN, &b);
    assert_string_equal(a.p, b.p);
    assert_string_equal(again.accounts[0].services[0].name, "a \"b\": c\\d");
    buf_deinit(&a);
    buf_deinit(&b);
    config_deinit(&c);
    config_deinit(&again);
}

static void a_shared_one_lives_until_its_last_user_lets_go(void **state)
{
    const struct config *shared;
    struct config c;

    (void)state;
    assert_int_equal(load("accounts: [{name: a}]", &c), 0);
    shared = config_share(&c);
    assert_null(c.accounts);
    assert_int_equal(config_shared(), 1);
    assert_ptr_equal(config_hold(shared), shared);
    config_drop(shared);
    assert_int_equal(config_shared(), 1);
    assert_string_equal(shared->accounts[0].name, "a");
    config_drop(shared);
    assert_int_equal(config_shared(), 0);
    assert_null(config_hold(NULL));
    config_drop(NULL);
}

static void a_password_is_printed_as_stars(void **state)
{
    struct config c;
    struct buf text;

    (void)state;
    assert_int_equal(load("redis: redis://me:hunter2@host:6379/1\n", &c), 0);
    buf_init(&text, 1 << 20);
    config_yaml(&c, CONFIG_YAML_PLAIN, &text);
    assert_null(strstr(text.p, "hunter2"));
    assert_non_null(strstr(text.p, "me:***@host:6379/1"));
    buf_deinit(&text);
    config_deinit(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(without_a_file_there_is_one_account_with_an_embedded_redis),
        T(an_empty_file_is_as_good_as_none),
        T(what_the_file_does_not_name_keeps_its_default),
        T(every_kind_of_setting_is_read_from_the_file),
        T(an_anchor_may_be_used_for_what_accounts_have_in_common),
        T(burst_zero_means_half_and_at_least_one),
        T(the_embedded_redis_is_at_a_socket_in_the_data_folder),
        T(a_value_of_the_wrong_type_is_named_with_its_line),
        T(a_flow_mapping_over_several_lines_is_still_found),
        T(an_unknown_setting_is_refused_with_the_one_that_was_meant),
        T(a_wrong_shape_is_refused),
        T(what_is_no_yaml_is_refused_with_its_line),
        T(a_file_that_is_not_there_is_an_error_when_it_was_named),
        T(a_file_of_one_mebibyte_is_read_and_one_byte_more_is_not),
        T(a_password_is_in_no_error),
        T(a_name_of_64_bytes_is_taken_and_of_65_is_not),
        T(an_address_to_listen_on_has_a_host_and_a_port),
        T(accounts_of_the_same_name_are_refused),
        T(a_default_service_must_be_one_of_the_services),
        T(one_word_means_one_service),
        T(headroom_must_leave_something_to_spend),
        T(direct_mode_needs_its_hosts),
        T(the_token_is_for_hosts_that_may_be_contacted),
        T(an_origin_is_a_host_perhaps_with_a_scheme_and_a_port),
        T(a_proxy_has_a_host_and_a_port_and_no_password),
        T(a_data_folder_whose_socket_path_would_be_too_long_is_refused),
        T(the_environment_wins_over_the_file),
        T(a_bad_variable_is_refused_by_its_name),
        T(a_variable_for_an_account_is_refused_when_there_are_two),
        T(fastlys_own_variable_names_the_service_when_the_file_names_none),
        T(the_sample_says_the_defaults),
        T(the_sample_in_deploy_is_what_the_program_prints),
        T(what_is_printed_reads_back_as_the_same),
        T(a_password_is_printed_as_stars),
        T(a_shared_one_lives_until_its_last_user_lets_go),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
