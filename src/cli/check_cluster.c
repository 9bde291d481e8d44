/* SPDX-License-Identifier: MIT */
#include "check_cluster.h"

#include <inttypes.h>

#include "clusterinfo.h"

static void judge_state(const struct report *r, const struct clusterinfo *i)
{
    if (!i->up)
        check_say(r, CHECK_FAIL,
                  "bring the missing nodes back: redis-cli --cluster check HOST:PORT names them",
                  "the Cluster is down (CLUSTERDOWN): it has no quorum, or slots have no node; "
                  "nothing is accepted and nothing sent until it is up again");
    else
        check_say(r, CHECK_OK, "", "the Cluster is up: %zu masters have %" PRIu32 " of %d slots",
                  i->count, i->served, REDIS_SLOTS);
}

static void place_account(const struct report *r, const struct clusterinfo *i)
{
    uint32_t slot;
    const struct clusterinfo_master *owner = clusterinfo_owner(i, r->account, &slot);

    if (owner)
        check_say(r, CHECK_OK, "", "its keys are on %s (slot %" PRIu32 ")", owner->name, slot);
    else
        check_say(r, CHECK_FAIL, "bring the node back: redis-cli --cluster check HOST:PORT",
                  "no node has its keys (slot %" PRIu32 "): nothing is accepted and nothing sent",
                  slot);
}

static void judge_master(const struct report *r, const struct redis_address *a,
                         const struct clusterinfo_master *m, check_server_cb *judge)
{
    struct report of = {.cb = r->cb, .ctx = r->ctx, .subject = m->name};
    struct redis_address at;
    struct client *client;
    struct error err;

    redis_address_copy(a, &at);
    redis_address_set_place(&at, &m->at);
    at.cluster = false;
    if (client_open(&at, &client, &err) < 0) {
        check_say(&of, CHECK_FAIL, "start it, or let this machine out to it",
                  "this master does not answer: %s", err.text);
        redis_address_deinit(&at);
        return;
    }
    if (m->replicas == 0)
        check_say(&of, CHECK_WARN, "give it a replica: redis-cli --cluster add-node",
                  "this master has no replica: when it dies, its accounts stop until it is back");
    judge(&of, client, a->replicas);
    client_close(client);
    redis_address_deinit(&at);
}

void check_cluster(const struct redis_address *a, const struct config *c, const char *account,
                   check_server_cb *judge, check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .subject = "cluster"};
    struct clusterinfo info;
    struct client *client;
    struct error err;

    if (client_open(a, &client, &err) < 0)
        return; /* check_redis says it */
    if (clusterinfo_read(client, &info) < 0) {
        check_say(&r, CHECK_WARN, "permit CLUSTER INFO and CLUSTER SLOTS",
                  "the Cluster cannot be looked at: %s", client_error(client));
        client_close(client);
        return;
    }
    judge_state(&r, &info);
    for (uint32_t i = 0; i < c->accounts_count; i++) {
        r.account = c->accounts[i].name;
        if (!account || strcmp(account, r.account) == 0)
            place_account(&r, &info);
    }
    for (size_t i = 0; i < info.count; i++)
        judge_master(&r, a, &info.masters[i], judge);
    clusterinfo_deinit(&info);
    client_close(client);
}
