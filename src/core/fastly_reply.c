/* SPDX-License-Identifier: MIT */
#include "fastly.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

#define WAIT_MAX_MS UINT64_C(3600000)
#define TEXT_MAX_BYTES 4096 /* part of a non-JSON reply that is searched for a reason */

const char *const verdict_names[] = {
    [VERDICT_PURGED] = "purged", [VERDICT_THROTTLED] = "throttled",
    [VERDICT_RETRY] = "retry",   [VERDICT_REFUSED] = "refused",
    [VERDICT_AUTH] = "auth",     [VERDICT_NO_SERVICE] = "no_service",
    [VERDICT_DENIED] = "denied",
};

/* -- the verdict table -- */

/* What was requested, and who seems to have answered. A URL purge through the API also runs through
 * the customer's VCL, so either the API ({"msg": ...}) or the site may refuse it:
 * https://github.com/fastly/cli/issues/645 ,
 * https://github.com/alphagov/govuk-cdn-config/pull/148 */
enum asked { ASKED_KEYS, ASKED_ALL, ASKED_URL_API, ASKED_URL_SITE, ASKED_URL_DIRECT, ASKED_N };

#define ROW(from, to, keys, all, url_api, url_site, url_direct)                                    \
    {                                                                                              \
        from, to,                                                                                  \
        {                                                                                          \
            [ASKED_KEYS] = VERDICT_##keys, [ASKED_ALL] = VERDICT_##all,                            \
            [ASKED_URL_API] = VERDICT_##url_api, [ASKED_URL_SITE] = VERDICT_##url_site,            \
            [ASKED_URL_DIRECT] = VERDICT_##url_direct                                              \
        }                                                                                          \
    }
#define SAME(from, to, verdict) ROW(from, to, verdict, verdict, verdict, verdict, verdict)

/* The first matching row applies. A 3xx from the API means that `api` points to something else. A
 * 3xx from a site comes from a VCL that redirects unknown requests; it is not followed. */
static const struct rule {
    int from, to;
    enum verdict verdict[ASKED_N];
} rules[] = {
    /* columns: status; keys; all; URL answered by the API, URL answered by the site behind it, URL
     * sent directly to the site */
    SAME(0, 0, RETRY),
    SAME(200, 299, PURGED), /* only if the body is understood, too */
    ROW(300, 399, RETRY, RETRY, RETRY, RETRY, DENIED),
    ROW(401, 401, AUTH, AUTH, AUTH, AUTH, DENIED),
    ROW(403, 403, AUTH, DENIED, AUTH, DENIED, DENIED),
    ROW(404, 404, NO_SERVICE, NO_SERVICE, DENIED, DENIED, DENIED),
    SAME(408, 409, RETRY),
    SAME(425, 425, RETRY),
    SAME(429, 429, THROTTLED),
    SAME(400, 499, REFUSED),
    SAME(INT_MIN, INT_MAX, RETRY),
};

static enum verdict look_up(int status, enum asked asked)
{
    const struct rule *r = rules;

    while (status < r->from || status > r->to)
        r++;
    return r->verdict[asked];
}

/* -- the body -- */

static json_t *parse(struct span body)
{
    if (body.n == 0 || body.n > FASTLY_REPLY_MAX_BYTES)
        return NULL;
    return json_loadb(body.p, body.n, 0, NULL);
}

static struct span member(const json_t *object, struct span name)
{
    const json_t *v = json_object_getn(object, name.p, name.n);

    return json_is_string(v) ? span_of(json_string_value(v), json_string_length(v)) : SPAN("");
}

static enum asked who_answers(const struct fastly_ask *ask, const json_t *body)
{
    if (ask->kind == TARGET_KEY)
        return ASKED_KEYS;
    if (ask->kind == TARGET_ALL)
        return ASKED_ALL;
    if (ask->url_mode == URL_MODE_DIRECT)
        return ASKED_URL_DIRECT;
    return member(body, SPAN("msg")).n ? ASKED_URL_API : ASKED_URL_SITE;
}

