/* SPDX-License-Identifier: MIT */
#include "window_world.h"

#include <stdio.h>

#include "setting.h"

/* -- merging --------------------------------------------------------------------------------- */

/* One save of a product caused five purges: https://github.com/fastly/fastly-magento2/issues/73 */
static void five_equal_pushes_become_one_send_that_ends_five_jobs_S30(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;

    (void)state;
    for (int i = 0; i < 5; i++)
        push(w, "product-7");
    b = pick(w);
    assert_int_equal(b->count, 1);
    assert_null(pick(w));
    finish(w, b, OUTCOME_PURGED);
    assert_int_equal(w->ended[OUTCOME_PURGED], 5);
    world_free(w);
}

/* In another queue, a trigger during the active job was lost:
 * https://github.com/taskforcesh/bullmq/issues/3427 */
static void a_key_pushed_while_in_flight_is_sent_once_more_S27(void **state)
{
    struct world *w = world_new(100);
    struct batch *first, *second;

    (void)state;
    push(w, "k");
    first = pick(w);
    push(w, "k");
    push(w, "k");
    second = pick(w);
    assert_int_equal(second->count, 1);
    finish(w, first, OUTCOME_PURGED);
    assert_int_equal(w->ended[OUTCOME_PURGED], 1);
    finish(w, second, OUTCOME_PURGED);
    assert_int_equal(w->ended[OUTCOME_PURGED], 3);
    world_free(w);
}

/* FOSHttpCache's getRequestSignature was the same for all tag batches, so only the first was sent:
 * https://github.com/FriendsOfSymfony/FOSHttpCache */
static void the_identity_covers_kind_service_and_bytes_S18(void **state)
{
    struct world *w = world_new(100);

    (void)state;
    push_as(w, (struct push){LANE_NORMAL, 0, false, 0}, "a.example/x");
    push_as(w, (struct push){LANE_NORMAL, 1, false, 0}, "a.example/x");
    push_as(w, (struct push){LANE_NORMAL, 0, false, 0}, "url:a.example/x");
    push_as(w, (struct push){LANE_NORMAL, 0, false, 0}, "a.example/X");
    assert_int_equal(w->window.held, 4);
    world_free(w);
}

static void a_url_is_the_same_whatever_service_it_is_pushed_for(void **state)
{
    struct world *w = world_new(100);

    (void)state;
    push_as(w, (struct push){LANE_NORMAL, 0, false, 0}, "url:a.example/x");
    push_as(w, (struct push){LANE_NORMAL, 1, false, 0}, "url:https://A.example/x");
    assert_int_equal(w->window.held, 1);
    world_free(w);
}

static void three_hundred_tags_in_two_calls_all_arrive_S18(void **state)
{
    struct world *w = world_new(1000);
    struct batch *b;
    uint32_t sent = 0;
    char key[32];

    (void)state;
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "tag-%d", i);
        push(w, key);
    }
    while ((b = pick(w))) {
        assert_true(b->count <= FASTLY_BATCH_MAX_KEYS);
        sent += b->count;
        finish(w, b, OUTCOME_PURGED);
    }
    assert_int_equal(sent, 300);
    assert_int_equal(w->ended[OUTCOME_PURGED], 300);
    world_free(w);
}

static void hard_absorbs_soft_and_soft_does_not_soften(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;

    (void)state;
    push_as(w, (struct push){LANE_NORMAL, 0, true, 0}, "k");
    push_as(w, (struct push){LANE_NORMAL, 0, false, 0}, "k");
    push_as(w, (struct push){LANE_NORMAL, 0, true, 0}, "k");
    b = pick(w);
    assert_int_equal(b->form, FORM_KEYS);
    assert_null(pick(w));
    finish(w, b, OUTCOME_PURGED);
    assert_int_equal(w->ended[OUTCOME_PURGED], 3);
    world_free(w);
}

