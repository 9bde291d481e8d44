/* SPDX-License-Identifier: MIT */
#include "read_ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "keys.h"
#include "scripts.h"

#define TAKE_WORDS (4 + 3 * READ_N)

/* Without waiting for replicas, unlike client_ask. */
static int ask_ledger(struct client *c, size_t argc, const struct span *argv,
                      struct redisReply **out)
{
    int rc;

    client_send(c, argc, argv);
    rc = client_receive(c, out);
    return rc == 0 && reply_refused(*out) ? -EIO : rc;
}

static int take_refusal(struct client *c, const struct redisReply *r, struct read_refusal *why)
{
    struct span name = reply_text(reply_at(r, 1));

    if (reply_count(r) != 4)
        return client_distrust(c);
    for (int k = 0; k < READ_N; k++)
        if (span_is(name, read_names[k])) {
            *why = (struct read_refusal){.kind = (enum read_kind)k,
                                         .wait_ms = reply_u64(reply_at(r, 2)),
                                         .by_fastly = reply_u64(reply_at(r, 3)) == 1};
            return -EAGAIN;
        }
    return client_distrust(c);
}

int read_ledger_take(struct client *c, const struct config_account *a, enum read_kind k,
                     struct read_refusal *why)
{
    char *key = redis_key(a->name, "reads"), limits[READ_N][24], windows[READ_N][24];
    struct span argv[TAKE_WORDS] = {SPAN("EVAL"), span_str(scripts[SCRIPT_TAKE_READ].text),
                                    SPAN("1"), span_str(key)};
    struct redisReply *r;
    size_t argc = 4;
    int rc;

    for (int i = 0; i <= (int)k; i++) {
        snprintf(limits[i], sizeof(limits[i]), "%" PRIu64, read_limit(a, (enum read_kind)i));
        snprintf(windows[i], sizeof(windows[i]), "%" PRIu64, read_windows_ms[i]);
        argv[argc++] = span_str(read_names[i]);
        argv[argc++] = span_str(limits[i]);
        argv[argc++] = span_str(windows[i]);
    }
    rc = ask_ledger(c, argc, argv, &r);
    free(key);
    if (rc < 0)
        return rc;
    if (reply_count(r) == 1 && reply_u64(reply_at(r, 0)) == 1)
        return 0;
    return take_refusal(c, r, why);
}

int read_ledger_hold(struct client *c, const struct config_account *a, enum read_kind k,
                     uint64_t wait_ms)
{
    char *key = redis_key(a->name, "reads"), wait[24];
    struct redisReply *r;
    int rc;

    snprintf(wait, sizeof(wait), "%" PRIu64, wait_ms);
    rc = ask_ledger(c, 6,
                    (const struct span[]){SPAN("EVAL"), span_str(scripts[SCRIPT_HOLD_READS].text),
                                          SPAN("1"), span_str(key), span_str(read_names[k]),
                                          span_str(wait)},
                    &r);
    free(key);
    return rc;
}

/* -- looking -- */

void read_ledger_question(struct read_ledger_question *q, const char *account)
{
    q->key = redis_key(account, "reads");
    q->words[0] = SPAN("EVAL");
    q->words[1] = span_str(scripts[SCRIPT_LOOK_READS].text);
    q->words[2] = SPAN("1");
    q->words[3] = span_str(q->key);
    for (int k = 0; k < READ_N; k++) {
        snprintf(q->windows[k], sizeof(q->windows[k]), "%" PRIu64, read_windows_ms[k]);
        q->words[4 + 2 * k] = span_str(read_names[k]);
        q->words[5 + 2 * k] = span_str(q->windows[k]);
    }
}

void read_ledger_question_deinit(struct read_ledger_question *q)
{
    free(q->key);
}

int read_ledger_answer(const struct redisReply *r, struct read_use out[READ_N])
{
    if (reply_count(r) != 4 * READ_N)
        return -EIO;
    for (size_t k = 0; k < READ_N; k++)
        out[k] = (struct read_use){.used = reply_u64(reply_at(r, 4 * k)),
                                   .held_ms = reply_u64(reply_at(r, 4 * k + 1)),
                                   .total = reply_u64(reply_at(r, 4 * k + 2)),
                                   .refused = reply_u64(reply_at(r, 4 * k + 3))};
    return 0;
}

int read_ledger_look(struct client *c, const char *account, struct read_use out[READ_N])
{
    struct read_ledger_question q;
    struct redisReply *r;
    int rc;

    read_ledger_question(&q, account);
    rc = client_ask(c, array_len(q.words), q.words, &r);
    read_ledger_question_deinit(&q);
    if (rc == 0 && read_ledger_answer(r, out) < 0)
        return client_distrust(c);
    return rc;
}
