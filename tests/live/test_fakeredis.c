/* SPDX-License-Identifier: MIT
 * The fake Redis of tests/fakeredis against a real one: random histories of the commands and of all
 * scripts that purgeline sends, on the same clock, have the same answers and leave the same data.
 */
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
#include "fakeredis_answers.h"
#include "fakeredis_words.h"
#include "frozen_clock.h"
#include "redis_server.h"
#include "rng.h"
#include "scripts.h"

#define STEPS 4000

static uint64_t histories = 8, first = 1; /* or as the arguments say: how many, from which seed */

struct twins {
    struct redis_server *server;
    redisContext *real;
    struct fakeredis *fake;
    struct fakeredis_session *session;
    volatile uint64_t *now_us; /* both read it */
    char history[41];
    struct rng rng;
    uint64_t seed;
    unsigned step;
    bool full, refusing;
    bool exact;                     /* the real one is of the version that the fake one plays */
    unsigned carried_out[SCRIPT_N]; /* without an error */
    char ids[32][44];               /* of entries that were added lately */
    size_t ids_count;
    char digest[44]; /* of the last answer of lead.lua */
    size_t gone;
    char shas[SCRIPT_N][41];
};

static uint64_t fake_now(void *ctx)
{
    return *((const struct twins *)ctx)->now_us;
}

static uint64_t roll(struct twins *t, uint64_t below)
{
    return rng_below(&t->rng, below);
}

/* -- commands made of templates (fakeredis_words.h) -- */

static const char *any_key(struct twins *t)
{
    switch (roll(t, 5)) {
    case 0:
        return streams[roll(t, array_len(streams))];
    case 1:
        return zsets[roll(t, array_len(zsets))];
    case 2:
        return hashes[roll(t, array_len(hashes))];
    case 3:
        return lists[0];
    default:
        return texts[roll(t, array_len(texts))];
    }
}

static char *key(struct twins *t, const char *const *names, size_t count)
{
    return alloc_printf(P "%s", names && roll(t, 25) ? names[roll(t, count)] : any_key(t));
}

static char *entry_id(struct twins *t)
{
    if (t->ids_count && roll(t, 12))
        return alloc_str(t->ids[roll(t, min_u64(t->ids_count, array_len(t->ids)))]);
    return alloc_str(odd_ids[roll(t, array_len(odd_ids))]);
}

static char *number(struct twins *t)
{
    if (roll(t, 10) == 0)
        return alloc_str(odd_numbers[roll(t, array_len(odd_numbers))]);
    return alloc_printf("%" PRIu64, roll(t, roll(t, 2) ? 5 : 3000));
}

static char *bytes(struct twins *t)
{
    return alloc_str(some_bytes[roll(t, array_len(some_bytes))]);
}

static char *member(struct twins *t, const struct words *w)
{
    if (t->ids_count && roll(t, 2))
        return alloc_printf("%s-%s", lane_words[w->lane],
                            t->ids[roll(t, min_u64(t->ids_count, array_len(t->ids)))]);
    return alloc_str(some_members[roll(t, array_len(some_members))]);
}

static char *filled(struct twins *t, const struct words *w, char what)
{
    switch (what) {
    case 'k':
        return key(t, NULL, 0);
    case 's':
        return key(t, streams, array_len(streams));
    case 'z':
        return key(t, zsets, array_len(zsets));
    case 'h':
        return key(t, hashes, array_len(hashes));
    case 'l':
        return key(t, lists, array_len(lists));
    case 't':
        return key(t, texts, array_len(texts));
    case 'J':
        return key(t, (const char *const[]){streams[w->lane]}, 1);
    case 'L':
        return alloc_str(lane_words[w->lane]);
    case 'i':
        return entry_id(t);
    case 'n':
        return number(t);
    case 'c':
        return alloc_printf("%" PRIu64, *t->now_us / 1000 + roll(t, 3000) - 1000);
    case 'w':
        return bytes(t);
    case 'm':
        return member(t, w);
    case 'o':
        return alloc_str(roll(t, 4) ? "me" : "you");
    case 'D':
        return alloc_str(*t->digest ? t->digest : "none");
    case 'G':
        return alloc_printf("%zu", t->gone);
    default:
        fail_msg("a template has %%%c", what);
        return NULL;
    }
}

