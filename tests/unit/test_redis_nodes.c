/* SPDX-License-Identifier: MIT
 * The nodes of a Cluster, as its answer to CLUSTER SLOTS tells them. */
#include "unit.h"

#include <stdlib.h>

#include "alloc.h"
#include "buf.h"
#include "redis.h"
#include "redis_codec.h"
#include "redis_nodes.h"
#include "reply.h"

static struct redis_nodes *new_nodes(struct redis_address *a)
{
    struct error err;
    struct redis_nodes *n;

    assert_int_equal(redis_address_parse("redis+cluster://given:1", a, &err), 0);
    n = redis_nodes_new(a);
    assert_int_equal(redis_nodes_count(n), 1);
    return n;
}

static void learn(struct redis_nodes *n, struct buf *slots)
{
    struct redisReply *reply;

    buf_put(slots, span_of("", 1));
    reply = redis_reply_of(slots->p);
    redis_nodes_learn(n, reply);
    reply_free_duplicate(reply);
    buf_clear(slots);
}

static void put_node(struct buf *b, const char *host)
{
    buf_printf(b, "*2\r\n$%zu\r\n%s\r\n:7000\r\n", strlen(host), host);
}

/* One range of slots with this many entries of one node, and then another one. */
static uint32_t nodes_learnt(struct redis_nodes *n, struct buf *b, unsigned before)
{
    buf_printf(b, "*1\r\n*%u\r\n:0\r\n:16383\r\n", before + 3);
    for (unsigned i = 0; i < before; i++)
        put_node(b, "first");
    put_node(b, "second");
    learn(n, b);
    return redis_nodes_count(n);
}

/* A Cluster that works has far fewer. What a node says is no reason to be busy for long. */
static void of_many_entries_only_16384_are_looked_at(void **state)
{
    struct redis_address a;
    struct redis_nodes *n = new_nodes(&a);
    struct buf b;

    (void)state;
    buf_init(&b, (size_t)1 << 30);
    assert_int_equal(nodes_learnt(n, &b, 16383), 3);
    assert_int_equal(nodes_learnt(n, &b, 16384), 2);
    assert_int_equal(nodes_learnt(n, &b, 1), 3);
    buf_deinit(&b);
    redis_nodes_free(n);
    redis_address_deinit(&a);
}

/* The same for ranges, each of which counts, even without a node. */
static void of_many_ranges_only_16384_are_looked_at(void **state)
{
    struct redis_address a;
    struct redis_nodes *n = new_nodes(&a);
    struct buf b;

    (void)state;
    buf_init(&b, (size_t)1 << 30);
    for (unsigned ranges = 16383; ranges < 16385; ranges++) {
        buf_printf(&b, "*%u\r\n", ranges + 1);
        for (unsigned i = 0; i < ranges; i++)
            buf_printf(&b, "*2\r\n:0\r\n:0\r\n");
        buf_printf(&b, "*3\r\n:0\r\n:0\r\n");
        put_node(&b, "last");
        learn(n, &b);
        assert_int_equal(redis_nodes_count(n), ranges < 16384 ? 2 : 1);
    }
    buf_deinit(&b);
    redis_nodes_free(n);
    redis_address_deinit(&a);
}

static void nodes_that_have_left_are_forgotten_but_not_those_of_the_url(void **state)
{
    struct redis_address a;
    struct redis_nodes *n = new_nodes(&a);
    struct buf b;

    (void)state;
    buf_init(&b, (size_t)1 << 20);
    buf_printf(&b, "*1\r\n*4\r\n:0\r\n:16383\r\n");
    put_node(&b, "one");
    put_node(&b, "?");
    learn(n, &b);
    assert_int_equal(redis_nodes_count(n), 2);
    buf_printf(&b, "*1\r\n*3\r\n:0\r\n:16383\r\n");
    put_node(&b, "two");
    learn(n, &b);
    assert_int_equal(redis_nodes_count(n), 2);
    redis_nodes_choose(n, &a);
    assert_string_equal(a.host, "given");
    redis_nodes_choose(n, &a);
    assert_string_equal(a.host, "two");
    buf_deinit(&b);
    redis_nodes_free(n);
    redis_address_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_many_entries_only_16384_are_looked_at),
        cmocka_unit_test(of_many_ranges_only_16384_are_looked_at),
        cmocka_unit_test(nodes_that_have_left_are_forgotten_but_not_those_of_the_url),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
