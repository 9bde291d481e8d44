/* SPDX-License-Identifier: MIT */
#include "consumer_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "json_text.h"
#include "keys.h"
#include "log.h"
#include "setting_form.h"

#define STATE_MAX_BYTES 4096

const char *const consumer_condition_names[CONSUMER_CONDITION_N] = {
    [CONSUMER_ABSENT] = "absent",
    [CONSUMER_RUNNING] = "running",
    [CONSUMER_REDIS_AWAY] = "redis_away",
    [CONSUMER_SOURCE_AWAY] = "source_away",
    [CONSUMER_FULL] = "full",
    [CONSUMER_PAUSED] = "paused"};

/* -- writing: {"at": ms, "state": "running", ...}, all times in Unix milliseconds of Redis -- */

static void put_natural(json_t *o, const char *name, uint64_t n)
{
    json_object_set_new(o, name, json_integer((json_int_t)min_u64(n, INT64_MAX)));
}

static void put_messages(json_t *o, const struct consumer_state *s)
{
    put_natural(o, "fetched", s->fetched);
    put_natural(o, "jobs", s->jobs);
    put_natural(o, "ignored", s->ignored);
    put_natural(o, "dead", s->dead);
}

static char *render(const struct consumer_state *s, uint64_t now_ms)
{
    json_t *o = json_object();
    char *text;

    put_natural(o, "at", now_ms);
    json_object_set_new(o, "state", json_text_of(consumer_condition_names[s->condition]));
    json_object_set_new(o, "source", json_text_of(s->source));
    json_object_set_new(o, "topic", json_text_of(s->topic));
    put_messages(o, s);
    if (s->rate_known)
        put_natural(o, "per_1000_s", s->per_1000_s);
    if (s->lag_known)
        put_natural(o, "lag", s->lag);
    if (s->oldest_known)
        put_natural(o, "oldest_ms", s->oldest_ms);
    if (s->committed_ms != NEVER)
        put_natural(o, "committed_at", minus_u64(now_ms, s->committed_ms));
    if (*s->last_error) {
        json_object_set_new(o, "last_error", json_text_of(s->last_error));
        put_natural(o, "error_at", minus_u64(now_ms, s->error_ms));
    }
    text = json_text_line(o);
    json_decref(o);
    return text;
}

/* Sends one command without waiting for replicas. */
static int ask_alone(struct client *c, const char *const *words, struct redisReply **out)
{
    struct span argv[4];
    size_t n = 0;
    int rc;

    for (; words[n]; n++) {
        must(n < array_len(argv));
        argv[n] = span_str(words[n]);
    }
    client_send(c, n, argv);
    rc = client_receive(c, out);
    return rc == 0 && reply_refused(*out) ? -EIO : rc;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static int ask_time(struct client *c, uint64_t *ms)
{
    struct redisReply *r;
    int rc = ask_alone(c, WORDS("TIME"), &r);

    if (rc == 0)
        *ms = reply_time_ms(r);
    return rc;
}

static char *field_of(const char *name, const char *host)
{
    return alloc_printf("%s/%s", name, host);
}

int consumer_state_write(struct client *c, const char *account, const char *host,
                         const struct consumer_state *s)
{
    char *key = redis_key(account, "consumers"), *field = field_of(s->name, host), *text = NULL;
    struct redisReply *r;
    uint64_t now_ms = 0;
    int rc = ask_time(c, &now_ms);

    if (rc == 0) {
        text = render(s, now_ms);
        rc = ask_alone(c, WORDS("HSET", key, field, text), &r);
    }
    if (rc == 0)
        rc = ask_alone(c, WORDS("EXPIRE", key, digits_of(CONSUMER_FORGET_S)), &r);
    free(key);
    free(field);
    free(text);
    return rc;
}

void consumer_state_remove(struct client *c, const char *account, const char *name,
                           const char *host)
{
    char *key = redis_key(account, "consumers"), *field = field_of(name, host);
    struct redisReply *r;
    int rc = ask_alone(c, WORDS("HDEL", key, field), &r);

    (void)rc;
    free(key);
    free(field);
}

/* -- reading: anybody may have written it -- */

static uint64_t natural(const json_t *o, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(o, name));

    return n > 0 ? (uint64_t)n : 0;
}

static void take_text(char *out, size_t room, const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    log_quote(out, room, text ? text : "", text ? strlen(text) : 0);
}

