/* SPDX-License-Identifier: MIT
 * What machines ask: is it alive, may it be sent to, how does it stand. */
#include <stdio.h>

#include "desk.h"
#include "standing.h"

/* -- /livez -- */

void desk_livez(struct errand *e)
{
    ingress_ask_vitals(e, false);
}

static void say_alive(struct errand *e, const struct vitals *v)
{
    if (v->stalled)
        errand_refuse(e, 503, v->why);
    else
        errand_say(e, 200, "{\"status\":\"ok\"}");
}

/* -- /readyz -- */

static void on_ready(void *ctx, bool ok)
{
    struct errand *e = ctx;
    const struct config *c = e->in->config;
    const struct config_account *without = NULL;
    char why[160];

    for (uint32_t i = 0; i < c->accounts_count; i++)
        if (!standing_of(e->in->standing, &c->accounts[i], clock_mono_ns())->led)
            without = &c->accounts[i];
    if (!ok) {
        errand_refuse(e, 503, "Redis is away");
    } else if (without) {
        snprintf(why, sizeof(why), "nobody dispatches account %s", without->name);
        errand_refuse(e, 503, why);
    } else {
        errand_say(e, 200, "{\"status\":\"ok\"}");
    }
    errand_drop(e);
}

void desk_readyz(struct errand *e)
{
    standing_refresh(e->in->standing, on_ready, errand_hold(e));
}

/* -- /metrics -- */

void desk_metrics(struct errand *e)
{
    ingress_ask_vitals(e, true);
}

void desk_vitals(struct errand *e, const struct vitals *v)
{
    if (e->route->serve == desk_livez)
        say_alive(e, v);
    else
        errand_refuse(e, 503, "no metrics");
}