static void add_word(struct twins *t, struct words *w, struct span word)
{
    char *text, *whole;

    assert_true(w->count < WORDS_MAX);
    if (span_is(word, "_")) {
        whole = alloc_str("");
    } else if (word.n >= 2 && word.p[0] == '%') {
        text = filled(t, w, word.p[1]);
        whole = alloc_printf("%s%.*s", text, (int)word.n - 2, word.p + 2);
        free(text);
    } else if (word.n >= 3 && word.p[1] == '%' && word.p[0] == '(') {
        text = filled(t, w, word.p[2]);
        whole = alloc_printf("(%s", text);
        free(text);
    } else {
        whole = alloc_copy(word.p, word.n);
    }
    w->n[w->count] = strlen(whole);
    w->p[w->count++] = whole;
}

static void add_words(struct twins *t, struct words *w, const char *template)
{
    struct span rest = span_str(template), word;

    while (span_next_word(&rest, ' ', &word))
        add_word(t, w, word);
}

static void words_free(struct words *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->p[i]);
}

/* -- both answer -- */

static redisReply *ask_fake(struct twins *t, const struct words *w)
{
    struct span argv[WORDS_MAX];

    for (size_t i = 0; i < w->count; i++)
        argv[i] = span_of(w->p[i], w->n[i]);
    return fakeredis_answer(t->session, w->count, argv);
}

static int by_text(const void *a, const void *b)
{
    const redisReply *x = *(redisReply *const *)a, *y = *(redisReply *const *)b;

    return strcmp(x->str, y->str);
}

static bool is_texts(const redisReply *r)
{
    for (size_t i = 0; i < r->elements; i++)
        if (r->element[i]->type != REDIS_REPLY_STRING)
            return false;
    return r->type == REDIS_REPLY_ARRAY;
}

static void sort_texts(redisReply *r, size_t pair)
{
    if (r->type == REDIS_REPLY_ARRAY && r->elements && r->element[0]->str)
        qsort(r->element, r->elements / pair, pair * sizeof(*r->element), by_text);
}

/* The order of names is Redis' own affair; whose answer is which in a transaction is not known
 * here, so there all lists are sorted. */
static void sort_answer(const struct words *w, redisReply *r)
{
    if (strcmp(w->p[0], "KEYS") == 0)
        sort_texts(r, 1);
    else if (strcmp(w->p[0], "HGETALL") == 0)
        sort_texts(r, 2);
    else if (strcmp(w->p[0], "SCAN") == 0 && r->elements == 2)
        sort_texts(r->element[1], 1);
    for (size_t i = 0; strcmp(w->p[0], "EXEC") == 0 && i < r->elements; i++)
        if (is_texts(r->element[i]))
            sort_texts(r->element[i], 1);
}

static void show(const struct twins *t, const struct words *w)
{
    print_message("seed %" PRIu64 " step %u:", t->seed, t->step);
    for (size_t i = 0; i < w->count; i++)
        print_message(" %s%.200s", w->n[i] ? "" : "''", w->p[i]);
    print_message("\n");
}

/* The real one's answer, for the caller to free. */
static redisReply *both(struct twins *t, const struct words *w)
{
    redisReply *real = redisCommandArgv(t->real, (int)w->count, (const char **)w->p, w->n), *fake;
    struct buf real_text, fake_text;

    assert_non_null(real);
    fake = ask_fake(t, w);
    sort_answer(w, real);
    sort_answer(w, fake);
    buf_init(&real_text, (size_t)1 << 30);
    buf_init(&fake_text, (size_t)1 << 30);
    answer_render(t->exact, &real_text, real, 0);
    answer_render(t->exact, &fake_text, fake, 0);
    if (strcmp(real_text.p, fake_text.p) != 0) {
        show(t, w);
        fail_msg("a real Redis says\n%sand the fake one\n%s", real_text.p, fake_text.p);
    }
    buf_deinit(&real_text);
    buf_deinit(&fake_text);
    freeReplyObject(fake);
    return real;
}

static redisReply *play(struct twins *t, const char *template)
{
    struct words w = {.lane = (int)roll(t, 3)};
    redisReply *r;

    add_words(t, &w, template);
    r = both(t, &w);
    words_free(&w);
    return r;
}

/* -- plain commands -- */

static void learn_id(struct twins *t, const redisReply *r)
{
    if (r->type == REDIS_REPLY_STRING && strchr(r->str, '-') && r->len < (int)sizeof(t->ids[0]) &&
        r->str[0] >= '0' && r->str[0] <= '9')
        snprintf(t->ids[t->ids_count++ % array_len(t->ids)], sizeof(t->ids[0]), "%s", r->str);
}

/* Later versions lower a last id less far, watch keys in another way, and queue what needs no
 * memory when there is none. */
static bool differs(const struct twins *t, const char *template)
{
    return !t->exact && (strstr(template, "XSETID") || strstr(template, "WATCH") ||
                         (t->full && strstr(template, "MULTI")));
}

