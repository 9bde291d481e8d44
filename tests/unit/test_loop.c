/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "clock.h"
#include "on_loop.h"

struct shot {
    struct loop *loop;
    struct timer *timer;
    uint64_t at_ns, fired_ns;
    unsigned times, wanted;
};

static void on_shot(void *ctx)
{
    struct shot *s = ctx;

    s->fired_ns = clock_mono_ns();
    s->times++;
    if (s->times == s->wanted)
        loop_stop(s->loop);
    else
        timer_start_at(s->timer, 0);
}

static void shot_init(struct shot *s)
{
    *s = (struct shot){.wanted = 1};
    s->loop = loop_new();
    s->timer = timer_new(s->loop, on_shot, s);
}

static void shot_deinit(struct shot *s)
{
    timer_close(s->timer);
    loop_run(s->loop);
    loop_free(s->loop);
}

static void a_timer_never_fires_early(void **state)
{
    static const uint64_t waits_ns[] = {1, 999, 50000, 999999, 1000000, 1000001, 2500000, 7300000};
    struct shot s;

    (void)state;
    shot_init(&s);
    for (size_t i = 0; i < array_len(waits_ns); i++) {
        s.times = 0;
        s.at_ns = clock_mono_ns() + waits_ns[i];
        timer_start_at(s.timer, s.at_ns);
        loop_run(s.loop);
        assert_int_equal(s.times, 1);
        assert_true(s.fired_ns >= s.at_ns);
        assert_true(s.fired_ns - s.at_ns < 500 * NS_PER_MS); /* tolerates a busy machine */
    }
    shot_deinit(&s);
}

static void a_time_in_the_past_fires_on_the_next_turn(void **state)
{
    struct shot s;

    (void)state;
    shot_init(&s);
    timer_start_at(s.timer, 1);
    assert_int_equal(s.times, 0);
    loop_run(s.loop);
    assert_int_equal(s.times, 1);
    shot_deinit(&s);
}

static void a_later_start_replaces_an_earlier_one(void **state)
{
    struct shot s;

    (void)state;
    shot_init(&s);
    timer_start_at(s.timer, 0);
    s.at_ns = clock_mono_ns() + 3 * NS_PER_MS;
    timer_start_at(s.timer, s.at_ns);
    loop_run(s.loop);
    assert_int_equal(s.times, 1);
    assert_true(s.fired_ns >= s.at_ns);
    shot_deinit(&s);
}

static void an_earlier_start_replaces_a_later_one(void **state)
{
    struct shot s;

    (void)state;
    shot_init(&s);
    timer_start_at(s.timer, clock_mono_ns() + 3600 * NS_PER_S);
    timer_start_at(s.timer, clock_mono_ns() + NS_PER_MS);
    loop_run(s.loop);
    assert_int_equal(s.times, 1);
    shot_deinit(&s);
}

static void on_other(void *ctx)
{
    loop_stop(ctx);
}

static void a_stopped_timer_does_not_fire(void **state)
{
    struct shot s;
    struct timer *other;

    (void)state;
    shot_init(&s);
    other = timer_new(s.loop, on_other, s.loop);
    timer_start_at(s.timer, clock_mono_ns() + NS_PER_MS);
    timer_start_at(other, clock_mono_ns() + 4 * NS_PER_MS);
    timer_stop(s.timer);
    loop_run(s.loop);
    assert_int_equal(s.times, 0);
    timer_close(other);
    shot_deinit(&s);
}

/* Two timers that are due in the same turn. The first one stops the second. */
struct pair {
    struct timer *timer[2];
    struct loop *loop;
    unsigned fired;
};

static void on_pair(void *ctx)
{
    struct pair *p = ctx;

    p->fired++;
    timer_stop(p->timer[0]);
    timer_stop(p->timer[1]);
}

static void a_timer_that_is_due_can_still_be_stopped(void **state)
{
    struct pair p = {.loop = loop_new()};
    struct timer *end = timer_new(p.loop, on_other, p.loop);

    (void)state;
    for (int i = 0; i < 2; i++) {
        p.timer[i] = timer_new(p.loop, on_pair, &p);
        timer_start_at(p.timer[i], 0);
    }
    timer_start_at(end, clock_mono_ns() + 3 * NS_PER_MS);
    loop_run(p.loop);
    assert_int_equal(p.fired, 1);
    timer_close(p.timer[0]);
    timer_close(p.timer[1]);
    timer_close(end);
    loop_run(p.loop);
    loop_free(p.loop);
}

static void a_timer_that_restarts_itself_does_not_keep_others_from_firing(void **state)
{
    struct shot s;
    struct timer *other;

    (void)state;
    shot_init(&s);
    s.wanted = UINT32_MAX;
    other = timer_new(s.loop, on_other, s.loop);
    timer_start_at(other, clock_mono_ns() + 2 * NS_PER_MS);
    timer_start_at(s.timer, 0);
    loop_run(s.loop);
    assert_true(s.times > 1);
    timer_close(other);
    shot_deinit(&s);
}

