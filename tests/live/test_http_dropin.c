/* SPDX-License-Identifier: MIT
 * Fastly's API as used by Fastly's own clients, and the properties that all clients rely on. Each
 * test sends a request that one of them is known to send, checks the answer as that client does,
 * and then checks what was sent to Fastly. */
#include "http_fastly.h"

#include <time.h>

/* -- go-fastly and programs that use it -- */

/* fastly/purge.go escapes the key as a part of the path. S10, S46: it arrives unescaped. */
static void s46_a_key_that_the_go_client_escapes_arrives_as_it_was(void **state)
{
    struct world w = fastly_open(state);

    assert_ok(http_expect(w.h, 200, "POST", KEYS "/blog%2F17%3Ba%3Fb", NULL, KEY_HEADER,
                          "User-Agent: FastlyGo/17.0.0 (+github.com/fastly/go-fastly; go1.24)",
                          "Accept: application/json", NULL));
    assert_ok(http_expect(w.h, 200, "POST", KEYS "/100%25", NULL, KEY_HEADER, NULL));
    assert_ok(http_expect(w.h, 200, "POST", KEYS "/soft%2Fone", NULL, KEY_HEADER,
                          "Fastly-Soft-Purge: 1", NULL));
    world_assert_sent(&w, "blog/17;a?b", false);
    world_assert_sent(&w, "100%", false);
    world_assert_sent(&w, "soft/one", true);
    world_close(&w);
}

static void the_go_client_sends_its_keys_in_a_header_and_reads_a_map(void **state)
{
    struct world w = fastly_open(state);

    assert_map(http_expect(w.h, 200, "POST", KEYS, NULL, KEY_HEADER,
                           "Surrogate-Key: a/b a%2Fb article:17", NULL),
               3);
    world_assert_sent(&w, "a/b", false);
    world_assert_sent(&w, "a%2Fb", false);
    world_assert_sent(&w, "article:17", false);
    world_close(&w);
}

/* The client rebuilds the query from a map. The URL is purged exactly as the client sends it. S44
 */
static void s44_the_url_of_the_go_client_is_sent_as_it_came(void **state)
{
    static const char url[] = "https://www.example.com/a//b/%2e?a=3&z=%20x";
    struct world w = fastly_open(state);
    char target[128];

    snprintf(target, sizeof(target), "/purge/%s", url);
    assert_ok(
        http_expect(w.h, 200, "POST", target, NULL, KEY_HEADER, "Fastly-Soft-Purge: 1", NULL));
    world_assert_sent(&w, url, true);
    world_close(&w);
}

static void the_go_client_purges_all_and_reads_a_status(void **state)
{
    struct world w = fastly_open(state);

    http_assert_text(http_expect(w.h, 200, "POST", ALL, NULL, KEY_HEADER, NULL), "status", "ok");
    rig_await(w.r, world_count(&w, "all") == 1);
    world_close(&w);
}

/* -- the command line -- */

/* pkg/commands/service/purge sends a single key as a batch, and expects it in the map. */
static void s14_the_cli_finds_its_key_in_the_map(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r =
        http_expect(w.h, 200, "POST", KEYS, NULL, KEY_HEADER, "Surrogate-Key: only/one",
                    "Fastly-Soft-Purge: 1", NULL);

    assert_map(r, 1);
    assert_true(strlen(http_text(r, "only/one")) > 0);
    world_assert_sent(&w, "only/one", true);
    world_close(&w);
}

/* --file sends all lines of the file in one header of one request, which Fastly answers with 400.
 * S20, S21 */
