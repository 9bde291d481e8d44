/* SPDX-License-Identifier: MIT */
#include "purgeline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "jobform.h"
#include "push.h"
#include "redis_config.h"
#include "setting.h"

/* While a new job is added, a full window of earlier jobs may still be pending. */
#define TAGS ((size_t)2 * ENQUEUE_WINDOW)

struct purgeline {
    struct config config; /* contains only this account */
    struct push_connection *producer;
    struct jobform form;
    purgeline_answer_cb *cb;
    void *ctx;
    void *tags[TAGS];
    uint64_t next;                   /* number of the next job */
    uint64_t own_from;               /* first job of a call that waits for its answers */
    struct purgeline_result *own;    /* where that call wants its answers; else NULL */
    enum purgeline_code first_wrong; /* first error since the last purgeline_wait */
    char why_wrong[PURGELINE_WHY_ROOM];
    bool inside;        /* a function is running with this handle */
    struct error error; /* of the last call that failed */
};

/* -- entering and leaving a call -- */

static enum purgeline_code failed(struct purgeline *p, enum purgeline_code code, const char *why)
{
    error_set(&p->error, -EINVAL, "%s", why);
    return code;
}

static enum purgeline_code enter(struct purgeline *p)
{
    if (!p)
        return PURGELINE_INVALID;
    if (p->inside)
        return failed(p, PURGELINE_INVALID, "handle: in use: called from its own callback");
    p->inside = true;
    return PURGELINE_OK;
}

static enum purgeline_code leave(struct purgeline *p, enum purgeline_code code)
{
    p->inside = false;
    return code;
}

/* The code for a job that the producer could not send. */
static enum purgeline_code code_of(int rc)
{
    switch (rc) {
    case 0:
        return PURGELINE_OK;
    case -EINVAL:
        return PURGELINE_INVALID;
    case -EIO:
        return PURGELINE_REFUSED;
    case -EACCES:
        return PURGELINE_DENIED;
    default:
        return PURGELINE_LOST;
    }
}

/* -- answers -- */

static void to_caller(struct purgeline *p, void *tag, enum purgeline_code code, const char *text)
{
    if (code != PURGELINE_OK && p->first_wrong == PURGELINE_OK) {
        p->first_wrong = code;
        snprintf(p->why_wrong, sizeof(p->why_wrong), "%s", text);
    }
    if (p->cb)
        p->cb(p->ctx, tag, code, text);
}

static void set_result(struct purgeline_result *r, enum purgeline_code code, const char *text)
{
    r->code = code;
    snprintf(r->text, sizeof(r->text), "%.*s", PURGELINE_WHY_ROOM - 1, text);
}

static void on_answer(void *ctx, uint64_t tag, const char *job, const char *refusal)
{
    struct purgeline *p = ctx;
    enum purgeline_code code = job ? PURGELINE_OK : refusal ? PURGELINE_REFUSED : PURGELINE_UNKNOWN;
    const char *text = job       ? job
                       : refusal ? refusal
                       : push_connection_few(p->producer)
                           ? "too few replicas have the job"
                           : "the connection to Redis was lost before the answer";

    if (p->own && tag >= p->own_from)
        set_result(&p->own[tag - p->own_from], code, text);
    else
        to_caller(p, p->tags[tag % TAGS], code, text);
}

/* -- opening -- */

static enum purgeline_code set_account(struct purgeline *p, const char *name, struct error *err)
{
    struct config_account *a = alloc_zeroed(1, sizeof(*a));
    struct error why;

    config_init(&p->config);
    p->config.accounts = a;
    p->config.accounts_count = 1;
    config_account_init(a);
    a->allow_purge_all = true; /* only the dispatcher knows whether it is allowed */
    if (setting_set(setting_find(SETTING_ACCOUNT, "name"), a, name, &why) == 0)
        return PURGELINE_OK;
    error_set(err, -EINVAL, "account: %s", why.text);
    return PURGELINE_INVALID;
}

