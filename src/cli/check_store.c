/* SPDX-License-Identifier: MIT */
#include "check_store.h"

#include <stdlib.h>

#include "alloc.h"
#include "check_say.h"
#include "log.h"
#include "orphans.h"
#include "permissions.h"
#include "redis_error.h"
#include "repair.h"

/* -- keys -- */

static void on_orphan(void *ctx, enum orphan what, struct span key)
{
    const struct report *r = ctx;
    char shown[256];

    log_quote(shown, sizeof(shown), key.p, key.n);
    if (what == ORPHAN_SET_ASIDE)
        check_say(r, CHECK_WARN, "look into it; DEL it when nothing in it is missed",
                  "%s was set aside by a repair", shown);
    else
        check_say(r, CHECK_WARN, "if nobody needs it: DEL", "%s is no key of purgeline", shown);
}

void check_keys(struct client *c, const struct config_account *a, check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .account = a->name, .subject = "keys"};
    struct queue_fault faults[QUEUE_FAULTS_MAX];
    size_t count;
    int rc = repair_find(c, a->name, faults, &count);

    if (rc < 0 && redis_error_of(client_error(c)) == REDIS_ERROR_MOVED) {
        check_say(&r, CHECK_FAIL, "name it with redis+cluster:// or rediss+cluster://",
                  "this Redis belongs to a Cluster, and another node of it has the account's keys: "
                  "nothing is accepted and nothing sent");
        return;
    }
    if (rc < 0) {
        check_say(&r, CHECK_WARN, "permit EVAL", "the keys cannot be examined: %s",
                  client_error(c));
        return;
    }
    for (size_t i = 0; i < count; i++)
        check_say(&r, CHECK_FAIL, "purgeline check --repair shows what would mend it, and asks",
                  "%s %s", faults[i].key, faults[i].what);
    if (count == 0)
        check_say(&r, CHECK_OK, "", "the account's keys in Redis are sound");
    orphans_find(c, a->name, on_orphan, &r);
}

/* -- permissions -- */

void check_permissions(struct client *c, const struct config_account *a, uint32_t replicas,
                       check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .account = a->name, .subject = "permissions"};
    char *rules = permissions_missing(c, a->name, replicas), *remedy;

    remedy =
        alloc_printf("ACL SETUSER <user> ~purgeline:* &purgeline:*%s; deploy/redis-acl.conf has "
                     "all the rules",
                     rules);
    if (*rules)
        check_say(&r, CHECK_FAIL, remedy, "Redis does not permit its user, or not on these keys:%s",
                  rules);
    else
        check_say(&r, CHECK_OK, "", "Redis permits all that purgeline does");
    free(remedy);
    free(rules);
}