static void the_highest_lane_of_its_jobs_wins(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;

    (void)state;
    push_as(w, (struct push){LANE_BULK, 0, false, 0}, "k");
    push_as(w, (struct push){LANE_URGENT, 0, false, 0}, "k");
    assert_null(pick_lane(w, LANE_BULK));
    b = pick_lane(w, LANE_URGENT);
    assert_non_null(b);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

static void the_latest_expiry_counts_and_never_is_the_latest(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;

    (void)state;
    push_as(w, (struct push){LANE_NORMAL, 0, false, 1000}, "a");
    push_as(w, (struct push){LANE_NORMAL, 0, false, 5000}, "a");
    push_as(w, (struct push){LANE_NORMAL, 0, false, 2000}, "a");
    b = pick(w);
    assert_int_equal(pending_expires_ms(list_first(&b->targets, struct pending, link)), 5000);
    bring_back(w, b);
    push_as(w, (struct push){LANE_NORMAL, 0, false, 0}, "a");
    b = pick(w);
    assert_int_equal(pending_expires_ms(list_first(&b->targets, struct pending, link)), 0);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

static void what_comes_back_merges_with_what_was_pushed_meanwhile(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;

    (void)state;
    push(w, "k");
    b = pick(w);
    push(w, "k");
    bring_back(w, b);
    assert_int_equal(w->window.held, 1);
    b = pick(w);
    assert_null(pick(w));
    finish(w, b, OUTCOME_PURGED);
    assert_int_equal(w->ended[OUTCOME_PURGED], 2);
    world_free(w);
}

static void attempts_are_not_forgotten_by_merging(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;

    (void)state;
    push(w, "k");
    b = pick(w);
    list_first(&b->targets, struct pending, link)->attempts = 9;
    push(w, "k");
    bring_back(w, b);
    b = pick(w);
    assert_int_equal(list_first(&b->targets, struct pending, link)->attempts, 9);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

static void what_comes_back_stands_in_front(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;

    (void)state;
    w->grant.units[LEDGER_PURGE] = 1;
    push(w, "first");
    push(w, "second");
    b = pick(w);
    bring_back(w, b);
    b = pick(w);
    assert_true(span_is(pending_bytes(list_first(&b->targets, struct pending, link)), "first"));
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

/* A million pushes of ten thousand keys use ten thousand targets:
 * https://github.com/lochmueller/staticfilecache/issues/263 */
static void duplicates_cost_no_targets_S29(void **state)
{
    struct world *w = world_new(1000000);
    char key[32];

    (void)state;
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof(key), "article-%d", i % 1000);
        push(w, key);
    }
    assert_int_equal(w->window.held, 1000);
    assert_int_equal(w->window.merged, 99000);
    assert_int_equal(w->window.jobs.used, 100000);
    world_free(w);
}

/* In another queue, a deduplication key outlived its job and blocked new ones:
 * https://github.com/hibiken/asynq/issues/275 */
static void a_dead_target_leaves_no_shadow_S31(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;

    (void)state;
    push(w, "k");
    finish(w, pick(w), OUTCOME_DEAD);
    assert_int_equal(w->ended[OUTCOME_DEAD], 1);
    push(w, "k");
    b = pick(w);
    assert_int_equal(b->count, 1);
    finish(w, b, OUTCOME_PURGED);
    assert_int_equal(w->ended[OUTCOME_PURGED], 1);
    assert_int_equal(w->window.held, 0);
    world_free(w);
}

/* -- jobs ------------------------------------------------------------------------------------ */

static void a_job_ends_with_its_last_target_and_its_worst_outcome(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;
    struct pending *t;

    (void)state;
    push(w, "a b c");
    b = pick(w);
    assert_int_equal(b->count, 3);
    window_settle(&w->window, batch_pop(b), OUTCOME_DEAD, on_end, w);
    window_settle(&w->window, batch_pop(b), OUTCOME_PURGED, on_end, w);
    assert_int_equal(w->window.jobs.used, 1);
    t = batch_pop(b);
    window_settle(&w->window, t, OUTCOME_PURGED, on_end, w);
    batch_free(b);
    assert_int_equal(w->ended[OUTCOME_DEAD], 1);
    assert_int_equal(w->ended[OUTCOME_PURGED], 0);
    assert_int_equal(w->window.jobs.used, 0);
    world_free(w);
}

static void lower_lanes_run_out_of_room_first(void **state)
{
    struct world *w = world_new(100);
    char key[32];

    (void)state;
    for (int i = 0; i < 95; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        push(w, key);
    }
    assert_int_equal(window_room(&w->window, LANE_BULK), 0);
    assert_int_equal(window_room(&w->window, LANE_NORMAL), 0);
    assert_int_equal(window_room(&w->window, LANE_URGENT), 5);
    world_free(w);
}

static void jobs_merged_into_one_target_are_bounded_too(void **state)
{
    struct world *w = world_new(10);

    (void)state;
    for (int i = 0; i < 39; i++)
        push(w, "same");
    assert_int_equal(w->window.held, 1);
    assert_int_equal(window_room(&w->window, LANE_URGENT), 1);
    push(w, "same");
    assert_int_equal(window_room(&w->window, LANE_URGENT), 0);
    push(w, "same"); /* a read may return more jobs than requested */
    assert_int_equal(window_room(&w->window, LANE_URGENT), 0);
    world_free(w);
}

static void the_table_finds_everything_after_growth_and_removal(void **state)
{
    struct world *w = world_new(1000000);
    struct batch *b;
    char key[32];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        push(w, key);
    }
    for (int i = 0; i < 30; i++) { /* removes entries in the middle of probe sequences */
        b = pick(w);
        finish(w, b, OUTCOME_PURGED);
    }
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        push(w, key);
    }
    assert_int_equal(w->window.held, 20000);
    world_free(w);
}