/* A program that links this library has no file for the TLS and the login of Redis, but may have
 * the environment variables of the purgeline programs. */
static int apply_environment(struct config *c, struct error *err)
{
    size_t count;
    const struct setting *table = setting_table(&count);

    for (size_t i = 0; i < count; i++) {
        const struct setting *s = &table[i];
        struct error why;
        const char *value;
        char name[128];

        if (s->scope != SETTING_GLOBAL || strncmp(s->name, "redis_", 6) != 0)
            continue;
        value = setting_env_name(s, name, sizeof(name)) ? getenv(name) : NULL;
        if (value && setting_set(s, c, value, &why) < 0)
            return error_set(err, -EINVAL, "%s: %s", name, why.text);
    }
    return 0;
}

/* The error calls the URL what the function's parameter is called. */
static int find_redis(struct purgeline *p, const char *url, struct redis_address *out,
                      struct error *err)
{
    struct error why;
    int rc = redis_config_address_at(&p->config, url, out, &why);

    if (rc < 0)
        error_set(err, rc, "%s%s", strncmp(why.text, "redis: ", 7) == 0 ? "redis_url" : why.text,
                  strncmp(why.text, "redis: ", 7) == 0 ? why.text + 5 : "");
    return rc;
}

static enum purgeline_code open_both(struct purgeline *p, const char *url, const char *account,
                                     struct error *err)
{
    struct redis_address address = {0};
    int rc;

    if (!url || !account) {
        error_set(err, -EINVAL, "%s: NULL", url ? "account" : "redis_url");
        return PURGELINE_INVALID;
    }
    rc = set_account(p, account, err);
    if (rc != PURGELINE_OK)
        return rc;
    if (apply_environment(&p->config, err) < 0 || find_redis(p, url, &address, err) < 0)
        return PURGELINE_INVALID;
    p->producer = push_connection_new(&address, p->config.accounts, on_answer, p);
    return code_of(push_connection_connect(p->producer, err));
}

enum purgeline_code purgeline_open(const char *redis_url, const char *account,
                                   struct purgeline **out, char *why, size_t why_room)
{
    struct purgeline *p;
    struct error err = {""};
    enum purgeline_code code;

    if (!out)
        return PURGELINE_INVALID;
    p = alloc_zeroed(1, sizeof(*p));
    jobform_init(&p->form, LANE_NORMAL);
    p->form.takes_by = true;
    (void)enter(p);
    code = leave(p, open_both(p, redis_url, account, &err));
    if (code == PURGELINE_OK) {
        *out = p;
        return code;
    }
    if (why)
        snprintf(why, why_room, "%s", err.text);
    purgeline_close(p);
    return code;
}

void purgeline_close(struct purgeline *p)
{
    if (!p || enter(p) != PURGELINE_OK)
        return;
    push_connection_free(p->producer);
    jobform_deinit(&p->form);
    config_deinit(&p->config);
    (void)leave(p, PURGELINE_OK);
    free(p);
}

enum purgeline_code purgeline_need_replicas(struct purgeline *p, unsigned replicas)
{
    enum purgeline_code code = enter(p);

    if (code != PURGELINE_OK)
        return code;
    if (replicas > CONFIG_REPLICAS_MAX)
        code = failed(p, PURGELINE_INVALID, "replicas: more than " digits_of(CONFIG_REPLICAS_MAX));
    else if (push_connection_pending(p->producer))
        code = failed(p, PURGELINE_INVALID, "replicas: jobs are pending");
    else
        push_connection_set_replicas(p->producer, replicas);
    return leave(p, code);
}

/* -- from a job to fields -- */

static int invalid(struct purgeline *p, const char *field, const char *why)
{
    return error_set(&p->error, -EINVAL, "%s: %s", field, why);
}

