/* SPDX-License-Identifier: MIT
 * Tests the hooks of deploy/hooks, unchanged, with requests like those that these systems send:
 * tests/hooks/<sample>.json and .headers (written by tests/hooks/sign). The .job file has the
 * expected job; if it is empty, nothing must be purged. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "alloc.h"
#include "config_file.h"
#include "hook.h"
#include "hook_auth.h"

#define WALL_MS UINT64_C(1756794995500) /* 1.5 s after the time in tests/hooks/sign */

static const struct sample {
    const char *name;
    const char *file; /* in deploy/hooks */
    const char *hook;
    const char *signature; /* the name of the header with the signature */
    bool timed;
} samples[] = {
    {"contentful-publish", "contentful", "contentful", "x-contentful-signature", true},
    {"contentful-delete", "contentful", "contentful", "x-contentful-signature", true},
    {"contentful-staging", "contentful", "contentful", "x-contentful-signature", true},
    {"sanity", "sanity", "sanity", "sanity-webhook-signature", true},
    {"ghost-edited", "ghost", "ghost", "x-ghost-signature", true},
    {"ghost-deleted", "ghost", "ghost", "x-ghost-signature", true},
    {"strapi-publish", "strapi", "strapi", "authorization", false},
    {"strapi-test", "strapi", "strapi", "authorization", false},
    {"shopify-update", "shopify", "shopify", "x-shopify-hmac-sha256", false},
    {"shopify-delete", "shopify", "shopify", "x-shopify-hmac-sha256", false},
    {"wordpress-changed", "wordpress", "wordpress", "x-purgeline-signature", true},
    {"wordpress-trashed", "wordpress", "wordpress", "x-purgeline-signature", true},
    {"woocommerce-update", "wordpress", "woocommerce", "x-wc-webhook-signature", false},
    {"woocommerce-delete", "wordpress", "woocommerce", "x-wc-webhook-signature", false},
    {"github-push", "github", "github", "x-hub-signature-256", false},
    {"github-ping", "github", "github", "x-hub-signature-256", false},
};

/* A loaded sample. A test can modify its request before it is checked. */
struct loaded {
    struct config config;
    const struct config_hook *hook;
    char *body, *headers, *job, *secret, *path;
    size_t body_bytes;
    const char *left_out; /* a header that is left out of the request */
};

static struct error err;

static char *read_file(const char *folder, const char *name, const char *ending, size_t *bytes)
{
    const char *root = getenv("SOURCE_DIR");
    char path[512], *text = alloc_bytes(1 << 16);
    FILE *file;
    size_t n;

    assert_non_null(root);
    snprintf(path, sizeof(path), "%s/%s/%s%s", root, folder, name, ending);
    file = fopen(path, "r");
    if (!file)
        fail_msg("%s: not there", path);
    n = fread(text, 1, (1 << 16) - 1, file);
    fclose(file);
    text[n] = '\0';
    if (bytes)
        *bytes = n;
    return text;
}

static const struct config_hook *load_hook(const struct sample *s, struct config *config)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/deploy/hooks/%s.yaml", getenv("SOURCE_DIR"), s->file);
    if (config_load(path, NULL, config, &err) < 0)
        fail_msg("%s", err.text);
    for (uint32_t i = 0; i < config->hooks_count; i++)
        if (strcmp(config->hooks[i].name, s->hook) == 0)
            return &config->hooks[i];
    fail_msg("%s: no hook called %s", path, s->hook);
    return NULL;
}

static struct loaded load(const struct sample *s)
{
    struct loaded l = {.left_out = ""};

    l.body = read_file("tests/hooks", s->name, ".json", &l.body_bytes);
    l.headers = read_file("tests/hooks", s->name, ".headers", NULL);
    l.job = read_file("tests/hooks", s->name, ".job", NULL);
    l.hook = load_hook(s, &l.config);
    l.path = alloc_printf("/hooks/%s", s->hook);
    l.secret =
        alloc_printf("the secret of %s, 64 bytes or more, as some systems want it to be.", s->hook);
    return l;
}

