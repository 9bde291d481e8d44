/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "fakeredis_internal.h"

/* -- bytes and answers -- */

struct bytes bytes_copy(struct span s)
{
    return (struct bytes){alloc_copy(s.p, s.n), s.n};
}

void say_status(struct ask *a, const char *words)
{
    buf_printf(a->out, "+%s\r\n", words);
}

void say_error(struct ask *a, const char *fmt, ...)
{
    char words[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(words, sizeof(words), fmt, ap);
    va_end(ap);
    buf_printf(a->out, "-%s\r\n", words);
}

/* Its decimal digits, as printf would write them, but ten times as fast. */
size_t put_digits(char out[20], uint64_t n)
{
    char digits[20];
    size_t count = 0;

    do
        digits[count++] = (char)('0' + n % 10);
    while ((n /= 10));
    for (size_t i = 0; i < count; i++)
        out[i] = digits[count - 1 - i];
    return count;
}

static void say_head(struct ask *a, char kind, uint64_t n)
{
    char text[24];
    size_t end;

    text[0] = kind;
    end = 1 + put_digits(text + 1, n);
    memcpy(text + end, "\r\n", 2);
    buf_put(a->out, span_of(text, end + 2));
}

void say_number(struct ask *a, int64_t n)
{
    if (n < 0)
        buf_printf(a->out, ":%" PRId64 "\r\n", n);
    else
        say_head(a, ':', (uint64_t)n);
}

void say_text(struct ask *a, struct span s)
{
    say_head(a, '$', s.n);
    buf_put(a->out, s);
    buf_put(a->out, SPAN("\r\n"));
}

void say_score(struct ask *a, double score)
{
    char text[40];

    snprintf(text, sizeof(text), "%.17g", score);
    say_text(a, span_str(text));
}

void say_nil(struct ask *a)
{
    buf_put(a->out, SPAN("$-1\r\n"));
}

void say_no_array(struct ask *a)
{
    buf_put(a->out, SPAN("*-1\r\n"));
}

void say_array(struct ask *a, size_t count)
{
    say_head(a, '*', count);
}

void say_wrong_arguments(struct ask *a)
{
    say_error(a, "ERR wrong number of arguments for '%s' command", a->command->name);
}

/* -- arguments -- */

bool arg_is(const struct ask *a, size_t i, const char *word)
{
    return i < a->argc && span_eq_nocase(a->argv[i], span_str(word));
}

bool span_to_i64(struct span s, int64_t *out)
{
    bool minus = s.n > 0 && s.p[0] == '-';
    struct span digits = span_of(s.p + minus, s.n - minus);
    uint64_t n;

    if (span_to_u64(digits, &n) < 0 || n > INT64_MAX || (digits.n > 1 && digits.p[0] == '0'))
        return false;
    if (minus && n == 0)
        return false;
    *out = minus ? -(int64_t)n : (int64_t)n;
    return true;
}

bool arg_number(struct ask *a, size_t i, int64_t *out)
{
    if (i < a->argc && span_to_i64(a->argv[i], out))
        return true;
    say_error(a, NOT_AN_INTEGER);
    return false;
}

bool clip_range(int64_t *from, int64_t *to, size_t count)
{
    int64_t n = (int64_t)count;

    if (*from < 0)
        *from += n;
    if (*to < 0)
        *to += n;
    if (*from < 0)
        *from = 0;
    if (*to >= n)
        *to = n - 1;
    return *from <= *to && *from < n;
}

/* -- commands about the server -- */

static void run_ping(struct ask *a)
{
    if (a->argc > 2)
        say_wrong_arguments(a);
    else if (a->argc == 2)
        say_text(a, a->argv[1]);
    else
        say_status(a, "PONG");
}

static void run_ok(struct ask *a)
{
    say_status(a, "OK");
}

static void run_time(struct ask *a)
{
    uint64_t us = a->f->now_us(a->f->clock_ctx);
    char text[24];

    say_array(a, 2);
    snprintf(text, sizeof(text), "%" PRIu64, us / 1000000);
    say_text(a, span_str(text));
    snprintf(text, sizeof(text), "%" PRIu64, us % 1000000);
    say_text(a, span_str(text));
}

static void run_role(struct ask *a)
{
    if (a->s->role == FAKEREDIS_REPLICA) {
        cluster_say_role(a);
        return;
    }
    say_array(a, 3);
    say_text(a, SPAN("master"));
    say_number(a, 0);
    say_array(a, 0);
}

static void run_wait(struct ask *a)
{
    int64_t want, ms;

    if (arg_number(a, 1, &want) && arg_number(a, 2, &ms))
        say_number(a, a->s->written > a->f->all_have ? a->f->replicas_have : a->f->replicas);
}

static void run_info(struct ask *a)
{
    char text[600];

    snprintf(text, sizeof(text),
             "# Server\r\nredis_version:7.0.15\r\n\r\n# Memory\r\nused_memory:%d\r\n"
             "maxmemory:%d\r\nmaxmemory_policy:%s\r\nmem_not_counted_for_evict:0\r\n\r\n"
             "# Persistence\r\nloading:0\r\naof_enabled:1\r\n\r\n"
             "# Replication\r\nrole:master\r\nconnected_slaves:%u\r\nmaster_replid:%s\r\n",
             a->f->full ? 2000000 : 1000000, a->f->full ? 1500000 : 0, a->f->policy, a->f->replicas,
             cluster_history(a));
    say_text(a, span_str(text));
}

static void run_config(struct ask *a)
{
    if (!arg_is(a, 1, "GET") || a->argc != 3) {
        say_error(a, SYNTAX_ERROR);
        return;
    }
    if (arg_is(a, 2, "maxmemory-policy")) {
        say_array(a, 2);
        say_text(a, a->argv[2]);
        say_text(a, span_str(a->f->policy));
    } else if (arg_is(a, 2, "appendfsync")) {
        say_array(a, 2);
        say_text(a, a->argv[2]);
        say_text(a, span_str(a->f->fsync));
    } else {
        say_array(a, 0);
    }
}

static uint64_t item_bytes(const struct stream_item *item)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < item->count; i++)
        bytes += item->fields[i].n;
    return bytes;
}

