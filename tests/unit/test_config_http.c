/* SPDX-License-Identifier: MIT */
#include "config_world.h"

/* -- reading -- */

static void without_a_word_there_is_http_for_this_machine_only(void **state)
{
    struct config c;

    (void)state;
    must_load("", &c);
    assert_null(config_listens_beyond(&c).p);
    assert_int_equal(c.http.connections, 10000);
    assert_int_equal(c.http.per_address, 1000);
    assert_int_equal(c.http.idle_s, 60);
    assert_int_equal(c.http.request_s, 30);
    assert_int_equal(c.http.body_max_bytes, 8 * 1024 * 1024);
    assert_int_equal(c.http.backlog_max, 0);
    assert_string_equal(c.http.tls_cert_file, "");
    assert_string_equal(c.http.tls_key_file, "");
    assert_string_equal(c.http.tls_client_ca_file, "");
    assert_int_equal(c.producers_count, 0);
    assert_int_equal(c.hooks_count, 0);
    config_deinit(&c);
}

static void a_producer_may_purge_urls_and_keys_of_everything_when_no_more_is_said(void **state)
{
    struct config c;

    (void)state;
    must_load("producers: [" PRODUCER "}]", &c);
    assert_int_equal(c.producers_count, 1);
    assert_string_equal(c.producers[0].name, "cms");
    assert_string_equal(c.producers[0].token_sha256, A64);
    assert_int_equal(c.producers[0].accounts.count, 0);
    assert_int_equal(c.producers[0].services.count, 0);
    assert_int_equal(c.producers[0].hosts.count, 0);
    assert_int_equal(c.producers[0].kinds, PRODUCER_URL | PRODUCER_KEY);
    assert_int_equal(c.producers[0].lanes, 7);
    assert_int_equal(c.producers[0].jobs_per_minute, 0);
    assert_false(c.producers[0].admin);
    config_deinit(&c);
}

static const char everything[] =
    "listen: \"[::]:8126\"\n"
    "http: {connections: 5, per_address: 2, idle_s: 7, request_s: 8, body_max_bytes: 4096,\n"
    "  backlog_max: 9, tls_cert_file: /c, tls_key_file: /k, tls_client_ca_file: /ca}\n"
    "accounts:\n"
    "  - {name: one, services: [{id: S1, name: news}]}\n"
    "  - {name: two, services: [{id: S2}, {id: S3}], default_service: S2}\n"
    "producers:\n"
    "  - name: cms\n"
    "    token_sha256: " B64 "\n"
    "    accounts: [one, two]\n"
    "    services: [news, S3]\n"
    "    hosts: [www.example.com, \"*.example.net\"]\n"
    "    kinds: [all, url]\n"
    "    lanes: [bulk]\n"
    "    jobs_per_minute: 6\n"
    "    admin: true\n"
    "  - name: feed\n"
    "    token_sha256: " A64 "\n"
    "hooks:\n"
    "  - name: contentful\n"
    "    account: two\n"
    "    service: S3\n"
    "    lane: urgent\n"
    "    soft: true\n"
    "    secret_file: /run/secret\n"
    "    secret_env: OTHER\n"
    "    signature:\n"
    "      scheme: hmac-sha1\n"
    "      encoding: base64url\n"
    "      header: X-Sig\n"
    "      value: \"t={time},v1={digest}\"\n"
    "      signs: \"{time}\\n{headers}\\\\n{body}\"\n"
    "      time_header: X-Time\n"
    "      headers_header: X-Headers\n"
    "      tolerance_s: 0\n"
    "    when: [\"sys.type=Entry, or so\", \"header:x-topic=a\"]\n"
    "    keys: [\"a-{sys.id}\", b]\n"
    "    urls: [\"https://www.example.com/{slug}\", \"https://www.example.com/a:\"]\n"
    "    max_targets: 3\n"
    "    repeat_after_ms: 4\n"
    "  - {name: second, account: one, urls: [x], secret_env: E, signature: {scheme: token, "
    "header: x}}\n";

