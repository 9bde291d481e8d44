/* SPDX-License-Identifier: MIT
 * Settings of consumers. */
#include "config_world.h"

#define ACCOUNTS                                                                                   \
    "accounts: [{name: one, token_env: T, services: [{id: S1}]},\n"                                \
    "           {name: two, token_env: T, services: [{id: S2, name: shop}, {id: S3}]}]\n"
#define CONSUMER "{name: c, topic: t, account: one, keys: [k]"

static void every_setting_of_a_consumer_is_read(void **state)
{
    struct config c;
    const struct config_consumer *s;

    (void)state;
    must_load(ACCOUNTS
              "consumers:\n"
              "  - name: articles\n"
              "    source: redis-stream\n"
              "    url: rediss://queue/1\n"
              "    topic: changes\n"
              "    group: g\n"
              "    field: payload\n"
              "    take: right\n"
              "    claim_after_s: 7\n"
              "    session_timeout_s: 8\n"
              "    sasl: scram-sha-512\n"
              "    user: u\n"
              "    password_file: /p\n"
              "    tls: {ca_file: /ca, cert_file: /c, key_file: /k}\n"
              "    account: two\n"
              "    while_paused: stop\n"
              "    service: shop\n"
              "    lane: bulk\n"
              "    soft: true\n"
              "    job: mapped\n"
              "    when: [a=b]\n"
              "    keys: [\"k-{id}\"]\n"
              "    urls: [u]\n"
              "    max_targets: 3\n"
              "    repeat_after_ms: 4\n"
              "  - {name: other, topic: list, account: one, job: json, password_env: ''}\n",
              &c);
    assert_int_equal(c.consumers_count, 2);
    s = &c.consumers[0];
    assert_ptr_equal(config_consumer(&c, "articles"), s);
    assert_null(config_consumer(&c, "article"));
    assert_int_equal(s->source, CONSUMER_REDIS_STREAM);
    assert_string_equal(s->url, "rediss://queue/1");
    assert_string_equal(s->topic, "changes");
    assert_string_equal(s->group, "g");
    assert_string_equal(s->field, "payload");
    assert_int_equal(s->take, CONSUMER_RIGHT);
    assert_int_equal(s->claim_after_s, 7);
    assert_int_equal(s->session_timeout_s, 8);
    assert_int_equal(s->sasl, CONSUMER_SCRAM_SHA_512);
    assert_string_equal(s->user, "u");
    assert_string_equal(s->password_file, "/p");
    assert_string_equal(s->tls.ca_file, "/ca");
    assert_string_equal(s->tls.cert_file, "/c");
    assert_string_equal(s->tls.key_file, "/k");
    assert_string_equal(s->mapping.account, "two");
    assert_int_equal(s->while_paused, CONSUMER_STOP);
    assert_int_equal(s->mapping.services.count, 1);
    assert_string_equal(s->mapping.services.at[0], "shop");
    assert_int_equal(s->mapping.lane, LANE_BULK);
    assert_true(s->mapping.soft);
    assert_string_equal(s->mapping.when.at[0], "a=b");
    assert_string_equal(s->mapping.keys.at[0], "k-{id}");
    assert_string_equal(s->mapping.urls.at[0], "u");
    assert_int_equal(s->mapping.max_targets, 3);
    assert_int_equal(s->mapping.repeat_after_ms, 4);
    assert_int_equal(c.consumers[1].source, CONSUMER_REDIS_LIST);
    assert_int_equal(c.consumers[1].job, CONSUMER_JSON);
    assert_int_equal(c.consumers[1].while_paused, CONSUMER_CONTINUE);
    config_deinit(&c);
}

static void what_is_printed_of_a_consumer_reads_back_as_the_same(void **state)
{
    struct config c;
    struct buf first, second;

    (void)state;
    buf_init(&first, 1 << 20);
    buf_init(&second, 1 << 20);
    must_load(ACCOUNTS "consumers: [" CONSUMER ", when: [a=b], url: 'redis://h'}]\n", &c);
    config_yaml(&c, CONFIG_YAML_PLAIN, &first);
    config_deinit(&c);
    must_load(first.p, &c);
    config_yaml(&c, CONFIG_YAML_PLAIN, &second);
    config_deinit(&c);
    assert_string_equal(first.p, second.p);
    assert_non_null(strstr(first.p, "topic: t\n"));
    buf_deinit(&first);
    buf_deinit(&second);
}

