/* SPDX-License-Identifier: MIT
 * The fake Redis of tests/fakeredis as a Cluster of two nodes, against a real one: while a slot is
 * moved from one node to the other and back, key by key, both nodes have the same answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "fakeredis_answers.h"
#include "redis_server.h"
#include "rng.h"

#define STEPS 4000
#define PATIENCE_NS (120 * NS_PER_S)
#define WORDS 12
#define HOME "a{m}" /* its slot is moved */

static uint64_t histories = 4, first = 1; /* or as the arguments say: how many, from which seed */

static const char *const names[] = {HOME, "b{m}", "c{m}", "d{m}"};
static const char *const streams[] = {"s{m}", "t{m}"};

static const char *const script_texts[] = {
    "return redis.call('GET', KEYS[1])",
    "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[2])",
    "return redis.pcall('GET', ARGV[1])",
    "return redis.call('SET', ARGV[1], 1)",
};

/* %k a key of the slot, %s a stream of the slot, %o a key of another slot, %n a number, %0 to %3
 * the digest of a script. */
static const char *const commands[] = {
    "GET %k",
    "GET %k",
    "GET %o",
    "EXISTS %k %k %k",
    "MGET %k %k",
    "MGET %k %o",
    "XLEN %s",
    "XREAD COUNT 3 STREAMS %s %s 0 0",
    "XREAD STREAMS %s 0",
    "EVALSHA %0 1 %k",
    "EVALSHA %2 0 %k",
    "EVALSHA %2 1 %k %k",
    "WATCH %k",
    "UNWATCH",
    "MULTI",
    "EXEC",
    "EXEC",
    "DISCARD",
    "PING",
    "CLUSTER KEYSLOT %k",
    "CLUSTER KEYSLOT {}%k",
};
static const char *const writing[] = {
    "SET %k %n",          "SET %o %n",        "DEL %k",           "DEL %k %k",
    "RENAME %k %k",       "XADD %s %n-1 f v", "XADD %s %n-1 f v", "EVALSHA %1 2 %k %k %n",
    "EVALSHA %3 1 %k %k", "EVALSHA %3 0 %k",
};

struct words {
    size_t count;
    char text[WORDS][64];
    const char *p[WORDS];
    size_t n[WORDS];
    struct span argv[WORDS];
};

struct twins {
    struct redis_server *server[2];
    redisContext *real[2];
    char *ids[2];
    struct fakeredis *fake;
    struct fakeredis_cluster *cluster;
    struct fakeredis_session *session[2];
    struct rng rng;
    uint64_t seed;
    unsigned step, slot, spare_slot;
    int at; /* the node that has the slot */
    bool exact, moving;
    unsigned said[6]; /* how often: MOVED, ASK, TRYAGAIN, CROSSSLOT, CLUSTERDOWN, EXECABORT */
    char shas[array_len(script_texts)][41];
};

static uint64_t roll(struct twins *t, uint64_t below)
{
    return rng_below(&t->rng, below);
}

static uint64_t no_time(void *ctx)
{
    (void)ctx;
    return 0;
}

/* -- both answer -- */

static void add(struct words *w, const char *text)
{
    assert_true(w->count < WORDS);
    snprintf(w->text[w->count], sizeof(w->text[0]), "%s", text);
    w->p[w->count] = w->text[w->count];
    w->n[w->count] = strlen(w->text[w->count]);
    w->argv[w->count] = span_str(w->text[w->count]);
    w->count++;
}

static void add_filled(struct twins *t, struct words *w, struct span word)
{
    const char *mark = memchr(word.p, '%', word.n);
    size_t before = mark ? (size_t)(mark - word.p) : word.n;
    char text[64], number[24];
    const char *with = "";

    snprintf(number, sizeof(number), "%" PRIu64, 1 + roll(t, 2000));
    if (mark && mark[1] == 'k')
        with = names[roll(t, array_len(names))];
    else if (mark && mark[1] == 's')
        with = streams[roll(t, array_len(streams))];
    else if (mark && mark[1] == 'o')
        with = roll(t, 2) ? "x{o}" : "y{p}";
    else if (mark && mark[1] == 'n')
        with = number;
    else if (mark)
        with = t->shas[mark[1] - '0'];
    snprintf(text, sizeof(text), "%.*s%s%.*s", (int)before, word.p, with,
             mark ? (int)(word.n - before - 2) : 0, mark ? mark + 2 : "");
    add(w, text);
}

