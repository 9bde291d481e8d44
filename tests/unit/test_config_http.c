/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "config_file.h"
#include "config_yaml.h"
#include "setting.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define PRODUCER "{name: cms, token_sha256: " A64
#define SECRET "secret_env: HOOK_SECRET, signature: {header: x-signature}"
#define HOOK "{name: h, urls: [u], " SECRET

static char error[1024];

static int load(const char *text, struct config *out)
{
    FILE *f = fopen("purgeline.yaml", "w");
    int rc;

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
    rc = config_load("purgeline.yaml", out, error, sizeof(error));
    unlink("purgeline.yaml");
    return rc;
}

static void must_load(const char *text, struct config *out)
{
    if (load(text, out) < 0)
        fail_msg("%s: %s", text, error);
}

static void assert_loads(const char *text)
{
    struct config c;

    must_load(text, &c);
    config_deinit(&c);
}

static void assert_refused(const char *text, const char *sentence)
{
    struct config c;

    if (load(text, &c) == 0)
        fail_msg("%s was taken", text);
    assert_string_equal(error, sentence);
}

static int clean_environment(void **state)
{
    size_t count;
    const struct setting *table = setting_table(&count);
    char name[128];

    (void)state;
    for (size_t i = 0; i < count; i++)
        if (setting_env_name(&table[i], name, sizeof(name)))
            unsetenv(name);
    unsetenv("FASTLY_SERVICE_ID");
    unsetenv("HOOK_SECRET");
    setenv("PURGELINE_DATA_DIR", "/tmp/data", 1);
    return 0;
}

static int enter_folder(void **state)
{
    static char folder[64];

    snprintf(folder, sizeof(folder), "%s", "/tmp/purgeline-config-XXXXXX");
    *state = mkdtemp(folder);
    return *state && chdir(folder) == 0 ? 0 : -1;
}

static int leave_folder(void **state)
{
    return chdir("/") == 0 && rmdir(*state) == 0 ? 0 : -1;
}

/* -- reading -- */

