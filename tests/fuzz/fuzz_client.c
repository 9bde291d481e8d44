/* SPDX-License-Identifier: MIT
 * Any answers of a Redis, or of a server that claims to be one, to commands that wait for their
 * answers: status, plan, dead letters, check and its repairs, over HTTP and on the command line.
 * Input: a byte whose lower half chooses the command and whose upper half the size of the pieces in
 * which the answers arrive (0: all at once), then RESP: one answer for each Redis command; after
 * the last one the connection is lost. The linker uses the functions in this file instead of io's
 * transport. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc.h"
#include "backlog.h"
#include "check.h"
#include "check_store.h"
#include "client.h"
#include "control.h"
#include "deadletter_filter.h"
#include "deadletter_json.h"
#include "fake_transport.h"
#include "fuzz.h"
#include "json_text.h"
#include "overview_json.h"
#include "overview_words.h"
#include "repair.h"
#include "serverinfo.h"

static const struct deadletter_filter every = {.up_to = NULL};

/* -- a transport whose bytes come from the input -- */

static struct redis_transport the_transport;

int redis_transport_open(const struct redis_address *a, const struct addrinfo *to,
                         struct redis_transport **out, struct error *err)
{
    (void)a, (void)to, (void)err;
    *out = &the_transport;
    return 0;
}

void redis_transport_free(struct redis_transport *t)
{
    (void)t;
}

ssize_t redis_transport_read(struct redis_transport *t, char *p, size_t room, struct error *err)
{
    (void)err;
    t->waits = t->piece && !t->waits;
    if (t->waits)
        return -EAGAIN;
    return fake_transport_take(t, p, t->piece ? min_u64(room, t->piece) : room);
}

bool redis_transport_pending(const struct redis_transport *t)
{
    (void)t;
    return false;
}

ssize_t redis_transport_write(struct redis_transport *t, const char *p, size_t n, struct error *err)
{
    (void)t, (void)err;
    fake_transport_check(p, n);
    return (ssize_t)n;
}

/* -- the commands -- */

static struct config_account account;
static const struct actor somebody = {&account, "me"};

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
    check_permissions(c, &account, 1, on_finding, NULL);
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
        check_err(
            deadletter_act_all(c, &somebody, &every, DEADLETTER_RETRY, DEADLETTER_DO, &n, NULL));
        break;
    case 4:
        check_err(deadletter_drop(c, &somebody, ids, array_len(ids), &n));
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
    static char path[] = "/fuzz";
    const struct redis_address address = {.unix_path = path};
    struct client *client;
    struct error err;
    int rc;

    if (size == 0)
        return 0;
    if (!account.name) {
        config_account_init(&account);
        the_transport.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        must(the_transport.fd >= 0);
        if (config_services_add(&account, SPAN("S1"), SPAN("news")) < 0)
            return 0;
    }
    the_transport.greeting = SPAN("+OK\r\n");
    the_transport.rest = span_of((const char *)data + 1, size - 1);
    the_transport.piece = data[0] / 16;
    rc = client_open(&address, &client, &err);
    must(rc == 0);
    ask(client, data[0]);
    client_close(client);
    return 0;
}
