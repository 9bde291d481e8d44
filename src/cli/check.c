/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "api_words.h"
#include "check_cluster.h"
#include "check_files.h"
#include "check_say.h"
#include "check_sentinel.h"
#include "check_store.h"
#include "child.h"
#include "client.h"
#include "config_file.h"
#include "exposure.h"
#include "fetch.h"
#include "overview.h"
#include "redis_config.h"
#include "redis_error.h"
#include "serverinfo.h"
#include "setting.h"
#include "suggest.h"

/* The option MINID, with which the ledger is trimmed, was added in Redis 6.2:
 * https://redis.io/docs/latest/commands/xadd/ */
#define REDIS_MIN_MAJOR 6
#define REDIS_MIN_MINOR 2
#define EXPIRES_SOON_MS (14ULL * 24 * 3600 * 1000)

extern char **environ;

const char *const check_grade_names[] = {
    [CHECK_OK] = "ok", [CHECK_WARN] = "warn", [CHECK_FAIL] = "fail"};

/* -- the environment -- */

#define NAMES_MAX 256

/* Known variables that are not in the table of settings. */
static const char *const other_names[] = {"PURGELINE_CONFIG", "PURGELINE_BIN"};

static size_t known_names(char names[][64], const char **list)
{
    size_t count, n = 0;
    const struct setting *table = setting_table(&count);

    must(count + array_len(other_names) <= NAMES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!setting_env_name(&table[i], names[n], sizeof(names[n])))
            continue;
        list[n] = names[n];
        n++;
    }
    for (size_t i = 0; i < array_len(other_names); i++)
        list[n++] = other_names[i];
    return n;
}

static bool among(const char *name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, list[i]) == 0)
            return true;
    return false;
}

void check_environment(check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .subject = "environment"};
    char names[NAMES_MAX][64], name[64];
    const char *list[NAMES_MAX];
    size_t count = known_names(names, list);

    for (char **e = environ; *e; e++) {
        const char *meant;

        if (strncmp(*e, "PURGELINE_", 10) != 0)
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(*e, "="), *e);
        if (among(name, list, count))
            continue;
        meant = suggest_word(name, list, count);
        check_say(&r, CHECK_WARN, meant ? meant : "", "$%s is no setting%s", name,
                  meant ? "; this one was meant?" : "");
    }
}

/* -- Redis -- */

static void judge_version(const struct report *r, const struct serverinfo *s)
{
    if (!s->version_known)
        check_say(r, CHECK_WARN, "", "the version of Redis is unknown");
    else if (s->major < REDIS_MIN_MAJOR ||
             (s->major == REDIS_MIN_MAJOR && s->minor < REDIS_MIN_MINOR))
        check_say(r, CHECK_FAIL, "use Redis 6.2 or newer, or Valkey", "Redis %.*s is too old",
                  (int)s->version.n, s->version.p);
    else
        check_say(r, CHECK_OK, "", "Redis %.*s answers", (int)s->version.n, s->version.p);
}

#define NEARLY_FULL 9 / 10

static void judge_fullness(const struct report *r, const struct serverinfo *s)
{
    uint64_t most = s->maxmemory, used = s->used_bytes;

    if (s->full)
        check_say(r, CHECK_FAIL, "raise Redis' maxmemory or free memory",
                  "it is at its maxmemory (%" PRIu64 " of %" PRIu64 " bytes): it takes no new jobs",
                  used, most);
    else if (most && used > most * NEARLY_FULL)
        check_say(r, CHECK_WARN, "raise Redis' maxmemory or free memory",
                  "it is nearly at its maxmemory: %" PRIu64 " of %" PRIu64 " bytes", used, most);
}

static void judge_memory(const struct report *r, const struct serverinfo *s)
{
    struct span policy = s->maxmemory_policy;

    judge_fullness(r, s);
    if (policy.n == 0)
        check_say(r, CHECK_WARN, "look for maxmemory-policy noeviction",
                  "what Redis evicts is unknown");
    else if (span_is(policy, "noeviction"))
        check_say(r, CHECK_OK, "", "it evicts nothing");
    else
        check_say(r, CHECK_FAIL,
                  "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf",
                  "it may throw away jobs: maxmemory-policy is %.*s", (int)policy.n, policy.p);
}

/* Whether the jobs that Redis has confirmed survive its crash. This depends on appendfsync: see
 * redis.conf. */
