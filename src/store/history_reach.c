/* SPDX-License-Identifier: MIT */
#include "history_reach.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc.h"
#include "keys.h"
#include "replicated.h"
#include "scripts.h"

void history_reach_question(struct history_reach_question *q, const char *account)
{
    q->key = redis_key(account, "history");
    q->words[0] = SPAN("EVAL");
    q->words[1] = span_str(scripts[SCRIPT_LOOK_HISTORY].text);
    q->words[2] = SPAN("1");
    q->words[3] = span_str(q->key);
}

void history_reach_question_deinit(struct history_reach_question *q)
{
    free(q->key);
}

struct history_reach history_reach_answer(const struct redisReply *r)
{
    int64_t age_ms = reply_number(reply_at(r, 2));

    if (!r || reply_refused(r) || reply_count(r) != 3)
        return (struct history_reach){.known = false};
    return (struct history_reach){.known = true,
                                  .entries = reply_u64(reply_at(r, 0)),
                                  .jobs = reply_u64(reply_at(r, 1)),
                                  .oldest_ms = age_ms > 0 ? (uint64_t)age_ms : 0};
}

int history_reach_look(struct client *c, const char *account, struct history_reach *out)
{
    struct history_reach_question q;
    struct redisReply *r;
    int rc;

    history_reach_question(&q, account);
    rc = client_ask(c, array_len(q.words), q.words, &r);
    history_reach_question_deinit(&q);
    *out = history_reach_answer(rc == 0 ? r : NULL);
    return rc == -EIO ? 0 : rc;
}
