/* SPDX-License-Identifier: MIT
 * Sends fifty thousand POST requests while the daemon and its Redis are killed again and again.
 * Every job that was confirmed must be purged. P1 and S22 for HTTP:
 * https://github.com/sidekiq/sidekiq/wiki/Reliability */
#include "http_world.h"

#include "clock.h"

#define POSTS 50000u
#define AT_ONCE 16u        /* connections */
#define KILL_EVERY 5000u   /* posts; kills the daemon and Redis in turn */
#define REDIS_AWAY_FOR 400 /* posts */

#define ACCOUNT                                                                                    \
    "    budget: {purges: 1000000000, burst: 1000000000}\n"                                        \
    "    receipts: failed\n"

struct storm {
    struct world w;
    bool *yes; /* confirmed posts, by number */
    unsigned posted, answered, yeses, busy, broken, killed_daemons, killed_redises;
    bool redis_away;
    unsigned redis_back_at;
};

/* Uses the three kinds of requests that push a job in turn, each with a different key. */
static void post_one(struct storm *s)
{
    unsigned n = s->posted++;
    char body[64], target[96];
    struct http_call *c;

    snprintf(body, sizeof(body), "{\"keys\":[\"k%u\"]}", n);
    snprintf(target, sizeof(target), "/service/" NEWS "/purge/k%u", n);
    if (n % 4 == 1) {
        char once[64];

        snprintf(once, sizeof(once), "Idempotency-Key: %u", n);
        c = http_begin(s->w.h, "POST", "/v1/purge", body, once, NULL);
    } else if (n % 4 == 2) {
        c = http_begin(s->w.h, "POST", target, NULL, NULL);
    } else {
        c = http_begin(s->w.h, "POST", "/v1/purge", body, NULL);
    }
    http_call_set_ctx(c, s->yes + n);
}

static void take_answer(struct storm *s)
{
    struct http_call *c = http_next(s->w.h);
    int status = http_call_reply(c)->status;
    bool yes = status == 200 || status == 202;

    *(bool *)http_call_ctx(c) = yes;
    s->answered++;
    s->yeses += yes;
    s->busy += status == 503;
    s->broken += status == 0;
    assert_true(yes || status == 503 || status == 0);
    http_drop(c);
}

static void take_all_answers(struct storm *s)
{
    while (s->answered < s->posted)
        take_answer(s);
}

/* Kills it while posts and requests to Fastly are in flight. */
static void kill_daemon(struct storm *s)
{
    struct instance *i = &s->w.r->instances[0];
    size_t before = instance_said(i, "The HTTP endpoint listens");

    instance_kill(i);
    take_all_answers(s);
    http_close(s->w.h);
    rig_start(s->w.r, 0);
    instance_await_said(i, "The HTTP endpoint listens", before + 1);
    s->w.h = http_of(s->w.r, 0, "http", NULL);
    await_until(-1, AWAIT_PATIENCE_MS,
                http_do(s->w.h, "GET", "/v1/jobs/normal-1-0", NULL, NULL)->status == 404);
    s->killed_daemons++;
}

static void kill_redis(struct storm *s)
{
    redis_server_kill(s->w.r->redis);
    s->redis_away = true;
    s->redis_back_at = s->posted + REDIS_AWAY_FOR;
    s->killed_redises++;
}

static void bring_redis_back(struct storm *s)
{
    redis_server_restart(s->w.r->redis);
    s->redis_away = false;
    take_all_answers(s);
    await_until(-1, AWAIT_PATIENCE_MS,
                http_do(s->w.h, "GET", "/v1/jobs/normal-1-0", NULL, NULL)->status == 404);
}

static void rage(struct storm *s)
{
    unsigned next_kill = KILL_EVERY;

    while (s->answered < POSTS) {
        while (s->posted < POSTS && s->posted - s->answered < AT_ONCE)
            post_one(s);
        take_answer(s);
        if (s->redis_away && s->posted >= s->redis_back_at)
            bring_redis_back(s);
        if (s->posted >= next_kill && next_kill < POSTS) {
            if (next_kill / KILL_EVERY % 2)
                kill_daemon(s);
            else
                kill_redis(s);
            next_kill += KILL_EVERY;
        }
    }
}

/* The posts whose keys were purged at the sandbox. */
static bool *seen_at_sandbox(struct rig *r)
{
    bool *seen = alloc_zeroed(POSTS, sizeof(*seen));

    requests_read(&r->requests);
    for (size_t i = 0; i < r->requests.count; i++) {
        const struct request *q = &r->requests.at[i];

        for (unsigned k = 0; q->status == 200 && k < q->n; k++)
            if (q->keys[k][0] == 'k')
                seen[strtoul(q->keys[k] + 1, NULL, 10)] = true;
    }
    return seen;
}

static void open_storm(struct storm *s, void **state)
{
    *s = (struct storm){.yes = alloc_zeroed(POSTS, sizeof(*s->yes))};
    s->w.r = rig_open(state, "", "");
    rig_configure(s->w.r, ACCOUNT, HTTP_LISTENS);
    s->w.h = http_serve(s->w.r, 0);
}

static void s22_every_yes_is_purged_though_daemon_and_redis_are_killed(void **state)
{
    struct storm s;
    unsigned lost = 0;
    bool *seen;

    open_storm(&s, state);
    rage(&s);
    rig_await_empty(s.w.r);
    seen = seen_at_sandbox(s.w.r);
    for (unsigned n = 0; n < POSTS; n++)
        lost += s.yes[n] && !seen[n];
    printf(
        "%u posts: %u yes, %u busy, %u without an answer; killed: the daemon %u times, Redis %u\n",
        s.posted, s.yeses, s.busy, s.broken, s.killed_daemons, s.killed_redises);
    assert_int_equal(lost, 0);
    assert_true(s.yeses > POSTS * 9 / 10); /* fewer would prove little */
    assert_true(s.killed_daemons >= 4 && s.killed_redises >= 4);
    assert_int_equal(rig_dead_count(s.w.r), 0);
    free(seen);
    free(s.yes);
    world_close(&s.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(s22_every_yes_is_purged_though_daemon_and_redis_are_killed),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
