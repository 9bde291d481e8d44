/* SPDX-License-Identifier: MIT
 * The simulator's store against a real Redis: the same random operations on both, the same answers
 * and the same state. Ids and times differ; entries are known by the order in which they came. */
#include "twins.h"

#include "client.h"
#include "control.h"

/* -- producers -- */

static void play_push(struct twins *t)
{
    char again[24];
    const char *const more[][4] = {
        {"service", "news"},
        {"service", "news", "ref", "a \"quoted\" \\ ref"},
        {"repeat_after", again, "ref", "caf\xc3\xa9"},
        {"not_before", "77", "soft", "1"},
    };
    const char *const *m = more[roll(t, array_len(more))];
    enum lane lane = (enum lane)roll(t, LANE_N);
    char key[24];
    struct span fields[6] = {SPAN("keys"), span_str(key)};
    size_t n = 2;
    struct entry_id id;
    redisReply *r;
    int err;

    snprintf(key, sizeof(key), "k%" PRIu64, roll(t, 50));
    snprintf(again, sizeof(again), "%" PRIu64, APART_MS * (1 + t->played));
    fields[1] = span_str(key);
    for (size_t i = 0; i < 4 && m[i]; i++)
        fields[n++] = span_str(m[i]);
    if (n == 4)
        r = redis_server_try(t->server, "XADD " P "jobs:%s * keys %s %s %s", lane_names[lane], key,
                             m[0], m[1]);
    else
        r = redis_server_try(t->server, "XADD " P "jobs:%s * keys %s %s %s %s %s", lane_names[lane],
                             key, m[0], m[1], m[2], m[3]);
    err = store_push(t->fake, lane, fields, n, now_ms(), &id);
    assert_int_equal(r->type == REDIS_REPLY_ERROR ? -ENOMEM : 0, err);
    freeReplyObject(r);
    learn(t);
}

static struct twin_id *any_id(struct twins *t, enum lane *lane)
{
    *lane = (enum lane)roll(t, LANE_N);
    if (t->ids_count[*lane] == 0)
        return NULL;
    /* Mostly one of the last: most of the old ones are gone. */
    if (roll(t, 4))
        return &t->ids[*lane][t->ids_count[*lane] - 1 - roll(t, min_u64(t->ids_count[*lane], 40))];
    return &t->ids[*lane][roll(t, t->ids_count[*lane])];
}

static void play_delete(struct twins *t)
{
    enum lane lane;
    const struct twin_id *id = any_id(t, &lane);
    long long n;

    if (!id)
        return;
    n = redis_server_int(t->server, "XDEL " P "jobs:%s %llu-%llu", lane_names[lane],
                         (unsigned long long)id->real.ms, (unsigned long long)id->real.seq);
    assert_int_equal(n, stream_delete(&t->fake->lanes[lane], id->fake));
}

/* As DELETE /v1/jobs/{id} does it; without memory it is refused. */
static void play_cancel(struct twins *t)
{
    enum lane lane;
    const struct twin_id *id = any_id(t, &lane);

    if (!id || t->fake->out_of_memory)
        return;
    redis_server_int(t->server, "XDEL " P "jobs:%s %llu-%llu", lane_names[lane],
                     (unsigned long long)id->real.ms, (unsigned long long)id->real.seq);
    redis_server_int(t->server, "RPUSH " P "cancelled %s-%llu-%llu", lane_names[lane],
                     (unsigned long long)id->real.ms, (unsigned long long)id->real.seq);
    (void)store_cancel(t->fake, lane, id->fake);
}

/* -- the lease -- */