static void judge_fsync(const struct report *r, struct client *client)
{
    struct span how = serverinfo_appendfsync(client);

    if (how.n == 0)
        check_say(r, CHECK_OK, "", "it keeps an append-only file; appendfsync is not ours to see");
    else if (span_is(how, "always"))
        check_say(r, CHECK_OK, "", "it keeps an append-only file and writes before it says yes");
    else
        check_say(
            r, CHECK_WARN, "CONFIG SET appendfsync always, and the same in redis.conf",
            "its append-only file is written later (appendfsync %.*s): a crash of Redis or of its "
            "machine may take the jobs of the last seconds",
            (int)how.n, how.p);
}

/* Checks the persistence of Redis. True if it has an append-only file and can write it. */
static bool judge_disk(const struct report *r, const struct serverinfo *s)
{
    bool writes = s->aof_last_write.n == 0 || span_is(s->aof_last_write, "ok");

    if (!s->aof)
        check_say(r, CHECK_WARN, "CONFIG SET appendonly yes, and the same in redis.conf",
                  "it has no append-only file: jobs of the last minutes are lost when it dies");
    else if (!writes)
        check_say(r, CHECK_FAIL, "make room on its disk", "it cannot write its append-only file");
    if (s->last_snapshot.n && !span_is(s->last_snapshot, "ok"))
        check_say(r, CHECK_WARN, "look into its log; it may refuse writes (MISCONF)",
                  "its last snapshot failed");
    return s->aof && writes;
}

/* What a failover can lose with the present setting. */
static void judge_replicas(const struct report *r, const struct serverinfo *s, uint32_t want)
{
    if (want > s->replicas)
        check_say(r, CHECK_FAIL, "bring replicas up, or lower redis_replicas",
                  "no job is accepted and none sent: redis_replicas is %" PRIu32 ", and %" PRIu64
                  " replicas are connected",
                  want, s->replicas);
    else if (want)
        check_say(r, CHECK_OK, "",
                  "a job is accepted when %" PRIu32 " of its %" PRIu64
                  " replicas have it: a failover to one of these loses nothing",
                  want, s->replicas);
    else if (s->replicas)
        check_say(r, CHECK_WARN, "set redis_replicas: 1, here and for those who push",
                  "a failover to one of its %" PRIu64
                  " replicas may lose what was accepted in the last moments (redis_replicas: 0)",
                  s->replicas);
}

/* Without redis+cluster://, an account is served as long as this node has its slot. */
static void judge_kind(const struct report *r, struct client *client)
{
    struct serverinfo s;

    if (serverinfo_read(client, &s) < 0)
        return;
    if (s.cluster)
        check_say(r, CHECK_WARN, "name it with redis+cluster:// or rediss+cluster://",
                  "this Redis belongs to a Cluster: accounts whose keys another node has, or gets "
                  "one day, are neither accepted nor purged");
    serverinfo_deinit(&s);
}

static void judge_server(const struct report *r, struct client *client, uint32_t replicas)
{
    struct serverinfo s;

    if (serverinfo_read(client, &s) < 0) {
        check_say(r, CHECK_WARN, "permit INFO", "Redis does not tell about itself: %s",
                  client_error(client));
        return;
    }
    judge_version(r, &s);
    judge_memory(r, &s);
    if (judge_disk(r, &s))
        judge_fsync(r, client);
    judge_replicas(r, &s, replicas);
    serverinfo_deinit(&s);
}

/* Warns about settings whose new values the leader of the account uses only after a restart. */
static void judge_leader(const struct report *r, struct client *client, const char *account)
{
    struct report of = {.cb = r->cb, .ctx = r->ctx, .account = account, .subject = "reload"};
    char *waits = overview_ask_needs_restart(client, account);

    if (waits)
        check_say(&of, CHECK_WARN, "restart it",
                  "the instance that leads still runs with the old values of %.300s", waits);
    free(waits);
}

/* Reports why Redis cannot be reached. True if it is an external Redis, which should be running;
 * the embedded one runs only with `purgeline run`. */
static bool judge_absence(const struct report *r, const struct config *c, const char *why)
{
    bool away = !config_redis_embedded(c);

    if (away && redis_error_is_other_kind(why))
        check_say(r, CHECK_FAIL, "correct 'redis' in the configuration", "%s", why);
    else if (away)
        check_say(r, CHECK_FAIL, "start Redis, or correct 'redis' in the configuration",
                  "Redis does not answer: %s", why);
    else if (!child_in_path("setpriv"))
        check_say(r, CHECK_FAIL, "apt install util-linux, or set 'redis' to one elsewhere",
                  "there is no setpriv to start redis-server with");
    else if (child_in_path("redis-server"))
        check_say(r, CHECK_OK, "", "not running; purgeline run starts its own in %s", c->data_dir);
    else
        check_say(r, CHECK_FAIL, "apt install redis-server, or set 'redis' to one elsewhere",
                  "there is no redis-server to start");
    return away;
}

