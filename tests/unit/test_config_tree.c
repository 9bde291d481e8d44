/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "config_tree.h"

static struct config_tree tree;
static struct config_mistake mistake;

static void must_parse(const char *yaml)
{
    if (config_tree_parse(&tree, span_str(yaml), &mistake) < 0)
        fail_msg("%s: line %u: %s", yaml, mistake.line, mistake.text);
}

static void assert_parses(struct span yaml)
{
    if (config_tree_parse(&tree, yaml, &mistake) < 0)
        fail_msg("line %u: %s", mistake.line, mistake.text);
    config_tree_deinit(&tree);
}

static void assert_refused(struct span yaml, unsigned line, const char *sentence)
{
    assert_int_equal(config_tree_parse(&tree, yaml, &mistake), -EINVAL);
    config_tree_deinit(&tree);
    assert_string_equal(mistake.text, sentence);
    assert_int_equal(mistake.line, line);
}

/* "[a, a, ... last]", in which `repeated` occurs `count` times. */
static struct span list_of(struct buf *out, const char *first, const char *repeated, unsigned count,
                           const char *last)
{
    buf_init(out, SIZE_MAX);
    buf_printf(out, "[%s", first);
    for (unsigned i = 0; i < count; i++)
        buf_put(out, span_str(repeated));
    buf_printf(out, "%s]", last);
    return buf_span(out);
}

/* -- the tree -- */

static void nodes_have_keys_texts_and_lines(void **state)
{
    const struct config_node *n;

    (void)state;
    must_parse("# first\na: 1\n\nb:\n  - x\n  - {c: 'y'}\n");
    assert_int_equal(tree.root->kind, CONFIG_MAPPING);
    assert_int_equal(tree.root->count, 2);
    n = tree.root->first;
    assert_string_equal(n->key, "a");
    assert_string_equal(n->text, "1");
    assert_int_equal(n->line, 2);
    n = n->next;
    assert_string_equal(n->key, "b");
    assert_int_equal(n->kind, CONFIG_LIST);
    assert_int_equal(n->line, 4);
    assert_int_equal(n->count, 2);
    assert_null(n->next);
    n = n->first->next;
    assert_int_equal(n->kind, CONFIG_MAPPING);
    assert_int_equal(n->line, 6);
    assert_int_equal(n->index, 1);
    assert_string_equal(n->first->text, "y");
    config_tree_deinit(&tree);
}

static void a_text_without_a_document_has_no_root(void **state)
{
    (void)state;
    must_parse("# nothing\n");
    assert_null(tree.root);
    assert_int_equal(config_tree_line(tree.root, "a"), 0);
    config_tree_deinit(&tree);
}

static void a_byte_order_mark_may_stand_in_front(void **state)
{
    (void)state;
    must_parse("\xef\xbb\xbf"
               "a: 1\n");
    assert_string_equal(tree.root->first->key, "a");
    config_tree_deinit(&tree);
}

static void the_line_is_that_of_the_path_or_of_what_is_around_it(void **state)
{
    (void)state;
    must_parse("a: 1\nab:\n  - x\n  - c: 1\n    d: {e: 2,\n      f: 3}\n");
    assert_int_equal(config_tree_line(tree.root, "a"), 1);
    assert_int_equal(config_tree_line(tree.root, "ab"), 2);
    assert_int_equal(config_tree_line(tree.root, "ab[1].d.f"), 6);
    assert_int_equal(config_tree_line(tree.root, "ab[1].d.g"), 5);
    assert_int_equal(config_tree_line(tree.root, "ab[1].cc"), 4);
    assert_int_equal(config_tree_line(tree.root, "ab[12].c"), 2);
    assert_int_equal(config_tree_line(tree.root, "abc"), 0);
    config_tree_deinit(&tree);
}

/* -- aliases -- */

static void an_alias_is_a_copy_in_its_own_place(void **state)
{
    const struct config_node *n;

    (void)state;
    must_parse("a: &x {b: 1,\n  c: [2]}\nd: *x\n");
    n = tree.root->first->next;
    assert_string_equal(n->key, "d");
    assert_int_equal(n->line, 3);
    assert_int_equal(n->count, 2);
    n = n->first->next;
    assert_string_equal(n->key, "c");
    assert_int_equal(n->line, 2); /* the line of the alias */
    assert_string_equal(n->first->text, "2");
    assert_int_equal(config_tree_line(tree.root, "d.c[0]"), 2);
    config_tree_deinit(&tree);
}

