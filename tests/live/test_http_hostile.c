/* SPDX-License-Identifier: MIT
 * Malicious or broken clients of the real daemon. Each gets a clear answer or is disconnected,
 * other clients are still served, and the daemon exits with 0 (with sanitizers, this also means
 * that there are no leaks). */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "alloc.h"
#include "rawhttp.h"

#define HOST "Host: localhost\r\n"
#define LISTENS "listen: 127.0.0.1:0\n"

struct door {
    struct rig *rig;
    unsigned port;
    struct rawhttp neighbour; /* a well-behaved client, on one connection */
    unsigned posted;
};

/* -- the well-behaved client ----------------------------------------------------------------- */

static void post(struct rawhttp *r, const char *json)
{
    rawhttp_say(r, "POST /v1/purge HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n%s", strlen(json),
                json);
}

/* Pushes one job, which must be accepted whatever else happens. */
static void neighbour_posts(struct door *d)
{
    char json[64];

    snprintf(json, sizeof(json), "{\"keys\":[\"neighbour-%u\"]}", d->posted++ % 100);
    post(&d->neighbour, json);
    rawhttp_await_status(&d->neighbour, 202);
}

static void open_door(struct door *d, void **state, const char *global)
{
    *d = (struct door){.rig = rig_open(state, "    receipts: failed\n", global)};
    rig_start_leading(d->rig, 0);
    d->port = rawhttp_port(&d->rig->instances[0]);
    rawhttp_open(&d->neighbour, d->port);
    neighbour_posts(d);
}

static void close_door(struct door *d)
{
    neighbour_posts(d);
    assert_int_equal(instance_said(&d->rig->instances[0], "ERROR: "), 0); /* from a sanitizer */
    rawhttp_close(&d->neighbour);
    rig_close(d->rig);
}

/* -- one client at a time -------------------------------------------------------------------- */

static char *filled(char with, size_t n)
{
    char *text = alloc_bytes(n + 1);

    memset(text, with, n);
    text[n] = '\0';
    return text;
}

/* The status that these bytes get; 0 if the connection ends without one. */
static int status_of(struct door *d, const char *p, size_t n)
{
    struct rawhttp r;
    int status;

    rawhttp_open(&r, d->port);
    rawhttp_send(&r, p, n);
    status = rawhttp_await_any(&r);
    rawhttp_close(&r);
    return status;
}

static int status_of_post(struct door *d, const char *headers, const char *body, size_t n)
{
    char *text = alloc_printf("POST /v1/purge HTTP/1.1\r\n" HOST "%sContent-Length: %zu\r\n\r\n",
                              headers, n);
    size_t head = strlen(text);
    int status;

    text = alloc_grow(text, head + n, 1);
    memcpy(text + head, body, n);
    status = status_of(d, text, head + n);
    free(text);
    return status;
}

static bool is_a_no(int status)
{
    return status == 0 || (status >= 400 && status < 500) || status == 505;
}

static void a_job_of_bad_bytes_is_refused(void **state)
{
    static const struct {
        const char *json;
        int status;
    } bodies[] = {
        {"", 400},
        {"{", 400},
        {"null", 400},
        {"[]", 400},
        {"\"keys\"", 400},
        {"{\"keys\":[\"a\"]} x", 400},
        {"{\"keys\":[\"a\"],\"keys\":[\"b\"]}", 400},
        {"{\"keys\":[\"\xff\xfe\"]}", 400},
        {"{\"keys\":[\"\xc3\x28\"]}", 400},
        {"{\"keys\":[\"\xed\xa0\x80\"]}", 400},
        {"{\"keys\":[\"\\ud800\"]}", 400},
        {"{\"keys\":[\"a\\u0000b\"]}", 400},
        {"{\"keys\":[1e999]}", 400},
        {"{\"keys\":[\"a\"],\"not_before\":99999999999999999999}", 400},
        {"{\"keys\":[\"a\"],\"not_before\":-1}", 400},
        {"{\"urls\":[\"https://x/\\n\"]}", 400},
    };
    struct door d;

    open_door(&d, state, LISTENS);
    for (size_t i = 0; i < array_len(bodies); i++) {
        int status = status_of_post(&d, "", bodies[i].json, strlen(bodies[i].json));

        if (status != bodies[i].status)
            fail_msg("%d for %s", status, bodies[i].json);
    }
    close_door(&d);
}

