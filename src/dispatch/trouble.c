/* SPDX-License-Identifier: MIT
 *
 *   refused ──▶ unsaid ──examined──▶ said ──accepted, or not heard of for a while──▶ gone
 *                  └── capacity, permission: nothing to examine ──▲
 */
#include "trouble.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "log.h"
#include "redis_error.h"

#define ITEMS_MAX 48
#define LASTS_NS (2 * NS_PER_S)      /* a shorter refusal is no trouble */
#define UNHEARD_NS (20 * NS_PER_S)   /* longer than the pause before any command is repeated */
#define SAY_AGAIN_NS (60 * NS_PER_S) /* minimum between logs when the words of Redis change */

const char *const trouble_names[TROUBLE_N] = {
    [TROUBLE_REFUSED] = "refused", [TROUBLE_KEY] = "key",           [TROUBLE_EVICTS] = "evicts",
    [TROUBLE_FULL] = "full",       [TROUBLE_ENDPOINT] = "endpoint",
};

struct item { /* unused if since_ns is 0 */
    enum trouble_kind kind;
    uint64_t id; /* unique in its kind: the command, or a hash of the key */
    uint64_t since_ns, heard_ns, said_ns;
    bool said, silent; /* silent: another item reports the same */
    bool mute;         /* logged only after the keys were examined */
    enum redis_error error;
    char words[200]; /* as received from Redis */
    char what[300];  /* a printable sentence */
    const char *remedy;
};

struct trouble {
    char *account;      /* its own: a reload replaces the configuration */
    struct item *items; /* allocated with the first one: most accounts never have any */
    size_t items_count; /* 0, or ITEMS_MAX */
};

/* An error of Redis as a whole: it is the same trouble whichever command met it. */
static bool is_of_server(enum redis_error e)
{
    return e == REDIS_ERROR_BUSY || redis_error_is_full(e);
}

/* Whether a key of the account may be the cause. */
static bool is_of_key(enum redis_error e)
{
    return !is_of_server(e) && e != REDIS_ERROR_NOPERM;
}

struct trouble *trouble_new(const char *account)
{
    struct trouble *t = alloc_zeroed(1, sizeof(*t));

    t->account = alloc_str(account);
    return t;
}

void trouble_free(struct trouble *t)
{
    if (!t)
        return;
    free(t->items);
    free(t->account);
    free(t);
}

void trouble_forget(struct trouble *t)
{
    free(t->items);
    t->items = NULL;
    t->items_count = 0;
}

/* -- saying -- */

static void say(struct trouble *t, struct item *i, uint64_t now_ns)
{
    if (i->said && now_ns < i->said_ns + SAY_AGAIN_NS)
        return;
    i->mute = false;
    i->said = true;
    i->said_ns = now_ns;
    if (!i->silent)
        log_error(i->what, "account=%s remedy=\"%s\"", t->account, i->remedy);
}

static void end(struct trouble *t, struct item *i, uint64_t now_ns)
{
    char what[340];

    if (i->said && !i->silent) {
        snprintf(what, sizeof(what), "No longer: %s", i->what);
        log_info(what, "account=%s lasted_s=%" PRIu64, t->account,
                 (now_ns - i->since_ns) / NS_PER_S);
    }
    *i = (struct item){0};
}

/* -- items -- */

static struct item *find_item(struct trouble *t, enum trouble_kind kind, uint64_t id)
{
    for (size_t n = 0; n < t->items_count; n++)
        if (t->items[n].since_ns && t->items[n].kind == kind && t->items[n].id == id)
            return &t->items[n];
    return NULL;
}

/* Adds an item. If there is no room, it replaces the item not heard of for the longest time. */
static struct item *new_item(struct trouble *t, enum trouble_kind kind, uint64_t id,
                             uint64_t now_ns)
{
    struct item *at;

    if (!t->items) {
        t->items = alloc_zeroed(ITEMS_MAX, sizeof(*t->items));
        t->items_count = ITEMS_MAX;
    }
    at = &t->items[0];
    for (size_t n = 0; n < t->items_count && at->since_ns; n++)
        if (t->items[n].heard_ns < at->heard_ns || !t->items[n].since_ns)
            at = &t->items[n];
    *at = (struct item){
        .kind = kind, .id = id, .since_ns = max_u64(now_ns, 1), .heard_ns = now_ns, .remedy = ""};
    return at;
}

static bool told_by_another(const struct trouble *t, const struct item *new)
{
    for (size_t n = 0; n < t->items_count; n++) {
        const struct item *i = &t->items[n];

        if (i == new || !i->since_ns || i->kind != TROUBLE_REFUSED || i->silent)
            continue;
        if (is_of_server(new->error) ? i->error == new->error
                                     : strstr(i->words, new->words) != NULL)
            return true;
    }
    return false;
}