static int add_targets(struct purgeline *p, const char *field, const char *const *list,
                       size_t count)
{
    int (*add)(struct jobform *, struct span, struct error *) =
        field[0] == 'k' ? jobform_add_key : jobform_add_url;

    if (count && !list)
        return invalid(p, field, "NULL");
    for (size_t i = 0; i < count; i++) {
        if (!list[i])
            return invalid(p, field, "one of them is NULL");
        if (add(&p->form, span_str(list[i]), &p->error) < 0)
            return -EINVAL;
    }
    return 0;
}

static void add_number(struct purgeline *p, const char *field, uint64_t number)
{
    char text[32];

    if (number == 0)
        return;
    snprintf(text, sizeof(text), "%" PRIu64, number);
    jobform_put(&p->form, field, span_str(text));
}

static void add_text(struct purgeline *p, const char *field, const char *text)
{
    if (text)
        jobform_put(&p->form, field, span_str(text));
}

/* The job of a program that was built with the header of version 0.1.0 ends here. */
#define JOB_SIZE_LEAST offsetof(struct purgeline_job, services)

/* A caller built with a newer header may only use fields that this library knows. */
static int check_size(struct purgeline *p, const struct purgeline_job *job)
{
    if (!job)
        return invalid(p, "job", "NULL");
    if (job->size < JOB_SIZE_LEAST)
        return invalid(p, "size", "not set; begin with PURGELINE_JOB");
    for (size_t i = sizeof(*job); i < job->size; i++)
        if (((const char *)job)[i])
            return invalid(p, "size", "a field that this version of libpurgeline does not know");
    return 0;
}

static int add_services(struct purgeline *p, const struct purgeline_job *job)
{
    if (job->size < sizeof(*job) || job->services_count == 0)
        return 0;
    if (!job->services)
        return invalid(p, "services", "NULL");
    for (size_t i = 0; i < job->services_count; i++) {
        if (!job->services[i])
            return invalid(p, "services", "one of them is NULL");
        if (jobform_add_service(&p->form, span_str(job->services[i]), &p->error) < 0)
            return -EINVAL;
    }
    return 0;
}

static int fill(struct purgeline *p, const struct purgeline_job *job)
{
    static const enum lane lanes[] = {[PURGELINE_NORMAL] = LANE_NORMAL,
                                      [PURGELINE_URGENT] = LANE_URGENT,
                                      [PURGELINE_BULK] = LANE_BULK};

    jobform_clear(&p->form, LANE_NORMAL);
    if (check_size(p, job) < 0)
        return -EINVAL;
    if ((size_t)job->lane >= array_len(lanes))
        return invalid(p, "lane", "none of normal, urgent, bulk");
    p->form.lane = lanes[job->lane];
    add_number(p, "all", (uint64_t)(int64_t)job->all);
    add_number(p, "soft", (uint64_t)(int64_t)job->soft);
    add_text(p, "service", job->service);
    add_number(p, "not_before", job->not_before_ms);
    add_number(p, "expires", job->expires_ms);
    if (job->repeat_after_ms == PURGELINE_REPEAT_AUTO)
        add_text(p, "repeat_after", REPEAT_AUTO);
    else
        add_number(p, "repeat_after", job->repeat_after_ms);
    add_text(p, "ref", job->ref);
    if (add_services(p, job) < 0)
        return -EINVAL;
    if (add_targets(p, "keys", job->keys, job->keys_count) < 0)
        return -EINVAL;
    return add_targets(p, "url", job->urls, job->urls_count);
}

static int fill_json(struct purgeline *p, const char *json, size_t n)
{
    jobform_clear(&p->form, LANE_NORMAL);
    if (!json)
        return invalid(p, "json", "NULL");
    return jobform_add_json(&p->form, span_of(json, n), &p->error);
}

/* -- sending -- */

struct named_services {
    struct config_service services[JOB_SERVICES_MAX];
    char names[JOB_SERVICES_MAX][SERVICE_NAME_MAX_BYTES + 1];
};

/* Fills in services with the names that the job uses, or one without a name, so that any name
 * passes the check: only the dispatcher knows which services exist. Returns their number. */