static void json_a_hundred_thousand_deep_is_refused(void **state)
{
    static const char *const begins[] = {"{\"keys\":", "", "{\"x\":"};
    static const char *const opens[] = {"[", "[", "{\"a\":"};
    struct door d;

    open_door(&d, state, LISTENS);
    for (size_t i = 0; i < array_len(begins); i++) {
        struct buf text;

        buf_init(&text, SIZE_MAX);
        buf_put(&text, span_str(begins[i]));
        for (int k = 0; k < 100000; k++)
            buf_put(&text, span_str(opens[i]));
        assert_int_equal(status_of_post(&d, "", text.p, text.n), 400);
        buf_deinit(&text);
    }
    close_door(&d);
}

static void odd_targets_are_clearly_refused(void **state)
{
    static const struct {
        const char *line;
        int status;
    } lines[] = {
        {"GET //", 404},
        {"GET //v1//status", 404},
        {"GET /%2f", 404},
        {"GET /%00", 404},
        {"POST /v1/purge%00", 404},
        {"POST /v1%2fpurge", 404},
        {"POST /v1/purge/../purge", 404},
        {"POST http://elsewhere.example/v1/purge", 421},
        {"POST http://localhost:1/v1/purge", 421},
        {"POST http://", 400},
        {"POST localhost/v1/purge", 400},
        {"OPTIONS *", 400},
        {"CONNECT localhost:443", 0},
        {"GET /v1/purge", 405},
        {"PUT /v1/purge", 405},
        {"DELETE /livez", 405},
        {"POST /livez", 405},
        {"get /livez", 405},
        {"BREW /v1/purge", 405},
        {"TRACE /livez", 405},
        {"POST /service/SU1Z0isxPaozGVKXdv0eY/purge/%00", 400},
        {"POST /service/SU1Z0isxPaozGVKXdv0eY/purge/a%20b", 400},
        {"POST /service/%00/purge/a", 404},
        {"POST /purge/", 404},
        {"POST /purge/ftp://x/", 400},
        {"POST /purge/%00", 400},
    };
    struct door d;

    open_door(&d, state, LISTENS);
    for (size_t i = 0; i < array_len(lines); i++) {
        char allow[64];
        struct rawhttp_answer a;
        struct rawhttp r;

        rawhttp_open(&r, d.port);
        rawhttp_say(&r, "%s HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", lines[i].line);
        a = rawhttp_await(&r);
        if (lines[i].status ? a.status != lines[i].status : !is_a_no(a.status))
            fail_msg("%d for %s", a.status, lines[i].line);
        if (a.status == 405)
            assert_true(*rawhttp_header(&a, "Allow", allow, sizeof(allow)));
        rawhttp_close(&r);
    }
    close_door(&d);
}

static void what_could_smuggle_a_request_is_refused_and_nothing_behind_it_is_done(void **state)
{
#define SMUGGLED                                                                                   \
    "POST /v1/purge HTTP/1.1\r\n" HOST "Content-Length: 21\r\n\r\n{\"keys\":[\"smuggled\"]}"
    static const char *const heads[] = {
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 98\r\n\r\n",
        "Content-Length: 98\r\nContent-Length: 0\r\n\r\n",
        "Content-Length : 98\r\n\r\n",
        "Content-Length: 0\nX: y\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: identity\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "X: y\r\n Content-Length: 98\r\n\r\n",
        "X: y\rContent-Length: 98\r\n\r\n",
    };
    struct door d;

    open_door(&d, state, LISTENS);
    for (size_t i = 0; i < array_len(heads); i++) {
        struct rawhttp_answer a;
        struct rawhttp r;
        int status;

        rawhttp_open(&r, d.port);
        rawhttp_say(&r, "POST /v1/purge HTTP/1.1\r\n" HOST "%s" SMUGGLED, heads[i]);
        status = rawhttp_await_any(&r);
        if (status != 400 && status != 0)
            fail_msg("%d for %s", status, heads[i]);
        if (status)
            rawhttp_await_end(&r);
        assert_false(rawhttp_next(&r, &a));
        rawhttp_close(&r);
    }
    neighbour_posts(&d);
    rig_await_empty(d.rig);
    assert_int_equal(requests_naming(&d.rig->requests, "smuggled", ANY_STATUS), 0);
    close_door(&d);
#undef SMUGGLED
}