/* A batch reply is {"<key>": "<purge id>", ...}. "fail" is not an id: if a key is called "status"
 * and the batch failed, the reply is {"status": "fail"}. */
static struct span id_of_key(const json_t *body, struct span key)
{
    struct span id = member(body, key);

    return span_eq(id, SPAN("fail")) ? SPAN("") : id;
}

/* The text, if it may be shown and stored as the id of a purge; otherwise nothing. */
static struct span usable_id(struct span text)
{
    if (text.n > FASTLY_ID_MAX_BYTES)
        return SPAN("");
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < 0x20 || text.p[i] > 0x7e || text.p[i] == '"' || text.p[i] == '\\')
            return SPAN("");
    return text;
}

static bool understood_keys(const struct fastly_ask *ask, const json_t *body, bool *missing,
                            size_t *missing_count, struct fastly_ids *ids)
{
    size_t named = 0;

    for (size_t i = 0; i < ask->targets_count; i++) {
        struct span id = id_of_key(body, ask->targets[i]);

        named += id.n > 0;
        ids->of[i] = usable_id(id);
    }
    if (named == 0)
        return false;
    for (size_t i = 0; named < ask->targets_count && i < ask->targets_count; i++)
        if (!id_of_key(body, ask->targets[i]).n)
            missing[i] = true;
    *missing_count = ask->targets_count - named;
    return true;
}

/* When a site is asked directly, its VCL may answer a purge with any body, so any 2xx counts as
 * success unless the body is {"status": "fail"}. */
static bool understood(const struct fastly_ask *ask, const json_t *body, bool *missing,
                       size_t *missing_count, struct fastly_ids *ids)
{
    struct span status = member(body, SPAN("status"));

    if (ask->kind == TARGET_KEY)
        return understood_keys(ask, body, missing, missing_count, ids);
    ids->of[0] = usable_id(member(body, SPAN("id")));
    if (ask->kind == TARGET_URL && ask->url_mode == URL_MODE_DIRECT)
        return !span_eq(status, SPAN("fail"));
    return span_eq(status, SPAN("ok"));
}

/* -- a fast path for the usual reply, without a JSON tree -- */

static struct span past_blank(struct span s)
{
    while (s.n && (*s.p == ' ' || *s.p == '\t' || *s.p == '\n' || *s.p == '\r'))
        s = span_of(s.p + 1, s.n - 1);
    return s;
}

static bool take_byte(struct span *rest, char c)
{
    struct span s = past_blank(*rest);

    if (s.n == 0 || *s.p != c)
        return false;
    *rest = span_of(s.p + 1, s.n - 1);
    return true;
}

/* Reads a string of 0x20 to 0x7E without escapes. Anything else is left to jansson. */
static bool take_string(struct span *rest, struct span *out)
{
    size_t n = 0;

    if (!take_byte(rest, '"'))
        return false;
    while (n < rest->n && rest->p[n] != '"') {
        if (rest->p[n] < 0x20 || rest->p[n] > 0x7e || rest->p[n] == '\\')
            return false;
        n++;
    }
    *out = span_of(rest->p, n);
    *rest = span_of(rest->p + n, rest->n - n);
    return take_byte(rest, '"');
}

static bool take_pair(struct span *rest, struct span *name, struct span *value)
{
    return take_string(rest, name) && take_byte(rest, ':') && take_string(rest, value);
}

/* Exactly {"<key 1>": "<id>", ...} in the order asked, or {"status": "ok"} with or without an "id".
 * False only means that the body needs the full parser. A JSON tree of 256 keys takes 200 us on the
 * dispatching thread; this takes 12 us. What take_string() reads is usable as an id if it is short
 * enough. */
