/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "api_read.h"
#include "api_words.h"
#include "check.h"
#include "check_say.h"
#include "config_file.h"

#define EXPIRES_SOON_MS (14ULL * 24 * 3600 * 1000)
#define REPLY_MAX_BYTES (1024 * 1024)
#define NOT_ASKED (-1)

/* What is asked about an account. */
struct token_check {
    struct report report;
    struct api_reader *reader;
    const struct config_account *account;
    struct fetch_secrets secrets;
};

/* Sends a GET request to the API. Returns the status of the reply; 0 if there was no reply, which
 * is then reported as a finding; NOT_ASKED if a limit is used up, reported likewise. *doc is the
 * reply, or NULL if it is not JSON. */
static int ask(const struct token_check *k, const char *path, json_t **doc)
{
    const struct config_account *a = k->account;
    struct fetch_answer answer = {0};
    struct buf body;
    struct error err;
    int rc;

    *doc = NULL;
    buf_init(&body, REPLY_MAX_BYTES);
    rc = api_read(k->reader, a, &k->secrets, READ_API, path, &body, &answer, &err);
    if (rc == -EAGAIN)
        check_say(&k->report, CHECK_WARN, "try again then", "%s was not asked: %s", path, err.text);
    else if (rc < 0)
        check_say(&k->report, CHECK_FAIL,
                  "correct api, api_proxy or ca_file, or let this machine out", "%s%s: %s", a->api,
                  path, err.text);
    else
        *doc = json_loadb(body.n ? body.p : "", body.n, 0, NULL);
    buf_deinit(&body);
    return rc == -EAGAIN ? NOT_ASKED : answer.status;
}

static bool has_word(const char *words, const char *word)
{
    struct span rest = span_str(words), one;

    while (span_next_word(&rest, ' ', &one))
        if (span_is(one, word))
            return true;
    return false;
}

static void judge_scope(const struct report *r, const struct config_account *a, const json_t *doc)
{
    const char *scope = json_string_value(json_object_get(doc, "scope"));

    if (!scope) {
        check_say(r, CHECK_WARN, "", "the API does not say what the token may do");
        return;
    }
    if (!has_word(scope, "global") && !has_word(scope, "purge_select"))
        check_say(r, CHECK_FAIL, "make an automation token with scope purge_select",
                  "the token may not purge URLs or keys; its scope is %.200s", scope);
    else if (a->allow_purge_all && !has_word(scope, "global") && !has_word(scope, "purge_all"))
        check_say(r, CHECK_FAIL, "add scope purge_all, or set allow_purge_all: false",
                  "the token may not purge all; its scope is %.200s", scope);
    else if (has_word(scope, "global"))
        check_say(r, CHECK_WARN, "make an automation token with scope purge_select",
                  "the token may do far more than purge: its scope is global");
    else
        check_say(r, CHECK_OK, "", "the token may purge; its scope is %.200s", scope);
}

static void judge_expiry(const struct report *r, const json_t *doc, uint64_t now_ms)
{
    const char *expires = json_string_value(json_object_get(doc, "expires_at"));
    struct tm tm = {0};
    uint64_t ms;

    if (!expires || !strptime(expires, "%Y-%m-%dT%H:%M:%S", &tm))
        return;
    ms = (uint64_t)timegm(&tm) * 1000;
    if (ms < now_ms)
        check_say(r, CHECK_FAIL, "make a new one", "the token expired at %.40s", expires);
    else if (ms - now_ms < EXPIRES_SOON_MS)
        check_say(r, CHECK_WARN, "make a new one in time", "the token expires at %.40s", expires);
}

/* An empty list means all services: https://www.fastly.com/documentation/reference/api/auth-tokens/
 */
static bool token_covers(const json_t *doc, const char *service)
{
    const json_t *services = json_object_get(doc, "services"), *one;
    size_t i;

    if (json_array_size(services) == 0)
        return true;
    json_array_foreach(services, i, one)
    {
        if (json_is_string(one) && strcmp(json_string_value(one), service) == 0)
            return true;
    }
    return false;
}