#define REFUSED(consumer, sentence)                                                                \
    assert_refused(ACCOUNTS "consumers: [" consumer "]\n",                                         \
                   "purgeline.yaml:3: consumers[0]" sentence)

static void what_a_consumer_must_have_is_missed(void **state)
{
    (void)state;
    assert_loads(ACCOUNTS "consumers: [" CONSUMER "}]\n");
    REFUSED("{topic: t, account: one, keys: [k]}", ".name: missing");
    REFUSED("{name: c, account: one, keys: [k]}", ".topic: missing");
    REFUSED("{name: c, topic: t, account: one}",
            ".keys: with neither keys nor urls there is nothing to purge");
    REFUSED("{name: c, topic: t, keys: [k]}", ".account: there are 2 accounts; one must be named");
    REFUSED("{name: c, topic: t, account: two, keys: [k]}",
            ".service: keys need one, and account two has no default_service");
    REFUSED("{name: c, topic: t, account: three, keys: [k]}",
            ".account: there is no account 'three'");
    assert_refused(ACCOUNTS "consumers: [" CONSUMER "},\n" CONSUMER "}]\n",
                   "purgeline.yaml:4: consumers[1].name: 'c' is the name of consumers[0] already");
}

static void settings_of_a_consumer_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    REFUSED(CONSUMER ", job: json}", ".job: when, keys and urls are only for `job: mapped`");
    REFUSED(CONSUMER ", url: 'http://queue'}",
            ".url: expected a URL like redis://host:6379/0, or nothing");
    assert_loads(ACCOUNTS "consumers: [" CONSUMER
                          ", source: postgres, url: 'postgresql://u@h/d', tls: {ca_file: /ca}}]\n");
    REFUSED(CONSUMER ", source: postgres}",
            ".url: expected a URL like postgresql://host:5432/database");
    assert_loads(ACCOUNTS "consumers: [" CONSUMER ", source: amqp, url: 'amqps://h/v', user: u, "
                          "password_env: P}]\n");
    REFUSED(CONSUMER ", source: amqp, url: 'http://h'}",
            ".url: expected a URL like amqps://host:5671/vhost");
    assert_loads(ACCOUNTS "consumers: [" CONSUMER ", source: nats, url: 'tls://h', user: U, "
                          "credentials_file: /c}]\n");
    REFUSED(CONSUMER ", run: maybe}", ".run: expected true or false, found 'maybe'");
    REFUSED(CONSUMER ", source: nats, url: 'amqp://h'}",
            ".url: expected a URL like tls://host:4222");
    REFUSED(CONSUMER ", source: nats, url: 'tls://h', password_env: P, credentials_file: /c}",
            ".credentials_file: a password is set, too; only one of them may be");
    REFUSED(CONSUMER ", url: 'redis://q', credentials_file: /c}",
            ".credentials_file: only `source: nats` has one");
    REFUSED(CONSUMER ", source: postgres, url: 'redis://h'}",
            ".url: expected a URL like postgresql://host:5432/database");
    REFUSED(CONSUMER ", url: 'redis://q', user: u}",
            ".user: a user needs a password: set password_file or password_env");
    REFUSED(CONSUMER ", url: 'redis://q', password_file: /p, password_env: P}",
            ".password_env: password_file is set, too; only one of them may be");
    REFUSED(CONSUMER ", password_env: P}",
            ".url: a login and TLS files are only for another server than purgeline's own");
    REFUSED(CONSUMER ", tls: {ca_file: /ca}}",
            ".url: a login and TLS files are only for another server than purgeline's own");
    REFUSED("{name: c, topic: t, account: one, keys: ['{id']}",
            ".keys[0]: byte 1: a { without its }; {{ is a brace");
}

#define KAFKA CONSUMER ", source: kafka, url: "
#define BROKERS ".url: expected a URL like kafkas://host1:9093,host2:9093"