static void floods_of_headers_are_refused(void **state)
{
    char *long_line = filled('x', 80000), *many;
    struct buf small;
    struct door d;
    char *text;
    int status;

    open_door(&d, state, LISTENS);
    buf_init(&small, SIZE_MAX);
    for (int i = 0; i < 10000; i++)
        buf_printf(&small, "a%d: b\r\n", i);
    many = buf_take(&small);
    text = alloc_printf("GET /livez HTTP/1.1\r\n" HOST "X: %s\r\n\r\n", long_line);
    assert_int_equal(status_of(&d, text, strlen(text)), 431);
    free(text);
    text = alloc_printf("GET /livez HTTP/1.1\r\n" HOST "%s\r\n", many);
    assert_int_equal(status_of(&d, text, strlen(text)), 431);
    free(text);
    free(many);
    buf_init(&small, SIZE_MAX);
    for (int i = 0; i < 10000; i++) /* short, but parsed it needs too much memory */
        buf_put(&small, SPAN("a:b\r\n"));
    many = buf_take(&small);
    text = alloc_printf("GET /livez HTTP/1.1\r\n" HOST "%s\r\n", many);
    assert_int_equal(status_of(&d, text, strlen(text)), 431);
    free(text);
    text = alloc_printf("GET /%s%s HTTP/1.1\r\n" HOST "\r\n", long_line, long_line);
    assert_int_equal(status_of(&d, text, strlen(text)), 414);
    free(text);
    buf_init(&small, SIZE_MAX);
    for (int i = 0; i < 7000; i++)
        buf_put(&small, SPAN("a=b;"));
    text = alloc_printf("GET /livez HTTP/1.1\r\n" HOST "Cookie: %s\r\n\r\n", small.p);
    status = status_of(&d, text, strlen(text));
    assert_true(status == 200 || is_a_no(status)); /* cookies may be ignored */
    free(text);
    buf_deinit(&small);
    free(many);
    free(long_line);
    close_door(&d);
}

/* -- lengths around their limits ------------------------------------------------------------- */

static void try_lengths(struct door *d, const char *before, size_t limit, const char *after)
{
    for (int more = -1; more <= 1; more++) {
        char *x = filled('x', limit + (size_t)more);
        char *json = alloc_printf("%s%s%s", before, x, after);
        int status = status_of_post(d, "", json, strlen(json));

        if (status != (more > 0 ? 400 : 202))
            fail_msg("%d for %zu bytes after %s", status, limit + (size_t)more, before);
        free(json);
        free(x);
    }
}

static void every_length_has_its_limit_and_is_taken_up_to_it(void **state)
{
    struct door d;

    open_door(&d, state, LISTENS);
    try_lengths(&d, "{\"keys\":[\"", 1024, "\"]}");
    try_lengths(&d, "{\"urls\":[\"https://www.example.com/", 8192 - 24, "\"]}");
    try_lengths(&d, "{\"keys\":[\"a\"],\"ref\":\"", 256, "\"}");
    for (int more = -1; more <= 1; more++) {
        char *x = filled('k', 255 + (size_t)more);
        char *header = alloc_printf("Idempotency-Key: %s\r\n", x);

        assert_int_equal(status_of_post(&d, header, "{\"keys\":[\"a\"]}", 14),
                         more > 0 ? 400 : 202);
        free(header);
        free(x);
    }
    close_door(&d);
}

static void a_body_of_8_mib_is_read_and_a_longer_one_is_refused(void **state)
{
    static const char begin[] = "{\"keys\":[\"a\"]";
    static const char announced[] =
        "POST /v1/purge HTTP/1.1\r\n" HOST "Content-Length: 2147483648\r\n\r\n";
    struct door d;

    open_door(&d, state, LISTENS);
    for (int more = -1; more <= 1; more++) {
        size_t n = (size_t)8 * 1024 * 1024 + (size_t)more;
        char *text = filled(' ', n);

        memcpy(text, begin, strlen(begin));
        text[n - 1] = '}';
        assert_int_equal(status_of_post(&d, "", text, n), more > 0 ? 413 : 202);
        free(text);
    }
    assert_int_equal(status_of(&d, announced, strlen(announced)), 413);
    close_door(&d);
}

