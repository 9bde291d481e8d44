/* SPDX-License-Identifier: MIT
 * Identifies the client. If it sends a token, only the token counts. Otherwise a producer is
 * identified by the client certificate that TLS has verified, or else by the address that the
 * connection comes from. This is the peer of the socket and not what a header says, so behind a
 * proxy it is the proxy's address.
 *
 * A browser sends its certificate, and connects from its address, whichever web page makes the
 * request. Therefore a request made by a web page needs a token. */
#include "http_internal.h"
#include "network.h"

static struct span shown_token(struct visit *v)
{
    struct span s = visit_header(v, "Fastly-Key");

    if (!s.p)
        s = visit_header(v, "X-Fastly-Key");
    if (s.p)
        return s;
    s = visit_header(v, "Authorization");
    return s.p && span_starts_nocase(s, "Bearer ") ? span_of(s.p + 7, s.n - 7) : span_of(NULL, 0);
}

struct naming {
    const struct auth *auth;
    const struct config_producer *found;
    bool several;
};

static void on_name(void *ctx, struct span name)
{
    struct naming *n = ctx;
    const struct config_producer *p = auth_find_certificate(n->auth, name);

    n->several |= p && n->found && n->found != p;
    n->found = p ? p : n->found;
}

const struct config_producer *known_without_token(const struct request *e)
{
    struct naming n = {.auth = e->in->auth};
    struct network from;

    visit_client_names(e->visit, on_name, &n);
    if (n.several)
        return NULL;
    if (n.found)
        return n.found;
    if (network_parse(span_str(visit_peer(e->visit)), &from) < 0)
        return NULL;
    return auth_find_from(e->in->auth, &from);
}

static int refuse_client(const char **why, const char *sentence, int status)
{
    *why = sentence;
    return status;
}

static int identify(struct request *e, const char **why)
{
    struct span token = shown_token(e->visit);

    e->by_token = token.p;
    if (token.p) {
        e->who = auth_find(e->in->auth, token);
        return e->who ? 0 : refuse_client(why, "the token is not of a producer", 401);
    }
    e->who = known_without_token(e);
    if (!e->who)
        return refuse_client(
            why, "a producer's token is needed: Authorization: Bearer, or Fastly-Key", 401);
    if (openmode_is_of_a_page(e->visit)) {
        e->who = NULL;
        return refuse_client(why, "a web page must show a producer's token", 403);
    }
    return 0;
}

int known_authenticate(struct request *e, const char **why)
{
    int status;

    *why = NULL;
    if (e->route->access == ROUTE_OPEN || e->route->access == ROUTE_SIGNED)
        return 0;
    if (auth_open(e->in->auth)) {
        e->who = auth_anybody();
        return openmode_refuses(e, why);
    }
    status = identify(e, why);
    if (status == 0 && e->route->access == ROUTE_ADMIN && !e->who->admin)
        return refuse_client(why, "this needs a producer with admin: true", 403);
    return status;
}

const struct config_producer *known_still(const struct request *e)
{
    const struct config_producer *now;

    if (e->who == auth_anybody() || e->by_token)
        return auth_still(e->in->auth, e->who);
    now = known_without_token(e);
    return now && strcmp(now->name, e->who->name) == 0 ? now : NULL;
}
