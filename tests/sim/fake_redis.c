/* SPDX-License-Identifier: MIT */
#include "fake_redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "engine.h"
#include "fake_cluster.h"
#include "fake_link.h"
#include "fakeio_internal.h"
#include "journal.h"
#include "keys.h"

#define OOM "OOM command not allowed when used memory > 'maxmemory'."
#define DISK_FULL                                                                                  \
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to "  \
    "disk."
#define WRONG_TYPE "WRONGTYPE Operation against a key holding the wrong kind of value"
#define NAMES_MAX 8

struct fake_redis_weather fake_redis_weather;

/* What a story calls a question, and the scripts and commands that it consists of. */
static const struct {
    const char *question;
    const char *names[NAMES_MAX];
} questions[] = {
    {"server", {"INFO"}},     {"lead", {"lead"}},
    {"release", {"release"}}, {"read", {"XREAD"}},
    {"depth", {"depth"}},     {"settle", {"drop", "purged", "settle", "oversized", "end_large"}},
    {"due", {"due"}},         {"spend", {"spend"}},
    {"restore", {"restore"}},
};

static struct {
    struct fakeredis *redis;
    struct fakeredis_session *hand;
    struct redisReply *reply; /* lent out */
    bool memory_full, disk_full, refuses[array_len(questions)];
    char policy[32], fsync[16];
    char *broken_key;
    char *only; /* the hash tag of the account whose questions are refused; NULL: of all */
    /* -- its replica -- */
    bool may_fail;      /* it has one, and keeps a journal */
    bool replica_away;  /* which then follows no longer */
    uint64_t confirmed; /* commands that the replica has said it has */
    uint64_t failures;
    uint64_t replay_us;                      /* 0: nothing is being replayed */
    char histories[4][JOURNAL_HISTORY_ROOM]; /* of the last failures; a master that is cut off keeps
                                                its own */
    /* -- two masters -- */
    struct fakeredis *cut_off; /* NULL: there is only one */
    uint32_t with;             /* its clients: FAKE_REDIS_WITH */
} fr;

static uint64_t now_us(void *ctx)
{
    (void)ctx;
    return fr.replay_us ? fr.replay_us : engine_redis_ms() * 1000;
}

void fake_redis_begin(void)
{
    memset(&fr, 0, sizeof(fr));
    fake_redis_weather = (struct fake_redis_weather){0};
    fr.redis = fakeredis_new(now_us, NULL);
    fr.hand = fakeredis_open(fr.redis, NULL, NULL, NULL);
    journal_begin();
    fakeio_forget();
    fakeio_serve(fr.redis);
    fake_link_begin();
    ends_begin_all(fr.redis);
}

static void take_back(void);

/* -- failures that lose the last writes -- */

void fake_redis_may_fail(void)
{
    fr.may_fail = true;
    fake_redis_set_fsync("everysec");
    fakeredis_set_replicas(fr.redis, 0, 1);
}

void fake_redis_set_replica_away(bool away)
{
    fr.replica_away = away;
}

bool fake_redis_replica_follows(void)
{
    return fr.may_fail && !fr.replica_away;
}

bool fake_redis_replica_has(uint64_t commands)
{
    return commands <= fr.confirmed;
}

void fake_redis_confirm(uint64_t commands)
{
    fr.confirmed = max_u64(fr.confirmed, commands);
}

static bool is_journaled(const char *name)
{
    static const char *const reads[] = {"XREAD", "XRANGE", "INFO", "CONFIG",  "CLIENT", "WAIT",
                                        "ROLE",  "PING",   "TIME", "examine", "depth",  "lanes"};

    for (size_t i = 0; i < array_len(reads); i++)
        if (strcmp(reads[i], name) == 0)
            return false;
    return fr.may_fail;
}

static void note(const struct fakeredis_session *s, const char *name, size_t argc,
                 const struct span *argv)
{
    const struct journal_at when = {.now_ns = engine_now_ns(),
                                    .redis_us = now_us(NULL),
                                    .full = fr.memory_full ? OOM : NULL,
                                    .refusing = fr.disk_full ? DISK_FULL : NULL,
                                    .session = fr.failures << 32 | fakeredis_number(s),
                                    .failures = fr.failures};

    if (is_journaled(name))
        journal_note(&when, argc, argv);
}

/* One that has only those commands is the master now. */
static void promote(uint64_t commands)
{
    char *to;

    fr.redis = fakeredis_new(now_us, NULL);
    journal_replay(fr.redis, commands, &fr.replay_us);
    fr.replay_us = 0;
    fr.failures++;
    to = fr.histories[fr.failures % array_len(fr.histories)];
    journal_history(fr.failures, to);
    fakeredis_set_history(fr.redis, to);
    fake_redis_may_fail();
    fakeredis_set_full(fr.redis, fr.memory_full ? OOM : NULL);
    fakeredis_set_refusing(fr.redis, fr.disk_full ? DISK_FULL : NULL);
    if (*fr.policy)
        fakeredis_set_policy(fr.redis, fr.policy);
    ends_look_at(fr.redis);
    fr.hand = fakeredis_open(fr.redis, NULL, NULL, NULL);
}