static void fill(struct twins *t, struct words *w, const char *template)
{
    struct span rest = span_str(template), word;

    *w = (struct words){0};
    while (span_next_word(&rest, ' ', &word))
        add_filled(t, w, word);
}

static void count(struct twins *t, const redisReply *r)
{
    static const char *const all[] = {"MOVED",     "ASK",         "TRYAGAIN",
                                      "CROSSSLOT", "CLUSTERDOWN", "EXECABORT"};

    for (size_t i = 0; r->type == REDIS_REPLY_ERROR && i < array_len(all); i++)
        t->said[i] += strncmp(r->str, all[i], strlen(all[i])) == 0;
}

static void both(struct twins *t, int node, const struct words *w)
{
    redisReply *real = redisCommandArgv(t->real[node], (int)w->count, (const char **)w->p, w->n);
    redisReply *fake = fakeredis_answer(t->session[node], w->count, w->argv);
    struct buf real_text, fake_text;

    assert_non_null(real);
    buf_init(&real_text, (size_t)1 << 20);
    buf_init(&fake_text, (size_t)1 << 20);
    answer_render(t->exact, &real_text, real, 0);
    answer_render(t->exact, &fake_text, fake, 0);
    if (strcmp(real_text.p, fake_text.p) != 0) {
        print_message("seed %" PRIu64 " step %u node %d%s:", t->seed, t->step, node,
                      t->moving ? " moving" : "");
        for (size_t i = 0; i < w->count; i++)
            print_message(" %s", w->p[i]);
        fail_msg("a real Redis says\n%sand the fake one\n%s", real_text.p, fake_text.p);
    }
    count(t, real);
    buf_deinit(&real_text);
    buf_deinit(&fake_text);
    freeReplyObject(real);
    freeReplyObject(fake);
}

static void play(struct twins *t, int node, const char *template)
{
    struct words w;

    fill(t, &w, template);
    both(t, node, &w);
}

/* -- commands -- */

/* A client sends no command with ASKING whose keys are still at the other node: it would make them
 * a second time. */
static bool makes_a_second(struct twins *t, const struct words *w)
{
    for (size_t i = 0; t->moving && i < w->count; i++) {
        redisReply *r;
        bool there;

        if (!strstr(w->p[i], "{m}"))
            continue;
        r = redis_server_try(t->server[t->at], "EXISTS %s", w->p[i]);
        there = r->type == REDIS_REPLY_INTEGER && r->integer == 1;
        freeReplyObject(r);
        if (there)
            return true;
    }
    return false;
}

static void play_command(struct twins *t)
{
    bool writes = roll(t, 2);
    int node = (int)roll(t, 2);
    struct words w;

    fill(t, &w,
         writes ? writing[roll(t, array_len(writing))] : commands[roll(t, array_len(commands))]);
    if (writes && node != t->at && makes_a_second(t, &w))
        return;
    if (roll(t, 2))
        play(t, node, "ASKING");
    both(t, node, &w);
}

static void forget_all(struct twins *t)
{
    for (int node = 0; node < 2; node++) {
        play(t, node, "DISCARD");
        play(t, node, "UNWATCH");
    }
}

/* -- moving the slot -- */

static bool says(struct twins *t, int node, const char *command, const char *text)
{
    char *said = redis_server_str(t->server[node], command);
    bool does = strstr(said, text) != NULL;

    free(said);
    return does;
}