static void settings_of_a_kafka_consumer_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    assert_loads(ACCOUNTS "consumers: [" KAFKA "'kafkas://a:9093,[::1],b', user: u, sasl: "
                          "scram-sha-512, password_env: P, tls: {ca_file: /ca}}]\n");
    REFUSED(CONSUMER ", source: kafka}", BROKERS);
    REFUSED(KAFKA "'http://h'}", BROKERS);
    REFUSED(KAFKA "'kafka://'}", BROKERS);
    REFUSED(KAFKA "'kafka://a,,b'}", BROKERS);
    REFUSED(KAFKA "'kafka://,b'}", BROKERS);
    REFUSED(KAFKA "'kafka://a,'}", BROKERS);
    REFUSED(KAFKA "'kafka://a/b'}", BROKERS);
    REFUSED("{name: c, topic: ^all, keys: [k], source: kafka, url: 'kafka://a'}",
            ".topic: expected 1 to 249 letters, digits, '.', '_' and '-'");
    REFUSED("{name: c, topic: 'a b', keys: [k], source: kafka, url: 'kafka://a'}",
            ".topic: expected 1 to 249 letters, digits, '.', '_' and '-'");
    REFUSED(KAFKA "'kafka://u:secret@a'}", ".url: a login belongs into user and password_file");
    REFUSED(KAFKA "'kafka://a', tls: {ca_file: /ca}}",
            ".url: kafka:// is without TLS, but there are settings of tls; expected kafkas://");
    REFUSED(KAFKA "'kafka://a', password_env: P}", ".user: a password needs a user");
    REFUSED(KAFKA "'kafka://a', user: u}",
            ".user: a user needs a password: set password_file or password_env");
    REFUSED(KAFKA "'kafka://a', sasl: scram-sha-256}",
            ".sasl: a mechanism needs a login: set user and password_file");
    REFUSED(KAFKA "'kafka://a', sasl: md5}",
            ".sasl: expected plain, scram-sha-256 or scram-sha-512, found 'md5'");
}

/* A consumer that differs from CONSUMER in its source and URL. */
static void expect_url(const char *source, const char *url, const char *shown)
{
    char text[600];
    struct config c;
    struct buf printed;

    snprintf(text, sizeof(text), ACCOUNTS "consumers: [" CONSUMER ", source: %s, url: '%s'}]\n",
             source, url);
    buf_init(&printed, 1 << 20);
    must_load(text, &c);
    config_yaml(&c, CONFIG_YAML_PLAIN, &printed);
    assert_null(strstr(printed.p, "geheim"));
    if (!strstr(printed.p, shown))
        fail_msg("%s is not shown: %s", shown, strstr(printed.p, "consumers:"));
    config_deinit(&c);
    buf_deinit(&printed);
}

static void a_password_in_the_url_is_not_shown(void **state)
{
    (void)state;
    expect_url("redis-list", "redis://u:geheim@h", "redis://u:***@h");
    expect_url("redis-list", "redis://u@h", "redis://u@h");
    expect_url("redis-list", "redis://:ge@geheim@h:1/0", "redis://:***@h:1/0");
    expect_url("postgres", "postgresql://h/d?password=geheim&user=u&sslpassword=geheim",
               "postgresql://h/d?password=***&user=u&sslpassword=***");
    expect_url("nats", "nats://geheim@h:4222", "nats://***@h:4222");
    expect_url("nats", "tls://geheim@h", "tls://***@h");
    expect_url("nats", "nats://u:geheim@h,nats://u:geheim@g", "nats://u:***@g");
    REFUSED(CONSUMER ", url: 'geheim'}",
            ".url: expected a URL like redis://host:6379/0, or nothing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_setting_of_a_consumer_is_read),
        T(what_is_printed_of_a_consumer_reads_back_as_the_same),
        T(what_a_consumer_must_have_is_missed),
        T(settings_of_a_consumer_that_contradict_each_other_are_refused),
        T(settings_of_a_kafka_consumer_that_make_no_sense_are_refused),
        T(a_password_in_the_url_is_not_shown),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
