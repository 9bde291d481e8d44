/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <curl/curl.h>
#include <hiredis/hiredis.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"

#define P "purgeline:{main}:"
#define STOP_PATIENCE_MS 20000u

/* The rig of the current test. It is static because a failed test never returns. */
static struct rig the_rig;
static bool is_open;

/* -- opening and closing --------------------------------------------------------------------- */

int rig_group_setup(void **state)
{
    static const char *const options[] = {"--service", NEWS, "--service", SHOP, NULL};

    curl_global_init(CURL_GLOBAL_DEFAULT);
    *state = sandbox_start(options);
    return 0;
}

int rig_group_teardown(void **state)
{
    sandbox_stop(*state);
    curl_global_cleanup();
    return 0;
}

static void show(const struct rig *r)
{
    for (int i = 0; i < RIG_INSTANCES; i++)
        if (r->instances[i].log)
            instance_show(&r->instances[i]);
}

void rig_configure(struct rig *r, const char *account, const char *global)
{
    bool listens = strncmp(global, "listen:", 7) == 0 || strstr(global, "\nlisten:");
    FILE *f = fopen(r->config, "w");

    must(f);
    fprintf(f,
            "redis: %s\n%s%s"
            "accounts:\n"
            "  - name: main\n"
            "    api: %s\n"
            "    ca_file: %s\n"
            "    services: [{id: %s, name: news}, {id: %s, name: shop}]\n"
            "    default_service: news\n%s",
            redis_server_unix_url(r->redis), listens ? "" : "listen: \"\"\n", global,
            sandbox_api(r->sandbox), sandbox_ca(r->sandbox), NEWS, SHOP, account);
    must(fclose(f) == 0);
}

struct rig *rig_open(void **state, const char *account, const char *global)
{
    struct rig *r = &the_rig;

    must(!is_open);
    is_open = true;
    memset(r, 0, sizeof(*r));
    r->sandbox = *state;
    sandbox_reset(r->sandbox);
    snprintf(r->folder, sizeof(r->folder), "/tmp/purgeline-rig-XXXXXX");
    must(mkdtemp(r->folder));
    r->config = alloc_printf("%s/purgeline.yaml", r->folder);
    r->redis = redis_server_start(NULL, NULL);
    requests_open(&r->requests, sandbox_log(r->sandbox));
    rig_configure(r, account, global);
    setenv("FASTLY_API_TOKEN", sandbox_token(r->sandbox), 1);
    return r;
}

static void clean_up(struct rig *r)
{
    char *command = alloc_printf("rm -rf '%s'", r->folder);

    is_open = false;
    for (int i = 0; i < RIG_INSTANCES; i++)
        instance_deinit(&r->instances[i]);
    requests_close(&r->requests);
    redis_server_stop(r->redis);
    must(system(command) == 0);
    free(command);
    free(r->config);
}

void rig_stop(struct rig *r, unsigned n)
{
    instance_signal(&r->instances[n], SIGTERM);
    assert_int_equal(instance_wait(&r->instances[n], STOP_PATIENCE_MS), 0);
}

void rig_close(struct rig *r)
{
    for (unsigned i = 0; i < RIG_INSTANCES; i++)
        if (r->instances[i].pid)
            rig_stop(r, i);
    clean_up(r);
}

int rig_teardown(void **state)
{
    (void)state;
    if (!is_open)
        return 0;
    show(&the_rig);
    clean_up(&the_rig);
    return 0;
}

struct instance *rig_start(struct rig *r, unsigned n)
{
    char log[96];

    must(n < RIG_INSTANCES);
    snprintf(log, sizeof(log), "%s/instance-%u.log", r->folder, n);
    instance_start(&r->instances[n], r->config, NULL, log);
    return &r->instances[n];
}

struct instance *rig_start_leading(struct rig *r, unsigned n)
{
    struct instance *i = &r->instances[n];
    size_t before = i->log ? instance_said(i, "leads the account") : 0;

    rig_start(r, n);
    instance_await_said(i, "leads the account", before + 1);
    return i;
}

/* -- jobs ------------------------------------------------------------------------------------ */

static redisContext *connect_redis(const struct rig *r)
{
    redisContext *c = redisConnectUnix(redis_server_unix_url(r->redis) + strlen("unix://"));

    must(c && !c->err);
    return c;
}

struct job rig_push(struct rig *r, const char *lane, ...)
{
    const char *argv[32] = {"XADD", NULL, "*"};
    char *stream = alloc_printf(P "jobs:%s", lane);
    redisContext *c = connect_redis(r);
    redisReply *reply;
    struct job j;
    va_list ap;
    int n = 3;

