/* SPDX-License-Identifier: MIT
 * What producers do. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "api.h"
#include "engine.h"
#include "fake_cluster.h"
#include "fake_redis.h"
#include "keys.h"
#include "play.h"
#include "producer.h"
#include "queue_internal.h"
#include "reply.h"
#include "world.h"

struct pushing {
    struct play *play;
    const char *account;
    enum lane lane;
    struct words targets;
    const char *field; /* of the targets: keys, url, all, or NULL for raw */
    bool each, post;
    const char *once;
    struct words options; /* name, value ... */
};

static void option(struct pushing *p, const char *name, const char *value)
{
    words_add(&p->options, name, strlen(name));
    words_add(&p->options, value, strlen(value));
}

/* not_before=+5s: from now, as Unix milliseconds. */
static void put_moment(struct pushing *p, const char *name, const char *value)
{
    uint64_t ns = 0;
    char text[32];

    if (*value != '+' || text_time(value + 1, &ns) < 0)
        play_fail(p->play, "%s: +5s, not \"%s\"", name, value);
    snprintf(text, sizeof(text), "%" PRIu64, engine_wall_ms() + ns / NS_PER_MS);
    option(p, name, text);
}

static void put_duration(struct pushing *p, const char *name, const char *value)
{
    uint64_t ns = 0;
    char text[32];

    if (text_time(value, &ns) < 0)
        play_fail(p->play, "%s: 2s, not \"%s\"", name, value);
    snprintf(text, sizeof(text), "%" PRIu64, ns / NS_PER_MS);
    option(p, name, text);
}

/* when=17: not before the origin shows version 17, in a header; when=body17: in its body. */
static void put_when(struct pushing *p, const char *value)
{
    const char *within = play_option(p->play, "within"), *host = "https://origin.example/version";
    uint64_t ns = 60 * NS_PER_S;
    char text[256];

    if (within && text_time(within, &ns) < 0)
        play_fail(p->play, "within: 30s, not \"%s\"", within);
    if (strncmp(value, "body", 4) == 0)
        snprintf(text, sizeof(text),
                 "{\"url\":\"%s\",\"contains\":\"version %s\\n\",\"within\":%" PRIu64 "}", host,
                 value + 4, ns / NS_PER_MS);
    else
        snprintf(text, sizeof(text),
                 "{\"url\":\"%s\",\"header\":\"X-Version\",\"at_least\":%s,\"within\":%" PRIu64 "}",
                 host, value, ns / NS_PER_MS);
    option(p, "when", text);
}

/* verify=https://a.example/: the page to look at afterwards; at_least=17: for this version. */
static void put_page(struct pushing *p, const char *url)
{
    const char *version = play_option(p->play, "at_least");
    char text[256];

    snprintf(text, sizeof(text), "{\"url\":\"%s\"%s%s%s}", url,
             version ? ",\"at_least\":{\"header\":\"X-Version\",\"number\":" : "",
             version ? version : "", version ? "}" : "");
    option(p, "verify", text);
}

static bool take_option(struct pushing *p, const char *word)
{
    const char *v;

    if ((v = text_value(word, "not_before")))
        put_moment(p, "not_before", v);
    else if ((v = text_value(word, "expires")))
        put_moment(p, "expires", v);
    else if (strcmp(word, "repeat_after=auto") == 0)
        option(p, "repeat_after", "auto");
    else if ((v = text_value(word, "repeat_after")))
        put_duration(p, "repeat_after", v);
    else if ((v = text_value(word, "service")))
        option(p, "service", v);
    else if ((v = text_value(word, "ref")))
        option(p, "ref", v);
    else if ((v = text_value(word, "when")))
        put_when(p, v);
    else if (strcmp(word, "soft") == 0)
        option(p, "soft", "1");
    else if (strcmp(word, "verify") == 0)
        option(p, "verify", "1");
    else if ((v = text_value(word, "verify")))
        put_page(p, v);
    else if ((v = text_value(word, "once")))
        option(p, "ref", p->once = v);
    else if (!(text_value(word, "lane") || text_value(word, "account") ||
               text_value(word, "times") || text_value(word, "within") ||
               text_value(word, "at_least")))
        return false;
    return true;
}

static void take_words(struct pushing *p)
{
    const struct words *w = &p->play->step->words;
    size_t i = 1;

    p->each = strcmp(play_word(p->play, i), "each") == 0;
    i += p->each;
    if (strncmp(play_word(p->play, i), "key", 3) == 0)
        p->field = "keys";
    else if (strcmp(play_word(p->play, i), "url") == 0)
        p->field = "url";
    else if (strcmp(play_word(p->play, i), "all") == 0)
        p->field = "all";
    else if (strcmp(play_word(p->play, i), "raw") != 0)
        play_fail(p->play, "push: key, url, all or raw, not \"%s\"", play_word(p->play, i));
    for (i++; i < w->count; i++)
        if (!take_option(p, w->at[i]))
            text_expand(w->at[i], &p->targets);
}

/* Fields as they stand in the story: name=value. */
static size_t put_raw(const struct pushing *p, struct span *fields)
{
    size_t n = 0;

    for (size_t i = 0; i < p->targets.count; i++) {
        const char *word = p->targets.at[i], *equals = strchr(word, '=');

        fields[n++] = span_of(word, equals ? (size_t)(equals - word) : strlen(word));
        fields[n++] = span_str(equals ? equals + 1 : "");
    }
    return n;
}

