/* SPDX-License-Identifier: MIT */
#include "check_sentinel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "check_say.h"
#include "client.h"
#include "redis_error.h"

struct survey {
    struct report report;
    uint32_t answered;
    char *named;   /* the first answer, "host:port"; NULL: none */
    bool disagree; /* another sentinel has named another server */
};

static void on_sentinel(void *ctx, const struct redis_place *master, const char *why)
{
    struct survey *s = ctx;
    char *name;

    if (!master) {
        check_say(&s->report, CHECK_WARN,
                  strstr(why, ": TLS: ")           ? "correct its certificate, or redis_tls"
                  : redis_error_is_other_kind(why) ? "correct 'redis' in the configuration"
                                                   : "start it, or take it out of 'redis'",
                  "sentinel %s", why);
        return;
    }
    name = alloc_printf("%s:%u", master->host, master->port);
    s->answered++;
    if (!s->named) {
        s->named = name;
        return;
    }
    s->disagree |= strcmp(name, s->named) != 0;
    free(name);
}

void check_sentinels(const struct redis_address *a, check_cb *cb, void *ctx)
{
    struct survey s = {.report = {.cb = cb, .ctx = ctx, .subject = "sentinels"}};

    client_ask_sentinels(a, on_sentinel, &s);
    if (s.disagree)
        check_say(&s.report, CHECK_WARN,
                  "wait for the end of the failover; then look at SENTINEL MASTERS of each",
                  "the sentinels disagree about which server is %s", a->master);
    else if (s.named)
        check_say(&s.report, CHECK_OK, "", "%u of %u sentinels answer; master of %s is %s",
                  s.answered, a->sentinels_count, a->master, s.named);
    else
        check_say(&s.report, CHECK_FAIL, "start them, or correct the configuration",
                  "none of the %u sentinels can say which server is %s", a->sentinels_count,
                  a->master);
    free(s.named);
}
