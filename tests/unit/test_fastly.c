/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fastly_buffers.h"

#define API "https://api.fastly.com"
#define SERVICE SPAN("SU1Z0isxPaozGVKXdv0eY")
#define WALL_MS UINT64_C(1756794994000) /* Tue, 02 Sep 2025 06:36:34 GMT */

static struct span one_url[] = {{"www.example.com/a?b", 19}};
static struct span three_keys[] = {{"foo", 3}, {"bar", 3}, {"baz", 3}};

static const struct fastly_ask ask_keys = {
    .kind = TARGET_KEY, .service = {"SU1", 3}, .targets = three_keys, .targets_count = 3};
static const struct fastly_ask ask_url = {
    .kind = TARGET_URL, .targets = one_url, .targets_count = 1, .url_mode = URL_MODE_API};
static const struct fastly_ask ask_direct = {
    .kind = TARGET_URL, .targets = one_url, .targets_count = 1, .url_mode = URL_MODE_DIRECT};
static const struct fastly_ask ask_all = {.kind = TARGET_ALL, .service = {"SU1", 3}};

/* -- requests -- */

static struct fastly_request request;

static int open_request(void **state)
{
    (void)state;
    fastly_request_init(&request);
    return 0;
}

static int close_request(void **state)
{
    (void)state;
    fastly_request_deinit(&request);
    return 0;
}

static void builds(const struct fastly_ask *ask, const char *method, const char *url,
                   const char *header, const char *body)
{
    fastly_request_build(&request, API, ask);
    assert_string_equal(request.method, method);
    assert_true(span_is(buf_span(&request.url), url));
    assert_true(span_is(buf_span(&request.header), header));
    assert_true(span_is(buf_span(&request.body), body));
}

/* Builds the request in a child process, which must abort. */
static void aborts(const struct fastly_ask *ask)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        fastly_request_build(&request, API, ask);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void keys_travel_in_the_surrogate_key_header(void **state)
{
    struct fastly_ask ask = ask_keys;

    ask.service = SERVICE;
    builds(&ask, "POST", API "/service/SU1Z0isxPaozGVKXdv0eY/purge", "Surrogate-Key: foo bar baz",
           "");
    (void)state;
}

/* In the path, a key may be decoded on the way: https://github.com/fastly/cli/pull/1566 */
static void even_one_key_does_not_travel_in_the_path(void **state)
{
    struct span key[] = {SPAN("a/b%2F?+#,")};
    struct fastly_ask ask = ask_keys;

    ask.targets = key;
    ask.targets_count = 1;
    builds(&ask, "POST", API "/service/SU1/purge", "Surrogate-Key: a/b%2F?+#,", "");
    (void)state;
}

static void the_json_form_escapes_what_json_wants_escaped(void **state)
{
    struct span keys[] = {SPAN("a"), SPAN("\""), SPAN("\\x\"y\\"), SPAN("/")};
    struct fastly_ask ask = ask_keys;

    ask.key_form = KEY_FORM_JSON;
    ask.targets = keys;
    ask.targets_count = 4;
    builds(&ask, "POST", API "/service/SU1/purge", "Content-Type: application/json",
           "{\"surrogate_keys\":[\"a\",\"\\\"\",\"\\\\x\\\"y\\\\\",\"/\"]}");
    (void)state;
}

/* In another program, the query was lost: https://github.com/fastly/fastly-magento2/issues/759 */
static void a_url_goes_out_as_it_came_in(void **state)
{
    struct span url[] = {SPAN("HTTP://Www.Example.com//a//./b?z=1&a=%2f&z=1&u=http://x/")};
    struct fastly_ask ask = ask_url;

    ask.targets = url;
    builds(&ask, "POST", API "/purge/HTTP://Www.Example.com//a//./b?z=1&a=%2f&z=1&u=http://x/", "",
           "");
    ask.url_mode = URL_MODE_DIRECT;
    builds(&ask, "PURGE", "HTTP://Www.Example.com//a//./b?z=1&a=%2f&z=1&u=http://x/", "", "");
    (void)state;
}

static void a_url_without_scheme_is_asked_for_over_https(void **state)
{
    builds(&ask_direct, "PURGE", "https://www.example.com/a?b", "", "");
    builds(&ask_url, "POST", API "/purge/www.example.com/a?b", "", "");
    (void)state;
}

