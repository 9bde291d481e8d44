/* SPDX-License-Identifier: MIT
 * The console as it is served: its headers, versions and size, and whom GET /v1/self says that it
 * serves. What the page does is in test_console.py. */
#include "admin_world.h"

#include <signal.h>

#include "console.h"

#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "                \
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
#define PAGE_MAX_BYTES ((size_t)100 * 1024)

static void assert_header(const struct http_reply *r, const char *name, const char *value)
{
    const char *found = http_header(r, name);

    if (!found || strcmp(found, value) != 0)
        fail_msg("%s: %s, expected %s", name, found ? found : "(none)", value);
}

static void assert_file(struct world *w, const char *target, const struct console_file *f)
{
    const struct http_reply *r = http_expect(w->http, 200, "GET", target, NULL, NULL);

    assert_int_equal(r->body_bytes, f->size);
    assert_memory_equal(r->body, f->bytes, f->size);
    assert_header(r, "Content-Type", f->type);
    assert_header(r, "ETag", f->etag);
    assert_header(r, "Content-Security-Policy", POLICY);
    assert_header(r, "X-Content-Type-Options", "nosniff");
    assert_header(r, "Referrer-Policy", "no-referrer");
    assert_header(r, "Cross-Origin-Opener-Policy", "same-origin");
    assert_header(r, "Cross-Origin-Resource-Policy", "same-origin");
    assert_header(r, "Cache-Control", "no-cache");
}

static void every_file_of_the_console_needs_no_token_and_has_a_strict_policy(void **state)
{
    struct world *w = begin(state);
    size_t total = 0;

    for (size_t i = 0; i < console_files_count; i++) {
        const struct console_file *f = &console_files[i];
        char *target = strcmp(f->name, "index.html") == 0 ? alloc_str("/console")
                                                          : alloc_printf("/console/%s", f->name);

        assert_file(w, target, f);
        total += f->size;
        free(target);
    }
    assert_true(console_files_count > 5);
    if (total > PAGE_MAX_BYTES)
        fail_msg("the console has %zu bytes", total);
    end(w);
}

/* A style or a handler in an attribute, and a script or style between tags, would not work; an
 * address of another host would not be loaded. */
static void the_page_has_no_inline_code_and_names_no_other_host(void **state)
{
    static const char *const forbidden[] = {"<style",         " style=",      " onclick=",
                                            " onload=",       "//cdn",        "innerHTML",
                                            "outerHTML",      "eval(",        "insertAdjacentHTML",
                                            "document.write", "localStorage", "document.cookie",
                                            "DOMParser",      "@import",      "url("};

    (void)state;
    for (size_t i = 0; i < console_files_count; i++) {
        const struct console_file *f = &console_files[i];

        for (size_t k = 0; k < array_len(forbidden); k++)
            if (strcmp(f->name, "runbook.md") != 0 &&
                memmem(f->bytes, f->size, forbidden[k], strlen(forbidden[k])))
                fail_msg("%s contains %s", f->name, forbidden[k]);
    }
}

static const struct console_file *file_named(const char *name)
{
    for (size_t i = 0; i < console_files_count; i++)
        if (strcmp(console_files[i].name, name) == 0)
            return &console_files[i];
    fail_msg("no file %s", name);
    return NULL;
}

