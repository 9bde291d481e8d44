/* SPDX-License-Identifier: MIT */
#include "greeting.h"

#include "exposure.h"
#include "log.h"

static void on_exposure(void *ctx, const struct exposure *e)
{
    (void)ctx;
    log_warn("Other users of this machine have access to a file that should be private",
             "setting=%s path=%s what=\"%s\" remedy=\"%s\"", e->setting, e->path, e->what,
             e->remedy);
}

static void say_accounts(const struct config *c)
{
    for (uint32_t i = 0; i < c->accounts_count; i++) {
        const struct config_account *a = &c->accounts[i];

        log_debug("Configuration of the account",
                  "account=%s api=%s url_mode=%s services=%u purges=%llu per_s=%u headroom=%llu "
                  "attempts=%u",
                  a->name, a->api, a->url_mode == URL_MODE_DIRECT ? "direct" : "api",
                  a->services_count, (unsigned long long)a->budget.purges, a->budget.per_s,
                  (unsigned long long)a->budget.headroom, a->attempts);
    }
}

void greeting(const struct config *c, const struct redis_address *redis)
{
    char name[300];

    redis_address_name(redis, name, sizeof(name));
    log_info("purgeline is starting", "version=%s accounts=%u redis=%s", PURGELINE_VERSION,
             c->accounts_count, name);
    say_accounts(c);
    exposure_look(c, on_exposure, NULL);
}
