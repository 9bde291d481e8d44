/* SPDX-License-Identifier: MIT */
#include "orphans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "keys.h"
#include "queue.h"

#define SCANS_MAX 400u /* of 5,000 keys each: two million keys, which take a few seconds */

struct search {
    struct span prefix; /* of the account's keys */
    orphans_cb *cb;
    void *ctx;
};

/* True if a key with this name under the account's prefix belongs to purgeline. */
static bool is_ours(struct span name)
{
    static const char *const prefixes[] = {"receipt:", "once:", "history:", "probe"};
    static const char *const whole[] = {"status", "instances", "consumers"};

    for (size_t i = 0; i < array_len(prefixes); i++)
        if (name.n >= strlen(prefixes[i]) && memcmp(name.p, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    for (size_t i = 0; i < QUEUE_EXAMINED; i++)
        if (span_is(name, queue_examined_keys[i]))
            return true;
    for (size_t i = 0; i < array_len(whole); i++)
        if (span_is(name, whole[i]))
            return true;
    return false;
}

/* Ignores keys without the prefix, which a faulty Redis might return. */
static void judge_key(const struct search *s, struct span key)
{
    struct span name;

    if (key.n < s->prefix.n || !span_eq(span_of(key.p, s->prefix.n), s->prefix))
        return;
    name = span_of(key.p + s->prefix.n, key.n - s->prefix.n);
    if (is_ours(name))
        return;
    s->cb(s->ctx,
          name.n > 7 && memcmp(name.p, "broken:", 7) == 0 ? ORPHAN_SET_ASIDE : ORPHAN_STRANGE, key);
}

void orphans_find(struct client *c, const char *account, orphans_cb *cb, void *ctx)
{
    char *prefix = redis_key(account, ""), *pattern = alloc_printf("%s*", prefix);
    struct search s = {span_str(prefix), cb, ctx};
    char cursor[32] = "0";
    struct redisReply *reply;

    for (unsigned n = 0; n < SCANS_MAX; n++) {
        const struct redisReply *keys;

        if (client_ask_words(
                c, (const char *const[]){"SCAN", cursor, "MATCH", pattern, "COUNT", "5000", NULL},
                &reply) < 0)
            break; /* not permitted, and need not be */
        keys = reply_at(reply, 1);
        for (size_t i = 0; i < reply_count(keys); i++)
            judge_key(&s, reply_text(reply_at(keys, i)));
        snprintf(cursor, sizeof(cursor), "%s", reply_text(reply_at(reply, 0)).p);
        if (strcmp(cursor, "0") == 0)
            break;
    }
    free(prefix);
    free(pattern);
}
