/* SPDX-License-Identifier: MIT */
#include "check_canary.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "canary.h"
#include "check_say.h"
#include "clock.h"
#include "cmd_doctor.h"
#include "glance.h"

#define CANARY_TIMEOUT_MS 10000
#define CANARY_WAIT_MS 60000 /* for a purge to be sent */
#define CANARY_REASON_MAX_BYTES (64 * 1024)

struct canary_check {
    const struct cmd_common *common;
    const struct config_canary *config;
    const struct config_account *account;
    struct canary canary;
    struct glancer *glancer;
};

static void sleep_until(uint64_t at_ns)
{
    uint64_t left_ns = minus_u64(at_ns, clock_mono_ns());
    struct timespec left = {.tv_sec = (time_t)(left_ns / NS_PER_S),
                            .tv_nsec = (long)(left_ns % NS_PER_S)};

    while (nanosleep(&left, &left) < 0)
        ;
}

static void fetch_canary(struct canary_check *k)
{
    struct canary_look l = {.began_ns = clock_mono_ns()};
    struct sighting seen;
    struct glance page;
    struct error err;
    int rc = glance(k->glancer, &page, &err);

    l.ended_ns = clock_mono_ns();
    if (rc < 0) {
        l.why = err.text;
        canary_looked(&k->canary, &l);
        return;
    }
    sighting_read(&seen, buf_span(&page.head));
    l.seen = &seen;
    l.has_key = sighting_has_key(buf_span(&page.head), span_str(k->config->key));
    canary_looked(&k->canary, &l);
    glance_deinit(&page);
}

/* The reason in a receipt begins with the status: "403: Forbidden". */
static struct fastly_judgement judgement_of(const char *reason, int *status)
{
    struct fastly_judgement j = {.verdict = VERDICT_PURGED};

    *status = *reason ? (int)strtol(reason, NULL, 10) : 200;
    if (*reason && *status >= 300 && *status < 500)
        j.verdict = *status == 401 ? VERDICT_AUTH : VERDICT_DENIED;
    else if (*reason)
        j.verdict = VERDICT_RETRY;
    snprintf(j.reason, sizeof(j.reason), "%.*s", (int)sizeof(j.reason) - 1, reason);
    return j;
}

static int purge_canary(struct canary_check *k)
{
    bool by_key = k->canary.kind == CANARY_BY_KEY;
    struct doctor_target target = {.by_key = by_key,
                                   .text = by_key ? k->config->key : k->config->url,
                                   .service = config_service(k->account, k->config->service)->id};
    struct cmd_common common = *k->common;
    struct canary_purge p = {.began_ns = clock_mono_ns()};
    struct fastly_judgement j;
    struct buf refusal;
    int rc;

    common.account = k->account->name;
    buf_init(&refusal, CANARY_REASON_MAX_BYTES);
    rc = cmd_doctor_purge(&common, &target, DOCTOR_HARD, CANARY_WAIT_MS, &refusal);
    p.ended_ns = clock_mono_ns();
    if (rc == CMD_OK) {
        j = judgement_of(refusal.n ? refusal.p : "", &p.status);
        p.judgement = &j;
        canary_purged(&k->canary, &p);
    }
    buf_deinit(&refusal);
    return rc;
}

/* One try with each kind of purge; another one with the first kind if only that tells. */
static int try_canary(struct canary_check *k)
{
    uint64_t when_ns, all = 0;
    int rc = CMD_OK;

    while (rc == CMD_OK && (all < CANARY_KIND_N ||
                            (k->canary.state == CANARY_UNKNOWN && all < CANARY_KIND_N + 1))) {
        enum canary_act act = canary_next(&k->canary, clock_mono_ns(), &when_ns);

        if (act == CANARY_WAIT) {
            sleep_until(when_ns);
            continue;
        }
        canary_begin(&k->canary, clock_mono_ns());
        if (act == CANARY_SEND)
            rc = purge_canary(k);
        else
            fetch_canary(k);
        all = k->canary.tries[CANARY_BY_KEY] + k->canary.tries[CANARY_BY_URL];
    }
    return rc;
}

static int check_canary(struct canary_check *k, check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .account = k->account->name, .subject = "canary"};
    const struct config_service *s = config_service(k->account, k->config->service);
    const struct canary_subject subject = {
        .service = *s->name ? s->name : s->id, .url = k->config->url, .key = k->config->key};
    struct canary_words w;
    int rc;

    canary_init(&k->canary, NS_PER_S, clock_mono_ns());
    k->glancer = glancer_new(k->config->url, GLANCE_STAY, CANARY_TIMEOUT_MS);
    rc = try_canary(k);
    glancer_free(k->glancer);
    if (rc != CMD_OK)
        return rc;
    canary_explain(&k->canary, &subject, &w);
    check_say(&r, k->canary.state == CANARY_OK ? CHECK_OK : CHECK_FAIL, w.advice, "%s", w.what);
    return k->canary.state == CANARY_OK ? CMD_OK : CMD_FAILED;
}

int check_canaries(const struct cmd_common *common, const struct config *c, check_cb *cb, void *ctx)
{
    int rc = CMD_OK, one;
    bool any = false;

    for (uint32_t i = 0; i < c->canaries_count; i++) {
        const char *name = c->canaries[i].account;
        struct canary_check k = {.common = common,
                                 .config = &c->canaries[i],
                                 .account = config_account(c, *name ? name : NULL)};

        if (common->account && strcmp(common->account, k.account->name) != 0)
            continue;
        any = true;
        one = check_canary(&k, cb, ctx);
        if (one > CMD_FAILED)
            return one;
        rc = one == CMD_OK ? rc : one;
    }
    return any ? rc : cmd_fail(CMD_USAGE, "no canary is configured: name them under canaries");
}