/* The time since a moment that the state names; NEVER if it names none. */
static uint64_t age_since(const json_t *o, const char *name, uint64_t now_ms)
{
    return json_is_integer(json_object_get(o, name)) ? minus_u64(now_ms, natural(o, name)) : NEVER;
}

static enum consumer_condition condition_of(const json_t *o)
{
    const char *text = json_string_value(json_object_get(o, "state"));

    for (int i = 0; text && i < CONSUMER_CONDITION_N; i++)
        if (strcmp(text, consumer_condition_names[i]) == 0)
            return (enum consumer_condition)i;
    return CONSUMER_ABSENT;
}

static bool take_name(struct span field, char *out, size_t room)
{
    const char *slash = field.n ? memchr(field.p, '/', field.n) : NULL;
    struct span name = span_of(field.p, slash ? (size_t)(slash - field.p) : 0);

    if (!setting_word_ok(name, "_-", room - 1))
        return false;
    memcpy(out, name.p, name.n);
    out[name.n] = '\0';
    return true;
}

/* Also of a state from the future, which a clock that was set may have left. */
static uint64_t heard_ms(const json_t *o, uint64_t now_ms)
{
    uint64_t at_ms = natural(o, "at");

    return max_u64(at_ms, now_ms) - min_u64(at_ms, now_ms);
}

static bool parse(struct span field, struct span text, uint64_t now_ms, struct consumer_state *out)
{
    json_t *o = text.n <= STATE_MAX_BYTES ? json_loadb(text.p, text.n, 0, NULL) : NULL;
    bool ok = json_is_object(o) && take_name(field, out->name, sizeof(out->name));

    if (ok) {
        out->heard_ms = heard_ms(o, now_ms);
        out->processes = out->heard_ms <= CONSUMER_SILENT_S * 1000u;
        out->condition = out->processes ? condition_of(o) : CONSUMER_ABSENT;
        take_text(out->source, sizeof(out->source), o, "source");
        take_text(out->topic, sizeof(out->topic), o, "topic");
        out->fetched = natural(o, "fetched");
        out->jobs = natural(o, "jobs");
        out->ignored = natural(o, "ignored");
        out->dead = natural(o, "dead");
        out->rate_known = out->processes && json_is_integer(json_object_get(o, "per_1000_s"));
        out->per_1000_s = out->rate_known ? natural(o, "per_1000_s") : 0;
        out->lag_known = json_is_integer(json_object_get(o, "lag"));
        out->lag = natural(o, "lag");
        out->oldest_known = json_is_integer(json_object_get(o, "oldest_ms"));
        out->oldest_ms = natural(o, "oldest_ms");
        out->committed_ms = age_since(o, "committed_at", now_ms);
        take_text(out->last_error, sizeof(out->last_error), o, "last_error");
        out->error_ms = age_since(o, "error_at", now_ms);
    }
    json_decref(o);
    return ok;
}

static struct consumer_state *known_state(struct consumer_states *s, const char *name)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (strcmp(s->at[i].name, name) == 0)
            return &s->at[i];
    return NULL;
}

static struct consumer_state *add(struct consumer_states *s, const struct consumer_state *one)
{
    s->at = alloc_grow(s->at, s->count + 1, sizeof(*s->at));
    s->at[s->count] = *one;
    return &s->at[s->count++];
}

/* What waits in the queue, and who is in trouble, is what the process says that was heard last. */
static void join(struct consumer_state *all, const struct consumer_state *one)
{
    struct consumer_state newest = one->heard_ms < all->heard_ms ? *one : *all;

    newest.fetched = all->fetched + one->fetched;
    newest.jobs = all->jobs + one->jobs;
    newest.ignored = all->ignored + one->ignored;
    newest.dead = all->dead + one->dead;
    newest.rate_known = all->rate_known || one->rate_known;
    newest.per_1000_s = all->per_1000_s + one->per_1000_s;
    newest.committed_ms = min_u64(all->committed_ms, one->committed_ms);
    newest.processes = all->processes + one->processes;
    *all = newest;
}

static int by_name(const void *a, const void *b)
{
    const struct consumer_state *one = a, *other = b;

    return strcmp(one->name, other->name);
}

static void sort(struct consumer_states *s)
{
    if (s->count)
        qsort(s->at, s->count, sizeof(*s->at), by_name);
}

