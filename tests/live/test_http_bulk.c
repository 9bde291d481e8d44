/* SPDX-License-Identifier: MIT
 * POST /v1/purge/bulk: JSON lines of any length, a result for each. */
#include "http_world.h"

#include "buf.h"

#define BULK "/v1/purge/bulk"

/* The n-th line of the answer, from 0; NULL if there is none. The caller frees it. */
static json_t *line_of(const struct http_reply *r, size_t n)
{
    const char *at = r->body, *end = r->body + r->body_bytes;

    for (; n > 0 && at < end; n--) {
        at = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(at);
        at++;
    }
    if (at >= end)
        return NULL;
    return json_loadb(at, (size_t)((char *)memchr(at, '\n', (size_t)(end - at)) - at), 0, NULL);
}

static void assert_line(const struct http_reply *r, size_t n, long long line, const char *member,
                        const char *part)
{
    json_t *j = line_of(r, n);
    const char *text = json_string_value(json_object_get(j, member));

    assert_int_equal(json_integer_value(json_object_get(j, "line")), line);
    assert_non_null(text);
    if (!strstr(text, part))
        fail_msg("line %lld: %s is \"%s\"", line, member, text);
    json_decref(j);
}

static void assert_sums(const struct http_reply *r, size_t n, long long accepted, long long refused)
{
    json_t *j = line_of(r, n), *none = line_of(r, n + 1);

    assert_int_equal(json_integer_value(json_object_get(j, "accepted")), accepted);
    assert_int_equal(json_integer_value(json_object_get(j, "refused")), refused);
    assert_null(none);
    json_decref(j);
}

static void each_line_has_its_result_in_its_order_and_a_bad_one_sinks_nobody(void **state)
{
    struct world w = world_open(state, "", CMS);
    const struct http_reply *r;

    r = http_expect(w.h, 200, "POST", BULK,
                    "{\"keys\":[\"bulk-1\"]}\r\n"
                    "\n"
                    "{\"kes\":[\"x\"]}\n"
                    "no JSON\n"
                    "{\"urls\":[\"https://www.example.com/b\"],\"lane\":\"urgent\"}\n"
                    "{\"keys\":[\"a b\"]}\n"
                    "{\"account\":\"nobody\",\"keys\":[\"x\"]}\n"
                    "  {\"keys\":\"bulk-8 bulk-9\"}",
                    KEY_HEADER, NULL);
    assert_line(r, 0, 1, "job", "normal-");
    assert_line(r, 1, 3, "error", "kes: ");
    assert_line(r, 2, 4, "error", "not a JSON object");
    assert_line(r, 3, 5, "job", "urgent-");
    assert_line(r, 4, 6, "error", "keys: ");
    assert_line(r, 5, 7, "error", "account: ");
    assert_line(r, 6, 8, "job", "normal-");
    assert_sums(r, 7, 3, 4);
    world_assert_sent(&w, "bulk-1", false);
    world_assert_sent(&w, "bulk-9", false);
    world_assert_sent(&w, "https://www.example.com/b", false);
    world_close(&w);
}

static void nothing_is_an_answer_without_lines(void **state)
{
    struct world w = world_open(state, "", CMS);

    assert_sums(http_expect(w.h, 200, "POST", BULK, "", KEY_HEADER, NULL), 0, 0, 0);
    assert_sums(http_expect(w.h, 200, "POST", BULK, "\n\n\n", KEY_HEADER, NULL), 0, 0, 0);
    world_close(&w);
}

static void a_minimal_result_has_the_refused_lines_and_the_totals(void **state)
{
    struct world w = world_open(state, "", CMS);
    const struct http_reply *r =
        http_expect(w.h, 200, "POST", BULK, "{\"keys\":[\"a\"]}\n{\"kes\":1}\n{\"keys\":[\"b\"]}\n",
                    KEY_HEADER, "Prefer: respond-async, return=minimal", NULL);

    assert_line(r, 0, 2, "error", "kes");
    assert_sums(r, 1, 2, 1);
    world_close(&w);
}

/* Writes a line of exactly this many bytes with a list of keys: "{"keys":["k...k", ...]}". */
static void put_line_of(struct buf *b, size_t bytes)
{
    size_t end = b->n + bytes;

    buf_printf(b, "{\"ref\":\"x\",\"keys\":[\"k\"");
    while (b->n + 2 < end)
        buf_putc(b, ' ');
    buf_printf(b, "]}");
    assert_int_equal(b->n, end);
    buf_putc(b, '\n');
}