static uint64_t count_kept(uint64_t loses_ns)
{
    uint64_t kept = max_u64(fr.confirmed, journal_count_by(engine_now_ns() - loses_ns));

    trace("redis: its last %llu commands are lost", (unsigned long long)(journal_count() - kept));
    return kept;
}

uint64_t fake_redis_fail(uint64_t loses_ns)
{
    struct fakeredis *before;
    uint64_t kept;

    must(fr.may_fail);
    fake_redis_leave();
    kept = count_kept(loses_ns);
    take_back();
    fakeredis_close(fr.hand);
    before = fr.redis;
    promote(kept);
    fake_cluster_adopt(fr.redis, before);
    fakeredis_free(before);
    return kept;
}

/* -- two masters -- */

uint64_t fake_redis_split(uint64_t loses_ns, uint32_t with)
{
    uint64_t kept;

    must(fr.may_fail && !fr.cut_off);
    fr.with = with;
    fake_redis_leave();
    kept = count_kept(loses_ns);
    take_back();
    fakeredis_close(fr.hand);
    fr.cut_off = fr.redis;
    fake_link_replica_is_gone();
    promote(kept);
    return kept;
}

void fake_redis_join(void)
{
    if (!fr.cut_off)
        return;
    fake_link_break_cut_off("the master has become a replica");
    take_back();
    fakeredis_free(fr.cut_off);
    fr.cut_off = NULL;
    fr.with = 0;
}

bool fake_redis_cut_off(int instance)
{
    return fr.with & FAKE_REDIS_WITH(instance);
}

struct fakeredis *fake_redis_of(int instance)
{
    return fake_redis_cut_off(instance) ? fr.cut_off : fr.redis;
}

static void take_back(void)
{
    if (fr.reply)
        freeReplyObject(fr.reply);
    fr.reply = NULL;
}

void fake_redis_end(void)
{
    fake_redis_join();
    take_back();
    fakeio_serve(NULL);
    fakeio_forget();
    fakeredis_close(fr.hand);
    fakeredis_free(fr.redis);
    free(fr.broken_key);
    free(fr.only);
    journal_end();
    memset(&fr, 0, sizeof(fr));
}

struct fakeredis *fake_redis(void)
{
    return fr.redis;
}

/* -- the network -- */

uint64_t fake_redis_delay(void)
{
    const struct fake_redis_weather *w = &fake_redis_weather;

    if (w->latency_max_ns <= w->latency_min_ns)
        return w->latency_min_ns;
    return w->latency_min_ns + rng_below(engine_rng(), w->latency_max_ns - w->latency_min_ns);
}

void fake_redis_leave(void)
{
    fake_redis_weather.away = true;
    fakeio_serve(NULL);
    fake_link_break_all("Redis went away");
}

void fake_redis_return(void)
{
    fake_redis_weather.away = false;
    fakeio_serve(fr.redis);
}

/* -- what it refuses -- */

void fake_redis_set_memory(enum redis_state s)
{
    fr.memory_full = s == REDIS_FULL;
    fakeredis_set_full(fr.redis, fr.memory_full ? OOM : NULL);
}

bool fake_redis_memory_full(void)
{
    return fr.memory_full;
}

void fake_redis_set_disk(enum redis_state s)
{
    fr.disk_full = s == REDIS_FULL;
    fakeredis_set_refusing(fr.redis, fr.disk_full ? DISK_FULL : NULL);
}

void fake_redis_set_policy(const char *policy)
{
    snprintf(fr.policy, sizeof(fr.policy), "%s", policy);
    fakeredis_set_policy(fr.redis, fr.policy);
}

void fake_redis_set_fsync(const char *appendfsync)
{
    snprintf(fr.fsync, sizeof(fr.fsync), "%s", appendfsync);
    fakeredis_set_fsync(fr.redis, fr.fsync);
}

void fake_redis_refuse_only(const char *account)
{
    free(fr.only);
    fr.only = alloc_printf("{%s}", account);
}

static void refuse_all(void)
{
    free(fr.only);
    fr.only = NULL;
}

static bool set_refused(const char *question, bool refuses)
{
    for (size_t i = 0; i < array_len(questions); i++) {
        if (strcmp(questions[i].question, question) != 0)
            continue;
        fr.refuses[i] = refuses;
        return true;
    }
    return false;
}

bool fake_redis_refuse(const char *question, const char *account, const char *key)
{
    free(fr.broken_key);
    fr.broken_key = key ? redis_key(account, key) : NULL;
    return set_refused(question, true);
}

bool fake_redis_accept(const char *question)
{
    free(fr.broken_key);
    fr.broken_key = NULL;
    return set_refused(question, false);
}