static void s21_six_hundred_keys_in_one_header_arrive_in_batches(void **state)
{
    struct world w = fastly_open(state);
    char *header = alloc_str("Surrogate-Key:");
    const struct http_reply *r;
    char key[32];

    for (unsigned i = 0; i < 600; i++) {
        char *longer = alloc_printf("%s article-%u", header, i);

        free(header);
        header = longer;
    }
    r = http_expect(w.h, 200, "POST", KEYS, NULL, KEY_HEADER, header, NULL);
    free(header);
    assert_map(r, 600);
    world_flush(&w);
    for (unsigned i = 0; i < 600; i++) {
        snprintf(key, sizeof(key), "article-%u", i);
        assert_int_equal(requests_naming(&w.r->requests, key, 200), 1);
    }
    for (size_t i = 0; i < w.r->requests.count; i++)
        assert_true(w.r->requests.at[i].n <= 256);
    assert_true(world_count(&w, "keys") >= 3 && world_count(&w, "keys") <= 5);
    world_close(&w);
}

/* go-fastly, the CLI's --file and Drupal send a whole batch in one header; Fastly accepts 69 KB. */
static void a_batch_of_256_keys_of_256_bytes_fits_into_one_header(void **state)
{
    struct world w = fastly_open(state);
    size_t room = sizeof("Surrogate-Key:") + 256 * 257, n;
    char *header = alloc_zeroed(1, room), key[257];

    n = (size_t)snprintf(header, room, "Surrogate-Key:");
    for (unsigned i = 0; i < 256; i++)
        n += (size_t)snprintf(header + n, room - n, " %0256u", i);
    assert_map(http_expect(w.h, 200, "POST", KEYS, NULL, KEY_HEADER, header, NULL), 256);
    free(header);
    world_flush(&w);
    for (unsigned i = 0; i < 256; i++) {
        snprintf(key, sizeof(key), "%0256u", i);
        assert_int_equal(requests_naming(&w.r->requests, key, 200), 1);
    }
    world_close(&w);
}

/* -- the generated clients -- */

/* fastly-js, -py, -php, -ruby and -rust send headers in lower case, keys unescaped in the path, and
 * a batch as JSON. */
static void generated_clients_send_raw_keys_and_lower_case_headers(void **state)
{
    struct world w = fastly_open(state);

    assert_ok(http_expect(w.h, 200, "POST", KEYS "/blog/2024/a:b", NULL, "fastly-key: " TOKEN,
                          "accept: application/json", "user-agent: fastly-js/v15.0.0", NULL));
    assert_ok(http_expect(w.h, 200, "POST", KEYS "/soft", NULL, "fastly-key: " TOKEN,
                          "fastly-soft-purge: 1", NULL));
    assert_map(http_expect(w.h, 200, "POST", KEYS, "{\"surrogate_keys\":[\"k/1\",\"k2\"]}",
                           "fastly-key: " TOKEN, "content-type: application/json", NULL),
               2);
    assert_map(http_expect(w.h, 200, "POST", KEYS, NULL, "fastly-key: " TOKEN,
                           "surrogate-key: h1 h2", "fastly-soft-purge: 1", NULL),
               2);
    world_assert_sent(&w, "blog/2024/a:b", false);
    world_assert_sent(&w, "soft", true);
    world_assert_sent(&w, "k/1", false);
    world_assert_sent(&w, "k2", false);
    world_assert_sent(&w, "h1", true);
    world_close(&w);
}

/* The Rust client sends null as the body if it has none; then the keys are in the header. */
static void a_body_of_null_leaves_the_header_to_say_it(void **state)
{
    struct world w = fastly_open(state);

    assert_map(http_expect(w.h, 200, "POST", KEYS, "null", KEY_HEADER, "surrogate-key: h1",
                           "content-type: application/json", NULL),
               1);
    assert_map(http_expect(w.h, 200, "POST", KEYS, "{\"surrogate_keys\":null}", KEY_HEADER,
                           "surrogate-key: h2", NULL),
               1);
    world_assert_sent(&w, "h1", false);
    world_assert_sent(&w, "h2", false);
    world_close(&w);
}

