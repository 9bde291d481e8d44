/* SPDX-License-Identifier: MIT */
#include "read_ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "keys.h"
#include "scripts.h"

#define TAKE_WORDS (4 + 4 * READ_N)

static struct span number_word(uint64_t n, char word[24])
{
    snprintf(word, 24, "%" PRIu64, n);
    return span_str(word);
}

/* Without waiting for replicas, unlike client_ask. */
static int ask_ledger(struct client *c, size_t argc, const struct span *argv,
                      struct redisReply **out)
{
    int rc;

    client_send(c, argc, argv);
    rc = client_receive(c, out);
    return rc == 0 && reply_refused(*out) ? -EIO : rc;
}

int read_ledger_answer_to_take(const struct redisReply *r, struct read_refusal *why)
{
    struct span name = reply_text(reply_at(r, 1));

    if (reply_count(r) == 1 && reply_u64(reply_at(r, 0)) == 1)
        return 0;
    for (int k = 0; k < READ_N; k++)
        if (span_is(name, read_names[k])) {
            *why = (struct read_refusal){.kind = (enum read_kind)k,
                                         .wait_ms = reply_u64(reply_at(r, 2)),
                                         .by_fastly = reply_u64(reply_at(r, 3)) == 1};
            return -EAGAIN;
        }
    return -EIO;
}

int read_ledger_take(struct client *c, const struct config_account *a, enum read_kind k,
                     struct read_refusal *why)
{
    char *key = redis_key(a->name, "reads"), numbers[READ_N][3][24];
    enum read_kind kinds[READ_N];
    size_t count = read_kinds_of(k, kinds);
    struct span argv[TAKE_WORDS] = {SPAN("EVAL"), span_str(scripts[SCRIPT_TAKE_READ].text),
                                    SPAN("1"), span_str(key)};
    struct redisReply *r;
    size_t argc = 4;
    int rc;

    for (size_t i = 0; i < count; i++) {
        const uint64_t values[3] = {read_limit(a, kinds[i]), read_windows_ms[kinds[i]],
                                    read_hold_max_ms[kinds[i]]};

        argv[argc++] = span_str(read_names[kinds[i]]);
        for (size_t n = 0; n < array_len(values); n++)
            argv[argc++] = number_word(values[n], numbers[i][n]);
    }
    rc = ask_ledger(c, argc, argv, &r);
    free(key);
    if (rc == 0)
        rc = read_ledger_answer_to_take(r, why);
    else
        return rc;
    return rc == -EIO ? client_distrust(c) : rc;
}

int read_ledger_hold(struct client *c, const struct config_account *a, enum read_kind k,
                     uint64_t wait_ms)
{
    char *key = redis_key(a->name, "reads"), numbers[2][24];
    struct redisReply *r;
    int rc;

    rc = ask_ledger(c, 7,
                    (const struct span[]){SPAN("EVAL"), span_str(scripts[SCRIPT_HOLD_READS].text),
                                          SPAN("1"), span_str(key), span_str(read_names[k]),
                                          number_word(wait_ms, numbers[0]),
                                          number_word(read_hold_max_ms[k], numbers[1])},
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
        q->words[4 + 3 * k] = span_str(read_names[k]);
        q->words[5 + 3 * k] = number_word(read_windows_ms[k], q->numbers[k][0]);
        q->words[6 + 3 * k] = number_word(read_hold_max_ms[k], q->numbers[k][1]);
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