static bool plainly_purged(const struct fastly_ask *ask, struct span body, struct fastly_ids *ids)
{
    static const struct span words[] = {{"status", 6}, {"id", 2}};
    bool keys = ask->kind == TARGET_KEY;
    const struct span *names = keys ? ask->targets : words;
    size_t most = keys ? ask->targets_count : array_len(words), n = 0;
    struct span name, value;

    if (body.n > FASTLY_REPLY_MAX_BYTES || !take_byte(&body, '{'))
        return false;
    ids->of[0] = SPAN("");
    do {
        if (n == most || !take_pair(&body, &name, &value) || !span_eq(name, names[n]) ||
            value.n == 0 || span_eq(value, SPAN("fail")) ||
            (!keys && n == 0 && !span_eq(value, SPAN("ok"))))
            return false;
        if (keys || n == 1)
            ids->of[keys ? n : 0] = value.n > FASTLY_ID_MAX_BYTES ? SPAN("") : value;
        n++;
    } while (take_byte(&body, ','));
    return take_byte(&body, '}') && past_blank(body).n == 0 && (!keys || n == most);
}

/* -- the reason -- */

/* Appends the text as one line of printable ASCII. Text that does not fit is cut and ends in
 * "...". */
static void append(char *out, size_t room, struct span text)
{
    size_t n = strlen(out);

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i] > 0x20 && text.p[i] < 0x7f ? text.p[i] : ' ';

        if (c == ' ' && (n == 0 || out[n - 1] == ' '))
            continue;
        if (n == room - 1) {
            memcpy(out + n - 3, "...", 3);
            break;
        }
        out[n++] = c;
    }
    out[n] = '\0';
}

static struct span first_member(const json_t *object, const char *const names[], size_t count)
{
    struct span s = SPAN("");

    for (size_t i = 0; i < count && s.n == 0; i++)
        s = member(object, span_str(names[i]));
    return s;
}

/* The reply formats of https://github.com/fastly/go-fastly/blob/main/fastly/errors.go : {"msg",
 * "detail"}, {"status", "reason"}, RFC 9457 {"title", "detail"}, JSON:API {"errors": [{"title",
 * "detail"}]}, and plain text. */
static void append_text(char *out, size_t room, struct span body, const json_t *json)
{
    static const char *const heads[] = {"msg", "reason", "title"};
    const json_t *first = json_array_get(json_object_get(json, "errors"), 0);
    const json_t *from = json_is_object(first) ? first : json;
    struct span head = first_member(from, heads, array_len(heads));
    struct span detail = member(from, SPAN("detail"));

    if (head.n == 0 && detail.n == 0) {
        append(out, room, span_of(body.p, min_u64(body.n, TEXT_MAX_BYTES)));
        return;
    }
    append(out, room, head);
    if (head.n && detail.n)
        append(out, room, SPAN(": "));
    append(out, room, detail);
}

/* "Batch surrogate key request only supports up to 256 surrogate keys":
 * https://github.com/fastly/fastly-magento2/issues/104 */
static uint32_t find_keys_limit(struct span body)
{
    static const char before[] = "supports up to ";
    const char *p, *end = body.p + body.n;
    struct span digits;
    uint64_t limit;

    p = body.n ? memmem(body.p, body.n, before, sizeof(before) - 1) : NULL;
    if (!p)
        return 0;
    p += sizeof(before) - 1;
    digits = span_of(p, 0);
    while (p + digits.n < end && p[digits.n] >= '0' && p[digits.n] <= '9')
        digits.n++;
    if (span_to_u64(digits, &limit) < 0 || limit > FASTLY_BATCH_MAX_KEYS)
        return 0;
    return (uint32_t)limit;
}

static void explain(struct fastly_judgement *j, const struct fastly_reply *reply,
                    const json_t *json)
{
    size_t bare, n;

    if (reply->status == 0) {
        snprintf(j->reason, sizeof(j->reason), "no answer");
        return;
    }
    bare = (size_t)snprintf(j->reason, sizeof(j->reason), "%d", reply->status);
    memcpy(j->reason + bare, ": ", 3);
    append_text(j->reason, sizeof(j->reason), reply->body, json);
    n = strlen(j->reason);
    while (n > bare && (j->reason[n - 1] == ' ' || n <= bare + 2))
        n--;
    j->reason[n] = '\0';
}

/* -- the wait -- */

/* RFC 9110 section 5.6.7: one preferred format and two obsolete ones that must still be
 * accepted. */