/* The producer chooses the URL, but only the operator decides which sites get the token. */
static void the_token_goes_to_a_site_only_if_it_is_listed_and_over_https(void **state)
{
    static char *listed[] = {(char *)"www.example.com", (char *)"b.example:8443"};
    static const struct config_words hosts = {listed, 2};
    static const struct {
        const char *url;
        bool shown;
    } cases[] = {
        {"https://www.example.com/a", true},
        {"HTTPS://WWW.example.com?a", true},
        {"www.example.com/a", true},
        {"https://b.example:8443/", true},
        {"http://www.example.com/a", false},
        {"HTTP://www.example.com/a", false},
        {"http://b.example:8443/", false},
        {"https://www.example.com:444/a", false},
        {"https://b.example/", false},
        {"https://x.www.example.com/", false},
        {"https://other.example/?https://www.example.com/", false},
    };
    struct fastly_ask ask = ask_direct;

    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        struct span url[] = {span_str(cases[i].url)};

        ask.targets = url;
        ask.token_hosts = &hosts;
        fastly_request_build(&request, API, &ask);
        assert_true(request.to_site);
        assert_int_equal(request.show_token, cases[i].shown);
        ask.token_hosts = NULL;
        fastly_request_build(&request, API, &ask);
        assert_false(request.show_token);
    }
    fastly_request_build(&request, API, &ask_url);
    assert_true(request.show_token && !request.to_site);
    fastly_request_build(&request, API, &ask_keys);
    assert_true(request.show_token && !request.to_site);
    fastly_request_build(&request, API, &ask_all);
    assert_true(request.show_token && !request.to_site);
}

static void all_of_a_service_has_an_endpoint_of_its_own(void **state)
{
    builds(&ask_all, "POST", API "/service/SU1/purge_all", "", "");
    (void)state;
}

static void nothing_of_the_request_before_is_left(void **state)
{
    struct fastly_ask json = ask_keys;

    json.key_form = KEY_FORM_JSON;
    fastly_request_build(&request, API, &json);
    fastly_request_build(&request, API, &ask_direct);
    builds(&ask_all, "POST", API "/service/SU1/purge_all", "", "");
    (void)state;
}

static void a_batch_of_257_keys_is_our_mistake(void **state)
{
    static struct span keys[257];
    struct fastly_ask ask = ask_keys;

    for (size_t i = 0; i < 257; i++)
        keys[i] = SPAN("k");
    ask.targets = keys;
    ask.targets_count = 255;
    fastly_request_build(&request, API, &ask);
    ask.targets_count = 256;
    fastly_request_build(&request, API, &ask);
    ask.targets_count = 257;
    aborts(&ask);
    ask.targets_count = 0;
    aborts(&ask);
    (void)state;
}

/* `count` keys of 1024 bytes and one shorter key, so that the header value has `total` bytes. */
static struct fastly_ask batch_of_bytes(size_t total, char c, enum key_form form)
{
    static char text[KEY_MAX_BYTES];
    static struct span keys[64];
    struct fastly_ask ask = ask_keys;
    size_t bytes = 0, n = 0;

    memset(text, c, sizeof(text));
    while (bytes < total) {
        size_t room = total - bytes, per_byte = c == '"' && form == KEY_FORM_JSON ? 2 : 1;
        size_t around = form == KEY_FORM_JSON ? 3 : 1;
        size_t length = (room - around) / per_byte;

        keys[n] = span_of(text, length > 500 ? 400 : length);
        bytes += fastly_key_bytes(form, keys[n++]);
    }
    assert_int_equal(bytes, total);
    ask.key_form = form;
    ask.targets = keys;
    ask.targets_count = n;
    return ask;
}

static void a_header_value_of_16385_bytes_is_our_mistake(void **state)
{
    struct fastly_ask ask = batch_of_bytes(FASTLY_BATCH_MAX_BYTES, 'k', KEY_FORM_HEADER);

    fastly_request_build(&request, API, &ask);
    ask = batch_of_bytes(FASTLY_BATCH_MAX_BYTES + 1, 'k', KEY_FORM_HEADER);
    fastly_request_build(&request, API, &ask);
    assert_int_equal(request.header.n, strlen("Surrogate-Key: ") + FASTLY_BATCH_MAX_BYTES);
    ask = batch_of_bytes(FASTLY_BATCH_MAX_BYTES + 2, 'k', KEY_FORM_HEADER);
    aborts(&ask);
    (void)state;
}