/* The client fails if these headers are not whole numbers. */
static void no_answer_has_rate_limit_headers_that_mean_nothing(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r = http_expect(w.h, 200, "POST", KEYS "/a", NULL, KEY_HEADER, NULL);

    assert_null(http_header(r, "Fastly-RateLimit-Remaining"));
    assert_null(http_header(r, "Fastly-RateLimit-Reset"));
    world_close(&w);
}

static void keys_of_header_and_body_together_are_all_purged(void **state)
{
    struct world w = fastly_open(state);

    assert_map(http_expect(w.h, 200, "POST", KEYS, "{\"surrogate_keys\":[\"b\",\"both\"]}",
                           KEY_HEADER, "Surrogate-Key: a both", NULL),
               3);
    world_assert_sent(&w, "a", false);
    world_assert_sent(&w, "b", false);
    world_assert_sent(&w, "both", false);
    world_close(&w);
}

/* fastly-perl, fastly-ruby up to version 3, and PyPI's first implementation of batches. */
static void old_clients_send_forms_and_the_older_header(void **state)
{
    struct world w = fastly_open(state);

    assert_ok(http_expect(w.h, 200, "POST", "/purge/www.example.com/old?b=1&a=2", "",
                          "X-Fastly-Key: " TOKEN, "Content-Type: application/x-www-form-urlencoded",
                          NULL));
    assert_ok(http_expect(w.h, 200, "POST", KEYS "/perl", "a=b", "x-fastly-key: " TOKEN,
                          "Content-Type: application/x-www-form-urlencoded", NULL));
    assert_map(http_expect(w.h, 200, "POST", KEYS "/", "x=y", KEY_HEADER, "Surrogate-Key: form",
                           "Content-Type: application/x-www-form-urlencoded", NULL),
               1);
    world_assert_sent(&w, "www.example.com/old?b=1&a=2", false);
    world_assert_sent(&w, "perl", false);
    world_assert_sent(&w, "form", false);
    world_close(&w);
}

/* -- what every client relies on -- */

/* Fastly sends this header in addition to the map (go-fastly fixtures/purges/purge_by_keys.yaml).
 */
static void a_batch_says_how_many_keys_it_had(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r =
        http_expect(w.h, 200, "POST", KEYS, NULL, KEY_HEADER, "Surrogate-Key: foo bar baz", NULL);

    assert_map(r, 3);
    assert_string_equal(http_header(r, "Fastly-Surrogate-Key-Count"), "3");
    r = http_expect(w.h, 200, "POST", KEYS, "{\"surrogate_keys\":[\"foo\",\"one\"]}", KEY_HEADER,
                    "Surrogate-Key: foo", NULL);
    assert_string_equal(http_header(r, "Fastly-Surrogate-Key-Count"), "2");
    world_close(&w);
}

static const char *limit_header(struct world *w, const char *name)
{
    const struct http_reply *r = http_do(w->h, "POST", ALL, NULL, KEY_HEADER, NULL);

    assert_int_equal(r->status, 200);
    return http_header(r, name);
}

static bool is_whole_number(const char *text)
{
    return strlen(text) > 0 && strspn(text, "0123456789") == strlen(text);
}

/* go-fastly fixtures/purges/purge_all.yaml: no id, not to be stored, and the remaining writes. Here
 * these are our own remaining writes, and are left out until the leader has published them. */
static void purge_all_says_exactly_what_fastly_says(void **state)
{
    struct world w = world_open(state, PURGE_ALL "    writes: {requests: 100, per_s: 3600}\n", CMS);
    const struct http_reply *r = http_expect(w.h, 200, "POST", ALL, NULL, KEY_HEADER, NULL);
    const char *remaining, *reset;
    long long now_s;

    assert_int_equal(r->body_bytes, strlen("{\"status\":\"ok\"}"));
    assert_memory_equal(r->body, "{\"status\":\"ok\"}", r->body_bytes);
    assert_string_equal(http_header(r, "Cache-Control"), "no-store");
    rig_await(w.r, limit_header(&w, "Fastly-RateLimit-Remaining") != NULL);
    remaining = limit_header(&w, "Fastly-RateLimit-Remaining");
    assert_true(is_whole_number(remaining) && atoi(remaining) <= 99);
    reset = limit_header(&w, "Fastly-RateLimit-Reset");
    now_s = (long long)time(NULL);
    assert_true(is_whole_number(reset));
    assert_true(atoll(reset) >= now_s + 3600 - 60 && atoll(reset) <= now_s + 3600 + 60);
    assert_null(http_header(http_expect(w.h, 200, "POST", KEYS "/a", NULL, KEY_HEADER, NULL),
                            "Fastly-RateLimit-Remaining"));
    world_close(&w);
}

