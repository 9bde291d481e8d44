/* SPDX-License-Identifier: MIT
 * What Redis, Fastly and the network to them do in a story. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "api.h"
#include "engine.h"
#include "fake_cluster.h"
#include "fake_redis.h"
#include "fake_sender.h"
#include "instance.h"
#include "play.h"
#include "reply.h"
#include "world.h"

static uint64_t number_option(struct play *p, const char *name, uint64_t fallback)
{
    const char *value = play_option(p, name);
    uint64_t n = fallback;

    if (value && text_number(value, &n) < 0)
        play_fail(p, "%s: \"%s\" is no number", name, value);
    return n;
}

static uint64_t time_word(struct play *p, const char *word)
{
    uint64_t ns = 0;

    if (text_time(word, &ns) < 0)
        play_fail(p, "\"%s\" is no time", word);
    return ns;
}

/* -- Redis -- */

static const char *account_named(const struct play *p)
{
    const char *account = play_option(p, "account");

    return account ? account : world_config()->accounts[0].name;
}

static void lose(struct play *p)
{
    uint64_t n = 1;

    if (*play_word(p, 3) && text_number(play_word(p, 3), &n) < 0)
        play_fail(p, "lose: the %s-th?", play_word(p, 3));
    fault_soon(strcmp(play_word(p, 0), "http") == 0 ? IO_API : IO_REDIS,
               strcmp(play_word(p, 2), "answer") == 0 ? FAULT_LOST_AFTER : FAULT_LOST_BEFORE,
               (uint32_t)n);
}

static void on_refuses(struct play *p)
{
    if (!fake_redis_refuse(play_word(p, 2), account_named(p), play_option(p, "key")))
        play_fail(p, "redis is not asked \"%s\"", play_word(p, 2));
    if (play_option(p, "account"))
        fake_redis_refuse_only(account_named(p));
}

static void on_accepts(struct play *p)
{
    if (!fake_redis_accept(play_word(p, 2)))
        play_fail(p, "redis is not asked \"%s\"", play_word(p, 2));
}

static enum redis_state state_word(const struct play *p)
{
    return strcmp(play_word(p, 2), "full") == 0 ? REDIS_FULL : REDIS_WELL;
}

static void on_memory(struct play *p)
{
    fake_redis_set_memory(state_word(p));
}

static void on_disk(struct play *p)
{
    fake_redis_set_disk(state_word(p));
}

static void on_deletes(struct play *p)
{
    for (int lane = 0; lane < LANE_N; lane++) {
        const char *account = account_named(p), *name = lane_names[lane];

        if (reply_u64(fake_redis_say("XLEN purgeline:{%s}:jobs:%s", account, name)) == 0)
            fake_redis_say("DEL purgeline:{%s}:jobs:%s", account, name);
    }
}

static void on_slow(struct play *p)
{
    fake_redis_weather.latency_max_ns = time_word(p, play_word(p, 2));
}

static void on_redis_clock(struct play *p)
{
    engine_jump_redis(play_jump_ms(p, play_word(p, 2)));
}

static void on_policy(struct play *p)
{
    fake_redis_set_policy(play_word(p, 2));
}

static void on_syncs(struct play *p)
{
    fake_redis_set_fsync(play_word(p, 2));
}

static void on_away(struct play *p)
{
    (void)p;
    fake_redis_leave();
}

static void on_back(struct play *p)
{
    (void)p;
    fake_redis_return();
}

/* "redis fails loses=300ms", then "redis back": another master, or the same after a crash, without
 * what was written last. */
static void on_fails(struct play *p)
{
    const char *loses = play_option(p, "loses");

    witness_rolled_back(fake_redis_fail(loses ? time_word(p, loses) : 0));
    api_rolled_back();
}

/* "first,endpoint" */
static uint32_t clients_named(const char *names)
{
    struct span rest = span_str(names), name;
    uint32_t with = 0;

    while (span_next_word(&rest, ',', &name)) {
        char *text = alloc_copy(name.p, name.n);

        with |=
            FAKE_REDIS_WITH(strcmp(text, "endpoint") == 0 ? ENGINE_NOBODY : instance_find(text));
        free(text);
    }
    return with;
}

static void on_heals(struct play *p)
{
    (void)p;
    fake_redis_join();
    witness_joined();
    api_rolled_back();
}

