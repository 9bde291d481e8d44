/* SPDX-License-Identifier: MIT */
#include "weather.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "rng.h"

struct line {
    uint64_t ms, order;
    char *text;
};

struct making {
    struct rng rng;
    struct line *lines;
    size_t count;
    uint64_t length_ms; /* traffic and faults happen until then */
    bool two_accounts, all, second;
    bool redis_ahead; /* of the clocks, this one may be set forward */
    bool fails;       /* Redis loses its last writes ... */
    bool splits;      /* ... while it goes on answering some */
    bool replicas;    /* redis_replicas: 1 */
    uint64_t nodes;   /* of a Cluster; 0: one Redis */
    bool origin;      /* some jobs wait for it */
    bool verify;      /* some pages are looked at */
    uint64_t far_ms;
    uint64_t canary_period_s;
    uint32_t names; /* how many different keys */
    uint64_t per_s; /* the budget's window */
};

/* -- dice -- */

static uint64_t roll(struct making *m, uint64_t from, uint64_t to)
{
    return from + rng_below(&m->rng, to - from + 1);
}

static bool chance(struct making *m, uint32_t percent)
{
    return rng_below(&m->rng, 100) < percent;
}

static const char *one_of(struct making *m, const char *const *words, size_t n)
{
    return words[rng_below(&m->rng, n)];
}
#define ONE_OF(m, ...)                                                                             \
    one_of((m), (const char *const[]){__VA_ARGS__},                                                \
           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void at(struct making *m, uint64_t ms, const char *fmt, ...) print_like(3, 4);

static void at(struct making *m, uint64_t ms, const char *fmt, ...)
{
    char text[600];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    m->lines = alloc_grow(m->lines, m->count + 1, sizeof(*m->lines));
    m->lines[m->count] = (struct line){ms, m->count, alloc_str(text)};
    m->count++;
}

static uint64_t moment(struct making *m)
{
    return roll(m, 0, m->length_ms);
}

/* -- the settings -- */

static void take_line(struct story *s, const char *text)
{
    char err[200];

    if (story_add(s, 0, text, err, sizeof(err)) < 0)
        base_abort(err, __FILE__, __LINE__);
}

static void set(struct story *s, const char *name, const char *fmt, ...) print_like(3, 4);

static void set(struct story *s, const char *name, const char *fmt, ...)
{
    char value[64], text[128];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(value, sizeof(value), fmt, ap);
    va_end(ap);
    snprintf(text, sizeof(text), "config %s=%s", name, value);
    take_line(s, text);
}

static void set_number(struct making *m, struct story *s, const char *name, uint64_t from,
                       uint64_t to)
{
    set(s, name, "%" PRIu64, roll(m, from, to));
}

#define UNIT_MAX_S 60 /* a backlog must end while we watch */

/* Returns the window, in seconds. */
static uint64_t choose_budget(struct making *m, struct story *s)
{
    uint64_t budget = chance(m, 50) ? roll(m, 3, 40) : roll(m, 20, 400);
    uint64_t most_s = chance(m, 70) ? roll(m, 2, 60) : roll(m, 300, 900);
    uint64_t headroom = chance(m, 20) ? roll(m, 1, budget - 1) : 0;
    uint64_t per_s = min_u64(most_s, UNIT_MAX_S * (budget - headroom));

    set(s, "budget", "%" PRIu64, budget);
    set(s, "per_s", "%" PRIu64, per_s);
    set(s, "headroom", "%" PRIu64, headroom);
    set(s, "burst", "%" PRIu64, chance(m, 50) ? budget : roll(m, 1, budget));
    set(s, "batch_cost", "%s", ONE_OF(m, "key", "request"));
    set(s, "separate", "%s", ONE_OF(m, "false", "false", "true"));
    set_number(m, s, "writes", 1, 50);
    m->canary_period_s = max_u64(10, 1 + 40 * per_s / budget); /* a tenth of the budget, at most */
    return per_s;
}

static void choose_cluster(struct making *m, struct story *s, uint64_t seed)
{
    m->nodes = roll(m, 2, 3);
    m->fails = seed % 16 == 13;
    m->replicas = seed % 64 >= 48;
    set(s, "cluster", "%" PRIu64, m->nodes);
}

static void choose_proofs(struct making *m, struct story *s)
{
    m->origin = chance(m, 25);
    m->verify = chance(m, 25);
    if (m->origin) {
        set(s, "origins", "origin.example");
        set_number(m, s, "origin_asks_per_s", 1, 20);
    }
    if (m->origin && m->all && chance(m, 50))
        set(s, "purge_all_needs", "https://origin.example/health");
    if (!m->verify)
        return;
    set(s, "verify.share", "%" PRIu64, chance(m, 50) ? 0 : roll(m, 1, 1000));
    set_number(m, s, "verify.after_ms", 100, 4000);
    set_number(m, s, "verify.rounds", 1, 5);
    set_number(m, s, "verify.per_minute", 1, 600);
    set(s, "verify.probes", "%s", ONE_OF(m, "", "192.0.2.1", "192.0.2.1,192.0.2.2"));
}

static void choose_settings(struct making *m, struct story *s, uint64_t seed)
{
    uint64_t per_s;

    m->two_accounts = chance(m, 30);
    m->all = chance(m, 30);
    set(s, "seed", "%" PRIu64, seed);
    set(s, "receipts_in", "%s", seed % 8 == 3 ? "history" : "keys");
    set(s, "accounts", "%s",
        !m->two_accounts ? "main"
        : seed % 2       ? "main,other"
                         : "main,other,three,four,five"); /* so many share connections */
    per_s = m->per_s = choose_budget(m, s);
    set(s, "allow_purge_all", "%s", m->all ? "true" : "false");
    set(s, "key_form", "%s", ONE_OF(m, "header", "json"));
    set_number(m, s, "attempts", 3, 20);
    set_number(m, s, "window", 5, 500);
    set_number(m, s, "max_in_flight", 1, 64);
    set_number(m, s, "linger", 0, 20);
    set_number(m, s, "bulk_linger", 0, 200);
    set_number(m, s, "timeout", 500, 5000);
    m->far_ms = per_s * 1000 / 20; /* so long what nobody answered is waited for */
    if (m->far_ms > 10000)
        m->far_ms = 10000;
    m->redis_ahead = chance(m, 50);
    m->fails = seed % 4 == 3;
    m->replicas = m->fails && seed % 8 == 7;
    m->splits = m->fails && seed % 16 >= 8;
    if (seed % 8 == 5)
        choose_cluster(m, s, seed);
    if (m->replicas)
        set(s, "redis_replicas", "1");
    choose_proofs(m, s);
}

/* -- traffic -- */

static void put_repeat(struct making *m, char *out, size_t room)
{
    uint64_t ms = roll(m, 0, 20000);

    if (ms % 4 == 1)
        snprintf(out, room, " repeat_after=auto");
    else
        snprintf(out, room, " repeat_after=%" PRIu64 "ms", ms);
}

static void put_options(struct making *m, char *out, size_t room)
{
    size_t n = (size_t)snprintf(out, room, " service=%s lane=%s",
                                ONE_OF(m, "news", "news", "shop", "shop service=news"),
                                ONE_OF(m, "urgent", "normal", "normal", "bulk"));

    if (m->two_accounts && chance(m, 40))
        n += (size_t)snprintf(out + n, room - n, " account=other");
    if (chance(m, 10))
        n += (size_t)snprintf(out + n, room - n, " not_before=+%" PRIu64 "ms", roll(m, 1, 20000));
    if (chance(m, 10))
        put_repeat(m, out + n, room - n);
    n += strlen(out + n);
    if (chance(m, 10))
        n += (size_t)snprintf(out + n, room - n, " expires=+%" PRIu64 "ms", roll(m, 1, 30000));
    if (m->verify && chance(m, 20))
        n += (size_t)snprintf(out + n, room - n, " verify=https://%s/p%" PRIu64,
                              ONE_OF(m, "a.example", "B.example"), roll(m, 1, m->names));
    if (m->origin && chance(m, 20))
        n += (size_t)snprintf(out + n, room - n, " when=%s%" PRIu64 " within=%" PRIu64 "s",
                              ONE_OF(m, "", "body"), roll(m, 1, 9), roll(m, 1, 60));
    if (chance(m, 15))
        snprintf(out + n, room - n, " ref=r%" PRIu64, roll(m, 1, 99));
}

static void make_push(struct making *m)
{
    uint64_t first = roll(m, 1, m->names), ms = moment(m);
    uint64_t last = first + (chance(m, 30) ? roll(m, 1, 60) : roll(m, 0, 3));
    char options[200];

    put_options(m, options, sizeof(options));
    if (m->all && chance(m, 5))
        at(m, ms, "push all%s", options);
    else if (chance(m, m->verify ? 50 : 15))
        at(m, ms, "push url https://%s/p%" PRIu64 "%s%s", ONE_OF(m, "a.example", "B.example"),
           first, options,
           m->verify && !strstr(options, " verify") && chance(m, 50) ? " verify" : "");
    else if (chance(m, 4))
        at(m, ms, "push key bad-%" PRIu64 "%s", first, options);
    else if (chance(m, 3))
        at(m, ms, "push raw keys=x service=nosuch%" PRIu64, first);
    else
        at(m, ms, "push %skey k-{%" PRIu64 "..%" PRIu64 "}%s%s", chance(m, 50) ? "each " : "",
           first, last, options, chance(m, 15) ? " soft" : "");
    if (chance(m, 5))
        at(m, ms + roll(m, 0, 50), "cancel%s", ONE_OF(m, "", " told"));
}

/* What producers ask the endpoint. */
static void make_post(struct making *m)
{
    uint64_t first = roll(m, 1, m->names), last = first + roll(m, 0, 3), ms = moment(m);
    char options[200], *ref;

    put_options(m, options, sizeof(options));
    ref = strstr(options, " ref="); /* it has one already */
    if (ref)
        *ref = '\0';
    if (chance(m, 5))
        last = first + 500; /* too large for a script */
    at(m, ms, "post key k-{%" PRIu64 "..%" PRIu64 "}%s once=o%zu", first, last, options, m->count);
    if (chance(m, 20))
        at(m, ms + roll(m, 0, 3000), "%s", ONE_OF(m, "delete", "get"));
    if (chance(m, 20))
        at(m, ms, "http loses %s %" PRIu64, ONE_OF(m, "question", "answer"), roll(m, 1, 6));
    if (!m->fails && chance(m, 5))
        at(m, ms, "dead %s", ONE_OF(m, "retry", "retry", "drop"));
}

/* -- faults -- */

static void restart(struct making *m)
{
    const char *who = m->second && chance(m, 40) ? "second" : "first";
    uint64_t ms = moment(m);

    if (chance(m, 30)) {
        at(m, ms, "stop %s", who);
        at(m, ms + roll(m, 1, 15000), "start %s", who);
        return;
    }
    at(m, ms, "kill %s", who);
    at(m, ms + roll(m, 0, 3000), "start %s", who);
}

static void stop_for_a_while(struct making *m)
{
    const char *who = m->second && chance(m, 40) ? "second" : "first";
    uint64_t ms = moment(m);

    at(m, ms, "freeze %s", who);
    at(m, ms + (chance(m, 50) ? roll(m, 1, 3000) : roll(m, 9000, 20000)), "thaw %s", who);
}

static void trouble_redis(struct making *m)
{
    uint64_t ms = moment(m);

    switch (roll(m, 0, 5)) {
    case 0:
        at(m, ms, "redis away");
        at(m, ms + roll(m, 1, 15000), "redis back");
        break;
    case 1:
        at(m, ms, "redis disk full");
        at(m, ms + roll(m, 1, 5000), "redis disk free");
        break;
    case 2:
        at(m, ms, "redis memory full");
        at(m, ms + roll(m, 1, 5000), "redis memory free");
        break;
    case 3:
        at(m, ms, "redis slow %" PRIu64 "ms", roll(m, 0, 300));
        break;
    default:
        at(m, ms, "redis loses %s %" PRIu64, ONE_OF(m, "question", "answer"), roll(m, 1, 12));
    }
}

static void trouble_fastly(struct making *m)
{
    uint64_t ms = moment(m);

    switch (roll(m, 0, 8)) {
    case 0:
        at(m, ms, "fastly refuses");
        at(m, ms + roll(m, 1, 5000), "fastly accepts");
        break;
    case 1:
        at(m, ms, "fastly token bad");
        at(m, ms + roll(m, 1, 5000), "fastly token good");
        break;
    case 2:
        at(m, ms, "fastly unknown %s", ONE_OF(m, "news", "shop"));
        at(m, ms + roll(m, 1, 3000), "fastly unknown nothing");
        break;
    case 3:
        at(m, ms, "fastly far %" PRIu64 "ms", roll(m, 0, m->far_ms));
        break;
    case 4:
        at(m, ms, "fastly next %s times=%" PRIu64,
           ONE_OF(m, "429", "429 retry-after=2", "429 reset=3", "429 retry-at=+4s", "503",
                  "503 retry-after=1", "reset", "silent", "garbled", "408", "409", "200 omits=2",
                  "401", "413"),
           roll(m, 1, 6));
        break;
    case 5:
        at(m, ms, "fastly allows %" PRIu64 " per=%" PRIu64 "s", roll(m, 5, 100), roll(m, 1, 20));
        break;
    case 6:
        at(m, ms, "fastly limit %" PRIu64 "%s", roll(m, 1, 100), ONE_OF(m, "", " untold"));
        break;
    default:
        at(m, ms,
           "fastly weather 429=%" PRIu64 " 503=%" PRIu64 " omit=%" PRIu64 " reset=%" PRIu64
           " silent=%" PRIu64 " hint=500",
           roll(m, 0, 200), roll(m, 0, 200), roll(m, 0, 200), roll(m, 0, 100), roll(m, 0, 50));
    }
}

/* The origin gets new versions, and now and then it is down. */
static void move_origin(struct making *m)
{
    uint64_t ms = moment(m);

    for (uint64_t version = 2; version < 10; version++)
        at(m, roll(m, version * m->length_ms / 10, m->length_ms), "origin shows %" PRIu64, version);
    for (uint64_t count = roll(m, 0, 3); count; count--, ms = moment(m)) {
        bool silent = chance(m, 50);

        at(m, ms, "origin %s", silent ? "silent" : "refuses");
        at(m, ms + roll(m, 1, 15000), "origin %s", silent ? "answers" : "accepts");
    }
    at(m, m->length_ms + 20000, "origin answers");
    at(m, m->length_ms + 20000, "origin accepts");
}

static void move_pops(struct making *m)
{
    for (uint64_t count = roll(m, 0, 5); count; count--)
        at(m, moment(m), "pop P%" PRIu64 " %s times=%" PRIu64, roll(m, 0, 2),
           ONE_OF(m, "deaf", "deaf", "503", "silent", "404", "302"), roll(m, 1, 6));
    for (uint64_t count = roll(m, 0, 20); count; count--)
        at(m, moment(m), "visit https://%s/p%" PRIu64 " pop=P%" PRIu64,
           ONE_OF(m, "a.example", "B.example"), roll(m, 1, m->names), roll(m, 0, 2));
    if (chance(m, 30))
        at(m, moment(m), "pop P%" PRIu64 " serves-stale", roll(m, 0, 2));
}

static void move_canaries(struct making *m, struct story *s)
{
    static const char *const pages[] = {"main/news", "main/shop", "other/news"};
    size_t count = m->two_accounts ? 3 : 2;

    set(s, "canaries", "%s",
        m->two_accounts ? "main/news,main/shop,other/news" : "main/news,main/shop");
    set(s, "canaries_every_s", "%" PRIu64, m->canary_period_s);
    for (uint64_t n = roll(m, 0, 4); n; n--)
        at(m, moment(m), "page https://canary.example/%s %s", pages[roll(m, 0, count - 1)],
           ONE_OF(m, "key=another", "service=another", "urls=dead", "urls=alive"));
    for (uint64_t n = roll(m, 0, 3); n; n--)
        at(m, moment(m), "pop P0 %s times=%" PRIu64,
           ONE_OF(m, "deaf", "deaf", "503", "silent", "404", "302"), roll(m, 1, 6));
    if (chance(m, 30))
        at(m, moment(m), "reload canaries=%s", ONE_OF(m, "", "main/shop", "main/shop,main/news"));
}

/* Who sets both forward while nobody leads deceives everybody. */
static void set_a_clock(struct making *m)
{
    bool redis = !m->fails && chance(m, 50), forward = redis == m->redis_ahead && chance(m, 60);

    at(m, moment(m), "%sclock %s%" PRIu64 "s", redis ? "redis " : "", forward ? "+" : "-",
       roll(m, 1, 600));
}

/* Somebody changes appendfsync, once or more, while Redis runs. */
static void change_fsync(struct making *m)
{
    for (uint64_t count = roll(m, 1, 6); count; count--)
        at(m, moment(m), "redis syncs %s", ONE_OF(m, "always", "everysec"));
}

/* At most what LEDGER_LOSS_MS says is lost, and not twice in a row; with a replica, any time since
 * it has confirmed something. */
static void fail_redis(struct making *m)
{
    uint64_t ms = roll(m, 6000, 12000);

    for (uint64_t count = roll(m, 1, 3); count; count--, ms += roll(m, 4000, 20000)) {
        uint64_t loses = m->replicas ? roll(m, 0, 5000) : roll(m, 0, 900);

        if (m->replicas && chance(m, 40)) {
            at(m, ms - roll(m, 0, 3000), "redis replica away");
            at(m, ms + roll(m, 0, 6000), "redis replica back");
        }
        if (chance(m, 40))
            at(m, ms, "%s", ONE_OF(m, "kill first", "freeze first"));
        at(m, ms, "redis fails loses=%" PRIu64 "ms", loses);
        at(m, ms + (chance(m, 70) ? roll(m, 0, 2000) : roll(m, 2000, 15000)), "redis back");
        at(m, ms + roll(m, 0, 15000), "thaw first");
        at(m, ms + roll(m, 0, 15000), "start first");
    }
}

/* The master goes on answering some of its clients, while another one is elected. */
static void split_redis(struct making *m)
{
    uint64_t ms = roll(m, 4000, 12000), loses = m->replicas ? roll(m, 0, 5000) : roll(m, 0, 900);

    if (m->replicas && chance(m, 30)) {
        at(m, ms - roll(m, 0, 3000), "redis replica away");
        at(m, ms + roll(m, 0, 6000), "redis replica back");
    }
    at(m, ms, "redis splits with=%s loses=%" PRIu64 "ms",
       ONE_OF(m, "first", "second", "endpoint", "first,endpoint", "first,second",
              "first,second,endpoint"),
       loses);
    at(m, ms + roll(m, 0, 12000), "redis back");
    if (chance(m, 30))
        at(m, ms + roll(m, 0, 15000), "%s", ONE_OF(m, "kill first", "freeze first"));
    if (chance(m, 80))
        at(m, ms + (chance(m, 50) ? roll(m, 0, 2000) : roll(m, 2000, 60000)), "redis heals");
    at(m, ms + roll(m, 0, 60000), "thaw first");
    at(m, ms + roll(m, 0, 60000), "start first");
}

static char any_node(struct making *m)
{
    return (char)('a' + roll(m, 0, m->nodes - 1));
}

/* Slots are moved; and sometimes there is no quorum for a while, or a node is lost. */
static void trouble_cluster(struct making *m)
{
    uint64_t ms = moment(m);
    char node = any_node(m);

    for (uint64_t count = roll(m, 1, 6); count; count--)
        at(m, moment(m), "redis moves to=%c in=%" PRIu64 " over=%" PRIu64 "ms%s", any_node(m),
           roll(m, 0, 4), chance(m, 50) ? roll(m, 0, 1000) : roll(m, 0, 20000),
           m->two_accounts && chance(m, 50) ? " account=other" : "");
    if (chance(m, 40)) {
        at(m, ms, "redis cluster down");
        at(m, ms + roll(m, 1, 20000), "redis cluster up");
    }
    if (chance(m, 40)) {
        ms = moment(m);
        at(m, ms, "redis node %c lost", node);
        at(m, ms + roll(m, 1, 15000), "redis node %c back", node);
    }
}

/* With other settings, while purges are on their way. */
static void reload(struct making *m)
{
    uint64_t least = max_u64(m->per_s / UNIT_MAX_S, 1), budget = roll(m, max_u64(least, 3), 200);
    const char *only = m->second && chance(m, 40) ? ONE_OF(m, " only=first", " only=second") : "";

    switch (roll(m, 0, 13)) {
    case 0:
    case 1:
        at(m, moment(m), "reload%s budget=%" PRIu64 " burst=%" PRIu64 " headroom=%" PRIu64, only,
           budget, roll(m, 1, budget), chance(m, 30) ? roll(m, 0, budget - least) : 0);
        break;
    case 2:
        at(m, moment(m), "reload max_in_flight=%" PRIu64 " linger=%" PRIu64, roll(m, 1, 64),
           roll(m, 0, 20));
        break;
    case 3:
        at(m, moment(m), "reload attempts=%" PRIu64, roll(m, 3, 20));
        break;
    case 4:
        at(m, moment(m), "reload%s batch_cost=%s", only, ONE_OF(m, "key", "request"));
        break;
    case 5:
        at(m, moment(m), "reload%s separate=%s", only, ONE_OF(m, "true", "false"));
        break;
    case 6:
        at(m, moment(m), "reload%s services=shop,news key_form=%s", only,
           ONE_OF(m, "header", "json"));
        break;
    case 7:
        at(m, moment(m), "reload receipts_in=%s", ONE_OF(m, "keys", "history"));
        break;
    case 8:
        at(m, moment(m), "reload%s timeout=%" PRIu64 " writes=%" PRIu64, only, roll(m, 500, 4000),
           roll(m, 1, 50));
        break;
    case 9:
        at(m, moment(m), "reload urgent_linger=%" PRIu64 " bulk_linger=%" PRIu64, roll(m, 0, 50),
           roll(m, 0, 2000));
        break;
    default:
        at(m, moment(m), "reload");
    }
}

static void make_trouble(struct making *m)
{
    switch (roll(m, 0, 9)) {
    case 0:
    case 1:
        restart(m);
        break;
    case 2:
        stop_for_a_while(m);
        break;
    case 3:
        set_a_clock(m);
        break;
    case 4:
        reload(m);
        break;
    case 5:
    case 6:
        trouble_redis(m);
        break;
    default:
        trouble_fastly(m);
    }
}

/* -- together -- */

static void begin(struct making *m)
{
    at(m, 0, "fastly poison bad");
    at(m, 0, "fastly answers after=%" PRIu64 "ms to=%" PRIu64 "ms", roll(m, 0, 20),
       roll(m, 20, 400));
    if (chance(m, 70))
        at(m, 0, "redis slow %" PRIu64 "us", roll(m, 1, 5000));
    at(m, 0, "start first host=a");
    m->second = chance(m, m->splits ? 90 : 40);
    if (m->second)
        at(m, roll(m, 0, 2000), "start second host=%s", ONE_OF(m, "a", "b"));
}

static int compare(const void *pa, const void *pb)
{
    const struct line *a = pa, *b = pb;

    if (a->ms != b->ms)
        return a->ms < b->ms ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

void weather_story(uint64_t seed, struct story *out)
{
    struct making m = {.rng = {seed * UINT64_C(0x9E3779B97F4A7C15) + 7}};
    uint64_t pushes, troubles;

    story_init(out, "weather.sim");
    choose_settings(&m, out, seed);
    m.length_ms = roll(&m, 1000, 40000);
    m.names = (uint32_t)roll(&m, 1, 100);
    begin(&m);
    pushes = roll(&m, 1, 40);
    troubles = roll(&m, 0, 12);
    for (uint64_t i = 0; i < pushes; i++)
        chance(&m, 15) ? make_post(&m) : make_push(&m);
    for (uint64_t i = 0; i < troubles; i++)
        make_trouble(&m);
    if (m.origin)
        move_origin(&m);
    if (m.verify)
        move_pops(&m);
    if (m.nodes)
        trouble_cluster(&m);
    if (m.splits)
        split_redis(&m);
    else if (m.fails)
        fail_redis(&m);
    else if (seed % 8 == 1 || seed % 8 == 4)
        change_fsync(&m);
    if (seed % 8 == 2 || seed % 8 == 6)
        move_canaries(&m, out);
    qsort(m.lines, m.count, sizeof(*m.lines), compare);
    for (size_t i = 0; i < m.count; i++) {
        char *text = alloc_printf("%" PRIu64 "ms %s", m.lines[i].ms, m.lines[i].text);

        take_line(out, text);
        out->steps[out->count - 1].line = (int)i + 2;
        free(text);
        free(m.lines[i].text);
    }
    free(m.lines);
}