/* Some base URLs end with a slash, and some clients append a slash to every path. But the path of a
 * PURGE is the site's, and our own paths have only one spelling. */
static void a_slash_too_many_is_passed_over(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r;

    assert_map(http_expect(w.h, 200, "POST", "/" KEYS, NULL, KEY_HEADER, "Surrogate-Key: s1", NULL),
               1);
    assert_ok(http_expect(w.h, 200, "POST", "/" KEYS "/s2//x/", NULL, KEY_HEADER, NULL));
    assert_ok(http_expect(w.h, 200, "POST", "//purge/https://www.example.com//s3/?q=//", NULL,
                          KEY_HEADER, NULL));
    r = http_expect(w.h, 200, "GET", "//service/" NEWS "/", NULL, KEY_HEADER, NULL);
    http_assert_text(r, "name", "news");
    http_expect(w.h, 200, "GET", "/service/?page=1", NULL, KEY_HEADER, NULL);
    world_assert_sent(&w, "s1", false);
    world_assert_sent(&w, "s2//x/", false);
    world_assert_sent(&w, "https://www.example.com//s3/?q=//", false);
    http_assert_text(http_expect(w.h, 200, "POST", ALL "/", NULL, KEY_HEADER, NULL), "status",
                     "ok");
    rig_await(w.r, world_count(&w, "all") == 1);
    http_expect(w.h, 404, "POST", "//v1/purge", "{\"keys\":[\"a\"]}", KEY_HEADER, NULL);
    http_expect(w.h, 404, "POST", "/v1/purge/", "{\"keys\":[\"a\"]}", KEY_HEADER, NULL);
    http_expect(w.h, 404, "POST", "///purge/www.example.com/", NULL, KEY_HEADER, NULL);
    world_close(&w);
}

/* fastly-go's first releases, and encodeURIComponent, escape the whole URL as one part of the path.
 * Other escapes are sent unchanged. */
static void a_url_escaped_as_a_whole_is_decoded_once(void **state)
{
    struct world w = fastly_open(state);

    assert_ok(http_expect(w.h, 200, "POST",
                          "/purge/https:%2F%2Fwww.example.com%2Fa%2520b%2F%3Fx=1&y=%2526", NULL,
                          KEY_HEADER, NULL));
    assert_ok(http_expect(w.h, 200, "POST", "/purge/HTTP%3a%2f%2Fwww.example.com%2fc%3Fd", NULL,
                          KEY_HEADER, NULL));
    assert_ok(http_expect(w.h, 200, "POST", "/purge/https://www.example.com/%2F%2Fe?f=http:%2F%2Fg",
                          NULL, KEY_HEADER, NULL));
    world_assert_sent(&w, "https://www.example.com/a%20b/?x=1&y=%26", false);
    world_assert_sent(&w, "HTTP://www.example.com/c?d", false);
    world_assert_sent(&w, "https://www.example.com/%2F%2Fe?f=http:%2F%2Fg", false);
    http_expect(w.h, 400, "POST", "/purge/https:%2F%2Fwww.example.com/a", NULL, KEY_HEADER, NULL);
    http_expect(w.h, 400, "POST", "/purge/https:%2F%2Fwww.example.com%2F100%", NULL, KEY_HEADER,
                NULL);
    http_expect(w.h, 400, "POST", "/purge/https:%2F%2Fwww.example.com%2Fa?b", NULL, KEY_HEADER,
                NULL);
    http_expect(w.h, 400, "POST", "/purge/https:%2F%2Fwww.example.com%2Fa%0d%0ab", NULL, KEY_HEADER,
                NULL);
    world_close(&w);
}