static void unload(struct loaded *l)
{
    config_deinit(&l->config);
    free(l->body);
    free(l->headers);
    free(l->job);
    free(l->secret);
    free(l->path);
}

static bool find_header(void *context, const char *name, struct span *value)
{
    const struct loaded *l = context;
    struct span rest = span_str(l->headers), line;

    while (span_next_word(&rest, '\n', &line)) {
        const char *colon = memchr(line.p, ':', line.n);
        struct span found;

        assert_non_null(colon);
        found = span_of(line.p, (size_t)(colon - line.p));
        if (!span_eq_nocase(found, span_str(name)) || span_eq_nocase(found, span_str(l->left_out)))
            continue;
        *value = span_of(colon + 2, line.n - found.n - 2);
        return true;
    }
    return false;
}

static struct hook_request request_of(struct loaded *l)
{
    return (struct hook_request){SPAN("POST"), span_str(l->path), span_of(l->body, l->body_bytes),
                                 find_header, l};
}

static int check_at(struct loaded *l, uint64_t wall_ms)
{
    struct hook_request request = request_of(l);

    return hook_auth_check(&l->hook->signature, span_str(l->secret), &request, wall_ms, &err);
}

static char *fields_of(const struct hook_job *job)
{
    struct buf text;

    buf_init(&text, 1 << 16);
    buf_put(&text, SPAN(""));
    for (size_t i = 0; i < job->fields_count; i += 2)
        buf_printf(&text, "%.*s=%.*s\n", (int)job->fields[i].n, job->fields[i].p,
                   (int)job->fields[i + 1].n, job->fields[i + 1].p);
    return buf_take(&text);
}

/* -- the tests: each checks all samples -- */

static void each_sample_gives_the_job_it_should(void **state)
{
    for (size_t i = 0; i < array_len(samples); i++) {
        struct loaded l = load(&samples[i]);
        struct hook_request request = request_of(&l);
        struct hook *h = hook_new(l.hook, &err);
        json_t *document = json_loadb(l.body, l.body_bytes, 0, NULL);
        struct hook_job job;
        char *fields;
        int e;

        if (!h)
            fail_msg("%s: %s", samples[i].file, err.text);
        assert_non_null(document);
        hook_job_init(&job);
        *err.text = '\0';
        e = hook_apply(h, document, &request, &job, &err);
        if (e != (*l.job ? 0 : -ENOENT))
            fail_msg("%s: %d, %s", samples[i].name, e, err.text);
        fields = fields_of(&job);
        if (strcmp(fields, l.job))
            fail_msg("%s: gives\n%snot\n%s", samples[i].name, fields, l.job);
        free(fields);
        hook_job_deinit(&job);
        json_decref(document);
        hook_free(h);
        unload(&l);
    }
    (void)state;
}

static void each_sample_is_let_in(void **state)
{
    for (size_t i = 0; i < array_len(samples); i++) {
        struct loaded l = load(&samples[i]);

        if (check_at(&l, WALL_MS) < 0)
            fail_msg("%s: %s", samples[i].name, err.text);
        unload(&l);
    }
    (void)state;
}

static void a_flipped_bit_of_the_body_keeps_out(void **state)
{
    for (size_t i = 0; i < array_len(samples); i++) {
        struct loaded l = load(&samples[i]);

        for (size_t at = 0; at < l.body_bytes; at += l.body_bytes / 16 + 1) {
            bool is_token = l.hook->signature.scheme == HOOK_TOKEN;

            l.body[at] ^= 1;
            if (check_at(&l, WALL_MS) != (is_token ? 0 : -EACCES))
                fail_msg("%s: byte %zu makes no difference", samples[i].name, at);
            l.body[at] ^= 1;
        }
        unload(&l);
    }
    (void)state;
}