static void on_signal(void *ctx, int signum)
{
    assert_int_equal(signum, SIGUSR1);
    loop_stop(ctx);
}

static void a_watched_signal_arrives_on_the_loop(void **state)
{
    struct loop *l = loop_new();
    struct watch *w = watch_signal(l, SIGUSR1, on_signal, l);

    (void)state;
    raise(SIGUSR1);
    loop_run(l);
    watch_close(w);
    loop_run(l);
    loop_free(l);
}

static void closing_nothing_is_fine(void **state)
{
    (void)state;
    timer_close(NULL);
    watch_close(NULL);
}

/* A timer works even when all file descriptors are in use. */
static void a_timer_needs_no_descriptor(void **state)
{
    struct rlimit before, none;
    struct timer *more[100];
    struct shot s;

    (void)state;
    shot_init(&s);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (size_t i = 0; i < array_len(more); i++)
        more[i] = timer_new(s.loop, on_shot, &s);
    s.at_ns = clock_mono_ns() + NS_PER_MS;
    timer_start_at(more[99], s.at_ns);
    loop_run(s.loop);
    assert_int_equal(s.times, 1);
    assert_true(s.fired_ns >= s.at_ns);
    for (size_t i = 0; i < array_len(more); i++)
        timer_close(more[i]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    shot_deinit(&s);
}

struct both {
    struct timer *timers[2];
    unsigned fired;
};

static void on_either(void *ctx)
{
    struct both *p = ctx;

    p->fired++;
    for (size_t i = 0; i < array_len(p->timers); i++)
        timer_close(p->timers[i]);
}

/* Both timers are due in the same turn; either may fire first. */
static void a_timer_that_another_closes_does_not_fire(void **state)
{
    static const uint64_t times_ns[] = {0, 1};

    (void)state;
    for (size_t k = 0; k < array_len(times_ns); k++) {
        struct loop *l = loop_new();
        struct both p = {{timer_new(l, on_either, &p), timer_new(l, on_either, &p)}, 0};

        timer_start_at(p.timers[0], times_ns[k]);
        timer_start_at(p.timers[1], times_ns[k]);
        loop_run(l); /* returns when the last timer has been closed */
        assert_int_equal(p.fired, 1);
        loop_free(l);
    }
}

struct lasts {
    struct shot *shot;
    struct loop_last first, second, third;
    char order[8];
    unsigned n;
};

static void on_first(void *ctx)
{
    struct lasts *l = ctx;

    l->order[l->n++] = '1';
    loop_before_sleep(l->shot->loop, &l->third); /* is done before this sleep, too */
}

static void on_second(void *ctx)
{
    struct lasts *l = ctx;

    l->order[l->n++] = '2';
}

static void on_third(void *ctx)
{
    struct lasts *l = ctx;

    l->order[l->n++] = '3';
    timer_start_at(l->shot->timer, 0);
}

static void what_is_done_before_the_loop_sleeps_is_done_in_order_and_once(void **state)
{
    struct shot s;
    struct lasts l = {.shot = &s,
                      .first = {.cb = on_first, .ctx = &l},
                      .second = {.cb = on_second, .ctx = &l},
                      .third = {.cb = on_third, .ctx = &l}};
    struct loop_last taken_back = {.cb = on_third, .ctx = &l};

    (void)state;
    shot_init(&s);
    list_init(&l.first.link);
    list_init(&l.second.link);
    list_init(&l.third.link);
    list_init(&taken_back.link);
    loop_before_sleep(s.loop, &taken_back);
    loop_before_sleep(s.loop, &l.first);
    loop_before_sleep(s.loop, &l.second);
    loop_before_sleep(s.loop, &l.first);
    list_remove(&taken_back.link);
    loop_run(s.loop);
    assert_string_equal(l.order, "123");
    shot_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_done_before_the_loop_sleeps_is_done_in_order_and_once),
        cmocka_unit_test(a_timer_never_fires_early),
        cmocka_unit_test(a_time_in_the_past_fires_on_the_next_turn),
        cmocka_unit_test(a_later_start_replaces_an_earlier_one),
        cmocka_unit_test(an_earlier_start_replaces_a_later_one),
        cmocka_unit_test(a_stopped_timer_does_not_fire),
        cmocka_unit_test(a_timer_that_is_due_can_still_be_stopped),
        cmocka_unit_test(a_timer_that_restarts_itself_does_not_keep_others_from_firing),
        cmocka_unit_test(a_watched_signal_arrives_on_the_loop),
        cmocka_unit_test(closing_nothing_is_fine),
        cmocka_unit_test(a_timer_needs_no_descriptor),
        cmocka_unit_test(a_timer_that_another_closes_does_not_fire),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