static void play_command(struct twins *t)
{
    const char *template = commands[roll(t, array_len(commands))];
    redisReply *r;

    if (differs(t, template))
        return;
    r = play(t, template);
    learn_id(t, r);
    freeReplyObject(r);
}

/* -- scripts -- */

static void learn_lead(struct twins *t, const redisReply *r)
{
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 8)
        return;
    t->gone = r->element[6]->elements;
    snprintf(t->digest, sizeof(t->digest), "%s", r->element[7]->str);
}

static redisReply *play_script(struct twins *t, enum script script, const char *template)
{
    const char *bar = strchr(template, '|');
    struct words w = {.lane = (int)roll(t, 3)};
    char *keys = alloc_copy(template, (size_t)(bar - template));
    redisReply *r;

    add_words(t, &w, "EVALSHA");
    add_word(t, &w, span_str(t->shas[script]));
    add_words(t, &w, "0");
    add_words(t, &w, keys);
    free(w.p[2]);
    w.p[2] = alloc_printf("%zu", w.count - 3);
    w.n[2] = strlen(w.p[2]);
    add_words(t, &w, bar + 1);
    r = both(t, &w);
    words_free(&w);
    free(keys);
    return r;
}

/* A large job that is to be made once: the three steps belong together. */
static void play_large_once(struct twins *t)
{
    static const char *const ends[] = {BULK_ONCE " | same 60 bulk", BULK_ONCE " | other 60 bulk"};
    redisReply *r;

    if (differs(t, "MULTI"))
        return;
    freeReplyObject(play(t, "MULTI"));
    freeReplyObject(play_script(t, SCRIPT_BEGIN_ONCE, P "jobs:bulk " P "once:b:before |"));
    freeReplyObject(play(t, "XADD " P "jobs:bulk * keys %w"));
    freeReplyObject(play_script(t, SCRIPT_END_ONCE, ends[roll(t, 2)]));
    r = play(t, "EXEC");
    if (r->type == REDIS_REPLY_ARRAY && r->elements == 3)
        t->carried_out[SCRIPT_END_ONCE] += r->element[2]->type == REDIS_REPLY_ARRAY;
    freeReplyObject(r);
}

static void play_any_script(struct twins *t)
{
    enum script script = (enum script)roll(t, SCRIPT_N);
    const char *template = script_templates[script][roll(t, 3)];
    redisReply *r;

    if (!template)
        template = script_templates[script][0];
    assert_non_null(template);
    if (!t->exact && script == SCRIPT_LOWER_LAST_ID)
        return;
    r = play_script(t, script, template);
    t->carried_out[script] += r->type != REDIS_REPLY_ERROR && r->type != REDIS_REPLY_STATUS;
    if (script == SCRIPT_LEAD)
        learn_lead(t, r);
    freeReplyObject(r);
}

/* -- what else happens -- */

static void change_conditions(struct twins *t)
{
    freeReplyObject(play(t, "DISCARD"));
    t->full = !t->full && roll(t, 3) == 0;
    t->refusing = !t->full && !t->refusing && roll(t, 6) == 0;
    redis_server_do(t->server, "CONFIG SET maxmemory %d", t->full);
    redis_server_do(t->server, "CONFIG SET min-replicas-to-write %d", t->refusing);
    fakeredis_set_full(t->fake,
                       t->full ? "OOM command not allowed when used memory > 'maxmemory'." : NULL);
    fakeredis_set_refusing(t->fake,
                           t->refusing ? "NOREPLICAS Not enough good replicas to write." : NULL);
}

static void pass_time(struct twins *t)
{
    static const uint64_t ms[] = {0, 0, 1, 1, 7, 700, 5000};
    uint64_t by_us = ms[roll(t, array_len(ms))] * 1000 + roll(t, 100);

    if (roll(t, 40)) {
        *t->now_us += by_us;
        return;
    }
    /* Somebody sets the clock back. What has expired is to be gone in both before, for each finds
     * that out when it looks at a key, and they need not look at the same ones. */
    freeReplyObject(play(t, "DISCARD"));
    freeReplyObject(play(t, "SCAN 0 COUNT 100000"));
    *t->now_us -= by_us;
}

static redisReply *ask_about(struct twins *t, const char *command, const char *name,
                             const char *more)
{
    char *template = alloc_printf("%s %s%s", command, name, more);
    redisReply *r = play(t, template);

    free(template);
    return r;
}

