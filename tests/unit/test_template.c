/* SPDX-License-Identifier: MIT */
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

#include "buf.h"
#include "template.h"

static const char post[] =
    "{'id': 17, 'draft': false, 'score': 1.5, 'none': null, 'empty': '',"
    " 'title': 'Two  Words & More', 'words': 'Cotton, very soft,,  ',"
    " 'fields': {'slug': {'en-US': 'hello', 'de': 'hallo'}, 'a.b': {'c d': 'odd'},"
    "            'q\\\\\\\"': 'quote'},"
    " 'tags': [{'slug': 'news'}, {'slug': 'sport'}, {'name': 'without'}],"
    " 'authors': [{'slug': 'ann'}, {'slug': 'bob'}],"
    " 'commits': [{'by': 'ann', 'modified': ['a', 'b']}, {'by': 'bob', 'modified': ['c']}],"
    " 'path': '/caf\\u00e9/100% pure', 'list': ['x', 7, true, null]}";

static char results[4096];
static unsigned results_count;
static uint32_t missing;

static int put(void *context, struct span result)
{
    size_t n = strlen(results);

    results_count++;
    snprintf(results + n, sizeof(results) - n, "%s%.*s", n ? "," : "", (int)result.n, result.p);
    (void)context;
    return 0;
}

static json_t *load(const char *text)
{
    char *copy = strdup(text);
    json_t *document;

    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    document = json_loads(copy, JSON_DECODE_ANY, NULL);
    assert_non_null(document);
    free(copy);
    return document;
}

static bool find_header(void *context, const char *name, struct span *value)
{
    *value = SPAN("shop.example.com");
    (void)context;
    return strcmp(name, "X-Shop") == 0;
}

static int expand(const char *text, json_t *document)
{
    struct template_source source = {.document = document, .header = find_header};
    struct error err = {""};
    struct template *t = template_new(span_str(text), &err);
    int e;

    if (!t)
        fail_msg("%s: %s", text, err.text);
    results[0] = '\0';
    results_count = 0;
    e = template_expand(t, &source, put, NULL);
    missing = source.missing;
    template_free(t);
    return e;
}

static void gives_of(const char *text, const char *json, const char *wanted)
{
    json_t *document = load(json);
    int e = expand(text, document);

    json_decref(document);
    assert_int_equal(e, 0);
    if (strcmp(results, wanted))
        fail_msg("%s gives \"%s\", not \"%s\"", text, results, wanted);
}

static void gives(const char *text, const char *wanted)
{
    gives_of(text, post, wanted);
}

static void wrong_at(const char *text, unsigned byte, const char *about)
{
    char start[32];
    struct error err = {""};
    struct template *t = template_new(span_str(text), &err);

    template_free(t);
    snprintf(start, sizeof(start), "byte %u: ", byte);
    if (t || strncmp(err.text, start, strlen(start)) || !strstr(err.text, about))
        fail_msg("%s: \"%s\" is not \"%s ... %s\"", text, err.text, start, about);
}

static void a_path_leads_through_objects_and_into_lists(void **state)
{
    gives("article-{fields.slug.en-US}", "article-hello");
    gives("{tags[1].slug}", "sport");
    gives("{list[0]}", "x");
    gives("plain", "plain");
    gives("{id}/{fields.slug.de}", "17/hallo");
    gives_of("{[].a}", "[{'a': 1}, {'a': 2}]", "1,2");
    gives_of("{[1]}", "['x', 'y']", "y");
    gives_of("{[][]}", "[['x', 'y'], ['z']]", "x,y,z");
    (void)state;
}

static void an_odd_name_stands_in_quotes(void **state)
{
    gives("{fields.\"a.b\".\"c d\"}", "odd");
    gives("{fields.\"q\\\\\\\"\"}", "quote");
    gives_of("{\"a}|b\"|lower}", "{'a}|b': 'YES'}", "yes");
    gives_of("{\"\"}", "{'': 'nameless'}", "nameless");
    (void)state;
}