static int name_services(struct purgeline *p, const struct span *fields, size_t count,
                         struct named_services *out)
{
    int n = 0;

    out->names[0][0] = '\0';
    for (size_t i = 0; i < count && n < JOB_SERVICES_MAX; i += 2) {
        struct span value = fields[i + 1];

        if (!span_is(fields[i], "service"))
            continue;
        if (value.n > SERVICE_NAME_MAX_BYTES || (value.n && memchr(value.p, '\0', value.n)))
            return invalid(p, "service",
                           "not a name of 1 to " digits_of(SERVICE_NAME_MAX_BYTES) " bytes");
        snprintf(out->names[n++], sizeof(out->names[0]), "%.*s", (int)value.n, value.p);
    }
    n = n ? n : 1;
    for (int i = 0; i < n; i++)
        out->services[i] = (struct config_service){.id = (char *)"", .name = out->names[i]};
    return n;
}

/* Sends the job in the form as number p->next. Returns negative errno like push_connection_put,
 * with p->error set. */
static int put(struct purgeline *p)
{
    struct config_account *a = p->config.accounts;
    const struct span *fields;
    struct named_services named;
    size_t count;
    int rc;

    fields = jobform_fields(&p->form, &count);
    rc = name_services(p, fields, count, &named);
    if (rc < 0)
        return rc;
    a->services = named.services;
    a->services_count = (uint32_t)rc;
    rc = push_connection_put(p->producer, p->form.lane, fields, count, p->next, &p->error);
    a->services = NULL;
    a->services_count = 0;
    if (rc == 0)
        p->next++;
    return rc;
}

static enum purgeline_code send(struct purgeline *p, int filled, void *tag)
{
    p->tags[p->next % TAGS] = tag;
    return code_of(filled < 0 ? filled : put(p));
}

static void collect_own(struct purgeline *p, struct purgeline_result *results)
{
    p->own = results;
    p->own_from = p->next;
}

static void finish_own(struct purgeline *p)
{
    struct error ignored; /* each job has its own message */

    (void)!push_connection_finish(p->producer, &ignored);
    p->own = NULL;
}

static enum purgeline_code push(struct purgeline *p, int filled, char *id, size_t id_room)
{
    struct purgeline_result result;
    int rc = filled;

    if (rc == 0 && id && id_room < PURGELINE_ID_ROOM)
        rc = invalid(p, "id_room", "less than PURGELINE_ID_ROOM");
    if (rc < 0)
        return code_of(rc);
    collect_own(p, &result);
    rc = put(p);
    if (rc == 0)
        finish_own(p);
    p->own = NULL;
    if (rc < 0)
        return code_of(rc);
    if (result.code != PURGELINE_OK)
        return failed(p, (enum purgeline_code)result.code, result.text);
    if (id)
        snprintf(id, id_room, "%s", result.text);
    return PURGELINE_OK;
}

enum purgeline_code purgeline_push(struct purgeline *p, const struct purgeline_job *job, char *id,
                                   size_t id_room)
{
    enum purgeline_code code = enter(p);

    return code != PURGELINE_OK ? code : leave(p, push(p, fill(p, job), id, id_room));
}

enum purgeline_code purgeline_push_key(struct purgeline *p, const char *key)
{
    struct purgeline_job job = PURGELINE_JOB;

    job.keys = &key;
    job.keys_count = 1;
    return purgeline_push(p, &job, NULL, 0);
}

enum purgeline_code purgeline_push_json(struct purgeline *p, const char *json, size_t n, char *id,
                                        size_t id_room)
{
    enum purgeline_code code = enter(p);

    return code != PURGELINE_OK ? code : leave(p, push(p, fill_json(p, json, n), id, id_room));
}

/* Steps by the caller's struct size, which may be larger than ours. */
static const struct purgeline_job *job_at(const struct purgeline_job *jobs, size_t i)
{
    return (const void *)((const char *)jobs + i * jobs->size);
}