bool trouble_refused(struct trouble *t, const struct queue_refusal *r, uint64_t now_ns)
{
    enum redis_error e = redis_error_of(r->words);
    struct item *i = find_item(t, TROUBLE_REFUSED, r->question);
    char shown[200];
    bool news = !i || strncmp(i->words, r->words, sizeof(i->words) - 1) != 0;

    if (!i)
        i = new_item(t, TROUBLE_REFUSED, r->question, now_ns);
    i->heard_ns = now_ns;
    if (!news)
        return false;
    snprintf(i->words, sizeof(i->words), "%s", r->words);
    log_quote(shown, sizeof(shown), i->words, strlen(i->words));
    if (e == REDIS_ERROR_UNREPLICATED)
        snprintf(i->what, sizeof(i->what),
                 "No job is accepted and none sent until more replicas of Redis follow: %s", shown);
    else
        snprintf(i->what, sizeof(i->what), "Redis refuses to %s: %s", r->doing, shown);
    i->error = e;
    i->remedy = redis_error_advice(is_of_key(e) ? REDIS_ERROR_WRONGTYPE : e);
    i->silent = told_by_another(t, i);
    i->mute = is_of_key(e);
    if (!i->mute)
        say(t, i, now_ns);
    return i->mute;
}

void trouble_accepted(struct trouble *t, uint64_t question, uint64_t now_ns)
{
    struct item *i = find_item(t, TROUBLE_REFUSED, question);

    if (i)
        end(t, i, now_ns);
}

/* -- keys -- */

static uint64_t id_of(const struct queue_fault *f)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (const char *p = f->key; *p; p++)
        hash = (hash ^ (unsigned char)*p) * UINT64_C(1099511628211);
    return hash;
}

static void take_fault(struct trouble *t, const struct queue_fault *f, uint64_t now_ns)
{
    struct item *i = find_item(t, TROUBLE_KEY, id_of(f));
    bool news = !i || strcmp(i->words, f->what) != 0;

    if (!i)
        i = new_item(t, TROUBLE_KEY, id_of(f), now_ns);
    i->heard_ns = now_ns;
    if (!news)
        return;
    snprintf(i->words, sizeof(i->words), "%s", f->what);
    snprintf(i->what, sizeof(i->what), "The key %s %s", f->key, f->what);
    i->remedy = "purgeline check --repair shows what would mend it, and asks";
    say(t, i, now_ns);
}

void trouble_examined(struct trouble *t, int err, const struct queue_fault *faults, size_t count,
                      uint64_t now_ns)
{
    for (size_t n = 0; n < count; n++)
        take_fault(t, &faults[n], now_ns);
    for (size_t n = 0; n < t->items_count; n++) {
        struct item *i = &t->items[n];

        if (i->since_ns && i->kind == TROUBLE_KEY && err == 0 && i->heard_ns != now_ns)
            end(t, i, now_ns);
        if (!i->since_ns || !i->mute)
            continue;
        i->silent = i->silent || count > 0; /* the broken key is reported instead */
        say(t, i, now_ns);
    }
}

/* -- the server -- */

static void set(struct trouble *t, enum trouble_kind kind, bool is, uint64_t now_ns,
                const char *remedy, const char *what)
{
    struct item *i = find_item(t, kind, 0);

    if (!is && i)
        end(t, i, now_ns);
    if (!is)
        return;
    if (!i)
        i = new_item(t, kind, 0, now_ns);
    i->heard_ns = now_ns;
    snprintf(i->what, sizeof(i->what), "%s", what);
    i->remedy = remedy;
    if (!i->said)
        say(t, i, now_ns);
}

void trouble_server(struct trouble *t, const struct queue_server *s, uint64_t now_ns)
{
    char what[200];

    snprintf(what, sizeof(what),
             "This Redis may evict jobs (maxmemory-policy %s); nothing is dispatched until it is "
             "told not to",
             s->maxmemory_policy);
    set(t, TROUBLE_EVICTS, s->maxmemory_policy[0] && strcmp(s->maxmemory_policy, "noeviction") != 0,
        now_ns, "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf", what);
    snprintf(what, sizeof(what),
             "Redis is at its maxmemory (%" PRIu64
             " bytes): it takes no new jobs; those it has are dispatched",
             s->maxmemory);
    set(t, TROUBLE_FULL, s->full, now_ns, "raise Redis' maxmemory or free memory", what);
}

/* -- asking -- */

uint64_t trouble_tick(struct trouble *t, uint64_t now_ns)
{
    uint64_t next = NEVER;

    for (size_t n = 0; n < t->items_count; n++) {
        struct item *i = &t->items[n];

        if (!i->since_ns || i->kind != TROUBLE_REFUSED)
            continue;
        if (now_ns >= i->heard_ns + UNHEARD_NS)
            end(t, i, now_ns);
        else
            next = min_u64(next, i->heard_ns + UNHEARD_NS);
    }
    return next;
}

static bool lasts(const struct item *i, uint64_t now_ns)
{
    return i->since_ns && (i->kind != TROUBLE_REFUSED || now_ns >= i->since_ns + LASTS_NS);
}

bool trouble_now(const struct trouble *t, uint64_t now_ns, char *why, size_t room)
{
    const struct item *worst = NULL;

    for (size_t n = 0; n < t->items_count; n++) {
        const struct item *i = &t->items[n];

        /* A named key says more than the commands that failed because of it. */
        if (lasts(i, now_ns) && (!worst || i->kind > worst->kind))
            worst = i;
    }
    if (worst)
        snprintf(why, room, "%s (%s)", worst->what, worst->remedy);
    return worst != NULL;
}

bool trouble_has(const struct trouble *t, enum trouble_kind kind, uint64_t now_ns)
{
    for (size_t n = 0; n < t->items_count; n++)
        if (t->items[n].kind == kind && lasts(&t->items[n], now_ns))
            return true;
    return false;
}