static void escapes_count_towards_the_ceiling_of_the_json_form(void **state)
{
    struct fastly_ask ask = batch_of_bytes(FASTLY_BATCH_MAX_BYTES + 1, '"', KEY_FORM_JSON);

    fastly_request_build(&request, API, &ask);
    assert_int_equal(request.body.n, strlen("{\"surrogate_keys\":[]}") + FASTLY_BATCH_MAX_BYTES);
    ask = batch_of_bytes(FASTLY_BATCH_MAX_BYTES + 3, '"', KEY_FORM_JSON);
    aborts(&ask);
    assert_int_equal(fastly_key_bytes(KEY_FORM_JSON, SPAN("a\"\\")), 8);
    assert_int_equal(fastly_key_bytes(KEY_FORM_HEADER, SPAN("a\"\\")), 4);
    (void)state;
}

static void what_was_never_checked_does_not_leave(void **state)
{
    struct span bad[] = {SPAN("k\r\nX: y")}, climbing[] = {SPAN("h/../service/SU1/purge_all")};
    struct fastly_ask key = ask_keys, url = ask_url, all = ask_all;

    key.targets = bad;
    key.targets_count = 1;
    aborts(&key);
    url.targets = climbing;
    aborts(&url);
    all.service = SPAN("../x");
    aborts(&all);
    all.service = SPAN("SU1");
    all.soft = true;
    aborts(&all);
    (void)state;
}

static void the_longest_url_fits(void **state)
{
    static char text[URL_MAX_BYTES];
    struct span url[] = {{text, sizeof(text)}};
    struct fastly_ask ask = ask_url;

    memset(text, 'u', sizeof(text));
    text[1] = '/';
    ask.targets = url;
    fastly_request_build(&request, API, &ask);
    ask.url_mode = URL_MODE_DIRECT;
    fastly_request_build(&request, API, &ask);
    assert_int_equal(request.url.n, strlen("https://") + URL_MAX_BYTES);
    (void)state;
}

/* -- replies -- */

static struct fastly_judgement judged;
static struct fastly_ids ids;
static bool missing[FASTLY_BATCH_MAX_KEYS];
static size_t missing_count;

static void judge_reply(const struct fastly_ask *ask, const struct fastly_reply *reply)
{
    fastly_ids_deinit(&ids);
    memset(&ids, 0xff, sizeof(ids));
    fastly_judge(ask, reply, WALL_MS, &judged, missing, &missing_count, &ids);
}

static void judge(const struct fastly_ask *ask, int status, const char *body)
{
    struct fastly_reply reply = {.status = status, .body = span_str(body)};

    memset(missing, 0, sizeof(missing));
    missing_count = 4711;
    memset(&judged, 0xff, sizeof(judged));
    judge_reply(ask, &reply);
    if (ask->kind != TARGET_KEY || judged.verdict != VERDICT_PURGED)
        assert_int_equal(missing_count, 4711);
}

static void is_judged(const struct fastly_ask *ask, int status, const char *body,
                      enum verdict verdict, const char *reason)
{
    judge(ask, status, body);
    if (judged.verdict != verdict)
        fail_msg("%d %s: %s instead of %s", status, body, verdict_names[judged.verdict],
                 verdict_names[verdict]);
    assert_string_equal(judged.reason, reason);
}

static void a_batch_that_is_named_key_by_key_is_purged(void **state)
{
    is_judged(&ask_keys, 200,
              "{ \"foo\": \"4151-1635861748-11035\", \"bar\": \"4151-1635861748-11036\", "
              "\"baz\": \"4151-1635861748-11037\" }",
              VERDICT_PURGED, "");
    assert_int_equal(missing_count, 0);
    is_judged(&ask_keys, 200, "{\"baz\":\"3\",\"foo\":\"1\",\n\"bar\":\"2\"}\n", VERDICT_PURGED,
              "");
    assert_int_equal(missing_count, 0);
    is_judged(&ask_keys, 200, "{\"foo\":\"1\",\"b\\u0061r\":\"2\",\"baz\":\"3\",\"more\":[{}]}",
              VERDICT_PURGED, "");
    assert_int_equal(missing_count, 0);
    assert_int_equal(judged.wait_ms, 0);
    (void)state;
}

static void a_key_the_reply_does_not_name_is_missing(void **state)
{
    is_judged(&ask_keys, 200, "{\"foo\":\"1\",\"baz\":\"3\"}", VERDICT_PURGED, "");
    assert_int_equal(missing_count, 1);
    assert_true(!missing[0] && missing[1] && !missing[2]);
    is_judged(&ask_keys, 200, "{\"foo\":null,\"bar\":\"\",\"baz\":\"3\"}", VERDICT_PURGED, "");
    assert_int_equal(missing_count, 2);
    assert_true(missing[0] && missing[1] && !missing[2]);
    is_judged(&ask_keys, 200, "{\"foo\":\"1\"}", VERDICT_PURGED, "");
    assert_int_equal(missing_count, 2);
    is_judged(&ask_keys, 200, "{\"foo\":\"1\",\"bar\":\"\",\"baz\":\"3\"}", VERDICT_PURGED, "");
    assert_int_equal(missing_count, 1);
    assert_true(missing[1]);
    (void)state;
}