static void every_setting_of_http_and_producers_is_read(void **state)
{
    struct config c;

    (void)state;
    must_load(everything, &c);
    assert_non_null(config_listens_beyond(&c).p);
    assert_int_equal(c.http.connections, 5);
    assert_int_equal(c.http.per_address, 2);
    assert_int_equal(c.http.idle_s, 7);
    assert_int_equal(c.http.request_s, 8);
    assert_int_equal(c.http.body_max_bytes, 4096);
    assert_int_equal(c.http.backlog_max, 9);
    assert_string_equal(c.http.tls_cert_file, "/c");
    assert_string_equal(c.http.tls_key_file, "/k");
    assert_string_equal(c.http.tls_client_ca_file, "/ca");
    assert_int_equal(c.producers_count, 2);
    assert_string_equal(c.producers[0].token_sha256, B64);
    assert_string_equal(c.producers[0].accounts.at[1], "two");
    assert_string_equal(c.producers[0].services.at[0], "news");
    assert_int_equal(c.producers[0].hosts.count, 2);
    assert_string_equal(c.producers[0].hosts.at[1], "*.example.net");
    assert_int_equal(c.producers[0].kinds, PRODUCER_ALL | PRODUCER_URL);
    assert_int_equal(c.producers[0].lanes, 1 << LANE_BULK);
    assert_int_equal(c.producers[0].jobs_per_minute, 6);
    assert_true(c.producers[0].admin);
    assert_string_equal(c.producers[1].name, "feed");
    config_deinit(&c);
}

static void every_setting_of_a_hook_is_read(void **state)
{
    struct config c;
    const struct config_hook *h;

    (void)state;
    must_load(everything, &c);
    assert_int_equal(c.hooks_count, 2);
    h = &c.hooks[0];
    assert_string_equal(h->name, "contentful");
    assert_string_equal(h->account, "two");
    assert_int_equal(h->services.count, 1);
    assert_string_equal(h->services.at[0], "S3");
    assert_int_equal(h->lane, LANE_URGENT);
    assert_true(h->soft);
    assert_string_equal(h->secret_file, "/run/secret");
    assert_string_equal(h->secret_env, "OTHER");
    assert_int_equal(h->signature.scheme, HOOK_HMAC_SHA1);
    assert_int_equal(h->signature.encoding, HOOK_BASE64URL);
    assert_string_equal(h->signature.header, "X-Sig");
    assert_string_equal(h->signature.value, "t={time},v1={digest}");
    assert_string_equal(h->signature.signs, "{time}\n{headers}\\n{body}");
    assert_string_equal(h->signature.time_header, "X-Time");
    assert_string_equal(h->signature.headers_header, "X-Headers");
    assert_int_equal(h->signature.tolerance_s, 0);
    assert_int_equal(h->when.count, 2);
    assert_string_equal(h->when.at[0], "sys.type=Entry, or so"); /* not split at the comma */
    assert_string_equal(h->keys.at[0], "a-{sys.id}");
    assert_string_equal(h->urls.at[0], "https://www.example.com/{slug}");
    assert_int_equal(h->max_targets, 3);
    assert_int_equal(h->repeat_after_ms, 4);
    assert_int_equal(c.hooks[1].signature.scheme, HOOK_TOKEN);
    assert_int_equal(c.hooks[1].signature.tolerance_s, 300);
    config_deinit(&c);
}

static void what_is_printed_of_them_reads_back_as_the_same(void **state)
{
    struct config c, again;
    struct buf plain, text;

    (void)state;
    must_load(everything, &c);
    buf_init(&plain, 1 << 20);
    buf_init(&text, 1 << 20);
    config_yaml(&c, CONFIG_YAML_PLAIN, &plain);
    config_yaml(&c, CONFIG_YAML_EXPLAINED, &text);
    must_load(text.p, &again);
    buf_clear(&text);
    config_yaml(&again, CONFIG_YAML_PLAIN, &text);
    assert_string_equal(text.p, plain.p);
    assert_string_equal(again.hooks[0].signature.signs, c.hooks[0].signature.signs);
    assert_string_equal(again.hooks[0].urls.at[1], "https://www.example.com/a:");
    assert_int_equal(again.producers[0].kinds, c.producers[0].kinds);
    buf_deinit(&plain);
    buf_deinit(&text);
    config_deinit(&c);
    config_deinit(&again);
}

