/* SPDX-License-Identifier: MIT */
#include "inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "fake_redis.h"
#include "reply.h"

#define START "purgeline:{"

/* -- names of keys -- */

/* "purgeline:{<account>}:<what>..." */
static bool split(struct span key, const char *what, char *account, size_t room, struct span *rest)
{
    size_t start = strlen(START), n = strlen(what);
    const char *end;

    if (key.n <= start || memcmp(key.p, START, start) != 0)
        return false;
    end = memchr(key.p + start, '}', key.n - start);
    if (!end)
        return false;
    snprintf(account, room, "%.*s", (int)(end - key.p - (ptrdiff_t)start), key.p + start);
    end += 2; /* "}:" */
    *rest = span_of(end, (size_t)(key.p + key.n - end));
    if (rest->n < n || memcmp(rest->p, what, n) != 0)
        return false;
    *rest = span_of(rest->p + n, rest->n - n);
    return true;
}

bool inside_is_lane(struct span key, char *account, size_t room, enum lane *lane)
{
    struct span name;

    return split(key, "jobs:", account, room, &name) && lane_parse(name, lane) == 0;
}

bool inside_is_receipt(struct span key, char *account, size_t room, struct span *job)
{
    return split(key, "receipt:", account, room, job);
}

bool inside_is_history(struct span key, char *account, size_t room)
{
    struct span rest;

    return split(key, "history", account, room, &rest) && rest.n == 0;
}

bool inside_is_status(struct span key, char *account, size_t room)
{
    struct span rest;

    return split(key, "status", account, room, &rest) && rest.n == 0;
}

/* -- jobs -- */

static uint64_t count(const char *command, const char *account, const char *what)
{
    return reply_u64(fake_redis_say("%s purgeline:{%s}:%s", command, account, what));
}

uint64_t inside_postponed(const char *account)
{
    return count("ZCARD", account, "postponed") + count("ZCARD", account, "later");
}

uint64_t inside_waiting(const char *account)
{
    return inside_postponed(account) + count("XLEN", account, "jobs:urgent") +
           count("XLEN", account, "jobs:normal") + count("XLEN", account, "jobs:bulk");
}

uint64_t inside_left_over(const char *account)
{
    return count("HLEN", account, "places") + count("HLEN", account, "postponed:jobs");
}

bool inside_is_postponed(const char *account, const char *job, const char *suffix)
{
    return !reply_nil(fake_redis_say("ZSCORE purgeline:{%s}:postponed %s%s", account, job, suffix));
}

static void take_letter(const struct redisReply *entry, inside_letter_cb *cb, void *ctx)
{
    const struct redisReply *fields = reply_at(entry, 1);
    size_t n = reply_count(fields);
    struct span *spans = alloc_bytes((n + 1) * sizeof(*spans));
    struct fields *f;

    for (size_t i = 0; i < n; i++)
        spans[i] = reply_text(reply_at(fields, i));
    f = fields_copy(spans, n);
    cb(ctx, f);
    free(f);
    free(spans);
}

uint64_t inside_letters(const char *account, uint64_t skip, inside_letter_cb *cb, void *ctx)
{
    const struct redisReply *letters = fake_redis_say("XRANGE purgeline:{%s}:dead - +", account);
    uint64_t n = reply_count(letters);

    for (uint64_t i = skip; i < n; i++)
        take_letter(reply_at(letters, i), cb, ctx);
    return n;
}

static struct span *names_of(const struct redisReply *names, size_t *count_out)
{
    struct span *out;

    *count_out = reply_count(names);
    out = alloc_zeroed(*count_out + 1, sizeof(*out));
    for (size_t i = 0; i < *count_out; i++) {
        struct span s = reply_text(reply_at(names, i));

        out[i] = span_of(alloc_copy(s.p, s.n), s.n);
    }
    return out;
}

static bool any_line(const char *account, inside_receipt_cb *cb, void *ctx)
{
    const struct redisReply *entries = fake_redis_say("XRANGE purgeline:{%s}:history - +", account);

    for (size_t i = 0; i < reply_count(entries); i++) {
        const struct redisReply *fields = reply_at(reply_at(entries, i), 1);
        struct span lines, line;

        for (size_t k = 0; k + 1 < reply_count(fields); k += 2) {
            lines = reply_text(reply_at(fields, k + 1));
            while (span_is(reply_text(reply_at(fields, k)), "jobs") &&
                   span_next_word(&lines, '\n', &line))
                if (cb(ctx, line))
                    return true;
        }
    }
    return false;
}

bool inside_any_receipt(const char *account, inside_receipt_cb *cb, void *ctx)
{
    size_t n;
    struct span *names = names_of(fake_redis_say("KEYS purgeline:{%s}:receipt:*", account), &n);
    bool found = false;

    for (size_t i = 0; i < n; i++) {
        const struct span argv[] = {SPAN("GET"), names[i]};

        found = found || cb(ctx, reply_text(fake_redis_ask(array_len(argv), argv)));
        free((char *)names[i].p);
    }
    free(names);
    return found || any_line(account, cb, ctx);
}

/* -- who leads -- */

static const char *name_of_owner(const struct redisReply *owner)
{
    const char *slash = reply_nil(owner) ? NULL : strrchr(reply_text(owner).p, '/');

    return slash ? slash + 1 : NULL;
}

const char *inside_leader(const char *account)
{
    return name_of_owner(fake_redis_say("GET purgeline:{%s}:lease", account));
}

const char *inside_leader_cut_off(const char *account)
{
    char *key = alloc_printf("purgeline:{%s}:lease", account);
    const struct span argv[] = {SPAN("GET"), span_str(key)};
    const char *name = name_of_owner(fake_redis_ask_cut_off(array_len(argv), argv));

    free(key);
    return name;
}
