/* SPDX-License-Identifier: MIT
 * The program with a Redis that wants TLS and has a certificate of the test's own CA. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "shell.h"
#include "tls_certificates.h"

struct world {
    struct rig *rig;
    struct shell shell;
};

/* Redis also listens on a TLS port with a certificate for `name` ("IP:127.0.0.1"), and
 * PURGELINE_REDIS is its address. The CA is in $D/ca.pem. */
static void open_world(struct world *w, void **state, const char *name)
{
    char url[64];

    w->rig = rig_open(state, "", "");
    shell_open(&w->shell);
    tls_make_authorities(&w->shell);
    tls_make(&w->shell, "redis", "ca", name, 2);
    snprintf(url, sizeof(url), "rediss://127.0.0.1:%u",
             tls_listen(w->rig->redis, &w->shell, "redis"));
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

static void a_job_goes_all_its_way_over_tls(void **state)
{
    struct world w;

    open_world(&w, state, "IP:127.0.0.1");
    trust(&w, "ca.pem");
    rig_start_leading(w.rig, 0);
    tls_run(&w.shell, "$P push --wait a-key");
    shell_assert_out(&w.shell, "purged");
    assert_int_equal(requests_naming(&w.rig->requests, "a-key", 200), 1);
    tls_run(&w.shell, "$P status");
    /* Also tests long reads and large writes. */
    tls_run(&w.shell, "seq 1000 | sed 's/^/many-/' | $P push --lane bulk -");
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
    assert_refused(&w, "TLS: certificate verify failed: self-signed certificate in certificate "
                       "chain: give its CA in redis_tls.ca_file");
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_job_goes_all_its_way_over_tls, clean_up),
        cmocka_unit_test_teardown(a_certificate_for_another_name_is_refused, clean_up),
        cmocka_unit_test_teardown(a_certificate_of_an_unknown_authority_is_refused, clean_up),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