static void put_many(struct purgeline *p, const struct purgeline_job *jobs, size_t count,
                     struct purgeline_result *results)
{
    uint64_t from = p->next;
    int rc = 0;

    for (size_t i = 0; i < count; i++) {
        p->next = from + i;
        if (rc == 0 || rc == -EINVAL) {
            rc = fill(p, job_at(jobs, i));
            if (rc == 0)
                rc = put(p);
        }
        if (rc < 0)
            set_result(&results[i], code_of(rc), p->error.text);
    }
    p->next = from + count;
}

static enum purgeline_code push_many(struct purgeline *p, const struct purgeline_job *jobs,
                                     size_t count, struct purgeline_result *results)
{
    if (count && (!jobs || !results))
        return code_of(invalid(p, jobs ? "results" : "jobs", "NULL"));
    if (count && check_size(p, jobs) < 0)
        return PURGELINE_INVALID;
    collect_own(p, results);
    put_many(p, jobs, count, results);
    finish_own(p);
    for (size_t i = 0; i < count; i++)
        if (results[i].code != PURGELINE_OK)
            return failed(p, (enum purgeline_code)results[i].code, results[i].text);
    return PURGELINE_OK;
}

enum purgeline_code purgeline_push_many(struct purgeline *p, const struct purgeline_job *jobs,
                                        size_t count, struct purgeline_result *results)
{
    enum purgeline_code code = enter(p);

    return code != PURGELINE_OK ? code : leave(p, push_many(p, jobs, count, results));
}

/* -- many pending jobs -- */

void purgeline_on_answer(struct purgeline *p, purgeline_answer_cb *cb, void *ctx)
{
    if (!p || p->inside)
        return;
    p->cb = cb;
    p->ctx = ctx;
}

enum purgeline_code purgeline_send(struct purgeline *p, const struct purgeline_job *job, void *tag)
{
    enum purgeline_code code = enter(p);

    return code != PURGELINE_OK ? code : leave(p, send(p, fill(p, job), tag));
}

enum purgeline_code purgeline_send_json(struct purgeline *p, const char *json, size_t n, void *tag)
{
    enum purgeline_code code = enter(p);

    return code != PURGELINE_OK ? code : leave(p, send(p, fill_json(p, json, n), tag));
}

static enum purgeline_code wait_for_all(struct purgeline *p)
{
    enum purgeline_code code;

    finish_own(p);
    code = p->first_wrong;
    p->first_wrong = PURGELINE_OK;
    return code == PURGELINE_OK ? code : failed(p, code, p->why_wrong);
}

enum purgeline_code purgeline_wait(struct purgeline *p)
{
    enum purgeline_code code = enter(p);

    return code != PURGELINE_OK ? code : leave(p, wait_for_all(p));
}

enum purgeline_code purgeline_poll(struct purgeline *p, int timeout_ms)
{
    enum purgeline_code code = enter(p);
    int rc;

    if (code != PURGELINE_OK)
        return code;
    rc = push_connection_poll(p->producer, timeout_ms > 0 ? timeout_ms : 0, &p->error);
    return leave(p, rc == -ENOTCONN ? PURGELINE_UNKNOWN : code_of(rc));
}

int purgeline_fd(const struct purgeline *p)
{
    return p ? push_connection_fd(p->producer) : -1;
}

size_t purgeline_pending(const struct purgeline *p)
{
    return p ? push_connection_pending(p->producer) : 0;
}

size_t purgeline_under_way(const struct purgeline *p)
{
    return purgeline_pending(p);
}

/* -- messages -- */

const char *purgeline_error(const struct purgeline *p)
{
    return p ? p->error.text : "handle: NULL";
}

const char *purgeline_code_name(int code)
{
    static const char *const names[] = {"ok", "invalid", "refused", "lost", "unknown", "denied"};

    return code <= 0 && code > -(int)array_len(names) ? names[-code] : "a code of another version";
}

const char *purgeline_version(void)
{
    return PURGELINE_VERSION;
}
