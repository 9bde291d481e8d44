/* SPDX-License-Identifier: MIT
 * Any answers of a Redis, or of a server that claims to be one, to commands that wait for their
 * answers: status, plan, dead letters, check and its repairs, over HTTP and on the command line.
 * Input: a byte that chooses the command, then RESP: one answer for each Redis command; after the
 * last one the connection is lost. The linker uses the functions in this file instead of io's
 * client. */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <jansson.h>
#include <stdlib.h>

#include "alloc.h"
#include "backlog.h"
#include "check.h"
#include "check_store.h"
#include "client.h"
#include "control.h"
#include "deadletter.h"
#include "deadletter_json.h"
#include "fuzz.h"
#include "json_text.h"
#include "overview_json.h"
#include "overview_words.h"
#include "redis_codec.h"
#include "repair.h"
#include "serverinfo.h"

/* -- a client that gets its answers from the input -- */

struct client {
    redisReader *reader;
    redisReply *reply; /* lent to the caller */
    char error[256];
};

static struct client the_client;

static void take_back(void)
{
    if (the_client.reply)
        the_client.reader->fn->freeObject(the_client.reply);
    the_client.reply = NULL;
}

static int fail(int err, const char *what)
{
    snprintf(the_client.error, sizeof(the_client.error), "%s", what);
    return err;
}

int client_distrust(struct client *c)
{
    (void)c;
    return fail(-EIO, "distrusted");
}

int client_open(const struct redis_address *a, struct client **out, struct error *err)
{
    (void)a, (void)out;
    return error_set(err, -ENOTCONN, "there is only one");
}

void client_close(struct client *c)
{
    (void)c;
}

void client_send(struct client *c, size_t argc, const struct span *argv)
{
    size_t bytes = 0;

    (void)c;
    must(argc > 0);
    for (size_t i = 0; i < argc; i++) /* reads every byte, so that the sanitizer checks them */
        for (size_t k = 0; k < argv[i].n; k++)
            bytes += (unsigned char)argv[i].p[k];
    must(bytes > 0);
}

int client_receive(struct client *c, struct redisReply **out)
{
    void *reply = NULL;

    take_back();
    if (redisReaderGetReply(c->reader, &reply) != REDIS_OK || !reply)
        return fail(-ENOTCONN, "connection lost");
    c->reply = reply;
    if (reply_refused(reply))
        (void)fail(0, reply_text(reply).p);
    *out = reply;
    return 0;
}

int client_flush(struct client *c)
{
    (void)c;
    return 0;
}

int client_fd(const struct client *c)
{
    (void)c;
    return -1;
}

int client_wait(struct client *c, int timeout_ms, struct redisReply **out)
{
    (void)timeout_ms;
    return client_receive(c, out);
}

int client_ask(struct client *c, size_t argc, const struct span *argv, struct redisReply **out)
{
    struct redisReply *reply;
    int rc;

    client_send(c, argc, argv);
    rc = client_receive(c, &reply);
    if (rc == 0 && reply_refused(reply))
        rc = -EIO;
    if (rc == 0)
        *out = reply;
    return rc;
}

int client_ask_words(struct client *c, const char *const *words, struct redisReply **out)
{
    struct span argv[32];
    size_t argc = 0;

    for (; words[argc]; argc++) {
        must(argc < array_len(argv));
        argv[argc] = span_str(words[argc]);
    }
    return client_ask(c, argc, argv, out);
}

const char *client_error(const struct client *c)
{
    return c->error;
}

void client_set_patience(struct client *c, uint32_t answer_s)
{
    (void)c, (void)answer_s;
}

/* -- the commands -- */

static struct config_account account;

static void check_err(int err)
{
    must(err == 0 || err == -ENOTCONN || err == -EIO || err == -EAGAIN || err == -ECANCELED);
}