bool producer_push(const char *account, enum lane lane, const struct span *fields, size_t n,
                   struct entry_id *id)
{
    char *key = redis_key_lane(account, lane);
    struct span *argv = alloc_bytes((n + 3) * sizeof(*argv));
    const struct redisReply *reply;

    argv[0] = SPAN("XADD");
    argv[1] = span_str(key);
    argv[2] = SPAN("*");
    memcpy(argv + 3, fields, n * sizeof(*fields));
    reply = fake_redis_ask(n + 3, argv);
    free(argv);
    free(key);
    return !reply_refused(reply) && queue_parse_id(reply_text(reply), id) == 0;
}

static void push_fields(struct pushing *p, const struct span *fields, size_t n)
{
    struct entry_id id;

    if (p->post) {
        api_post(p->account, p->lane, fields, n, p->once);
        return;
    }
    if (fake_redis_weather.away || !fake_cluster_serves() ||
        !producer_push(p->account, p->lane, fields, n, &id)) {
        trace("redis: a push is refused");
        return;
    }
    witness_pushed(p->account, p->lane, id, fields, n);
    p->play->last = (struct pushed){.lane = p->lane, .id = id};
    snprintf(p->play->last.account, sizeof(p->play->last.account), "%s", p->account);
}

/* One job with the targets [from, to). */
static void push_job(struct pushing *p, size_t from, size_t to)
{
    struct span *fields = alloc_bytes((2 * (to - from) + p->options.count + 4) * sizeof(*fields));
    char *keys = alloc_str("");
    size_t n = 0;

    if (!p->field)
        n = put_raw(p, fields);
    for (size_t i = from; p->field && i < to && strcmp(p->field, "keys") == 0; i++) {
        char *more = alloc_printf("%s%s%s", keys, *keys ? " " : "", p->targets.at[i]);

        free(keys);
        keys = more;
    }
    if (p->field && strcmp(p->field, "keys") == 0) {
        fields[n++] = SPAN("keys");
        fields[n++] = span_str(keys);
    } else if (p->field && strcmp(p->field, "all") == 0) {
        fields[n++] = SPAN("all");
        fields[n++] = SPAN("1");
    } else if (p->field) {
        for (size_t i = from; i < to; i++) {
            fields[n++] = SPAN("url");
            fields[n++] = span_str(p->targets.at[i]);
        }
    }
    for (size_t i = 0; i < p->options.count; i++)
        fields[n++] = span_str(p->options.at[i]);
    push_fields(p, fields, n);
    free(fields);
    free(keys);
}

static void push_or_post(struct play *play, bool post)
{
    struct pushing p = {.play = play, .post = post};
    const char *lane = play_option(play, "lane"), *times = play_option(play, "times");
    const char *account = play_option(play, "account");
    uint64_t n = 1;

    words_init(&p.targets);
    words_init(&p.options);
    p.account = account ? account : world_config()->accounts[0].name;
    p.lane = LANE_NORMAL;
    if (lane && lane_parse(span_str(lane), &p.lane) < 0)
        play_fail(play, "push: no lane \"%s\"", lane);
    if (times && text_number(times, &n) < 0)
        play_fail(play, "push: times=\"%s\"", times);
    take_words(&p);
    for (; n > 0 && !engine_failure(); n--) {
        for (size_t i = 0; p.each && i < p.targets.count; i++)
            push_job(&p, i, i + 1);
        if (!p.each)
            push_job(&p, 0, p.targets.count);
    }
    words_deinit(&p.targets);
    words_deinit(&p.options);
}

void play_push(struct play *play)
{
    push_or_post(play, false);
}

void play_post(struct play *play)
{
    push_or_post(play, true);
}

static void last_job(const struct play *p, char *out, size_t room)
{
    const struct pushed *job = &p->last;

    if (*api_last_job())
        snprintf(out, room, "%s", api_last_job());
    else
        snprintf(out, room, "%s-%" PRIu64 "-%" PRIu64, lane_names[job->lane], job->id.ms,
                 job->id.seq);
}

void play_get(struct play *p)
{
    char job[160];

    last_job(p, job, sizeof(job));
    api_get(world_config()->accounts[0].name, job);
}

void play_delete(struct play *p)
{
    char job[160];

    last_job(p, job, sizeof(job));
    api_delete(world_config()->accounts[0].name, job);
}

void play_dead(struct play *p)
{
    bool drop = strcmp(play_word(p, 1), "drop") == 0;

    if (!drop && strcmp(play_word(p, 1), "retry") != 0)
        play_fail(p, "dead: retry or drop, not \"%s\"", play_word(p, 1));
    api_dead(world_config()->accounts[0].name, drop ? API_DEAD_DROP : API_DEAD_RETRY);
}

/* "cancel" is a producer's XDEL; "cancel told" is DELETE /v1/jobs/{id}. */
void play_cancel(struct play *p)
{
    const struct pushed *job = &p->last;
    const struct redisReply *gone;

    if (!job->account[0] || fake_redis_weather.away || !fake_cluster_serves())
        return;
    witness_cancelled(job->account, job->lane, job->id);
    gone = fake_redis_say("XDEL purgeline:{%s}:jobs:%s %" PRIu64 "-%" PRIu64, job->account,
                          lane_names[job->lane], job->id.ms, job->id.seq);
    if (reply_number(gone) != 1)
        trace("redis: nothing to cancel");
    if (play_flag(p, "told"))
        fake_redis_say("RPUSH purgeline:{%s}:cancelled %s-%" PRIu64 "-%" PRIu64, job->account,
                       lane_names[job->lane], job->id.ms, job->id.seq);
}