static void of_two_anchors_of_one_name_the_last_counts(void **state)
{
    (void)state;
    must_parse("[&x 1, *x, &x 2, *x]");
    assert_string_equal(tree.root->first->next->text, "1");
    assert_string_equal(tree.root->first->next->next->next->text, "2");
    config_tree_deinit(&tree);
}

static void an_alias_names_what_is_complete_before_it(void **state)
{
    (void)state;
    assert_refused(SPAN("a: 1\nb: *x\nc: &x 1\n"), 2,
                   "b: an alias (*name) without its anchor (&name) before it");
    assert_refused(SPAN("a: &x\n  - 1\n  - [*x]\n"), 3,
                   "a[1][0]: an alias (*name) inside of what it repeats");
}

static void a_billion_laughs_are_refused_as_soon_as_they_are_many(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, SIZE_MAX);
    buf_printf(&text, "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for (int i = 1; i < 10; i++) {
        buf_printf(&text, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            buf_printf(&text, "%s*a%d", k ? ", " : "", i - 1);
        buf_printf(&text, "]\n");
    }
    assert_int_equal(config_tree_parse(&tree, buf_span(&text), &mistake), -EINVAL);
    config_tree_deinit(&tree);
    assert_int_equal(mistake.line, 6); /* 123,456 nodes before it; with a5, 1,111,111 */
    assert_non_null(strstr(mistake.text, "more than 262144 values"));
    buf_deinit(&text);
}

static void aliases_repeat_one_mebibyte_and_no_byte_more(void **state)
{
    char *first = malloc(3 + 1024 + 1);
    struct buf text;

    (void)state;
    memcpy(first, "&x ", 3);
    memset(first + 3, 'a', 1024);
    first[3 + 1024] = '\0';
    assert_parses(list_of(&text, first, ",*x", 1024, ""));
    buf_deinit(&text);
    assert_parses(list_of(&text, first, ",*x", 1024, ",&y '',*y"));
    buf_deinit(&text);
    assert_refused(list_of(&text, first, ",*x", 1024, ",&y b,*y"), 1,
                   "[1026]: aliases (*name) repeat more than 1 MiB");
    buf_deinit(&text);
    assert_refused(list_of(&text, first, ",*x", 1024, ",&y {b: ''},\n*y"), 2,
                   "[1026].b: aliases (*name) repeat more than 1 MiB");
    buf_deinit(&text);
    free(first);
}

/* -- limits -- */

static void lists_and_mappings_are_16_deep_and_no_deeper(void **state)
{
    (void)state;
    assert_parses(SPAN("[[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]"));
    assert_refused(SPAN("[[[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]]"), 1,
                   "[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: more than 16 lists and "
                   "mappings inside each other");
    assert_refused(SPAN("[&x [[[[[[[[a]]]]]]]], [[[[[[[[*x]]]]]]]]]"), 1,
                   "[1][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: more than 16 lists and "
                   "mappings inside each other");
}

static void there_are_262144_nodes_and_no_more(void **state)
{
    struct buf text;

    (void)state;
    assert_parses(list_of(&text, "", "a,", CONFIG_NODES_MAX - 1, ""));
    buf_deinit(&text);
    assert_refused(list_of(&text, "", "a,", CONFIG_NODES_MAX - 1, "b"), 1,
                   "[262143]: more than 262144 values");
    buf_deinit(&text);
}

static void there_are_256_anchors_and_no_more(void **state)
{
    struct buf text;

    (void)state;
    assert_parses(list_of(&text, "", "&a x,", CONFIG_ANCHORS_MAX, ""));
    buf_deinit(&text);
    assert_refused(list_of(&text, "", "&a x,", CONFIG_ANCHORS_MAX, "&b x"), 1,
                   "[256]: more than 256 anchors (&name)");
    buf_deinit(&text);
}

/* -- YAML that is not accepted -- */

