/* SPDX-License-Identifier: MIT
 * Permissions of HTTP clients: tokens, scopes, pace. The log entries of refused requests. */
#include "http_world.h"

#include <microhttpd.h>

#include "buf.h"
#include "clock.h"
#include "config.h"
#include "digest.h"
#include "rawhttp.h"

#define PURGE "/v1/purge"
#define KEYS "/service/" NEWS "/purge"
#define A "{\"keys\":[\"a\"]}"

/* Lines of the configuration for a producer whose token is "<name>-token". */
static char *producer(const char *name, const char *more)
{
    char *token = alloc_printf("%s-token", name), text[DIGEST_TEXT_ROOM], *lines;
    uint8_t digest[DIGEST_SHA256_BYTES];
    struct span shown;

    digest_sha256(span_str(token), digest);
    shown = digest_text(digest, sizeof(digest), HOOK_HEX, text);
    lines = alloc_printf("  - name: %s\n    token_sha256: \"%.*s\"\n%s", name, (int)shown.n,
                         shown.p, more);
    free(token);
    return lines;
}

/* A world with a single producer and its client. */
static struct world with_one(void **state, const char *more, const char *account)
{
    char *lines = producer("cms", more), *global = alloc_printf("producers:\n%s", lines);
    struct world w = world_open(state, account, global);

    free(lines);
    free(global);
    return w;
}

#define CMS_KEY "Fastly-Key: cms-token"