static void texts_whole_numbers_and_truth_values_are_text(void **state)
{
    gives("{id}", "17");
    gives("{draft}", "false");
    gives("{list[]}", "x,7,true");
    gives_of("{n}", "{'n': -9223372036854775808}", "-9223372036854775808");
    (void)state;
}

static void what_is_missing_gives_nothing_and_is_counted(void **state)
{
    static const char *const nothing[] = {
        "{nowhere}",   "{none}", "{score}",     "{tags}",     "{fields}",   "{id.more}",
        "{tags[9].x}", "{id[]}", "{nowhere[]}", "{title[0]}", "x-{none}-y", "{header:x-no}"};

    for (size_t i = 0; i < array_len(nothing); i++) {
        gives(nothing[i], "");
        assert_int_equal(missing, 1);
    }
    gives("{tags[].slug}", "news,sport");
    assert_int_equal(missing, 1);
    gives("{tags[].slug}{none}", "");
    assert_int_equal(missing, 3);
    (void)state;
}

static void an_empty_result_is_left_out_but_a_placeholder_may_be_empty(void **state)
{
    gives("{empty}", "");
    assert_int_equal(missing, 0);
    assert_int_equal(results_count, 0);
    gives("https://h/{empty}", "https://h/");
    gives("{title|slug}{empty}", "two-words-more");
    (void)state;
}

static void lists_combine(void **state)
{
    gives("{tags[].slug}-{authors[].slug}", "news-ann,news-bob,sport-ann,sport-bob");
    gives("{commits[].modified[]}", "a,b,c");
    gives_of("{a[]}{b[]}", "{'a': [1, 2], 'b': []}", "");
    (void)state;
}

static void a_list_written_twice_is_walked_once(void **state)
{
    gives("{commits[].by}:{commits[].modified[]}", "ann:a,ann:b,bob:c");
    gives("{authors[].slug}={authors[].slug}", "ann=ann,bob=bob");
    gives("{commits[].modified[]}{commits[].modified[]}", "aa,bb,cc");
    (void)state;
}

static void a_header_fills_a_hole(void **state)
{
    gives("{header:X-Shop}/{id}", "shop.example.com/17");
    (void)state;
}

static void filters_change_the_bytes(void **state)
{
    gives("{title|lower}", "two  words & more");
    gives("{title|slug}", "two-words-more");
    gives("{path|path}", "/caf%C3%A9/100%25%20pure");
    gives("{title|lower|path}", "two%20%20words%20&%20more");
    gives("{words|split}", "Cotton,very soft");
    gives("{words|split|slug}!", "cotton!,very-soft!");
    gives_of("{x|slug}", "{'x': '--A--'}", "a");
    gives_of("{x|slug}", "{'x': '?!'}", "");
    gives_of("{x|path}", "{'x': 'a?b#c\\\\[]%'}", "a%3Fb%23c%5C%5B%5D%25");
    (void)state;
}

static void a_doubled_brace_is_a_brace(void **state)
{
    gives("{{{id}}}", "{17}");
    gives("a}}b{{", "a}b{");
    (void)state;
}

static void an_error_says_at_which_byte(void **state)
{
    wrong_at("", 1, "empty");
    wrong_at("ab{", 3, "without its }");
    wrong_at("ab}c", 3, "without its {");
    wrong_at("{}", 2, "empty");
    wrong_at("{a..b}", 4, "quotes");
    wrong_at("{a.}", 4, "missing");
    wrong_at("{a b}", 3, "neither a dot");
    wrong_at("{a[x]}", 3, "[]");
    wrong_at("{a[1}", 3, "closing ]");
    wrong_at("{a[99999999999]}", 3, "[]");
    wrong_at("{\"a}", 1, "without its }");
    wrong_at("{a|upper}", 4, "no such filter");
    wrong_at("{a|}", 4, "no such filter");
    wrong_at("{a|slug|split}", 9, "first");
    wrong_at("{header:}", 2, "header");
    wrong_at("{a[][][][][][][][][]}", 2, "8 lists");
    (void)state;
}

