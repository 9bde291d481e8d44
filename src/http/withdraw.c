/* SPDX-License-Identifier: MIT
 * After a reload, checks every request in progress again. A producer is identified only once, when
 * the head of its request has arrived, but a stream may last for hours and a body for half a
 * minute. A producer that was removed, or can no longer be identified in the same way, is refused
 * immediately; the others continue with the scopes and the rate limits of the new configuration. */
#include "http_internal.h"

#define WITHDRAWN "the producer or its token was withdrawn while this was under way"
#define OUTDATED                                                                                   \
    "this connection was opened before TLS, or a client certificate, was required: connect again"

/* A job pushed before the reload stays pushed; the reply to its request is on its way. */
static void withdraw(struct request *e, int status, const char *why)
{
    if (e->withdrawn)
        e->withdrawn(e, status, why);
    else if (!e->served)
        request_refuse(e, status, why);
}

/* `now` is from the new configuration, so the rest must be, too. */
static void renew(struct request *e, const struct config_producer *now)
{
    request_renew(e);
    e->who = now;
    if (e->renewed)
        e->renewed(e);
}

static void look_again(struct request *e)
{
    const struct config_producer *now = e->who ? known_still(e) : NULL;

    if (e->who && !now) {
        withdraw(e, 401, WITHDRAWN);
    } else if (visit_is_outdated(e->visit)) {
        withdraw(e, 403, OUTDATED);
    } else if (now) {
        visit_prove(e->visit);
        if (e->served)
            return;
        renew(e, now);
    }
}

/* An answer without an end goes on under the new configuration. */
static void look_at_live(struct request *e)
{
    const struct config_producer *now = known_still(e);

    if (!now) {
        e->withdrawn(e, 401, WITHDRAWN);
    } else if (visit_is_outdated(e->visit)) {
        e->withdrawn(e, 403, OUTDATED);
    } else if (visit_is_left(e->visit)) {
        e->withdrawn(e, 503, "this address is no longer listened on: connect again");
    } else {
        visit_prove(e->visit);
        renew(e, now);
    }
}

void withdraw_all(struct http_server *in)
{
    httpd_forget_proven(in->httpd);
    list_each_safe(node, next, &in->requests_list) {
        struct request *e = list_entry(node, struct request, link);

        if (e->visit && visit_is_live(e->visit)) {
            look_at_live(e);
            continue;
        }
        if (!e->visit || !e->route || visit_answered(e->visit))
            continue;
        look_again(e);
        if (visit_answered(e->visit))
            visit_cut(e->visit);
    }
}