static int parse_date(const char *text, time_t *out)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %e %H:%M:%S %Y"};

    for (size_t i = 0; i < array_len(forms); i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);

        if (end && *end == '\0') {
            *out = timegm(&tm);
            return 0;
        }
    }
    return -EINVAL;
}

/* Milliseconds from now until a Unix time in seconds; 0 if it has passed. */
static uint64_t until(uint64_t at_s, uint64_t wall_ms)
{
    uint64_t at_ms = min_u64(at_s, UINT64_MAX / 1000) * 1000;

    return at_ms > wall_ms ? min_u64(at_ms - wall_ms, WAIT_MAX_MS) : 0;
}

int fastly_retry_after(struct span value, uint64_t wall_ms, uint64_t *wait_ms)
{
    struct span v = span_trim(value);
    uint64_t seconds;
    char text[64];
    time_t at;
    int err = span_to_u64(v, &seconds);

    if (err != -EINVAL) { /* a number too large for 64 bits also means an hour */
        *wait_ms = err < 0 || seconds > WAIT_MAX_MS / 1000 ? WAIT_MAX_MS : seconds * 1000;
        return 0;
    }
    if (v.n == 0 || v.n >= sizeof(text) || memchr(v.p, '\0', v.n))
        return -EINVAL;
    memcpy(text, v.p, v.n);
    text[v.n] = '\0';
    if (parse_date(text, &at) < 0)
        return -EINVAL;
    *wait_ms = at > 0 ? until((uint64_t)at, wall_ms) : 0;
    return 0;
}

static uint64_t wait_hint(enum verdict verdict, const struct fastly_reply *reply, uint64_t wall_ms)
{
    uint64_t wait_ms, remaining, reset_s;

    if (verdict != VERDICT_THROTTLED && verdict != VERDICT_RETRY)
        return 0;
    if (fastly_retry_after(reply->retry_after, wall_ms, &wait_ms) == 0)
        return wait_ms;
    if (verdict == VERDICT_THROTTLED &&
        span_to_u64(span_trim(reply->rate_remaining), &remaining) == 0 && remaining == 0 &&
        span_to_u64(span_trim(reply->rate_reset), &reset_s) == 0)
        return until(reset_s, wall_ms);
    return 0;
}

uint64_t fastly_wait_hint(const struct fastly_reply *reply, uint64_t wall_ms)
{
    return wait_hint(VERDICT_THROTTLED, reply, wall_ms);
}

/* -- judging a reply -- */

static void judge(const struct fastly_ask *ask, const struct fastly_reply *reply,
                  const json_t *body, struct fastly_judgement *out, bool *missing,
                  size_t *missing_count, struct fastly_ids *ids)
{
    out->verdict = look_up(reply->status, who_answers(ask, body));
    if (out->verdict == VERDICT_PURGED) {
        if (understood(ask, body, missing, missing_count, ids))
            return;
        out->verdict = VERDICT_RETRY;
        snprintf(out->reason, sizeof(out->reason), "%d: the reply does not say what was purged",
                 reply->status);
        return;
    }
    if (out->verdict == VERDICT_REFUSED && ask->kind == TARGET_KEY)
        out->keys_limit = find_keys_limit(reply->body);
    explain(out, reply, body);
}

void fastly_judge(const struct fastly_ask *ask, const struct fastly_reply *reply, uint64_t wall_ms,
                  struct fastly_judgement *out, bool *missing, size_t *missing_count,
                  struct fastly_ids *ids)
{
    json_t *body;

    *out = (struct fastly_judgement){.verdict = VERDICT_PURGED};
    ids->reply = NULL;
    if (reply->status >= 200 && reply->status <= 299 && plainly_purged(ask, reply->body, ids)) {
        if (ask->kind == TARGET_KEY)
            *missing_count = 0;
        return;
    }
    body = parse(reply->body);
    judge(ask, reply, body, out, missing, missing_count, ids);
    out->wait_ms = wait_hint(out->verdict, reply, wall_ms);
    ids->reply = body;
}

void fastly_ids_deinit(struct fastly_ids *ids)
{
    json_decref(ids->reply);
    ids->reply = NULL;
}
