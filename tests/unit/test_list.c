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

#include "list.h"

struct item {
    int id;
    struct list link;
};

/* Walks the list in both directions, and returns the ids in order. */
static const char *order(struct list *l)
{
    static char text[64];
    size_t n = 0, back = 0;

    text[0] = '\0';
    list_each(it, l)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%d",
                              list_entry(it, struct item, link)->id);
    for (struct list *it = l->prev; it != l; it = it->prev)
        assert_int_equal(list_entry(it, struct item, link)->id, text[n - ++back] - '0');
    assert_int_equal(back, n);
    return text;
}

static void a_new_list_is_empty(void **state)
{
    struct list l;

    list_init(&l);
    assert_true(list_empty(&l));
    assert_null(list_pop_front(&l));
    assert_string_equal(order(&l), "");
    (void)state;
}

static void things_stand_where_they_were_pushed(void **state)
{
    struct item a = {.id = 1}, b = {.id = 2}, c = {.id = 3}, d = {.id = 4};
    struct list l;

    list_init(&l);
    list_push_back(&l, &b.link);
    list_push_back(&l, &d.link);
    list_push_front(&l, &a.link);
    list_insert_before(&d.link, &c.link);
    assert_string_equal(order(&l), "1234");
    assert_int_equal(list_first(&l, struct item, link)->id, 1);
    assert_ptr_equal(list_pop_front(&l), &a.link);
    assert_string_equal(order(&l), "234");
    (void)state;
}

static void removing_twice_is_harmless(void **state)
{
    struct item a = {.id = 1}, b = {.id = 2};
    struct list l;

    list_init(&l);
    list_push_back(&l, &a.link);
    list_push_back(&l, &b.link);
    list_remove(&a.link);
    list_remove(&a.link);
    assert_true(list_empty(&a.link));
    assert_string_equal(order(&l), "2");
    (void)state;
}

static void a_walk_survives_the_removal_of_where_it_stands(void **state)
{
    struct item items[5] = {{.id = 1}, {.id = 2}, {.id = 3}, {.id = 4}, {.id = 5}};
    struct list l;

    list_init(&l);
    for (int i = 0; i < 5; i++)
        list_push_back(&l, &items[i].link);
    list_each_safe(it, tmp, &l) {
        if (list_entry(it, struct item, link)->id % 2)
            list_remove(it);
    }
    assert_string_equal(order(&l), "24");
    (void)state;
}

static void splicing_moves_all_and_empties_the_source(void **state)
{
    struct item items[4] = {{.id = 1}, {.id = 2}, {.id = 3}, {.id = 4}};
    struct list to, from;

    list_init(&to);
    list_init(&from);
    list_push_back(&to, &items[0].link);
    list_splice_back(&to, &from);
    assert_string_equal(order(&to), "1");
    for (int i = 1; i < 4; i++)
        list_push_back(&from, &items[i].link);
    list_splice_back(&to, &from);
    assert_string_equal(order(&to), "1234");
    assert_true(list_empty(&from));
    list_splice_back(&from, &to);
    assert_string_equal(order(&from), "1234");
    assert_true(list_empty(&to));
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_list_is_empty),
        cmocka_unit_test(things_stand_where_they_were_pushed),
        cmocka_unit_test(removing_twice_is_harmless),
        cmocka_unit_test(a_walk_survives_the_removal_of_where_it_stands),
        cmocka_unit_test(splicing_moves_all_and_empties_the_source),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