static void a_batch_reply_that_names_none_of_the_keys_is_asked_for_again(void **state)
{
    static const char *const bodies[] = {"",
                                         "{}",
                                         "[]",
                                         "null",
                                         "{\"status\":\"ok\",\"id\":\"1\"}",
                                         "<html>ok</html>",
                                         "{\"foo\":\"1\",\"bar\":\"2\",\"baz\":\"3\"",
                                         "{\"FOO\":\"1\"}",
                                         "{\"foo\":1}",
                                         "{\"foo\":\"1\",\"bar\":\"2\",\"baz\":\"3\"} x",
                                         "{\"foo\":\"1\",\"bar\":\"2\",\"baz\":\"3\",}"};

    for (size_t i = 0; i < array_len(bodies); i++)
        is_judged(&ask_keys, 200, bodies[i], VERDICT_RETRY,
                  "200: the reply does not say what was purged");
    (void)state;
}

static void a_key_called_status_does_not_take_a_failure_for_its_id(void **state)
{
    struct span keys[] = {SPAN("status")};
    struct fastly_ask ask = ask_keys;

    ask.targets = keys;
    ask.targets_count = 1;
    is_judged(&ask, 200, "{\"status\":\"1-2-3\"}", VERDICT_PURGED, "");
    is_judged(&ask, 200, "{\"status\":\"fail\"}", VERDICT_RETRY,
              "200: the reply does not say what was purged");
    is_judged(&ask, 200, "{\"status\":\"fail\",\"reason\":\"x\"}", VERDICT_RETRY,
              "200: the reply does not say what was purged");
    (void)state;
}

static void a_url_or_all_is_purged_when_the_status_says_ok(void **state)
{
    is_judged(&ask_url, 200, "{\"status\":\"ok\",\"id\":\"17722-1500509140-5286\"}", VERDICT_PURGED,
              "");
    is_judged(&ask_url, 200, "{ \"status\": \"ok\", \"id\": \"4151-1635861748-11038\" }\n",
              VERDICT_PURGED, "");
    is_judged(&ask_url, 200, "{\"id\":\"1\",\"status\":\"ok\"}", VERDICT_PURGED, "");
    is_judged(&ask_all, 200, "{\"status\":\"ok\"}", VERDICT_PURGED, "");
    is_judged(&ask_all, 204, "{\"status\":\"ok\",\"x\":[1]}", VERDICT_PURGED, "");
    (void)state;
}

static void the_api_must_say_ok_and_a_site_need_not(void **state)
{
    static const char *const bodies[] = {"", "OK", "{\"status\":\"purged\"}", "{\"status\":true}"};

    for (size_t i = 0; i < array_len(bodies); i++) {
        judge(&ask_url, 200, bodies[i]);
        assert_int_equal(judged.verdict, VERDICT_RETRY);
        judge(&ask_all, 200, bodies[i]);
        assert_int_equal(judged.verdict, VERDICT_RETRY);
        is_judged(&ask_direct, 200, bodies[i], VERDICT_PURGED, "");
    }
    judge(&ask_direct, 200, "{\"status\":\"fail\"}");
    assert_int_equal(judged.verdict, VERDICT_RETRY);
    judge(&ask_url, 200, "{\"status\":\"ok\",\"status\":\"fail\"}");
    assert_int_equal(judged.verdict, VERDICT_RETRY);
    (void)state;
}

/* -- ids -- */

/* `wanted`: of each target, separated by commas. */
static void are_given(const struct fastly_ask *ask, const char *body, const char *wanted)
{
    char found[600] = "";
    size_t n = 0;

    judge(ask, 200, body);
    assert_int_equal(judged.verdict, VERDICT_PURGED);
    for (size_t i = 0; i < max_u64(ask->targets_count, 1); i++)
        n += (size_t)snprintf(found + n, sizeof(found) - n, "%s%.*s", i ? "," : "",
                              (int)ids.of[i].n, ids.of[i].p);
    assert_string_equal(found, wanted);
}