static void a_chunked_body_without_end_is_refused_and_ended(void **state)
{
    char *chunk = filled('x', 65536);
    struct rawhttp r;
    struct door d;

    open_door(&d, state, LISTENS);
    rawhttp_open(&r, d.port);
    rawhttp_say(&r, "POST /v1/purge HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 10000 && r.got.n == 0 && !r.ended; i++) {
        rawhttp_say(&r, "10000\r\n");
        rawhttp_send(&r, chunk, 65536);
        rawhttp_say(&r, "\r\n");
        rawhttp_read(&r);
    }
    rawhttp_await_status(&r, 413);
    rawhttp_await_end(&r);
    rawhttp_close(&r);
    free(chunk);
    close_door(&d);
}

/* -- several requests on a connection -------------------------------------------------------- */

static void pipelined_requests_are_answered_in_order(void **state)
{
    static const char job[] = "{\"keys\":[\"a\"]}";
    struct rawhttp r;
    struct door d;

    open_door(&d, state, LISTENS);
    rawhttp_open(&r, d.port);
    for (int i = 0; i < 200; i++) {
        rawhttp_say(&r, "GET /nowhere HTTP/1.1\r\n" HOST "\r\n");
        post(&r, job);
        rawhttp_say(&r, "PUT /v1/purge HTTP/1.1\r\n" HOST "\r\n");
        post(&r, "{}");
    }
    for (int i = 0; i < 200; i++) {
        rawhttp_await_status(&r, 404);
        rawhttp_await_status(&r, 202);
        rawhttp_await_status(&r, 405);
        rawhttp_await_status(&r, 400);
    }
    rawhttp_close(&r);
    close_door(&d);
}

static void garbage_behind_a_good_request_takes_nothing_from_it(void **state)
{
    static const char *const garbage[] = {"\x01\x02\x03\r\n\r\n", "GET\r\n\r\n",
                                          "{\"keys\":[]}\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
                                          ": : :\r\n\r\n"};
    struct door d;

    open_door(&d, state, LISTENS);
    for (size_t i = 0; i < array_len(garbage); i++) {
        struct rawhttp r;

        rawhttp_open(&r, d.port);
        post(&r, "{\"keys\":[\"a\"]}");
        rawhttp_say(&r, "%s", garbage[i]);
        rawhttp_await_status(&r, 202);
        assert_true(is_a_no(rawhttp_await_any(&r)));
        rawhttp_await_end(&r);
        rawhttp_close(&r);
    }
    close_door(&d);
}

static void a_client_that_half_closes_still_gets_an_answer(void **state)
{
    struct door d;

    open_door(&d, state, LISTENS);
    for (int i = 0; i < 100; i++) {
        struct rawhttp r;

        rawhttp_open(&r, d.port);
        post(&r, "{\"keys\":[\"a\"]}");
        rawhttp_half_close(&r);
        rawhttp_await_status(&r, 202);
        rawhttp_await_end(&r);
        rawhttp_close(&r);
    }
    close_door(&d);
}

static void a_client_that_leaves_in_the_middle_is_forgotten(void **state)
{
    static const char *const begun[] = {
        "", "POST", "POST /v1/purge HTTP/1.1\r\nHo",
        "POST /v1/purge HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\n{\"keys\"",
        "POST /v1/purge HTTP/1.1\r\n" HOST "Content-Length: 14\r\n\r\n{\"keys\":[\"a\"]}"};
    struct door d;

    open_door(&d, state, LISTENS);
    for (int i = 0; i < 200; i++) {
        struct rawhttp r;

        rawhttp_open(&r, d.port);
        rawhttp_say(&r, "%s", begun[i % (int)array_len(begun)]);
        if (i % 2)
            rawhttp_reset(&r);
        else
            rawhttp_close(&r);
        neighbour_posts(&d);
    }
    close_door(&d);
}

/* -- slow clients ---------------------------------------------------------------------------- */

#define SLOW 50

/* Each of them sends the text byte by byte. After each byte, the well-behaved client posts once.
 * All slow clients must be told that they were too slow. */
static void drip(struct door *d, const char *text)
{
    struct rawhttp slow[SLOW];
    size_t told = 0, at = 0;

    for (size_t i = 0; i < SLOW; i++)
        rawhttp_open(&slow[i], d->port);
    for (; told < SLOW; at += text[at + 1] != '\0') {
        neighbour_posts(d);
        told = 0;
        for (size_t i = 0; i < SLOW; i++) {
            if (!slow[i].ended && text[at + 1])
                rawhttp_try_send(&slow[i], text + at, 1);
            rawhttp_read(&slow[i]);
            told += slow[i].ended;
        }
    }
    for (size_t i = 0; i < SLOW; i++) {
        rawhttp_await_status(&slow[i], 408);
        rawhttp_close(&slow[i]);
    }
    assert_true(d->posted > 20);
}