/* The epoch of a node, as it says, and as the other one knows it. */
static bool epoch_is_known(struct twins *t, int node)
{
    char *info = redis_server_str(t->server[node], "CLUSTER INFO");
    char *nodes = redis_server_str(t->server[!node], "CLUSTER NODES");
    const char *mine = strstr(info, "cluster_my_epoch:"), *line = strstr(nodes, t->ids[node]);
    unsigned long known = 0;

    assert_true(mine && line);
    assert_int_equal(sscanf(line, "%*s %*s %*s %*s %*s %*s %lu", &known), 1);
    free(nodes);
    mine += strlen("cluster_my_epoch:");
    known -= strtoul(mine, NULL, 10);
    free(info);
    return known == 0;
}

/* Otherwise news of the last move may arrive after the next one, and undo it. No event tells us. */
static void await_epochs(struct twins *t)
{
    uint64_t until = clock_mono_ns() + PATIENCE_NS;

    while (!epoch_is_known(t, 0) || !epoch_is_known(t, 1)) {
        assert_true(clock_mono_ns() < until);
        usleep(1000);
    }
}

static void begin_move(struct twins *t)
{
    redis_server_do(t->server[!t->at], "CLUSTER SETSLOT %u IMPORTING %s", t->slot, t->ids[t->at]);
    redis_server_do(t->server[t->at], "CLUSTER SETSLOT %u MIGRATING %s", t->slot, t->ids[!t->at]);
    assert_true(fakeredis_move_begin(t->cluster, SPAN(HOME), !t->at));
    t->moving = true;
}

static void move_key(struct twins *t, const char *name)
{
    redis_server_do(t->server[t->at], "MIGRATE 127.0.0.1 %u %s 0 60000",
                    redis_server_port(t->server[!t->at]), name);
    fakeredis_move_key(t->fake, span_str(name));
}

static void end_move(struct twins *t)
{
    for (size_t i = 0; i < array_len(names); i++)
        move_key(t, names[i]);
    for (size_t i = 0; i < array_len(streams); i++)
        move_key(t, streams[i]);
    for (int i = 0; i < 2; i++)
        redis_server_do(t->server[i ? t->at : !t->at], "CLUSTER SETSLOT %u NODE %s", t->slot,
                        t->ids[!t->at]);
    fakeredis_move_end(t->fake, SPAN(HOME));
    t->at = !t->at;
    t->moving = false;
    await_epochs(t);
    play(t, 0, "CLUSTER SLOTS");
    play(t, 1, "CLUSTER SLOTS");
}

static void move_on(struct twins *t)
{
    if (!t->moving)
        begin_move(t);
    else if (roll(t, 8) == 0)
        end_move(t);
    else if (roll(t, 4) == 0)
        move_key(t, streams[roll(t, array_len(streams))]);
    else
        move_key(t, names[roll(t, array_len(names))]);
}

/* A slot that nobody has takes the Cluster down, as the node sees it that is told. */
static void take_down_for_a_while(struct twins *t)
{
    redis_server_do(t->server[0], "CLUSTER DELSLOTS %u", t->spare_slot);
    fakeredis_cluster_set_down(t->cluster, true);
    for (int i = 0; i < 5; i++) {
        play(t, 0, commands[roll(t, array_len(commands))]);
        play(t, 0, writing[roll(t, array_len(writing))]);
    }
    redis_server_do(t->server[0], "CLUSTER ADDSLOTS %u", t->spare_slot);
    fakeredis_cluster_set_down(t->cluster, false);
}

static void play_history(struct twins *t, uint64_t seed)
{
    t->rng.state = t->seed = seed;
    for (t->step = 0; t->step < STEPS; t->step++) {
        if (roll(t, 30) == 0)
            move_on(t);
        if (roll(t, 300) == 0)
            take_down_for_a_while(t);
        play_command(t);
    }
    forget_all(t);
    if (t->moving)
        end_move(t);
}

/* -- from beginning to end -- */

/* Both know both, and that all slots are served. Nothing tells us when that is so. */
static void await_cluster(struct twins *t)
{
    uint64_t until = clock_mono_ns() + PATIENCE_NS;

    for (int node = 0; node < 2; node++) {
        while (!says(t, node, "CLUSTER INFO", "cluster_state:ok") ||
               !says(t, node, "CLUSTER INFO", "cluster_slots_ok:16384") ||
               says(t, node, "CLUSTER NODES", " :") ||
               says(t, node, "CLUSTER NODES", "handshake")) {
            assert_true(clock_mono_ns() < until);
            usleep(5000);
        }
    }
    await_epochs(t);
}

