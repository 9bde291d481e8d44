/* SPDX-License-Identifier: MIT
 * Jobs that end at the front of a lane are removed with XTRIM, which removes whatever is there. So
 * a script looks first, and nobody's entry is lost, whatever is in the stream. */
#include "store_world.h"

#include "queue_internal.h"
#include "rng.h"
#include "scripts.h"

#define LANE P "jobs:normal"
#define IDS 400 /* "<n>-1", n from 1 to IDS */
#define ROUNDS 1000

/* -- whatever is in the stream -- */

struct round {
    struct store_world *w;
    struct rng rng;
    bool there[IDS + 1], named[IDS + 1];
    unsigned ids[2 * IDS]; /* what the call names, in this order */
    unsigned count;
};

static int open_store(void **state)
{
    struct store_world *w = alloc_zeroed(1, sizeof(*w));

    store_open(w);
    *state = w;
    return 0;
}

static int close_store(void **state)
{
    store_close(*state);
    free(*state);
    return 0;
}

/* Most entries are short; sometimes one is not, and the script stops reading there. */
static void add_entry(struct round *r, unsigned n)
{
    uint64_t kind = rng_below(&r->rng, 200);
    int width = kind == 0 ? 120 : 1;
    char *command = alloc_printf("XADD " LANE " %u-1 keys %0*d%s", n, width, 7,
                                 kind == 1 ? " service news" : "");

    store_do(r->w, command);
    free(command);
    r->there[n] = true;
}

static void fill_stream(struct round *r)
{
    unsigned from = 1 + (unsigned)rng_below(&r->rng, IDS), gaps = (unsigned)rng_below(&r->rng, 20);

    store_do(r->w, "DEL " LANE);
    memset(r->there, 0, sizeof(r->there));
    for (unsigned n = from; n <= IDS; n++)
        if (gaps == 0 || rng_below(&r->rng, 200) >= gaps)
            add_entry(r, n);
}

/* Names a run of ids, with or without gaps; now and then in another order, or one of them twice. */
static void name_ids(struct round *r)
{
    unsigned from = 1, most = 1 + (unsigned)rng_below(&r->rng, 300),
             gaps = (unsigned)rng_below(&r->rng, 4);

    while (from < IDS && !r->there[from] && rng_below(&r->rng, 200))
        from++;
    memset(r->named, 0, sizeof(r->named));
    r->count = 0;
    for (unsigned n = from; n <= IDS && r->count < most; n++)
        if (gaps == 0 || rng_below(&r->rng, 100) >= gaps)
            r->ids[r->count++] = n;
    if (r->count == 0)
        r->ids[r->count++] = from;
    if (rng_below(&r->rng, 10) == 0)
        r->ids[rng_below(&r->rng, r->count)] = r->ids[rng_below(&r->rng, r->count)];
    for (unsigned i = 0; i < r->count; i++)
        r->named[r->ids[i]] = true;
}

/* Returns how many jobs the script says that it has ended. */
static unsigned call_script(struct round *r, enum script script)
{
    static const struct span drop[] = {SPAN("1"), SPAN(LANE), SPAN("normal"), SPAN("told"),
                                       SPAN("1")};
    static const struct span end[] = {
        SPAN("3"),  SPAN(LANE), SPAN(P "receipt:"), SPAN(P "history"), SPAN("normal"), SPAN("told"),
        SPAN("60"), SPAN(""),   SPAN("0"),          SPAN(""),          SPAN("0")};
    struct span argv[16 + IDS] = {SPAN("EVAL"), span_str(scripts[script].text)};
    char words[IDS + 1][16];
    size_t argc = 2;

    memcpy(argv + argc, script == SCRIPT_DROP ? drop : end,
           script == SCRIPT_DROP ? sizeof(drop) : sizeof(end));
    argc += script == SCRIPT_DROP ? array_len(drop) : array_len(end);
    if (script == SCRIPT_PURGED) {
        snprintf(words[IDS], sizeof(words[IDS]), "%u", r->count);
        argv[argc++] = span_str(words[IDS]);
        argv[argc++] = SPAN("1");
        argv[argc++] = SPAN("");
    }
    for (unsigned i = 0; i < r->count; i++) {
        snprintf(words[i], sizeof(words[i]), "%u-1", r->ids[i]);
        argv[argc++] = span_str(words[i]);
    }
    buf_clear(&r->w->said);
    fakeredis_run(r->w->hand, argc, argv, &r->w->said);
    assert_int_equal(r->w->said.p[0], '*');
    return (unsigned)strtoul(strchr(r->w->said.p, ':') + 1, NULL, 10);
}

