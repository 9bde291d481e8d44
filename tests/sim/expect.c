/* SPDX-License-Identifier: MIT
 * What a story expects, and how it is told what was there instead. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "api.h"
#include "engine.h"
#include "inside.h"
#include "instance.h"
#include "origin_fake.h"
#include "pages.h"
#include "play.h"
#include "world.h"

static const char *const kinds[] = {
    [TARGET_KEY] = "keys", [TARGET_URL] = "url", [TARGET_ALL] = "all"};

/* -- requests -- */

/* A request in the words of a story. */
static void describe(const struct request *r, char *out, size_t room)
{
    size_t n = (size_t)snprintf(out, room, "request %s%s service=%s %s=", r->soft ? "soft" : "hard",
                                "", r->service, kinds[r->kind]);

    for (size_t i = 0; i < r->targets->count && n < room; i++) {
        if (i == 8) {
            snprintf(out + n, room - n, ",... (%zu)", r->targets->count);
            return;
        }
        n += (size_t)snprintf(out + n, room - n, "%s%s", i ? "," : "", r->targets->at[i].p);
    }
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool same_targets(const struct request *r, struct words *wanted)
{
    struct words got;
    bool same;

    words_init(&got);
    for (size_t i = 0; i < r->targets->count; i++)
        words_add(&got, r->targets->at[i].p, r->targets->at[i].n);
    same = got.count == wanted->count;
    if (same && got.count) {
        qsort(got.at, got.count, sizeof(char *), compare_words);
        qsort(wanted->at, wanted->count, sizeof(char *), compare_words);
    }
    for (size_t i = 0; same && i < got.count; i++)
        same = strcmp(got.at[i], wanted->at[i]) == 0;
    words_deinit(&got);
    return same;
}

static bool keys_match(const struct play *p, const struct request *r)
{
    const char *keys = play_option(p, "keys");
    struct words wanted;
    bool same;

    if (!keys)
        return true;
    if (r->kind != TARGET_KEY)
        return false;
    words_init(&wanted);
    text_expand_list(keys, &wanted);
    same = same_targets(r, &wanted);
    words_deinit(&wanted);
    return same;
}

static bool request_matches(const struct play *p, const struct request *r)
{
    const char *service = play_option(p, "service"), *url = play_option(p, "url");
    const char *count = play_option(p, "count"), *account = play_option(p, "account");
    const char *from = play_option(p, "from");
    uint64_t n = 0;

    return keys_match(p, r) && (!service || strcmp(service, r->service) == 0) &&
           (!account || strcmp(account, r->account) == 0) &&
           (!url || (r->kind == TARGET_URL && strcmp(url, r->targets->at[0].p) == 0)) &&
           (!play_flag(p, "all") || r->kind == TARGET_ALL) && (!play_flag(p, "soft") || r->soft) &&
           (!play_flag(p, "hard") || !r->soft) &&
           (!from || strcmp(from, instance_name(r->instance)) == 0) &&
           (!count || (text_number(count, &n) == 0 && n == r->targets->count));
}

static void expect_request(struct play *p)
{
    struct request *r = fastly_fake_unseen();
    char seen[400];

    if (!r) {
        play_fail(p, "expected this request, and none has come");
        return;
    }
    describe(r, seen, sizeof(seen));
    if (!request_matches(p, r))
        play_fail(p, "expected another request than what came: %s", seen);
    fastly_fake_look(r);
}

static void expect_requests(struct play *p)
{
    uint64_t n = 0;

    if (text_number(play_word(p, 2), &n) < 0 || n != fastly_fake_unseen_count())
        play_fail(p, "%u requests have come since the last one looked at",
                  fastly_fake_unseen_count());
    while (fastly_fake_unseen())
        fastly_fake_look(fastly_fake_unseen());
}

void play_quiet(struct play *p)
{
    struct request *r = fastly_fake_unseen();
    char seen[400];

    if (!r)
        return;
    describe(r, seen, sizeof(seen));
    play_fail(p, "expected no request, and this one came: %s", seen);
}

/* -- ends -- */

static void expect_acked(struct play *p)
{
    const struct witness_sums *s = witness_sums();
    uint64_t ends = s->purged + s->dead + s->expired + s->cancelled, n = 0;

    if (text_number(play_word(p, 2), &n) < 0 || n != ends - p->acked_before)
        play_fail(p, "%" PRIu64 " jobs have ended since the last time this was asked",
                  ends - p->acked_before);
    p->acked_before = ends;
}

/* "name~text": the field holds the text. */
static bool field_matches(const struct play *p, const struct fields *f, const char *option,
                          const char *field)
{
    size_t n = strlen(option);
    struct span value = fields_get(f, field);

    for (size_t i = 2; i < p->step->words.count; i++) {
        const char *word = p->step->words.at[i];

        if (strncmp(word, option, n) != 0 || (word[n] != '~' && word[n] != '='))
            continue;
        if (!value.p || (word[n] == '=' && strcmp(value.p, word + n + 1) != 0) ||
            (word[n] == '~' && !strstr(value.p, word + n + 1)))
            return false;
    }
    return true;
}

static bool letter_matches(const struct play *p, const struct fields *f)
{
    return field_matches(p, f, "reason", "dead_reason") &&
           field_matches(p, f, "target", "dead_target") && field_matches(p, f, "ref", "ref");
}

static const char *shown(const struct fields *f, const char *name)
{
    struct span value = fields_get(f, name);

    return value.p ? value.p : "";
}

static void check_letter(void *ctx, const struct fields *f)
{
    struct play *p = ctx;

    if (!letter_matches(p, f))
        play_fail(p, "a dead letter has another reason \"%s\", target \"%s\"",
                  shown(f, "dead_reason"), shown(f, "dead_target"));
}

static void expect_dead(struct play *p)
{
    const struct config *c = world_config();
    uint64_t wanted = 1, found = 0;

    if (text_number(play_word(p, 2), &wanted) < 0)
        wanted = 1;
    for (uint32_t a = 0; a < c->accounts_count; a++) {
        uint64_t seen = p->dead_seen[a];

        p->dead_seen[a] = inside_letters(c->accounts[a].name, seen, check_letter, p);
        found += p->dead_seen[a] - seen;
    }
    if (found != wanted)
        play_fail(p, "%" PRIu64 " dead letters were written since the last time this was asked",
                  found);
}

static bool is_text(const json_t *receipt, const char *name, const char *wanted)
{
    const char *text = json_string_value(json_object_get(receipt, name));

    return !wanted || (text && strcmp(text, wanted) == 0);
}

/* failed=news,shop: exactly these services; failed=none: the receipt names none. */
static bool failed_are(const json_t *receipt, const char *wanted)
{
    const json_t *list = json_object_get(receipt, "failed_services"), *v;
    char found[512] = "";
    size_t n = 0, i;

    json_array_foreach(list, i, v) n +=
        (size_t)snprintf(found + n, sizeof(found) - n, "%s%s", i ? "," : "", json_string_value(v));
    return !wanted || strcmp(list ? found : "none", wanted) == 0;
}

/* A line of the history leaves out a 1. */
static uint64_t targets_of(const json_t *receipt)
{
    const json_t *n = json_object_get(receipt, "targets");

    return n ? (uint64_t)json_integer_value(n) : 1;
}

static bool receipt_matches(void *ctx, struct span json)
{
    const struct play *p = ctx;
    const char *targets = play_option(p, "targets"), *repairs = play_option(p, "repairs");
    json_t *r = json_loadb(json.p, json.n, 0, NULL);
    uint64_t n = 0;
    bool matches =
        is_text(r, "state", play_word(p, 2)) && is_text(r, "ref", play_option(p, "ref")) &&
        is_text(r, "verified", play_option(p, "verified")) &&
        failed_are(r, play_option(p, "failed")) &&
        (!repairs || (text_number(repairs, &n) == 0 &&
                      n == (uint64_t)json_integer_value(json_object_get(r, "repairs")))) &&
        (!targets || (text_number(targets, &n) == 0 && n == targets_of(r)));

    if (!r)
        play_fail(ctx, "this receipt is no JSON: %.*s", (int)json.n, json.p);
    json_decref(r);
    return matches;
}

static void expect_receipt(struct play *p)
{
    const struct config *c = world_config();

    for (uint32_t i = 0; i < c->accounts_count; i++)
        if (inside_any_receipt(c->accounts[i].name, receipt_matches, p))
            return;
    play_fail(p, "there is no such receipt");
}

/* -- what is where -- */

static void check_number(struct play *p, uint64_t seen, const char *what)
{
    uint64_t n = 0;

    if (text_number(play_word(p, 2), &n) < 0 || n != seen)
        play_fail(p, "%" PRIu64 " %s", seen, what);
}

static void expect_waiting(struct play *p)
{
    const struct config *c = world_config();
    uint64_t n = 0;

    for (uint32_t i = 0; i < c->accounts_count; i++)
        n += inside_waiting(c->accounts[i].name);
    check_number(p, n, "jobs wait in Redis");
}

static void expect_later(struct play *p)
{
    const struct config *c = world_config();
    uint64_t n = 0;

    for (uint32_t i = 0; i < c->accounts_count; i++)
        n += inside_postponed(c->accounts[i].name);
    check_number(p, n, "jobs wait for their time");
}

static void expect_letters(struct play *p)
{
    const struct config *c = world_config();
    uint64_t n = 0;

    for (uint32_t i = 0; i < c->accounts_count; i++)
        n += inside_letters(c->accounts[i].name, UINT64_MAX, NULL, NULL);
    check_number(p, n, "dead letters are there");
}

static void expect_leader(struct play *p)
{
    const char *option = play_option(p, "account");
    const char *account = option ? option : world_config()->accounts[0].name;
    const char *name =
        play_flag(p, "cut-off") ? inside_leader_cut_off(account) : inside_leader(account);

    if (!name)
        name = "nobody";
    if (strcmp(name, play_word(p, 2)) != 0)
        play_fail(p, "%s leads", name);
}

/* `expect leads first 2`: so many accounts. */
static void expect_leads(struct play *p)
{
    const struct config *c = world_config();
    uint64_t wanted = 0, n = 0;

    for (uint32_t i = 0; i < c->accounts_count; i++) {
        const char *name = inside_leader(c->accounts[i].name);

        n += name && strcmp(name, play_word(p, 2)) == 0;
    }
    if (text_number(play_word(p, 3), &wanted) < 0 || n != wanted)
        play_fail(p, "it leads %" PRIu64 " accounts", n);
}

/* `expect gap most=100ms`: between two requests of the same account that no line has checked. */
static void expect_gap(struct play *p)
{
    const struct config *c = world_config();
    uint64_t last_ns[CONFIG_ACCOUNTS_MAX] = {0}, widest_ns = 0, most_ns = 0, when_ns = 0;
    struct request *r;

    while ((r = fastly_fake_unseen())) {
        uint64_t *last = &last_ns[config_account(c, r->account) - c->accounts];

        if (*last && r->started_ns - *last > widest_ns) {
            widest_ns = r->started_ns - *last;
            when_ns = r->started_ns;
        }
        *last = r->started_ns;
        fastly_fake_look(r);
    }
    if (text_time(play_option(p, "most"), &most_ns) < 0 || widest_ns > most_ns)
        play_fail(p, "an account had no request for %" PRIu64 " ms, until %" PRIu64 " ms",
                  widest_ns / NS_PER_MS, (when_ns - ENGINE_START_NS) / NS_PER_MS);
}

static void expect_stopped(struct play *p)
{
    const char *name = *play_word(p, 2) ? play_word(p, 2) : "first";

    if (instance_runs(instance_find(name)))
        play_fail(p, "%s still runs", name);
}

/* `expect trouble budget`: the instance says what Redis refuses; `expect trouble none`. */
static void expect_trouble(struct play *p)
{
    const char *word = play_word(p, 2);
    char why[512] = "";
    bool any = instance_troubled(instance_find("first"), why, sizeof(why));

    if (any == (strcmp(word, "none") == 0) || (any && !strstr(why, word)))
        play_fail(p, "the trouble is \"%s\"", why);
}

static void expect_cost(struct play *p)
{
    const char *least = play_option(p, "least"), *most = play_option(p, "most");
    uint64_t cost = witness_sums()->cost, n = 0;

    if ((least && (text_number(least, &n) < 0 || cost < n)) ||
        (most && (text_number(most, &n) < 0 || cost > n)))
        play_fail(p, "%" PRIu64 " units have been spent", cost);
}

/* `expect job waiting`: the last answer to GET. */
static void expect_job(struct play *p)
{
    if (strcmp(play_word(p, 2), api_last_seen()) != 0)
        play_fail(p, "the job is \"%s\"", api_last_seen());
}

/* `expect asks 2`, `expect asks least=2 most=5`: of the origin, since the last such line. */
static void expect_asks(struct play *p)
{
    const char *least = play_option(p, "least"), *most = play_option(p, "most");
    uint64_t asks = origin_fake.asks, n = 0;

    origin_fake.asks = 0;
    if (!least && !most)
        check_number(p, asks, "times the origin was asked");
    else if ((least && (text_number(least, &n) < 0 || asks < n)) ||
             (most && (text_number(most, &n) < 0 || asks > n)))
        play_fail(p, "the origin was asked %" PRIu64 " times", asks);
}

static void expect_accepted(struct play *p)
{
    check_number(p, api_accepted(), "jobs have been accepted");
}

/* That a job has ended as purged, dead ... : how many in all. */
static void expect_ended(struct play *p)
{
    const struct witness_sums *s = witness_sums();
    const char *what = play_word(p, 1);
    uint64_t n = strcmp(what, "purged") == 0 ? s->purged : s->expired;

    check_number(p, n,
                 strcmp(what, "purged") == 0 ? "jobs are purged so far" : "jobs have expired");
}

static void expect_looks(struct play *p)
{
    check_number(p, pages_looks(), "pages have been looked at since the last time this was asked");
}

static void expect_checks(struct play *p)
{
    check_number(p, witness_checks, "pages wait to be looked at");
}

/* `expect canary main-news key`: what the canary's state is by the last status, which names only
 * those that are not well. */
static void expect_canary(struct play *p)
{
    json_t *status = json_loads(witness_status, 0, NULL), *one;
    const char *state =
        json_integer_value(json_object_get(status, "canaries_ok")) ? "ok" : "unknown";
    size_t i;

    json_array_foreach(json_object_get(status, "canaries"), i, one)
    {
        const char *name = json_string_value(json_object_get(one, "canary"));

        if (name && strcmp(name, play_word(p, 2)) == 0)
            state = json_string_value(json_object_get(one, "state"));
    }
    if (strcmp(state, play_word(p, 3)) != 0)
        play_fail(p, "the canary is \"%s\"", state);
    json_decref(status);
}

void play_expect(struct play *p)
{
    static const struct {
        const char *word;
        play_verb *verb;
    } words[] = {
        {"request", expect_request}, {"requests", expect_requests}, {"acked", expect_acked},
        {"dead", expect_dead},       {"receipt", expect_receipt},   {"waiting", expect_waiting},
        {"later", expect_later},     {"leader", expect_leader},     {"stopped", expect_stopped},
        {"cost", expect_cost},       {"purged", expect_ended},      {"expired", expect_ended},
        {"trouble", expect_trouble}, {"job", expect_job},           {"accepted", expect_accepted},
        {"letters", expect_letters}, {"leads", expect_leads},       {"gap", expect_gap},
        {"asks", expect_asks},       {"looks", expect_looks},       {"checks", expect_checks},
        {"canary", expect_canary}};

    for (size_t i = 0; i < array_len(words); i++) {
        if (strcmp(words[i].word, play_word(p, 1)) == 0) {
            words[i].verb(p);
            return;
        }
    }
    play_fail(p, "nobody knows how to expect \"%s\"", play_word(p, 1));
}