/* Uses a separate connection, because the check leaves it in subscriber mode. */
static void check_permissions_anew(const struct redis_address *address,
                                   const struct config_account *a, check_cb *cb, void *ctx)
{
    struct redis_address at = *address;
    struct client *client;
    struct error err;

    at.replicas = 0; /* what it writes as a test promises nothing */
    if (client_open(&at, &client, &err) < 0)
        return;
    check_permissions(client, a, address->replicas, cb, ctx);
    client_close(client);
}

bool check_redis(const struct config *c, const char *account, check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .subject = "redis"};
    struct error err;
    struct redis_address address;
    struct client *client;
    int rc = redis_config_address(c, &address, &err);

    if (rc < 0) {
        check_say(&r, CHECK_FAIL, "", "%s", err.text);
        return true;
    }
    if (!check_redis_files(&address, cb, ctx)) {
        redis_address_deinit(&address);
        return false;
    }
    if (address.master)
        check_sentinels(&address, cb, ctx);
    rc = client_open(&address, &client, &err);
    if (rc < 0) {
        redis_address_deinit(&address);
        return !judge_absence(&r, c, err.text);
    }
    if (address.cluster) {
        check_cluster(&address, c, account, judge_server, cb, ctx);
    } else {
        judge_kind(&r, client);
        judge_server(&r, client, c->redis_replicas);
    }
    for (uint32_t i = 0; i < c->accounts_count; i++)
        if (!account || strcmp(account, c->accounts[i].name) == 0)
            judge_leader(&r, client, c->accounts[i].name);
    for (uint32_t i = 0; i < c->accounts_count; i++)
        if (!account || strcmp(account, c->accounts[i].name) == 0)
            check_keys(client, &c->accounts[i], cb, ctx);
    for (uint32_t i = 0; i < c->accounts_count; i++)
        if (!account || strcmp(account, c->accounts[i].name) == 0)
            check_permissions_anew(&address, &c->accounts[i], cb, ctx);
    redis_address_deinit(&address);
    client_close(client);
    return true;
}

/* -- token and services -- */

#define REPLY_MAX_BYTES (1024 * 1024)

/* Sends a GET request to the API. Returns the status of the reply; 0 if there was no reply, which
 * is then reported as a finding. *doc is the reply, or NULL if it is not JSON. */