static void make_cluster(struct twins *t)
{
    for (int node = 0; node < 2; node++) {
        t->server[node] = redis_server_start("--cluster-enabled", "yes");
        t->real[node] = redisConnectUnix(strchr(redis_server_unix_url(t->server[node]), '/') + 2);
        assert_int_equal(t->real[node]->err, 0);
        t->ids[node] = redis_server_str(t->server[node], "CLUSTER MYID");
        /* On a busy machine, a node may be slow, but is not lost. */
        redis_server_do(t->server[node], "CONFIG SET cluster-node-timeout 600000");
    }
    redis_server_do(t->server[0], "CLUSTER ADDSLOTSRANGE 0 8191");
    redis_server_do(t->server[1], "CLUSTER ADDSLOTSRANGE 8192 16383");
    redis_server_do(t->server[1], "CLUSTER SET-CONFIG-EPOCH 2");
    redis_server_do(t->server[0], "CLUSTER MEET 127.0.0.1 %u", redis_server_port(t->server[1]));
    await_cluster(t);
}

static void make_fake(struct twins *t)
{
    struct fakeredis_node nodes[2];

    for (int node = 0; node < 2; node++)
        nodes[node] = (struct fakeredis_node){
            .host = "127.0.0.1", .port = redis_server_port(t->server[node]), .id = t->ids[node]};
    t->fake = fakeredis_new(no_time, NULL);
    t->cluster = fakeredis_cluster_new(nodes, 2);
    fakeredis_set_cluster(t->fake, t->cluster, NULL);
    for (int node = 0; node < 2; node++)
        t->session[node] = fakeredis_open_at(t->fake, node, FAKEREDIS_MASTER);
}

/* Each node has to be told; the second one is only told half of them. */
static void teach_scripts(struct twins *t)
{
    for (size_t i = 0; i < array_len(script_texts); i++) {
        const char *text = script_texts[i];
        const struct span argv[] = {SPAN("SCRIPT"), SPAN("LOAD"), span_str(text)};

        for (int node = 0; node < (i % 2 ? 2 : 1); node++) {
            redisReply *fake = fakeredis_answer(t->session[node], 3, argv);
            redisReply *real = redisCommand(t->real[node], "SCRIPT LOAD %s", text);

            assert_string_equal(fake->str, real->str);
            snprintf(t->shas[i], sizeof(t->shas[i]), "%s", real->str);
            freeReplyObject(fake);
            freeReplyObject(real);
        }
    }
}

static void prepare(struct twins *t)
{
    char *info;

    make_cluster(t);
    make_fake(t);
    teach_scripts(t);
    info = redis_server_str(t->server[0], "INFO server");
    t->exact = strstr(info, "redis_version:7.0.") != NULL;
    free(info);
    t->slot = (unsigned)redis_server_int(t->server[0], "CLUSTER KEYSLOT %s", HOME);
    t->at = fakeredis_owner(t->cluster, SPAN(HOME));
    t->spare_slot = 1; /* no key of this test has it */
}

static void a_fake_cluster_answers_as_redis_does(void **state)
{
    struct twins *t = alloc_zeroed(1, sizeof(*t));

    (void)state;
    prepare(t);
    for (uint64_t seed = first; seed < first + histories; seed++)
        play_history(t, seed);
    for (size_t i = 0; i < array_len(t->said); i++)
        assert_true(t->said[i] > 10);
    for (int node = 0; node < 2; node++) {
        fakeredis_close(t->session[node]);
        redisFree(t->real[node]);
        redis_server_stop(t->server[node]);
        free(t->ids[node]);
    }
    fakeredis_free(t->fake);
    fakeredis_cluster_free(t->cluster);
    free(t);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fake_cluster_answers_as_redis_does),
    };

    if (argc > 1)
        histories = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        first = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