static void the_console_links_only_to_sections_that_the_runbook_has(void **state)
{
    const struct console_file *page = file_named("overview.js"), *book = file_named("runbook.md");
    char *text = alloc_copy((const char *)page->bytes, page->size), *at = text;
    size_t links = 0;

    (void)state;
    while ((at = strstr(at, "\"Purgeline"))) {
        size_t n = strspn(at + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
        char *title = alloc_printf("\n## %.*s\n", (int)n, at + 1);

        if (!memmem(book->bytes, book->size, title, strlen(title)))
            fail_msg("the runbook has no section %s", title);
        free(title);
        at += n;
        links++;
    }
    free(text);
    assert_true(links >= 8);
}

static void an_unchanged_file_is_not_sent_again(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r = http_expect(w->http, 200, "GET", "/console", NULL, NULL);
    const char *etag = file_named("index.html")->etag;
    char *headers[] = {
        alloc_printf("If-None-Match: %s", etag), alloc_printf("If-None-Match: W/%s", etag),
        alloc_printf("If-None-Match: \"other\", %s", etag), alloc_str("If-None-Match: *")};

    for (size_t i = 0; i < array_len(headers); i++) {
        r = http_expect(w->http, 304, "GET", "/console", NULL, headers[i], NULL);
        assert_int_equal(r->body_bytes, 0);
        assert_header(r, "ETag", etag);
        assert_header(r, "Cache-Control", "no-cache");
        assert_header(r, "Content-Security-Policy", POLICY);
        assert_null(http_header(r, "Content-Type"));
        free(headers[i]);
    }
    http_expect(w->http, 200, "GET", "/console", NULL, "If-None-Match: \"other\"", NULL);
    end(w);
}

static void head_tells_the_size_without_the_body(void **state)
{
    struct world *w = begin(state);
    const struct console_file *f = file_named("style.css");
    const struct http_reply *r =
        http_expect(w->http, 200, "HEAD", "/console/style.css", NULL, NULL);
    char size[32];

    snprintf(size, sizeof(size), "%zu", f->size);
    assert_header(r, "Content-Length", size);
    assert_header(r, "ETag", f->etag);
    assert_int_equal(r->body_bytes, 0);
    end(w);
}

static void other_names_and_methods_are_refused(void **state)
{
    static const char *const names[] = {"/console/nothing.js",     "/console/embed.cmake",
                                        "/console/..%2fstyle.css", "/console/a/b",
                                        "/console/style.css/",     "/console.html"};
    struct world *w = begin(state);
    const struct http_reply *r;

    for (size_t i = 0; i < array_len(names); i++) {
        r = http_expect(w->http, 404, "GET", names[i], NULL, NULL);
        assert_header(r, "Content-Type", "application/problem+json");
    }
    r = http_expect(w->http, 405, "POST", "/console", "{}", NULL);
    assert_header(r, "Allow", "GET");
    r = http_expect(w->http, 308, "GET", "/console/", NULL, NULL);
    assert_header(r, "Location", "../console");
    end(w);
}

static void the_console_can_be_switched_off_by_a_reload(void **state)
{
    static const char *const targets[] = {"/console", "/console/", "/console/app.js"};
    struct rig *r = rig_open(state, "", HTTP_LISTENS);
    struct http *h = http_serve(r, 0);

    http_expect(h, 200, "GET", "/console", NULL, NULL);
    rig_configure(r, "", HTTP_LISTENS "http:\n  console: false\n");
    instance_signal(&r->instances[0], SIGHUP);
    instance_await_said(&r->instances[0], "Configuration and tokens were reloaded", 1);
    for (size_t i = 0; i < array_len(targets); i++) {
        const struct http_reply *reply = http_expect(h, 404, "GET", targets[i], NULL, NULL);

        http_assert_has(reply, "http.console");
    }
    http_expect(h, 200, "GET", "/v1/status", NULL, NULL);
    http_close(h);
    rig_close(r);
}

static void a_client_is_told_who_it_is_and_what_it_may_do(void **state)
{
    struct world *w = begin(state);
    const struct http_reply *r;

    http_expect(w->http, 401, "GET", "/v1/self", NULL, NULL);
    http_expect(w->http, 401, "GET", "/v1/self", NULL, "Authorization: Bearer nobody", NULL);
    r = http_expect(w->http, 200, "GET", "/v1/self", NULL, CMS, NULL);
    http_assert_text(r, "producer", "cms");
    assert_true(json_is_false(at(r->json, "admin")));
    assert_true(json_is_true(at(r->json, "token")));
    assert_int_equal(json_array_size(at(r->json, "kinds")), 1);
    assert_string_equal(json_string_value(at(r->json, "kinds.0")), "key");
    assert_int_equal(json_array_size(at(r->json, "accounts")), 1);
    assert_int_equal(json_array_size(at(r->json, "accounts.0.services")), 1);
    assert_string_equal(json_string_value(at(r->json, "accounts.0.services.0.name")), "news");
    r = http_expect(w->http, 200, "GET", "/v1/self", NULL, OPS, NULL);
    assert_true(json_is_true(at(r->json, "admin")));
    assert_int_equal(json_array_size(at(r->json, "accounts")), 2);
    assert_int_equal(json_array_size(at(r->json, "lanes")), 3);
    end(w);
}

/* A page of this machine that was opened under another name or port, or that only claims one of
 * the two, is not the console. */
static void without_producers_the_console_may_do_what_its_user_may(void **state)
{
    static const char own[] = "Sec-Fetch-Site: same-origin";
    struct rig *r = rig_open(state, "", HTTP_LISTENS);
    struct http *h = http_serve(r, 0);
    const char *host = http_base(h) + strlen("http://");
    char *origin = alloc_printf("Origin: http://%s", host);
    char *tls = alloc_printf("Origin: https://%s", host);
    char *other_port = alloc_str(origin), *digit = other_port + strlen(other_port) - 1;

    *digit = *digit == '1' ? '2' : '1';
    http_expect(h, 200, "POST", "/v1/pause", "{}", origin, own, NULL);
    http_expect(h, 200, "POST", "/v1/resume", "{}", origin, own, NULL);
    http_expect(h, 200, "GET", "/v1/self", NULL, own, NULL);
    http_expect(h, 403, "POST", "/v1/pause", "{}", origin, NULL);
    http_expect(h, 403, "POST", "/v1/pause", "{}", origin, "Sec-Fetch-Site: same-site", NULL);
    http_expect(h, 403, "POST", "/v1/pause", "{}", tls, own, NULL);
    http_expect(h, 403, "POST", "/v1/pause", "{}", other_port, own, NULL);
    http_expect(h, 403, "POST", "/v1/pause", "{}", "Origin: http://127.0.0.1:1", own, NULL);
    http_expect(h, 403, "POST", "/v1/pause", "{}", "Origin: null", own, NULL);
    http_expect(h, 403, "POST", "/v1/pause", "{}", "Origin: http://rebound.example",
                "Host: rebound.example", own, NULL);
    http_expect(h, 403, "PURGE", "/a", NULL, origin, own, NULL);
    free(origin);
    free(tls);
    free(other_port);
    http_close(h);
    rig_close(r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(every_file_of_the_console_needs_no_token_and_has_a_strict_policy),
        cmocka_unit_test(the_page_has_no_inline_code_and_names_no_other_host),
        cmocka_unit_test(the_console_links_only_to_sections_that_the_runbook_has),
        T(an_unchanged_file_is_not_sent_again),
        T(head_tells_the_size_without_the_body),
        T(other_names_and_methods_are_refused),
        rig_test(the_console_can_be_switched_off_by_a_reload),
        T(a_client_is_told_who_it_is_and_what_it_may_do),
        rig_test(without_producers_the_console_may_do_what_its_user_may),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