/* "redis splits with=first loses=300ms", then "redis back" and "redis heals": two masters. */
static void on_splits(struct play *p)
{
    const char *loses = play_option(p, "loses"), *with = play_option(p, "with");
    uint32_t clients = clients_named(with ? with : "");

    on_heals(p);
    witness_rolled_back(fake_redis_split(loses ? time_word(p, loses) : 0, clients));
    witness_split(clients);
    api_rolled_back();
}

static void on_replica(struct play *p)
{
    fake_redis_set_replica_away(strcmp(play_word(p, 2), "away") == 0);
}

/* -- a Redis Cluster -- */

static int node_named(struct play *p, const char *name)
{
    int node = fake_cluster_named(name ? name : "");

    if (node < 0)
        play_fail(p, "the Cluster has no node \"%s\"", name ? name : "");
    return node;
}

/* "redis moves to=b in=3 over=600ms" */
static void on_moves(struct play *p)
{
    const char *over = play_option(p, "over");
    int to = node_named(p, play_option(p, "to"));

    if (to >= 0)
        fake_cluster_move(account_named(p), to, (uint32_t)number_option(p, "in", 0),
                          over ? time_word(p, over) : 0);
}

static void on_cluster(struct play *p)
{
    if (fake_cluster_is())
        fake_cluster_set_down(strcmp(play_word(p, 2), "down") == 0);
    else
        play_fail(p, "there is no Cluster: config cluster=3");
}

/* "redis node b lost", then "redis node b back". */
static void on_node(struct play *p)
{
    int node = node_named(p, play_word(p, 2));

    if (node >= 0 && strcmp(play_word(p, 3), "lost") == 0)
        fake_cluster_lose(node);
    else if (node >= 0)
        fake_cluster_replace(node);
}

struct word {
    const char *word;
    play_verb *verb;
};

/* False: there is no such word. */
static bool do_word(struct play *p, const struct word *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i].word, play_word(p, 1)) != 0)
            continue;
        words[i].verb(p);
        return true;
    }
    return false;
}

void play_redis(struct play *p)
{
    static const struct word words[] = {
        {"away", on_away},       {"back", on_back},         {"loses", lose},
        {"slow", on_slow},       {"deletes", on_deletes},   {"memory", on_memory},
        {"disk", on_disk},       {"clock", on_redis_clock}, {"refuses", on_refuses},
        {"accepts", on_accepts}, {"policy", on_policy},     {"fails", on_fails},
        {"replica", on_replica}, {"splits", on_splits},     {"heals", on_heals},
        {"moves", on_moves},     {"cluster", on_cluster},   {"node", on_node},
        {"syncs", on_syncs}};

    if (!do_word(p, words, array_len(words)))
        play_fail(p, "redis does not \"%s\"", play_word(p, 1));
}

/* "http loses answer 1": of the endpoint's connection to Redis. */
void play_http(struct play *p)
{
    if (strcmp(play_word(p, 1), "loses") == 0)
        lose(p);
    else
        play_fail(p, "http does not \"%s\"", play_word(p, 1));
}

/* -- answers -- */