/* Extracts the example from the comments, between "# For example:" and the next empty line. */
static void uncomment(const char *sample, struct buf *out)
{
    struct span rest = span_str(sample), line;
    bool example = false;

    while (rest.n) {
        line = span_of(rest.p, strcspn(rest.p, "\n"));
        rest = span_of(line.p + line.n + 1, rest.n - line.n - 1);
        example = line.n && (example || span_is(line, "# For example:"));
        if (example && !span_is(line, "# For example:"))
            line = line.n > 2 ? span_of(line.p + 2, line.n - 2) : SPAN("");
        buf_printf(out, "%.*s\n", (int)line.n, line.p);
    }
}

static void the_examples_of_the_sample_are_good_once_they_are_no_comments(void **state)
{
    FILE *f = fopen("sample.yaml", "w+");
    struct config c;
    struct buf text;
    char *sample = NULL;
    size_t room = 0;

    (void)state;
    assert_non_null(f);
    config_print_sample(f);
    rewind(f);
    assert_true(getdelim(&sample, &room, '\0', f) > 0);
    fclose(f);
    unlink("sample.yaml");
    buf_init(&text, 1 << 20);
    uncomment(sample, &text);
    setenv("FASTLY_SERVICE_ID", "S1", 1);
    must_load(text.p, &c);
    assert_int_equal(c.producers_count, 1);
    assert_string_equal(c.producers[0].name, "cms");
    assert_int_equal(c.hooks_count, 1);
    assert_string_equal(c.hooks[0].signature.signs, "{method}\n{path}\n{headers}\n{body}");
    config_deinit(&c);
    buf_deinit(&text);
    free(sample);
}

static void the_environment_has_http_and_no_producers(void **state)
{
    struct config c;

    (void)state;
    setenv("PURGELINE_HTTP_CONNECTIONS", "77", 1);
    setenv("PURGELINE_HTTP_TLS_CERT_FILE", "/cert", 1);
    setenv("PURGELINE_HTTP_TLS_KEY_FILE", "/key", 1);
    setenv("PURGELINE_TOKEN_SHA256", "x", 1);
    must_load("http: {connections: 5, idle_s: 6}\nproducers: [" PRODUCER "}]", &c);
    assert_int_equal(c.http.connections, 77);
    assert_int_equal(c.http.idle_s, 6);
    assert_string_equal(c.http.tls_key_file, "/key");
    assert_string_equal(c.producers[0].token_sha256, A64);
    config_deinit(&c);
    unsetenv("PURGELINE_TOKEN_SHA256");
    setenv("PURGELINE_HTTP_IDLE_S", "0", 1);
    assert_refused("", "PURGELINE_HTTP_IDLE_S: expected a number from 1 to 3600, found '0'");
}

static void load_hooks(unsigned count, int expected)
{
    struct buf text;
    struct config c;

    buf_init(&text, 1 << 20);
    buf_printf(&text, "hooks:\n");
    for (unsigned i = 0; i < count; i++)
        buf_printf(&text, "  - {name: h%u, urls: [u], " SECRET "}\n", i);
    assert_int_equal(load(text.p, &c), expected);
    if (expected == 0)
        config_deinit(&c);
    buf_deinit(&text);
}

static void there_may_be_256_hooks_and_no_more(void **state)
{
    (void)state;
    assert_int_equal(setting_list(SETTING_HOOK)->max, 256);
    assert_int_equal(setting_list(SETTING_PRODUCER)->max, 1024); /* the same rule */
    load_hooks(255, 0);
    load_hooks(256, 0);
    load_hooks(257, -EINVAL);
    assert_string_equal(error.text, "purgeline.yaml:1: hooks: expected at most 256 entries");
}

/* -- refusals of one setting -- */