static void each_key_of_a_batch_has_its_id(void **state)
{
    are_given(&ask_keys, "{\"foo\": \"1-2-3-1\", \"bar\": \"1-2-3-2\",\"baz\":\"x y\"}",
              "1-2-3-1,1-2-3-2,x y");
    are_given(&ask_keys, "{\"baz\":\"3\",\"foo\":\"1\",\n\"bar\":\"2\"}\n", "1,2,3");
    are_given(&ask_keys, "{\"foo\":\"1\",\"baz\":\"\\u0033\"}", "1,,3");
    are_given(&ask_keys, "{\"foo\":\"1\",\"b\\u0061r\":\"2\",\"baz\":\"3\",\"more\":[{}]}",
              "1,2,3");
    are_given(&ask_keys, "{\"foo\":\"1\",\"bar\":\"fail\",\"baz\":\"3\"}", "1,,3");
    assert_true(!missing[0] && missing[1] && !missing[2]);
    (void)state;
}

static void a_url_has_the_id_of_its_reply_and_a_purge_all_has_none(void **state)
{
    are_given(&ask_url, "{\"status\":\"ok\",\"id\":\"17722-1500509140-5286\"}",
              "17722-1500509140-5286");
    are_given(&ask_url, "{\"id\":\"1\",\"status\":\"ok\"}", "1");
    are_given(&ask_url, "{\"status\":\"ok\"}", "");
    are_given(&ask_url, "{\"status\":\"ok\",\"id\":17}", "");
    are_given(&ask_url, "{\"status\":\"ok\",\"id\":\"\"}", "");
    are_given(&ask_direct, "{\"status\": \"ok\", \"id\": \"17722-1500509140-5286\"}\n",
              "17722-1500509140-5286");
    are_given(&ask_direct, "OK", "");
    are_given(&ask_direct, "", "");
    are_given(&ask_direct, "{\"status\":\"purged\",\"id\":\"7\"}", "7");
    are_given(&ask_all, "{\"status\":\"ok\"}", "");
    are_given(&ask_all, "{\"status\":\"ok\",\"id\":\"9\"}", "9");
    (void)state;
}

#define ID_64 "1234567890123456789012345678901234567890123456789012345678901234"

/* The purges count all the same. */
static void an_id_that_may_not_be_shown_is_ignored(void **state)
{
    static const char *const odd[] = {ID_64 "5", "a\\\"b",   "a\\\\b",   "a\\nb",
                                      "\\u00e4", "\xc3\xa4", "a\\u007f", "\\u001b[31m"};

    are_given(&ask_url, "{\"status\":\"ok\",\"id\":\"" ID_64 "\"}", ID_64);
    are_given(&ask_keys, "{\"foo\":\"" ID_64 "\",\"bar\":\"" ID_64 "5\",\"baz\":\"3\"}",
              ID_64 ",,3");
    are_given(&ask_url, "{\"id\":\"" ID_64 "5\",\"status\":\"ok\"}", "");
    are_given(&ask_keys, "{\"bar\":\"" ID_64 "5\",\"foo\":\"1\",\"baz\":\"3\"}", "1,,3");
    for (size_t i = 0; i < array_len(odd); i++) {
        char body[200];

        snprintf(body, sizeof(body), "{\"status\":\"ok\",\"id\":\"%s\"}", odd[i]);
        are_given(&ask_url, body, "");
        snprintf(body, sizeof(body), "{\"foo\":\"1\",\"bar\":\"%s\",\"baz\":\"3\"}", odd[i]);
        are_given(&ask_keys, body, "1,,3");
        assert_int_equal(missing_count, 0);
    }
    (void)state;
}

#define MSG "{\"msg\":\"no\"}"

