/* SPDX-License-Identifier: MIT
 * POST /hooks/{name}: turns a request from a publishing system into a job, as configured for its
 * hook. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "config_file.h"
#include "hook.h"
#include "hook_auth.h"
#include "http_internal.h"
#include "json_text.h"
#include "log.h"

#define JSON_DEPTH_MAX 64

/* One configured hook, ready to be used. */
struct api_hook {
    const struct config_hook *config;
    struct hook *hook;
    char *secret; /* NULL: it cannot be read, and all requests are refused */
};

struct api_hooks {
    struct api_hook *at;
    uint32_t count;
    struct hook_job job; /* of the request being handled */
};

/* The permissions of every hook: no purge-all, because a document names targets. */
static const struct config_producer publisher = {
    .name = (char *)"a hook",
    .token_sha256 = (char *)"",
    .kinds = PRODUCER_URL | PRODUCER_KEY,
    .lanes = (1u << LANE_N) - 1,
};

struct api_hooks *api_hooks_new(const struct config *c)
{
    struct api_hooks *h = alloc_zeroed(1, sizeof(*h));
    struct error why;

    h->at = alloc_zeroed(c->hooks_count + 1, sizeof(*h->at));
    hook_job_init(&h->job);
    for (uint32_t i = 0; i < c->hooks_count; i++) {
        struct api_hook *d = &h->at[h->count++];

        d->config = &c->hooks[i];
        d->hook = hook_new(d->config, &why);
        must(d->hook != NULL); /* it was compiled when the configuration was read */
        if (d->config->signature.scheme != HOOK_UNSIGNED &&
            config_read_secret(d->config, &d->secret, &why) < 0)
            log_error("The hook has no secret: all its requests are refused", "hook=%s why=\"%s\"",
                      d->config->name, why.text);
    }
    return h;
}

void api_hooks_free(struct api_hooks *h)
{
    if (!h)
        return;
    for (uint32_t i = 0; i < h->count; i++) {
        hook_free(h->at[i].hook);
        if (h->at[i].secret)
            explicit_bzero(h->at[i].secret, strlen(h->at[i].secret));
        free(h->at[i].secret);
    }
    hook_job_deinit(&h->job);
    free(h->at);
    free(h);
}

static const struct api_hook *find_hook(const struct api_hooks *h, struct span name)
{
    for (uint32_t i = 0; i < h->count; i++)
        if (span_is(name, h->at[i].config->name))
            return &h->at[i];
    return NULL;
}

static bool header_of(void *ctx, const char *name, struct span *value)
{
    struct request *e = ctx;

    *value = visit_header(e->visit, name);
    return value->p != NULL;
}

/* -- authentication -- */

static int check_open(struct request *e)
{
    const char *why;
    int status = openmode_refuses(e, &why);

    if (status)
        request_refuse(e, status, why);
    return status ? -EACCES : 0;
}

static int check_proof(struct request *e, const struct api_hook *d, const struct hook_request *r)
{
    struct error err;

    if (d->config->signature.scheme == HOOK_UNSIGNED)
        return check_open(e);
    if (hook_auth_check(&d->config->signature, span_str(d->secret), r, clock_wall_ms(), &err) == 0)
        return 0;
    error_set(&err, -EACCES, "hook rejected: invalid signature: %s", err.text);
    e->audited = err.text;
    request_refuse(e, 401, "the signature is missing, wrong or too old");
    e->audited = NULL;
    return -EACCES;
}

/* -- the job -- */

static void on_hook_put(void *ctx, const struct submit_result *r)
{
    struct request *e = ctx;

    if (r->outcome == SUBMIT_ACCEPTED)
        request_say(e, 202, "{\"job\":\"%s\"}", r->job);
    else
        api_refuse_put(e, r);
    request_drop(e);
}

static void push(struct request *e, const struct api_hook *d, const struct hook_job *job)
{
    struct span name = *d->config->account ? span_str(d->config->account) : span_of(NULL, 0);
    const struct config_account *a = request_find_account(e, name);
    struct jobform *f = &e->in->form;
    char ref[100];
    struct job_spec spec;

    must(a != NULL); /* every hook's account was found when the configuration was read */
    jobform_clear(f, d->config->lane);
    f->takes_account = false;
    for (size_t i = 0; i < job->fields_count; i += 2) {
        char field[16];

        snprintf(field, sizeof(field), "%.*s", (int)job->fields[i].n, job->fields[i].p);
        jobform_put(f, field, job->fields[i + 1]);
    }
    snprintf(ref, sizeof(ref), "hook:%s", d->config->name);
    jobform_put(f, "ref", span_str(ref));
    if (api_admit(e, a, f, &spec))
        api_push(e, a, f, NULL, on_hook_put);
}

static void apply_template(struct request *e, const struct api_hook *d,
                           const struct hook_request *r, const json_t *document)
{
    struct hook_job *job = &e->in->hooks->job;
    struct error err;
    int rc = hook_apply(d->hook, document, r, job, &err);

    log_debug("Hook request parsed", "hook=%s job=%s why=\"%s\"", d->config->name,
              rc == 0 ? "yes" : "no", rc ? err.text : "");
    if (rc == 0)
        push(e, d, job);
    else if (rc == -ENOENT) /* a test, or an event that the hook ignores: no error of the client */
        request_say_json(
            e, 200,
            json_pack("{soso}", "status", json_text_of("ignored"), "why", json_text_of(err.text)));
    else
        request_refuse(e, 422, err.text);
}

/* Refuses early what can be refused without reading the body. */
void api_hook_head(struct request *e)
{
    const struct api_hook *d = find_hook(e->in->hooks, e->parts[0]);

    if (!d)
        request_refuse(e, 404, "there is no such hook");
    else if (d->config->signature.scheme == HOOK_UNSIGNED)
        (void)check_open(e);
}

/* Parses the document, whose memory is on the request's bill meanwhile. */
static void read_document(struct request *e, const struct api_hook *d, const struct hook_request *r)
{
    uint64_t bytes;
    const char *flaw = api_json_flaw(r->body, JSON_DEPTH_MAX, &bytes);
    json_error_t where;
    json_t *document;
    char why[240];

    if (flaw) {
        snprintf(why, sizeof(why), "the document cannot be read: %s", flaw);
        request_refuse(e, 400, why);
        return;
    }
    if (!request_take_parsed(e, bytes))
        return;
    document = json_loadb(r->body.p, r->body.n, 0, &where);
    if (document) {
        apply_template(e, d, r, document);
    } else {
        snprintf(why, sizeof(why), "not JSON: %s", where.text);
        request_refuse(e, 400, why);
    }
    json_decref(document);
    quota_give(&e->bill, bytes);
}

void api_hook(struct request *e)
{
    const struct api_hook *d = find_hook(e->in->hooks, e->parts[0]);
    struct hook_request r = {.method = visit_method(e->visit),
                             .path = visit_target(e->visit),
                             .body = visit_body(e->visit),
                             .header = header_of,
                             .header_context = e};
    char party[120];

    if (!d) {
        request_refuse(e, 404, "there is no such hook");
        return;
    }
    request_renew(e); /* the hook is from the current configuration, so its account must be, too */
    e->who = &publisher;
    if (check_proof(e, d, &r) < 0)
        return;
    snprintf(party, sizeof(party), "hook %.100s", d->config->name);
    visit_prove(e->visit);
    if (request_prove(e, &publisher, party))
        read_document(e, d, &r);
}
