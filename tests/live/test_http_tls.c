/* SPDX-License-Identifier: MIT
 * The HTTP endpoint with TLS: versions, client certificates, and certificates that change while
 * connections are open. */
#include "rig.h"

#include <curl/curl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "rawhttp.h"

#define PATIENCE_MS 20000L

struct auth {
    struct rig *rig;
    unsigned port;
};

/* -- certificates: the CA signs those of the server and of a client; "other" is another CA with its
 * own client -- */

static void run_in(const struct rig *r, const char *fmt, ...) print_like(2, 3);
static void run_in(const struct rig *r, const char *fmt, ...)
{
    char *command = NULL, *all;
    va_list ap;

    va_start(ap, fmt);
    must(vasprintf(&command, fmt, ap) > 0);
    va_end(ap);
    all = alloc_printf("cd '%s' && (%s) >>made.log 2>&1", r->folder, command);
    if (system(all) != 0)
        fail_msg("%s", command);
    free(command);
    free(all);
}

#define NEW_KEY "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout"

static void make_authority(const struct rig *r, const char *name)
{
    run_in(r, "openssl req -x509 " NEW_KEY " %s.key -out %s.pem -days 2 -subj /CN=%s", name, name,
           name);
}

static void make_certificate(const struct rig *r, const char *authority, const char *name,
                             const char *common_name, const char *usage)
{
    run_in(r,
           "openssl req " NEW_KEY " %s.key -out %s.csr -subj /CN=%s && "
           "printf 'subjectAltName=DNS:localhost\\nextendedKeyUsage=%s\\n' >%s.ext && "
           "openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days 2 "
           "-extfile %s.ext -out %s.pem",
           name, name, common_name, usage, name, name, authority, authority, name, name);
}

static void open_gate(struct auth *g, void **state, const char *more)
{
    char *global;

    g->rig = rig_open(state, "", "");
    make_authority(g->rig, "ca");
    make_certificate(g->rig, "ca", "server", "first", "serverAuth");
    global =
        alloc_printf("listen: 127.0.0.1:0\n"
                     "http:\n  tls_cert_file: %s/server.pem\n  tls_key_file: %s/server.key\n%s",
                     g->rig->folder, g->rig->folder, more);
    rig_configure(g->rig, "", global);
    free(global);
    rig_start_leading(g->rig, 0);
    g->port = rawhttp_port(&g->rig->instances[0]);
}

/* -- clients ---------------------------------------------------------------------------------- */

static size_t drop(char *p, size_t size, size_t n, void *ctx)
{
    (void)p;
    (void)ctx;
    return size * n;
}

static CURL *visitor(const struct auth *g)
{
    char *url = alloc_printf("https://localhost:%u/livez", g->port);
    char *ca = alloc_printf("%s/ca.pem", g->rig->folder);
    CURL *c = curl_easy_init();

    must(c);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_CAINFO, ca);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, PATIENCE_MS);
    curl_easy_setopt(c, CURLOPT_CERTINFO, 1L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    free(url);
    free(ca);
    return c;
}