static void play_lead(struct twins *t)
{
    static const char *const usurps[] = {NULL, NULL, NULL, "me", "you", "ghost"};
    const char *usurp = usurps[roll(t, array_len(usurps))];
    size_t who = roll(t, OWNERS);
    struct queue_clock clock = world_clock();
    struct queue_lease lead;
    int err = ask_lease(t->real[who], TTL_S * 1000, usurp, "{}");

    assert_int_equal(err, store_lease(t->fake, owners[who], TTL_S * 1000, usurp, SPAN("{}"), &clock,
                                      now_ms(), &t->session[who].told, &lead));
    assert_int_equal(t->real[who]->lead.leading, lead.leading);
    assert_int_equal(t->real[who]->lead.taken_over, lead.taken_over);
    assert_string_equal(t->real[who]->lead.holder, lead.holder);
    assert_int_equal(t->real[who]->lead.paused, lead.paused);
    assert_string_equal(t->real[who]->lead.paused_why, lead.paused_why);
    assert_int_equal(t->real[who]->lead.cancelled_count, lead.cancelled_count);
    for (size_t i = 0; i < lead.cancelled_count; i++)
        assert_int_equal(t->real[who]->lead.cancelled[i].lane, lead.cancelled[i].lane);
}

static void play_release(struct twins *t)
{
    size_t who = roll(t, OWNERS);
    int answers = t->real[who]->answers;

    queue_release(t->real[who]->q, world_on_done, t->real[who]);
    assert_int_equal(await(t->real[who], answers + 1),
                     store_release(t->fake, owners[who], now_ms()));
}

static void play_lapse(struct twins *t)
{
    redis_server_do(t->server, "DEL " P "lease");
    t->fake->lease[0] = '\0';
}

static void play_pause(struct twins *t)
{
    bool paused = roll(t, 2);
    struct redis_address a;
    struct client *c;
    struct error err;

    assert_int_equal(redis_address_parse(redis_server_url(t->server), &a, &err), 0);
    assert_int_equal(client_open(&a, &c, &err), 0);
    redis_address_deinit(&a);
    assert_int_equal(
        control_set(c, "main", paused ? CONTROL_PAUSED : CONTROL_GOES_ON, "holidays", "me"),
        store_pause(t->fake, paused, SPAN("holidays")));
    client_close(c);
}

/* -- reading -- */

static void compare_entry(struct twins *t, const struct seen *real, const struct stream_entry *fake)
{
    char fake_words[400], real_words[400] = "";
    const char *line = real->text;

    fake_text(t, fake->fields, fake_words, sizeof(fake_words));
    while (*line) {
        const char *end = strchr(line, '\n'), *equals = strchr(line, '=');

        put_field(t, REAL, span_of(line, (size_t)(equals - line)),
                  span_of(equals + 1, (size_t)(end - equals - 1)), real_words, sizeof(real_words));
        line = end + 1;
    }
    assert_int_equal(real->fields_count, fake->fields ? fake->fields->count : 0);
    expect_same_text(real_words, fake_words);
}

static void play_read(struct twins *t)
{
    uint32_t count[LANE_N], most = 1 + (uint32_t)roll(t, 6);
    bool all = true;
    struct session *s = &t->session[0];
    struct world *w = t->real[0];
    size_t at = 0;

    for (int lane = 0; lane < LANE_N; lane++)
        count[lane] = roll(t, 4) ? most : 0;
    if (count[0] + count[1] + count[2] == 0)
        return;
    assert_int_equal(ask_read(w, count[0], count[1], count[2]), 0);
    for (int lane = 0; lane < LANE_N; lane++) {
        struct stream_entry *found[8];
        size_t n = count[lane] ? store_read(t->fake, (enum lane)lane, s->seen[lane], count[lane],
                                            now_ms(), found)
                               : 0;

        all = all && (!count[lane] || n < count[lane]);
        for (size_t i = 0; i < n; i++, at++) {
            assert_true(at < w->count);
            assert_int_equal(w->entries[at].lane, lane);
            compare_entry(t, &w->entries[at], found[i]);
            if (entry_id_compare(found[i]->id, s->seen[lane]) > 0)
                s->seen[lane] = found[i]->id;
        }
    }
    assert_int_equal(at, w->count);
    assert_int_equal(all, w->all);
}

static void play_rewind(struct twins *t)
{
    queue_rewind(t->real[0]->q);
    memset(t->session[0].seen, 0, sizeof(t->session[0].seen));
}