    argv[1] = stream;
    va_start(ap, lane);
    while ((argv[n] = va_arg(ap, const char *)))
        must(++n < (int)array_len(argv));
    va_end(ap);
    reply = redisCommandArgv(c, n, argv, NULL);
    must(reply && reply->type == REDIS_REPLY_STRING);
    snprintf(j.id, sizeof(j.id), "%s-%s", lane, reply->str);
    j.ms = strtoull(reply->str, NULL, 10);
    freeReplyObject(reply);
    redisFree(c);
    free(stream);
    return j;
}

void rig_push_keys(struct rig *r, const char *lane, const char *prefix, unsigned from,
                   unsigned count)
{
    redisContext *c = connect_redis(r);

    for (unsigned i = 0; i < count; i++)
        must(redisAppendCommand(c, "XADD " P "jobs:%s * keys %s%u", lane, prefix, from + i) ==
             REDIS_OK);
    for (unsigned i = 0; i < count; i++) {
        redisReply *reply;

        must(redisGetReply(c, (void **)&reply) == REDIS_OK);
        must(reply->type == REDIS_REPLY_STRING);
        freeReplyObject(reply);
    }
    redisFree(c);
}

bool rig_is_empty(struct rig *r)
{
    static const char *const lanes[] = {"urgent", "normal", "bulk"};

    for (size_t i = 0; i < array_len(lanes); i++)
        if (redis_server_int(r->redis, "XLEN " P "jobs:%s", lanes[i]))
            return false;
    return true;
}

void rig_await_empty(struct rig *r)
{
    await_until(r->requests.inotify, AWAIT_PATIENCE_MS, rig_is_empty(r));
}

/* -- receipts and dead letters ---------------------------------------------------------------- */

char *rig_receipt(struct rig *r, const struct job *j, const char *member)
{
    char *text = redis_server_str(r->redis, "GET " P "receipt:%s", j->id);
    json_t *receipt = json_loads(text, 0, NULL);
    const char *value = json_string_value(json_object_get(receipt, member));
    char *out = alloc_str(value ? value : "");

    json_decref(receipt);
    free(text);
    return out;
}

void rig_assert_ended(struct rig *r, const struct job *j, const char *state)
{
    char *now = rig_receipt(r, j, "state");

    assert_string_equal(now, state);
    free(now);
}

static bool has_ended(struct rig *r, const struct job *j)
{
    return redis_server_int(r->redis, "EXISTS " P "receipt:%s", j->id) == 1;
}

void rig_await_ended(struct rig *r, const struct job *j, const char *state)
{
    rig_await(r, has_ended(r, j));
    rig_assert_ended(r, j, state);
}

/* Counts inside Redis, because there may be a hundred thousand receipts. */
size_t rig_receipts(struct rig *r, const char *state)
{
    static const char script[] =
        "local n, cursor = 0, '0' "
        "repeat "
        "  local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 1000) "
        "  cursor = page[1] "
        "  for _, key in ipairs(page[2]) do "
        "    if ARGV[2] == '' or cjson.decode(redis.call('GET', key)).state == ARGV[2] then "
        "      n = n + 1 "
        "    end "
        "  end "
        "until cursor == '0' "
        "return n";

    return (size_t)redis_server_int(r->redis, "EVAL %s 0 %s %s", script,
                                    "purgeline:{main}:receipt:[a-z]*", state);
}

size_t rig_dead_count(struct rig *r)
{
    return (size_t)redis_server_int(r->redis, "XLEN " P "dead");
}

char *rig_dead(struct rig *r, size_t n, const char *field)
{
    redisReply *reply = redis_server_try(r->redis, "XRANGE " P "dead - +");
    char *out = NULL;

    must(reply->type == REDIS_REPLY_ARRAY && n < reply->elements);
    for (size_t i = 0; i + 1 < reply->element[n]->element[1]->elements && !out; i += 2)
        if (strcmp(reply->element[n]->element[1]->element[i]->str, field) == 0)
            out = alloc_str(reply->element[n]->element[1]->element[i + 1]->str);
    freeReplyObject(reply);
    return out ? out : alloc_str("");
}

/* -- the leader ------------------------------------------------------------------------------ */

long long rig_status(struct rig *r, const char *name)
{
    char *text = redis_server_str(r->redis, "GET " P "status");
    json_t *status = json_loads(text, 0, NULL);
    json_t *value = json_object_get(status, name);
    long long n = value ? json_integer_value(value) : -1;

    json_decref(status);
    free(text);
    return n;
}

void rig_dispatch_pause(struct rig *r, bool paused)
{
    redis_server_do(r->redis, "HSET " P "control paused %d why test", paused);
}
