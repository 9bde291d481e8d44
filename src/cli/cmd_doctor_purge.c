/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "clock.h"
#include "cmd_doctor.h"
#include "jobform.h"
#include "push_pipeline.h"
#include "receipts_wait.h"
#include "redis_error.h"

struct purge {
    struct cmd_session session;
    struct receipts_wait *wait;
    struct buf *refusal;
    bool accepted; /* Redis has the job */
    bool strange;  /* its id cannot be waited for */
};

static void on_answer(void *ctx, uint64_t tag, const char *job, const char *refusal)
{
    struct purge *p = ctx;

    (void)tag;
    (void)refusal; /* push_pipeline_finish reports it */
    p->accepted = job != NULL;
    p->strange = job && receipts_wait_expect(p->wait, job) < 0;
}

static void on_receipt(void *ctx, const char *job, struct span text)
{
    struct purge *p = ctx;
    json_t *receipt = text.n ? json_loadb(text.p, text.n, 0, NULL) : NULL;
    const char *state = json_string_value(json_object_get(receipt, "state"));
    const char *reason = json_string_value(json_object_get(receipt, "reason"));

    if (!state)
        buf_printf(p->refusal, "job %s has ended without a receipt", job);
    else if (strcmp(state, "purged") != 0)
        buf_printf(p->refusal, "%s", reason ? reason : state);
    json_decref(receipt);
}

static int fill_form(struct jobform *form, const struct doctor_target *target,
                     enum doctor_purge how, struct error *err)
{
    int rc = jobform_add_targets(form, target->by_key ? JOBFORM_KEY : JOBFORM_URL,
                                 span_str(target->text), err);

    if (rc == 0 && target->by_key && *target->service)
        jobform_put(form, "service", span_str(target->service));
    if (rc == 0 && how == DOCTOR_SOFT)
        jobform_put(form, "soft", SPAN("1"));
    return rc;
}

static int push(struct purge *p, const struct doctor_target *target, enum doctor_purge how)
{
    struct push_pipeline *pipeline = push_pipeline_new(
        p->session.client, p->session.account, p->session.config.redis_replicas, on_answer, p);
    const struct span *fields;
    struct jobform form;
    struct error err;
    size_t count;
    int rc;

    jobform_init(&form, LANE_URGENT);
    rc = fill_form(&form, target, how, &err);
    if (rc == 0) {
        fields = jobform_fields(&form, &count);
        rc = push_pipeline_put(pipeline, LANE_URGENT, fields, count, 0, &err);
    }
    if (rc == 0)
        rc = push_pipeline_finish(pipeline, &err);
    jobform_deinit(&form);
    push_pipeline_free(pipeline);
    if (rc == -ENOTCONN)
        return cmd_fail(CMD_REDIS, "the connection to Redis broke: %s", err.text);
    if (rc == -EIO)
        return cmd_fail(CMD_FAILED, "Redis refuses: %s", redis_error_shown(err.text));
    if (rc < 0)
        return cmd_fail(CMD_USAGE, "%s", err.text);
    if (!p->accepted || p->strange)
        return cmd_fail(CMD_REDIS, "Redis returned an invalid job id: is this really Redis?");
    return CMD_OK;
}

static int await(struct purge *p, uint64_t wait_ms)
{
    struct redis_address address;
    struct error err;
    char words[32];
    int rc = cmd_redis_address(&p->session.config, &address);

    if (rc != 0)
        return rc;
    rc = receipts_wait_await(p->wait, &address, clock_mono_ns() + wait_ms * NS_PER_MS, on_receipt,
                             NULL, p, &err);
    redis_address_deinit(&address);
    if (rc == -ETIMEDOUT)
        return cmd_fail(CMD_TIMEOUT,
                        "the purge was not sent within %s and stays in the queue: see purgeline "
                        "status",
                        cmd_duration_words(words, sizeof(words), wait_ms));
    return rc < 0 ? cmd_fail(CMD_REDIS, "Redis: %s", err.text) : CMD_OK;
}

static int push_and_await(struct purge *p, const struct doctor_target *target,
                          enum doctor_purge how, uint64_t wait_ms)
{
    int rc;

    if (p->session.account->receipts != RECEIPTS_ALL)
        return cmd_fail(CMD_USAGE,
                        "cannot wait: account %s does not keep all receipts (receipts: all)",
                        p->session.account->name);
    p->wait = receipts_wait_new(p->session.account);
    rc = push(p, target, how);
    if (rc == CMD_OK)
        rc = await(p, wait_ms);
    receipts_wait_free(p->wait);
    return rc;
}

int cmd_doctor_purge(const struct cmd_common *common, const struct doctor_target *target,
                     enum doctor_purge how, uint64_t wait_ms, struct buf *refusal)
{
    struct purge p = {.refusal = refusal};
    int rc = cmd_session_open(common, &p.session);

    if (rc != 0)
        return rc;
    rc = push_and_await(&p, target, how, wait_ms);
    cmd_session_close(&p.session);
    return rc;
}
