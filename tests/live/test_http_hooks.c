/* SPDX-License-Identifier: MIT
 * Requests of publishing systems to the real daemon: the hooks of deploy/hooks, unchanged, with the
 * samples of tests/hooks. */
#include "http_world.h"

#include "clock.h"
#include "digest.h"
#include "file.h"

/* The secret is the one in tests/hooks/sign. A token that is sent in a header has no spaces. */
static char *secret_of(const char *system)
{
    if (strcmp(system, "strapi") == 0)
        return alloc_str("a-token-of-strapi-64-bytes-or-more");
    return alloc_printf("the secret of %s, 64 bytes or more, as some systems want it to be.",
                        system);
}

static char *read_text(const char *path, const char *file)
{
    char *name = alloc_printf("%s/%s/%s", getenv("SOURCE_DIR"), path, file);
    struct buf text;

    buf_init(&text, 1 << 20);
    assert_int_equal(file_read(name, &text), 0);
    free(name);
    return buf_take(&text);
}

/* The entry of the example, with its secret in the environment instead of /etc. */
static void add_hook(struct buf *yaml, const char *system)
{
    char *file = alloc_printf("%s.yaml", system), *text = read_text("deploy/hooks", file);
    char *variable = alloc_printf("SECRET_OF_%s", system), *secret = secret_of(system);
    char *entry = strstr(text, "hooks:\n");

    assert_non_null(entry);
    for (char *line = strtok(entry + 7, "\n"); line; line = strtok(NULL, "\n")) {
        if (strstr(line, "secret_file:"))
            buf_printf(yaml, "    secret_env: %s\n", variable);
        else
            buf_printf(yaml, "%s\n", line);
    }
    setenv(variable, secret, 1);
    free(file);
    free(text);
    free(variable);
    free(secret);
}

static struct world open_hooks(void **state)
{
    struct world w;
    struct buf yaml;

    buf_init(&yaml, 1 << 20);
    buf_printf(&yaml, CMS "hooks:\n");
    add_hook(&yaml, "github");
    add_hook(&yaml, "shopify");
    add_hook(&yaml, "strapi");
    add_hook(&yaml, "sanity");
    w = world_open(state, "", yaml.p);
    buf_deinit(&yaml);
    return w;
}

#define HEADERS_MAX 8

/* Posts the sample with its headers; `body` NULL: with its own body. */
static const struct http_reply *post(struct world *w, int status, const char *hook,
                                     const char *sample, const char *body)
{
    char *file = alloc_printf("%s.headers", sample), *headers = read_text("tests/hooks", file);
    char *own_file = alloc_printf("%s.json", sample), *own = read_text("tests/hooks", own_file);
    char *target = alloc_printf("/hooks/%s", hook), *lines[HEADERS_MAX] = {NULL};
    const struct http_reply *reply;
    size_t n = 0;

    for (char *line = strtok(headers, "\n"); line && n < HEADERS_MAX; line = strtok(NULL, "\n"))
        lines[n++] = line;
    reply = http_expect(w->h, status, "POST", target, body ? body : own, lines[0], lines[1],
                        lines[2], lines[3], lines[4], lines[5], lines[6], lines[7], NULL);
    free(file);
    free(headers);
    free(own_file);
    free(own);
    free(target);
    return reply;
}

static void a_push_to_the_main_branch_purges_what_it_changed(void **state)
{
    struct world w = open_hooks(state);
    char *who;

    assert_true(
        strncmp(http_text(post(&w, 202, "github", "github-push", NULL), "job"), "normal-", 7) == 0);
    world_assert_sent(&w, "repo-docs", false);
    world_assert_sent(&w, "https://docs.example.com/guide/new%20page.html", false);
    rig_await_empty(w.r);
    who = redis_server_str(w.r->redis, "EVAL %s 0",
                           "return redis.call('XRANGE', 'purgeline:{main}:history', '-', '+')[1]"
                           "[2][10]:match('\"by\":\"[^\"]*\"')");
    assert_string_equal(who, "\"by\":\"hook github\"");
    free(who);
    world_close(&w);
}

