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

#include "heap.h"
#include "rng.h"

#define NODES 500

/* Checks that no parent is larger than its children, and that every node knows its position. */
static void check(const struct heap *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        assert_int_equal(h->at[i]->pos, i);
        if (i)
            assert_true(h->at[(i - 1) / 2]->key <= h->at[i]->key);
    }
}

static void an_empty_heap_has_no_smallest(void **state)
{
    struct heap h;

    heap_init(&h);
    assert_null(heap_min(&h));
    heap_deinit(&h);
    (void)state;
}

static void nodes_come_out_in_the_order_of_their_keys(void **state)
{
    static struct heap_node nodes[NODES];
    struct rng r = {1};
    struct heap h;
    uint64_t before = 0;

    heap_init(&h);
    for (int i = 0; i < NODES; i++) {
        heap_node_init(&nodes[i]);
        heap_insert(&h, &nodes[i], rng_below(&r, 100));
        check(&h);
    }
    for (int i = 0; i < NODES; i++) {
        struct heap_node *n = heap_min(&h);

        assert_true(n->key >= before);
        before = n->key;
        heap_remove(&h, n);
        assert_int_equal(n->pos, HEAP_NOWHERE);
        check(&h);
    }
    assert_null(heap_min(&h));
    heap_deinit(&h);
    (void)state;
}

static void any_node_may_leave_early_and_come_back(void **state)
{
    static struct heap_node nodes[NODES];
    struct rng r = {2};
    struct heap h;
    uint32_t in = 0;

    heap_init(&h);
    for (int i = 0; i < NODES; i++)
        heap_node_init(&nodes[i]);
    for (int i = 0; i < 20 * NODES; i++) {
        struct heap_node *n = &nodes[rng_below(&r, NODES)];

        if (n->pos == HEAP_NOWHERE) {
            heap_insert(&h, n, rng_below(&r, 1000));
            in++;
        } else {
            heap_remove(&h, n);
            in--;
        }
        assert_int_equal(h.count, in);
        check(&h);
    }
    heap_deinit(&h);
    (void)state;
}

static void removing_what_is_nowhere_changes_nothing(void **state)
{
    struct heap_node a, b;
    struct heap h;

    heap_init(&h);
    heap_node_init(&a);
    heap_node_init(&b);
    heap_insert(&h, &a, NEVER);
    heap_remove(&h, &b);
    assert_ptr_equal(heap_min(&h), &a);
    heap_remove(&h, &a);
    heap_remove(&h, &a);
    assert_null(heap_min(&h));
    heap_deinit(&h);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_heap_has_no_smallest),
        cmocka_unit_test(nodes_come_out_in_the_order_of_their_keys),
        cmocka_unit_test(any_node_may_leave_early_and_come_back),
        cmocka_unit_test(removing_what_is_nowhere_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