static void play_round(struct round *r, unsigned number)
{
    unsigned removed = 0, left = 0, said;
    char command[64];

    fill_stream(r);
    name_ids(r);
    for (unsigned n = 1; n <= IDS; n++) {
        removed += r->there[n] && r->named[n];
        left += r->there[n] && !r->named[n];
    }
    said = call_script(r, number % 2 ? SCRIPT_DROP : SCRIPT_PURGED);
    if (said != removed)
        fail_msg("round %u: %u were removed, not %u", number, said, removed);
    if (left)
        store_expect_number(r->w, "XLEN " LANE, left);
    for (unsigned n = 1; n <= IDS; n++) {
        if (!r->there[n] || r->named[n])
            continue;
        snprintf(command, sizeof(command), "XRANGE " LANE " %u-1 %u-1", n, n);
        if (strncmp(store_ask(r->w, command), "*1\r\n", 4) != 0)
            fail_msg("round %u: %u-1 is lost", number, n);
    }
}

static void whatever_a_stream_holds_only_the_named_entries_are_removed(void **state)
{
    struct round *r = alloc_zeroed(1, sizeof(*r));

    r->w = *state;
    r->rng.state = 20261129;
    for (unsigned number = 0; number < ROUNDS; number++)
        play_round(r, number);
    free(r);
}

/* -- large entries -- */

static struct queue_entry entry(uint64_t ms, uint64_t bytes)
{
    return (struct queue_entry){
        .lane = LANE_NORMAL, .id = {ms, 0}, .fields_count = 2, .bytes = bytes};
}

/* The lane has been read up to id 100-0. */
static struct queue make_queue(void)
{
    return (struct queue){.lanes[LANE_NORMAL].seen = {100, 0}};
}

static void saw(struct queue *q, uint64_t ms, uint64_t bytes)
{
    struct queue_entry e = entry(ms, bytes);

    queue_front_saw(&q->lanes[LANE_NORMAL], &e);
}

static bool may_be_read(const struct queue *q, uint64_t last)
{
    return queue_front_may_be_read(&q->lanes[LANE_NORMAL], (struct entry_id){last, 0});
}

static void ends(struct queue *q, uint64_t ms, int err)
{
    struct queue_settle item = {.lane = LANE_NORMAL, .id = {ms, 0}};

    queue_leaving_end(q, queue_leaving_new(q, &item, 1), err);
}

static void what_was_not_handed_out_is_not_read(void **state)
{
    struct queue q = make_queue();

    (void)state;
    assert_true(may_be_read(&q, 100));
    assert_false(may_be_read(&q, 101));
    assert_false(queue_front_may_be_read(&q.lanes[LANE_BULK], (struct entry_id){1, 0}));
}

static void a_large_entry_is_not_read_until_it_has_ended(void **state)
{
    struct queue q = make_queue();

    (void)state;
    saw(&q, 10, QUEUE_SMALL_BYTES);
    assert_true(may_be_read(&q, 100));
    saw(&q, 50, QUEUE_SMALL_BYTES + 1);
    assert_true(may_be_read(&q, 49));
    assert_false(may_be_read(&q, 50));
    assert_false(may_be_read(&q, 100));
    ends(&q, 49, 0);
    ends(&q, 50, -ENOTCONN);
    assert_false(may_be_read(&q, 100));
    ends(&q, 50, 0);
    assert_true(may_be_read(&q, 100));
}

static void entries_of_many_fields_and_oversized_ones_are_large_too(void **state)
{
    struct queue q = make_queue();
    struct queue_entry many = entry(20, 600), oversized = entry(30, 600);

    (void)state;
    many.fields_count = QUEUE_SMALL_SPANS + 2;
    oversized.oversized = true;
    queue_front_saw(&q.lanes[LANE_NORMAL], &many);
    assert_false(may_be_read(&q, 20));
    ends(&q, 20, 0);
    queue_front_saw(&q.lanes[LANE_NORMAL], &oversized);
    assert_false(may_be_read(&q, 30));
}

static void of_too_many_large_entries_none_is_forgotten_before_the_lane_is_empty(void **state)
{
    struct queue q = make_queue();
    struct queue_lane *lane = &q.lanes[LANE_NORMAL];

    (void)state;
    for (unsigned i = 1; i <= array_len(lane->bulky.at) + 1; i++)
        saw(&q, i, 5000);
    for (unsigned i = 1; i <= array_len(lane->bulky.at); i++)
        ends(&q, i, 0);
    assert_false(may_be_read(&q, 100));
    queue_front_emptied(lane, (struct entry_id){99, 0}); /* 100-0 came after this look */
    assert_false(may_be_read(&q, 100));
    queue_front_emptied(lane, (struct entry_id){100, 0});
    assert_true(may_be_read(&q, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whatever_a_stream_holds_only_the_named_entries_are_removed,
                                        open_store, close_store),
        cmocka_unit_test(what_was_not_handed_out_is_not_read),
        cmocka_unit_test(a_large_entry_is_not_read_until_it_has_ended),
        cmocka_unit_test(entries_of_many_fields_and_oversized_ones_are_large_too),
        cmocka_unit_test(of_too_many_large_entries_none_is_forgotten_before_the_lane_is_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