static void play_depth(struct twins *t)
{
    struct queue_depth depth[LANE_N];

    assert_int_equal(ask_depth(t->real[0]), 0);
    store_depth(t->fake, t->session[0].seen, depth);
    for (int lane = 0; lane < LANE_N; lane++) {
        assert_int_equal(depth[lane].entries, t->real[0]->depth[lane].entries);
        /* The real one cannot always know where the newest entry was deleted. */
        if (!depth[lane].all_read || stream_find(&t->fake->lanes[lane], t->fake->lanes[lane].last))
            assert_int_equal(depth[lane].all_read, t->real[0]->depth[lane].all_read);
        assert_int_equal(depth[lane].anew, t->real[0]->depth[lane].anew);
    }
}

/* -- the end of jobs -- */

static void choose_item(struct twins *t, struct queue_settle *real, struct queue_settle *fake)
{
    static const enum outcome outcomes[] = {OUTCOME_PURGED,    OUTCOME_PURGED,  OUTCOME_DEAD,
                                            OUTCOME_CANCELLED, OUTCOME_EXPIRED, OUTCOME_LATER};
    struct queue_settle item = {.outcome = outcomes[roll(t, array_len(outcomes))]};
    const struct twin_id *id = any_id(t, &item.lane);
    struct twin_id unknown = {{1, roll(t, 5)}, {1, 0}};

    unknown.fake = unknown.real;
    if (!id || roll(t, 20) == 0)
        id = &unknown;
    item.plain = id != &unknown && item.outcome == OUTCOME_PURGED && roll(t, 2);
    item.receipt = item.outcome != OUTCOME_LATER && roll(t, 4);
    item.targets = 1 + (uint32_t)roll(t, 3);
    if (item.outcome == OUTCOME_LATER || (item.outcome == OUTCOME_PURGED && roll(t, 4) == 0))
        item.due_ms = roll(t, DUE_MAX / 1000) * 1000 + t->dues++ % 1000 + 1;
    if (item.outcome == OUTCOME_DEAD || item.outcome == OUTCOME_EXPIRED) {
        item.reason = SPAN("because \"so\"");
        item.target = SPAN("key-1");
    }
    *real = *fake = item;
    real->id = id->real;
    fake->id = id->fake;
}

static void play_settle(struct twins *t)
{
    struct queue_settle real[24], fake[24];
    size_t n = 1 + roll(t, array_len(real));
    struct world *w = t->real[0];
    int answers = w->answers;
    uint64_t skipped = queue_receipts_skipped(w->q), fake_skipped = 0;

    for (size_t i = 0; i < n; i++)
        choose_item(t, &real[i], &fake[i]);
    queue_settle(w->q, real, n, TTL_S, world_on_done, w);
    assert_int_equal(await(w, answers + 1),
                     store_settle(t->fake, fake, n, TTL_S, now_ms(), now_ms(), &fake_skipped));
    assert_int_equal(queue_receipts_skipped(w->q) - skipped, fake_skipped);
}

static void play_due(struct twins *t)
{
    uint64_t wall = roll(t, 10) ? roll(t, DUE_MAX) : now_ms() + 2 * APART_MS * OPERATIONS, next;
    uint32_t limit = 1 + (uint32_t)roll(t, 30), moved;
    struct world *w = t->real[0];

    assert_int_equal(ask_due(w, wall, limit),
                     store_due(t->fake, wall, limit, now_ms(), &moved, &next));
    assert_int_equal(w->moved, moved);
    if (next == NEVER || next <= DUE_MAX)
        assert_true(w->next_due_ms == next);
    else
        assert_in_range(w->next_due_ms, next - 20000, next + 20000);
    learn(t);
}

/* -- the budget -- */

static void play_spend(struct twins *t)
{
    size_t who = roll(t, OWNERS);
    struct session *s = &t->session[who];
    struct queue_spend spend = {.ledger = (enum ledger_kind)roll(t, LEDGER_N),
                                .open = roll(t, 50),
                                .book = roll(t, 2) ? roll(t, 20) : 0,
                                .level_micro = roll(t, 1000000000),
                                .window_ms = 3600000,
                                .clock = world_clock()};
    int err;

    s->booked[spend.ledger] += spend.book;
    err = store_spend(t->fake, owners[who], ++s->seq, &spend, s->booked[spend.ledger], now_ms());
    if (err)
        s->booked[spend.ledger] -= spend.book;
    assert_int_equal(ask_spend(t->real[who], spend), err);
}

