/* SPDX-License-Identifier: MIT */
#include "config_world.h"

#include <sys/stat.h>

#include "check.h"

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

static void a_hook_may_be_for_several_services(void **state)
{
    (void)state;
    assert_loads("accounts: [{services: [{id: S1}, {id: S2, name: shop}]}]\n"
                 "hooks: [" HOOK ", keys: [k], service: [S1, shop]}]\n");
    assert_loads("accounts: [{services: [{id: S1}], default_service: S1}]\n"
                 "hooks: [" HOOK ", keys: [k], service: \"\"}]\n");
    assert_loads("accounts: [{services: [{id: S1}], default_service: S1}]\n"
                 "hooks: [" HOOK ", keys: [k], service: []}]\n");
    assert_refused("accounts: [{services: [{id: S1}, {id: S2}]}]\n"
                   "hooks: [" HOOK ", keys: [k], service: [S1, S3]}]\n",
                   "purgeline.yaml:2: hooks[0].service[1]: 'S3' is not among the services of "
                   "account main");
    assert_refused("accounts: [{services: [{id: S1}, {id: S2}]}]\n"
                   "hooks: [" HOOK ", keys: [k], service: [S1, \"\"]}]\n",
                   "purgeline.yaml:2: hooks[0].service[1]: expected a service's id or name, found "
                   "nothing");
    assert_refused("accounts: [{services: [{id: S1}, {id: S2}]}]\n"
                   "hooks: [" HOOK ", keys: [k], service: [S1, S2], max_targets: 5001}]\n",
                   "purgeline.yaml:2: hooks[0].max_targets: 5001 targets for each of 2 services "
                   "are more than 10000");
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
    assert_loads(SIGNED("scheme: token, value: \"Bearer {digest}\""));
    assert_refused(SIGNED("scheme: token, value: Bearer"),
                   "purgeline.yaml:1: hooks[0].signature.value: each part wants {digest} or "
                   "{time}, once");
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

#define WITH_CA "http: {tls_cert_file: /c, tls_key_file: /k, tls_client_ca_file: /ca}\n"

static void what_producers_are_known_by_means_one_of_them(void **state)
{
    (void)state;
    assert_loads("producers:\n  - {name: a, from: [10.1.0.0/16, 10.1.2.3, unix]}\n"
                 "  - {name: b, from: [10.2.0.0/16, \"fd00::/8\"]}\n"
                 "  - {name: c, from: [\"::1\"], token_sha256: " B64 "}\n");
    assert_refused("producers:\n  - {name: a, from: [192.0.2.1, 10.1.0.0/16]}\n"
                   "  - {name: b, from: [192.0.2.2, 10.1.2.0/24]}\n",
                   "purgeline.yaml:3: producers[1].from[1]: '10.1.2.0/24' meets '10.1.0.0/16' of "
                   "producers[0]: an address must mean one producer");
    assert_refused("producers:\n  - {name: a, from: [unix]}\n  - {name: b, from: [unix]}\n",
                   "purgeline.yaml:3: producers[1].from[0]: 'unix' meets 'unix' of producers[0]: "
                   "an address must mean one producer");
    assert_refused("producers:\n  - {name: a, from: [10.1.2.3/16]}\n",
                   "purgeline.yaml:2: producers[0].from[0]: expected an address like 10.1.2.3, a "
                   "network like 10.1.0.0/16 or fd00::/8, or unix, found '10.1.2.3/16'");
    assert_refused("producers: [{name: a, from: []}]\n",
                   "purgeline.yaml:1: producers[0].token_sha256: missing: a producer is known by "
                   "it, by `from` or by `certificate`");
    assert_loads(WITH_CA "producers: [{name: a, certificate: press.example}, "
                         "{name: b, certificate: cms}]\n");
    assert_refused(
        WITH_CA "producers:\n  - {name: a, certificate: press.example}\n"
                "  - {name: b, certificate: Press.Example}\n",
        "purgeline.yaml:4: producers[1].certificate: it is that of producers[0] already");
    assert_refused(
        "producers: [{name: a, certificate: x}]\n",
        "purgeline.yaml:1: producers[0].certificate: clients show certificates only where "
        "http.tls_client_ca_file is set");
}

static void several_addresses_are_a_list_or_one_text(void **state)
{
    struct config c;

    (void)state;
    assert_int_equal(load("listen: [\"127.0.0.1:1\", \"[::1]:1\", \"unix:/run/p.sock\"]\n", &c), 0);
    assert_string_equal(c.listen, "127.0.0.1:1,[::1]:1,unix:/run/p.sock");
    assert_null(config_listens_beyond(&c).p);
    config_deinit(&c);
    assert_loads("listen: 127.0.0.1:1, unix:/run/p.sock\n");
    assert_int_equal(load("listen: []\nhttp: {unix_mode: 0600}\n", &c), 0);
    assert_string_equal(c.listen, "");
    assert_int_equal(config_unix_mode(&c), 0600);
    config_deinit(&c);
    assert_refused("listen:\n  - 127.0.0.1:1\n  - unix:run\n",
                   "purgeline.yaml:3: listen[1]: expected addresses like 127.0.0.1:8126, "
                   "[::1]:8126 or unix:/path, comma-separated or as a list, or nothing, found "
                   "'unix:run'");
    assert_refused("listen: [127.0.0.1:1, \"\"]\n",
                   "purgeline.yaml:1: listen[1]: expected one address");
    assert_refused("listen: [127.0.0.1:1, \"[::1]:1\", 127.0.0.1:1]\n",
                   "purgeline.yaml:1: listen: '127.0.0.1:1' stands there twice");
    assert_refused("listen: unix:/run/p.sock,0.0.0.0:80\n",
                   "purgeline.yaml:1: listen: without producers anybody who reaches 0.0.0.0:80 may "
                   "purge: name them under producers, or listen on 127.0.0.1 or [::1]");
    assert_refused(
        "listen: {a: b}\n",
        "purgeline.yaml:1: listen: expected addresses like 127.0.0.1:8126, [::1]:8126 or "
        "unix:/path, comma-separated or as a list, or nothing, found settings below it");
    assert_refused("http: {unix_mode: 0680}\n",
                   "purgeline.yaml:1: http.unix_mode: expected permissions in octal, like 0660, "
                   "found '0680'");
    assert_int_equal(setenv("PURGELINE_LISTEN", "127.0.0.1:2,unix:/e.sock", 1), 0);
    assert_int_equal(load("listen: [127.0.0.1:1]\n", &c), 0);
    unsetenv("PURGELINE_LISTEN");
    assert_string_equal(c.listen, "127.0.0.1:2,unix:/e.sock");
    config_deinit(&c);
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
    check_exposure(&c, on_finding, NULL);
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
             "warn privacy: http.tls_key_file: others may read %s/k\n",
             here);
    assert_finds(text, expected);
    put("k", "key", 0660);
    snprintf(expected, sizeof(expected),
             "ok http: anybody on this machine may push to 127.0.0.1:8126\n"
             "warn privacy: http.tls_key_file: others may change %s/k\n",
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

static void check_minds_a_secret_that_others_may_read(void **state)
{
    char text[512], expected[512], here[256];

    (void)state;
    assert_non_null(getcwd(here, sizeof(here)));
    snprintf(text, sizeof(text),
             "hooks: [{name: h, urls: [u], secret_file: %s/s, signature: {header: x}}]\n", here);
    snprintf(expected, sizeof(expected),
             "ok http: anybody on this machine may push to 127.0.0.1:8126\n"
             "ok hook: h has its secret\n"
             "warn privacy: hooks[0].secret_file: others may read %s/s\n",
             here);
    put("s", "hunter2", 0604);
    assert_finds(text, expected);
    unlink("s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(names_and_tokens_of_producers_are_their_own),
        T(accounts_and_services_of_a_producer_exist),
        T(account_and_service_of_a_hook_exist),
        T(keys_of_a_hook_need_a_service),
        T(a_hook_may_be_for_several_services),
        T(a_hook_purges_something),
        T(a_hook_is_signed_or_for_this_machine_only),
        T(what_is_signed_comes_with_the_request),
        T(others_than_this_machine_need_a_name),
        T(what_producers_are_known_by_means_one_of_them),
        T(several_addresses_are_a_list_or_one_text),
        T(certificate_and_key_go_together),
        T(check_says_who_may_push),
        T(check_looks_at_the_files_of_tls),
        T(check_looks_for_the_secrets_of_hooks),
        T(check_minds_a_secret_that_others_may_read),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
