/* SPDX-License-Identifier: MIT */
#include "act.h"

#include <jansson.h>
#include <stdlib.h>

#include "json_text.h"
#include "keys.h"
#include "queue.h"
#include "scripts.h"

#define ARGS_BEFORE_FIELDS 8

bool act_is_noted(const struct actor *who)
{
    return who->account->history_jobs > 0;
}

json_t *act_line(const struct actor *who, const char *act)
{
    return json_pack("{soso}", "act", json_text_of(act), "by", json_text_of(who->by));
}

static const char *history_arg(const struct config_account *a, char text[QUEUE_HISTORY_ROOM])
{
    const struct queue_keep keep = {a->receipt_ttl_s, a->history_jobs, a->history_ttl_s,
                                    a->receipts_in == RECEIPTS_IN_HISTORY};

    return queue_history_arg(&keep, text);
}

int act_set(struct client *c, const struct actor *who, json_t *line, const char *hash,
            const char *const *fields)
{
    char *key = redis_key(who->account->name, "history"), *text = json_text_line(line);
    char *size = redis_key(who->account->name, "history:size"), past[QUEUE_HISTORY_ROOM];
    const char *words[ARGS_BEFORE_FIELDS + ACT_FIELDS_MAX + 1] = {
        "EVAL", scripts[SCRIPT_ACT].text,        "3", key, size,
        hash,   history_arg(who->account, past), text};
    struct redisReply *reply;
    int rc;

    for (size_t i = 0; fields[i]; i++) {
        must(i < ACT_FIELDS_MAX);
        words[ARGS_BEFORE_FIELDS + i] = fields[i];
    }
    rc = client_ask_words(c, words, &reply);
    free(key);
    free(size);
    free(text);
    json_decref(line);
    return rc;
}

void act_note(struct client *c, const struct actor *who, json_t *line)
{
    char *key = redis_key(who->account->name, "history"), *text = json_text_line(line);
    char *size = redis_key(who->account->name, "history:size"), past[QUEUE_HISTORY_ROOM];
    const struct span argv[] = {
        SPAN("EVAL"),   span_str(scripts[SCRIPT_ACT].text),        SPAN("2"),     span_str(key),
        span_str(size), span_str(history_arg(who->account, past)), span_str(text)};
    struct redisReply *reply;
    int ignored;

    client_send(c, array_len(argv), argv);
    ignored = client_receive(c, &reply);
    (void)ignored;
    free(key);
    free(size);
    free(text);
    json_decref(line);
}