static void a_head_that_drips_is_given_up_and_stalls_nobody(void **state)
{
    struct door d;
    char *x = filled('x', 20000);
    char *text = alloc_printf("POST /v1/purge HTTP/1.1\r\n" HOST "X: %s", x);

    open_door(&d, state, LISTENS "http: {request_s: 1}\n");
    drip(&d, text);
    free(text);
    free(x);
    close_door(&d);
}

static void a_body_that_drips_is_given_up_and_stalls_nobody(void **state)
{
    struct door d;
    char *x = filled('x', 20000);
    char *text =
        alloc_printf("POST /v1/purge HTTP/1.1\r\n" HOST "Content-Length: 20000\r\n\r\n%s", x);

    open_door(&d, state, LISTENS "http: {request_s: 1}\n");
    drip(&d, text);
    free(text);
    free(x);
    close_door(&d);
}

static void a_client_that_never_reads_is_given_up_and_delays_no_other(void **state)
{
    static const char ask[] = "GET /nowhere HTTP/1.1\r\n" HOST "\r\n";
    struct rawhttp r;
    struct door d;

    open_door(&d, state, LISTENS "http: {request_s: 1}\n");
    rawhttp_open(&r, d.port);
    for (size_t at = 0; !r.ended;) {
        size_t sent = rawhttp_try_send(&r, ask + at, sizeof(ask) - 1 - at);

        at = (at + sent) % (sizeof(ask) - 1);
        if (sent == 0)
            neighbour_posts(&d);
    }
    rawhttp_close(&r);
    close_door(&d);
}

/* -- many clients ---------------------------------------------------------------------------- */

static unsigned may_open(unsigned wanted)
{
    struct rlimit r;

    must(getrlimit(RLIMIT_NOFILE, &r) == 0);
    r.rlim_cur = r.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &r) == 0);
    return r.rlim_cur < wanted + 200 ? (unsigned)r.rlim_cur - 200 : wanted;
}

/* Ten times as many clients as allowed: the one that has been idle for longest makes room. */
static void a_crowd_at_the_door_keeps_nobody_out(void **state)
{
    unsigned count = may_open(20000);
    struct rawhttp *crowd = alloc_zeroed(count, sizeof(*crowd)), newcomer;
    struct door d;

    open_door(&d, state, LISTENS "http: {connections: 1000}\n");
    for (unsigned i = 0; i < count; i++) {
        rawhttp_open(&crowd[i], d.port);
        if (i % 100)
            continue;
        post(&crowd[i], "{\"keys\":[\"a\"]}"); /* its answer: all before are accepted */
        rawhttp_await_status(&crowd[i], 202);
        neighbour_posts(&d);
    }
    rawhttp_open(&newcomer, d.port);
    post(&newcomer, "{\"keys\":[\"newcomer\"]}");
    rawhttp_await_status(&newcomer, 202);
    rawhttp_close(&newcomer);
    for (unsigned i = 0; i < count; i++)
        rawhttp_close(&crowd[i]);
    free(crowd);
    close_door(&d);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_job_of_bad_bytes_is_refused),
        rig_test(json_a_hundred_thousand_deep_is_refused),
        rig_test(odd_targets_are_clearly_refused),
        rig_test(what_could_smuggle_a_request_is_refused_and_nothing_behind_it_is_done),
        rig_test(floods_of_headers_are_refused),
        rig_test(every_length_has_its_limit_and_is_taken_up_to_it),
        rig_test(a_body_of_8_mib_is_read_and_a_longer_one_is_refused),
        rig_test(a_chunked_body_without_end_is_refused_and_ended),
        rig_test(pipelined_requests_are_answered_in_order),
        rig_test(garbage_behind_a_good_request_takes_nothing_from_it),
        rig_test(a_client_that_half_closes_still_gets_an_answer),
        rig_test(a_client_that_leaves_in_the_middle_is_forgotten),
        rig_test(a_head_that_drips_is_given_up_and_stalls_nobody),
        rig_test(a_body_that_drips_is_given_up_and_stalls_nobody),
        rig_test(a_client_that_never_reads_is_given_up_and_delays_no_other),
        rig_test(a_crowd_at_the_door_keeps_nobody_out),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