static void a_line_may_be_a_mebibyte_long_and_not_a_byte_longer(void **state)
{
    struct world w = world_open(state, "", CMS);
    const size_t most = 1024 * 1024;
    const struct http_reply *r;
    struct buf text;

    buf_init(&text, 8 * most);
    put_line_of(&text, most - 1);
    put_line_of(&text, most);
    put_line_of(&text, most + 1);
    buf_printf(&text, "{\"keys\":[\"after\"]}\n");
    r = http_expect(w.h, 200, "POST", BULK, text.p, KEY_HEADER, NULL);
    assert_line(r, 0, 1, "job", "normal-");
    assert_line(r, 1, 2, "job", "normal-");
    assert_line(r, 2, 3, "error", "longer than 1 MiB");
    assert_line(r, 3, 4, "job", "normal-");
    buf_deinit(&text);
    world_close(&w);
}

static size_t resident_kb(pid_t pid)
{
    char path[64], line[256];
    size_t kb = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "VmRSS: %zu", &kb) == 1)
            break;
    fclose(f);
    return kb;
}

/* The address sanitizer keeps 256 MB of freed memory, which would hide that of the daemon. */
static void keep_nothing_freed(void)
{
    const char *options = getenv("ASAN_OPTIONS");
    char *more = alloc_printf("%s:quarantine_size_mb=1", options ? options : "");

    setenv("ASAN_OPTIONS", more, 1);
    free(more);
}

/* The account is paused and its window is small, so only the endpoint's memory can grow. */
static void a_long_one_takes_no_more_memory_than_a_short_one(void **state)
{
    struct world w;
    const unsigned lines = 200000;
    const struct http_reply *r;
    size_t before, after;
    struct buf text;

    keep_nothing_freed();
    w = world_open(state, "", CMS "window: 1000\n");
    buf_init(&text, (size_t)64 * 1024 * 1024);
    for (unsigned i = 0; i < lines; i++)
        buf_printf(&text, "{\"keys\":[\"key-%u\"],\"lane\":\"bulk\"}\n", i);
    rig_dispatch_pause(w.r, true);
    instance_await_said(&w.r->instances[0], "Dispatch is paused", 1);
    http_expect(w.h, 200, "POST", BULK, "{\"keys\":[\"first\"]}\n", KEY_HEADER, NULL);
    before = resident_kb(w.r->instances[0].pid);
    r = http_expect(w.h, 200, "POST", BULK, text.p, KEY_HEADER, NULL);
    after = resident_kb(w.r->instances[0].pid);
    assert_line(r, lines - 1, lines, "job", "bulk-");
    assert_sums(r, lines, lines, 0);
    assert_int_equal(redis_server_int(w.r->redis, "XLEN purgeline:{main}:jobs:bulk"), lines);
    /* 8 MB were sent and 9 MB returned */
    if (after > before + 64 * 1024)
        fail_msg("%zu kB became %zu kB", before, after);
    buf_deinit(&text);
    world_close(&w);
}

static void what_redis_did_not_take_is_said_line_by_line_and_may_be_pushed_again(void **state)
{
    struct world w = world_open(state, "", CMS);
    const struct http_reply *r;
    json_t *j;

    redis_server_do(w.r->redis, "CONFIG SET maxmemory 1");
    r = http_expect(w.h, 200, "POST", BULK, "{\"keys\":[\"a\"]}\n{\"keys\":[\"b\"]}\n", KEY_HEADER,
                    NULL);
    assert_line(r, 0, 1, "error", "OOM");
    assert_sums(r, 2, 0, 2);
    j = line_of(r, 1);
    assert_true(json_is_true(json_object_get(j, "retry")));
    json_decref(j);
    redis_server_do(w.r->redis, "CONFIG SET maxmemory 0");
    assert_sums(http_expect(w.h, 200, "POST", BULK, "{\"keys\":[\"a\"]}\n", KEY_HEADER, NULL), 1, 1,
                0);
    world_close(&w);
}

