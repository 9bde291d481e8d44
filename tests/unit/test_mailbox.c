/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mailbox.h"
#include "on_loop.h"

#define POSTS 20000u
#define THREADS 4u

struct letter {
    struct list link;
    unsigned thread, number;
};

struct office {
    struct loop *loop;
    struct mailbox *box;
    unsigned seen, wanted, calls;
    unsigned next[THREADS]; /* the next expected number from each thread */
    struct letter letters[THREADS][POSTS];
};

static void on_letters(void *ctx, struct list *posted)
{
    struct office *o = ctx;
    struct list *node;

    assert_false(list_empty(posted));
    o->calls++;
    while ((node = list_pop_front(posted))) {
        struct letter *l = list_entry(node, struct letter, link);

        assert_int_equal(l->number, o->next[l->thread]);
        o->next[l->thread]++;
        o->seen++;
    }
    if (o->seen == o->wanted)
        loop_stop(o->loop);
}

static struct office office;

static struct office *office_open(unsigned wanted)
{
    office = (struct office){.loop = loop_new(), .wanted = wanted};
    office.box = mailbox_new(office.loop, on_letters, &office);
    for (unsigned t = 0; t < THREADS; t++)
        for (unsigned i = 0; i < POSTS; i++)
            office.letters[t][i] = (struct letter){.thread = t, .number = i};
    return &office;
}

static void office_close(struct office *o)
{
    mailbox_close(o->box);
    loop_run(o->loop);
    loop_free(o->loop);
}

static void thousands_of_posts_cost_one_wake_up(void **state)
{
    struct office *o = office_open(POSTS);

    (void)state;
    for (unsigned i = 0; i < POSTS; i++)
        mailbox_post(o->box, &o->letters[0][i].link);
    assert_int_equal(o->seen, 0);
    loop_run(o->loop);
    assert_int_equal(o->seen, POSTS);
    assert_int_equal(o->calls, 1);
    office_close(o);
}

static void *post_all(void *ctx)
{
    struct letter *letters = ctx;

    for (unsigned i = 0; i < POSTS; i++)
        mailbox_post(office.box, &letters[i].link);
    return NULL;
}

static void posts_of_four_threads_arrive_once_and_in_order(void **state)
{
    struct office *o = office_open(THREADS * POSTS);
    pthread_t threads[THREADS];

    (void)state;
    for (unsigned t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, post_all, o->letters[t]), 0);
    loop_run(o->loop);
    for (unsigned t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        assert_int_equal(o->next[t], POSTS);
    }
    assert_true(o->calls < o->seen);
    office_close(o);
}

static void a_list_posted_whole_arrives_in_its_order(void **state)
{
    struct office *o = office_open(4);
    struct list three;

    (void)state;
    list_init(&three);
    for (unsigned i = 1; i <= 3; i++)
        list_push_back(&three, &o->letters[0][i].link);
    mailbox_post(o->box, &o->letters[0][0].link);
    mailbox_post_all(o->box, &three);
    assert_true(list_empty(&three));
    loop_run(o->loop);
    assert_int_equal(o->next[0], 4);
    office_close(o);
}

static void posting_an_empty_list_wakes_nobody(void **state)
{
    struct office *o = office_open(1);
    struct list none;

    (void)state;
    list_init(&none);
    mailbox_post_all(o->box, &none);
    mailbox_post(o->box, &o->letters[0][0].link);
    loop_run(o->loop);
    assert_int_equal(o->calls, 1);
    office_close(o);
}

static void what_is_inside_at_the_close_is_delivered_before_it_returns(void **state)
{
    struct office *o = office_open(2);

    (void)state;
    mailbox_post(o->box, &o->letters[0][0].link);
    mailbox_post(o->box, &o->letters[0][1].link);
    mailbox_close(o->box);
    assert_int_equal(o->seen, 2);
    loop_run(o->loop);
    loop_run(o->loop);
    assert_int_equal(o->calls, 1);
    loop_free(o->loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousands_of_posts_cost_one_wake_up),
        cmocka_unit_test(posts_of_four_threads_arrive_once_and_in_order),
        cmocka_unit_test(a_list_posted_whole_arrives_in_its_order),
        cmocka_unit_test(posting_an_empty_list_wakes_nobody),
        cmocka_unit_test(what_is_inside_at_the_close_is_delivered_before_it_returns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
