/* SPDX-License-Identifier: MIT
 * What the witness knows of the history: each job that ends has one line in it, with the id that
 * Fastly gave to its purge; and if that is the job's receipt, the script that looks for receipts
 * finds it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "engine.h"
#include "fake_redis.h"
#include "reply.h"
#include "scripts.h"
#include "witness_internal.h"

static struct span value_of(const struct fakeredis_entry *e, const char *name)
{
    for (size_t i = 0; i + 1 < e->count; i += 2)
        if (span_is(e->fields[i], name))
            return e->fields[i + 1];
    return SPAN("");
}

/* The text between `before`, with which the line must begin, and the next quotation mark. */
static struct span quoted(struct span line, const char *before)
{
    size_t n = strlen(before), length = 0;

    if (line.n < n || memcmp(line.p, before, n) != 0)
        return SPAN("");
    while (n + length < line.n && line.p[n + length] != '"')
        length++;
    return span_of(line.p + n, length);
}

/* A pause that the story set, or dead letters that it retried or dropped (store/act.h). */
static bool is_act(struct span line)
{
    return quoted(line, "{\"act\":\"").n > 0;
}

/* Whether this may be the id of the job's purge. */
static bool is_id_of(const struct job *j, struct span id)
{
    bool may_be_none = false;

    for (size_t i = 0; i < j->targets_count; i++) {
        const struct target *t = j->targets[i], *cover = j->covers[i];
        char wanted[64];

        snprintf(wanted, sizeof(wanted), FAKE_PURGE_ID "%" PRIu64, t->number);
        if (span_is(id, wanted))
            return true;
        may_be_none |= t->all || (cover && cover->any_ns);
    }
    return !id.n && may_be_none;
}

/* A job that ended as purged has the id that Fastly gave to the purge of one of its targets. */
static void check_id(const struct job *j, struct span line)
{
    static const char before[] = ",\"id\":\"";
    const char *at = memmem(line.p, line.n, before, strlen(before));
    struct span rest = at ? span_of(at, line.n - (size_t)(at - line.p)) : SPAN("");
    struct span id = quoted(rest, before);

    if (!is_id_of(j, id))
        engine_fail("the history says that job %s was purged with the id \"%.*s\"", j->id,
                    (int)id.n, id.p);
}

static void take_line(const char *account, struct span line, bool unsure)
{
    struct span id = quoted(line, "{\"job\":\""), state;
    struct job *j = witness_job(account, id);
    const struct account *a = witness_account(account);

    if (!id.n && !is_act(line))
        engine_fail("this line of the history names no job: %.*s", (int)line.n, line.p);
    if (!j || (unsure && j->lines))
        return;
    j->lines++;
    state =
        quoted(span_of(id.p + id.n, line.n - (size_t)(id.p + id.n - line.p)), "\",\"state\":\"");
    if (span_is(state, outcome_names[OUTCOME_PURGED]))
        check_id(j, line);
    if (!a->receipts_in_history || j->receipts)
        return;
    j->receipts++;
    j->receipt_in_history = true;
    snprintf(j->receipt, sizeof(j->receipt), "%.*s", (int)state.n, state.p);
}

void witness_history(const char *account, const struct fakeredis_entry *e)
{
    struct span lines = value_of(e, "jobs"), line;
    bool unsure = value_of(e, "unsure").n > 0;

    while (span_next_word(&lines, '\n', &line))
        take_line(account, line, unsure);
}

static void expect_found(const struct account *a, const struct job *j)
{
    struct span argv[] = {SPAN("EVAL"), span_str(scripts[SCRIPT_RECEIPTS].text), SPAN("1"),
                          SPAN(""), SPAN("")};
    char key[100], wanted[200], what[120];
    const struct redisReply *told = NULL;
    struct span found, from;

    snprintf(key, sizeof(key), "purgeline:{%s}:history", a->name);
    argv[3] = span_str(key);
    snprintf(wanted, sizeof(wanted), "{\"job\":\"%s\",\"state\":\"%s\",\"at\":", j->id,
             outcome_names[j->outcome]);
    do { /* of a few entries each */
        from = reply_text(reply_at(told, 0));
        snprintf(what, sizeof(what), "%s %.*s", j->id, (int)from.n, from.p);
        argv[4] = span_str(what);
        told = reply_at(fake_redis_ask(array_len(argv), argv), 0);
    } while (reply_count(told));
    found = reply_text(told);
    if (found.n < strlen(wanted) || memcmp(found.p, wanted, strlen(wanted)) != 0)
        engine_fail("P1: the receipt of job %s of %s is not found in the history, but \"%.*s\"",
                    j->id, a->name, (int)found.n, found.p);
}

void witness_check_history(const struct account *a, const struct job *j)
{
    const struct config_account *c = config_account(witness.config, a->name);
    bool kept = clock_mono_ns() < (uint64_t)c->receipt_ttl_s * NS_PER_S;

    if (!c->history_jobs || witness.memory_was_short)
        return;
    if (j->lines != 1)
        engine_fail("job %s of %s ended and has %u lines in the history", j->id, a->name, j->lines);
    if (j->receipt_in_history && c->receipts == RECEIPTS_ALL && kept)
        expect_found(a, j);
}
