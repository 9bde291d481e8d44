/* SPDX-License-Identifier: MIT
 * Replies to requests, from any server. Input: a digit that chooses the request, then status,
 * Retry-After, remaining and reset, one per line, then the body. The verdict on a 2xx reply is
 * compared with that of a simple second parser, which uses the JSON library. */
#include <jansson.h>

#include "fastly.h"
#include "fuzz.h"

#define WALL_MS UINT64_C(1756794994000)

static struct span keys[] = {{"foo", 3}, {"bar", 3}, {"status", 6}, {"a\"b\\", 4}};
static struct span url[] = {{"h/x", 3}};

static const struct fastly_ask asks[] = {
    {.kind = TARGET_KEY, .service = {"S", 1}, .targets = keys, .targets_count = 2},
    {.kind = TARGET_KEY, .service = {"S", 1}, .targets = keys, .targets_count = 4},
    {.kind = TARGET_KEY, .service = {"S", 1}, .targets = keys + 2, .targets_count = 1},
    {.kind = TARGET_URL, .targets = url, .targets_count = 1, .url_mode = URL_MODE_API},
    {.kind = TARGET_URL, .targets = url, .targets_count = 1, .url_mode = URL_MODE_DIRECT},
    {.kind = TARGET_ALL, .service = {"S", 1}},
};

static struct span text_of(const json_t *object, struct span name)
{
    const json_t *v = json_object_getn(object, name.p, name.n);

    return json_is_string(v) ? span_of(json_string_value(v), json_string_length(v)) : SPAN("");
}

static bool names(const json_t *body, struct span key)
{
    struct span id = text_of(body, key);

    return id.n && !span_is(id, "fail");
}

static void check_keys(const struct fastly_ask *ask, const json_t *body, enum verdict verdict,
                       const bool *missing, size_t missing_count)
{
    size_t named = 0;

    for (size_t i = 0; i < ask->targets_count; i++) {
        named += names(body, ask->targets[i]);
        must(verdict != VERDICT_PURGED || missing[i] == !names(body, ask->targets[i]));
    }
    must((verdict == VERDICT_PURGED) == (named > 0));
    must(verdict != VERDICT_PURGED || missing_count == ask->targets_count - named);
}

static void check_2xx(const struct fastly_ask *ask, struct span reply, enum verdict verdict,
                      const bool *missing, size_t missing_count)
{
    json_t *body = reply.n ? json_loadb(reply.p, reply.n, 0, NULL) : NULL;
    struct span status = text_of(body, SPAN("status"));

    must(verdict == VERDICT_PURGED || verdict == VERDICT_RETRY);
    if (ask->kind == TARGET_KEY)
        check_keys(ask, body, verdict, missing, missing_count);
    else if (ask->kind == TARGET_URL && ask->url_mode == URL_MODE_DIRECT)
        must((verdict == VERDICT_PURGED) == !span_is(status, "fail"));
    else
        must((verdict == VERDICT_PURGED) == span_is(status, "ok"));
    json_decref(body);
}

/* An id of the reply is given as it is, or, if it may not be shown, not at all. */
static void check_id(struct span given, struct span said)
{
    bool shown = said.n <= FASTLY_ID_MAX_BYTES;

    for (size_t i = 0; i < said.n; i++)
        shown &= said.p[i] >= 0x20 && said.p[i] < 0x7f && said.p[i] != '"' && said.p[i] != '\\';
    must(span_eq(given, shown ? said : SPAN("")));
}

static void check_ids(const struct fastly_ask *ask, struct span reply, const struct fastly_ids *ids)
{
    json_t *body = reply.n ? json_loadb(reply.p, reply.n, 0, NULL) : NULL;

    if (ask->kind != TARGET_KEY)
        check_id(ids->of[0], text_of(body, SPAN("id")));
    for (size_t i = 0; ask->kind == TARGET_KEY && i < ask->targets_count; i++) {
        struct span key = ask->targets[i];

        check_id(ids->of[i], names(body, key) ? text_of(body, key) : SPAN(""));
    }
    json_decref(body);
}

static void check(const struct fastly_judgement *j)
{
    size_t n = strnlen(j->reason, sizeof(j->reason));

    must(n < sizeof(j->reason));
    must((j->verdict == VERDICT_PURGED) == (n == 0));
    for (size_t i = 0; i < n; i++)
        must(j->reason[i] >= 0x20 && j->reason[i] < 0x7f);
    must(j->wait_ms <= 3600000);
    must(j->keys_limit <= FASTLY_BATCH_MAX_KEYS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of((const char *)data, size);
    const struct fastly_ask *ask;
    struct fastly_reply reply = {0};
    struct fastly_judgement j;
    struct fastly_ids ids;
    bool missing[4] = {false};
    size_t missing_count = 0;
    uint64_t status = 0;

    if (size == 0)
        return 0;
    ask = &asks[data[0] % array_len(asks)];
    rest = span_of(rest.p + 1, rest.n - 1);
    if (span_to_u64(fuzz_line(&rest), &status) < 0 || status > 1000)
        status = 200;
    reply.status = (int)status;
    reply.retry_after = fuzz_line(&rest);
    reply.rate_remaining = fuzz_line(&rest);
    reply.rate_reset = fuzz_line(&rest);
    reply.body = rest;
    fastly_judge(ask, &reply, WALL_MS, &j, missing, &missing_count, &ids);
    check(&j);
    if (status >= 200 && status <= 299)
        check_2xx(ask, reply.body, j.verdict, missing, missing_count);
    if (j.verdict == VERDICT_PURGED)
        check_ids(ask, reply.body, &ids);
    fastly_ids_deinit(&ids);
    return 0;
}