/* Like Redis with SAMPLES 1: of a stream the first node, of up to 100 entries, counts for all. */
static uint64_t memory_of(const struct value *v)
{
    const struct fstream *s = &v->stream;
    uint64_t bytes = 0;

    if (v->kind == KIND_STRING)
        return 64 + v->string.n;
    if (v->kind != KIND_STREAM)
        return 64;
    for (size_t i = 0; i < s->count && i < 100; i++)
        bytes += item_bytes(stream_at(s, i));
    return 500 + bytes * ((s->count + 99) / 100);
}

static void run_memory(struct ask *a)
{
    const struct value *v;

    if (!arg_is(a, 1, "USAGE") || a->argc < 3) {
        say_error(a, SYNTAX_ERROR);
        return;
    }
    v = value_find(a->f, a->argv[2]);
    if (v)
        say_number(a, (int64_t)memory_of(v));
    else
        say_nil(a);
}

static void run_publish(struct ask *a)
{
    say_number(a, (int64_t)fakeredis_publish(a->f, a->argv[1], a->argv[2]));
}

static void run_subscribe(struct ask *a)
{
    for (size_t i = 1; i < a->argc; i++) {
        texts_push(&a->s->channels, a->argv[i]);
        say_array(a, 3);
        say_text(a, SPAN("subscribe"));
        say_text(a, a->argv[i]);
        say_number(a, (int64_t)a->s->channels.count);
    }
}

size_t fakeredis_publish(struct fakeredis *f, struct span channel, struct span text)
{
    size_t count = 0;

    list_each(node, &f->sessions) {
        struct fakeredis_session *s = list_entry(node, struct fakeredis_session, link);

        for (size_t i = 0; i < s->channels.count; i++) {
            if (!span_eq(bytes_span(s->channels.items[i]), channel))
                continue;
            count++;
            if (s->message)
                s->message(s->ctx, channel, text);
        }
    }
    return count;
}

const struct command fakeredis_server[] = {
    {"ping", -1, 0, run_ping},
    {"auth", -2, NOT_IN_SCRIPTS, run_ok},
    {"select", 2, 0, run_ok},
    {"client", -2, NOT_IN_SCRIPTS, run_ok},
    {"time", 1, 0, run_time},
    {"role", 1, NOT_IN_SCRIPTS, run_role},
    {"info", -1, 0, run_info},
    {"wait", 3, NOT_IN_SCRIPTS, run_wait},
    {"config", -2, NOT_IN_SCRIPTS, run_config},
    {"memory", -2, 0, run_memory},
    {"publish", 3, 0, run_publish},
    {"subscribe", -2, NOT_IN_SCRIPTS, run_subscribe},
    {0},
};

/* -- all commands -- */

static bool is_called(const char *name, size_t argc, const struct span *argv)
{
    size_t n = argv[0].n;

    for (size_t i = 0; i < n; i++)
        if ((argv[0].p[i] | 0x20) != name[i]) /* which also ends the name, with a NUL or a "|" */
            return false;
    if (name[n] != '|')
        return name[n] == '\0';
    return argc > 1 && span_eq_nocase(argv[1], span_str(name + n + 1));
}

const struct command *fakeredis_command(size_t argc, const struct span *argv)
{
    static const struct command *const tables[] = {
        fakeredis_keys,
        fakeredis_strings,
        fakeredis_lists,
        fakeredis_hashes,
        fakeredis_zsets,
        fakeredis_streams,
        fakeredis_groups,
        fakeredis_server,
        fakeredis_scripts,
        fakeredis_transactions,
        fakeredis_cluster_commands,
    };

    for (size_t i = 0; i < array_len(tables); i++)
        for (const struct command *c = tables[i]; c->name; c++)
            if (is_called(c->name, argc, argv))
                return c;
    return NULL;
}

bool fakeredis_arity_ok(const struct command *c, size_t argc)
{
    return c->arity >= 0 ? argc == (size_t)c->arity : argc >= (size_t)-c->arity;
}

const char *fakeredis_refusal(const struct fakeredis *f, unsigned flags)
{
    if (f->refusing && flags & WRITES)
        return f->refusing;
    return flags & NEEDS_MEMORY ? f->full : NULL;
}