static void on_budget(void *ctx, int err, const struct queue_budget *b)
{
    struct twins *t = ctx;

    memset(&t->budget, 0, sizeof(t->budget));
    if (b) {
        t->budget = *b;
        assert_in_range(b->spent_count, 0, array_len(t->spent));
        if (b->spent_count)
            memcpy(t->spent, b->spent, b->spent_count * sizeof(*b->spent));
    }
    for (size_t i = 0; i < OWNERS; i++)
        world_answered(t->real[i], err);
}

static void compare_budget(const struct twins *t, const struct queue_budget *fake)
{
    assert_int_equal(t->budget.known, fake->known);
    assert_int_equal(t->budget.level_micro, fake->level_micro);
    assert_in_range(t->budget.account_ms + 5000, fake->account_ms, fake->account_ms + 10000);
    assert_in_range(t->budget.level_age_ms + 5000, fake->level_age_ms, fake->level_age_ms + 10000);
    assert_int_equal(t->budget.spent_count, fake->spent_count);
    for (size_t i = 0; i < fake->spent_count; i++) {
        assert_int_equal(t->spent[i].cost, fake->spent[i].cost);
        assert_in_range(t->spent[i].age_ms + LATE_MS + 5000, fake->spent[i].age_ms + LATE_MS,
                        fake->spent[i].age_ms + LATE_MS + 10000);
    }
}

static void play_restore(struct twins *t)
{
    size_t who = roll(t, OWNERS);
    struct session *s = &t->session[who];
    struct queue_restore r = {(enum ledger_kind)roll(t, LEDGER_N), 3600000, LATE_MS, {0, now_ms()}};
    int answers = t->real[who]->answers, err;
    struct store_window fake;

    queue_budget_restore(t->real[who]->q, &r, on_budget, t);
    err = store_restore(t->fake, owners[who], ++s->seq, &r, now_ms(), &fake);
    assert_int_equal(await(t->real[who], answers + 1), err);
    if (err == 0) {
        s->booked[r.ledger] = 0;
        compare_budget(t, &fake.budget);
    }
    free(fake.spent);
}

/* -- how the server is -- */

static void play_memory(struct twins *t)
{
    bool full = roll(t, 3) == 0;

    redis_server_do(t->server, "CONFIG SET maxmemory %d", full ? 1 : 0);
    t->fake->out_of_memory = full;
}

static void play_server(struct twins *t)
{
    struct world *w = t->real[0];
    int answers = w->answers;
    struct queue_server fake;

    queue_server(w->q, world_on_server, w);
    assert_int_equal(await(w, answers + 1), 0);
    store_server(t->fake, &fake);
    assert_string_equal(w->info.maxmemory_policy, fake.maxmemory_policy);
    assert_int_equal(w->info.aof, fake.aof);
}

static const struct {
    void (*play)(struct twins *t);
    uint32_t share;
} operations[] = {
    {play_push, 300},  {play_read, 200},   {play_settle, 120}, {play_due, 40},
    {play_spend, 80},  {play_restore, 30}, {play_lead, 40},    {play_release, 6},
    {play_lapse, 4},   {play_delete, 30},  {play_cancel, 20},  {play_depth, 20},
    {play_rewind, 20}, {play_pause, 6},    {play_memory, 6},   {play_server, 4},
};

static void play_one(struct twins *t)
{
    uint64_t sum = 0, at;

    for (size_t i = 0; i < array_len(operations); i++)
        sum += operations[i].share;
    at = roll(t, sum);
    for (size_t i = 0; i < array_len(operations); i++) {
        if (at < operations[i].share) {
            operations[i].play(t);
            return;
        }
        at -= operations[i].share;
    }
}

/* -- the whole state -- */

static void compare_stream(struct twins *t, const char *key, const struct stream *fake)
{
    redisReply *r = redis_server_try(t->server, "XRANGE " P "%s - +", key);
    size_t n = 0;

    for (size_t i = fake->first; i < fake->first + fake->count; i++) {
        char a[700], b[700];

        if (!fake->at[i].fields)
            continue;
        assert_true(n < r->elements);
        real_text(t, r->element[n]->element[1], a, sizeof(a));
        fake_text(t, fake->at[i].fields, b, sizeof(b));
        expect_same_text(a, b);
        n++;
    }
    assert_int_equal(n, r->elements);
    freeReplyObject(r);
}