static int judge_service(const struct token_check *k, const json_t *self, const char *id)
{
    const struct report *r = &k->report;
    char *path = alloc_printf("/service/%s", id), words[320];
    json_t *doc;
    int status = ask(k, path, &doc);
    const char *name = json_string_value(json_object_get(doc, "name"));

    api_words(doc, words, sizeof(words));
    if (status == 200 && !token_covers(self, id))
        check_say(r, CHECK_FAIL, "make a token for this service, too",
                  "service %s: not one of the token's", id);
    else if (status == 200)
        check_say(r, CHECK_OK, "", "service %s is there%s%.100s", id, name ? ": " : "",
                  name ? name : "");
    else if (status == 403 && token_covers(self, id))
        check_say(r, CHECK_WARN, "", "service %s: this token may not look at it%s", id, words);
    else if (status == 429)
        check_say(r, CHECK_WARN, "try again later", "service %s was not looked at: status 429%s",
                  id, words);
    else if (status > 0)
        check_say(r, CHECK_FAIL, "correct the id, or give the token access to it",
                  "service %s: status %d%s", id, status, words);
    json_decref(doc);
    free(path);
    return status;
}

/* When a limit is used up, the other services would only say the same. */
static void judge_services(struct token_check *k, const json_t *self)
{
    const struct config_account *a = k->account;
    int status = 0;

    k->report.subject = "service";
    if (a->services_count == 0)
        check_say(&k->report, CHECK_WARN, CONFIG_NO_SERVICE_REMEDY, "%s", CONFIG_NO_SERVICE);
    for (uint32_t i = 0; i < a->services_count && status != NOT_ASKED && status != 429; i++)
        status = judge_service(k, self, a->services[i].id);
}

static void judge_token(struct token_check *k, uint64_t now_ms)
{
    const struct report *r = &k->report;
    char words[320];
    json_t *self;
    int status = ask(k, "/tokens/self", &self);

    api_words(self, words, sizeof(words));
    if (status == 200) {
        judge_scope(r, k->account, self);
        judge_expiry(r, self, now_ms);
        judge_services(k, self);
    } else if (status == 401 || status == 403) {
        check_say(r, CHECK_FAIL, "set a valid token", "Fastly refuses the token: status %d%s",
                  status, words);
    } else if (status == 429) {
        check_say(r, CHECK_WARN, "try again later", "the token was not looked at: status 429%s",
                  words);
    } else if (status > 0) {
        check_say(r, CHECK_FAIL, "try again, or correct api", "%s/tokens/self: status %d%s",
                  k->account->api, status, words);
    }
    json_decref(self);
}

void check_account(struct api_reader *reader, const struct config_account *a, uint64_t now_ms,
                   check_cb *cb, void *ctx)
{
    struct token_check k = {
        .report = {.cb = cb, .ctx = ctx, .account = a->name, .subject = "token"},
        .reader = reader,
        .account = a};
    const struct report *r = &k.report;
    char *token, *auth;
    struct error err;
    int rc = config_read_token(a, &token, &err);

    if (a->url_mode == URL_MODE_DIRECT && a->direct_token_hosts.count == 0)
        check_say(r, CHECK_OK, "name those that ask for it in direct_token_hosts",
                  "sites are purged directly and never see it");
    if (rc == -ENOENT && a->url_mode == URL_MODE_DIRECT) {
        check_say(r, CHECK_WARN, "", "%s; only direct purges without authentication will work",
                  err.text);
        return;
    }
    if (rc < 0) {
        check_say(r, CHECK_FAIL, "put the API token there", "%s", err.text);
        return;
    }
    if (config_read_proxy_auth(a, &auth, &err) < 0) {
        check_say(r, CHECK_FAIL, "put user:password there", "%s", err.text);
    } else {
        k.secrets = (struct fetch_secrets){token, auth};
        judge_token(&k, now_ms);
        explicit_bzero(auth, strlen(auth));
        free(auth);
    }
    explicit_bzero(token, strlen(token));
    free(token);
}

/* An embedded Redis need not be running. */
void check_reads(const struct config *c, const struct api_reader *reader, check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .subject = "limits"};

    if (*api_reader_uncounted(reader))
        check_say(&r, config_redis_embedded(c) ? CHECK_OK : CHECK_WARN, "",
                  "the requests to Fastly's API are not counted, because Redis does not answer: %s",
                  api_reader_uncounted(reader));
}
