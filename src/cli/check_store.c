/* SPDX-License-Identifier: MIT */
#include "check_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "check_say.h"
#include "log.h"
#include "rediskey.h"
#include "repair.h"

/* -- keys -- */

#define SCANS_MAX 400u /* of 5,000 keys each: two million, a few seconds */

/* What stands in the account's part of Redis under these names is ours. */
static bool is_ours(struct span name)
{
    static const char *const prefixes[] = {"receipt:", "once:", "probe"};
    static const char *const whole[] = {"status"};

    for (size_t i = 0; i < array_len(prefixes); i++)
        if (name.n >= strlen(prefixes[i]) && memcmp(name.p, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    for (size_t i = 0; i < QUEUE_EXAMINED; i++)
        if (span_is(name, queue_examined_keys[i]))
            return true;
    return span_is(name, whole[0]);
}

/* A Redis answers only with keys that begin as it was asked. */
static void judge_orphan(const struct report *r, struct span key, struct span prefix)
{
    struct span name;
    char shown[256];

    if (key.n < prefix.n || !span_eq(span_of(key.p, prefix.n), prefix))
        return;
    name = span_of(key.p + prefix.n, key.n - prefix.n);
    if (is_ours(name))
        return;
    log_quote(shown, sizeof(shown), key.p, key.n);
    if (name.n > 7 && memcmp(name.p, "broken:", 7) == 0)
        check_say(r, CHECK_WARN, "look into it; DEL it when nothing in it is missed",
                  "%s was set aside by a repair", shown);
    else
        check_say(r, CHECK_WARN, "if nobody needs it: DEL", "%s is no key of purgeline", shown);
}

static void judge_orphans(const struct report *r, struct client *c)
{
    char *prefix = rediskey(r->account, ""), *pattern = alloc_printf("%s*", prefix);
    char cursor[32] = "0";
    struct redisReply *reply;

    for (unsigned n = 0; n < SCANS_MAX; n++) {
        const struct redisReply *keys;

        if (client_ask_words(
                c, (const char *const[]){"SCAN", cursor, "MATCH", pattern, "COUNT", "5000", NULL},
                &reply) < 0)
            break; /* not permitted, as it need not be */
        keys = reply_at(reply, 1);
        for (size_t i = 0; i < reply_count(keys); i++)
            judge_orphan(r, reply_text(reply_at(keys, i)), span_str(prefix));
        snprintf(cursor, sizeof(cursor), "%s", reply_text(reply_at(reply, 0)).p);
        if (strcmp(cursor, "0") == 0)
            break;
    }
    free(prefix);
    free(pattern);
}

void check_keys(struct client *c, const struct config_account *a, check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .account = a->name, .subject = "keys"};
    struct queue_fault faults[QUEUE_FAULTS_MAX];
    size_t count;
    int rc = repair_find(c, a->name, faults, &count);

    if (rc < 0) {
        check_say(&r, CHECK_WARN, "permit EVAL", "the keys cannot be examined: %s",
                  client_error(c));
        return;
    }
    for (size_t i = 0; i < count; i++)
        check_say(&r, CHECK_FAIL, "purgeline check --repair shows what would mend it, and asks",
                  "%s %s", faults[i].key, faults[i].what);
    if (count == 0)
        check_say(&r, CHECK_OK, "", "the account's keys in Redis are sound");
    judge_orphans(&r, c);
}

/* -- permissions -- */

/* One command for each rule, such that it changes nothing: KEY is a key of the account that does
 * not exist, or one that expires within a second; CHANNEL the account's channel. Redis asks for
 * permission before it looks at anything else, in scripts as well, so an answer other than NOPERM
 * is a yes. ACL DRYRUN would tell the same, but only administrators may use it. */
static const struct need {
    const char *rule;
    const char *words[9];
} needs[] = {
    {"+info", {"INFO", "server"}},
    {"+time", {"TIME"}},
    {"+eval", {"EVAL", "return 1", "0"}},
    {"+evalsha", {"EVALSHA", "0000000000000000000000000000000000000000", "0"}},
    {"+script|load", {"SCRIPT", "LOAD", "return 1"}},
    {"+type", {"TYPE", "KEY"}},
    {"+exists", {"EXISTS", "KEY"}},
    {"+get", {"GET", "KEY"}},
    {"+mget", {"MGET", "KEY"}},
    {"+set", {"SET", "KEY", "", "XX"}},
    {"+setrange", {"SETRANGE", "KEY", "0", ""}},
    {"+pexpire", {"PEXPIRE", "KEY", "1000"}},
    {"+expire", {"EXPIRE", "KEY", "1"}},
    {"+pttl", {"PTTL", "KEY"}},
    {"+hget", {"HGET", "KEY", "f"}},
    {"+hmget", {"HMGET", "KEY", "f"}},
    {"+hdel", {"HDEL", "KEY", "f"}},
    {"+hlen", {"HLEN", "KEY"}},
    {"+hstrlen", {"HSTRLEN", "KEY", "f"}},
    {"+lrange", {"LRANGE", "KEY", "0", "0"}},
    {"+ltrim", {"LTRIM", "KEY", "0", "-1"}},
    {"+xadd", {"XADD", "KEY", "NOMKSTREAM", "*", "f", ""}},
    {"+xdel", {"XDEL", "KEY", "0-1"}},
    {"+xlen", {"XLEN", "KEY"}},
    {"+xrange", {"XRANGE", "KEY", "-", "+", "COUNT", "1"}},
    {"+xrevrange", {"XREVRANGE", "KEY", "+", "-", "COUNT", "1"}},
    {"+xread", {"XREAD", "COUNT", "1", "STREAMS", "KEY", "0"}},
    {"+xtrim", {"XTRIM", "KEY", "MINID", "0"}},
    {"+xinfo|stream", {"XINFO", "STREAM", "KEY"}},
    {"+xinfo|groups", {"XINFO", "GROUPS", "KEY"}},
    {"+xgroup|create", {"XGROUP", "CREATE", "KEY", "purgeline", "$"}}, /* refused: no such key */
    {"+xgroup|setid", {"XGROUP", "SETID", "KEY", "purgeline", "$"}},
    {"+xclaim", {"XCLAIM", "KEY", "purgeline", "look", "0", "0-1", "JUSTID"}},
    {"+xack", {"XACK", "KEY", "purgeline", "0-1"}},
    {"+memory|usage", {"MEMORY", "USAGE", "KEY"}},
    {"+zadd", {"ZADD", "KEY", "XX", "1", "m"}},
    {"+zrem", {"ZREM", "KEY", "m"}},
    {"+zscore", {"ZSCORE", "KEY", "m"}},
    {"+zrange", {"ZRANGE", "KEY", "0", "0"}},
    {"+zrangebyscore", {"ZRANGEBYSCORE", "KEY", "0", "0"}},
    {"+zcard", {"ZCARD", "KEY"}},
    {"+publish", {"PUBLISH", "CHANNEL", ""}},
    /* These write: into KEY, which has a second left to live, or is deleted at once. */
    {"+setex", {"SETEX", "KEY", "1", "x"}},
    {"+del", {"DEL", "KEY"}},
    {"+hset", {"HSET", "KEY", "f", ""}},
    {"+del", {"DEL", "KEY"}},
    {"+rpush", {"RPUSH", "KEY", "x"}},
    {"+del", {"DEL", "KEY"}},
    {"+multi", {"MULTI"}},
    {"+exec", {"EXEC"}}, /* after a MULTI that is refused: another error, so a yes */
    /* The last one: from then on the connection is good for nothing else. */
    {"+subscribe", {"SUBSCRIBE", "CHANNEL"}},
};

static bool may(struct client *c, const struct need *n, const char *key, const char *channel)
{
    const char *words[10] = {NULL};
    struct redisReply *reply;

    for (size_t i = 0; i < array_len(n->words) && n->words[i]; i++) {
        words[i] = n->words[i];
        if (strcmp(words[i], "KEY") == 0)
            words[i] = key;
        else if (strcmp(words[i], "CHANNEL") == 0)
            words[i] = channel;
    }
    return client_ask_words(c, words, &reply) != -EIO || strncmp(client_error(c), "NOPERM", 6) != 0;
}

void check_permissions(struct client *c, const struct config_account *a, check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .account = a->name, .subject = "permissions"};
    char *key = rediskey(a->name, "probe"), *channel = rediskey(a->name, "settled");
    char *rules = alloc_str(""), *remedy;

    for (size_t i = 0; i < array_len(needs); i++) {
        char *more;

        if (may(c, &needs[i], key, channel) || strstr(rules, needs[i].rule))
            continue;
        more = alloc_printf("%s %s", rules, needs[i].rule);
        free(rules);
        rules = more;
    }
    remedy =
        alloc_printf("ACL SETUSER <user> ~purgeline:* &purgeline:*%s; deploy/redis-acl.conf has "
                     "all the rules",
                     rules);
    if (*rules)
        check_say(&r, CHECK_FAIL, remedy, "Redis does not permit its user, or not on these keys:%s",
                  rules);
    else
        check_say(&r, CHECK_OK, "", "Redis permits all that purgeline does");
    free(remedy);
    free(rules);
    free(key);
    free(channel);
}