static void compare_later(struct twins *t)
{
    redisReply *r = redis_server_try(t->server, "ZRANGE " P "postponed 0 -1 WITHSCORES");

    assert_int_equal(r->elements, 2 * t->fake->later_count);
    for (size_t i = 0; i < t->fake->later_count; i++) {
        uint64_t real = strtoull(r->element[2 * i + 1]->str, NULL, 10);
        uint64_t fake = t->fake->later[i].due_ms;

        assert_true((real > fake ? real - fake : fake - real) < (fake > DUE_MAX ? 20000 : 1));
    }
    freeReplyObject(r);
}

/* The job's name on the real side. */
static char *real_job(const struct twins *t, const char *fake)
{
    char shared[200];
    size_t ordinal;
    char lane_name[16], suffix[64] = "";
    enum lane lane;

    shared_name(t, FAKE, fake, shared, sizeof(shared));
    assert_true(sscanf(shared, "%15[a-z]#%zu%63s", lane_name, &ordinal, suffix) >= 2);
    assert_int_equal(lane_parse(span_str(lane_name), &lane), 0);
    return alloc_printf("%s-%" PRIu64 "-%" PRIu64 "%s", lane_name, t->ids[lane][ordinal].real.ms,
                        t->ids[lane][ordinal].real.seq, suffix);
}

static void compare_word(const json_t *json, const char *name, const char *fake)
{
    const char *real = json_string_value(json_object_get(json, name));

    if (fake)
        assert_string_equal(real, fake);
    else
        assert_null(real);
}

static void compare_receipts(struct twins *t)
{
    long long count = redis_server_int(t->server, "EVAL %s 0 %s",
                                       "return #redis.call('KEYS', ARGV[1])", P "receipt:*");

    assert_int_equal(count, t->fake->receipts.count);
    map_each(slot, &t->fake->receipts)
    {
        const struct receipt *fake = slot->value;
        char *job = real_job(t, slot->name);
        json_t *real = receipt_of(t->real[0], job);

        assert_string_equal(json_string_value(json_object_get(real, "job")), job);
        compare_word(real, "state", fake->state);
        compare_word(real, "ref", fake->ref);
        compare_word(real, "reason", fake->reason);
        assert_int_equal(json_integer_value(json_object_get(real, "targets")), fake->targets);
        json_decref(real);
        free(job);
    }
}

static void compare_all(struct twins *t)
{
    char key[32];
    char *holder = redis_server_str(t->server, "GET " P "lease");

    for (int lane = 0; lane < LANE_N; lane++) {
        snprintf(key, sizeof(key), "jobs:%s", lane_names[lane]);
        compare_stream(t, key, &t->fake->lanes[lane]);
    }
    compare_stream(t, "dead", &t->fake->dead);
    compare_later(t);
    compare_receipts(t);
    assert_string_equal(holder, store_holder(t->fake, now_ms()));
    free(holder);
    play_depth(t);
}

static struct twins *twins_new(uint64_t seed)
{
    struct twins *t = alloc_zeroed(1, sizeof(*t));

    t->rng.state = seed;
    t->server = redis_server_start(NULL, NULL);
    for (size_t i = 0; i < OWNERS; i++)
        t->real[i] = world_open(t->server, owners[i]);
    t->fake = store_new("main");
    return t;
}

static void twins_free(struct twins *t)
{
    for (size_t i = 0; i < OWNERS; i++)
        world_close(t->real[i]);
    redis_server_stop(t->server);
    store_free(t->fake);
    for (int lane = 0; lane < LANE_N; lane++)
        free(t->ids[lane]);
    free(t);
}

static void the_fake_redis_does_what_the_real_one_does(void **state)
{
    const char *seed = getenv("SEED");
    struct twins *t = twins_new(seed ? strtoull(seed, NULL, 10) : 1);

    (void)state;
    while (t->played++ < OPERATIONS) {
        play_one(t);
        if (t->played % LOOK_EVERY == 0)
            compare_all(t);
    }
    compare_all(t);
    twins_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fake_redis_does_what_the_real_one_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