/* As an HTTP date: RFC 9110 section 5.6.7. */
static void put_date(char *out, size_t room, uint64_t in_ns)
{
    time_t at = (time_t)((engine_wall_ms() + in_ns / NS_PER_MS) / 1000);
    struct tm tm;

    gmtime_r(&at, &tm);
    strftime(out, room, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static void take_hints(struct play *p, struct answer *a)
{
    const char *v;

    if ((v = play_option(p, "retry-after")))
        snprintf(a->retry_after, sizeof(a->retry_after), "%s", v);
    if ((v = play_option(p, "retry-at")))
        put_date(a->retry_after, sizeof(a->retry_after), time_word(p, v + (*v == '+')));
    if ((v = play_option(p, "reset")))
        snprintf(a->reset_after_s, sizeof(a->reset_after_s), "%s", v);
}

/* The answer that the words from `at` on describe. */
static void take_answer(struct play *p, size_t at, struct answer *a)
{
    const char *word = play_word(p, at), *omit = play_option(p, "omit");
    uint64_t status = 200;

    *a = (struct answer){.status = 200};
    if (strcmp(word, "reset") == 0)
        a->how = ANSWER_RESET;
    else if (strcmp(word, "silent") == 0 || strcmp(word, "timeout") == 0)
        a->how = ANSWER_NEVER;
    else if (strcmp(word, "garbled") == 0)
        a->garbled = true;
    else if (text_number(word, &status) < 0)
        play_fail(p, "\"%s\" is no answer", word);
    a->status = (int)status;
    a->omit_count = (uint32_t)number_option(p, "omits", 0);
    a->keys_limit = (uint32_t)number_option(p, "limit", 0);
    a->from_site = play_flag(p, "site");
    if (omit)
        snprintf(a->omit, sizeof(a->omit), "%s", omit);
    take_hints(p, a);
}

static void answer_oldest(struct play *p, const struct answer *a)
{
    struct request *r = fastly_fake_unanswered();

    if (r)
        fastly_fake_answer(r, a);
    else if (p->how == PLAY_WITH_EXPECTATIONS)
        play_fail(p, "there is no request to answer");
}

void play_reply(struct play *p)
{
    uint64_t times = number_option(p, "times", 1);
    struct answer a;

    take_answer(p, 1, &a);
    for (; times > 0 && !engine_failure(); times--)
        answer_oldest(p, &a);
}

void play_fail_request(struct play *p)
{
    play_reply(p);
}

/* -- Fastly -- */

static void take_chances(struct play *p)
{
    struct fastly_weather *w = &fastly_weather;

    w->permille_429 = (uint32_t)number_option(p, "429", 0);
    w->permille_503 = (uint32_t)number_option(p, "503", 0);
    w->permille_omit = (uint32_t)number_option(p, "omit", 0);
    w->permille_hint = (uint32_t)number_option(p, "hint", 0);
    w->permille[FAULT_LOST_AFTER] = (uint32_t)number_option(p, "reset", 0);
    w->permille[FAULT_SILENT] = (uint32_t)number_option(p, "silent", 0);
}

static void take_next(struct play *p)
{
    struct answer a;

    take_answer(p, 2, &a);
    fastly_fake_next(&a, (uint32_t)number_option(p, "times", 1));
}

static void on_answers(struct play *p)
{
    const char *after = play_option(p, "after"), *to = play_option(p, "to");

    fastly_weather.waits = false;
    fastly_weather.think_min_ns = after ? time_word(p, after) : 0;
    fastly_weather.think_max_ns = to ? time_word(p, to) : fastly_weather.think_min_ns;
    fastly_fake_answer_all();
}

static void on_poison(struct play *p)
{
    snprintf(fastly_weather.poison, sizeof(fastly_weather.poison), "%s", play_word(p, 2));
}

static void on_token(struct play *p)
{
    fastly_weather.token_refused = strcmp(play_word(p, 2), "bad") == 0;
}

static void on_unknown(struct play *p)
{
    snprintf(fastly_weather.unknown_service, sizeof(fastly_weather.unknown_service), "%s",
             play_word(p, 2));
}

static void on_limit(struct play *p)
{
    uint64_t n = 0;

    if (text_number(play_word(p, 2), &n) < 0)
        play_fail(p, "fastly limit: how many keys?");
    fastly_weather.keys_limit = (uint32_t)n;
    fastly_weather.limit_untold = play_flag(p, "untold");
}

static void on_allows(struct play *p)
{
    uint64_t n = 0;

    if (text_number(play_word(p, 2), &n) < 0)
        play_fail(p, "fastly allows: how much?");
    fastly_weather.allows = n;
    fastly_weather.per_ns = time_word(p, play_option(p, "per") ? play_option(p, "per") : "");
}

static void on_foreign(struct play *p)
{
    uint64_t n = 0;

    if (text_number(play_word(p, 2), &n) < 0)
        play_fail(p, "fastly foreign: how much?");
    fastly_fake_foreign(n);
}

static void on_far(struct play *p)
{
    const char *least = play_option(p, "least");

    fake_wire.latency_max_ns = time_word(p, play_word(p, 2));
    fake_wire.latency_min_ns = least ? time_word(p, least) : 0;
}

void play_fastly(struct play *p)
{
    static const struct word words[] = {
        {"answers", on_answers}, {"next", take_next},   {"weather", take_chances},
        {"poison", on_poison},   {"token", on_token},   {"unknown", on_unknown},
        {"limit", on_limit},     {"allows", on_allows}, {"foreign", on_foreign}};
    const char *what = play_word(p, 1);

    if (do_word(p, words, array_len(words)))
        return;
    if (strcmp(what, "waits") == 0)
        fastly_weather.waits = true;
    else if (strcmp(what, "refuses") == 0 || strcmp(what, "accepts") == 0)
        fake_wire.refuses = strcmp(what, "refuses") == 0;
    else if (strcmp(what, "far") == 0)
        on_far(p);
    else
        play_fail(p, "fastly does not \"%s\"", what);
}