static void look_at_overview(struct client *c)
{
    char words[OVERVIEW_WORDS_MAX], error[200];
    struct overview o;
    uint64_t age_ms;
    int rc = overview_read(c, &account, &o);
    json_t *j;

    check_err(rc);
    if (rc < 0)
        return;
    (void)overview_words(&o, words, sizeof(words));
    (void)overview_last_error(&o, error, sizeof(error), &age_ms);
    (void)overview_http(&o, error, sizeof(error));
    j = overview_json(&account, &o);
    free(json_text_line(j));
    json_decref(j);
    overview_deinit(&o);
}

static bool on_page(void *ctx, uint64_t jobs)
{
    (void)ctx;
    return jobs < 1000;
}

static void plan_backlog(struct client *c)
{
    struct plan_options o = {.account = &account, .window = 1000, .reply_ms = 50, .wall_ms = 1};
    struct plan *p = plan_new(&o);
    struct backlog_counts counts;
    struct plan_result result;
    int rc = backlog_read_budget(c, &account, p);

    if (rc == 0)
        rc = backlog_read_jobs(c, &account, p, &counts, on_page, NULL);
    check_err(rc);
    plan_finish(p, &result);
    plan_free(p);
}

static int on_letter(void *ctx, const struct deadletter *l)
{
    json_t *j = deadletter_json(l);

    (void)ctx;
    free(json_text_line(j));
    json_decref(j);
    return 0;
}

static void on_finding(void *ctx, const struct check_finding *f)
{
    (void)ctx;
    must(f->grade <= CHECK_FAIL);
}

static void check_all(struct client *c)
{
    check_keys(c, &account, on_finding, NULL);
    check_permissions(c, &account, on_finding, NULL);
}

static void look_at_server(struct client *c)
{
    struct serverinfo s;
    int rc = serverinfo_read(c, &s);

    check_err(rc);
    if (rc == 0) {
        must(s.version.p && s.maxmemory_policy.p && s.aof_last_write.p && s.last_snapshot.p);
        serverinfo_deinit(&s);
    }
    must(serverinfo_appendfsync(c).p);
    free(overview_ask_needs_restart(c, account.name));
}

static void repair_all(struct client *c)
{
    struct queue_fault faults[QUEUE_FAULTS_MAX];
    char words[600];
    size_t count;
    int rc = repair_find(c, account.name, faults, &count);

    must(count <= QUEUE_FAULTS_MAX);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        repair_explain(&account, &faults[i], words, sizeof(words));
        rc = repair_mend(c, &account, &faults[i]);
    }
    check_err(rc);
}

static void ask(struct client *c, unsigned what)
{
    static const char *const ids[] = {"1-1", "2-2"};
    enum control_held held;
    uint64_t n = 0;

    switch (what % 16) {
    case 0:
        look_at_overview(c);
        break;
    case 1:
        plan_backlog(c);
        break;
    case 2:
        check_err(deadletter_list(c, account.name, 100, on_letter, NULL));
        break;
    case 3:
        check_err(deadletter_retry_all(c, account.name, &n));
        break;
    case 4:
        check_err(deadletter_drop(c, account.name, ids, array_len(ids), &n));
        break;
    case 5:
        check_all(c);
        break;
    case 6:
        repair_all(c);
        break;
    case 8:
        look_at_server(c);
        break;
    default:
        check_err(control_await_held(c, account.name, 0, &held, &n));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct redis_replies *replies;

    if (size == 0)
        return 0;
    if (!account.name) {
        config_account_init(&account);
        if (config_services_add(&account, SPAN("S1"), SPAN("news")) < 0)
            return 0;
    }
    the_client = (struct client){.reader = redisReaderCreate()};
    replies = redis_replies_new();
    redis_replies_serve(replies, the_client.reader);
    redisReaderFeed(the_client.reader, (const char *)data + 1, size - 1);
    ask(&the_client, data[0]);
    take_back();
    redisReaderFree(the_client.reader);
    redis_replies_free(replies);
    return 0;
}
