/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "check_cluster.h"
#include "check_files.h"
#include "check_say.h"
#include "check_sentinel.h"
#include "check_store.h"
#include "child.h"
#include "client.h"
#include "config_file.h"
#include "exposure.h"
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