static void scopes_hold_for_every_line(void **state)
{
    struct world w = world_open(state, "", CMS "    services: [shop]\n    lanes: [bulk]\n");
    const struct http_reply *r =
        http_expect(w.h, 200, "POST", BULK,
                    "{\"keys\":[\"a\"],\"lane\":\"bulk\"}\n"
                    "{\"keys\":[\"a\"],\"service\":\"shop\",\"lane\":\"urgent\"}\n"
                    "{\"keys\":[\"in-shop\"],\"service\":\"shop\",\"lane\":\"bulk\"}\n",
                    KEY_HEADER, NULL);

    assert_line(r, 0, 1, "error", "service: ");
    assert_line(r, 1, 2, "error", "lane: ");
    assert_line(r, 2, 3, "job", "bulk-");
    world_assert_sent(&w, "in-shop", false);
    http_expect(w.h, 401, "POST", BULK, "{\"keys\":[\"a\"]}\n", NULL);
    http_expect(w.h, 404, "POST", BULK "?account=nobody", "{\"keys\":[\"a\"]}\n", KEY_HEADER, NULL);
    world_close(&w);
}

/* Invalid jobs, whose results are longer than the lines themselves. */
static char *bad_lines(size_t n)
{
    struct buf text;

    buf_init(&text, SIZE_MAX);
    while (n--)
        buf_put(&text, SPAN("x\n"));
    return buf_take(&text);
}

/* The totals are in the last line. */
static json_t *sums_of(const struct http_reply *r)
{
    const char *last = memrchr(r->body, '\n', r->body_bytes - 1);

    return json_loadb(last + 1, r->body_bytes - (size_t)(last + 1 - r->body), 0, NULL);
}

static void results_have_a_ceiling_and_the_push_says_where_it_ended(void **state)
{
    struct world w = world_open(state, "", CMS "http: {results_max: 1MiB}\n");
    char *lines = bad_lines(100000);
    const struct http_reply *r = http_expect(w.h, 413, "POST", BULK, lines, KEY_HEADER, NULL);
    json_t *sums = sums_of(r);
    long long next = json_integer_value(json_object_get(sums, "next_line"));

    assert_string_equal(http_header(r, "Content-Type"), "application/x-ndjson");
    assert_in_range(r->body_bytes, 1, 1 << 20);
    assert_in_range(next, 2, 99999);
    assert_int_equal(json_integer_value(json_object_get(sums, "refused")), next - 1);
    assert_non_null(strstr(json_string_value(json_object_get(sums, "error")), "results_max"));
    json_decref(sums);
    /* The space is free again, and minimal results of valid lines need none. */
    http_expect(w.h, 200, "POST", BULK, "{\"keys\":[\"a\"]}", KEY_HEADER, NULL);
    http_expect(w.h, 200, "POST", BULK, lines + 2 * 95000, KEY_HEADER, NULL);
    free(lines);
    world_close(&w);
}

/* The folder for temporary files is missing: the error is explained, and nothing else fails. */
static void results_that_cannot_be_kept_are_said_and_others_go_on(void **state)
{
    char *lines = bad_lines(10000);
    struct world w = {.r = rig_open(state, "", HTTP_LISTENS CMS)};

    setenv("TMPDIR", "/nonexistent", 1);
    w.h = http_serve(w.r, 0);
    unsetenv("TMPDIR");
    world_assert_problem(http_do(w.h, "POST", BULK, lines, KEY_HEADER, NULL), 500,
                         "the results cannot be kept: No such file");
    http_expect(w.h, 200, "POST", BULK, "{\"keys\":[\"a\"]}", KEY_HEADER, NULL);
    free(lines);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(each_line_has_its_result_in_its_order_and_a_bad_one_sinks_nobody),
        rig_test(nothing_is_an_answer_without_lines),
        rig_test(a_minimal_result_has_the_refused_lines_and_the_totals),
        rig_test(a_line_may_be_a_mebibyte_long_and_not_a_byte_longer),
        rig_test(a_long_one_takes_no_more_memory_than_a_short_one),
        rig_test(what_redis_did_not_take_is_said_line_by_line_and_may_be_pushed_again),
        rig_test(scopes_hold_for_every_line),
        rig_test(results_have_a_ceiling_and_the_push_says_where_it_ended),
        rig_test(results_that_cannot_be_kept_are_said_and_others_go_on),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