static int ask(const struct report *r, const struct config_account *a,
               const struct fetch_secrets *token, const char *path, json_t **doc)
{
    struct buf body;
    struct error err;
    int status = 0;

    *doc = NULL;
    buf_init(&body, REPLY_MAX_BYTES);
    if (fetch(a, token, path, &body, &status, &err) < 0)
        check_say(r, CHECK_FAIL, "correct api, api_proxy or ca_file, or let this machine out",
                  "%s%s: %s", a->api, path, err.text);
    else
        *doc = json_loadb(body.n ? body.p : "", body.n, 0, NULL);
    buf_deinit(&body);
    return status;
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

static void judge_service(const struct report *r, const struct config_account *a,
                          const struct fetch_secrets *token, const json_t *self, const char *id)
{
    char *path = alloc_printf("/service/%s", id), words[320];
    json_t *doc;
    int status = ask(r, a, token, path, &doc);
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
    else if (status)
        check_say(r, CHECK_FAIL, "correct the id, or give the token access to it",
                  "service %s: status %d%s", id, status, words);
    json_decref(doc);
    free(path);
}

static void judge_services(struct report *r, const struct config_account *a,
                           const struct fetch_secrets *token, const json_t *self)
{
    r->subject = "service";
    if (a->services_count == 0)
        check_say(r, CHECK_WARN, CONFIG_NO_SERVICE_REMEDY, "%s", CONFIG_NO_SERVICE);
    for (uint32_t i = 0; i < a->services_count; i++)
        judge_service(r, a, token, self, a->services[i].id);
}

static void judge_token(struct report *r, const struct config_account *a,
                        const struct fetch_secrets *token, uint64_t now_ms)
{
    char words[320];
    json_t *self;
    int status = ask(r, a, token, "/tokens/self", &self);

    api_words(self, words, sizeof(words));
    if (status == 200) {
        judge_scope(r, a, self);
        judge_expiry(r, self, now_ms);
        judge_services(r, a, token, self);
    } else if (status == 401 || status == 403) {
        check_say(r, CHECK_FAIL, "set a valid token", "Fastly refuses the token: status %d%s",
                  status, words);
    } else if (status) {
        check_say(r, CHECK_FAIL, "try again, or correct api", "%s/tokens/self: status %d%s", a->api,
                  status, words);
    }
    json_decref(self);
}

void check_account(const struct config_account *a, uint64_t now_ms, check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .account = a->name, .subject = "token"};
    char *token, *auth;
    struct error err;
    int rc = config_read_token(a, &token, &err);

    if (a->url_mode == URL_MODE_DIRECT && a->direct_token_hosts.count == 0)
        check_say(&r, CHECK_OK, "name those that ask for it in direct_token_hosts",
                  "sites are purged directly and never see it");
    if (rc == -ENOENT && a->url_mode == URL_MODE_DIRECT) {
        check_say(&r, CHECK_WARN, "", "%s; only direct purges without authentication will work",
                  err.text);
        return;
    }
    if (rc < 0) {
        check_say(&r, CHECK_FAIL, "put the API token there", "%s", err.text);
        return;
    }
    if (config_read_proxy_auth(a, &auth, &err) < 0) {
        check_say(&r, CHECK_FAIL, "put user:password there", "%s", err.text);
    } else {
        judge_token(&r, a, &(struct fetch_secrets){token, auth}, now_ms);
        explicit_bzero(auth, strlen(auth));
        free(auth);
    }
    explicit_bzero(token, strlen(token));
    free(token);
}

/* -- the HTTP endpoint -- */

static void on_exposure(void *ctx, const struct exposure *e)
{
    check_say(ctx, e->access == FILE_ANYBODY_WRITES ? CHECK_FAIL : CHECK_WARN, e->remedy,
              "%s: %s %s", e->setting, e->what, e->path);
}

void check_exposure(const struct config *c, check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .subject = "privacy"};

    exposure_look(c, on_exposure, &r);
}

static bool judge_readable(const struct report *r, const char *setting, const char *path)
{
    struct stat st;
    const char *why = NULL;

    if (!*path)
        return false;
    if (access(path, R_OK) < 0 || stat(path, &st) < 0)
        why = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        why = "it is no file";
    else if (st.st_size == 0)
        why = "it is empty";
    if (why)
        check_say(r, CHECK_FAIL, "put it there, or correct the path", "%s: cannot read %s: %s",
                  setting, path, why);
    return !why;
}

static void judge_tls(const struct report *r, const struct config_http *h)
{
    judge_readable(r, "http.tls_cert_file", h->tls_cert_file);
    judge_readable(r, "http.tls_client_ca_file", h->tls_client_ca_file);
    judge_readable(r, "http.tls_key_file", h->tls_key_file);
}

static void judge_hook(const struct report *r, const struct config_hook *h)
{
    char *secret;
    struct error err;

    if (h->signature.scheme == HOOK_UNSIGNED) {
        check_say(r, CHECK_WARN, "have its requests signed", "%s: anybody on this machine may post",
                  h->name);
        return;
    }
    if (config_read_secret(h, &secret, &err) < 0) {
        check_say(r, CHECK_FAIL, "put its secret there", "%s", err.text);
        return;
    }
    explicit_bzero(secret, strlen(secret));
    free(secret);
    check_say(r, CHECK_OK, "", "%s has its secret", h->name);
}

void check_http(const struct config *c, check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .subject = "http"};
    struct span open = config_listens_beyond(c);

    if (!*c->listen)
        return;
    if (c->producers_count == 0)
        check_say(&r, CHECK_OK, "", "anybody on this machine may push to %s", c->listen);
    else if (!*c->http.tls_cert_file && open.p)
        check_say(
            &r, CHECK_WARN,
            "set http.tls_cert_file and http.tls_key_file, or have a proxy in front that does TLS",
            "tokens of producers come to %.*s unencrypted", (int)open.n, open.p);
    else
        check_say(&r, CHECK_OK, "", "producers may push to %s", c->listen);
    judge_tls(&r, &c->http);
    r.subject = "hook";
    for (uint32_t i = 0; i < c->hooks_count; i++)
        judge_hook(&r, &c->hooks[i]);
}