void fake_redis_heal(void)
{
    fake_redis_join();
    fake_redis_return();
    fake_cluster_heal();
    fr.replica_away = false;
    fake_redis_weather = (struct fake_redis_weather){0};
    fake_redis_set_memory(REDIS_WELL);
    fake_redis_set_disk(REDIS_WELL);
    fake_redis_set_policy("noeviction");
    memset(fr.refuses, 0, sizeof(fr.refuses));
    refuse_all();
    free(fr.broken_key);
    fr.broken_key = NULL;
}

static bool is_about(const char *tag, size_t argc, const struct span *argv)
{
    for (size_t i = 0; i < argc; i++)
        if (memmem(argv[i].p, argv[i].n, tag, strlen(tag)))
            return true;
    return false;
}

static bool is_refused(const char *name, size_t argc, const struct span *argv)
{
    if (fr.only && !is_about(fr.only, argc, argv))
        return false;
    for (size_t i = 0; i < array_len(questions); i++)
        for (size_t k = 0; fr.refuses[i] && k < NAMES_MAX && questions[i].names[k]; k++)
            if (strcmp(questions[i].names[k], name) == 0)
                return true;
    return false;
}

/* -- commands -- */

void fake_redis_name(size_t argc, const struct span *argv, char out[FAKE_REDIS_NAME])
{
    const char *script = fakeio_script(argc, argv);
    struct span name = *script ? span_str(script) : argv[0];
    size_t n = (size_t)min_u64(name.n, FAKE_REDIS_NAME - 1);

    memcpy(out, name.p, n);
    out[n] = '\0';
}

static void say_broken(struct buf *out)
{
    static const char what[] = "holds a string where something else belongs";

    buf_printf(out, "*2\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(fr.broken_key), fr.broken_key,
               strlen(what), what);
}

/* What a node of a Cluster has not carried out is not in its journal; a transaction ends there.
 * Each node has scripts of its own, while who replays the journal has those of all nodes. */
static void take_from_journal(const char *name, enum ends_asker asker, const struct buf *answer)
{
    static const char *const redirects[] = {"-MOVED ",       "-ASK ",       "-TRYAGAIN ",
                                            "-CLUSTERDOWN ", "-EXECABORT ", "-NOSCRIPT "};
    bool redirected = false;

    if (!fake_cluster_is() || !is_journaled(name) || asker == ENDS_DAEMON_CUT_OFF)
        return;
    for (size_t i = 0; i < array_len(redirects); i++)
        redirected |= answer->n && strncmp(answer->p, redirects[i], strlen(redirects[i])) == 0;
    if (redirected)
        journal_replace_last(strcmp(name, "EXEC") == 0 ? SPAN("DISCARD") : SPAN("PING"));
}

void fake_redis_run(struct fakeredis_session *s, const char *name, enum ends_asker asker,
                    size_t argc, const struct span *argv, struct buf *out)
{
    if (is_refused(name, argc, argv)) {
        buf_printf(out, "-%s\r\n", WRONG_TYPE);
        return;
    }
    if (fr.broken_key && strcmp(name, "examine") == 0 &&
        (!fr.only || is_about(fr.only, argc, argv))) {
        say_broken(out);
        return;
    }
    ends_begin(name, asker, argc, argv);
    if (asker == ENDS_DAEMON || asker == ENDS_API)
        note(s, name, argc, argv);
    fakeredis_run(s, argc, argv, out);
    take_from_journal(name, asker, out);
    fakeio_learn(argc, argv, out);
    ends_finish();
}

/* -- by hand -- */

struct redisReply *fake_redis_ask(size_t argc, const struct span *argv)
{
    struct buf out;
    char name[FAKE_REDIS_NAME];

    take_back();
    buf_init(&out, (size_t)1 << 40);
    fake_redis_name(argc, argv, name);
    note(fr.hand, name, argc, argv);
    fakeredis_run(fr.hand, argc, argv, &out);
    fr.reply = fakeio_reply(&out);
    buf_deinit(&out);
    return fr.reply;
}

struct redisReply *fake_redis_ask_cut_off(size_t argc, const struct span *argv)
{
    struct fakeredis_session *s = fakeredis_open(fr.cut_off, NULL, NULL, NULL);
    struct buf out;

    take_back();
    buf_init(&out, (size_t)1 << 40);
    fakeredis_run(s, argc, argv, &out);
    fr.reply = fakeio_reply(&out);
    buf_deinit(&out);
    fakeredis_close(s);
    return fr.reply;
}

struct redisReply *fake_redis_say(const char *fmt, ...)
{
    struct span rest, argv[16];
    char words[400];
    size_t argc = 0;
    va_list ap;

    va_start(ap, fmt);
    must((size_t)vsnprintf(words, sizeof(words), fmt, ap) < sizeof(words));
    va_end(ap);
    rest = span_str(words);
    while (argc < array_len(argv) && span_next_word(&rest, ' ', &argv[argc]))
        argc++;
    return fake_redis_ask(argc, argv);
}
