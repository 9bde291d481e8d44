/* SPDX-License-Identifier: MIT
 * Retrying and dropping dead letters, and pausing. Whatever happens in between, either the letter
 * is gone and its job is in its lane, or neither has happened. */
#include "store_world.h"

#include "control.h"
#include "deadletter_filter.h"

static const struct config_account account = {.name = (char *)"main"};
static const struct actor somebody = {&account, "me"}, you = {&account, "you"};
static const struct deadletter_filter every = {.up_to = NULL};

#define LETTERS 150 /* more than fit into one command */

struct dead_world {
    struct store_world store;
    struct client *client;
};

static int set_up(void **state)
{
    struct dead_world *w = alloc_zeroed(1, sizeof(*w));

    store_open(&w->store);
    assert_int_equal(client_open(NULL, &w->client, NULL), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct dead_world *w = *state;

    client_close(w->client);
    store_close(&w->store);
    free(w);
    return 0;
}

/* Reconnects after the connection was lost. */
static void open_again(struct dead_world *w)
{
    client_close(w->client);
    assert_int_equal(client_open(NULL, &w->client, NULL), 0);
}

#define DIED " dead_reason 404 dead_job urgent-5-1 dead_at 7 dead_target a"

static void bury(struct dead_world *w, const char *fields)
{
    char command[300];

    snprintf(command, sizeof(command), "XADD " P "dead * %s" DIED, fields);
    store_do(&w->store, command);
}

/* Adds a letter that is too large for the script. */
static void bury_large(struct dead_world *w)
{
    char *big = alloc_zeroed(9001, 1), *command;

    memset(big, 'u', 9000);
    command = alloc_printf("XADD " P "dead * dead_by cms url %s" DIED, big);
    store_do(&w->store, command);
    free(command);
    free(big);
}

static void expect_counts(struct dead_world *w, unsigned dead, unsigned urgent)
{
    store_expect_number(&w->store, "XLEN " P "dead", dead);
    store_expect_number(&w->store, "XLEN " P "jobs:urgent", urgent);
}

#define FIRST "1700000000000-0"

static int retry(struct dead_world *w, uint64_t *done)
{
    const char *ids[] = {FIRST, "5-5"};

    return deadletter_retry(w->client, &somebody, ids, 2, done);
}

static void a_retried_letter_is_a_job_of_its_lane_again(void **state)
{
    struct dead_world *w = *state;
    uint64_t done;

    bury(w, "url a ref mine job urgent-5-1");
    assert_int_equal(retry(w, &done), 0);
    assert_int_equal(done, 1);
    store_expect(&w->store, "XRANGE " P "jobs:urgent - +",
                 "*1\r\n*2\r\n$15\r\n" FIRST "\r\n*4\r\n$3\r\nurl\r\n$1\r\na\r\n$3\r\nref\r\n"
                 "$4\r\nmine\r\n");
    expect_counts(w, 0, 1);
    assert_int_equal(retry(w, &done), 0);
    assert_int_equal(done, 0);
}

static void a_retried_job_still_says_who_pushed_it(void **state)
{
    struct dead_world *w = *state;
    uint64_t done;

    bury(w, "dead_by cms url a dead_by x");
    assert_int_equal(retry(w, &done), 0);
    store_expect(&w->store, "XRANGE " P "jobs:urgent - +",
                 "*1\r\n*2\r\n$15\r\n" FIRST "\r\n*4\r\n$3\r\nurl\r\n$1\r\na\r\n"
                 "$7\r\ndead_by\r\n$3\r\ncms\r\n");
    store_do(&w->store, "DEL " P "jobs:urgent " P "dead");
    store_do(&w->store, "XADD " P "dead " FIRST " dead_by cms" DIED); /* no job at all */
    assert_int_equal(retry(w, &done), 0);
    assert_int_equal(done, 0);
    expect_counts(w, 1, 0);
}

static int note_letter(void *ctx, const struct deadletter *l)
{
    *(struct deadletter *)ctx = *l; /* only its numbers are used */
    return 0;
}

static void a_letter_tells_the_bytes_of_all_its_fields(void **state)
{
    struct dead_world *w = *state;
    struct deadletter letter = {.bytes = 0};

    bury(w, "url a");
    assert_int_equal(deadletter_list(w->client, "main", 10, note_letter, &letter), 0);
    assert_int_equal(letter.at_ms, 7);
    assert_int_equal(letter.bytes, strlen("urla"
                                          "dead_reason404"
                                          "dead_joburgent-5-1"
                                          "dead_at7"
                                          "dead_targeta"));
}

static void a_large_letter_goes_the_same_way(void **state)
{
    struct dead_world *w = *state;
    uint64_t done;

    bury_large(w);
    assert_int_equal(retry(w, &done), 0);
    assert_int_equal(done, 1);
    expect_counts(w, 0, 1);
    assert_int_equal(fakeio_count("EXEC"), 1);
    assert_non_null(strstr(store_ask(&w->store, "XRANGE " P "jobs:urgent - +"),
                           "\r\n$7\r\ndead_by\r\n$3\r\ncms\r\n"));
}

static void all_letters_of_now_are_retried_or_dropped(void **state)
{
    struct dead_world *w = *state;
    uint64_t done;

    for (int i = 0; i < LETTERS; i++)
        bury(w, "url a");
    assert_int_equal(deadletter_act_all(w->client, &somebody, &every, DEADLETTER_RETRY,
                                        DEADLETTER_DO, &done, NULL),
                     0);
    assert_int_equal(done, LETTERS);
    expect_counts(w, 0, LETTERS);
    for (int i = 0; i < LETTERS; i++)
        bury(w, "url a");
    assert_int_equal(deadletter_act_all(w->client, &somebody, &every, DEADLETTER_DROP,
                                        DEADLETTER_DO, &done, NULL),
                     0);
    assert_int_equal(done, LETTERS);
    expect_counts(w, 0, LETTERS);
}

/* -- filters -- */

struct found {
    unsigned count;
    char ids[400]; /* of the first fields, newest first */
};

static int note_found(void *ctx, const struct deadletter *l)
{
    struct found *f = ctx;

    f->count++;
    snprintf(f->ids + strlen(f->ids), sizeof(f->ids) - strlen(f->ids), "%.*s ", (int)l->id.n,
             l->id.p);
    return f->count == 3;
}

static struct config_service two_services[] = {{(char *)"S1", (char *)"news"},
                                               {(char *)"S2", (char *)"shop"}};

static void bury_various(struct dead_world *w)
{
    store_do(&w->store, "XADD " P "dead 1000-0 dead_by ghost keys a_b service S1 by cms dead_by x "
                        "dead_reason 503 dead_job normal-1-0 "
                        "dead_at 1 dead_target a");
    store_do(&w->store, "XADD " P "dead 2000-0 dead_by cms keys b service shop dead_by ghost "
                        "dead_reason 404 dead_job normal-1-0 "
                        "dead_at 1 dead_target b");
    store_do(&w->store,
             "XADD " P "dead 3000-0 url http://a/x dead_reason 503 dead_job normal-1-0 dead_at 1 "
             "dead_target http://a/x");
    store_do(&w->store,
             "XADD " P "dead 4000-0 keys c dead_reason 503 dead_job normal-1-0 dead_at 1 "
             "dead_target c");
    store_do(&w->store, "XADD " P "dead 5000-0 dead_reason 503 dead_job _ dead_at 1 dead_target d "
                        "dead_message hello");
}

static void expect_found(struct dead_world *w, struct deadletter_filter f, const char *before,
                         const char *ids)
{
    struct found found = {.count = 0};

    assert_int_equal(deadletter_find(w->client, "main", &f, before, note_found, &found), 0);
    assert_string_equal(found.ids, ids);
}

static void letters_are_found_by_each_filter(void **state)
{
    struct dead_world *w = *state;
    struct config_account a = {.services = two_services, .services_count = 2};

    bury_various(w);
    expect_found(w, (struct deadletter_filter){.up_to = NULL}, NULL, "5000-0 4000-0 3000-0 ");
    expect_found(w, (struct deadletter_filter){.up_to = NULL}, "3000-0", "2000-0 1000-0 ");
    expect_found(w, (struct deadletter_filter){.reason = SPAN("40")}, NULL, "2000-0 ");
    expect_found(w, (struct deadletter_filter){.target = SPAN("http")}, NULL, "3000-0 ");
    expect_found(w, (struct deadletter_filter){.target = SPAN("_b")}, NULL, "1000-0 ");
    expect_found(w, (struct deadletter_filter){.target = SPAN("nothing")}, NULL, "");
    expect_found(w, (struct deadletter_filter){.since_ms = 4000}, NULL, "5000-0 4000-0 ");
    expect_found(w, (struct deadletter_filter){.since_ms = 2000, .until_ms = 3000}, NULL,
                 "3000-0 2000-0 ");
    expect_found(w, (struct deadletter_filter){.account = &a, .service = SPAN("news")}, NULL,
                 "1000-0 ");
    expect_found(w, (struct deadletter_filter){.account = &a, .service = SPAN("S2")}, NULL,
                 "2000-0 ");
    expect_found(w, (struct deadletter_filter){.producer = SPAN("cms")}, NULL, "2000-0 1000-0 ");
    expect_found(w, (struct deadletter_filter){.producer = SPAN("cm")}, NULL, "");
    expect_found(w, (struct deadletter_filter){.producer = SPAN("ghost")}, NULL, "");
    a.default_service = (char *)"shop";
    expect_found(w, (struct deadletter_filter){.account = &a, .service = SPAN("S2")}, NULL,
                 "4000-0 2000-0 ");
    expect_found(w, (struct deadletter_filter){.account = &a, .service = SPAN("gone")}, NULL, "");
}

static void what_was_counted_is_what_is_retried(void **state)
{
    struct dead_world *w = *state;
    struct deadletter_filter f = {.reason = SPAN("503")};
    char up_to[DEADLETTER_ID_ROOM];
    uint64_t done;

    bury_various(w);
    assert_int_equal(deadletter_act_all(w->client, &somebody, &f, DEADLETTER_RETRY,
                                        DEADLETTER_COUNT, &done, up_to),
                     0);
    assert_int_equal(done, 3); /* a message of a queue is no job */
    assert_string_equal(up_to, "5000-0");
    assert_int_equal(deadletter_act_all(w->client, &somebody, &f, DEADLETTER_DROP, DEADLETTER_COUNT,
                                        &done, up_to),
                     0);
    assert_int_equal(done, 4);
    store_do(&w->store,
             "XADD " P "dead 6000-0 keys e dead_reason 503 dead_job _ dead_at 1 dead_target e");
    f.up_to = up_to;
    assert_int_equal(
        deadletter_act_all(w->client, &somebody, &f, DEADLETTER_RETRY, DEADLETTER_DO, &done, NULL),
        0);
    assert_int_equal(done, 3);
    f.up_to = NULL;
    expect_found(w, f, NULL, "6000-0 5000-0 ");
    f.reason = SPAN("404");
    assert_int_equal(
        deadletter_act_all(w->client, &somebody, &f, DEADLETTER_DROP, DEADLETTER_DO, &done, NULL),
        0);
    assert_int_equal(done, 1);
}

static void many_letters_are_looked_through_to_the_end(void **state)
{
    struct dead_world *w = *state;
    struct deadletter_filter f = {.reason = SPAN("the_first_one")};
    uint64_t done;

    store_do(&w->store, "XADD " P "dead 1000-0 keys e dead_reason the_first_one");
    for (int i = 0; i < LETTERS; i++)
        bury(w, "url a");
    expect_found(w, f, NULL, "1000-0 ");
    f.reason = SPAN("404");
    assert_int_equal(
        deadletter_act_all(w->client, &somebody, &f, DEADLETTER_DROP, DEADLETTER_DO, &done, NULL),
        0);
    assert_int_equal(done, LETTERS);
}

static void an_id_of_a_letter_is_written_in_one_way(void **state)
{
    static const char *const bad[] = {"",     "1",    "1-",   "-1",    "1--2", "-1-2",
                                      "1-2-", "1-02", "01-2", "1-2-3", "1-2 "};

    for (size_t i = 0; i < array_len(bad); i++)
        assert_false(deadletter_id_ok(span_str(bad[i])));
    assert_true(deadletter_id_ok(SPAN("0-1")));
    assert_true(deadletter_id_ok(SPAN("1700000000000-0")));
    (void)state;
}

static void one_letter_is_dropped(void **state)
{
    struct dead_world *w = *state;
    uint64_t done;

    bury(w, "url a");
    bury(w, "url b");
    assert_int_equal(
        deadletter_drop(w->client, &somebody, (const char *[]){FIRST, FIRST}, 2, &done), 0);
    assert_int_equal(done, 1);
    expect_counts(w, 1, 0);
}

static void expect_failure(struct dead_world *w, int rc, const char *words)
{
    uint64_t done;

    assert_int_equal(retry(w, &done), rc);
    assert_int_equal(done, 0);
    assert_non_null(strstr(client_error(w->client), words));
}

static void without_memory_letters_stay(void **state)
{
    struct dead_world *w = *state;
    uint64_t done;

    for (int large = 0; large < 2; large++) {
        store_do(&w->store, "FLUSHALL");
        if (large)
            bury_large(w);
        else
            bury(w, "url a");
        fakeredis_set_full(w->store.redis, OOM);
        expect_failure(w, -EIO, large ? "EXECABORT" : OOM);
        fakeredis_set_full(w->store.redis, NULL);
        expect_counts(w, 1, 0);
        assert_int_equal(retry(w, &done), 0);
        assert_int_equal(done, 1);
    }
}

/* The script moves small letters. A transaction moves large ones, and Redis executes the commands
 * of a transaction even if one of them fails. */
static void a_lane_that_is_no_stream_swallows_no_letter(void **state)
{
    struct dead_world *w = *state;

    store_do(&w->store, "SET " P "jobs:urgent x");
    bury(w, "url a");
    expect_failure(w, -EIO, "WRONGTYPE");
    store_do(&w->store, "DEL " P "dead");
    bury_large(w);
    expect_failure(w, -EIO, "WRONGTYPE");
    store_expect_number(&w->store, "XLEN " P "dead", 1);
}

/* The connection is lost at each step. Afterwards there is either the letter or its job. */
static void a_lost_connection_leaves_a_letter_or_its_job(void **state)
{
    static const char *const small[] = {"XRANGE", "retry_dead"};
    static const char *const large[] = {"XRANGE", "WATCH", "MULTI", "XADD", "drop_letter", "EXEC"};
    struct dead_world *w = *state;
    uint64_t done;

    for (size_t i = 0; i < array_len(small) + array_len(large); i++) {
        bool is_large = i >= array_len(small);

        for (int after = 0; after < 2; after++) {
            store_do(&w->store, "FLUSHALL");
            if (is_large)
                bury_large(w);
            else
                bury(w, "url a");
            fakeio_fail_next(is_large ? large[i - array_len(small)] : small[i],
                             after ? FAKEIO_LOST_AFTER : FAKEIO_LOST_BEFORE, NULL);
            expect_failure(w, -ENOTCONN, "lost");
            open_again(w);
            assert_int_equal(retry(w, &done), 0);
            expect_counts(w, 0, 1);
        }
    }
}

static void pausing_is_refused_aloud(void **state)
{
    struct dead_world *w = *state;

    assert_int_equal(control_set(w->client, &somebody, CONTROL_PAUSED, "why"), 0);
    store_expect(&w->store, "HMGET " P "control paused why by",
                 "*3\r\n$1\r\n1\r\n$3\r\nwhy\r\n$2\r\nme\r\n");
    assert_int_equal(control_set(w->client, &you, CONTROL_GOES_ON, ""), 0);
    store_expect(&w->store, "HMGET " P "control paused by", "*2\r\n$1\r\n0\r\n$3\r\nyou\r\n");
    fakeio_fail_next("HSET", FAKEIO_REFUSED, WRONGTYPE);
    assert_int_equal(control_set(w->client, &somebody, CONTROL_PAUSED, ""), -EIO);
    fakeio_fail_next("HSET", FAKEIO_LOST_AFTER, NULL);
    assert_int_equal(control_set(w->client, &somebody, CONTROL_PAUSED, ""), -ENOTCONN);
    store_expect(&w->store, "HGET " P "control paused", "$1\r\n1\r\n");
}

/* Pausing is needed most when Redis is full. */
static void pausing_needs_no_memory(void **state)
{
    struct dead_world *w = *state;

    fakeredis_set_full(w->store.redis, OOM);
    assert_int_equal(control_set(w->client, &somebody, CONTROL_PAUSED, "full"), 0);
    store_expect(&w->store, "HMGET " P "control paused why by",
                 "*3\r\n$1\r\n1\r\n$4\r\nfull\r\n$2\r\nme\r\n");
    assert_int_equal(control_set(w->client, &you, CONTROL_GOES_ON, ""), 0);
    store_expect(&w->store, "HMGET " P "control paused by", "*2\r\n$1\r\n0\r\n$3\r\nyou\r\n");
    fakeio_fail_next("write_hash", FAKEIO_REFUSED, "NOPERM no");
    assert_int_equal(control_set(w->client, &somebody, CONTROL_PAUSED, ""), -EIO);
    assert_non_null(strstr(client_error(w->client), "NOPERM"));
    fakeredis_set_full(w->store.redis, NULL);
}

/* -- redis_replicas -- */

#define FEW "0 of 1 replicas have this: it is not confirmed, though it may take effect; repeat it"

static void need_a_replica(struct dead_world *w)
{
    const struct redis_address a = {.replicas = 1};

    client_close(w->client);
    assert_int_equal(client_open(&a, &w->client, NULL), 0);
}

static void assert_few(struct dead_world *w, int rc)
{
    assert_int_equal(rc, CLIENT_FEW);
    assert_string_equal(client_error(w->client), FEW);
}

/* What was done for nobody's yes is done all the same. Done again, it is a yes only when the
 * replica has it. */
static void without_its_replica_no_letter_is_said_to_be_retried(void **state)
{
    struct dead_world *w = *state;
    uint64_t done;

    need_a_replica(w);
    for (int large = 0; large < 2; large++) {
        store_do(&w->store, "FLUSHALL");
        fakeredis_set_replicas(w->store.redis, 0, 1);
        if (large)
            bury_large(w);
        else
            bury(w, "url a");
        assert_few(w, retry(w, &done));
        assert_int_equal(done, 0);
        expect_counts(w, 0, 1);
        assert_few(w, retry(w, &done));
        assert_few(w, deadletter_act_all(w->client, &somebody, &every, DEADLETTER_RETRY,
                                         DEADLETTER_DO, &done, NULL));
        fakeredis_set_replicas(w->store.redis, 1, 1);
        assert_int_equal(retry(w, &done), 0);
        assert_int_equal(deadletter_act_all(w->client, &somebody, &every, DEADLETTER_RETRY,
                                            DEADLETTER_DO, &done, NULL),
                         0);
        assert_int_equal(done, 0);
        expect_counts(w, 0, 1);
    }
}

static void without_its_replica_no_letter_is_said_to_be_dropped(void **state)
{
    struct dead_world *w = *state;
    uint64_t done;

    need_a_replica(w);
    fakeredis_set_replicas(w->store.redis, 0, 1);
    bury(w, "url a");
    bury(w, "url b");
    assert_few(w, deadletter_drop(w->client, &somebody, (const char *[]){FIRST}, 1, &done));
    assert_few(w, deadletter_act_all(w->client, &somebody, &every, DEADLETTER_DROP, DEADLETTER_DO,
                                     &done, NULL));
    assert_few(w, deadletter_act_all(w->client, &somebody, &every, DEADLETTER_DROP, DEADLETTER_DO,
                                     &done, NULL));
    expect_counts(w, 0, 0);
    fakeredis_set_replicas(w->store.redis, 1, 1);
    assert_int_equal(deadletter_act_all(w->client, &somebody, &every, DEADLETTER_DROP,
                                        DEADLETTER_DO, &done, NULL),
                     0);
    bury(w, "url a");
    assert_int_equal(deadletter_act_all(w->client, &somebody, &every, DEADLETTER_DROP,
                                        DEADLETTER_DO, &done, NULL),
                     0);
    assert_int_equal(done, 1);
}

static void without_its_replica_nothing_is_said_to_be_paused(void **state)
{
    struct dead_world *w = *state;

    need_a_replica(w);
    fakeredis_set_replicas(w->store.redis, 0, 1);
    assert_few(w, control_set(w->client, &somebody, CONTROL_PAUSED, "why"));
    fakeredis_set_full(w->store.redis, OOM);
    assert_few(w, control_set(w->client, &somebody, CONTROL_PAUSED, "why"));
    fakeredis_set_replicas(w->store.redis, 1, 1);
    assert_int_equal(control_set(w->client, &somebody, CONTROL_PAUSED, "why"), 0);
    fakeredis_set_full(w->store.redis, NULL);
    assert_int_equal(control_set(w->client, &somebody, CONTROL_GOES_ON, ""), 0);
}

static void looking_needs_no_replica(void **state)
{
    struct dead_world *w = *state;
    struct deadletter letter = {.bytes = 0};

    need_a_replica(w);
    fakeredis_set_replicas(w->store.redis, 0, 1);
    bury(w, "url a");
    assert_int_equal(deadletter_list(w->client, "main", 10, note_letter, &letter), 0);
    assert_int_equal(letter.at_ms, 7);
    assert_int_equal(fakeio_count("WAIT"), 0);
}

#define over_redis(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        over_redis(a_retried_letter_is_a_job_of_its_lane_again),
        over_redis(a_retried_job_still_says_who_pushed_it),
        over_redis(a_letter_tells_the_bytes_of_all_its_fields),
        over_redis(a_large_letter_goes_the_same_way),
        over_redis(all_letters_of_now_are_retried_or_dropped),
        over_redis(letters_are_found_by_each_filter),
        over_redis(what_was_counted_is_what_is_retried),
        over_redis(many_letters_are_looked_through_to_the_end),
        cmocka_unit_test(an_id_of_a_letter_is_written_in_one_way),
        over_redis(one_letter_is_dropped),
        over_redis(without_memory_letters_stay),
        over_redis(a_lane_that_is_no_stream_swallows_no_letter),
        over_redis(a_lost_connection_leaves_a_letter_or_its_job),
        over_redis(pausing_is_refused_aloud),
        over_redis(pausing_needs_no_memory),
        over_redis(without_its_replica_no_letter_is_said_to_be_retried),
        over_redis(without_its_replica_no_letter_is_said_to_be_dropped),
        over_redis(without_its_replica_nothing_is_said_to_be_paused),
        over_redis(looking_needs_no_replica),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
