/* SPDX-License-Identifier: MIT
 * Redis with TLS and a certificate of the test's own CA. A purgeline that was built without TLS to
 * Redis (Debian 12's hiredis does not have it) must say so. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "shell.h"

struct world {
    struct rig *rig;
    struct shell shell;
};

static void run(struct world *w, const char *line)
{
    if (shell_run(&w->shell, "%s", line) != 0)
        fail_msg("%s\n%s%s", line, w->shell.out, w->shell.err);
}

#define NEW_KEY "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "

/* Redis also listens on a TLS port with a certificate for `name` ("IP:127.0.0.1"), and
 * PURGELINE_REDIS is its address. The CA is in $D/ca.pem. */
static void open_world(struct world *w, void **state, const char *name)
{
    unsigned port = redis_server_free_port();
    char url[64], *line;

    w->rig = rig_open(state, "", "");
    shell_open(&w->shell);
    run(w, "openssl req -x509 -days 2 -subj /CN=ours " NEW_KEY "-keyout $D/ca.key -out $D/ca.pem");
    run(w, "openssl req -x509 -days 2 -subj /CN=theirs " NEW_KEY
           "-keyout $D/theirs.key -out $D/theirs.pem");
    line = alloc_printf("echo subjectAltName=%s >$D/names", name);
    run(w, line);
    free(line);
    run(w, "openssl req -new -subj /CN=redis " NEW_KEY "-keyout $D/redis.key -out $D/redis.csr");
    run(w, "openssl x509 -req -days 2 -in $D/redis.csr -CA $D/ca.pem -CAkey $D/ca.key "
           "-CAcreateserial -extfile $D/names -out $D/redis.pem");
    redis_server_do(w->rig->redis,
                    "CONFIG SET tls-cert-file %s/redis.pem tls-key-file %s/redis.key "
                    "tls-ca-cert-file %s/ca.pem tls-auth-clients no",
                    w->shell.folder, w->shell.folder, w->shell.folder);
    redis_server_do(w->rig->redis, "CONFIG SET tls-port %u", port);
    snprintf(url, sizeof(url), "rediss://127.0.0.1:%u", port);
    setenv("PURGELINE_REDIS", url, 1);
    setenv("PURGELINE_CONFIG", w->rig->config, 1);
}

static void trust(struct world *w, const char *file)
{
    char *path = alloc_printf("%s/%s", w->shell.folder, file);

    setenv("SSL_CERT_FILE", path, 1); /* OpenSSL's variable that replaces the system's CAs */
    free(path);
}

static void close_world(struct world *w)
{
    shell_close(&w->shell);
    rig_close(w->rig);
}

static int clean_up(void **state)
{
    unsetenv("PURGELINE_REDIS");
    unsetenv("PURGELINE_CONFIG");
    unsetenv("SSL_CERT_FILE");
    return rig_teardown(state);
}

#ifdef HAVE_HIREDIS_SSL
static void a_job_goes_all_its_way_over_tls(void **state)
{
    struct world w;

    open_world(&w, state, "IP:127.0.0.1");
    trust(&w, "ca.pem");
    rig_start_leading(w.rig, 0);
    run(&w, "$P push --wait a-key");
    shell_assert_out(&w.shell, "purged");
    assert_int_equal(requests_naming(&w.rig->requests, "a-key", 200), 1);
    run(&w, "$P status");
    /* Also tests long reads and large writes. */
    run(&w, "seq 1000 | sed 's/^/many-/' | $P push --lane bulk -");
    rig_await_empty(w.rig);
    assert_int_equal(rig_receipts(w.rig, "purged"), 1001);
    close_world(&w);
}

static void assert_refused(struct world *w, const char *why)
{
    assert_int_equal(shell_run(&w->shell, "timeout 60 $P status"), 3);
    shell_assert_err(&w->shell, why);
    assert_int_equal(shell_run(&w->shell, "timeout 60 $P push a-key"), 3);
    shell_assert_err(&w->shell, why);
    rig_start(w->rig, 0);
    instance_await_said(&w->rig->instances[0], why, 1);
    assert_int_equal(redis_server_int(w->rig->redis, "DBSIZE"), 0);
}

static void a_certificate_for_another_name_is_refused(void **state)
{
    struct world w;

    open_world(&w, state, "DNS:redis.example.com");
    trust(&w, "ca.pem");
    assert_refused(&w, "TLS: certificate verify failed: IP address mismatch");
    close_world(&w);
}

static void a_certificate_of_an_unknown_authority_is_refused(void **state)
{
    struct world w;

    open_world(&w, state, "IP:127.0.0.1");
    trust(&w, "theirs.pem");
    assert_refused(&w,
                   "TLS: certificate verify failed: self-signed certificate in certificate chain");
    close_world(&w);
}
#else
static void without_tls_in_hiredis_the_address_is_refused_with_the_reason(void **state)
{
    struct world w;

    open_world(&w, state, "IP:127.0.0.1");
    trust(&w, "ca.pem");
    assert_int_equal(shell_run(&w.shell, "$P status"), 2);
    shell_assert_err(&w.shell, "rediss:// needs a build with hiredis_ssl");
    close_world(&w);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef HAVE_HIREDIS_SSL
        cmocka_unit_test_teardown(a_job_goes_all_its_way_over_tls, clean_up),
        cmocka_unit_test_teardown(a_certificate_for_another_name_is_refused, clean_up),
        cmocka_unit_test_teardown(a_certificate_of_an_unknown_authority_is_refused, clean_up),
#else
        cmocka_unit_test_teardown(without_tls_in_hiredis_the_address_is_refused_with_the_reason,
                                  clean_up),
#endif
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
