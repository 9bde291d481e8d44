/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "slabs.h"

static void items_do_not_overlap_and_are_found_by_their_number(void **state)
{
    static char *items[5000];
    struct slabs s;

    (void)state;
    slabs_init(&s);
    for (unsigned i = 0; i < array_len(items); i++) {
        size_t bytes = 1 + i * 7 % 300;

        items[i] = slabs_take(&s, bytes);
        assert_int_equal((uintptr_t)items[i] % SLAB_STEP, 0);
        memset(items[i], (int)(i % 251), bytes);
        assert_int_not_equal(slabs_number(items[i]), 0);
        assert_ptr_equal(slabs_at(&s, slabs_number(items[i])), items[i]);
    }
    for (unsigned i = 0; i < array_len(items); i++)
        for (size_t at = 0; at < 1 + i * 7 % 300; at++)
            assert_int_equal((unsigned char)items[i][at], i % 251);
    for (unsigned i = 0; i < array_len(items); i++)
        slabs_give(&s, items[i]);
    assert_int_equal(slabs_bytes(&s), 0);
    slabs_deinit(&s);
}

static void the_largest_item_fills_a_slab(void **state)
{
    struct slabs s;
    char *one, *two;

    (void)state;
    slabs_init(&s);
    one = slabs_take(&s, SLABS_ITEM_MAX_BYTES);
    two = slabs_take(&s, SLABS_ITEM_MAX_BYTES);
    memset(one, 1, SLABS_ITEM_MAX_BYTES);
    memset(two, 2, SLABS_ITEM_MAX_BYTES);
    assert_int_equal(slabs_bytes(&s), 2 * SLAB_BYTES);
    slabs_give(&s, one);
    assert_int_equal(slabs_bytes(&s), SLAB_BYTES);
    assert_int_equal(two[SLABS_ITEM_MAX_BYTES - 1], 2);
    slabs_deinit(&s); /* with an item */
}

static void an_item_of_80_bytes_has_hardly_any_overhead(void **state)
{
    struct slabs s;

    (void)state;
    slabs_init(&s);
    for (unsigned i = 0; i < 100000; i++)
        slabs_take(&s, 80);
    assert_in_range(slabs_bytes(&s), 8000000, 8100000);
    slabs_deinit(&s);
}

/* Takes and gives items at random, and checks what was foreseen. */
static void growth_is_foreseen_and_returned_items_are_used_again(void **state)
{
    static struct {
        char *p;
        size_t bytes;
    } items[1000];
    struct slabs s;
    struct rng rng = {5};
    uint64_t most = 0;

    (void)state;
    slabs_init(&s);
    for (unsigned round = 0; round < 2000; round++) {
        struct slabs_growth g = {0};
        uint64_t before = slabs_bytes(&s);
        unsigned count = (unsigned)rng_below(&rng, 40), from = (unsigned)rng_below(&rng, 960);

        for (unsigned i = from; i < from + count; i++) {
            if (items[i].p) {
                assert_int_equal(items[i].p[items[i].bytes - 1], (char)i);
                slabs_give(&s, items[i].p);
            }
            items[i].p = NULL;
        }
        assert_in_range(slabs_bytes(&s), 0, before);
        before = slabs_bytes(&s);
        for (unsigned i = from; i < from + count; i++) {
            items[i].bytes = 1 + rng_below(&rng, round % 3 ? 100 : SLABS_ITEM_MAX_BYTES / 2);
            slabs_growth_add(&s, &g, items[i].bytes);
        }
        for (unsigned i = from; i < from + count; i++) {
            items[i].p = slabs_take(&s, items[i].bytes);
            items[i].p[items[i].bytes - 1] = (char)i;
        }
        assert_in_range(slabs_bytes(&s) - before, 0, g.bytes);
        most = max_u64(most, slabs_bytes(&s));
    }
    for (unsigned i = 0; i < array_len(items); i++)
        if (items[i].p)
            slabs_give(&s, items[i].p);
    assert_int_equal(slabs_bytes(&s), 0);
    assert_in_range(most, 0, 1000 * SLAB_BYTES);
    slabs_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_do_not_overlap_and_are_found_by_their_number),
        cmocka_unit_test(the_largest_item_fills_a_slab),
        cmocka_unit_test(an_item_of_80_bytes_has_hardly_any_overhead),
        cmocka_unit_test(growth_is_foreseen_and_returned_items_are_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