/* Returns the status, or 0 if there was no answer. */
static long visit(CURL *c)
{
    long status = 0;

    if (curl_easy_perform(c) == CURLE_OK)
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static long connections_made(CURL *c)
{
    long n = -1;

    curl_easy_getinfo(c, CURLINFO_NUM_CONNECTS, &n);
    return n;
}

static bool shows(CURL *c, const char *common_name)
{
    char *want = alloc_printf("Subject:CN = %s", common_name);
    struct curl_certinfo *info = NULL;
    bool found = false;

    curl_easy_getinfo(c, CURLINFO_CERTINFO, &info);
    for (int i = 0; info && i < info->num_of_certs; i++)
        for (struct curl_slist *s = info->certinfo[i]; s; s = s->next)
            found |= strcmp(s->data, want) == 0;
    free(want);
    return found;
}

static void show_certificate(CURL *c, const struct auth *g, const char *name)
{
    char *cert = alloc_printf("%s/%s.pem", g->rig->folder, name);
    char *key = alloc_printf("%s/%s.key", g->rig->folder, name);

    curl_easy_setopt(c, CURLOPT_SSLCERT, cert);
    curl_easy_setopt(c, CURLOPT_SSLKEY, key);
    free(cert);
    free(key);
}

/* -- versions -------------------------------------------------------------------------------- */

static void tls_1_2_and_1_3_are_spoken_and_1_1_is_not(void **state)
{
    static const struct {
        long version;
        bool served;
    } versions[] = {{CURL_SSLVERSION_TLSv1_1 | CURL_SSLVERSION_MAX_TLSv1_1, false},
                    {CURL_SSLVERSION_TLSv1_2 | CURL_SSLVERSION_MAX_TLSv1_2, true},
                    {CURL_SSLVERSION_TLSv1_3 | CURL_SSLVERSION_MAX_TLSv1_3, true}};
    struct auth g;

    open_gate(&g, state, "");
    for (size_t i = 0; i < array_len(versions); i++) {
        char why[CURL_ERROR_SIZE] = "";
        CURL *c = visitor(&g);

        curl_easy_setopt(c, CURLOPT_SSLVERSION, versions[i].version);
        curl_easy_setopt(c, CURLOPT_SSL_CIPHER_LIST, "DEFAULT:@SECLEVEL=0");
        curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
        assert_int_equal(visit(c), versions[i].served ? 200 : 0);
        if (!versions[i].served)
            assert_null(strstr(why, "no protocols available")); /* the refusal is the server's */
        curl_easy_cleanup(c);
    }
    rig_close(g.rig);
}

static void plain_http_is_not_answered(void **state)
{
    struct rawhttp r;
    struct auth g;
    CURL *c;

    open_gate(&g, state, "");
    rawhttp_open(&r, g.port);
    rawhttp_say(&r, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    while (!r.ended) {
        struct pollfd p = {.fd = r.fd, .events = POLLIN};

        assert_int_equal(poll(&p, 1, (int)PATIENCE_MS), 1);
        rawhttp_read(&r);
    }
    assert_true(r.got.n < 32); /* at most an alert */
    rawhttp_close(&r);
    c = visitor(&g);
    assert_int_equal(visit(c), 200);
    curl_easy_cleanup(c);
    rig_close(g.rig);
}

/* Written around libmicrohttpd, which accepts no answer before the request is complete. */
static void a_slow_client_is_told_so_over_tls_too(void **state)
{
    static const char begun[] = "POST /v1/purge HTTP/1.1\r\nHost: localhost\r\n"
                                "Content-Length: 10\r\n\r\nhell";
    struct buf text;
    struct auth g;
    CURL *c;
    size_t n;

    open_gate(&g, state, "  request_s: 1\n");
    buf_init(&text, 65536);
    c = visitor(&g);
    curl_easy_setopt(c, CURLOPT_CONNECT_ONLY, 1L);
    assert_int_equal(curl_easy_perform(c), CURLE_OK);
    assert_int_equal(curl_easy_send(c, begun, strlen(begun), &n), CURLE_OK);
    for (;;) {
        char some[1024];
        CURLcode rc = curl_easy_recv(c, some, sizeof(some), &n);

        if (rc == CURLE_AGAIN) {
            curl_socket_t fd;
            struct pollfd p = {.events = POLLIN};

            curl_easy_getinfo(c, CURLINFO_ACTIVESOCKET, &fd);
            p.fd = fd;
            assert_int_equal(poll(&p, 1, (int)PATIENCE_MS), 1);
        } else if (rc != CURLE_OK || n == 0) {
            break;
        } else {
            buf_put(&text, span_of(some, n));
        }
    }
    assert_true(span_starts_nocase(buf_span(&text), "HTTP/1.1 408 "));
    buf_deinit(&text);
    curl_easy_cleanup(c);
    rig_close(g.rig);
}

/* -- a certificate that changes -------------------------------------------------------------- */

static void a_new_certificate_is_for_new_connections_and_old_ones_go_on(void **state)
{
    struct auth g;
    CURL *old, *fresh;

    open_gate(&g, state, "");
    old = visitor(&g);
    assert_int_equal(visit(old), 200);
    assert_true(shows(old, "first"));
    for (unsigned i = 1; i <= 3; i++) { /* each one leaves a server with its connections behind */
        char name[16];

        snprintf(name, sizeof(name), "next-%u", i);
        make_certificate(g.rig, "ca", "server", name, "serverAuth");
        instance_signal(&g.rig->instances[0], SIGHUP);
        instance_await_said(&g.rig->instances[0], "certificate that was read anew", i);
        fresh = visitor(&g);
        assert_int_equal(visit(fresh), 200);
        assert_true(shows(fresh, name));
        curl_easy_cleanup(fresh);
        assert_int_equal(visit(old), 200);
        assert_int_equal(connections_made(old), 0);
    }
    rig_close(g.rig); /* while a connection is open */
    curl_easy_cleanup(old);
}

static void a_broken_new_certificate_is_said_and_the_old_one_stays(void **state)
{
    static const char *const breaks[] = {
        "echo nonsense >server.pem",
        "rm server.pem",
        "cp ca.key server.key && cp good.pem server.pem", /* of another certificate */
        "cp good.pem server.key",
        ": >server.pem",
        ": >server.key",
        "printf '\\0' >server.pem",
        "printf '\\0' >server.key",
    };
    struct auth g;

    open_gate(&g, state, "");
    run_in(g.rig, "cp server.pem good.pem && cp server.key good.key");
    for (size_t i = 0; i < array_len(breaks); i++) {
        CURL *c = visitor(&g);

        run_in(g.rig, "%s", breaks[i]);
        instance_signal(&g.rig->instances[0], SIGHUP);
        instance_await_said(&g.rig->instances[0], "The new certificate is not taken", i + 1);
        assert_int_equal(visit(c), 200);
        assert_true(shows(c, "first"));
        curl_easy_cleanup(c);
        run_in(g.rig, "cp good.pem server.pem && cp good.key server.key");
    }
    rig_close(g.rig);
}

static void a_start_with_a_bad_certificate_waits_until_it_is_mended(void **state)
{
    static const struct {
        const char *cert, *key, *said;
    } bad[] = {
        {"server.pem", "none.key", "http.tls_key_file: cannot read"},
        {"none.pem", "server.key", "http.tls_cert_file: cannot read"},
        {"server.pem", "", "http.tls_key_file: cannot read"}, /* a folder */
        {"server.pem", "ca.key", "the certificate and its key are not accepted"},
        {"later.pem", "server.key", "http.tls_cert_file: cannot read"},
    };
    struct rig *r = rig_open(state, "", "");

    make_authority(r, "ca");
    make_certificate(r, "ca", "server", "first", "serverAuth");
    for (size_t i = 0; i < array_len(bad); i++) {
        char *global = alloc_printf("listen: 127.0.0.1:0\n"
                                    "http: {tls_cert_file: %s/%s, tls_key_file: %s/%s}\n",
                                    r->folder, bad[i].cert, r->folder, bad[i].key);

        rig_configure(r, "", global);
        free(global);
        rig_start_leading(r, 0);
        instance_await_said(&r->instances[0], bad[i].said, 1);
        rig_stop(r, 0);
    }
    rig_start_leading(r, 0); /* the last of them again */
    run_in(r, "cp server.pem later.pem");
    instance_await_said(&r->instances[0], "The HTTP endpoint listens", 1);
    rig_close(r);
}

/* A Unix socket does not use the certificate, but it is checked because an address may be added
 * later. */
static void an_empty_certificate_is_said_without_an_address_too(void **state)
{
    static const char *const bad[][2] = {{"empty.pem", "server.key"}, {"server.pem", "empty.pem"}};
    struct rig *r = rig_open(state, "", "");

    make_authority(r, "ca");
    make_certificate(r, "ca", "server", "first", "serverAuth");
    run_in(r, ": >empty.pem");
    for (size_t i = 0; i < array_len(bad); i++) {
        char *global = alloc_printf("listen: unix:%s/http.sock\n"
                                    "http: {tls_cert_file: %s/%s, tls_key_file: %s/%s}\n",
                                    r->folder, r->folder, bad[i][0], r->folder, bad[i][1]);

        rig_configure(r, "", global);
        free(global);
        rig_start_leading(r, 0);
        instance_await_said(&r->instances[0], "empty.pem: it is empty", 1);
        rig_stop(r, 0);
    }
    rig_close(r);
}

/* -- a reload that requires more -------------------------------------------------------------- */

static void reload(struct auth *g, const char *http)
{
    char *global = alloc_printf("listen: 127.0.0.1:0\nhttp:\n  tls_cert_file: %s/server.pem\n"
                                "  tls_key_file: %s/server.key\n%s",
                                g->rig->folder, g->rig->folder, http);

    rig_configure(g->rig, "", global);
    free(global);
    instance_signal(&g->rig->instances[0], SIGHUP);
    instance_await_said(&g->rig->instances[0], "certificate that was read anew", 1);
}

/* Connections that are idle, in a head, in a body, in a stream, and waiting for a receipt. */
static void plain_connections_end_when_tls_is_introduced(void **state)
{
    static const struct {
        const char *said;
        int status; /* 0: closed without an answer */
    } visitors[] = {
        {"", 0},
        {"POST /v1/purge HTTP/1.1\r\nHost: local", 0},
        {"POST /v1/purge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{", 403},
        {"POST /v1/purge/bulk HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{", 403},
        {"POST /v1/purge HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=60\r\n"
         "Content-Length: 46\r\n\r\n{\"keys\":[\"later\"],\"not_before\":4102444800000}  ",
         202},
    };
    struct auth g = {.rig = rig_open(state, "", "listen: 127.0.0.1:0\n")};
    struct rawhttp r[array_len(visitors)], last;
    int status;

    make_authority(g.rig, "ca");
    make_certificate(g.rig, "ca", "server", "first", "serverAuth");
    rig_start_leading(g.rig, 0);
    g.port = rawhttp_port(&g.rig->instances[0]);
    for (size_t i = 0; i < array_len(r); i++) {
        rawhttp_open(&r[i], g.port);
        rawhttp_say(&r[i], "%s", visitors[i].said);
    }
    rawhttp_open(&last, g.port);
    do { /* then all earlier ones have been seen */
        rawhttp_say(&last, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        status = rawhttp_await(&last).status;
    } while (status == 503);
    reload(&g, "");
    for (size_t i = 0; i < array_len(r); i++) {
        status = rawhttp_await_any(&r[i]);
        if (status != visitors[i].status)
            fail_msg("%d for %s", status, visitors[i].said);
        if (status)
            rawhttp_await_end(&r[i]);
        rawhttp_close(&r[i]);
    }
    rawhttp_await_end(&last);
    rawhttp_close(&last);
    rig_close(g.rig);
}

static void connections_without_a_certificate_end_when_one_is_asked_for(void **state)
{
    struct auth g;
    char *ca;
    CURL *old;

    open_gate(&g, state, "");
    old = visitor(&g);
    assert_int_equal(visit(old), 200);
    ca = alloc_printf("  tls_client_ca_file: %s/ca.pem\n", g.rig->folder);
    reload(&g, ca);
    free(ca);
    assert_int_not_equal(visit(old), 200);
    curl_easy_cleanup(old);
    rig_close(g.rig);
}

/* While a file is being rewritten, it is empty for a moment. This must not admit everybody. */
static void an_invalid_ca_file_is_reported_and_the_old_one_stays(void **state)
{
    static const char *const breaks[] = {
        ": >clients.pem", "printf '\\0' >clients.pem", "echo nonsense >clients.pem",
        "rm clients.pem",
        "printf -- '-----BEGIN CERTIFICATE-----\\nx\\n-----END CERTIFICATE-----\\n' >clients.pem"};
    struct auth g;
    char *ca;

    open_gate(&g, state, "");
    run_in(g.rig, "cp ca.pem clients.pem");
    ca = alloc_printf("  tls_client_ca_file: %s/clients.pem\n", g.rig->folder);
    reload(&g, ca);
    free(ca);
    for (size_t i = 0; i < array_len(breaks); i++) {
        CURL *c = visitor(&g);

        run_in(g.rig, "%s", breaks[i]);
        instance_signal(&g.rig->instances[0], SIGHUP);
        instance_await_said(&g.rig->instances[0], "The new certificate is not taken", i + 1);
        assert_int_not_equal(visit(c), 200);
        curl_easy_cleanup(c);
    }
    rig_close(g.rig);
}

/* -- client certificates ---------------------------------------------------------------------- */

static void only_clients_of_the_authority_are_served(void **state)
{
    static const struct {
        const char *name;
        bool served;
    } clients[] = {
        {NULL, false}, {"stranger", false}, {"self", false}, {"server", false}, {"client", true}};
    char *more;
    struct auth g;

    g.rig = rig_open(state, "", "");
    make_authority(g.rig, "ca");
    make_authority(g.rig, "other");
    make_authority(g.rig, "self");
    make_certificate(g.rig, "ca", "server", "first", "serverAuth");
    make_certificate(g.rig, "ca", "client", "a-producer", "clientAuth");
    make_certificate(g.rig, "other", "stranger", "a-producer", "clientAuth");
    more = alloc_printf("listen: 127.0.0.1:0\n"
                        "http: {tls_cert_file: %s/server.pem, tls_key_file: %s/server.key, "
                        "tls_client_ca_file: %s/ca.pem}\n",
                        g.rig->folder, g.rig->folder, g.rig->folder);
    rig_configure(g.rig, "", more);
    free(more);
    rig_start_leading(g.rig, 0);
    g.port = rawhttp_port(&g.rig->instances[0]);
    for (size_t i = 0; i < array_len(clients); i++) {
        CURL *c = visitor(&g);
        long status;

        if (clients[i].name)
            show_certificate(c, &g, clients[i].name);
        status = visit(c);
        if (clients[i].served ? status != 200 : status != 403 && status != 0)
            fail_msg("%ld for %s", status, clients[i].name ? clients[i].name : "none");
        if (clients[i].served)
            assert_int_equal(visit(c), 200); /* and again on the same connection */
        curl_easy_cleanup(c);
    }
    rig_close(g.rig);
}

/* Sends a PURGE on a new connection, with the certificate of this name. */
static long purge_as(const struct auth *g, const char *name, const char *header)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Host: www.example.com");
    CURL *c = visitor(g);
    long status;

    headers = curl_slist_append(headers, header);
    show_certificate(c, g, name);
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, "PURGE");
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    status = visit(c);
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
    return status;
}

static void let_in(struct auth *g, const char *producers)
{
    char *more =
        alloc_printf("  tls_client_ca_file: %s/ca.pem\nproducers:\n%s", g->rig->folder, producers);
    size_t before = instance_said(&g->rig->instances[0], "certificate that was read anew");
    char *global = alloc_printf("listen: [127.0.0.1:0, unix:%s/http.sock]\nhttp:\n"
                                "  tls_cert_file: %s/server.pem\n  tls_key_file: %s/server.key\n%s",
                                g->rig->folder, g->rig->folder, g->rig->folder, more);

    rig_configure(g->rig, "", global);
    free(global);
    free(more);
    instance_signal(&g->rig->instances[0], SIGHUP);
    instance_await_said(&g->rig->instances[0], "certificate that was read anew", before + 1);
}

/* The name may be the CN or a DNS name. All certificates here have the DNS name localhost. */
static void a_producer_is_known_by_the_name_in_its_certificate(void **state)
{
    struct auth g;

    open_gate(&g, state, "");
    make_certificate(g.rig, "ca", "press", "press.example", "clientAuth");
    make_certificate(g.rig, "ca", "other", "other.example", "clientAuth");
    let_in(&g, "  - {name: press, certificate: Press.Example}\n");
    await_until(-1, AWAIT_PATIENCE_MS, purge_as(&g, "press", "X-None;") == 200);
    assert_int_equal(purge_as(&g, "other", "X-None;"), 401);
    assert_int_equal(purge_as(&g, "press", "Fastly-Key: wrong"), 401);
    assert_int_equal(purge_as(&g, "press", "Origin: https://evil.example"), 403);

    let_in(&g, "  - {name: all, certificate: localhost}\n");
    await_until(-1, AWAIT_PATIENCE_MS, purge_as(&g, "other", "X-None;") == 200);
    assert_int_equal(purge_as(&g, "press", "X-None;"), 200);

    /* A certificate with the names of two producers belongs to neither. */
    let_in(&g, "  - {name: all, certificate: localhost}\n"
               "  - {name: press, certificate: press.example}\n");
    await_until(-1, AWAIT_PATIENCE_MS, purge_as(&g, "press", "X-None;") == 401);
    assert_int_equal(purge_as(&g, "other", "X-None;"), 200);

    let_in(&g, "  - {name: press, certificate: press.example}\n");
    await_until(-1, AWAIT_PATIENCE_MS, purge_as(&g, "other", "X-None;") == 401);
    rig_close(g.rig);
}

/* Nobody can listen in on a socket, so neither TLS nor a certificate is needed there. */
static void a_unix_socket_is_plain_beside_tls(void **state)
{
    struct rawhttp r;
    struct auth g;
    char *path;

    open_gate(&g, state, "");
    let_in(&g, "  - {name: press, from: [unix]}\n");
    path = alloc_printf("%s/http.sock", g.rig->folder);
    await_until(-1, AWAIT_PATIENCE_MS, access(path, W_OK) == 0);
    await_until(-1, AWAIT_PATIENCE_MS,
                instance_said(&g.rig->instances[0], "The HTTP endpoint listens") == 2);
    rawhttp_open_unix(&r, path);
    rawhttp_say(&r, "PURGE /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    rawhttp_await_status(&r, 200);
    let_in(&g, "  - {name: press, from: [unix, \"::1\"]}\n"); /* a reload leaves it connected */
    rawhttp_say(&r, "PURGE /b HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    rawhttp_await_status(&r, 200);
    rawhttp_close(&r);
    free(path);
    rig_close(g.rig);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(tls_1_2_and_1_3_are_spoken_and_1_1_is_not),
        rig_test(plain_http_is_not_answered),
        rig_test(a_slow_client_is_told_so_over_tls_too),
        rig_test(a_new_certificate_is_for_new_connections_and_old_ones_go_on),
        rig_test(plain_connections_end_when_tls_is_introduced),
        rig_test(connections_without_a_certificate_end_when_one_is_asked_for),
        rig_test(a_broken_new_certificate_is_said_and_the_old_one_stays),
        rig_test(a_start_with_a_bad_certificate_waits_until_it_is_mended),
        rig_test(an_empty_certificate_is_said_without_an_address_too),
        rig_test(an_invalid_ca_file_is_reported_and_the_old_one_stays),
        rig_test(only_clients_of_the_authority_are_served),
        rig_test(a_producer_is_known_by_the_name_in_its_certificate),
        rig_test(a_unix_socket_is_plain_beside_tls),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