static void a_tag_is_refused_unless_it_says_what_is_read_anyway(void **state)
{
    static const char why[] = "a: a tag (!name): only values without one are read";

    (void)state;
    assert_parses(SPAN("!!map {a: !!str 5, b: ! x, c: !!seq [d]}\n"));
    assert_refused(SPAN("b: 1\na: !!int 5\n"), 2, why);
    assert_refused(SPAN("b: 1\na: !vault |\n  x\n"), 2, why);
    assert_refused(SPAN("a: !!set {b}\n"), 1, why);
    assert_refused(SPAN("a: !!omap [b]\n"), 1, why);
    assert_refused(SPAN("a:\n  !x b: 1\n"), 2, why);
}

static void a_tag_directive_is_refused_unread(void **state)
{
    static const char why[] = "a tag directive (%TAG): only values without tags are read";

    (void)state;
    assert_refused(SPAN("# x\n%TAG !y! tag:example.com,2000:\n--- a\n"), 2, why);
    assert_refused(SPAN("a: 1\n...\n%TAG !y! x\n--- a\n"), 3, why);
    assert_refused(SPAN("\xef\xbb\xbf%TAG !y! x\n--- a\n"), 1, why);
    assert_parses(SPAN("%YAML 1.1\n---\na: 5 %TAG\n"));
}

static void a_second_document_is_refused(void **state)
{
    (void)state;
    assert_parses(SPAN("---\na: 1\n...\n# the end\n"));
    assert_refused(SPAN("a: 1\n---\n"), 2, "a second document begins here; only one is read");
}

static void a_nul_byte_is_refused_however_it_is_written(void **state)
{
    (void)state;
    assert_refused(SPAN("a: 1\nb: x\0y\n"), 2, "not YAML: control characters are not allowed");
    assert_refused(SPAN("a: 1\nb: \"x\\0\"\n"), 2, "b: it holds a NUL byte");
    assert_refused(SPAN("a:\n  \"b\\x00\": 1\n"), 2, "a: it holds a NUL byte");
}

static void what_is_no_utf_8_is_refused_with_its_line(void **state)
{
    (void)state;
    assert_parses(SPAN("a: \xc3\xbc\n"));
    assert_refused(SPAN("a: 1\nb: \xff\n"), 2, "not YAML: invalid leading UTF-8 octet");
    assert_refused(SPAN("a: 1\nb: \xc0\x80\n"), 2, "not YAML: invalid length of a UTF-8 sequence");
    assert_refused(SPAN("a: 1\nb: \xed\xa0\x80\n"), 2, "not YAML: invalid Unicode character");
    assert_refused(SPAN("\xff\xfe"
                        "a\0:\0 \0b\0\n\0"),
                   1, "not YAML: invalid leading UTF-8 octet");
}

static void a_key_is_text(void **state)
{
    static const char why[] = "a key that is no text: expected the name of a setting";

    (void)state;
    assert_refused(SPAN("? [a]\n: b\n"), 1, why);
    assert_refused(SPAN("a: 1\nb: {{ url }}\n"), 2,
                   "b: a key that is no text: expected the name of a setting");
    assert_refused(SPAN("a: &x b\n*x : 1\n"), 2, why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_have_keys_texts_and_lines),
        cmocka_unit_test(a_text_without_a_document_has_no_root),
        cmocka_unit_test(a_byte_order_mark_may_stand_in_front),
        cmocka_unit_test(the_line_is_that_of_the_path_or_of_what_is_around_it),
        cmocka_unit_test(an_alias_is_a_copy_in_its_own_place),
        cmocka_unit_test(of_two_anchors_of_one_name_the_last_counts),
        cmocka_unit_test(an_alias_names_what_is_complete_before_it),
        cmocka_unit_test(a_billion_laughs_are_refused_as_soon_as_they_are_many),
        cmocka_unit_test(aliases_repeat_one_mebibyte_and_no_byte_more),
        cmocka_unit_test(lists_and_mappings_are_16_deep_and_no_deeper),
        cmocka_unit_test(there_are_262144_nodes_and_no_more),
        cmocka_unit_test(there_are_256_anchors_and_no_more),
        cmocka_unit_test(a_tag_is_refused_unless_it_says_what_is_read_anyway),
        cmocka_unit_test(a_tag_directive_is_refused_unread),
        cmocka_unit_test(a_second_document_is_refused),
        cmocka_unit_test(a_nul_byte_is_refused_however_it_is_written),
        cmocka_unit_test(what_is_no_utf_8_is_refused_with_its_line),
        cmocka_unit_test(a_key_is_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