static void compare_key(struct twins *t, const char *name)
{
    static const struct {
        const char *kind, *command, *more;
    } content[] = {{"string", "GET", ""},
                   {"list", "LRANGE", " 0 -1"},
                   {"hash", "HGETALL", ""},
                   {"zset", "ZRANGE", " 0 -1 WITHSCORES"},
                   {"stream", "XRANGE", " - +"}};
    redisReply *kind = ask_about(t, "TYPE", name, "");

    for (size_t i = 0; i < array_len(content); i++)
        if (strcmp(kind->str, content[i].kind) == 0)
            freeReplyObject(ask_about(t, content[i].command, name, content[i].more));
    freeReplyObject(kind);
    freeReplyObject(ask_about(t, "PTTL", name, ""));
}

static void compare_data(struct twins *t)
{
    redisReply *keys;

    freeReplyObject(play(t, "DISCARD"));
    keys = play(t, "KEYS *");
    for (size_t i = 0; i < keys->elements; i++)
        compare_key(t, keys->element[i]->str);
    freeReplyObject(keys);
}

static void teach_scripts(struct twins *t)
{
    for (int i = 0; i < SCRIPT_N; i++) {
        struct words w = {.count = 3};
        redisReply *r;

        w.p[0] = alloc_str("SCRIPT");
        w.p[1] = alloc_str("LOAD");
        w.p[2] = alloc_str(scripts[i].text);
        for (size_t k = 0; k < w.count; k++)
            w.n[k] = strlen(w.p[k]);
        r = both(t, &w);
        assert_int_equal(r->len, 40);
        memcpy(t->shas[i], r->str, 41);
        freeReplyObject(r);
        words_free(&w);
    }
}

static void play_history(struct twins *t, uint64_t seed)
{
    t->rng.state = t->seed = seed;
    t->ids_count = t->gone = 0;
    freeReplyObject(play(t, "FLUSHALL"));
    for (t->step = 0; t->step < STEPS; t->step++) {
        pass_time(t);
        if (roll(t, 100) == 0)
            change_conditions(t);
        if (roll(t, 50) == 0)
            play_large_once(t);
        else if (roll(t, 2))
            play_command(t);
        else
            play_any_script(t);
        if (t->step % 50 == 49)
            compare_data(t);
    }
    t->full = t->refusing = true;
    change_conditions(t);
    compare_data(t);
}

/* Scripts write it down. */
static void take_history(struct twins *t)
{
    char *info = redis_server_str(t->server, "INFO replication");
    const char *at = strstr(info, "master_replid:");

    assert_non_null(at);
    snprintf(t->history, sizeof(t->history), "%.40s", at + strlen("master_replid:"));
    fakeredis_set_history(t->fake, t->history);
    free(info);
}

static void open_twins(struct twins *t, char folder[])
{
    char *path, *info;

    assert_non_null(mkdtemp(folder));
    path = alloc_printf("%s/clock", folder);
    t->now_us = frozen_clock_new(path, UINT64_C(1700000000000000));
    t->server = redis_server_start("--enable-debug-command", "yes");
    frozen_clock_begun();
    /* It would remove by itself what has expired, and keep it removed when the clock is set back.
     */
    redis_server_do(t->server, "DEBUG SET-ACTIVE-EXPIRE 0");
    info = redis_server_str(t->server, "INFO server");
    t->exact = strstr(info, "redis_version:7.0.") != NULL;
    free(info);
    t->real = redisConnectUnix(strchr(redis_server_unix_url(t->server), '/') + 2);
    assert_non_null(t->real);
    assert_int_equal(t->real->err, 0);
    t->fake = fakeredis_new(fake_now, t);
    take_history(t);
    t->session = fakeredis_open(t->fake, NULL, NULL, NULL);
    unlink(path);
    free(path);
    rmdir(folder);
}

static void close_twins(struct twins *t)
{
    fakeredis_close(t->session);
    fakeredis_free(t->fake);
    redisFree(t->real);
    redis_server_stop(t->server);
    frozen_clock_free(t->now_us);
}

static void the_fake_answers_as_redis_does(void **state)
{
    struct twins *t = alloc_zeroed(1, sizeof(*t));
    char folder[] = "/tmp/purgeline-test-XXXXXX";

    (void)state;
    open_twins(t, folder);
    teach_scripts(t);
    for (uint64_t seed = first; seed < first + histories; seed++)
        play_history(t, seed);
    for (int i = 0; i < SCRIPT_N; i++)
        if (t->carried_out[i] < histories && (t->exact || i != SCRIPT_LOWER_LAST_ID))
            fail_msg("%s was carried out only %u times", scripts[i].name, t->carried_out[i]);
    close_twins(t);
    free(t);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fake_answers_as_redis_does),
    };

    if (argc > 1)
        histories = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        first = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