static void every_status_has_its_verdict_for_everything_one_can_ask(void **state)
{
    static const struct {
        int status;
        enum verdict keys, all, url_api, url_site, direct;
    } cases[] = {
#define EACH_THE_SAME(status, v)                                                                   \
    {status, VERDICT_##v, VERDICT_##v, VERDICT_##v, VERDICT_##v, VERDICT_##v}
        EACH_THE_SAME(0, RETRY),
        EACH_THE_SAME(-1, RETRY),
        EACH_THE_SAME(100, RETRY),
        EACH_THE_SAME(199, RETRY),
        {301, VERDICT_RETRY, VERDICT_RETRY, VERDICT_RETRY, VERDICT_RETRY, VERDICT_DENIED},
        {399, VERDICT_RETRY, VERDICT_RETRY, VERDICT_RETRY, VERDICT_RETRY, VERDICT_DENIED},
        EACH_THE_SAME(400, REFUSED),
        {401, VERDICT_AUTH, VERDICT_AUTH, VERDICT_AUTH, VERDICT_AUTH, VERDICT_DENIED},
        EACH_THE_SAME(402, REFUSED),
        {403, VERDICT_AUTH, VERDICT_DENIED, VERDICT_AUTH, VERDICT_DENIED, VERDICT_DENIED},
        {404, VERDICT_NO_SERVICE, VERDICT_NO_SERVICE, VERDICT_DENIED, VERDICT_DENIED,
         VERDICT_DENIED},
        EACH_THE_SAME(405, REFUSED),
        EACH_THE_SAME(407, REFUSED),
        EACH_THE_SAME(408, RETRY),
        EACH_THE_SAME(409, RETRY),
        EACH_THE_SAME(410, REFUSED),
        EACH_THE_SAME(413, REFUSED),
        EACH_THE_SAME(414, REFUSED),
        EACH_THE_SAME(424, REFUSED),
        EACH_THE_SAME(425, RETRY),
        EACH_THE_SAME(426, REFUSED),
        EACH_THE_SAME(428, REFUSED),
        EACH_THE_SAME(429, THROTTLED),
        EACH_THE_SAME(431, REFUSED),
        EACH_THE_SAME(499, REFUSED),
        EACH_THE_SAME(500, RETRY),
        EACH_THE_SAME(503, RETRY),
        EACH_THE_SAME(599, RETRY),
        EACH_THE_SAME(999, RETRY),
#undef EACH_THE_SAME
    };

    for (size_t i = 0; i < array_len(cases); i++) {
        judge(&ask_keys, cases[i].status, MSG);
        assert_int_equal(judged.verdict, cases[i].keys);
        judge(&ask_all, cases[i].status, MSG);
        assert_int_equal(judged.verdict, cases[i].all);
        judge(&ask_url, cases[i].status, MSG);
        assert_int_equal(judged.verdict, cases[i].url_api);
        judge(&ask_url, cases[i].status, "Forbidden");
        assert_int_equal(judged.verdict, cases[i].url_site);
        judge(&ask_direct, cases[i].status, MSG);
        assert_int_equal(judged.verdict, cases[i].direct);
    }
    (void)state;
}

/* https://github.com/fastly/fastly-magento2/issues/104 */
static void the_batch_limit_is_read_from_the_refusal(void **state)
{
    is_judged(
        &ask_keys, 400,
        "{\"status\": \"fail\", \"reason\": \"Batch surrogate key request only supports up to "
        "256 surrogate keys\"}",
        VERDICT_REFUSED, "400: Batch surrogate key request only supports up to 256 surrogate keys");
    assert_int_equal(judged.keys_limit, 256);
    judge(&ask_keys, 400, "only supports up to 1 surrogate key");
    assert_int_equal(judged.keys_limit, 1);
    judge(&ask_keys, 400, "only supports up to 257 surrogate keys");
    assert_int_equal(judged.keys_limit, 0);
    judge(&ask_keys, 400, "only supports up to ");
    assert_int_equal(judged.keys_limit, 0);
    judge(&ask_keys, 400, "only supports up to 99999999999999999999999");
    assert_int_equal(judged.keys_limit, 0);
    judge(&ask_keys, 503, "only supports up to 16 surrogate keys");
    assert_int_equal(judged.keys_limit, 0);
    (void)state;
}

/* The formats in https://github.com/fastly/go-fastly/blob/main/fastly/errors.go */
static void the_reason_is_found_in_every_form_of_error(void **state)
{
    is_judged(&ask_keys, 404, "{\"msg\":\"Record not found\",\"detail\":\"Cannot find service\"}",
              VERDICT_NO_SERVICE, "404: Record not found: Cannot find service");
    is_judged(&ask_keys, 401, "{\"msg\":\"Provided credentials are missing or invalid\"}",
              VERDICT_AUTH, "401: Provided credentials are missing or invalid");
    is_judged(&ask_keys, 400, "{\"status\":\"fail\",\"reason\":\"no\"}", VERDICT_REFUSED,
              "400: no");
    is_judged(&ask_all, 403, "{\"type\":\"about:blank\",\"title\":\"Forbidden\",\"detail\":\"x\"}",
              VERDICT_DENIED, "403: Forbidden: x");
    is_judged(&ask_all, 400, "{\"errors\":[{\"title\":\"Bad\",\"detail\":\"very\"},{}]}",
              VERDICT_REFUSED, "400: Bad: very");
    is_judged(&ask_all, 400, "{\"detail\":\"only\"}", VERDICT_REFUSED, "400: only");
    is_judged(&ask_keys, 502, "Bad Gateway\r\n", VERDICT_RETRY, "502: Bad Gateway");
    is_judged(&ask_keys, 503, "", VERDICT_RETRY, "503");
    is_judged(&ask_keys, 0, "", VERDICT_RETRY, "no answer");
    (void)state;
}

static void the_reason_is_one_line_that_can_be_printed(void **state)
{
    char body[1000];

    is_judged(&ask_keys, 500, " \n\n a\tb\x01\x1b[31m \xc3\xa4 c \n", VERDICT_RETRY,
              "500: a b [31m c");
    is_judged(&ask_keys, 500, "{\"msg\":\"a\\u0007b\\nc\"}", VERDICT_RETRY, "500: a b c");
    memset(body, 'x', sizeof(body));
    for (size_t n = 90; n < 140; n++) {
        body[n] = '\0';
        judge(&ask_keys, 500, body);
        body[n] = 'x';
        assert_true(strlen(judged.reason) < sizeof(judged.reason));
        if (n <= 122)
            assert_int_equal(strlen(judged.reason), n + 5);
        else
            assert_string_equal(judged.reason + strlen(judged.reason) - 4, "x...");
    }
    (void)state;
}

static void a_body_above_the_ceiling_is_not_read(void **state)
{
    size_t n = FASTLY_REPLY_MAX_BYTES + 1;
    char *body = malloc(n + 1);

    assert_non_null(body);
    memset(body, ' ', n);
    memcpy(body, "{\"status\":\"ok\"", 14);
    body[n - 2] = '}';
    body[n - 1] = '\0';
    is_judged(&ask_url, 200, body, VERDICT_PURGED, "");
    body[n - 2] = ' ';
    body[n - 1] = '}';
    body[n] = '\0';
    judge(&ask_url, 200, body);
    assert_int_equal(judged.verdict, VERDICT_RETRY);
    free(body);
    (void)state;
}

static uint64_t wait_of(const struct fastly_ask *ask, int status, const char *retry_after,
                        const char *remaining, const char *reset)
{
    struct fastly_reply reply = {.status = status,
                                 .retry_after = span_str(retry_after),
                                 .rate_remaining = span_str(remaining),
                                 .rate_reset = span_str(reset)};

    judge_reply(ask, &reply);
    return judged.wait_ms;
}

static void the_wait_is_what_retry_after_says_and_at_most_an_hour(void **state)
{
    assert_true(wait_of(&ask_keys, 429, "2", "", "") == 2000);
    assert_true(wait_of(&ask_keys, 503, "120", "", "") == 120000);
    assert_true(wait_of(&ask_keys, 429, "3599", "", "") == 3599000);
    assert_true(wait_of(&ask_keys, 429, "3600", "", "") == 3600000);
    assert_true(wait_of(&ask_keys, 429, "3601", "", "") == 3600000);
    assert_true(wait_of(&ask_keys, 429, "", "", "") == 0);
    assert_true(wait_of(&ask_keys, 400, "120", "", "") == 0);
    (void)state;
}

static void without_retry_after_the_reset_tells_when_nothing_remains(void **state)
{
    assert_true(wait_of(&ask_all, 429, "", "0", "1756795000") == 6000);
    assert_true(wait_of(&ask_all, 429, "", " 0 ", "1756795000\t") == 6000);
    assert_true(wait_of(&ask_all, 429, "", "1", "1756795000") == 0);
    assert_true(wait_of(&ask_all, 429, "", "0", "1756794994") == 0);
    assert_true(wait_of(&ask_all, 429, "", "0", "1") == 0);
    assert_true(wait_of(&ask_all, 429, "", "0", "") == 0);
    assert_true(wait_of(&ask_all, 429, "", "0", "18446744073709551615") == 3600000);
    assert_true(wait_of(&ask_all, 429, "1", "0", "1756795000") == 1000);
    assert_true(wait_of(&ask_all, 503, "", "0", "1756795000") == 0);
    (void)state;
}

/* RFC 9110 section 5.6.7 */
static void retry_after_may_be_a_date_in_any_of_three_forms(void **state)
{
    static const char *const dates[] = {
        "Tue, 02 Sep 2025 06:37:34 GMT", "Tuesday, 02-Sep-25 06:37:34 GMT",
        "Tue Sep  2 06:37:34 2025", " Tue, 02 Sep 2025 06:37:34 GMT "};
    uint64_t wait_ms = 7;

    for (size_t i = 0; i < array_len(dates); i++) {
        assert_int_equal(fastly_retry_after(span_str(dates[i]), WALL_MS, &wait_ms), 0);
        assert_true(wait_ms == 60000);
    }
    assert_int_equal(fastly_retry_after(SPAN("Tue, 02 Sep 2025 06:36:33 GMT"), WALL_MS, &wait_ms),
                     0);
    assert_true(wait_ms == 0);
    assert_int_equal(fastly_retry_after(SPAN("Fri, 31 Dec 9999 23:59:59 GMT"), WALL_MS, &wait_ms),
                     0);
    assert_true(wait_ms == 3600000);
    assert_int_equal(fastly_retry_after(SPAN("Thu, 01 Jan 1969 00:00:00 GMT"), WALL_MS, &wait_ms),
                     0);
    assert_true(wait_ms == 0);
    (void)state;
}

static void what_is_neither_seconds_nor_a_date_is_no_wait(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "soon",
                                      "-1",
                                      "1.5",
                                      "2 s",
                                      "Tue, 02 Sep 2025",
                                      "Tue, 02 Sep 2025 06:37:34 GMT and more",
                                      "Tue, 02 Sep 2025 06:37:34 +0200"};
    char text[66];
    uint64_t wait_ms = 7;

    for (size_t i = 0; i < array_len(bad); i++)
        assert_int_equal(fastly_retry_after(span_str(bad[i]), WALL_MS, &wait_ms), -EINVAL);
    assert_int_equal(fastly_retry_after(SPAN("Tue\0, 02 Sep 2025 06:37:34 GMT"), WALL_MS, &wait_ms),
                     -EINVAL);
    memset(text, 'x', sizeof(text));
    for (size_t n = 62; n <= 65; n++)
        assert_int_equal(fastly_retry_after(span_of(text, n), WALL_MS, &wait_ms), -EINVAL);
    assert_true(wait_ms == 7);
    assert_int_equal(fastly_retry_after(SPAN("99999999999999999999999"), WALL_MS, &wait_ms), 0);
    assert_true(wait_ms == 3600000);
    (void)state;
}