static void assert_refused(struct world *w, int status, const char *detail, const char *body)
{
    const struct http_reply *r = http_expect(w->h, status, "POST", PURGE, body, CMS_KEY, NULL);

    assert_string_equal(http_header(r, "Content-Type"), "application/problem+json");
    if (strncmp(http_text(r, "detail"), detail, strlen(detail)) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", http_text(r, "detail"), detail);
}

static void assert_taken(struct world *w, const char *body)
{
    http_expect(w->h, 202, "POST", PURGE, body, CMS_KEY, NULL);
}

/* -- tokens -- */

static void a_token_is_shown_in_any_of_three_headers(void **state)
{
    struct world w = with_one(state, "", "");

    http_expect(w.h, 202, "POST", PURGE, A, "Authorization: Bearer cms-token", NULL);
    http_expect(w.h, 202, "POST", PURGE, A, "authorization: bearer cms-token", NULL);
    http_expect(w.h, 202, "POST", PURGE, A, "Fastly-Key: cms-token", NULL);
    http_expect(w.h, 202, "POST", PURGE, A, "x-fastly-key: cms-token", NULL);
    http_expect(w.h, 401, "POST", PURGE, A, "Authorization: Basic cms-token", NULL);
    http_expect(w.h, 401, "POST", PURGE, A, "Fastly-Key: cms-toke", NULL);
    http_expect(w.h, 401, "POST", PURGE, A, "Fastly-Key: cms-token2", NULL);
    http_expect(w.h, 401, "POST", PURGE, A, "Fastly-Key;", NULL);
    world_close(&w);
}

/* S42: with producers, a client without a valid token may do nothing. */
static void s42_without_a_token_nothing_is_done_in_either_voice(void **state)
{
    struct world w = with_one(state, "", "");
    const struct http_reply *r = http_expect(w.h, 401, "POST", PURGE, A, NULL);

    assert_string_equal(http_header(r, "WWW-Authenticate"), "Bearer");
    assert_string_equal(http_header(r, "Content-Type"), "application/problem+json");
    assert_int_equal(http_number(r, "status"), 401);
    r = http_expect(w.h, 401, "POST", KEYS "/a", NULL, NULL);
    assert_string_equal(http_header(r, "Content-Type"), "application/json");
    http_assert_text(r, "msg", "Provided credentials are missing or invalid");
    http_expect(w.h, 401, "PURGE", "/a", NULL, "Host: www.example.com", NULL);
    http_expect(w.h, 401, "GET", "/metrics", NULL, NULL);
    http_expect(w.h, 401, "GET", "/v1/jobs/normal-1-0", NULL, NULL);
    http_expect(w.h, 401, "DELETE", "/v1/jobs/normal-1-0", NULL, NULL);
    http_expect(w.h, 401, "POST", "/v1/purge/bulk", A "\n", NULL);
    http_expect(w.h, 401, "GET", "/tokens/self", NULL, NULL);
    http_expect(w.h, 200, "GET", "/readyz", NULL, NULL); /* reveals nothing about the jobs */
    world_flush(&w);
    assert_int_equal(requests_naming(&w.r->requests, "a", ANY_STATUS), 0);
    world_close(&w);
}

/* A web page in a browser on this machine must not count as this machine. */
static void s42_without_producers_no_web_page_may_push(void **state)
{
    struct world w = world_open(state, "", "");

    instance_await_said(&w.r->instances[0], "No producers are configured", 1);
    http_expect(w.h, 403, "POST", PURGE, A, "Origin: https://evil.example", NULL);
    http_expect(w.h, 403, "POST", KEYS "/a", NULL, "Origin: null", NULL);
    http_expect(w.h, 403, "GET", "/v1/status", NULL, "Sec-Fetch-Site: cross-site", NULL);
    http_expect(w.h, 202, "POST", PURGE, A, NULL);
    world_close(&w);
}

/* A client with a token may use any proxy and any Host. */
static void with_producers_proxies_and_names_are_free(void **state)
{
    struct world w = with_one(state, "", "");

    http_expect(w.h, 202, "POST", PURGE, A, CMS_KEY, "Host: purge.example.com",
                "X-Forwarded-For: 192.0.2.60", "Via: 1.1 proxy", NULL);
    world_close(&w);
}

/* -- scopes -- */

static void kinds_are_what_a_producer_may_purge(void **state)
{
    struct world w = with_one(state, "    kinds: [url]\n", "    allow_purge_all: true\n");
    const struct http_reply *r;

    assert_taken(&w, "{\"urls\":[\"example.com/x\"]}");
    assert_refused(&w, 403, "keys: ", A);
    assert_refused(&w, 403, "all: ", "{\"all\":true}");
    assert_refused(&w, 403, "keys: ", "{\"urls\":[\"example.com/x\"],\"keys\":[\"a\"]}");
    r = http_expect(w.h, 403, "POST", KEYS "/a", NULL, CMS_KEY, NULL);
    http_assert_text(r, "msg", "Forbidden");
    assert_true(strlen(http_text(r, "detail")) > 0);
    http_expect(w.h, 403, "POST", "/service/" NEWS "/purge_all", NULL, CMS_KEY, NULL);
    world_close(&w);
}

/* A producer may purge all content of a service only if its scopes say so. */
static void s41_a_producer_may_not_purge_all_by_default(void **state)
{
    struct world w = with_one(state, "", "    allow_purge_all: true\n");

    assert_taken(&w, A);
    assert_refused(&w, 403, "all: ", "{\"all\":true}");
    http_expect(w.h, 403, "POST", "/service/" NEWS "/purge_all", NULL, CMS_KEY, NULL);
    world_flush(&w);
    assert_int_equal(world_count(&w, "all"), 0);
    world_close(&w);
}

/* S45: a purge is sent to the host that it names, so each producer has its own hosts. */
static void s45_hosts_are_those_whose_urls_it_may_purge(void **state)
{
    struct world w = with_one(state, "    hosts: [www.example.com, \"*.example.net\"]\n", "");

    assert_taken(&w, "{\"urls\":[\"https://www.example.com/x\"]}");
    assert_taken(&w, "{\"urls\":[\"WWW.example.COM:8443/x\"]}");
    assert_taken(&w, "{\"urls\":[\"http://a.b.example.net/x\"]}");
    assert_refused(&w, 403, "url: ", "{\"urls\":[\"https://example.com/x\"]}");
    assert_refused(&w, 403, "url: ", "{\"urls\":[\"https://example.net/x\"]}");
    assert_refused(&w, 403, "url: ", "{\"urls\":[\"https://www.example.com.evil.org/x\"]}");
    assert_refused(&w, 403, "url: ", "{\"urls\":[\"evilexample.net/x\"]}");
    assert_refused(&w, 403, "url: ", "{\"urls\":[\"http://169.254.169.254/latest\"]}");
    assert_refused(&w, 403, "url: ", "{\"urls\":[\"www.example.com/x\",\"other.org/x\"]}");
    http_expect(w.h, 403, "POST", "/purge/https://other.org/x", NULL, CMS_KEY, NULL);
    http_expect(w.h, 403, "PURGE", "/x", NULL, "Host: other.org", CMS_KEY, NULL);
    http_expect(w.h, 403, "PURGE", "http://other.org/x", NULL, "Host: www.example.com", CMS_KEY,
                NULL);
    http_expect(w.h, 200, "PURGE", "/x", NULL, "Host: www.example.com", CMS_KEY, NULL);
    assert_taken(&w, "{\"keys\":[\"a\"],\"verify\":{\"url\":\"https://www.example.com/x\"}}");
    assert_refused(&w, 403,
                   "verify: ", "{\"keys\":[\"a\"],\"verify\":{\"url\":\"https://other.org/x\"}}");
    /* A URL with an allowed host as its user name is for another host. */
    assert_refused(&w, 400, "url: ", "{\"urls\":[\"https://www.example.com@other.org/x\"]}");
    world_close(&w);
}

static void services_are_those_it_may_purge(void **state)
{
    struct world w = with_one(state, "    services: [shop]\n", "");
    const struct http_reply *r;

    assert_taken(&w, "{\"service\":\"" SHOP "\",\"keys\":[\"a\"]}");
    assert_refused(&w, 403, "service: ", A); /* the default service is news */
    http_expect(w.h, 404, "POST", KEYS "/a", NULL, CMS_KEY, NULL);
    http_expect(w.h, 404, "GET", "/service/" NEWS, NULL, CMS_KEY, NULL);
    http_expect(w.h, 200, "POST", "/service/" SHOP "/purge/a", NULL, CMS_KEY, NULL);
    r = http_expect(w.h, 200, "GET", "/service", NULL, CMS_KEY, NULL);
    assert_int_equal(json_array_size(r->json), 1);
    r = http_expect(w.h, 200, "GET", "/tokens/self", NULL, CMS_KEY, NULL);
    assert_int_equal(json_array_size(json_object_get(r->json, "services")), 1);
    world_close(&w);
}

static void lanes_are_those_it_may_use(void **state)
{
    struct world w = with_one(state, "    lanes: [bulk]\n", "");

    assert_taken(&w, "{\"keys\":[\"a\"],\"lane\":\"bulk\"}");
    assert_refused(&w, 403, "lane: ", A);
    assert_refused(&w, 403, "lane: ", "{\"keys\":[\"a\"],\"lane\":\"urgent\"}");
    http_expect(w.h, 200, "POST", KEYS "/a", NULL, CMS_KEY, "Purgeline-Lane: bulk", NULL);
    http_expect(w.h, 403, "POST", KEYS "/a", NULL, CMS_KEY, NULL);
    world_close(&w);
}

static void accounts_are_those_it_may_push_to(void **state)
{
    char *second = alloc_printf("  - name: second\n    api: %s\n    ca_file: %s\n"
                                "    services: [{id: SU3Third, name: third}]\n",
                                sandbox_api(*state), sandbox_ca(*state));
    struct world w = with_one(state, "    accounts: [second]\n", second);

    free(second);
    http_assert_text(http_expect(w.h, 202, "POST", PURGE, A, CMS_KEY, NULL), "account", "second");
    assert_refused(&w, 404, "account: ", "{\"keys\":[\"a\"],\"account\":\"main\"}");
    http_expect(w.h, 404, "POST", KEYS "/a", NULL, CMS_KEY, NULL);
    http_expect(w.h, 200, "POST", "/service/SU3Third/purge/a", NULL, CMS_KEY, NULL);
    http_expect(w.h, 404, "GET", "/v1/jobs/normal-1700000000000-0?account=main", NULL, CMS_KEY,
                NULL);
    world_close(&w);
}

static void what_another_pushed_it_may_not_take_back(void **state)
{
    char *url = producer("urls", "    kinds: [url]\n"), *key = producer("cms", ""), *global;
    struct world w;
    char target[128];

    global = alloc_printf("producers:\n%s%s", url, key);
    free(url);
    free(key);
    w = world_open(state, "", global);
    free(global);
    rig_dispatch_pause(w.r, true);
    instance_await_said(&w.r->instances[0], "Dispatch is paused", 1);
    snprintf(target, sizeof(target), "/v1/jobs/%s",
             http_text(http_expect(w.h, 202, "POST", PURGE, A, CMS_KEY, NULL), "job"));
    http_expect(w.h, 403, "DELETE", target, NULL, "Fastly-Key: urls-token", NULL);
    http_assert_text(http_expect(w.h, 200, "GET", target, NULL, CMS_KEY, NULL), "state", "waiting");
    http_assert_text(http_expect(w.h, 200, "DELETE", target, NULL, CMS_KEY, NULL), "state",
                     "cancelled");
    world_close(&w);
}

/* -- pace -- */

static void more_than_its_pace_is_429_with_retry_after(void **state)
{
    struct world w = with_one(state, "    jobs_per_minute: 2\n", "");
    const struct http_reply *r;
    int wait_s;

    assert_taken(&w, A);
    http_expect(w.h, 200, "POST", KEYS "/a", NULL, CMS_KEY, NULL);
    r = http_expect(w.h, 429, "POST", PURGE, A, CMS_KEY, NULL);
    wait_s = atoi(http_header(r, "Retry-After"));
    assert_true(wait_s >= 20 && wait_s <= 30); /* one every 30 s is allowed */
    assert_string_equal(http_header(r, "Content-Type"), "application/problem+json");
    r = http_expect(w.h, 429, "POST", KEYS "/a", NULL, CMS_KEY, NULL);
    assert_non_null(http_header(r, "Retry-After"));
    http_assert_text(r, "msg", "Too Many Requests");
    world_close(&w);
}

/* A refused request does not count. */
static void a_refused_job_costs_no_pace(void **state)
{
    struct world w = with_one(state, "    jobs_per_minute: 1\n", "");

    for (int i = 0; i < 5; i++)
        http_expect(w.h, 400, "POST", PURGE, "{\"keys\":[\"a b\"]}", CMS_KEY, NULL);
    assert_taken(&w, A);
    http_expect(w.h, 429, "POST", PURGE, A, CMS_KEY, NULL);
    world_close(&w);
}

/* -- reloading the configuration -- */

static void reconfigure(struct world *w, const char *lines)
{
    struct instance *i = &w->r->instances[0];
    char *global = alloc_printf(HTTP_LISTENS "producers:\n%s", lines);
    size_t before = instance_said(i, "Configuration and tokens were reloaded");

    rig_configure(w->r, "", global);
    free(global);
    instance_signal(i, SIGHUP);
    instance_await_said(i, "Configuration and tokens were reloaded", before + 1);
}

static void sighup_lets_new_producers_in_and_old_ones_out(void **state)
{
    struct world w = with_one(state, "", "");
    char *lines = producer("new", "");

    http_expect(w.h, 401, "POST", PURGE, A, "Fastly-Key: new-token", NULL);
    reconfigure(&w, lines);
    free(lines);
    rig_await(w.r, http_do(w.h, "POST", PURGE, A, "Fastly-Key: new-token", NULL)->status == 202);
    http_expect(w.h, 401, "POST", PURGE, A, CMS_KEY, NULL);
    world_close(&w);
}

static void a_producer_has_no_new_minute_after_a_reload(void **state)
{
    struct world w = with_one(state, "    jobs_per_minute: 2\n", "");
    char *old = producer("cms", "    jobs_per_minute: 2\n"), *new = producer("new", "");
    char *lines = alloc_printf("%s%s", new, old); /* the same producer at another position */

    assert_taken(&w, A);
    assert_taken(&w, A);
    reconfigure(&w, lines);
    free(lines);
    free(old);
    free(new);
    rig_await(w.r, http_do(w.h, "POST", PURGE, A, "Fastly-Key: new-token", NULL)->status == 202);
    http_expect(w.h, 429, "POST", PURGE, A, CMS_KEY, NULL);
    world_close(&w);
}

/* -- the log -- */

/* S43: no token, valid or not, and wherever it is in the request. */
static void s43_no_token_is_ever_in_the_log(void **state)
{
    struct world w = with_one(state, "", "");
    struct instance *i = &w.r->instances[0];

    http_expect(w.h, 202, "POST", PURGE, A, "Authorization: Bearer cms-token", NULL);
    http_expect(w.h, 401, "POST", PURGE, A, "Authorization: Bearer secret-one", NULL);
    http_expect(w.h, 401, "POST", PURGE "?token=secret-two", A, "Fastly-Key: secret-three", NULL);
    http_expect(w.h, 401, "PURGE", "/a?secret-four", NULL, "X-Fastly-Key: secret-five", NULL);
    http_expect(w.h, 400, "POST", PURGE, "not json", CMS_KEY, NULL);
    http_expect(w.h, 404, "GET", "/nothing?secret-six", NULL, CMS_KEY, NULL);
    instance_await_said(i, "HTTP request refused", 5);
    assert_int_equal(instance_said(i, "cms-token"), 0);
    assert_int_equal(instance_said(i, "secret-"), 0);
    assert_int_equal(instance_said(i, sandbox_token(w.r->sandbox)), 0);
    world_close(&w);
}

static void a_refused_client_is_logged_with_the_reason(void **state)
{
    struct world w = with_one(state, "", "    allow_purge_all: true\n");
    struct instance *i = &w.r->instances[0];

    http_expect(w.h, 401, "POST", KEYS "/a\"b\\", NULL, NULL);
    instance_await_said(i,
                        "status=401 producer=\"\" peer=127.0.0.1 method=POST path=\"" KEYS
                        "/a\\\"b\\\\\" why=\"a producer's token is needed",
                        1);
    http_expect(w.h, 403, "POST", PURGE, "{\"all\":true,\"service\":\"shop\"}", CMS_KEY, NULL);
    instance_await_said(i,
                        "status=403 producer=\"cms\" peer=127.0.0.1 method=POST "
                        "path=\"/v1/purge\" why=\"all: ",
                        1);
    http_expect(w.h, 405, "GET", PURGE, NULL, CMS_KEY, NULL);
    instance_await_said(i, "status=405", 1);
    world_close(&w);
}

/* Newer versions of libmicrohttpd refuse the request before we see it, so it is not logged. */
static void an_invalid_chunk_is_logged_as_such(void **state)
{
    struct world w = world_open(state, "", "");
    struct rawhttp r;

    rawhttp_open(&r, rawhttp_port(&w.r->instances[0]));
    rawhttp_say(&r,
                "POST %s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                "5\nhello\r\n0\r\n\r\n",
                PURGE);
    rawhttp_await_status(&r, 400);
    rawhttp_close(&r);
    if (MHD_get_version()[0] == '0') {
        instance_await_said(&w.r->instances[0], "why=\"a line of the chunked body", 1);
        assert_int_equal(instance_said(&w.r->instances[0], "status=400"), 1);
    }
    assert_int_equal(instance_said(&w.r->instances[0], "status=413"), 0);
    world_close(&w);
}

static void a_body_that_is_too_large_is_in_the_log(void **state)
{
    struct world w = world_open(state, "", "http: {body_max_bytes: 1024}\n");
    char *body = alloc_zeroed(1026, 1);

    memset(body, ' ', 1025);
    http_expect(w.h, 413, "POST", PURGE, body, NULL);
    instance_await_said(&w.r->instances[0], "status=413", 1);
    memcpy(body, A, strlen(A));
    body[1024] = '\0';
    http_expect(w.h, 202, "POST", PURGE, body, NULL);
    free(body);
    world_close(&w);
}

/* Otherwise it would be accepted and later become a dead letter. */
static void a_job_that_the_dispatcher_cannot_hold_is_refused_and_its_field_named(void **state)
{
    struct world w = world_open(state, "", "memory_max: 32MiB\n");
    const struct http_reply *reply;
    struct buf body;

    buf_init(&body, 8 << 20);
    buf_printf(&body, "{\"lane\":\"bulk\",\"urls\":[");
    /* It just fits as JSON, but not as a job, which includes the names of the fields. */
    for (unsigned i = 0; i < 10000; i++)
        buf_printf(&body, "%s\"http://a/%0391u\"", i ? "," : "", i);
    buf_printf(&body, "]}");
    reply = http_expect(w.h, 413, "POST", PURGE, body.p, NULL);
    assert_non_null(strstr(reply->body, "url: the job has 43"));
    assert_non_null(strstr(reply->body, "4194304 is the most"));
    buf_clear(&body);
    buf_printf(&body, "{\"keys\":[");
    for (unsigned i = 0; i < 4000; i++)
        buf_printf(&body, "%s\"%0900u\"", i ? "," : "", i);
    buf_printf(&body, "]}");
    http_expect(w.h, 202, "POST", PURGE, body.p, NULL);
    buf_deinit(&body);
    world_close(&w);
}

/* 503 would make the client send it again and again. */
static void a_batch_for_which_there_is_never_enough_memory_is_too_large(void **state)
{
    struct world w = world_open(state, "", "memory_max: 32MiB\n");
    struct buf body;

    buf_init(&body, 8 << 20);
    buf_printf(&body, "{\"surrogate_keys\":[");
    for (unsigned i = 0; i < 4000; i++)
        buf_printf(&body, "%s\"%0600u\"", i ? "," : "", i);
    buf_printf(&body, "]}");
    assert_non_null(
        strstr(http_expect(w.h, 413, "POST", KEYS, body.p, NULL)->body, "a part of memory_max"));
    http_expect(w.h, 200, "POST", KEYS, "{\"surrogate_keys\":[\"a\"]}", NULL);
    buf_deinit(&body);
    world_close(&w);
}

static void refused_lines_of_a_bulk_are_in_the_log(void **state)
{
    struct world w = with_one(state, "    kinds: [url]\n", "");

    http_expect(w.h, 200, "POST", "/v1/purge/bulk", A "\n{\"urls\":[\"example.com/x\"]}\n", CMS_KEY,
                NULL);
    instance_await_said(&w.r->instances[0], "why=\"1 of 2 jobs were refused\"", 1);
    world_close(&w);
}

/* The sum of all values of not_written= in the log. */
static size_t not_written(const struct instance *i)
{
    FILE *f = fopen(i->log, "r");
    char line[4096];
    size_t sum = 0;

    must(f);
    while (fgets(line, sizeof(line), f)) {
        const char *at = strstr(line, "not_written=");

        sum += at ? strtoul(at + strlen("not_written="), NULL, 10) : 0;
    }
    fclose(f);
    return sum;
}

static void a_flood_of_refusals_does_not_flood_the_log(void **state)
{
    struct world w = with_one(state, "", "");
    struct instance *i = &w.r->instances[0];
    uint64_t began_ns = clock_mono_ns(), seconds;
    size_t written;

    for (int n = 0; n < 300; n++)
        http_expect(w.h, 401, "POST", PURGE, A, NULL);
    seconds = (clock_mono_ns() - began_ns) / NS_PER_S + 2;
    await_until(-1, AWAIT_PATIENCE_MS,
                not_written(i) + instance_said(i, "HTTP request refused") == 300);
    written = instance_said(i, "HTTP request refused");
    assert_true(written >= 10 && written <= seconds * 10);
    world_close(&w);
}

/* -- client certificates -- */

static void make_certificates(const struct rig *r)
{
    char *command =
        alloc_printf("cd %s && { for n in server client other; do openssl req -x509 -newkey ec"
                     " -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
                     " -addext subjectAltName=IP:127.0.0.1 -keyout $n.key -out $n.pem; done; } "
                     ">openssl.log 2>&1",
                     r->folder);

    must(system(command) == 0);
    free(command);
}

/* The status that the curl program gets; 0 for none. */
static int status_of(struct world *w, const char *options)
{
    char *out = alloc_printf("%s/status", w->r->folder);
    char *command =
        alloc_printf("curl -s -m 20 --cacert %s/server.pem -o /dev/null -w '%%{http_code}'"
                     " %s -d '" A "' %s" PURGE " >%s",
                     w->r->folder, options, http_base(w->h), out);
    int status = 0;
    FILE *f;

    (void)!system(command);
    f = fopen(out, "r");
    must(f && fscanf(f, "%d", &status) == 1);
    fclose(f);
    free(command);
    free(out);
    return status;
}

static void a_client_without_a_certificate_of_the_ca_is_not_served(void **state)
{
    struct world w = {.r = rig_open(state, "", "")};
    struct instance *i;
    char *global, *with_client, *with_other;

    make_certificates(w.r);
    global = alloc_printf(HTTP_LISTENS "http: {tls_cert_file: %s/server.pem, tls_key_file: "
                                       "%s/server.key, tls_client_ca_file: %s/client.pem}\n",
                          w.r->folder, w.r->folder, w.r->folder);
    rig_configure(w.r, "", global);
    i = rig_start_leading(w.r, 0);
    instance_await_said(i, "The HTTP endpoint listens", 1);
    w.h = http_of(w.r, 0, "https", NULL);
    with_client =
        alloc_printf("--cert %s/client.pem --key %s/client.key", w.r->folder, w.r->folder);
    with_other = alloc_printf("--cert %s/other.pem --key %s/other.key", w.r->folder, w.r->folder);
    await_until(-1, AWAIT_PATIENCE_MS, status_of(&w, with_client) == 202);
    assert_int_equal(status_of(&w, ""), 403);
    assert_int_not_equal(status_of(&w, with_other), 202);
    assert_int_equal(status_of(&w, with_client), 202);
    free(with_client);
    free(with_other);
    free(global);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_token_is_shown_in_any_of_three_headers),
        rig_test(s42_without_a_token_nothing_is_done_in_either_voice),
        rig_test(s42_without_producers_no_web_page_may_push),
        rig_test(with_producers_proxies_and_names_are_free),
        rig_test(kinds_are_what_a_producer_may_purge),
        rig_test(s41_a_producer_may_not_purge_all_by_default),
        rig_test(s45_hosts_are_those_whose_urls_it_may_purge),
        rig_test(services_are_those_it_may_purge),
        rig_test(lanes_are_those_it_may_use),
        rig_test(accounts_are_those_it_may_push_to),
        rig_test(what_another_pushed_it_may_not_take_back),
        rig_test(more_than_its_pace_is_429_with_retry_after),
        rig_test(a_refused_job_costs_no_pace),
        rig_test(sighup_lets_new_producers_in_and_old_ones_out),
        rig_test(a_producer_has_no_new_minute_after_a_reload),
        rig_test(s43_no_token_is_ever_in_the_log),
        rig_test(a_refused_client_is_logged_with_the_reason),
        rig_test(a_body_that_is_too_large_is_in_the_log),
        rig_test(an_invalid_chunk_is_logged_as_such),
        rig_test(a_job_that_the_dispatcher_cannot_hold_is_refused_and_its_field_named),
        rig_test(a_batch_for_which_there_is_never_enough_memory_is_too_large),
        rig_test(refused_lines_of_a_bulk_are_in_the_log),
        rig_test(a_flood_of_refusals_does_not_flood_the_log),
        rig_test(a_client_without_a_certificate_of_the_ca_is_not_served),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