static void a_template_has_ceilings(void **state)
{
    char text[TEMPLATE_MAX_BYTES + 2], parts[128] = "";
    char path[160] = "{a";

    memset(text, 'x', sizeof(text));
    text[TEMPLATE_MAX_BYTES] = '\0';
    assert_int_equal(expand(text, NULL), 0);
    text[TEMPLATE_MAX_BYTES] = 'x';
    text[TEMPLATE_MAX_BYTES + 1] = '\0';
    wrong_at(text, TEMPLATE_MAX_BYTES + 1, "2048");
    for (int i = 0; i < 32; i++)
        strcat(parts, "{a}");
    gives_of(parts, "{'a': 1}", "11111111111111111111111111111111");
    strcat(parts, "b");
    wrong_at(parts, 97, "32 parts");
    for (int i = 0; i < 31; i++)
        strcat(path, ".a");
    strcat(path, "}");
    gives_of(path, "{}", "");
    strcpy(path + strlen(path) - 1, ".a}");
    wrong_at(path, 67, "32 steps");
    (void)state;
}

static json_t *list_of(size_t n)
{
    json_t *document = json_object(), *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(""));
    json_object_set_new(document, "l", list);
    return document;
}

static void combining_long_lists_ends_at_a_ceiling(void **state)
{
    json_t *fits = list_of(TEMPLATE_VISITS_MAX / 2), *more = list_of(TEMPLATE_VISITS_MAX / 2 + 1);
    json_t *product =
        json_pack("{s:O, s:O}", "l", json_object_get(fits, "l"), "m", json_object_get(fits, "l"));

    assert_int_equal(expand("{l[]}", fits), 0);
    assert_int_equal(expand("{l[]}", more), -E2BIG);
    assert_int_equal(expand("{l[].none}{m[].none}", product), -E2BIG);
    json_decref(fits);
    json_decref(more);
    json_decref(product);
    (void)state;
}

static void a_result_has_a_ceiling(void **state)
{
    static char text[TEMPLATE_RESULT_MAX_BYTES + 1];
    json_t *fits, *more;

    memset(text, 'x', sizeof(text));
    fits = json_pack("{s:s#}", "t", text, TEMPLATE_RESULT_MAX_BYTES);
    more = json_pack("{s:s#}", "t", text, TEMPLATE_RESULT_MAX_BYTES + 1);
    assert_int_equal(expand("{t}", fits), 0);
    assert_int_equal(strlen(results), sizeof(results) - 1);
    assert_int_equal(expand("{t}", more), -EMSGSIZE);
    assert_int_equal(expand("{t|path}", more), -EMSGSIZE);
    assert_int_equal(expand("{t|slug}", more), -EMSGSIZE);
    json_decref(fits);
    json_decref(more);
    (void)state;
}

static int stop(void *context, struct span result)
{
    (void)result;
    return ++*(int *)context == 2 ? -ECANCELED : 0;
}

static void whoever_takes_the_results_can_stop(void **state)
{
    json_t *document = load(post);
    struct template_source source = {.document = document};
    struct error err;
    struct template *t = template_new(SPAN("{list[]}"), &err);
    int seen = 0;

    assert_int_equal(template_expand(t, &source, stop, &seen), -ECANCELED);
    assert_int_equal(seen, 2);
    template_free(t);
    json_decref(document);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_leads_through_objects_and_into_lists),
        cmocka_unit_test(an_odd_name_stands_in_quotes),
        cmocka_unit_test(texts_whole_numbers_and_truth_values_are_text),
        cmocka_unit_test(what_is_missing_gives_nothing_and_is_counted),
        cmocka_unit_test(an_empty_result_is_left_out_but_a_placeholder_may_be_empty),
        cmocka_unit_test(lists_combine),
        cmocka_unit_test(a_list_written_twice_is_walked_once),
        cmocka_unit_test(a_header_fills_a_hole),
        cmocka_unit_test(filters_change_the_bytes),
        cmocka_unit_test(a_doubled_brace_is_a_brace),
        cmocka_unit_test(an_error_says_at_which_byte),
        cmocka_unit_test(a_template_has_ceilings),
        cmocka_unit_test(combining_long_lists_ends_at_a_ceiling),
        cmocka_unit_test(a_result_has_a_ceiling),
        cmocka_unit_test(whoever_takes_the_results_can_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