/* -- lanes ----------------------------------------------------------------------------------- */

static void a_batch_lingers_until_it_is_full_or_its_first_has_waited_enough(void **state)
{
    struct world *w = world_new(1000);
    struct batch *b;
    char key[32];

    (void)state;
    w->lanes.options.linger_ns[LANE_NORMAL] = 5 * MS;
    w->now_ns = 100 * MS;
    push(w, "k");
    assert_null(pick(w));
    assert_int_equal(w->ready_ns, 105 * MS);
    for (int i = 1; i < 255; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        push(w, key);
    }
    assert_null(pick(w)); /* 255 */
    push(w, "the 256th");
    b = pick(w);
    assert_non_null(b);
    assert_int_equal(b->count, 256);
    finish(w, b, OUTCOME_PURGED);
    w->now_ns = 105 * MS;
    b = pick(w);
    assert_non_null(b);
    assert_int_equal(b->count, 1);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

static void a_batch_never_passes_the_header_limit(void **state)
{
    struct world *w = world_new(1000);
    char key[KEY_MAX_BYTES + 1];
    struct batch *b;
    uint32_t sent = 0;

    (void)state;
    for (int i = 0; i < 40; i++) {
        memset(key, 'x', KEY_MAX_BYTES);
        key[KEY_MAX_BYTES] = '\0';
        key[0] = (char)('A' + i % 20);
        key[1] = (char)('A' + i / 20);
        push(w, key);
    }
    while ((b = pick(w))) {
        size_t bytes = 0;

        list_each(it, &b->targets)
            bytes += fastly_key_bytes(KEY_FORM_HEADER, pending_bytes(pending_of(it)));
        assert_true(bytes <= FASTLY_BATCH_MAX_BYTES);
        sent += b->count;
        finish(w, b, OUTCOME_PURGED);
    }
    assert_int_equal(sent, 40);
    world_free(w);
}

/* A batch that is larger than the remaining tokens is split instead of waiting:
 * https://github.com/NCIOCPL/cgov-digital-platform/issues/2128 */
static void a_batch_is_cut_to_what_was_granted_S3(void **state)
{
    struct world *w = world_new(1000);
    struct batch *b;
    char key[32];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        push(w, key);
    }
    w->grant.units[LEDGER_PURGE] = 44;
    w->grant.more[LEDGER_PURGE] = true;
    assert_null(pick(w)); /* the remaining tokens are on their way, so no partial batch is sent */
    w->grant.more[LEDGER_PURGE] = false;
    b = pick(w);
    assert_int_equal(b->count, 44);
    assert_int_equal(b->cost, 44);
    finish(w, b, OUTCOME_PURGED);
    w->grant.units[LEDGER_PURGE] = 0;
    assert_null(pick(w));
    world_free(w);
}

static void with_cost_by_request_a_full_batch_costs_one(void **state)
{
    struct world *w = world_new(1000);
    struct batch *b;
    char key[32];

    (void)state;
    w->lanes.options.batch_cost = BATCH_COST_REQUEST;
    for (int i = 0; i < 256; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        push(w, key);
    }
    w->grant.units[LEDGER_PURGE] = 1;
    b = pick(w);
    assert_int_equal(b->count, 256);
    assert_int_equal(b->cost, 1);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

static void a_flood_of_one_service_does_not_starve_its_neighbour(void **state)
{
    struct world *w = world_new(100000);
    struct batch *b;
    uint32_t before = 0;
    char key[32];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "flood-%d", i);
        push_as(w, (struct push){LANE_NORMAL, 0, false, 0}, key);
    }
    push_as(w, (struct push){LANE_NORMAL, 1, false, 0}, "lonely");
    w->grant.units[LEDGER_PURGE] = 28; /* units for a second */
    while ((b = pick(w)) && b->service == 0) {
        before += b->count;
        finish(w, b, OUTCOME_PURGED);
    }
    assert_non_null(b);
    assert_true(before <= 64);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

