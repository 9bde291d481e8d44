/* SPDX-License-Identifier: MIT */
#include "permissions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "keys.h"
#include "redis_error.h"

/* One command for each rule, chosen so that it changes nothing. KEY is a key of the account that
 * does not exist, or one that expires within a second; CHANNEL is the account's channel. Redis
 * checks permissions before anything else, in scripts as well, so any answer other than NOPERM
 * means that the rule is granted. ACL DRYRUN would tell the same, but only administrators may use
 * it. */
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
    {"+hgetall", {"HGETALL", "KEY"}},
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
    /* These write, but only into KEY, which expires within a second or is deleted at once. */
    {"+setex", {"SETEX", "KEY", "1", "x"}},
    {"+del", {"DEL", "KEY"}},
    {"+hset", {"HSET", "KEY", "f", ""}},
    {"+del", {"DEL", "KEY"}},
    {"+rpush", {"RPUSH", "KEY", "x"}},
    {"+del", {"DEL", "KEY"}},
    {"+multi", {"MULTI"}},
    {"+exec", {"EXEC"}}, /* if MULTI was refused, another error than NOPERM: granted */
    /* The last command. Afterwards the connection is useless for anything else. */
    {"+subscribe", {"SUBSCRIBE", "CHANNEL"}},
};
/* Only with redis_replicas. */
static const struct need replicas_need = {"+wait", {"WAIT", "0", "1"}};

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
    return client_ask_words(c, words, &reply) != -EIO ||
           redis_error_of(client_error(c)) != REDIS_ERROR_NOPERM;
}

char *permissions_missing(struct client *c, const char *account, uint32_t replicas)
{
    char *key = redis_key(account, "probe"), *channel = redis_key(account, "settled");
    char *rules = alloc_str(replicas && !may(c, &replicas_need, key, channel) ? " +wait" : "");

    for (size_t i = 0; i < array_len(needs); i++) {
        char *more;

        if (may(c, &needs[i], key, channel) || strstr(rules, needs[i].rule))
            continue;
        more = alloc_printf("%s %s", rules, needs[i].rule);
        free(rules);
        rules = more;
    }
    free(key);
    free(channel);
    return rules;
}
