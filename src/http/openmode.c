/* SPDX-License-Identifier: MIT
 * Without configured producers there are no tokens: any client on this machine may push, but no
 * other client. Two things can forward a request from elsewhere to the loopback interface: a web
 * browser on this machine, and a proxy.
 *
 * Requests of web pages are recognised by Origin and Sec-Fetch-Site. A page that has made its own
 * name point to 127.0.0.1 (DNS rebinding) has the same origin as we have, but its name is in Host,
 * so Host must be a name of this machine. Only PURGE may have the name of a site in Host, because
 * this is how a client asks a site to purge a page. That is safe: browsers send Origin with every
 * PURGE, and only pages of the named site could be purged with it. A Unix socket has no name that a
 * page could use, and browsers do not open one, so requests over it may have any Host.
 *
 * The console is a page, too. A browser sends with its requests the scheme, host and port that it
 * has the page from as Origin, and "same-origin" as Sec-Fetch-Site; no other page has both. So
 * these requests are served, if Host is a name of this machine.
 * https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "http_internal.h"
#include "setting.h"

#define DO "configure `producers:` and show a token"

static bool is_loopback_number(struct span host)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr a;

    if (host.n >= sizeof(text))
        return false;
    snprintf(text, sizeof(text), "%.*s", (int)host.n, host.p);
    return inet_pton(AF_INET, text, &a) == 1 && ntohl(a.s_addr) >> 24 == 127;
}

/* Removes ":port". */
static struct span host_part(struct span s)
{
    size_t n = s.n;

    while (n && s.p[n - 1] >= '0' && s.p[n - 1] <= '9')
        n--;
    return n && s.p[n - 1] == ':' ? span_of(s.p, n - 1) : s;
}

/* Whether we listen on this host, which may be another name of the loopback interface. Wildcard
 * addresses do not count: browsers that connect to one reach this machine. */
static bool is_listened_on(const struct config *c, struct span host)
{
    struct span rest = span_str(c->listen), one;

    while (setting_listen_next(&rest, &one)) {
        struct span name = host_part(one);

        if (!setting_listen_is_unix(one) && name.n && span_eq_nocase(host, name) &&
            !span_is(name, "0.0.0.0") && !span_is(name, "[::]") && !span_is(name, "*"))
            return true;
    }
    return false;
}

static bool names_this_machine(const struct config *c, struct span host)
{
    host = host_part(host);
    return span_eq_nocase(host, SPAN("localhost")) || span_is(host, "[::1]") ||
           is_loopback_number(host) || is_listened_on(c, host);
}

bool openmode_is_of_a_page(struct visit *v)
{
    struct span site = visit_header(v, "Sec-Fetch-Site");

    if (visit_header(v, "Origin").p)
        return true;
    return site.p && !span_is(site, "none") && !span_is(site, "same-origin");
}

bool openmode_is_of_our_page(const struct request *e)
{
    struct span host = visit_header(e->visit, "Host"), site, origin;
    const char *scheme = visit_is_tls(e->visit) ? "https://" : "http://";
    size_t n = strlen(scheme);

    site = visit_header(e->visit, "Sec-Fetch-Site");
    origin = visit_header(e->visit, "Origin");
    return e->config->http.console && span_is(site, "same-origin") && origin.n == n + host.n &&
           memcmp(origin.p, scheme, n) == 0 && span_eq(span_of(origin.p + n, host.n), host) &&
           names_this_machine(e->config, host) && !span_is(visit_method(e->visit), "PURGE");
}

static bool came_through_a_proxy(struct visit *v)
{
    static const char *const headers[] = {
        "Via",         "Forwarded",   "X-Forwarded-For", "X-Forwarded-Host",  "X-Forwarded-Proto",
        "X-Real-IP",   "X-Client-IP", "True-Client-IP",  "CF-Connecting-IP",  "Fastly-Client-IP",
        "X-Forwarded", "CDN-Loop",    "Forwarded-For",   "X-Forwarded-Server"};

    for (size_t i = 0; i < array_len(headers); i++)
        if (visit_header(v, headers[i]).p)
            return true;
    return false;
}

int openmode_refuses(const struct request *e, const char **why)
{
    struct visit *v = e->visit;
    struct span host = visit_header(v, "Host");

    if (!visit_from_loopback(v)) {
        *why = "no producers are configured, so only this machine may push: " DO;
        return 403;
    }
    if (openmode_is_of_a_page(v) && !openmode_is_of_our_page(e)) {
        *why = "no producers are configured, so no web page may push: " DO;
        return 403;
    }
    if (came_through_a_proxy(v)) {
        *why = "no producers are configured, so nothing that came through a proxy is taken: " DO;
        return 403;
    }
    if (host.p && !visit_is_unix(v) && !names_this_machine(e->in->config, host) &&
        !span_is(visit_method(v), "PURGE")) {
        *why = "no producers are configured, so Host must be localhost or a loopback address; "
               "else " DO;
        return 421;
    }
    *why = NULL;
    return 0;
}
