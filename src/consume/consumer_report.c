/* SPDX-License-Identifier: MIT */
#include "consumer_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "consumer_trouble.h"
#include "log.h"
#include "redis_error.h"

struct consumer_report {
    const struct config_account *account;
    const struct config_consumer *consumer;
    const char *source;
    char host[256];
    struct consumer_state told; /* what was written last */
    uint64_t told_ns;           /* NEVER: nothing yet */
    uint64_t committed_ns;      /* NEVER: not yet */
    char error[CONSUMER_TEXT_ROOM];
    uint64_t error_ns;
    bool changed; /* an error or a commit since then */
    bool swept;
    struct consumer_trouble refused;
};

struct consumer_report *consumer_report_new(const struct config_account *a,
                                            const struct config_consumer *c, const char *source)
{
    struct consumer_report *r = alloc_zeroed(1, sizeof(*r));

    r->account = a;
    r->consumer = c;
    r->source = source;
    r->told_ns = r->committed_ns = NEVER;
    gethostname(r->host, sizeof(r->host) - 1);
    return r;
}

void consumer_report_error(struct consumer_report *r, const char *why)
{
    log_quote(r->error, sizeof(r->error), why, strlen(why));
    r->error_ns = clock_mono_ns();
    r->changed = true;
}

void consumer_report_commit(struct consumer_report *r)
{
    r->committed_ns = clock_mono_ns();
    r->changed = true;
}

uint64_t consumer_report_due_in_ms(const struct consumer_report *r, enum consumer_condition now,
                                   const struct consumer_counts *counts)
{
    bool changed = r->changed || now != r->told.condition || counts->fetched != r->told.fetched;
    uint64_t wait_ns = changed ? NS_PER_S : CONSUMER_TELL_S * NS_PER_S;

    if (r->told_ns == NEVER)
        return 0;
    wait_ns = minus_u64(r->told_ns + wait_ns, clock_mono_ns());
    return (wait_ns + NS_PER_MS - 1) / NS_PER_MS;
}

static uint64_t ms_since(uint64_t ns)
{
    return ns == NEVER ? NEVER : minus_u64(clock_mono_ns(), ns) / NS_PER_MS;
}

static uint64_t done(const struct consumer_state *s)
{
    return s->jobs + s->ignored + s->dead;
}

/* Since the state was told the last time, which was a second ago at least. */
static void measure_rate(const struct consumer_report *r, struct consumer_state *s)
{
    uint64_t ms = ms_since(r->told_ns);

    s->rate_known = ms != NEVER && ms > 0;
    if (s->rate_known)
        s->per_1000_s = minus_u64(done(s), done(&r->told)) * 1000000 / ms;
}

static struct consumer_state state_now(const struct consumer_report *r, enum consumer_condition now,
                                       const struct consumer_counts *counts,
                                       const struct source_lag *lag)
{
    struct consumer_state s = {.condition = now,
                               .fetched = counts->fetched,
                               .jobs = counts->jobs,
                               .ignored = counts->ignored,
                               .dead = counts->dead,
                               .lag_known = lag->messages_known,
                               .lag = lag->messages,
                               .oldest_known = lag->oldest_known,
                               .oldest_ms = lag->oldest_ms,
                               .committed_ms = ms_since(r->committed_ns),
                               .error_ms = ms_since(r->error_ns)};

    snprintf(s.name, sizeof(s.name), "%s", r->consumer->name);
    snprintf(s.source, sizeof(s.source), "%s", r->source);
    log_quote(s.topic, sizeof(s.topic), r->consumer->topic, strlen(r->consumer->topic));
    snprintf(s.last_error, sizeof(s.last_error), "%s", r->error);
    measure_rate(r, &s);
    return s;
}

/* A refusal is no reason to stop. While Redis refuses jobs as well, the log says so already. */
static int refused(struct consumer_report *r, const char *why, enum consumer_condition now)
{
    if (now != CONSUMER_REDIS_AWAY && consumer_trouble_begins(&r->refused, why, clock_mono_ns()))
        log_warn("Redis does not accept the consumer's state, so status and metrics lack it",
                 "consumer=%s why=\"%s\"", r->consumer->name, redis_error_shown(why));
    return 0;
}

int consumer_report_tell(struct consumer_report *r, struct client *c, enum consumer_condition now,
                         const struct consumer_counts *counts, const struct source_lag *lag)
{
    struct consumer_state s = state_now(r, now, counts, lag);
    int rc = r->swept ? 0 : consumer_state_sweep(c, r->account->name);

    if (rc == 0)
        rc = consumer_state_write(c, r->account->name, r->host, &s);
    if (rc == -ENOTCONN)
        return rc;
    r->told = s;
    r->told_ns = clock_mono_ns();
    r->changed = false;
    if (rc < 0)
        return refused(r, client_error(c), now);
    r->swept = true;
    r->refused.now = false;
    return 0;
}

void consumer_report_end(struct consumer_report *r, struct client *c)
{
    if (c && r->told_ns != NEVER)
        consumer_state_remove(c, r->account->name, r->consumer->name, r->host);
    free(r);
}