static void a_product_that_changed_and_a_token_instead_of_a_signature(void **state)
{
    struct world w = open_hooks(state);
    char *body = read_text("tests/hooks", "strapi-publish.json");

    post(&w, 202, "shopify", "shopify-update", NULL);
    world_assert_sent(&w, "product-8114467012833", false);
    http_expect(w.h, 202, "POST", "/hooks/strapi", body, "X-Strapi-Event: entry.publish",
                "Authorization: Bearer a-token-of-strapi-64-bytes-or-more", NULL);
    world_flush(&w);
    free(body);
    world_close(&w);
}

static void a_test_of_the_publisher_is_answered_and_purges_nothing(void **state)
{
    struct world w = open_hooks(state);

    http_assert_text(post(&w, 200, "github", "github-ping", NULL), "status", "ignored");
    world_flush(&w);
    assert_int_equal(world_count(&w, "keys"), 1); /* that of the flush */
    world_close(&w);
}

static void what_is_not_signed_so_is_refused_and_said_in_the_log_without_the_secret(void **state)
{
    struct world w = open_hooks(state);

    post(&w, 401, "github", "github-push", "{\"ref\":\"refs/heads/main\"}");
    http_expect(w.h, 401, "POST", "/hooks/github", "{}", NULL);
    http_expect(w.h, 401, "POST", "/hooks/strapi", "{}", "Authorization: Bearer guess", NULL);
    post(&w, 401, "sanity", "sanity", NULL); /* a valid signature, but too old */
    instance_await_said(&w.r->instances[0], "hook rejected: invalid signature: ", 4);
    assert_int_equal(instance_said(&w.r->instances[0], "bytes or more"), 0);
    assert_int_equal(instance_said(&w.r->instances[0], "token-of-strapi"), 0);
    http_expect(w.h, 404, "POST", "/hooks/nobody", "{}", NULL);
    http_expect(w.h, 405, "GET", "/hooks/github", NULL, NULL);
    world_flush(&w);
    assert_int_equal(world_count(&w, "keys"), 1);
    world_close(&w);
}

/* The header "t=<ms>,v1=<digest>" with the digest of "<ms>.<body>". */
static char *sanity_signature(const char *body)
{
    char *secret = secret_of("sanity"),
         *ms = alloc_printf("%llu", (unsigned long long)clock_wall_ms());
    struct span parts[] = {span_str(ms), SPAN("."), span_str(body)};
    uint8_t digest[DIGEST_MAX_BYTES];
    char text[DIGEST_TEXT_ROOM], *header;
    size_t n = digest_hmac(DIGEST_SHA256, span_str(secret), parts, array_len(parts), digest);

    (void)digest_text(digest, n, HOOK_BASE64URL, text);
    header = alloc_printf("sanity-webhook-signature: t=%s,v1=%s", ms, text);
    free(secret);
    free(ms);
    return header;
}

static void a_signature_of_this_moment_is_good_for_its_body_only(void **state)
{
    struct world w = open_hooks(state);
    const char *body = "{\"_id\":\"doc-1\",\"_type\":\"article\"}";
    char *signature = sanity_signature(body);

    http_expect(w.h, 202, "POST", "/hooks/sanity", body, "sanity-dataset: production", signature,
                NULL);
    world_assert_sent(&w, "doc-1", false);
    http_expect(w.h, 401, "POST", "/hooks/sanity", "{\"_id\":\"doc-2\",\"_type\":\"article\"}",
                "sanity-dataset: production", signature, NULL);
    free(signature);
    world_close(&w);
}

static void a_signed_body_that_is_no_json_or_nested_too_deeply_is_refused(void **state)
{
    struct world w = open_hooks(state);
    char *deep = alloc_zeroed(1, 1001), *signature;

    memset(deep, '[', 1000);
    signature = sanity_signature(deep);
    http_expect(w.h, 400, "POST", "/hooks/sanity", deep, signature, NULL);
    free(signature);
    signature = sanity_signature("{");
    http_expect(w.h, 400, "POST", "/hooks/sanity", "{", signature, NULL);
    free(signature);
    free(deep);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_push_to_the_main_branch_purges_what_it_changed),
        rig_test(a_product_that_changed_and_a_token_instead_of_a_signature),
        rig_test(a_test_of_the_publisher_is_answered_and_purges_nothing),
        rig_test(what_is_not_signed_so_is_refused_and_said_in_the_log_without_the_secret),
        rig_test(a_signature_of_this_moment_is_good_for_its_body_only),
        rig_test(a_signed_body_that_is_no_json_or_nested_too_deeply_is_refused),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