static void unit_by_unit_two_services_get_the_same(void **state)
{
    struct world *w = world_new(10000);
    uint32_t got[2] = {0};
    struct batch *b;
    char key[32];

    (void)state;
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        push_as(w, (struct push){LANE_NORMAL, (uint16_t)(i % 2), false, 0}, key);
    }
    w->grant.units[LEDGER_PURGE] = 1;
    for (int i = 0; i < 640; i++) {
        b = pick(w);
        got[b->service] += b->count;
        finish(w, b, OUTCOME_PURGED);
    }
    assert_in_range(got[0], 280, 360);
    assert_in_range(got[1], 280, 360);
    world_free(w);
}

static void purge_alls_of_a_service_go_one_after_the_other(void **state)
{
    struct world *w = world_new(100);
    struct list absorbed;
    struct batch *b;

    (void)state;
    list_init(&absorbed);
    push_as(w, (struct push){LANE_NORMAL, 0, false, 0}, "!");
    push_as(w, (struct push){LANE_NORMAL, 1, false, 0}, "!");
    lanes_begin_all(&w->lanes, 0, &absorbed);
    b = pick(w);
    assert_int_equal(b->service, 1);
    assert_int_equal(b->ledger, LEDGER_WRITE);
    finish(w, b, OUTCOME_PURGED);
    assert_null(pick(w));
    lanes_end_all(&w->lanes, 0);
    b = pick(w);
    assert_int_equal(b->service, 0);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

static void under_a_permanent_urgent_stream_the_others_get_their_twentieth(void **state)
{
    struct world *w = world_new(1000000);
    uint64_t got[LANE_N] = {0}, total = 0;
    struct batch *b;
    int n = 0;
    char key[32];

    (void)state;
    w->grant.units[LEDGER_PURGE] = 28;
    while (total < 20000) {
        for (int lane = 0; lane < LANE_N; lane++)
            for (int i = 0; i < 30; i++) {
                snprintf(key, sizeof(key), "k%d", n++);
                push_as(w, (struct push){(enum lane)lane, 0, false, 0}, key);
            }
        b = pick(w);
        got[b->lane] += b->count;
        total += b->count;
        finish(w, b, OUTCOME_PURGED);
    }
    assert_true(got[LANE_NORMAL] * 100 >= total * 45 / 10);
    assert_true(got[LANE_BULK] * 100 >= total * 45 / 10);
    assert_true(got[LANE_URGENT] * 100 >= total * 85);
    world_free(w);
}

/* Units that were granted below the bulk lane's floor must not be spent by the bulk lane. */
static void what_is_granted_to_a_lingering_lane_is_not_for_the_lanes_below(void **state)
{
    struct world *w = world_new(1000);
    struct batch *b;

    (void)state;
    w->lanes.options.linger_ns[LANE_NORMAL] = 5 * MS;
    push_as(w, (struct push){.lane = LANE_NORMAL}, "a b");
    push_as(w, (struct push){.lane = LANE_BULK}, "c d e");
    w->grant.units[LEDGER_PURGE] = 2;
    assert_null(pick(w));
    assert_int_equal(w->ready_ns, 5 * MS);
    w->grant.units[LEDGER_PURGE] = 3;
    b = pick(w);
    assert_int_equal(b->lane, LANE_BULK);
    assert_int_equal(b->count, 1);
    finish(w, b, OUTCOME_PURGED);
    w->now_ns = 5 * MS;
    b = pick(w);
    assert_int_equal(b->lane, LANE_NORMAL);
    assert_int_equal(b->count, 2);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

static void a_lane_that_is_owed_its_share_may_take_what_the_urgent_wait_for(void **state)
{
    struct world *w = world_new(1000);
    struct batch *b;

    (void)state;
    push_as(w, (struct push){.lane = LANE_URGENT}, "a b");
    push_as(w, (struct push){.lane = LANE_BULK}, "c d");
    w->grant.units[LEDGER_PURGE] = 2;
    lanes_account(&w->lanes, LANE_URGENT, 100, 0);
    b = pick(w);
    assert_int_equal(b->lane, LANE_BULK);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

/* A unit per second: 5 % of it would be a unit in 20 seconds, and a full share in ten minutes. */
static void at_a_slow_pace_no_lane_waits_for_long(void **state)
{
    static const uint64_t most_s[LANE_N] = {3, 10, 60};
    struct world *w = world_new(1000);
    uint64_t last_s[LANE_N] = {0};
    char key[16];

    (void)state;
    for (int i = 0; i < 60; i++) {
        snprintf(key, sizeof(key), "n%d", i);
        push_as(w, (struct push){.lane = LANE_NORMAL}, key);
        snprintf(key, sizeof(key), "b%d", i);
        push_as(w, (struct push){.lane = LANE_BULK}, key);
    }
    for (uint64_t s = 1; s <= 180; s++) {
        struct batch *b;

        w->now_ns = s * NS_PER_S;
        w->grant.units[LEDGER_PURGE] = 1;
        snprintf(key, sizeof(key), "u%d", (int)s);
        push_as(w, (struct push){.lane = LANE_URGENT}, key);
        b = pick(w);
        last_s[b->lane] = s;
        finish(w, b, OUTCOME_PURGED);
        for (int lane = 0; lane < LANE_N; lane++)
            assert_in_range(s - last_s[lane], 0, most_s[lane]);
    }
    world_free(w);
}

static void a_lane_that_waited_for_long_overtakes_with_no_more_than_it_is_owed(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;

    (void)state;
    push_as(w, (struct push){.lane = LANE_BULK}, "a b c d e");
    w->now_ns = 31 * NS_PER_S;
    push_as(w, (struct push){.lane = LANE_URGENT}, "f g");
    w->grant.units[LEDGER_PURGE] = 4;
    b = pick(w);
    assert_int_equal(b->lane, LANE_BULK);
    assert_int_equal(b->count, 1);
    finish(w, b, OUTCOME_PURGED);
    b = pick(w);
    assert_int_equal(b->lane, LANE_URGENT);
    assert_int_equal(b->count, 2);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

static void a_paused_service_wants_nothing_until_its_pause_is_over(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;

    (void)state;
    push_as(w, (struct push){LANE_NORMAL, 0, false, 0}, "a b c");
    push_as(w, (struct push){LANE_NORMAL, 1, false, 0}, "d");
    push_as(w, (struct push){LANE_BULK, 1, false, 0}, "e");
    assert_int_equal(lanes_want(&w->lanes, LANE_NORMAL, LEDGER_PURGE, 0), 4);
    lanes_pause_service(&w->lanes, 0, 50 * MS);
    assert_int_equal(lanes_want(&w->lanes, LANE_NORMAL, LEDGER_PURGE, 50 * MS - 1), 1);
    w->grant.units[LEDGER_PURGE] = 2;
    b = pick(w);
    finish(w, b, OUTCOME_PURGED);
    b = pick(w);
    assert_int_equal(b->lane, LANE_BULK);
    finish(w, b, OUTCOME_PURGED);
    assert_int_equal(lanes_want(&w->lanes, LANE_NORMAL, LEDGER_PURGE, 50 * MS), 3);
    lanes_pause_service(&w->lanes, 0, 0);
    assert_int_equal(lanes_want(&w->lanes, LANE_NORMAL, LEDGER_PURGE, 0), 3);
    world_free(w);
}

static void a_paused_service_waits_and_the_others_go_on(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;

    (void)state;
    push_as(w, (struct push){LANE_NORMAL, 0, false, 0}, "a");
    push_as(w, (struct push){LANE_NORMAL, 1, false, 0}, "b");
    lanes_pause_service(&w->lanes, 0, 50 * MS);
    b = pick(w);
    assert_int_equal(b->service, 1);
    finish(w, b, OUTCOME_PURGED);
    assert_null(pick_lane(w, LANE_NORMAL));
    assert_int_equal(w->ready_ns, 50 * MS);
    w->now_ns = 50 * MS;
    b = pick(w);
    assert_int_equal(b->service, 0);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

static void purge_all_takes_the_waiting_keys_of_its_service_and_no_others(void **state)
{
    struct world *w = world_new(100);
    struct list absorbed;
    uint32_t n = 0;

    (void)state;
    list_init(&absorbed);
    push_as(w, (struct push){LANE_BULK, 0, false, 0}, "a b");
    push_as(w, (struct push){LANE_URGENT, 0, true, 0}, "c");
    push_as(w, (struct push){LANE_NORMAL, 1, false, 0}, "d");
    push_as(w, (struct push){LANE_NORMAL, 0, false, 0}, "url:h/p");
    lanes_begin_all(&w->lanes, 0, &absorbed);
    while (!list_empty(&absorbed)) {
        struct pending *t = pending_of(list_pop_front(&absorbed));

        window_sent(&w->window, t);
        window_settle(&w->window, t, OUTCOME_PURGED, on_end, w);
        n++;
    }
    assert_int_equal(n, 3);
    assert_int_equal(w->window.held, 2);
    world_free(w);
}

/* -- bisection ------------------------------------------------------------------------------- */

/* In another program, one bad item blocked the queue or was retried for ever:
 * https://github.com/forem/forem/issues/3938 */
static void a_poison_key_among_256_is_found_in_at_most_17_extra_sends_S35(void **state)
{
    (void)state;
    for (int poison = 0; poison < 256; poison += 15) {
        struct world *w = world_new(1000);
        struct batch *b, *half;
        char key[32], bad[32];
        int sends = 0;

        snprintf(bad, sizeof(bad), "k%d", poison);
        for (int i = 0; i < 256; i++) {
            snprintf(key, sizeof(key), "k%d", i);
            push(w, key);
        }
        while ((b = pick(w))) {
            bool refused = false;

            sends++;
            list_each(it, &b->targets)
                refused |= span_is(pending_bytes(pending_of(it)), bad);
            if (!refused) {
                batch_passed(b);
                finish(w, b, OUTCOME_PURGED);
            } else if (b->count == 1) {
                finish(w, b, OUTCOME_DEAD);
            } else {
                half = batch_split(b);
                lanes_add_suspect(&w->lanes, half);
                lanes_add_suspect(&w->lanes, b);
            }
        }
        assert_true(sends - 1 <= 17);
        assert_int_equal(w->ended[OUTCOME_PURGED], 255);
        assert_int_equal(w->ended[OUTCOME_DEAD], 1);
        world_free(w);
    }
}

static void two_good_halves_of_a_refused_batch_teach_its_size_S20(void **state)
{
    struct world *w = world_new(100);
    struct batch *b, *half;

    (void)state;
    push(w, "a b c d");
    b = pick(w);
    half = batch_split(b);
    assert_int_equal(b->count, 2);
    assert_int_equal(half->count, 2);
    assert_int_equal(batch_passed(b), 0);
    assert_int_equal(batch_passed(half), 4);
    finish(w, b, OUTCOME_PURGED);
    finish(w, half, OUTCOME_PURGED);
    world_free(w);
}

/* 2^48 ns are 78 hours. */
static void a_machine_that_is_up_for_years_lingers_as_long(void **state)
{
    struct world *w = world_new(100);
    struct batch *b;

    (void)state;
    w->now_ns = UINT64_C(5) * 365 * 24 * 3600 * NS_PER_S;
    w->lanes.options.linger_ns[LANE_NORMAL] = 5 * NS_PER_MS;
    push(w, "a");
    assert_null(pick(w));
    assert_int_equal(w->ready_ns, w->now_ns + 5 * NS_PER_MS);
    w->now_ns = w->ready_ns;
    b = pick(w);
    assert_non_null(b);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

/* The time of the push from which the delay of the only target in b is measured. */
static uint64_t pushed_ms(const struct batch *b)
{
    const struct pending *t = pending_of(b->targets.next);

    assert_false(t->started);
    return t->pushed_ms;
}

static void mark_started(const struct batch *b)
{
    list_each(it, &b->targets)
        pending_of(it)->started = 1;
}

static void the_wait_for_the_wire_is_that_of_the_oldest_job(void **state)
{
    struct world *w = world_new(100);
    uint32_t first;
    struct batch *b;

    (void)state;
    first = push(w, "a");
    push(w, "a");
    b = pick_lane(w, LANE_NORMAL);
    assert_int_equal(pushed_ms(b), first);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

static void the_wait_in_a_lower_lane_is_not_that_of_an_urgent_job(void **state)
{
    struct world *w = world_new(100);
    uint32_t urgent;
    struct batch *b;

    (void)state;
    push(w, "a");
    urgent = push_as(w, (struct push){.lane = LANE_URGENT}, "a");
    push_as(w, (struct push){.lane = LANE_BULK}, "a");
    b = pick_lane(w, LANE_URGENT);
    assert_int_equal(pushed_ms(b), urgent);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

static void what_was_on_the_wire_is_not_measured_again_but_who_joins_it_is(void **state)
{
    struct world *w = world_new(100);
    uint32_t second;
    struct batch *b;

    (void)state;
    push(w, "a");
    b = pick_lane(w, LANE_NORMAL);
    mark_started(b);
    bring_back(w, b);
    b = pick_lane(w, LANE_NORMAL);
    assert_true(pending_of(b->targets.next)->started);
    bring_back(w, b);
    second = push(w, "a");
    b = pick_lane(w, LANE_NORMAL);
    assert_int_equal(pushed_ms(b), second);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

static void what_returns_to_a_newer_one_leaves_its_wait_alone(void **state)
{
    struct world *w = world_new(100);
    uint32_t newer;
    struct batch *b;

    (void)state;
    push(w, "a");
    b = pick_lane(w, LANE_NORMAL);
    mark_started(b);
    newer = push(w, "a");
    bring_back(w, b);
    b = pick_lane(w, LANE_NORMAL);
    assert_int_equal(pushed_ms(b), newer);
    finish(w, b, OUTCOME_PURGED);
    world_free(w);
}

/* -- bytes -- */

/* The memory of a job is computed before it is accepted, so the computation must be right. */
static void a_job_takes_no_more_than_was_foreseen_and_gives_all_of_it_back(void **state)
{
    struct world *w = world_new(1000000);
    uint64_t empty = window_bytes(&w->window), keys = 0;
    struct batch *b;

    (void)state;
    for (uint32_t job = 0; job < 6000; job++) {
        char text[100];
        struct job_target list[3];
        struct job_spec spec = {.targets = list, .targets_count = 1 + job % 3};
        struct window_add how = {.lane = LANE_NORMAL, .id_ms = job + 1, .plain = true};
        uint64_t before = window_bytes(&w->window), foreseen;

        for (uint32_t i = 0; i < spec.targets_count; i++) {
            int n = snprintf(text + 33 * i, 33, "key-%u-%.*s", (unsigned)(keys++ * 7 / 8),
                             (int)(job % 20), "xxxxxxxxxxxxxxxxxxxx");

            list[i] =
                (struct job_target){.kind = TARGET_KEY, .bytes = span_of(text + 33 * i, (size_t)n)};
        }
        foreseen = window_cost_bytes(&w->window, &spec);
        window_add(&w->window, &spec, &how);
        assert_in_range(window_bytes(&w->window) - before, 0, foreseen);
    }
    while ((b = pick(w)))
        finish(w, b, OUTCOME_PURGED);
    assert_int_equal(w->ended[OUTCOME_PURGED], 6000);
    assert_int_equal(slabs_bytes(&w->window.targets), 0);
    assert_in_range(window_bytes(&w->window), 0, empty + 256 * 1024);
    world_free(w);
}

static void a_waiting_key_of_40_bytes_takes_107_bytes(void **state)
{
    struct world *w = world_new(1000000);

    (void)state;
    for (unsigned i = 0; i < 43750; i++) {
        char key[48];

        snprintf(key, sizeof(key), "%040u", i);
        push(w, key);
    }
    assert_in_range(window_bytes(&w->window) / 43750, 100, 124); /* 16 are of another list */
    world_free(w);
}

/* -- narrow fields -- */

/* The counter had eight bits, so a target was retried for ever if `attempts` was above 255. */
static void as_many_tries_are_counted_as_the_setting_allows(void **state)
{
    const struct setting *attempts = setting_find(SETTING_ACCOUNT, "attempts");
    struct world *w = world_new(100);

    (void)state;
    push(w, "k");
    for (uint64_t tried = 1; tried <= attempts->max; tried++) {
        struct batch *b = pick(w);
        struct pending *t = pending_of(b->targets.next);

        pending_tried(t);
        assert_int_equal(t->attempts, tried);
        bring_back(w, b);
    }
    world_free(w);
}

static void push_by(struct world *w, const char *by, const char *key)
{
    w->by = by;
    push(w, key);
    w->by = NULL;
}

static void expect_end(struct world *w, struct batch *b, bool plain, const char *by)
{
    window_settle(&w->window, batch_pop(b), OUTCOME_PURGED, on_end, w);
    assert_int_equal(w->last.plain, plain);
    assert_true(span_is(window_pusher(&w->window, &w->last), by));
}

/* Jobs of others are looked up in Redis when they end. */
static void seven_who_push_are_known(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct world *w = world_new(100);
    struct batch *b;

    (void)state;
    for (size_t i = 0; i < array_len(names); i++)
        push_by(w, names[i], names[i]);
    push(w, "i");
    b = pick(w);
    for (size_t i = 0; i < array_len(names); i++)
        expect_end(w, b, i < 7, i < 7 ? names[i] : "");
    push_by(w, "h", "k"); /* a job is left, so the numbers are still in use */
    expect_end(w, b, true, "");
    batch_free(b);
    b = pick(w);
    expect_end(w, b, false, "");
    batch_free(b);
    push_by(w, "h", "k");
    b = pick(w);
    expect_end(w, b, true, "h");
    batch_free(b);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_takes_no_more_than_was_foreseen_and_gives_all_of_it_back),
        cmocka_unit_test(a_waiting_key_of_40_bytes_takes_107_bytes),
        cmocka_unit_test(as_many_tries_are_counted_as_the_setting_allows),
        cmocka_unit_test(a_machine_that_is_up_for_years_lingers_as_long),
        cmocka_unit_test(the_wait_for_the_wire_is_that_of_the_oldest_job),
        cmocka_unit_test(the_wait_in_a_lower_lane_is_not_that_of_an_urgent_job),
        cmocka_unit_test(what_was_on_the_wire_is_not_measured_again_but_who_joins_it_is),
        cmocka_unit_test(what_returns_to_a_newer_one_leaves_its_wait_alone),
        cmocka_unit_test(five_equal_pushes_become_one_send_that_ends_five_jobs_S30),
        cmocka_unit_test(a_key_pushed_while_in_flight_is_sent_once_more_S27),
        cmocka_unit_test(the_identity_covers_kind_service_and_bytes_S18),
        cmocka_unit_test(a_url_is_the_same_whatever_service_it_is_pushed_for),
        cmocka_unit_test(three_hundred_tags_in_two_calls_all_arrive_S18),
        cmocka_unit_test(hard_absorbs_soft_and_soft_does_not_soften),
        cmocka_unit_test(the_highest_lane_of_its_jobs_wins),
        cmocka_unit_test(the_latest_expiry_counts_and_never_is_the_latest),
        cmocka_unit_test(what_comes_back_merges_with_what_was_pushed_meanwhile),
        cmocka_unit_test(attempts_are_not_forgotten_by_merging),
        cmocka_unit_test(what_comes_back_stands_in_front),
        cmocka_unit_test(duplicates_cost_no_targets_S29),
        cmocka_unit_test(a_dead_target_leaves_no_shadow_S31),
        cmocka_unit_test(a_job_ends_with_its_last_target_and_its_worst_outcome),
        cmocka_unit_test(lower_lanes_run_out_of_room_first),
        cmocka_unit_test(jobs_merged_into_one_target_are_bounded_too),
        cmocka_unit_test(the_table_finds_everything_after_growth_and_removal),
        cmocka_unit_test(a_batch_lingers_until_it_is_full_or_its_first_has_waited_enough),
        cmocka_unit_test(a_batch_never_passes_the_header_limit),
        cmocka_unit_test(a_batch_is_cut_to_what_was_granted_S3),
        cmocka_unit_test(with_cost_by_request_a_full_batch_costs_one),
        cmocka_unit_test(a_flood_of_one_service_does_not_starve_its_neighbour),
        cmocka_unit_test(unit_by_unit_two_services_get_the_same),
        cmocka_unit_test(purge_alls_of_a_service_go_one_after_the_other),
        cmocka_unit_test(under_a_permanent_urgent_stream_the_others_get_their_twentieth),
        cmocka_unit_test(what_is_granted_to_a_lingering_lane_is_not_for_the_lanes_below),
        cmocka_unit_test(a_lane_that_is_owed_its_share_may_take_what_the_urgent_wait_for),
        cmocka_unit_test(at_a_slow_pace_no_lane_waits_for_long),
        cmocka_unit_test(a_lane_that_waited_for_long_overtakes_with_no_more_than_it_is_owed),
        cmocka_unit_test(a_paused_service_wants_nothing_until_its_pause_is_over),
        cmocka_unit_test(a_paused_service_waits_and_the_others_go_on),
        cmocka_unit_test(purge_all_takes_the_waiting_keys_of_its_service_and_no_others),
        cmocka_unit_test(a_poison_key_among_256_is_found_in_at_most_17_extra_sends_S35),
        cmocka_unit_test(two_good_halves_of_a_refused_batch_teach_its_size_S20),
        cmocka_unit_test(seven_who_push_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