static void every_verdict_has_a_name(void **state)
{
    for (int v = VERDICT_PURGED; v <= VERDICT_DENIED; v++)
        assert_true(verdict_names[v] && *verdict_names[v]);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_travel_in_the_surrogate_key_header),
        cmocka_unit_test(even_one_key_does_not_travel_in_the_path),
        cmocka_unit_test(the_json_form_escapes_what_json_wants_escaped),
        cmocka_unit_test(a_url_goes_out_as_it_came_in),
        cmocka_unit_test(a_url_without_scheme_is_asked_for_over_https),
        cmocka_unit_test(the_token_goes_to_a_site_only_if_it_is_listed_and_over_https),
        cmocka_unit_test(all_of_a_service_has_an_endpoint_of_its_own),
        cmocka_unit_test(nothing_of_the_request_before_is_left),
        cmocka_unit_test(a_batch_of_257_keys_is_our_mistake),
        cmocka_unit_test(a_header_value_of_16385_bytes_is_our_mistake),
        cmocka_unit_test(escapes_count_towards_the_ceiling_of_the_json_form),
        cmocka_unit_test(what_was_never_checked_does_not_leave),
        cmocka_unit_test(the_longest_url_fits),
        cmocka_unit_test(a_batch_that_is_named_key_by_key_is_purged),
        cmocka_unit_test(a_key_the_reply_does_not_name_is_missing),
        cmocka_unit_test(a_batch_reply_that_names_none_of_the_keys_is_asked_for_again),
        cmocka_unit_test(a_key_called_status_does_not_take_a_failure_for_its_id),
        cmocka_unit_test(a_url_or_all_is_purged_when_the_status_says_ok),
        cmocka_unit_test(the_api_must_say_ok_and_a_site_need_not),
        cmocka_unit_test(each_key_of_a_batch_has_its_id),
        cmocka_unit_test(a_url_has_the_id_of_its_reply_and_a_purge_all_has_none),
        cmocka_unit_test(an_id_that_may_not_be_shown_is_ignored),
        cmocka_unit_test(every_status_has_its_verdict_for_everything_one_can_ask),
        cmocka_unit_test(the_batch_limit_is_read_from_the_refusal),
        cmocka_unit_test(the_reason_is_found_in_every_form_of_error),
        cmocka_unit_test(the_reason_is_one_line_that_can_be_printed),
        cmocka_unit_test(a_body_above_the_ceiling_is_not_read),
        cmocka_unit_test(the_wait_is_what_retry_after_says_and_at_most_an_hour),
        cmocka_unit_test(without_retry_after_the_reset_tells_when_nothing_remains),
        cmocka_unit_test(retry_after_may_be_a_date_in_any_of_three_forms),
        cmocka_unit_test(what_is_neither_seconds_nor_a_date_is_no_wait),
        cmocka_unit_test(every_verdict_has_a_name),
    };

    return cmocka_run_group_tests(tests, open_request, close_request);
}