void consumer_states_add(struct consumer_states *s, struct span field, struct span text,
                         uint64_t now_ms)
{
    struct consumer_state one = {0}, *known;

    if (!parse(field, text, now_ms, &one))
        return;
    known = known_state(s, one.name);
    if (known)
        join(known, &one);
    else
        add(s, &one);
}

void consumer_states_take(const struct redisReply *all, uint64_t now_ms,
                          struct consumer_states *out)
{
    size_t n = min_u64(reply_count(all), 2 * CONSUMER_STATES_MAX);

    *out = (struct consumer_states){0};
    for (size_t i = 0; i + 1 < n; i += 2)
        consumer_states_add(out, reply_text(reply_at(all, i)), reply_text(reply_at(all, i + 1)),
                            now_ms);
    sort(out);
}

void consumer_states_expect(struct consumer_states *s, const struct config *config,
                            const char *account)
{
    for (uint32_t i = 0; i < config->consumers_count; i++) {
        const struct config_consumer *k = &config->consumers[i];
        const char *named = k->mapping.account;
        const struct config_account *a = config_account(config, *named ? named : NULL);
        struct consumer_state one = {.committed_ms = NEVER, .heard_ms = NEVER};

        if (!a || strcmp(a->name, account) != 0 || known_state(s, k->name))
            continue;
        snprintf(one.name, sizeof(one.name), "%s", k->name);
        log_quote(one.topic, sizeof(one.topic), k->topic, strlen(k->topic));
        add(s, &one);
    }
    sort(s);
}

void consumer_states_copy(const struct consumer_states *from, struct consumer_states *out)
{
    *out = (struct consumer_states){0};
    for (uint32_t i = 0; i < from->count; i++)
        add(out, &from->at[i]);
}

void consumer_states_deinit(struct consumer_states *s)
{
    free(s->at);
    *s = (struct consumer_states){0};
}

/* -- for status -- */

static json_t *known_number(bool known, uint64_t n)
{
    return known ? json_integer((json_int_t)min_u64(n, INT64_MAX)) : json_null();
}

static json_t *state_json(const struct consumer_state *s)
{
    json_t *o = json_object();

    json_object_set_new(o, "name", json_text_of(s->name));
    json_object_set_new(o, "state", json_text_of(consumer_condition_names[s->condition]));
    json_object_set_new(o, "source", json_text_of(s->source));
    json_object_set_new(o, "topic", json_text_of(s->topic));
    put_natural(o, "processes", s->processes);
    put_messages(o, s);
    json_object_set_new(o, "per_s",
                        s->rate_known ? json_real((double)s->per_1000_s / 1000) : json_null());
    json_object_set_new(o, "lag", known_number(s->lag_known, s->lag));
    json_object_set_new(o, "oldest_ms", known_number(s->oldest_known, s->oldest_ms));
    json_object_set_new(o, "committed_ms", known_number(s->committed_ms != NEVER, s->committed_ms));
    json_object_set_new(o, "heard_ms", known_number(s->heard_ms != NEVER, s->heard_ms));
    json_object_set_new(o, "last_error",
                        *s->last_error ? json_text_of(s->last_error) : json_null());
    json_object_set_new(o, "last_error_ms", known_number(*s->last_error, s->error_ms));
    return o;
}

json_t *consumer_states_json(const struct consumer_states *s)
{
    json_t *all = json_array();

    for (uint32_t i = 0; i < s->count; i++)
        json_array_append_new(all, state_json(&s->at[i]));
    return all;
}

/* -- sweeping -- */

int consumer_state_sweep(struct client *c, const char *account)
{
    char *key = redis_key(account, "consumers");
    struct redisReply *r, *old = NULL;
    uint64_t now_ms = 0;
    int rc = ask_time(c, &now_ms);

    if (rc == 0)
        rc = ask_alone(c, WORDS("HGETALL", key), &r);
    if (rc == 0)
        old = reply_duplicate(r);
    for (size_t i = 0; rc == 0 && i + 1 < reply_count(old); i += 2) {
        struct span field = reply_text(reply_at(old, i)), text = reply_text(reply_at(old, i + 1));
        struct consumer_state s = {0};

        if (parse(field, text, now_ms, &s) && s.heard_ms <= CONSUMER_FORGET_S * 1000u)
            continue;
        client_send(c, 3, (const struct span[]){SPAN("HDEL"), span_str(key), field});
        rc = client_receive(c, &r);
    }
    reply_free_duplicate(old);
    free(key);
    return rc;
}