/* Changes every third letter or digit of the header. Separators are not changed. */
static void a_flipped_bit_of_the_signature_keeps_out(void **state)
{
    for (size_t i = 0; i < array_len(samples); i++) {
        struct loaded l = load(&samples[i]);
        struct span sent;

        assert_true(find_header(&l, samples[i].signature, &sent));
        for (size_t at = 0; at < sent.n; at += 3) {
            char *c = l.headers + (sent.p - l.headers) + at;

            if (*c == '=' || *c == ',' || *c == ' ')
                continue;
            *c ^= 1;
            if (check_at(&l, WALL_MS) != -EACCES)
                fail_msg("%s: byte %zu makes no difference", samples[i].name, at);
            *c ^= 1;
        }
        unload(&l);
    }
    (void)state;
}

static void an_old_time_keeps_out(void **state)
{
    for (size_t i = 0; i < array_len(samples); i++) {
        struct loaded l = load(&samples[i]);
        int e = check_at(&l, WALL_MS + 300000);

        if (samples[i].timed ? e != -EACCES || !strstr(err.text, "signed 301 s ago") : e < 0)
            fail_msg("%s: %d, %s", samples[i].name, e, err.text);
        unload(&l);
    }
    (void)state;
}

static void a_missing_header_keeps_out(void **state)
{
    for (size_t i = 0; i < array_len(samples); i++) {
        struct loaded l = load(&samples[i]);
        const struct config_signature *s = &l.hook->signature;
        const char *const needed[] = {s->header, s->time_header, s->headers_header};

        assert_string_equal(s->header, samples[i].signature);
        for (size_t n = 0; n < array_len(needed); n++) {
            l.left_out = needed[n];
            if (*l.left_out && (check_at(&l, WALL_MS) != -EACCES || !strstr(err.text, "missing")))
                fail_msg("%s without %s: %s", samples[i].name, l.left_out, err.text);
        }
        unload(&l);
    }
    (void)state;
}

static void another_secret_keeps_out(void **state)
{
    for (size_t i = 0; i < array_len(samples); i++) {
        struct loaded l = load(&samples[i]);

        l.secret[strlen(l.secret) - 1] ^= 1;
        assert_int_equal(check_at(&l, WALL_MS), -EACCES);
        l.secret[0] = '\0';
        assert_int_equal(check_at(&l, WALL_MS), -EACCES);
        unload(&l);
    }
    (void)state;
}

/* The examples that these systems publish themselves:
 * https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
 * https://github.com/sanity-io/webhook-toolkit (its tests) */
static void the_examples_that_the_systems_publish_are_let_in(void **state)
{
    static const struct {
        const char *sample, *secret, *body, *header;
        uint64_t wall_ms;
    } published[] = {
        {"github-push", "It's a Secret to Everybody", "Hello, World!",
         "X-Hub-Signature-256: "
         "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
         WALL_MS},
        {"sanity", "test", "{\"_id\":\"resume\"}",
         "sanity-webhook-signature: "
         "t=1633519811129,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0",
         UINT64_C(1633519812000)},
    };

    for (size_t i = 0; i < array_len(published); i++) {
        for (size_t n = 0; n < array_len(samples); n++) {
            struct loaded l;

            if (strcmp(samples[n].name, published[i].sample))
                continue;
            l = load(&samples[n]);
            free(l.secret);
            l.secret = alloc_str(published[i].secret);
            strcpy(l.body, published[i].body);
            l.body_bytes = strlen(l.body);
            strcpy(l.headers, published[i].header);
            if (check_at(&l, published[i].wall_ms) < 0)
                fail_msg("%s: %s", samples[n].name, err.text);
            unload(&l);
        }
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_sample_gives_the_job_it_should),
        cmocka_unit_test(each_sample_is_let_in),
        cmocka_unit_test(a_flipped_bit_of_the_body_keeps_out),
        cmocka_unit_test(a_flipped_bit_of_the_signature_keeps_out),
        cmocka_unit_test(an_old_time_keeps_out),
        cmocka_unit_test(a_missing_header_keeps_out),
        cmocka_unit_test(another_secret_keeps_out),
        cmocka_unit_test(the_examples_that_the_systems_publish_are_let_in),
    };

    /* The examples contain only hooks, so the account comes from the environment. */
    setenv("FASTLY_SERVICE_ID", "SU1Z0isxPaozGVKXdv0eY", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