static void a_purge_at_the_site_keeps_its_slashes(void **state)
{
    struct world w = fastly_open(state);

    assert_ok(http_expect(w.h, 200, "PURGE", "//a//b/?x=//", NULL, "Host: www.example.com",
                          KEY_HEADER, NULL));
    world_assert_sent(&w, "www.example.com//a//b/?x=//", false);
    world_close(&w);
}

static void a_batch_that_cannot_be_is_refused_as_fastly_does(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r = http_expect(
        w.h, 400, "POST", KEYS, "{\"surrogate_keys\":[\"good\",\"bad key\"]}", KEY_HEADER, NULL);

    http_assert_text(r, "status", "fail");
    assert_non_null(strstr(http_text(r, "reason"), "keys: "));
    r = http_expect(w.h, 400, "POST", KEYS, NULL, KEY_HEADER, NULL);
    http_assert_text(r, "status", "fail");
    r = http_expect(w.h, 400, "POST", KEYS, "{\"surrogate_keys\":\"a\"}", KEY_HEADER, NULL);
    http_assert_text(r, "status", "fail");
    r = http_expect(w.h, 400, "POST", KEYS, "{\"surrogate_keys\":[1]}", KEY_HEADER, NULL);
    http_assert_text(r, "status", "fail");
    world_flush(&w);
    assert_int_equal(requests_naming(&w.r->requests, "good", ANY_STATUS), 0);
    world_close(&w);
}

/* The maximum length of a key, in each kind of request. */
static void a_key_may_have_1024_bytes_and_no_more(void **state)
{
    struct world w = fastly_open(state);
    char key[1026], target[1200], header[1200];

    memset(key, 'k', sizeof(key));
    key[1024] = '\0';
    snprintf(target, sizeof(target), KEYS "/%s", key);
    assert_ok(http_expect(w.h, 200, "POST", target, NULL, KEY_HEADER, NULL));
    key[1024] = 'k';
    key[1025] = '\0';
    snprintf(target, sizeof(target), KEYS "/%s", key);
    http_expect(w.h, 400, "POST", target, NULL, KEY_HEADER, NULL);
    snprintf(header, sizeof(header), "Surrogate-Key: %s", key);
    http_expect(w.h, 400, "POST", KEYS, NULL, KEY_HEADER, header, NULL);
    key[1024] = '\0';
    world_assert_sent(&w, key, false);
    world_close(&w);
}

/* A service can also be named by its name, and each service has its own keys. */
static void a_service_is_found_by_id_and_by_name(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r;

    assert_ok(http_expect(w.h, 200, "POST", "/service/shop/purge/k", NULL, KEY_HEADER, NULL));
    assert_string_equal(world_sent(&w, "k")->service, SHOP);
    r = http_expect(w.h, 200, "GET", "/service", NULL, KEY_HEADER, NULL);
    assert_int_equal(json_array_size(r->json), 2);
    world_close(&w);
}

/* The lane is our own extension. A client that can add a header can choose one. */
static void a_header_chooses_the_lane(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r =
        http_expect(w.h, 200, "POST", KEYS "/a", NULL, KEY_HEADER, "Purgeline-Lane: urgent", NULL);

    assert_ptr_equal(strstr(http_text(r, "id"), "urgent-"), http_text(r, "id"));
    http_expect(w.h, 400, "POST", KEYS "/a", NULL, KEY_HEADER, "Purgeline-Lane: soon", NULL);
    world_close(&w);
}