static void what_a_producer_or_hook_must_have_is_missed(void **state)
{
    (void)state;
    assert_refused(
        "producers:\n  - name: a\n",
        "purgeline.yaml:2: producers[0].token_sha256: missing: a producer is known by it, by "
        "`from` or by `certificate`");
    assert_refused("producers:\n  - token_sha256: " A64 "\n    kinds: [url]\n",
                   "purgeline.yaml:2: producers[0].name: missing");
    assert_refused("hooks:\n  - keys: [a]\n", "purgeline.yaml:2: hooks[0].name: missing");
}

static void a_token_where_its_digest_belongs_is_not_shown(void **state)
{
    (void)state;
    assert_refused(
        "producers:\n  - name: a\n    token_sha256: hunter2\n",
        "purgeline.yaml:3: producers[0].token_sha256: expected 64 hex digits, or nothing");
    assert_refused(
        "producers:\n  - name: a\n    token_sha256: [hunter2]\n",
        "purgeline.yaml:3: producers[0].token_sha256: expected 64 hex digits, or nothing, "
        "found a list");
}

static void a_bad_word_of_a_list_is_named_by_its_place(void **state)
{
    (void)state;
    assert_refused(
        "producers:\n  - name: a\n    token_sha256: " A64
        "\n    hosts:\n      - a.b\n      - https://a.b\n",
        "purgeline.yaml:6: producers[0].hosts[1]: expected a host like www.example.com or "
        "*.example.com, found 'https://a.b'");
    assert_refused("producers:\n  - " PRODUCER ", kinds: [url, purge]}\n",
                   "purgeline.yaml:2: producers[0].kinds[1]: expected url, key or all, found "
                   "'purge'");
    assert_refused("producers:\n  - " PRODUCER ", kinds: []}\n",
                   "purgeline.yaml:2: producers[0].kinds: expected some of url, key and all, found "
                   "nothing");
    assert_refused(
        "producers:\n  - " PRODUCER ", lanes: bulk}\n",
        "purgeline.yaml:2: producers[0].lanes: expected some of urgent, normal and bulk, "
        "found a single value");
    assert_refused("hooks:\n  - name: h\n    when: [a]\n",
                   "purgeline.yaml:3: hooks[0].when[0]: expected a condition like path=value or "
                   "header:name=value, found 'a'");
}

static void an_unknown_setting_of_theirs_is_refused_with_the_one_that_was_meant(void **state)
{
    (void)state;
    assert_refused("http: {conections: 1}\n",
                   "purgeline.yaml:1: http.conections: no such setting; did you mean connections?");
    assert_refused("hooks: [{name: h, signature: {shceme: x}}]\n",
                   "purgeline.yaml:1: hooks[0].signature.shceme: no such setting; did you mean "
                   "scheme?");
    assert_refused("producer: []\n",
                   "purgeline.yaml:1: producer: no such setting; did you mean producers?");
    assert_refused("kinds: [url]\n",
                   "purgeline.yaml:1: kinds: no such setting here; it is one of a producer");
    assert_refused("signature: {}\n",
                   "purgeline.yaml:1: signature: no such setting here; it is one of a hook");
    assert_refused("hooks: [{name: h, signature: {scheme: md5}}]\n",
                   "purgeline.yaml:1: hooks[0].signature.scheme: expected hmac-sha256, hmac-sha1, "
                   "token or unsigned, found 'md5'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(without_a_word_there_is_http_for_this_machine_only),
        T(a_producer_may_purge_urls_and_keys_of_everything_when_no_more_is_said),
        T(every_setting_of_http_and_producers_is_read),
        T(every_setting_of_a_hook_is_read),
        T(what_is_printed_of_them_reads_back_as_the_same),
        T(the_examples_of_the_sample_are_good_once_they_are_no_comments),
        T(the_environment_has_http_and_no_producers),
        T(there_may_be_256_hooks_and_no_more),
        T(what_a_producer_or_hook_must_have_is_missed),
        T(a_token_where_its_digest_belongs_is_not_shown),
        T(a_bad_word_of_a_list_is_named_by_its_place),
        T(an_unknown_setting_of_theirs_is_refused_with_the_one_that_was_meant),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