static void without_a_word_there_is_http_for_this_machine_only(void **state)
{
    struct config c;

    (void)state;
    must_load("", &c);
    assert_true(config_listens_on_loopback(&c));
    assert_int_equal(c.http.connections, 10000);
    assert_int_equal(c.http.per_address, 0);
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
    assert_false(config_listens_on_loopback(&c));
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
    assert_string_equal(h->service, "S3");
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
    assert_string_equal(h->when.at[0], "sys.type=Entry, or so"); /* no comma cuts it */
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

/* Takes the examples out of their comments: from "# For example:" to the next empty line. */
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

/* `rest` is all that each must have, up to a number. */
static void load_many(const char *list, const char *rest, unsigned count, int expected)
{
    struct buf text;
    struct config c;

    buf_init(&text, 1 << 20);
    buf_printf(&text, "%s:\n", list);
    for (unsigned i = 0; i < count; i++)
        buf_printf(&text, "  - {name: n%u, %s%064u}\n", i, rest, i);
    assert_int_equal(load(text.p, &c), expected);
    if (expected == 0)
        config_deinit(&c);
    buf_deinit(&text);
}

static void there_may_be_1024_producers_and_256_hooks(void **state)
{
    const char *producer = "token_sha256: ";
    const char *hook = "urls: [u], " SECRET ", repeat_after_ms: ";

    (void)state;
    load_many("producers", producer, 1024, 0);
    load_many("producers", producer, 1025, -EINVAL);
    assert_string_equal(error, "purgeline.yaml:1: producers: expected at most 1024 entries");
    load_many("hooks", hook, 256, 0);
    load_many("hooks", hook, 257, -EINVAL);
    assert_string_equal(error, "purgeline.yaml:1: hooks: expected at most 256 entries");
}

/* -- refusals of one setting -- */

static void what_a_producer_or_hook_must_have_is_missed(void **state)
{
    (void)state;
    assert_refused("producers:\n  - name: a\n",
                   "purgeline.yaml:2: producers[0].token_sha256: missing");
    assert_refused("producers:\n  - token_sha256: " A64 "\n    kinds: [url]\n",
                   "purgeline.yaml:2: producers[0].name: missing");
    assert_refused("hooks:\n  - keys: [a]\n", "purgeline.yaml:2: hooks[0].name: missing");
}

static void a_token_where_its_digest_belongs_is_not_shown(void **state)
{
    (void)state;
    assert_refused("producers:\n  - name: a\n    token_sha256: hunter2\n",
                   "purgeline.yaml:3: producers[0].token_sha256: expected 64 hex digits");
    assert_refused("producers:\n  - name: a\n    token_sha256: [hunter2]\n",
                   "purgeline.yaml:3: producers[0].token_sha256: expected 64 hex digits, found a "
                   "list");
}

static void a_bad_word_of_a_list_is_named_by_its_place(void **state)
{
    (void)state;
    assert_refused("producers:\n  - name: a\n    token_sha256: " A64
                   "\n    hosts:\n      - a.b\n      - https://a.b\n",
                   "purgeline.yaml:6: producers[0].hosts[1]: expected a host as www.example.com or "
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
                   "purgeline.yaml:3: hooks[0].when[0]: expected a condition as path=value or "
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

/* -- settings that must fit each other -- */

static void names_and_tokens_of_producers_are_their_own(void **state)
{
    (void)state;
    assert_loads("producers:\n  - " PRODUCER "}\n  - {name: b, token_sha256: " B64 "}\n"
                 "hooks: [{name: cms, urls: [u], " SECRET "}]\n");
    assert_refused(
        "producers:\n  - " PRODUCER "}\n  - {name: cms, token_sha256: " B64 "}\n",
        "purgeline.yaml:3: producers[1].name: 'cms' is the name of producers[0] already");
    assert_refused(
        "producers:\n  - " PRODUCER "}\n  - {name: b, token_sha256: " A64 "}\n",
        "purgeline.yaml:3: producers[1].token_sha256: it is that of producers[0] already");
    assert_refused("hooks:\n  - " HOOK "}\n  - " HOOK "}\n",
                   "purgeline.yaml:3: hooks[1].name: 'h' is the name of hooks[0] already");
}

#define TWO                                                                                        \
    "accounts: [{name: a, services: [{id: S1, name: news}]}, {name: b, services: [{id: S2}]}]\n"

static void accounts_and_services_of_a_producer_exist(void **state)
{
    (void)state;
    assert_loads(TWO "producers: [" PRODUCER ", accounts: [b, a], services: [news, S2, S1]}]\n");
    assert_loads(TWO "producers: [" PRODUCER ", services: [news, S2]}]\n");
    assert_refused(TWO "producers: [" PRODUCER ", accounts: [a, c]}]\n",
                   "purgeline.yaml:2: producers[0].accounts[1]: there is no account 'c'");
    assert_refused(TWO "producers: [" PRODUCER ", accounts: [a], services: [S1, S2]}]\n",
                   "purgeline.yaml:2: producers[0].services[1]: 'S2' is not among the services of "
                   "its accounts");
    assert_refused(TWO "producers: [" PRODUCER ", services: [shop]}]\n",
                   "purgeline.yaml:2: producers[0].services[0]: 'shop' is not among the services "
                   "of its accounts");
}

static void account_and_service_of_a_hook_exist(void **state)
{
    (void)state;
    assert_loads("hooks: [" HOOK ", account: main}]\n");
    assert_loads(TWO "hooks: [" HOOK ", account: a, service: news}]\n");
    assert_refused(TWO "hooks: [" HOOK "}]\n",
                   "purgeline.yaml:2: hooks[0].account: there are 2 accounts; one must be named");
    assert_refused(TWO "hooks: [" HOOK ", account: c}]\n",
                   "purgeline.yaml:2: hooks[0].account: there is no account 'c'");
    assert_refused(TWO "hooks: [" HOOK ", account: b, service: news}]\n",
                   "purgeline.yaml:2: hooks[0].service: 'news' is not among the services of "
                   "account b");
}

static void keys_of_a_hook_need_a_service(void **state)
{
    (void)state;
    assert_loads("accounts: [{services: [{id: S1}]}]\nhooks: [" HOOK ", keys: [k]}]\n");
    assert_loads("accounts: [{services: [{id: S1}, {id: S2}], default_service: S2}]\n"
                 "hooks: [" HOOK ", keys: [k]}]\n");
    assert_loads("accounts: [{services: [{id: S1}, {id: S2}]}]\n"
                 "hooks: [" HOOK ", keys: [k], service: S1}]\n");
    assert_loads("accounts: [{services: [{id: S1}, {id: S2}]}]\nhooks: [" HOOK "}]\n");
    assert_refused("accounts: [{services: [{id: S1}, {id: S2}]}]\nhooks: [" HOOK ", keys: [k]}]\n",
                   "purgeline.yaml:2: hooks[0].service: keys need one, and account main has no "
                   "default_service");
    assert_refused("hooks: [" HOOK ", keys: [k]}]\n",
                   "purgeline.yaml:1: hooks[0].service: keys need one, and account main has no "
                   "services");
}

static void a_hook_purges_something(void **state)
{
    (void)state;
    assert_refused("hooks:\n  - name: h\n    "
                   "secret_env: E\n    signature: {header: x}\n",
                   "purgeline.yaml:2: hooks[0].keys: with neither keys nor urls there is nothing "
                   "to purge");
}

static void a_hook_is_signed_or_for_this_machine_only(void **state)
{
    (void)state;
    assert_loads("hooks: [{name: h, urls: [u], signature: {scheme: unsigned}}]\n");
    assert_loads("listen: \"\"\nhooks: [{name: h, urls: [u], signature: {scheme: unsigned}}]\n");
    assert_refused("listen: 0.0.0.0:80\nproducers: [" PRODUCER "}]\n"
                   "hooks: [{name: h, urls: [u], signature: {scheme: unsigned}}]\n",
                   "purgeline.yaml:3: hooks[0].signature.scheme: unsigned lets anybody purge who "
                   "reaches 0.0.0.0:80: have requests signed, or listen on 127.0.0.1 or [::1]");
    assert_refused("hooks: [{name: h, urls: [u], signature: {header: x}}]\n",
                   "purgeline.yaml:1: hooks[0].secret_env: one of secret_file and secret_env must "
                   "say where the secret is");
    assert_loads("hooks: [{name: h, urls: [u], secret_file: /s, signature: {header: x}}]\n");
    assert_refused(
        "hooks: [{name: h, urls: [u], secret_file: /s}]\n",
        "purgeline.yaml:1: hooks[0].signature.header: expected the header that holds the "
        "digest");
    assert_refused(
        "hooks: [{name: h, urls: [u], secret_file: /s, signature: {scheme: token}}]\n",
        "purgeline.yaml:1: hooks[0].signature.header: expected the header that holds the "
        "secret");
}

#define SIGNED(more)                                                                               \
    "hooks: [{name: h, urls: [u], secret_env: E, signature: {header: x, " more "}}]\n"

static void what_is_signed_comes_with_the_request(void **state)
{
    (void)state;
    assert_loads(SIGNED("value: \"sha256={digest}\""));
    assert_refused(SIGNED("value: sha256"),
                   "purgeline.yaml:1: hooks[0].signature.value: expected {digest} in it");
    assert_loads(SIGNED("scheme: token, value: Bearer"));
    assert_loads(SIGNED("signs: \"{time}.{body}\", value: \"t={time},v1={digest}\""));
    assert_loads(SIGNED("signs: \"{time}.{body}\", time_header: t"));
    assert_refused(
        SIGNED("signs: \"{time}.{body}\""),
        "purgeline.yaml:1: hooks[0].signature.time_header: {time} is signed, and neither "
        "value nor this header holds it");
    assert_loads(SIGNED("signs: \"{headers}.{body}\", headers_header: h"));
    assert_refused(SIGNED("signs: \"{headers}.{body}\""),
                   "purgeline.yaml:1: hooks[0].signature.headers_header: {headers} are signed, and "
                   "no header names them");
}

static void others_than_this_machine_need_a_name(void **state)
{
    static const char *const here[] = {"127.0.0.1:1", "127.9.9.9:1", "localhost:1", "\"[::1]:1\"",
                                       "\"\""};
    static const char *const there[] = {"0.0.0.0:1", "\"[::]:1\"", "10.0.0.1:1",
                                        "127.0.0.1.example.com:1", "localhost.example.com:1"};
    char text[512];
    struct config c;

    (void)state;
    for (size_t i = 0; i < array_len(here); i++) {
        snprintf(text, sizeof(text), "listen: %s\n", here[i]);
        assert_loads(text);
    }
    for (size_t i = 0; i < array_len(there); i++) {
        snprintf(text, sizeof(text), "listen: %s\n", there[i]);
        assert_int_equal(load(text, &c), -EINVAL);
        snprintf(text, sizeof(text), "listen: %s\nproducers: [" PRODUCER "}]\n", there[i]);
        assert_loads(text);
    }
    assert_refused("senders: 1\nlisten: 0.0.0.0:80\n",
                   "purgeline.yaml:2: listen: without producers anybody who reaches 0.0.0.0:80 may "
                   "purge: name them under producers, or listen on 127.0.0.1 or [::1]");
}

static void certificate_and_key_go_together(void **state)
{
    (void)state;
    assert_loads("http: {tls_cert_file: /c, tls_key_file: /k, tls_client_ca_file: /ca}\n");
    assert_refused("http:\n  tls_cert_file: /c\n",
                   "purgeline.yaml:1: http.tls_key_file: tls_cert_file needs the key that belongs "
                   "to it");
    assert_refused("http:\n  tls_key_file: /k\n",
                   "purgeline.yaml:1: http.tls_cert_file: tls_key_file needs the certificate that "
                   "belongs to it");
    assert_refused(
        "http:\n  tls_client_ca_file: /ca\n",
        "purgeline.yaml:2: http.tls_client_ca_file: clients show certificates only where "
        "tls_cert_file and tls_key_file are");
}

/* -- purgeline check -- */

static char findings[4096];

static void on_finding(void *ctx, const struct check_finding *f)
{
    size_t n = strlen(findings);

    (void)ctx;
    snprintf(findings + n, sizeof(findings) - n, "%s %s: %s\n", check_grade_names[f->grade],
             f->subject, f->what);
}

static void assert_finds(const char *text, const char *expected)
{
    struct config c;

    must_load(text, &c);
    *findings = '\0';
    check_http(&c, on_finding, NULL);
    config_deinit(&c);
    assert_string_equal(findings, expected);
}

static void check_says_who_may_push(void **state)
{
    (void)state;
    assert_finds("listen: \"\"\n", "");
    assert_finds("", "ok http: anybody on this machine may push to 127.0.0.1:8126\n");
    assert_finds("producers: [" PRODUCER "}]\n", "ok http: producers may push to 127.0.0.1:8126\n");
    assert_finds("listen: 0.0.0.0:1\nproducers: [" PRODUCER "}]\n",
                 "warn http: tokens of producers come to 0.0.0.0:1 unencrypted\n");
}

static void put(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void check_looks_at_the_files_of_tls(void **state)
{
    char text[1024], expected[1024], here[256];

    (void)state;
    assert_non_null(getcwd(here, sizeof(here)));
    snprintf(text, sizeof(text),
             "listen: 0.0.0.0:1\nproducers: [" PRODUCER "}]\n"
             "http: {tls_cert_file: %s/c, tls_key_file: %s/k, tls_client_ca_file: %s}\n",
             here, here, here);
    put("c", "", 0644);
    snprintf(expected, sizeof(expected),
             "ok http: producers may push to 0.0.0.0:1\n"
             "fail http: http.tls_cert_file: cannot read %s/c: it is empty\n"
             "fail http: http.tls_client_ca_file: cannot read %s: it is no file\n"
             "fail http: http.tls_key_file: cannot read %s/k: No such file or directory\n",
             here, here, here);
    assert_finds(text, expected);
    put("c", "certificate", 0644);
    put("k", "key", 0644);
    snprintf(text, sizeof(text), "http: {tls_cert_file: %s/c, tls_key_file: %s/k}\n", here, here);
    snprintf(expected, sizeof(expected),
             "ok http: anybody on this machine may push to 127.0.0.1:8126\n"
             "warn http: http.tls_key_file: others may read %s/k\n",
             here);
    assert_finds(text, expected);
    put("k", "key", 0660);
    snprintf(expected, sizeof(expected),
             "ok http: anybody on this machine may push to 127.0.0.1:8126\n"
             "warn http: http.tls_key_file: others may change %s/k\n",
             here);
    assert_finds(text, expected);
    put("k", "key", 0640);
    assert_finds(text, "ok http: anybody on this machine may push to 127.0.0.1:8126\n");
    unlink("c");
    unlink("k");
}

static void check_looks_for_the_secrets_of_hooks(void **state)
{
    (void)state;
    assert_finds("hooks: [" HOOK "}]\n",
                 "ok http: anybody on this machine may push to 127.0.0.1:8126\n"
                 "fail hook: hook h: no secret: set $HOOK_SECRET or secret_file\n");
    setenv("HOOK_SECRET", "hunter2", 1);
    assert_finds("hooks: [" HOOK "}]\n",
                 "ok http: anybody on this machine may push to 127.0.0.1:8126\n"
                 "ok hook: h has its secret\n");
    assert_finds("hooks: [{name: h, urls: [u], signature: {scheme: unsigned}}]\n",
                 "ok http: anybody on this machine may push to 127.0.0.1:8126\n"
                 "warn hook: h: anybody on this machine may post\n");
}

#define T(f) cmocka_unit_test_setup(f, clean_environment)

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
        T(there_may_be_1024_producers_and_256_hooks),
        T(what_a_producer_or_hook_must_have_is_missed),
        T(a_token_where_its_digest_belongs_is_not_shown),
        T(a_bad_word_of_a_list_is_named_by_its_place),
        T(an_unknown_setting_of_theirs_is_refused_with_the_one_that_was_meant),
        T(names_and_tokens_of_producers_are_their_own),
        T(accounts_and_services_of_a_producer_exist),
        T(account_and_service_of_a_hook_exist),
        T(keys_of_a_hook_need_a_service),
        T(a_hook_purges_something),
        T(a_hook_is_signed_or_for_this_machine_only),
        T(what_is_signed_comes_with_the_request),
        T(others_than_this_machine_need_a_name),
        T(certificate_and_key_go_together),
        T(check_says_who_may_push),
        T(check_looks_at_the_files_of_tls),
        T(check_looks_for_the_secrets_of_hooks),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