/* S15 to S17: a client gets a confirmation only after Redis has stored the job. */
static void s16_no_client_is_told_yes_while_redis_is_away(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r;

    redis_server_kill(w.r->redis);
    r = http_do(w.h, "POST", KEYS "/a", NULL, KEY_HEADER, NULL);
    assert_int_equal(r->status, 503);
    assert_non_null(http_header(r, "Retry-After"));
    assert_true(strlen(http_text(r, "msg")) > 0);
    r = http_expect(w.h, 503, "POST", KEYS, NULL, KEY_HEADER, "Surrogate-Key: b", NULL);
    assert_non_null(http_header(r, "Retry-After"));
    redis_server_restart(w.r->redis);
    rig_await(w.r, http_do(w.h, "POST", KEYS "/c", NULL, KEY_HEADER, NULL)->status == 200);
    rig_await(w.r, requests_naming(&w.r->requests, "c", 200) > 0);
    world_close(&w);
}

/* S41: all content of a service is purged only if that is allowed, and it is always audited. */
static void s41_purge_all_is_guarded_and_audited(void **state)
{
    struct world w = world_open(state, "", CMS);
    struct instance *i = &w.r->instances[0];
    char *line;

    http_assert_text(http_expect(w.h, 403, "POST", ALL, NULL, KEY_HEADER, NULL), "msg",
                     "Forbidden");
    instance_await_said(
        i, "status=403 producer=\"cms\" peer=127.0.0.1 method=POST path=\"" ALL "\"", 1);
    http_close(w.h);
    rig_stop(w.r, 0);
    rig_configure(w.r, PURGE_ALL, HTTP_LISTENS CMS);
    w.h = http_serve(w.r, 0);
    http_expect(w.h, 200, "POST", ALL, NULL, KEY_HEADER, NULL);
    instance_await_said(i, "A producer pushes a purge-all", 1);
    rig_await(w.r, world_count(&w, "all") == 1);
    rig_await_empty(w.r);
    line = redis_server_str(w.r->redis, "EVAL %s 0",
                            "return redis.call('XRANGE', 'purgeline:{main}:history', '-', '+')[1]"
                            "[2][10]");
    assert_non_null(strstr(line, "\"all\":true"));
    assert_non_null(strstr(line, "\"by\":\"cms\""));
    free(line);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(s46_a_key_that_the_go_client_escapes_arrives_as_it_was),
        rig_test(the_go_client_sends_its_keys_in_a_header_and_reads_a_map),
        rig_test(s44_the_url_of_the_go_client_is_sent_as_it_came),
        rig_test(the_go_client_purges_all_and_reads_a_status),
        rig_test(s14_the_cli_finds_its_key_in_the_map),
        rig_test(s21_six_hundred_keys_in_one_header_arrive_in_batches),
        rig_test(a_batch_of_256_keys_of_256_bytes_fits_into_one_header),
        rig_test(generated_clients_send_raw_keys_and_lower_case_headers),
        rig_test(a_body_of_null_leaves_the_header_to_say_it),
        rig_test(no_answer_has_rate_limit_headers_that_mean_nothing),
        rig_test(keys_of_header_and_body_together_are_all_purged),
        rig_test(old_clients_send_forms_and_the_older_header),
        rig_test(a_batch_says_how_many_keys_it_had),
        rig_test(purge_all_says_exactly_what_fastly_says),
        rig_test(a_slash_too_many_is_passed_over),
        rig_test(a_url_escaped_as_a_whole_is_decoded_once),
        rig_test(a_purge_at_the_site_keeps_its_slashes),
        rig_test(a_batch_that_cannot_be_is_refused_as_fastly_does),
        rig_test(a_key_may_have_1024_bytes_and_no_more),
        rig_test(a_service_is_found_by_id_and_by_name),
        rig_test(a_header_chooses_the_lane),
        rig_test(s16_no_client_is_told_yes_while_redis_is_away),
        rig_test(s41_purge_all_is_guarded_and_audited),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
